"""Models that move events: a Markov chain towards the model's law, a process from events to noise.

`probgen.capabilities` has them beside the other contracts.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping

from torch import Tensor

from probgen.shapes import Model

__all__ = ["MarkovKernel", "NoiseProcess"]


class MarkovKernel(Model, contract=True):
    """A Markov chain that leaves the model's distribution invariant, or approaches it with a stated bias.

    The state is a dict of tensors, so that an estimator can carry it (persistent chains) and a checkpoint hold it.
    """

    @abc.abstractmethod
    def init(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Return the state of $N$ chains that start at the events `x`, `(N, *event_shape)`; the key `"x"` holds them."""

    @abc.abstractmethod
    def step(
        self, state: Mapping[str, Tensor], context: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Move every chain by one step; return the next state and diagnostics (acceptance, say), nothing in place."""


class NoiseProcess(Model, contract=True):
    r"""A forward process that turns events into noise over $t \in [0, 1]$, and a denoiser that learned to undo it.

    $$z_t = \alpha_t z_0 + \sigma_t \varepsilon, \qquad \varepsilon \sim \mathcal{N}(0, I)$$

    starts at $z_0 = s(x)$, the event on the scale of the noise. A process in discrete time has a generative model besides: a
    standard normal $z_1$ and, from each time $t$ to the one before it, $s$, a normal

    $$p(z_s \mid z_t, c) = \mathcal{N}(\mathbb{E}[z_s \mid z_t, z_0 = \hat z_0],\, v_{t \to s} I), \qquad
      \hat z_0 = \frac{z_t - \sigma_t \hat\varepsilon(z_t, t, c)}{\alpha_t}.$$

    Attributes:
        num_steps: $T$ of a process in discrete time, whose times are $1/T, 2/T, \dots, 1$ and, for $z_0$ itself, 0; None in
            continuous time.
    """

    num_steps: int | None = None

    @abc.abstractmethod
    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return $\alpha_t$ and $\sigma_t$, each shaped as `t`; in discrete time they are 1 and 0 at $t = 0$."""

    @abc.abstractmethod
    def denoise(self, z_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Return the predicted noise $\hat\varepsilon(z_t, t, c)$, shaped as `z_t`; `t` is `(N,)` and above 0."""

    def scaled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return $z_0 = s(x)$ and $\log|\det \partial z_0 / \partial x|$, `(N,)`, of a batch; the identity by default."""
        return x, x.new_zeros(len(x))

    def reverse_variance(self, t: Tensor, s: Tensor) -> Tensor:
        r"""Return $v_{t \to s}$ for times $s < t$, shaped as `t`.

        By default that of the forward step, $\sigma_t^2 - (\alpha_t \sigma_s / \alpha_s)^2$, which is exact for standard
        normal events under a schedule that preserves their variance.
        """
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.schedule(t), self.schedule(s)
        return sigma_t.square() - (alpha_t * sigma_s / alpha_s).square()
