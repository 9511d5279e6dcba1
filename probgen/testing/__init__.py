"""The conformance kit: what decides whether an estimator, a density or a sampler is what it claims to be.

Three engines answer every question. `exact_expectation` enumerates a program's own randomness and leaves nothing to chance;
`decide_mean` judges the mean of draws, `decide_categories` and `decide_samples` judge their law, with stated error rates.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES: dict[str, str] = {
    "FiniteLaw": "probgen.testing.law",
    "HiddenRandomness": "probgen.testing.failures",
    "Inconclusive": "probgen.testing.failures",
    "Moments": "probgen.testing.moments",
    "NotEnumerable": "probgen.testing.failures",
    "Outcome": "probgen.testing.verdict",
    "Replay": "probgen.testing.exact",
    "Tier": "probgen.testing.verdict",
    "Verdict": "probgen.testing.verdict",
    "assert_mean": "probgen.testing.ladder",
    "assert_samples_match": "probgen.testing.matching",
    "decide_categories": "probgen.testing.multinomial",
    "decide_mean": "probgen.testing.ladder",
    "decide_samples": "probgen.testing.matching",
    "derive_seed": "probgen.testing.seeds",
    "exact_expectation": "probgen.testing.exact",
    "exact_law": "probgen.testing.exact",
    "false_alarms": "probgen.testing.calibration",
    "power": "probgen.testing.calibration",
    "replays_identically": "probgen.testing.exact",
    "session_entropy": "probgen.testing.seeds",
}

__all__ = [
    "FiniteLaw",
    "HiddenRandomness",
    "Inconclusive",
    "Moments",
    "NotEnumerable",
    "Outcome",
    "Replay",
    "Tier",
    "Verdict",
    "assert_mean",
    "assert_samples_match",
    "decide_categories",
    "decide_mean",
    "decide_samples",
    "derive_seed",
    "exact_expectation",
    "exact_law",
    "false_alarms",
    "power",
    "replays_identically",
    "session_entropy",
]

if TYPE_CHECKING:
    from probgen.testing.calibration import false_alarms, power
    from probgen.testing.exact import Replay, exact_expectation, exact_law, replays_identically
    from probgen.testing.failures import HiddenRandomness, Inconclusive, NotEnumerable
    from probgen.testing.ladder import assert_mean, decide_mean
    from probgen.testing.law import FiniteLaw
    from probgen.testing.matching import assert_samples_match, decide_samples
    from probgen.testing.moments import Moments
    from probgen.testing.multinomial import decide_categories
    from probgen.testing.seeds import derive_seed, session_entropy
    from probgen.testing.verdict import Outcome, Tier, Verdict


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'probgen.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
