"""Denoising score matching: a denoiser learns to see the noise in a noisy event."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import NoiseProcess
from probgen.claims import Claims, Unbiased
from probgen.errors import CapabilityError, ConfigurationError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of

__all__ = ["DenoisingScoreMatching", "Event", "Likelihood", "MinSNR", "Simple", "Velocity", "Weighting"]


class Weighting(abc.ABC):
    """How much an error counts at each time."""

    name: ClassVar[str]
    unit: ClassVar[str] = "squared noise"

    @abc.abstractmethod
    def __call__(self, model: NoiseProcess, t: Tensor) -> Tensor:
        """Return the weight $w(t)$ of the squared error of the noise at times `t`, `(N,) -> (N,)`."""


@dataclasses.dataclass(frozen=True)
class Simple(Weighting):
    """$w(t) = 1$, which next to the likelihood's weight favours much noise; the usual choice for pictures.

    References:
        Ho, Jain & Abbeel (2020), arXiv:2006.11239.
    """

    name = "simple"

    def __call__(self, model: NoiseProcess, t: Tensor) -> Tensor:
        """Return ones."""
        return torch.ones_like(t)


@dataclasses.dataclass(frozen=True)
class Event(Weighting):
    r"""$w(t) = \sigma_t^2 / \alpha_t^2$: the squared error of the predicted event $\hat z_0$ in place of the noise's."""

    name = "event"
    unit = "squared event"

    def __call__(self, model: NoiseProcess, t: Tensor) -> Tensor:
        """Return the weights."""
        alpha, sigma = model.schedule(t)
        return (sigma / alpha).square()


@dataclasses.dataclass(frozen=True)
class Velocity(Weighting):
    r"""$w(t) = (\alpha_t^2 + \sigma_t^2)^2 / \alpha_t^2$: the squared error of $\alpha_t \varepsilon - \sigma_t z_0$.

    References:
        Salimans & Ho (2022), arXiv:2202.00512.
    """

    name = "velocity"
    unit = "squared velocity"

    def __call__(self, model: NoiseProcess, t: Tensor) -> Tensor:
        """Return the weights."""
        alpha, sigma = model.schedule(t)
        return ((alpha.square() + sigma.square()) / alpha).square()


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinSNR(Weighting):
    r"""$w(t) = \min(1, \gamma / \mathrm{SNR}(t))$, which takes weight from the times with little noise.

    Args:
        limit: $\gamma$, a signal-to-noise ratio $\alpha_t^2 / \sigma_t^2$.

    Raises:
        ConfigurationError: the limit is not positive.

    References:
        Hang et al. (2023), arXiv:2303.09556.
    """

    limit: float = 5.0
    name = "min-snr"

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ConfigurationError(f"MinSNR: expected a positive limit; got {self.limit}. The paper uses 5.")

    def __call__(self, model: NoiseProcess, t: Tensor) -> Tensor:
        """Return the weights."""
        alpha, sigma = model.schedule(t)
        return (self.limit * sigma.square() / alpha.square()).clamp(max=1)


@dataclasses.dataclass(frozen=True)
class Likelihood(Weighting):
    r"""$w(t) = -\frac{1}{2} \frac{\mathrm{d}}{\mathrm{d}t} \log \mathrm{SNR}(t)$, which makes the loss part of a bound.

    In nats, it is the diffusion term of the evidence lower bound in continuous time, with a minus. It needs a schedule whose
    signal-to-noise ratio is positive and finite at both ends. `VariationalDiffusion` is its like in discrete time.

    References:
        Kingma, Salimans, Poole & Ho (2021), arXiv:2107.00630.
    """

    name = "likelihood"
    unit = "nats"

    def __call__(self, model: NoiseProcess, t: Tensor) -> Tensor:
        """Return the weights, as a function of the schedule's own parameters where it has some."""
        with torch.enable_grad():
            times = t.detach().requires_grad_()
            alpha, sigma = model.schedule(times)
            log_snr = 2 * (alpha.log() - sigma.log())
            (slope,) = torch.autograd.grad(log_snr.sum(), times, create_graph=True)
        return -0.5 * slope


