"""Energies and noise processes whose objectives are integrals that can be done: what score matching is held against."""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.batch import Batch
from probgen.capabilities import NoiseProcess, UnnormalizedDensity
from probgen.errors import CapabilityError
from probgen.testing.problem import Oracle, Problem, Situation
from probgen.testing.problems.densities import Whitened
from probgen.testing.weights import generic_weights

__all__ = [
    "PROBLEMS",
    "AffineDenoiser",
    "DoubleWell",
    "GaussianEnergy",
    "SmoothSchedule",
    "TwoNoiseLevels",
    "denoising_problem",
    "double_well_problem",
    "gaussian_energy_problem",
]

_NODES = 40
"""Of each rule for integrals over time."""


class GaussianEnergy(Whitened, UnnormalizedDensity):
    r"""$E(x) = \frac{1}{2} \lVert A (x - m) \rVert^2$; arguments are those of `Whitened`."""

    def _energy(self, x: Tensor, context: Tensor | None) -> Tensor:
        return 0.5 * self.squared_norm(x)


class DoubleWell(nn.Module, UnnormalizedDensity):
    r"""$E(x) = \frac{a}{4} x^4 - \frac{b}{2} x^2 + c x$ on the line.

    Args:
        coefficients: $a$, $b$ and $c$, `(3,)`.
    """

    def __init__(self, coefficients: Tensor) -> None:
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([1]), None
        self.support = constraints.real
        self.coefficients = nn.Parameter(coefficients.clone())

    def _energy(self, x: Tensor, context: Tensor | None) -> Tensor:
        a, b, c = self.coefficients
        return (a / 4 * x.pow(4) - b / 2 * x.square() + c * x).squeeze(1)


