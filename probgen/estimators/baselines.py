"""Baselines: what is subtracted from a learning signal so that its product with a score varies less."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.errors import CapabilityError, ConfigurationError
from probgen.estimator import State
from probgen.estimators.numbers import require_numbers
from probgen.nn import MLP

__all__ = ["Baseline", "LeaveOneOut", "Learned", "MovingAverage", "NoBaseline"]

Signals = Mapping[str, Tensor]
"""Learning signals by site, each `(K, N)`, or `(K,)` where examples are coupled."""


class Baseline(abc.ABC):
    r"""What is subtracted from a learning signal $f$ before it multiplies the score of a draw.

    $$\mathbb{E}\left[(f(z) - b)\, \nabla \log q(z)\right] = \mathbb{E}\left[f(z)\, \nabla \log q(z)\right]$$

    holds for any $b$ that is independent of the draw: it may depend on the example, on other particles of it and on the
    past, and never on the very draw whose signal it is subtracted from.
    """

    fewest_particles: int = 1
    """Particles that it needs."""

    needs_signals: bool = False
    """Whether it has to see signals before the first step."""

    @abc.abstractmethod
    def __call__(self, signals: Signals, batch: Batch, state: State) -> tuple[Signals, State]:
        """Return what to subtract at each site, broadcastable to its signal, and the next state.

        Gradients may reach the baseline's own parameters, and nothing else.
        """

    def initialize(self, signals: Signals, batch: Batch) -> None:
        """Build what depends on sites and data; called before the first step where `needs_signals`."""

    def initial_state(self, signals: Signals, batch: Batch) -> State:
        """Return the state before the first step, from the signals of a run that is not trained on."""
        return {}

    @property
    def learned(self) -> nn.Module | None:
        """What is learned, by regression on the signals."""
        return None


class NoBaseline(Baseline):
    """Nothing is subtracted."""

    def __call__(self, signals: Signals, batch: Batch, state: State) -> tuple[Signals, State]:
        """Return zeros."""
        return {site: signal.new_zeros(()) for site, signal in signals.items()}, {}


class LeaveOneOut(Baseline):
    r"""The mean signal of the example's other particles, $b_k = \frac{1}{K - 1} \sum_{j \ne k} f_j$.

    It needs neither memory nor parameters and follows every example on its own: the first choice where two particles or more
    can be paid for.

    References:
        Kool, van Hoof & Welling (2019), "Buy 4 REINFORCE samples, get a baseline for free!". Salimans & Knowles (2014),
        arXiv:1401.1022.
    """

    fewest_particles = 2

    def __call__(self, signals: Signals, batch: Batch, state: State) -> tuple[Signals, State]:
        """Return the others' means."""
        return {site: (signal.sum(0) - signal) / (len(signal) - 1) for site, signal in signals.items()}, {}