class DenoisingScoreMatching(Estimator):
    r"""The weighted squared error of the predicted noise, at a uniform time.

    $$L(x) = \mathbb{E}_{t}\, \mathbb{E}_{\varepsilon \sim \mathcal{N}(0, I)}
      \left[w(t)\, \lVert \varepsilon - \hat\varepsilon_\theta(\alpha_t z_0 + \sigma_t \varepsilon, t, c) \rVert^2\right]$$

    The time is uniform on $(0, 1)$ or, in discrete time, on the process's times. At the minimum of the loss
    $-\hat\varepsilon / \sigma_t$ is the score of the noised data, because $-\varepsilon / \sigma_t$ is that of
    $q(z_t \mid z_0)$ and has it as its mean given $z_t$.

    Args:
        weighting: `Simple()`, `Event()`, `Velocity()`, `MinSNR()` or `Likelihood()`.

    Estimates:
        $L(x)$ of each example by one time and one noise, `(N,)`; the squared error is summed over the entries.

    Claims:
        value: unbiased for the weighted loss.
        gradient: unbiased, for all parameters; that of the denoiser is also the gradient of a weighted Fisher divergence
            between the noised data and the model.

    Example:
        >>> print(*DenoisingScoreMatching(weighting=MinSNR(limit=1.0)).claims.value)
        unbiased for dsm[min-snr]

    References:
        Vincent (2011), A Connection Between Score Matching and Denoising Autoencoders. Ho, Jain & Abbeel (2020),
        arXiv:2006.11239.
    """

    requires = (NoiseProcess,)

    def __init__(self, *, weighting: Weighting | None = None) -> None:
        self.weighting = Simple() if weighting is None else weighting
        self.objective = Objective(f"dsm[{self.weighting.name}]", self.weighting.unit, "minimise")

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the spec lists the options
        cls, *, weighting: Literal["simple", "event", "velocity", "min-snr", "likelihood"] = "simple"
    ) -> Self:
        """Return the estimator for options of a shell."""
        weightings = {each.name: each for each in (Simple, Event, Velocity, MinSNR, Likelihood)}
        return cls(weighting=weightings[weighting]())

    @property
    def claims(self) -> Claims:
        """Unbiased for the weighted loss."""
        name = self.objective.name
        return Claims(value=Unbiased(name), gradient={"*": Unbiased(f"grad:{name}")})

    def check(self, model: NoiseProcess) -> None:
        """Refuse the likelihood's weighting in discrete time, where it belongs to no bound, besides what all refuse."""
        super().check(model)
        if isinstance(self.weighting, Likelihood) and model.num_steps is not None:
            raise CapabilityError(
                f"DenoisingScoreMatching: expected a process in continuous time for the weighting 'likelihood'; got "
                f"{type(model).__name__} of {model.num_steps} steps. Use VariationalDiffusion."
            )

    def phases(self, model: NoiseProcess) -> Sequence[Phase]:
        """Return the one phase, which trains the whole model."""
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model: NoiseProcess, batch: Batch, state: State) -> Estimate:
        z_0, _ = model.scaled(batch.x)
        t = _uniform_times(model, z_0)
        alpha, sigma = (factor.reshape(-1, *[1] * (z_0.ndim - 1)) for factor in model.schedule(t))
        noise = torch.randn_like(z_0)
        error = noise - model.denoise(alpha * z_0 + sigma * noise, t, batch.context)
        losses = self.weighting(model, t) * error.square().reshape(len(z_0), -1).sum(1)
        return Estimate(surrogate=losses.mean(), value=losses.detach())


def _uniform_times(model: NoiseProcess, z_0: Tensor) -> Tensor:
    """Return one time for each event, `(N,)`."""
    if model.num_steps is None:
        return torch.rand(len(z_0), dtype=z_0.dtype, device=z_0.device)
    steps = torch.randint(1, model.num_steps + 1, (len(z_0),), device=z_0.device)
    return steps.to(z_0.dtype) / model.num_steps
