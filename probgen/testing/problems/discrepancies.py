"""Generators whose kernel expectations are known: what maximum mean discrepancies are held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.batch import Batch
from probgen.capabilities import Reparameterized
from probgen.estimators.kernels import RBF, InverseMultiquadric, Kernel, KernelMixture, MultiscaleRBF
from probgen.testing.problem import Oracle, Problem, Situation
from probgen.testing.problems.games import TwoPoints

__all__ = ["PROBLEMS", "NormalLine", "discrepancy_problem"]

_NODES = 100
"""Of the rule for a normal variable."""


class NormalLine(nn.Module, Reparameterized):
    """Normal draws on the line.

    Args:
        loc: Their mean, `(1,)`.
        log_scale: Logarithm of their standard deviation, `(1,)`.
    """

    def __init__(self, loc: Tensor, log_scale: Tensor) -> None:
        super().__init__()
        self.event_shape, self.context_shape = loc.shape, None
        self.support = constraints.real
        self.loc, self.log_scale = nn.Parameter(loc.clone()), nn.Parameter(log_scale.clone())

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return self.loc + self.log_scale.exp() * torch.randn(n, 1, dtype=self.loc.dtype, device=self.loc.device)

    def law(self) -> tuple[Tensor, Tensor]:
        """Return events, `(nodes, 1)`, and masses, `(nodes,)`, that have the law's expectations of whatever is smooth."""
        nodes, weights = (self.loc.new_tensor(each) for each in np.polynomial.hermite_e.hermegauss(_NODES))
        return self.loc + self.log_scale.exp() * nodes[:, None], weights / weights.sum()


def discrepancy_problem(make: Callable[[torch.dtype], tuple[Any, Batch]], *, name: str) -> Problem:
    r"""Return the discrepancies between a batch and a generator that lists its `law()`, or a quadrature rule for it.

    Quantities: `mmd2`, what the unbiased statistics expect of the generator's draws at the batch as it is,

    $$\frac{1}{M (M - 1)} \sum_{i \neq j} k(x_i, x_j) + \mathbb{E}\,k(y, y') - \frac{2}{M} \sum_i \mathbb{E}\,k(x_i, y),$$

    which over independent batches has the mean $\mathrm{MMD}^2$; and `mmd2-v`, which adds
    $(k(0) - k_{xx}) / M + (k(0) - \mathbb{E}\,k(y, y')) / N$ with the sum's first term for $k_{xx}$. The kernel and the
    number of draws are those of the estimator that is looked at, `kernel` and `num_samples`; without a kernel the state's
    `bandwidth` is the middle one of five Gaussian kernels. A linear-time statistic meets few pairs of the batch, so this
    holds for it where the examples are equally far from each other, and there are as many draws at least.

    Args:
        make: Returns the generator and the batch.
        name: What to call it.
    """
    return Problem(name, make, {"mmd2": Oracle(_unbiased), "mmd2-v": Oracle(_biased)})


def _kernel(situation: Situation) -> Callable[[Tensor], Tensor]:
    """Return the estimator's kernel as a function of squared distances."""
    estimator: Any = situation.estimator
    if estimator.kernel is None:
        return _octaves(situation.state["bandwidth"], 2)
    return _written_out(estimator.kernel)


def _written_out(kernel: Kernel) -> Callable[[Tensor], Tensor]:
    """Return a kernel by its formula where that is known, and else as it computes itself."""
    match kernel:
        case RBF():
            return _octaves(kernel.bandwidth, 0)
        case MultiscaleRBF():
            return _octaves(kernel.bandwidth, kernel.octaves)
        case InverseMultiquadric():
            return lambda squared: (1 + squared / kernel.scale**2) ** -kernel.exponent
        case KernelMixture():
            parts = [_written_out(part) for part in kernel.kernels]
            return lambda squared: torch.stack([part(squared) for part in parts]).mean(0)
        case _:
            return kernel.values


def _octaves(bandwidth: float | Tensor, octaves: int) -> Callable[[Tensor], Tensor]:
    """Return the mean of Gaussian kernels whose bandwidths double."""
    widths = [bandwidth * 2.0**octave for octave in range(-octaves, octaves + 1)]
    return lambda squared: torch.stack([torch.exp(-squared / (2 * width**2)) for width in widths]).mean(0)


def _parts(situation: Situation) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean kernel among the examples, among draws, and between the two."""
    kernel, x = _kernel(situation), situation.batch.x
    events, masses = situation.model.law()
    distinct = ~torch.eye(len(x), dtype=torch.bool)
    among_examples = kernel(_squared_distances(x, x)[distinct]).mean()
    among_draws = masses @ kernel(_squared_distances(events, events)) @ masses
    return among_examples, among_draws, (kernel(_squared_distances(x, events)) @ masses).mean()


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] - b[None]).square().sum(2)


def _unbiased(situation: Situation) -> Tensor:
    among_examples, among_draws, between = _parts(situation)
    return among_examples + among_draws - 2 * between


def _biased(situation: Situation) -> Tensor:
    among_examples, among_draws, _ = _parts(situation)
    estimator: Any = situation.estimator
    own = _kernel(situation)(among_draws.new_zeros(()))
    examples = len(situation.batch)
    return (
        _unbiased(situation) + (own - among_examples) / examples + (own - among_draws) / (estimator.num_samples or examples)
    )


def _simplex(dtype: torch.dtype) -> tuple[TwoPoints, Batch]:
    """Return four examples, each as far from the others, and draws of two points."""
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=dtype)
    first, step = torch.tensor([0.6, -0.3, 0.9], dtype=dtype), torch.tensor([-1.1, 0.5, 0.7], dtype=dtype)
    return TwoPoints(first, step, chance=0.3), Batch(0.8 * corners)


def _line(dtype: torch.dtype) -> tuple[NormalLine, Batch]:
    """Return two examples, and normal draws that spread less than the kernel."""
    model = NormalLine(torch.tensor([-0.9], dtype=dtype), torch.tensor([-1.6], dtype=dtype))
    return model, Batch(torch.tensor([[-1.0], [1.3]], dtype=dtype))


PROBLEMS = (
    discrepancy_problem(_simplex, name="two-point-cloud"),
    discrepancy_problem(_line, name="normal-line"),
)