class MovingAverage(Baseline):
    r"""An exponential moving average of past signals, one number for each site.

    $$b \leftarrow \rho\, b + (1 - \rho)\, \bar f$$

    It starts with the mean signal of a run on the first batch that is not trained on. The average is over examples and
    particles, whichever and however many these are in a step.

    Args:
        decay: $\rho$ in [0, 1).
        after: Another baseline, which is subtracted first; the average is then of what it leaves. With `Learned()` this is
            the centring of neural variational inference and learning.

    Raises:
        ConfigurationError: `decay` is outside [0, 1), or `after` is a moving average as well.

    References:
        Mnih & Gregor (2014), arXiv:1402.0030.
    """

    needs_signals = True

    def __init__(self, *, decay: float = 0.8, after: Baseline | None = None) -> None:
        require_numbers("MovingAverage", decay=decay)
        if not 0 <= decay < 1:
            raise ConfigurationError(f"MovingAverage: expected decay in [0, 1); got {decay}. Use 0.8.")
        if isinstance(after, MovingAverage):
            raise ConfigurationError("MovingAverage: expected after to be another baseline; got a MovingAverage. Use one.")
        self.decay = decay
        self.after = NoBaseline() if after is None else after
        self.fewest_particles = self.after.fewest_particles

    def __call__(self, signals: Signals, batch: Batch, state: State) -> tuple[Signals, State]:
        """Return the inner baseline plus the average of the past."""
        inner, inner_state = self.after(signals, batch, state)
        present = _means(signals, inner)
        past = {site: state[_key(site)] for site in signals}
        following = {_key(site): self.decay * past[site] + (1 - self.decay) * present[site] for site in signals}
        return {site: inner[site] + past[site] for site in signals}, {**inner_state, **following}

    def initialize(self, signals: Signals, batch: Batch) -> None:
        """Prepare the inner baseline."""
        self.after.initialize(signals, batch)

    def initial_state(self, signals: Signals, batch: Batch) -> State:
        """Return the mean of what the inner baseline leaves of the signals."""
        state = self.after.initial_state(signals, batch)
        inner, _ = self.after(signals, batch, state)
        return {**state, **{_key(site): mean for site, mean in _means(signals, inner).items()}}

    @property
    def learned(self) -> nn.Module | None:
        """What the inner baseline learns."""
        return self.after.learned


class Learned(Baseline):
    r"""A network $b_\psi(x, c)$ of the example and its context, with one output for each site.

    It is trained along with the model, by the squared error of what is left of the signal. Its output is zero at first,
    which suits signals that are centred: `MovingAverage(after=Learned())`.

    Args:
        hidden: Width of each hidden layer.

    Raises:
        ConfigurationError: a width is below 1, or (in use) it is asked before `initialize`.
        CapabilityError: (in use) examples share a latent, so that signals are not theirs.

    References:
        Mnih & Gregor (2014), arXiv:1402.0030.
    """

    needs_signals = True

    def __init__(self, *, hidden: Sequence[int] = (100,)) -> None:
        if any(width < 1 for width in hidden):
            raise ConfigurationError(f"Learned: expected hidden widths of at least 1; got {tuple(hidden)}.")
        self.hidden = tuple(hidden)
        self._network: MLP | None = None

    def __call__(self, signals: Signals, batch: Batch, state: State) -> tuple[Signals, State]:
        """Return the network's outputs for the batch."""
        if not signals:
            return {}, {}
        if self._network is None:
            raise ConfigurationError(
                "Learned: expected a network; got none, since no batch was seen. Call initialize first."
            )
        if any(signal.ndim < 2 for signal in signals.values()):
            raise CapabilityError(
                "Learned: expected a signal for each example; got those of a pair whose examples share a latent or are "
                "subsampled. Use LeaveOneOut or MovingAverage."
            )
        outputs = self._network(_rows(batch, next(iter(signals.values())).dtype))
        return dict(zip(signals, outputs.unbind(1), strict=True)), {}

    def initialize(self, signals: Signals, batch: Batch) -> None:
        """Build the network for the sites and the batch, anew each time."""
        if not signals:
            return
        dtype = next(iter(signals.values())).dtype
        rows = _rows(batch, dtype)
        network = MLP((rows.shape[1], *self.hidden, len(signals)))
        nn.init.zeros_(network.get_submodule(str(len(network) - 1)).get_parameter("weight"))
        self._network = network.to(device=rows.device, dtype=dtype)

    @property
    def learned(self) -> nn.Module | None:
        """The network; None before `initialize`."""
        return self._network


def _rows(batch: Batch, dtype: torch.dtype) -> Tensor:
    """Return examples and contexts side by side, `(N, D)`."""
    parts = [batch.x] if batch.context is None else [batch.x, batch.context]
    return torch.cat([part.reshape(len(batch), -1).to(dtype) for part in parts], 1)


def _means(signals: Signals, baselines: Signals) -> dict[str, Tensor]:
    return {site: (signal - baselines[site]).detach().mean() for site, signal in signals.items()}


def _key(site: str) -> str:
    return f"average.{site}"