class AffineDenoiser(nn.Module, NoiseProcess, abc.ABC):
    r"""A denoiser $\hat\varepsilon(z_t) = \rho\, z_t + o$ that does not look at the time.

    Args:
        slope: $\rho$, `()`.
        offset: $o$, `(D,)`.
        log_snr: What the schedule makes $\log(\alpha^2 / \sigma^2)$ of, `(2,)`; $\alpha^2 + \sigma^2 = 1$.
    """

    has_slope: ClassVar[bool]
    """Whether the schedule has a derivative by the time."""

    def __init__(self, slope: Tensor, offset: Tensor, log_snr: Tensor) -> None:
        super().__init__()
        self.event_shape, self.context_shape = offset.shape, None
        self.support = constraints.real
        self.slope, self.offset = nn.Parameter(slope.clone()), nn.Parameter(offset.clone())
        self.log_snr = nn.Parameter(log_snr.clone())

    @abc.abstractmethod
    def log_snr_at(self, t: Tensor) -> Tensor:
        """Return the logarithm of the signal-to-noise ratio at times."""

    @abc.abstractmethod
    def pieces(self, kink: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return log signal-to-noise ratios, half their slopes with a minus, and masses, which stand for a uniform time.

        Args:
            kink: The log signal-to-noise ratio where what is integrated may have one.
        """

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is left of the signal, and how much noise there is."""
        log_snr = self.log_snr_at(t)
        return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()

    def denoise(self, z_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the predicted noise."""
        return self.slope * z_t + self.offset


class TwoNoiseLevels(AffineDenoiser):
    """Little noise up to a time of 0.7 and much from there on, so that a uniform time has two outcomes."""

    switch: ClassVar[float] = 0.7
    has_slope = False

    def log_snr_at(self, t: Tensor) -> Tensor:
        """Return the first or the second level.

        Raises:
            CapabilityError: a derivative by the time is asked for.
        """
        if t.requires_grad:
            raise CapabilityError(
                "TwoNoiseLevels.schedule: expected times without gradients; got some that have them. Use SmoothSchedule: "
                "steps have no slope."
            )
        return torch.where(t < self.switch, self.log_snr[0], self.log_snr[1])

    def pieces(self, kink: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return the two levels."""
        return self.log_snr, torch.zeros_like(self.log_snr), self.log_snr.new_tensor([self.switch, 1 - self.switch])


class SmoothSchedule(AffineDenoiser):
    """A log signal-to-noise ratio that is affine in time, from the first number to the second."""

    has_slope = True

    def log_snr_at(self, t: Tensor) -> Tensor:
        """Return what lies between."""
        return self.log_snr[0] + t * (self.log_snr[1] - self.log_snr[0])

    def pieces(self, kink: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return the nodes of two Gauss-Legendre rules, one on each side of the kink."""
        fall = self.log_snr[0] - self.log_snr[1]
        split = ((self.log_snr[0] - kink) / fall).clamp(0, 1)
        points, weights = (self.log_snr.new_tensor(each) / 2 for each in np.polynomial.legendre.leggauss(_NODES))
        times = torch.cat([split * (points + 0.5), split + (1 - split) * (points + 0.5)])
        masses = torch.cat([split * weights, (1 - split) * weights])
        return self.log_snr_at(times), (0.5 * fall).expand(len(times)), masses


def gaussian_energy_problem(loc: Tensor, whitening: Tensor, x: Tensor, *, name: str = "gaussian-energy") -> Problem:
    """Return the problem of a `GaussianEnergy`, which knows `hyvarinen`.

    Args:
        loc: `(D,)`.
        whitening: `(D, D)`.
        x: The batch, `(N, D)`.
        name: What to call it.
    """

    def hyvarinen(situation: Situation) -> Tensor:
        model = situation.model
        precision = model.whitening.T @ model.whitening
        score = -(situation.batch.x - model.loc) @ precision
        return 0.5 * score.square().sum(1) - precision.trace()

    def make(dtype: torch.dtype) -> tuple[GaussianEnergy, Batch]:
        return GaussianEnergy(loc.to(dtype), whitening.to(dtype)), Batch(x.to(dtype))

    return Problem(name, make, {"hyvarinen": Oracle(hyvarinen)})


def double_well_problem(coefficients: Tensor, x: Tensor, *, name: str = "double-well") -> Problem:
    """Return the problem of a `DoubleWell`, which knows `hyvarinen`.

    Args:
        coefficients: `(3,)`.
        x: The batch, `(N, 1)`.
        name: What to call it.
    """

    def hyvarinen(situation: Situation) -> Tensor:
        (a, b, c), at = situation.model.coefficients, situation.batch.x.squeeze(1)
        score, slope = -(a * at**3 - b * at + c), b - 3 * a * at**2
        return slope + 0.5 * score**2

    def make(dtype: torch.dtype) -> tuple[DoubleWell, Batch]:
        return DoubleWell(coefficients.to(dtype)), Batch(x.to(dtype))

    return Problem(name, make, {"hyvarinen": Oracle(hyvarinen)})


def denoising_problem(
    kind: type[AffineDenoiser], slope: Tensor, offset: Tensor, log_snr: Tensor, x: Tensor, *, name: str
) -> Problem:
    r"""Return the problem of an `AffineDenoiser`, which knows `dsm` with each weighting.

    At each time the error is $\sum_d \mathbb{E}(\varepsilon_d (1 - \rho \sigma) - \rho \alpha x_d - o_d)^2$. The
    likelihood's weighting needs a schedule with a slope. Times that matter as such, and not by which side of a step they
    lie on, cannot be listed.

    Args:
        kind: Which of them.
        slope: `()`.
        offset: `(D,)`.
        log_snr: `(2,)`.
        x: The batch, `(N, D)`.
        name: What to call it.
    """

    def loss(situation: Situation) -> Tensor:
        model, x = situation.model, situation.batch.x
        limit = _limit(situation) if situation.argument == "min-snr" else 1.0
        log_snr, half_slopes, masses = model.pieces(math.log(limit))
        alpha, sigma = torch.sigmoid(log_snr).sqrt()[:, None, None], torch.sigmoid(-log_snr).sqrt()[:, None, None]
        errors = (1 - model.slope * sigma).square() + (model.slope * alpha * x + model.offset).square()
        weights = {
            "simple": torch.ones_like(masses),
            "event": (-log_snr).exp(),
            "velocity": 1 / torch.sigmoid(log_snr),
            "min-snr": (limit * (-log_snr).exp()).clamp(max=1),
            "likelihood": half_slopes,
        }
        return (masses * weights[situation.argument]) @ errors.sum(2)

    def make(dtype: torch.dtype) -> tuple[AffineDenoiser, Batch]:
        return kind(slope.to(dtype), offset.to(dtype), log_snr.to(dtype)), Batch(x.to(dtype))

    weightings = ("simple", "event", "velocity", "min-snr", *(["likelihood"] if kind.has_slope else []))
    return Problem(name, make, {"dsm": Oracle(loss, arguments=weightings)}, statistical=kind is not TwoNoiseLevels)


def _limit(situation: Situation) -> float:
    """Return the largest ratio that counts in full, which is an option of the estimator's weighting."""
    estimator: Any = situation.estimator
    return estimator.weighting.limit


def _numbers(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


PROBLEMS = (
    gaussian_energy_problem(
        generic_weights(2, seed=1), _numbers([0.9, 0.4], [-0.7, 1.2]), generic_weights(2, 2, seed=2, scale=2.0)
    ),
    double_well_problem(_numbers(0.8, 1.3, 0.4), _numbers([1.1], [-0.6])),
    denoising_problem(
        TwoNoiseLevels,
        _numbers(0.7)[0],
        _numbers(0.4, -0.5),
        _numbers(1.8, -1.5),
        _numbers([0.8, -1.2]),
        name="two-noise-levels",
    ),
    denoising_problem(
        SmoothSchedule,
        _numbers(0.7)[0],
        _numbers(0.4, -0.5),
        _numbers(3.0, -3.0),
        _numbers([0.8, -1.2], [-0.5, 1.5]),
        name="affine-denoiser",
    ),
)
