"""Denoising diffusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probgen import BoundedLikelihood, CapabilityError, ConfigurationError, NoiseProcess, Sampler
from probgen.claims import LowerBound
from probgen.errors import suggest
from probgen.estimators.diffusion_bound import Transition, variational_bound
from probgen.supports import support_name
from probgen_diffusion.dense import DenseNetwork
from probgen_diffusion.sampling import SAMPLERS, run_back, time_grid
from probgen_diffusion.schedules import SCHEDULES
from probgen_diffusion.unet import SMALLEST_IMAGE, UNet

__all__ = ["ARCHITECTURES", "DDPM", "TARGETS", "VARIANCES"]

ARCHITECTURES = ("auto", "mlp", "unet")
TARGETS = ("noise", "event", "velocity")
VARIANCES = ("large", "small")

_DENSE_WIDTH, _DENSE_DEPTH = 128, 3
_UNET_WIDTH, _UNET_DEPTH = 32, 1


class DDPM(nn.Module, Sampler, NoiseProcess, BoundedLikelihood):
    r"""Denoising diffusion in discrete time: noise is added to events in small steps, and a network undoes each of them.

    $$p(z_1) = \mathcal{N}(0, I), \qquad p(z_s \mid z_t, c) = \mathcal{N}(a z_t + b \hat z_0(z_t, t, c),\, v_{t \to s} I),
      \qquad z_0 = x \text{ or } 2x - 1$$

    with $a$ and $b$ of the forward process (see `probgen.estimators.diffusion_bound.Transition`). The network predicts the
    noise, the event or the velocity $\alpha_t \varepsilon - \sigma_t z_0$, of which each gives the others; it predicts a
    correction to what they are for standard normal events: $\sigma_t z_t$, $\alpha_t z_t$ and 0. Real events should have a
    variance about 1, as in the view `real`. Those of the unit interval are put on $[-1, 1]$, and in evaluation mode the
    predicted event $\hat z_0$ is clipped to that range, which cannot make its error larger.

    The default sampler draws from the chain whose likelihood `log_prob_bound` bounds, but for the noise of the last step,
    which it leaves out; events that leave the unit interval are moved to its ends. With fewer steps, or by DDIM, the law of
    the draws is another one.

    Use `build` (or `probgen.build("diffusion/ddpm", data)`), which makes the network.

    Args:
        network: Maps `z_t, t, context` of a flat batch to what is predicted, `(N, *event_shape)`.
        event_shape: Shape of an event.
        context_shape: Shape of a context; None when not conditional.
        support: Real or the unit interval.
        num_steps: $T$, the steps of the chain.
        schedule: How the noise grows: `"cosine"` or `"linear"`.
        target: What the network predicts: `"noise"`, `"event"` or `"velocity"`.
        variance: $v$: `"large"` is that of the forward step, exact for standard normal events; `"small"` is that of
            $q(z_s \mid z_t, z_0)$, exact for a single event (in the last step it would be 0, and is the large one).
        sampler: `"ancestral"`, or `"ddim"`, which is deterministic given $z_1$.
        sampling_steps: Steps that a sampler takes; None for all.
        bound_evaluations: Passes of the network for `log_prob_bound`, at random steps, one in each of as many equal parts of
            the time; None for all steps.

    Shapes:
        log_prob_bound: `(..., *event_shape), (..., *context_shape) -> (...)`, a fresh draw each time.

    Raises:
        ConfigurationError: an option is unknown or out of range.
        CapabilityError: the support is another.

    Example:
        >>> from torch.distributions import constraints
        >>> model = DDPM.build((2,), None, constraints.real, num_steps=10, width=8)
        >>> model.sample((3,)).shape, model.log_prob_bound(torch.zeros(4, 2)).shape
        (torch.Size([3, 2]), torch.Size([4]))

    References:
        Sohl-Dickstein et al. (2015), arXiv:1503.03585. Ho, Jain & Abbeel (2020), arXiv:2006.11239. Nichol & Dhariwal (2021),
        arXiv:2102.09672. Salimans & Ho (2022), arXiv:2202.00512.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        event_shape: Sequence[int],
        support: Constraint,
        context_shape: Sequence[int] | None = None,
        num_steps: int = 200,
        schedule: str = "cosine",
        target: str = "noise",
        variance: str = "large",
        sampler: str = "ancestral",
        sampling_steps: int | None = None,
        bound_evaluations: int | None = None,
    ) -> None:
        super().__init__()
        _check_choice("schedule", schedule, tuple(SCHEDULES))
        _check_choice("target", target, TARGETS)
        _check_choice("variance", variance, VARIANCES)
        _check_choice("sampler", sampler, tuple(SAMPLERS))
        _check_sizes(num_steps=num_steps, sampling_steps=sampling_steps or 1, bound_evaluations=bound_evaluations or 1)
        if support_name(support) not in ("real", "unit-interval"):
            raise CapabilityError(f"DDPM: expected a real or unit-interval support; got {support}. Choose another view.")
        self.event_shape = torch.Size(event_shape)
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        self.support = support
        self.network = network
        self.num_steps = num_steps
        self.target = target
        self.variance = variance
        self.sampler = sampler
        self.sampling_steps = min(sampling_steps or num_steps, num_steps)
        self.bound_evaluations = bound_evaluations
        self._schedule = SCHEDULES[schedule]
        self._bounded = support_name(support) == "unit-interval"

    @property
    def bound_claim(self) -> LowerBound:
        """A draw whose mean is the variational bound of the chain of all steps."""
        return LowerBound("log_prob")

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the options have names and types here
        cls,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None,
        support: Constraint,
        *,
        num_steps: int = 200,
        schedule: str = "cosine",
        target: str = "noise",
        variance: str = "large",
        sampler: str = "ancestral",
        sampling_steps: int | None = None,
        bound_evaluations: int | None = None,
        architecture: str = "auto",
        width: int | None = None,
        depth: int | None = None,
        attention: bool = False,
    ) -> Self:
        """Make the network for the data.

        Args:
            event_shape: Shape of an event; `(channels, height, width)`, each side at least 8, for a U-Net.
            context_shape: Shape of a context; None when not conditional.
            support: Real or the unit interval.
            num_steps: Steps of the chain.
            schedule: `"cosine"` or `"linear"`.
            target: `"noise"`, `"event"` or `"velocity"`.
            variance: `"large"` or `"small"`.
            sampler: `"ancestral"` or `"ddim"`.
            sampling_steps: Steps that a sampler takes; None for all.
            bound_evaluations: Passes of the network for the bound; None for one a step.
            architecture: `"mlp"`, `"unet"`, or `"auto"`: a U-Net where events are images that are large enough.
            width: Width of the network, even: of the hidden vector, or of the first level's channels; None for 128 and 32.
            depth: Residual blocks, in the U-Net for each level and way; None for 3 and 1.
            attention: Whether a U-Net has self-attention at its lowest resolution.

        Raises:
            ConfigurationError: an option is unknown or out of range.
            CapabilityError: the support is another.
            ShapeError: the event is no image where one is needed.
        """
        _check_choice("architecture", architecture, ARCHITECTURES)
        _check_sizes(width=width or 1, depth=depth or 1)
        sizes = {"event_shape": tuple(event_shape), "context_size": 0 if context_shape is None else math.prod(context_shape)}
        is_image = len(event_shape) == 3 and min(event_shape[1:]) >= SMALLEST_IMAGE
        if architecture == "unet" or (architecture == "auto" and is_image):
            network = UNet(**sizes, width=width or _UNET_WIDTH, depth=depth or _UNET_DEPTH, attention=attention)
        else:
            network = DenseNetwork(**sizes, width=width or _DENSE_WIDTH, depth=depth or _DENSE_DEPTH)
        return cls(
            network=network,
            event_shape=event_shape,
            context_shape=context_shape,
            support=support,
            num_steps=num_steps,
            schedule=schedule,
            target=target,
            variance=variance,
            sampler=sampler,
            sampling_steps=sampling_steps,
            bound_evaluations=bound_evaluations,
        )

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return $\alpha_t$ and $\sigma_t$, each shaped as `t`."""
        return self._schedule(t)

    def denoise(self, z_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Return the predicted noise, whatever the network predicts; in evaluation mode that of a clipped event."""
        alpha, sigma = (factor.reshape(-1, *[1] * (z_t.ndim - 1)) for factor in self._schedule(t))
        predicted = self.network(z_t, t, context)
        noise = torch.addcmul(predicted if self.target == "noise" else self._gain(alpha, sigma) * predicted, sigma, z_t)
        if not self._bounded or self.training:
            return noise
        return (z_t - alpha * ((z_t - sigma * noise) / alpha).clamp(-1, 1)) / sigma

    def _gain(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Return how the noise changes with an event or a velocity that is predicted."""
        return alpha if self.target == "velocity" else -alpha / sigma

    def scaled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return events of the unit interval on [-1, 1], others as they are, and the log-determinant, `(N,)`."""
        if not self._bounded:
            return super().scaled(x)
        return 2 * x - 1, x.new_full((len(x),), math.prod(self.event_shape) * math.log(2))

    def reverse_variance(self, t: Tensor, s: Tensor) -> Tensor:
        """Return the variance of an entry of the earlier state given the later one, shaped as `t`."""
        large = super().reverse_variance(t, s)
        return large if self.variance == "large" else torch.where(s > 0, Transition.of(self, t, s).variance, large)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        like = next(self.parameters())
        z = torch.randn(n, *self.event_shape, dtype=like.dtype, device=like.device)
        times = time_grid(self.num_steps or 1, self.sampling_steps).to(like)
        z = run_back(self, z, times, context, step=SAMPLERS[self.sampler])
        return ((z + 1) / 2).clamp(0, 1) if self._bounded else z

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        return variational_bound(self, x, context, num_evaluations=self.bound_evaluations)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigurationError(
            f"DDPM: expected {name} among {', '.join(choices)}; got {value!r}. {suggest(str(value), choices)}"
        )


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ConfigurationError(f"DDPM: expected {name} of at least 1; got {size}. Leave it out for the default.")
