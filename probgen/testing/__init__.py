"""The conformance kit: what decides whether an estimator, a density or a sampler is what it claims to be.

`check_density`, `check_sampler`, `check_estimator` and `check_model` look at one thing; `parametrize_with_checks` turns all
that a plugin registers into tests; `assert_resumes` kills a model's training and resumes it. Three engines answer every
question. `exact_expectation` enumerates a program's own randomness and leaves nothing to chance; `decide_mean` judges the
mean of draws, `decide_categories` and `decide_samples` judge their law, with stated error rates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from probgen.lazy import resolver

_HOMES: dict[str, str] = {
    "Check": "probgen.testing.check",
    "FiniteLaw": "probgen.testing.law",
    "HiddenRandomness": "probgen.testing.failures",
    "Inconclusive": "probgen.testing.failures",
    "Judgement": "probgen.testing.trial",
    "Level": "probgen.testing.trial",
    "Moments": "probgen.testing.moments",
    "NonConformance": "probgen.testing.report",
    "NotApplicable": "probgen.testing.trial",
    "NotEnumerable": "probgen.testing.failures",
    "Oracle": "probgen.testing.problem",
    "Outcome": "probgen.testing.verdict",
    "Problem": "probgen.testing.problem",
    "Replay": "probgen.testing.exact",
    "Report": "probgen.testing.report",
    "Result": "probgen.testing.report",
    "Situation": "probgen.testing.problem",
    "Status": "probgen.testing.report",
    "Tier": "probgen.testing.verdict",
    "Trial": "probgen.testing.trial",
    "Verdict": "probgen.testing.verdict",
    "assert_mean": "probgen.testing.ladder",
    "assert_resumes": "probgen.testing.resuming",
    "assert_samples_match": "probgen.testing.matching",
    "check_density": "probgen.testing.conformance",
    "check_estimator": "probgen.testing.conformance",
    "check_model": "probgen.testing.conformance",
    "check_sampler": "probgen.testing.conformance",
    "conforms": "probgen.testing.trial",
    "decide_categories": "probgen.testing.multinomial",
    "decide_mean": "probgen.testing.ladder",
    "decide_samples": "probgen.testing.matching",
    "derive_seed": "probgen.testing.seeds",
    "exact_expectation": "probgen.testing.exact",
    "exact_law": "probgen.testing.exact",
    "exactly": "probgen.testing.trial",
    "fails": "probgen.testing.trial",
    "false_alarms": "probgen.testing.calibration",
    "known_problems": "probgen.testing.problems",
    "parametrize_with_checks": "probgen.testing.parametrize",
    "power": "probgen.testing.calibration",
    "replays_identically": "probgen.testing.exact",
    "run_check": "probgen.testing.running",
    "run_checks": "probgen.testing.running",
    "session_entropy": "probgen.testing.seeds",
    "undecided": "probgen.testing.trial",
}

__all__ = [
    "Check",
    "FiniteLaw",
    "HiddenRandomness",
    "Inconclusive",
    "Judgement",
    "Level",
    "Moments",
    "NonConformance",
    "NotApplicable",
    "NotEnumerable",
    "Oracle",
    "Outcome",
    "Problem",
    "Replay",
    "Report",
    "Result",
    "Situation",
    "Status",
    "Tier",
    "Trial",
    "Verdict",
    "assert_mean",
    "assert_resumes",
    "assert_samples_match",
    "check_density",
    "check_estimator",
    "check_model",
    "check_sampler",
    "conforms",
    "decide_categories",
    "decide_mean",
    "decide_samples",
    "derive_seed",
    "exact_expectation",
    "exact_law",
    "exactly",
    "fails",
    "false_alarms",
    "known_problems",
    "parametrize_with_checks",
    "power",
    "replays_identically",
    "run_check",
    "run_checks",
    "session_entropy",
    "undecided",
]

if TYPE_CHECKING:
    from probgen.testing.calibration import false_alarms, power
    from probgen.testing.check import Check
    from probgen.testing.conformance import check_density, check_estimator, check_model, check_sampler
    from probgen.testing.exact import Replay, exact_expectation, exact_law, replays_identically
    from probgen.testing.failures import HiddenRandomness, Inconclusive, NotEnumerable
    from probgen.testing.ladder import assert_mean, decide_mean
    from probgen.testing.law import FiniteLaw
    from probgen.testing.matching import assert_samples_match, decide_samples
    from probgen.testing.moments import Moments
    from probgen.testing.multinomial import decide_categories
    from probgen.testing.parametrize import parametrize_with_checks
    from probgen.testing.problem import Oracle, Problem, Situation
    from probgen.testing.problems import known_problems
    from probgen.testing.report import NonConformance, Report, Result, Status
    from probgen.testing.resuming import assert_resumes
    from probgen.testing.running import run_check, run_checks
    from probgen.testing.seeds import derive_seed, session_entropy
    from probgen.testing.trial import Judgement, Level, NotApplicable, Trial, conforms, exactly, fails, undecided
    from probgen.testing.verdict import Outcome, Tier, Verdict


__getattr__ = resolver(__name__, _HOMES)
