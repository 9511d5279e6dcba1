"""The check that a model draws from the density that it scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from probgen.density import Density
from probgen.sampler import Sampler
from probgen.shapes import device_of
from probgen.testing.check import Check
from probgen.testing.checks.inputs import contexts_of, double, entry_of, listed_events, possible, still, stream
from probgen.testing.checks.references import Reference, references_near
from probgen.testing.ladder import decide_mean
from probgen.testing.matching import decide_samples
from probgen.testing.trial import Judgement, NotApplicable, Trial, fails
from probgen.testing.twins import matching as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_CONTEXTS = 2
_PILOT = 1000
_FLAT = 1e-6
"""A statistic that varies less than this says nothing: the reference and the density do not overlap."""


def _samples_match(subject: Any, trial: Trial) -> Iterator[Judgement]:
    easy = listed_events(subject) is not None or _on_the_line(subject)
    model = still(subject) if easy else double(subject)
    for words, context in contexts_of(model, _CONTEXTS, trial):
        rates = {
            "delta": trial.level.delta,
            "max_samples": trial.level.max_samples,
            "seed": trial.seed("draws", words),
        }
        if easy:
            verdict = decide_samples(model, model, context=context, **rates)
        else:
            verdict = _against_references(model, context, stream(trial, "references", words), rates)
        yield Judgement(f"draws follow the density{words}", verdict)


def _on_the_line(model: Any) -> bool:
    entry = entry_of(model.support)
    counts = isinstance(entry, type(constraints.nonnegative_integer))
    return math.prod(model.event_shape) == 1 and (counts or not entry.is_discrete)


def _against_references(model: Any, context: Tensor | None, generator: torch.Generator, rates: dict[str, Any]) -> Verdict:
    """Decide identities of expectations that hold if the draws follow the density; see `references_near`."""
    pilot = model.sample((_PILOT,), context, generator=_stream(model, int(torch.randint(2**31, (), generator=generator))))
    if not possible(model, pilot).all():
        return fails("a draw is not finite or lies outside the support", samples=_PILOT)
    references = references_near(model, pilot, generator)
    statistic = _statistic(model, context, references)
    scale = statistic(_PILOT, int(torch.randint(2**31, (), generator=generator))).std(0)
    seen = scale > _FLAT
    if not seen.any():
        raise NotApplicable("no simple law overlaps with the density")

    def draw(n: int, seed: int) -> Tensor:
        return 1 + statistic(n, seed)[:, seen] / scale[seen]  # a bias then counts in standard deviations

    return decide_mean(draw, torch.ones(int(seen.sum())), **rates)


def _statistic(model: Any, context: Tensor | None, references: list[Reference]) -> Callable[[int, int], Tensor]:
    """Return what draws `n` differences of the two sides of the identity, `(n, references)`."""

    @torch.no_grad()
    def draw(n: int, seed: int) -> Tensor:
        x = model.sample((n,), context, generator=_stream(model, seed))
        score, generator = model.log_prob(x, context), torch.Generator().manual_seed(seed ^ 1)
        columns = []
        for reference in references:
            y = reference.draw(n, generator)
            at_draws = torch.sigmoid(reference.log_prob(x) - score)
            columns.append(at_draws - torch.sigmoid(model.log_prob(y, context) - reference.log_prob(y)))
        return torch.stack(columns, 1)

    return draw


def _stream(model: Any, seed: int) -> torch.Generator:
    return torch.Generator(device_of(model)).manual_seed(seed)


CHECKS = (
    Check(
        name="samples-match",
        about="Draws follow the density that the model scores them by.",
        kind="model",
        run=_samples_match,
        twins={
            "draws too widely on the line": twins.DrawsTooWidelyOnTheLine,
            "draws too widely": twins.DrawsTooWidely,
            "draws with another sign": twins.DrawsWithAnotherSign,
            "draws coordinates that depend on each other": twins.DrawsCorrelatedCoordinates,
            "draws another coin": twins.DrawsAnotherCoin,
            "draws from one of two contexts": twins.IgnoresTheContext,
            "draws correlated pixels": twins.DrawsCorrelatedPixels,
        },
        needs=(Density, Sampler),
    ),
)
