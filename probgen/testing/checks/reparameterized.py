"""Checks of draws that carry gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from probgen.capabilities import Reparameterized, capabilities
from probgen.density import Density
from probgen.testing.check import Check
from probgen.testing.checks.bijective_draws import stays_at_its_noise
from probgen.testing.checks.gradients import jiggled
from probgen.testing.checks.inputs import contexts_of, double, parameters_of, stream
from probgen.testing.checks.scoring import seeded
from probgen.testing.ladder import decide_mean
from probgen.testing.trial import Judgement, NotApplicable, Trial, exactly, fails
from probgen.testing.twins import reparameterized as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_DIRECTIONS = 6
_SHARPER = 4
"""How many times smaller than a bias relative to a target is one relative to the deviation of a draw, to count as much."""

_PILOT = 1000
_ROWS = 64
_STEP = 1e-5


def _rsample_gradients(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = jiggled(subject, trial)
    parameters = list(parameters_of(model).values())
    if not parameters:
        raise NotApplicable("it has nothing to learn")
    for words, context in contexts_of(model, 1, trial):
        if not model.rsample((2,), context).requires_grad:
            yield Judgement(f"pathwise gradient{words}", fails("draws of rsample carry no gradient"))
            continue
        generator = stream(trial, "features", words)
        probe = _Probe(context, parameters, _bounded(model, generator), _directions(parameters, generator))
        if Density in capabilities(model):
            verdict = stays_at_its_noise(model, context, parameters, trial) or _against_score_function(model, probe, trial)
        else:
            verdict = _against_differences(model, probe, trial)
        yield Judgement(f"pathwise gradient{words}", verdict)


class _Probe(NamedTuple):
    """What is differentiated, and by what.

    Args:
        context: What draws are conditioned on.
        parameters: What gradients are by.
        feature: Functions of events, `(n, *event_shape) -> (n, 2)`.
        directions: Directions in the space of all parameters.
    """

    context: Tensor | None
    parameters: Sequence[Tensor]
    feature: Callable[[Tensor], Tensor]
    directions: list[list[Tensor]]


def _directions(parameters: Sequence[Tensor], generator: torch.Generator) -> list[list[Tensor]]:
    """Return directions in the space of all parameters, each along a single one: a mistake seldom concerns them all."""
    chosen = torch.randperm(len(parameters), generator=generator)[:_DIRECTIONS].tolist()
    return [
        [
            torch.randn(p.shape, generator=generator, dtype=p.dtype) if index == place else torch.zeros_like(p)
            for index, p in enumerate(parameters)
        ]
        for place in chosen
    ]


def _bounded(model: Any, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Return two smooth bounded functions of events, of which one is steep where the other is flat: `-> (n, 2)`."""
    weight = torch.randn(model.event_shape.numel(), generator=generator, dtype=torch.float64)

    def features(x: Tensor) -> Tensor:
        angle = x.reshape(len(x), -1) @ (weight / weight.norm())
        return torch.stack([angle.sin(), angle.cos()], 1)

    return features


def _against_score_function(model: Any, probe: _Probe, trial: Trial) -> Verdict:
    r"""Compare with the score-function gradient, $\mathbb{E}[h(x) \nabla \log p(x)]$, which is unbiased for the same."""
    context, parameters, feature, directions = probe

    def difference(n: int, seed: int) -> Tensor:
        x = seeded(seed, lambda: model.rsample((n,), context))
        values, scores = feature(x), model.log_prob(x.detach(), context)
        columns = []
        for direction in directions:
            score = _along(scores, parameters, direction)
            columns += [_along(value, parameters, direction) - value.detach() * score for value in values.unbind(1)]
        return torch.stack(columns, 1)

    scale = difference(_PILOT, trial.seed("pilot")).std(0).clamp(min=1e-12)
    return decide_mean(
        lambda n, seed: 1 + difference(n, seed) / scale,  # a bias then counts in standard deviations
        torch.ones(len(scale)),
        delta=trial.level.delta / _SHARPER,
        max_samples=trial.level.max_samples,
        seed=trial.seed("draws"),
    )


