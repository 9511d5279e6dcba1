"""Hypothesis strategies: small problems with drawn weights, tensors in a support, sample shapes.

Weights keep away from zero, where mistakes hide behind symmetry and where Hypothesis shrinks to, and from where an outcome
becomes so rare that no test would meet it. No strategy draws a seed: what an example is made of can be read from it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions.constraints import Constraint

from probgen.batch import Batch
from probgen.supports import levels, support_name
from probgen.testing.problem import Problem
from probgen.testing.problems.belief_chains import belief_chain_problem
from probgen.testing.problems.belief_nets import belief_net_problem
from probgen.testing.problems.boltzmann import boltzmann_problem
from probgen.testing.problems.conditional_bits import conditional_bits_problem
from probgen.testing.problems.densities import (
    categorical_problem,
    correlated_gaussian_problem,
    linear_regression_problem,
)
from probgen.testing.problems.discrepancies import NormalLine, discrepancy_problem
from probgen.testing.problems.games import game_problem
from probgen.testing.problems.gaussian_autoencoders import gaussian_autoencoder_problem
from probgen.testing.problems.scores import AffineDenoiser, SmoothSchedule, TwoNoiseLevels, denoising_problem

__all__ = [
    "batch_sizes",
    "belief_chains",
    "belief_nets",
    "conditional_nets",
    "densities",
    "diffusions",
    "dtypes",
    "finite_pairs",
    "gaussian_pairs",
    "gaussian_vaes",
    "num_particles",
    "rbms",
    "sample_shapes",
    "tensors_in",
    "weights",
]

_LOGITS = {"small": 0.5, "ordinary": 1.5, "large": 3.0}
"""The largest logit of a unit, all that enters it taken together; at 3 it is decided with probability 0.95."""

_EVENTS: dict[str, st.SearchStrategy[float]] = {
    "binary": st.integers(0, 1).map(float),
    "count": st.integers(0, 20).map(float),
    "unit-interval": st.floats(0, 1, width=32),
    "positive": st.floats(2.0**-10, 2.0**10, width=32),
    "real": st.floats(-16, 16, width=32),
}


# ------------------------------------------------------------------------------------------------------------- numbers


def weights(*shape: int, largest: float = 1.0) -> st.SearchStrategy[Tensor]:
    """Return tensors of a shape, in float64, whose entries have sizes between 0.3 and 1 times `largest`."""
    count = math.prod(shape)
    sizes = st.lists(st.floats(0.3, 1.0), min_size=count, max_size=count)
    signs = st.lists(st.sampled_from((1.0, -1.0)), min_size=count, max_size=count)
    pairs = st.tuples(sizes, signs).map(lambda drawn: list(map(operator.mul, *drawn)))
    return pairs.map(lambda values: largest * torch.tensor(values, dtype=torch.float64).reshape(shape))


def dtypes() -> st.SearchStrategy[torch.dtype]:
    """Return single and double precision."""
    return st.sampled_from((torch.float64, torch.float32))


def batch_sizes(largest: int = 3) -> st.SearchStrategy[int]:
    """Return sizes of a batch, one example among them."""
    return st.integers(1, largest)


def num_particles(largest: int = 4) -> st.SearchStrategy[int]:
    """Return numbers of particles."""
    return st.integers(1, largest)


def sample_shapes(max_rank: int = 3, max_size: int = 3) -> st.SearchStrategy[tuple[int, ...]]:
    """Return sample shapes, the empty one and those with an empty axis among them."""
    return st.lists(st.integers(0, max_size), max_size=max_rank).map(tuple)


def tensors_in(
    support: Constraint, shape: Sequence[int], *, dtype: torch.dtype = torch.float32
) -> st.SearchStrategy[Tensor]:
    """Return tensors of a shape whose entries lie in a support, its ends among them.

    Raises:
        SupportError: the support has no short name.
    """
    name, count = support_name(support), math.prod(shape)
    entries = st.integers(0, levels(support) - 1).map(float) if name == "categorical" else _EVENTS[name]
    drawn = st.lists(entries, min_size=count, max_size=count)
    return drawn.map(lambda values: torch.tensor(values, dtype=dtype).reshape(tuple(shape)))


# ------------------------------------------------------------------------------------------------------------ problems


def densities(
    of: Literal["categorical", "correlated-gaussian", "linear-regression"] | None = None,
) -> st.SearchStrategy[Problem]:
    """Return densities whose log-probability is known: those of one kind, or of any for None."""
    kinds = {"categorical": _categoricals, "correlated-gaussian": _gaussians, "linear-regression": _regressions}
    return st.one_of([make() for make in kinds.values()]) if of is None else kinds[of]()


@st.composite
def belief_nets(draw: st.DrawFn, *, max_visible: int = 3, max_latents: int = 2, max_batch: int = 2) -> Problem:
    """Return sigmoid belief nets of few bits, whose weights are small, ordinary, or nearly decide a bit."""
    visible, latents = draw(st.integers(1, max_visible)), draw(st.integers(1, max_latents))
    logit = draw(st.sampled_from(tuple(_LOGITS.values())))
    problem = belief_net_problem(visible=visible, latents=latents, batch=draw(batch_sizes(max_batch)))
    return _reweighted(draw, problem, largest=logit / (1 + max(visible, latents)))


@st.composite
def belief_chains(draw: st.DrawFn, *, max_batch: int = 2) -> Problem:
    """Return belief nets of two layers of one bit, whose guide draws them from the top or from the bottom."""
    problem = belief_chain_problem(bottom_up=draw(st.booleans()), batch=draw(batch_sizes(max_batch)))
    return _reweighted(draw, problem, largest=draw(st.sampled_from(tuple(_LOGITS.values()))) / 3)


@st.composite
def conditional_nets(draw: st.DrawFn, *, max_batch: int = 2) -> Problem:
    """Return models of bits that are given a context."""
    problem = conditional_bits_problem(batch=draw(batch_sizes(max_batch)))
    return _reweighted(draw, problem, largest=draw(st.sampled_from(tuple(_LOGITS.values()))) / 3)


@st.composite
def gaussian_vaes(draw: st.DrawFn, *, max_batch: int = 2) -> Problem:
    """Return linear-Gaussian autoencoders with a guide that is near the posterior."""
    return gaussian_autoencoder_problem(
        batch=draw(batch_sizes(max_batch)),
        slope=_number(draw, 0.8),
        offset=_number(draw, 0.3),
        spread=_number(draw, 0.1),
    )


@st.composite
def rbms(draw: st.DrawFn, *, max_visible: int = 3, max_hidden: int = 2) -> Problem:
    """Return restricted Boltzmann machines of few bits, with one example."""
    visible, hidden = draw(st.integers(1, max_visible)), draw(st.integers(1, max_hidden))
    largest = draw(st.sampled_from(tuple(_LOGITS.values()))) / (1 + max(visible, hidden))
    x = draw(st.lists(st.integers(0, 1), min_size=visible, max_size=visible))
    return boltzmann_problem(
        draw(weights(visible, hidden, largest=largest)),
        draw(weights(visible, largest=largest)),
        draw(weights(hidden, largest=largest)),
        torch.tensor([x], dtype=torch.float64),
    )


@st.composite
def finite_pairs(draw: st.DrawFn, *, features: int = 2, max_batch: int = 2) -> Problem:
    """Return games between a batch and a generator of two outcomes, one of which the batch may have as well."""
    first, step = draw(_dyadic(features)), draw(_dyadic(features))
    x = [draw(_dyadic(features)) for _ in range(draw(batch_sizes(max_batch)))]
    if draw(st.booleans()):
        x[0] = first + step
    return game_problem(first, step, draw(st.floats(0.1, 0.9)), torch.stack(x), name="finite-pair")


@st.composite
def gaussian_pairs(draw: st.DrawFn) -> Problem:
    """Return normal draws beside two examples, for discrepancies."""
    loc, ends = draw(weights(1)), torch.stack([draw(weights(1, largest=1.5)), draw(weights(1, largest=1.5))])
    log_scale = torch.tensor([draw(st.floats(-1.5, 0.0))], dtype=torch.float64)

    def make(dtype: torch.dtype) -> tuple[NormalLine, Batch]:
        return NormalLine(loc.to(dtype), log_scale.to(dtype)), Batch(ends.to(dtype))

    return discrepancy_problem(make, name="gaussian-pair")


@st.composite
def diffusions(draw: st.DrawFn, *, features: int = 1, max_batch: int = 1, listed: bool = True) -> Problem:
    """Return affine denoisers.

    Args:
        draw: Hypothesis's.
        features: Entries of an event.
        max_batch: Largest batch.
        listed: Whether the time has two outcomes, so that an estimator's draws can be listed; else it matters everywhere.
    """
    kind: type[AffineDenoiser] = TwoNoiseLevels if listed else SmoothSchedule
    log_snr = torch.tensor([draw(st.floats(0.5, 4.0)), draw(st.floats(-4.0, -0.5))], dtype=torch.float64)
    return denoising_problem(
        kind,
        draw(weights()),
        draw(weights(features)),
        log_snr,
        draw(weights(draw(batch_sizes(max_batch)), features, largest=2.0)),
        name="diffusion",
    )


@st.composite
def _categoricals(draw: st.DrawFn) -> Problem:
    count = draw(st.integers(2, 5))
    x = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=3))
    return categorical_problem(draw(weights(count, largest=3.0)), torch.tensor(x))


@st.composite
def _gaussians(draw: st.DrawFn) -> Problem:
    features = draw(st.integers(1, 3))
    mixing = torch.eye(features, dtype=torch.float64) + draw(weights(features, features, largest=0.9 / features))
    x = draw(weights(draw(batch_sizes()), features, largest=2.0))
    return correlated_gaussian_problem(draw(weights(features)), mixing, x)


@st.composite
def _regressions(draw: st.DrawFn) -> Problem:
    features, contexts, batch = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(batch_sizes())
    log_scales = st.lists(st.floats(-1.5, 1.0), min_size=features, max_size=features)
    return linear_regression_problem(
        draw(weights(features, contexts)),
        draw(weights(features)),
        torch.tensor(draw(log_scales), dtype=torch.float64),
        draw(weights(batch, features, largest=2.0)),
        draw(weights(batch, contexts)),
    )


def _dyadic(count: int) -> st.SearchStrategy[Tensor]:
    """Return vectors of quarters other than zero, sums of which are exact in every precision."""
    quarter = st.integers(1, 6).flatmap(lambda size: st.sampled_from((size / 4, -size / 4)))
    return st.lists(quarter, min_size=count, max_size=count).map(torch.tensor)


def _number(draw: st.DrawFn, largest: float) -> float:
    return draw(weights(largest=largest)).item()


def _reweighted(draw: st.DrawFn, problem: Problem, *, largest: float) -> Problem:
    """Return the problem with other weights, drawn for each of its model's parameters."""
    model, _ = problem.make(torch.float64)
    drawn = {name: draw(weights(*old.shape, largest=largest)) for name, old in model.named_parameters()}
    return dataclasses.replace(problem, make=functools.partial(_with_weights, problem.make, drawn))


def _with_weights(
    make: Callable[[torch.dtype], tuple[Any, Batch]], values: Mapping[str, Tensor], dtype: torch.dtype
) -> tuple[Any, Batch]:
    model, batch = make(dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values[name])
    return model, batch
