"""What a subject promises, and where each promise was looked at, as rows of words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from probgen.capabilities import capabilities
from probgen.errors import SupportError
from probgen.estimator import Estimator
from probgen.shapes import Model
from probgen.supports import support_name
from probgen.testing.report import Report
from probgen.testing.subjects import Subject
from probgen.testing.verdict import Outcome, Tier, Verdict

__all__ = ["CAPABILITIES", "CLAIMS", "PLACES", "capability_rows", "claim_rows", "described", "place_rows"]

CLAIMS = ("phase", "output", "claim")
"""What stands in a row of `claim_rows`."""

CAPABILITIES = ("example", "events", "context", "can do")
"""What stands in a row of `capability_rows`."""

PLACES = ("claim", "verdict", "held against", "would have caught")
"""What stands in a row of `place_rows`."""

_EVERY = {"*": "every phase"}

_OUTCOMES = {Outcome.FAILS: "failed", Outcome.INCONCLUSIVE: "inconclusive", Outcome.CONFORMS: "passed"}
"""Words for what came of a claim, the worst first."""


def described(estimator: Estimator) -> str:
    """Return in two sentences what an estimator estimates and what it needs.

    Example:
        >>> from probgen import MaximumLikelihood
        >>> described(MaximumLikelihood())
        'It estimates `log_prob` [nats], which training makes large. It needs a Density.'
    """
    objective = estimator.objective
    ways = {"maximise": "which training makes large", "minimise": "which training makes small", None: "a game's value"}
    needs = " and ".join(need.__name__ for need in estimator.requires) or "nothing in particular"
    article = "a " if estimator.requires else ""
    coupled = " Examples of a batch share randomness or statistics." if estimator.batch_coupled else ""
    what = f"It estimates `{objective.name}` [{objective.unit}], {ways[objective.direction]}."
    return f"{what} It needs {article}{needs}.{coupled}"


def claim_rows(estimator: Estimator) -> list[list[str]]:
    """Return a row for each claim: of the value in each phase, and of the gradient by each group of parameters."""
    claims = estimator.claims
    values = [[_EVERY.get(phase, phase), "value", str(claim)] for phase, said in claims.values.items() for claim in said]
    gradients = [["every phase", f"gradient by `{group}`", str(claim)] for group, claim in claims.gradient.items()]
    return values + gradients


def capability_rows(subjects: Iterable[Subject]) -> list[list[str]]:
    """Return a row for each model among the subjects: what it is of, and its capabilities, each of which is a claim."""
    rows = []
    for subject in subjects:
        model = subject.thing
        if isinstance(model, Model):
            context = "none" if model.context_shape is None else str(tuple(model.context_shape))
            events = f"{_support(model)} {tuple(model.event_shape)}"
            can = ", ".join(sorted(capability.__name__ for capability in capabilities(model)))
            rows.append([subject.name, events, context, can or "nothing"])
    return rows


def place_rows(report: Report, check: str = "claims") -> list[list[str]]:
    """Return a row for each claim that a check looked at: what came of it, on which problems, by which means, how closely.

    Args:
        report: What came of the checks.
        check: The check, whose judgements are worded `"…, on PROBLEM"`.
    """
    places: dict[str, dict[str, list[Verdict]]] = {}
    for result in report.results:
        for judgement in result.judgements if result.check == check else ():
            claim, _, place = judgement.claim.rpartition(", on ")
            if claim:
                places.setdefault(claim, {}).setdefault(place.partition(",")[0], []).append(judgement.verdict)
    return [_place_row(claim, found) for claim, found in places.items()]


def _place_row(claim: str, found: Mapping[str, Sequence[Verdict]]) -> list[str]:
    verdicts = [verdict for each in found.values() for verdict in each]
    outcomes = {verdict.outcome for verdict in verdicts}
    by_tier = {tier: [name for name, each in found.items() if any(v.tier is tier for v in each)] for tier in Tier}
    where = "; ".join(f"{tier}: {', '.join(names)}" for tier, names in by_tier.items() if names)
    closest = max(verdict.detectable for verdict in verdicts)
    outcome = next(word for worst, word in _OUTCOMES.items() if worst in outcomes)
    return [claim, outcome, where, f"{closest:.2g}" if math.isfinite(closest) else "–"]


def _support(model: Model) -> str:
    try:
        return support_name(model.support)
    except SupportError:  # it has no short name
        return str(model.support)
