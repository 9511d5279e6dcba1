"""Checks of bounds on the likelihood and of importance weights: over all events, neither has more mass than there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import BoundedLikelihood, LatentVariable, capabilities
from probgen.claims import Claim, LowerBound, UpperBound
from probgen.sampler import Sampler
from probgen.shapes import device_of
from probgen.testing.check import Check
from probgen.testing.checks.evidence import exact_evidence
from probgen.testing.checks.inputs import contexts_of, double, listed_events, still
from probgen.testing.exact import exact_expectation
from probgen.testing.failures import NotEnumerable
from probgen.testing.ladder import decide_mean
from probgen.testing.multinomial import decide_categories
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, exactly, fails
from probgen.testing.twins import bounds as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_MOST_PATHS, _MOST_RUNS = 64, 600
_PILOTS, _MOST_PILOTS = 32, 20_000
_CONTEXTS = 2
_ROUNDING = 1e-6


def _bound(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    claim = model.bound_claim
    if not isinstance(claim, LowerBound | UpperBound) or claim.of != "log_prob":
        raise NotApplicable(f"it claims to be {claim}, which says nothing of the mass of all events")
    events = listed_events(model)
    if events is None:
        raise NotApplicable("its events cannot be listed")
    for words, context in contexts_of(model, _CONTEXTS, trial):
        contexts = None if context is None else context.expand(len(events), *context.shape)
        with torch.no_grad():
            try:
                verdict = _exact_bound(model, claim, events, contexts)
            except NotEnumerable:
                decide = _lower_bound if isinstance(claim, LowerBound) else _upper_bound
                verdict = decide(model, events, contexts, context, trial)
        yield Judgement(f"{claim}{words}", verdict)


def _exact_bound(model: Any, claim: Claim, events: Tensor, contexts: Tensor | None) -> Verdict:
    """Compare the sum of exp(expected bound) with one, where expectations can be had by enumeration."""
    paths = min(_MOST_PATHS, _MOST_RUNS // len(events))
    means = [
        exact_expectation(lambda x=x, c=c: model.log_prob_bound(x, c), max_paths=paths).mean
        for x, c in zip(events, [None] * len(events) if contexts is None else contexts, strict=True)
    ]
    mass = float(torch.cat(means).exp().sum())
    excess = mass - 1 if isinstance(claim, LowerBound) else 1 - mass
    side = "at most" if isinstance(claim, LowerBound) else "at least"
    words = f"exp(bound) has a mass of {mass:.9g}, {side} 1 as it should"
    return (
        conforms(words)
        if excess <= _ROUNDING
        else fails(f"expected a mass of exp(bound) of {side} 1; got {mass:.9g}", bias=excess)
    )


def _pilot(model: Any, events: Tensor, contexts: Tensor | None, trial: Trial) -> Tensor:
    """Return the law that is proportional to exp(mean bound), from a few draws of it, `(S,)`."""
    torch.manual_seed(trial.seed("pilot"))
    repeats = max(1, min(_PILOTS, _MOST_PILOTS // len(events)))
    draws = torch.stack([model.log_prob_bound(events, contexts).double() for _ in range(repeats)])
    return draws.mean(0).softmax(0)


def _lower_bound(model: Any, events: Tensor, contexts: Tensor | None, context: Tensor | None, trial: Trial) -> Verdict:
    r"""Decide by Gibbs' inequality: for any law $\pi$, a lower bound has $\mathbb{E}_\pi b \le \mathbb{E}_\pi \log \pi$.

    It is sharpest at the law that is proportional to $e^b$, where the two sides differ by the log of the mass of $e^b$.
    """
    law = _pilot(model, events, contexts, trial)
    gap = _gap(model, events, law, contexts)

    def draw(n: int, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return gap(torch.multinomial(law, n, replacement=True))

    # An offset of one: a bias then counts in nats, not relative to a target of nothing.
    return decide_mean(lambda n, seed: 1 + draw(n, seed), 1.0, side=1, **_rates(trial))


def _upper_bound(model: Any, events: Tensor, contexts: Tensor | None, context: Tensor | None, trial: Trial) -> Verdict:
    r"""Decide on draws of the model: $\mathbb{E}_p b \ge \mathbb{E}_p \log p \ge \mathbb{E}_p \log \pi$ for any $\pi$."""
    if Sampler not in capabilities(model):
        raise NotApplicable("it cannot draw events, and its bound cannot be enumerated")
    law = _pilot(model, events, contexts, trial)
    gap = _gap(model, events, law, contexts)

    def draw(n: int, seed: int) -> Tensor:
        generator = torch.Generator(device_of(model)).manual_seed(seed)
        drawn = model.sample((n,), context, generator=generator)
        torch.manual_seed(seed)
        return gap(_places(drawn, events))

    return decide_mean(lambda n, seed: 1 + draw(n, seed), 1.0, side=-1, **_rates(trial))


def _gap(model: Any, events: Tensor, law: Tensor, contexts: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Return what draws the bound less the logarithm of `law` at events of these numbers."""

    @torch.no_grad()
    def drawn(index: Tensor) -> Tensor:
        return model.log_prob_bound(events[index], None if contexts is None else contexts[index]) - law[index].log()

    return drawn