def _against_differences(model: Any, probe: _Probe, trial: Trial) -> Verdict:
    """Compare draw by draw with difference quotients on the same noise, where these are smooth."""
    context, parameters, feature, directions = probe

    def values() -> Tensor:
        return feature(seeded(trial.seed("noise"), lambda: model.rsample((_ROWS,), context))).reshape(-1)

    worst, looked = 0.0, 0
    for direction in directions:
        exact = _along(values(), parameters, direction)
        fine, coarse = (_quotient(values, parameters, direction, step) for step in (_STEP, 2 * _STEP))
        smooth = (fine - coarse).abs() <= 1e-6
        looked += int(smooth.sum())
        worst = max([worst, *(exact - fine).abs()[smooth].nan_to_num(torch.inf).tolist()])
    if not looked:
        raise NotApplicable("its draws are not smooth in the parameters")
    return exactly(worst, "the gradient of a draw is its derivative", tolerance=1e-5)


@torch.no_grad()
def _quotient(values: Callable[[], Tensor], parameters: Sequence[Tensor], direction: list[Tensor], step: float) -> Tensor:
    start = [parameter.clone() for parameter in parameters]
    ends = []
    for sign in (1, -1):
        for parameter, origin, along in zip(parameters, start, direction, strict=True):
            parameter.copy_(origin + sign * step * along)
        ends.append(values())
    for parameter, origin in zip(parameters, start, strict=True):
        parameter.copy_(origin)
    return (ends[0] - ends[1]) / (2 * step)


def _along(values: Tensor, parameters: Sequence[Tensor], direction: list[Tensor]) -> Tensor:
    """Return the derivative of each of `values`, `(n,)`, along `direction`.

    The gradient of a weighted sum is linear in the weights; its derivative by these is what is wanted, for all rows at once.
    """
    if not values.requires_grad:
        return torch.zeros_like(values)
    weights = torch.ones_like(values, requires_grad=True)
    gradients = torch.autograd.grad(values, parameters, weights, create_graph=True, allow_unused=True)
    total = sum(
        ((g * along).sum() for g, along in zip(gradients, direction, strict=True) if g is not None), weights.sum() * 0
    )
    return torch.autograd.grad(total, weights, retain_graph=True)[0].detach()


def _joint(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    if Density not in capabilities(model):
        raise NotApplicable("it is no density, so that it has no scores of its draws")
    parameters = list(parameters_of(model).values())
    for words, context in contexts_of(model, 1, trial):
        x, scores = seeded(trial.seed("draws"), lambda context=context: model.rsample_and_log_prob((_ROWS,), context))
        if scores.shape != (_ROWS,):
            yield Judgement(f"score of a draw{words}", fails(f"expected {_ROWS} scores; got shape {tuple(scores.shape)}"))
            continue
        again = model.log_prob(x, context)
        size = again.detach().abs().max().clamp(min=1.0)
        gap = float(((scores - again).detach().abs() / size).nan_to_num(torch.inf).max())
        yield Judgement(f"score of a draw{words}", exactly(gap, "the score is that of log_prob", tolerance=1e-6))
        if parameters and again.requires_grad:
            yield Judgement(f"gradient of the score of a draw{words}", _same_gradient(scores, again, parameters))


def _same_gradient(scores: Tensor, again: Tensor, parameters: Sequence[Tensor]) -> Verdict:
    if not scores.requires_grad:
        return fails("the score carries no gradient")
    found, expected = (_flat_gradient(total, parameters) for total in (scores, again))
    size = float(expected.abs().max().clamp(min=1.0))
    gap = float((found - expected).abs().max()) / size
    return exactly(gap, "its gradient, through the draw too, is that of log_prob", tolerance=1e-6)


def _flat_gradient(scores: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(scores.sum(), parameters, allow_unused=True, retain_graph=True, materialize_grads=True)
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


CHECKS = (
    Check(
        name="rsample-gradients",
        about="Gradients through draws are those of expectations over them.",
        kind="model",
        run=_rsample_gradients,
        twins={
            "detaches its scale": twins.DetachesItsScale,
            "detaches its draws": twins.DetachesItsDraws,
            "scales the gradient": twins.ScalesTheGradient,
            "detaches a generator's scale": twins.GeneratorDetachesItsScale,
            "passes a gradient straight through": twins.PassesStraightThrough,
            "detaches a bijection's matrix": twins.BijectionDetachesItsFactor,
            "learns the scale of noise that it detaches": twins.DetachesTheScaleOfItsNoise,
        },
        needs=(Reparameterized,),
    ),
    Check(
        name="joint-draw-and-score",
        about="rsample_and_log_prob scores its draws as log_prob does, with the same gradient.",
        kind="model",
        run=_joint,
        twins={
            "forgets the log-determinant": twins.ForgetsTheLogDeterminantOfADraw,
            "scores a detached draw": twins.ScoresADetachedDraw,
            "scores another draw": twins.ScoresAnotherDraw,
        },
        needs=(Reparameterized,),
    ),
)