def _rates(trial: Trial) -> dict[str, Any]:
    return {"delta": trial.level.delta, "max_samples": trial.level.max_samples, "seed": trial.seed("draws")}


def _places(found: Tensor, events: Tensor) -> Tensor:
    """Return the numbers of events, `(n, *event_shape) -> (n,)`; the number of events for one that is none of them."""
    listed = {tuple(event): index for index, event in enumerate(events.reshape(len(events), -1).tolist())}
    return torch.tensor([listed.get(tuple(event), len(events)) for event in found.reshape(len(found), -1).tolist()])


def _evidence_normalised(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    events = _few_events(model)
    for words, context in contexts_of(model, _CONTEXTS, trial):
        masses, error = exact_evidence(model, events, context)
        gap = abs(float(masses.sum()) - 1)
        verdict = exactly(gap, "importance weights give all events a mass of 1", tolerance=_ROUNDING + 10 * error)
        yield Judgement(f"evidence{words}", verdict)


def _draws_follow(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    events = _few_events(model)
    sampler = still(subject)
    for words, context in contexts_of(model, 1, trial):
        masses, error = exact_evidence(model, events, context)
        single = None if context is None else context.to(next(iter(sampler.parameters())).dtype)

        def draw(n: int, seed: int, single: Tensor | None = single) -> Tensor:
            generator = torch.Generator(device_of(sampler)).manual_seed(seed)
            return _places(sampler.sample((n,), single, generator=generator).double(), events)

        law = torch.cat([masses, masses.new_zeros(1)])
        if abs(float(law.sum()) - 1) > _ROUNDING + 10 * error:
            raise NotApplicable("its evidence has another mass than 1, so that there is no law to compare with")
        yield Judgement(f"draws follow the evidence{words}", decide_categories(draw, law / law.sum(), **_rates(trial)))


def _few_events(model: Any) -> Tensor:
    events = listed_events(model)
    if events is None:
        raise NotApplicable("its events cannot be listed")
    return events


CHECKS = (
    Check(
        name="bound",
        about="A bound on log_prob is on the side that it claims: its exponential sums to one at most, or at least.",
        kind="model",
        run=_bound,
        twins={
            "reconstructs without the divergence": twins.ReconstructsOnly,
            "is higher by a tenth": twins.IsHigherByATenth,
            "calls a lower bound an upper one": twins.CallsALowerBoundAnUpperOne,
            "reconstructs without the divergence of normals": twins.NormalReconstructsOnly,
            "calls a noisy lower bound an upper one": twins.NormalCallsItAnUpperBound,
        },
        needs=(BoundedLikelihood,),
    ),
    Check(
        name="evidence-normalised",
        about="The importance weights of model and guide are those of a law: they give all events a mass of one.",
        kind="model",
        run=_evidence_normalised,
        twins={
            "scales the likelihood": twins.ScalesTheLikelihood,
            "observes half of the event": twins.ObservesHalf,
            "has a guide that misses a value": twins.MissesAValue,
            "scales the likelihood of normals": twins.NormalScalesTheLikelihood,
        },
        needs=(LatentVariable,),
    ),
    Check(
        name="draws-follow-evidence",
        about="Draws have the law that the importance weights of model and guide say.",
        kind="model",
        run=_draws_follow,
        twins={
            "draws from another prior": twins.DrawsFromAnotherPrior,
            "draws the mean of the latent": twins.DrawsAtTheMean,
        },
        needs=(LatentVariable, Sampler),
    ),
)
