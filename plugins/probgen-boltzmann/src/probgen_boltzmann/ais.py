r"""Annealed importance sampling: estimates of a log-partition from below and from above.

A path of densities $f_\beta$ leads from a base of known normaliser $Z_0$ at $\beta = 0$ to the target at $\beta = 1$.
Chains walk it in steps; their importance weights $w$ are unbiased for $Z_1 / Z_0$. Forward from draws of the base,

$$\mathbb{E}\left[\log \left(Z_0\, \tfrac1K \textstyle\sum_k w_k\right)\right] \le \log Z_1,$$

and backward from draws of the target the same weights are unbiased for $Z_0 / Z_1$, so that minus their log-mean bounds
$\log Z_1$ from above. The two close in on it as the path gets finer; `bracket` finds both.

Where chains mix slowly along the path a few of them carry the whole mean, and the spread of the weights that were seen says
little of those that were not. What is found here says how many chains the mean rests on (its effective sample size), and
where these are fewer than a tenth of all, the standard error is that of log-normal weights and `method` ends with a warning.

References:
    Neal (2001), Annealed importance sampling. Salakhutdinov & Murray (2008), On the quantitative analysis of deep belief
    networks. Burda, Grosse & Salakhutdinov (2015), Accurate and conservative estimates of MRF log-likelihood using reverse
    annealing, arXiv:1412.8566.
"""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from probgen.capabilities import LogPartition
from probgen.claims import LowerBound, UpperBound
from probgen.draws import bernoulli
from probgen.errors import ConfigurationError
from probgen.nn import linear

__all__ = ["AnnealingPath", "Bracket", "RBMPath", "anneal", "anneal_backward", "bracket"]

_EXPONENT_LIMIT = 87.0  # beyond it exp leaves the normal numbers of float32, where it is many times slower
_LONGEST_STEP = 1.0  # of an input times the change of beta, for the short form to be as exact as the difference
_TRUSTED = 0.1  # share of the chains that the mean has to rest on for the weights' own spread to be its error


class AnnealingPath(Protocol):
    r"""Densities $f_\beta(x)$ from a base at 0 to the target at 1, with reversible Markov kernels that keep them."""

    def log_base(self) -> Tensor:
        """Return the base's log-partition, a scalar."""
        ...

    def draw_base(self, n: int) -> Tensor:
        """Return `n` draws of the base, `(n, D)`."""
        ...

    def advance(self, x: Tensor, now: float, then: float) -> tuple[Tensor, Tensor]:
        r"""Return $\log f_{then} - \log f_{now}$ at `x`, `(n,)`, and `x` one reversible step of $f_{then}$ on, `(n, D)`.

        Both in one method, for they have most of their work in common.
        """
        ...


class RBMPath:
    r"""From independent visible units with biases $a$ to a restricted Boltzmann machine, hidden units summed out.

    $$\log f_\beta(v) = (1 - \beta)\, a \cdot v + \beta\, b \cdot v + \sum_j \log\left(1 + e^{\beta (c + W v)_j}\right)$$

    Args:
        weight: $W$, `(hidden, visible)`.
        visible_bias: $b$.
        hidden_bias: $c$.
        base_bias: $a$: the log-odds of the data, say. The closer the base is to the target, the smaller the error.
    """

    def __init__(self, weight: Tensor, visible_bias: Tensor, hidden_bias: Tensor, base_bias: Tensor) -> None:
        self._weight, self._hidden_bias, self._base_bias = weight, hidden_bias, base_bias
        self._change = visible_bias - base_bias
        self._farthest = float((hidden_bias.abs() + weight.abs().sum(1)).max())  # no input of a hidden unit is beyond

    def log_base(self) -> Tensor:
        """Return the base's log-partition, in float64."""
        return F.softplus(self._base_bias.double()).sum() + len(self._hidden_bias) * math.log(2)

    def draw_base(self, n: int) -> Tensor:
        """Return `n` draws of independent visible units."""
        return bernoulli(self._base_bias.sigmoid().expand(n, -1))

    def advance(self, x: Tensor, now: float, then: float) -> tuple[Tensor, Tensor]:
        r"""Return $\log f_{then} - \log f_{now}$, and what one step of block Gibbs leads to: hidden units, then visible."""
        inputs = linear(x, self._weight, self._hidden_bias)
        probabilities = (then * inputs).sigmoid_()
        log_ratio = (then - now) * (x @ self._change) + self._softplus_change(inputs, probabilities, now, then).sum(-1)
        hidden = bernoulli(probabilities)
        logits = torch.addmm(self._base_bias + then * self._change, hidden, self._weight, alpha=then)
        return log_ratio, bernoulli(logits.sigmoid_())

    def _softplus_change(self, inputs: Tensor, probabilities: Tensor, now: float, then: float) -> Tensor:
        r"""Return the change of $s(\beta u) = \log(1 + e^{\beta u})$, given the probabilities $p = \sigma(\beta' u)$.

        $$s(\beta' u) - s(\beta u) = -\log\left(1 + p\, (e^{(\beta - \beta') u} - 1)\right)$$

        takes two thirds of the time of the difference, and loses nothing to cancellation where steps are small.
        """
        if abs(then - now) * self._farthest > _LONGEST_STEP:
            return _softplus(then * inputs) - _softplus(now * inputs)
        return ((now - then) * inputs).expm1_().mul_(probabilities).log1p_().neg_()


@torch.no_grad()
def anneal(path: AnnealingPath, *, num_chains: int = 500, num_steps: int = 5000) -> LogPartition:
    r"""Estimate $\log Z$ forward, from draws of the base: in expectation at most the truth.

    The standard error knows nothing of a mode that no chain came to: trust it as far as `anneal_backward` agrees.

    Args:
        path: From base to target.
        num_chains: Independent chains; the standard error falls with their square root.
        num_steps: Steps of $\beta$, evenly spaced; bias and standard error fall with them.

    Raises:
        ConfigurationError: there are fewer than two chains, or no step.
    """
    _check("anneal", num_chains, num_steps)
    log_weights = _walk(path, path.draw_base(num_chains), torch.linspace(0, 1, num_steps + 1).tolist())
    mean = _LogMean.of(log_weights)
    method = f"annealed importance sampling, {num_chains} chains of {num_steps} steps, {mean.words}"
    return LogPartition(path.log_base() + mean.value, mean.stderr, LowerBound("log_partition"), method)


@torch.no_grad()
def anneal_backward(path: AnnealingPath, starts: Tensor, *, num_steps: int = 5000) -> LogPartition:
    r"""Estimate $\log Z$ backward, from draws of the target: in expectation at least the truth.

    Args:
        path: From base to target.
        starts: Independent draws of the target, `(n, D)`. Draws of a chain that has not forgotten its beginning take the
            guarantee away.
        num_steps: Steps of $\beta$, evenly spaced.

    Raises:
        ConfigurationError: there are fewer than two draws, or no step.
    """
    _check("anneal_backward", len(starts), num_steps)
    mean = _LogMean.of(_walk(path, starts, torch.linspace(1, 0, num_steps + 1).tolist()))
    method = f"reverse annealed importance sampling, {len(starts)} chains of {num_steps} steps, {mean.words}"
    return LogPartition(path.log_base() - mean.value, mean.stderr, UpperBound("log_partition"), method)


@dataclasses.dataclass(frozen=True, eq=False)
class Bracket:
    r"""$\log Z$ from both sides.

    Args:
        lower: The forward estimate, which in expectation is at most the truth.
        upper: The backward estimate, which in expectation is at least the truth.
    """

    lower: LogPartition
    upper: LogPartition

    @property
    def gap(self) -> Tensor:
        """How far the upper estimate is above the lower one, in nats; noise may make it negative."""
        return self.upper.value - self.lower.value

    def closed(self, *, errors: float = 3.0) -> bool:
        """Whether the two agree within so many of their joint standard errors.

        Where they do not, at least one of the errors is too small: take more steps.
        """
        return bool(self.gap.abs() <= errors * torch.hypot(self.lower.stderr, self.upper.stderr))


def bracket(path: AnnealingPath, starts: Tensor, *, num_steps: int = 5000) -> Bracket:
    r"""Estimate $\log Z$ from both sides, with as many chains forward as there are draws of the target.

    Args:
        path: From base to target.
        starts: Independent draws of the target, `(n, D)`; see `anneal_backward`.
        num_steps: Steps of $\beta$ each way.

    Raises:
        ConfigurationError: there are fewer than two draws, or no step.
    """
    return Bracket(
        anneal(path, num_chains=len(starts), num_steps=num_steps), anneal_backward(path, starts, num_steps=num_steps)
    )


def _walk(path: AnnealingPath, x: Tensor, betas: list[float]) -> Tensor:
    """Walk chains that start at `x` along the path; return their log-weights, `(n,)` in float64."""
    log_weights = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for now, then in pairwise(betas):
        log_ratio, x = path.advance(x, now, then)
        log_weights += log_ratio
    return log_weights


@dataclasses.dataclass(frozen=True, eq=False)
class _LogMean:
    """The log of a mean weight, its standard error, and how far that is to be trusted."""

    value: Tensor
    stderr: Tensor
    words: str

    @classmethod
    def of(cls, log_weights: Tensor) -> _LogMean:
        """Return it by the delta method, or for too few effective weights as if these were log-normal, if that is more."""
        n = len(log_weights)
        value = log_weights.logsumexp(0) - math.log(n)
        shares = (log_weights - value).exp() / n
        effective = float(1 / shares.square().sum())
        stderr = (n * shares).std() / math.sqrt(n)
        words = f"effective sample size {effective:.0f}"
        if effective < _TRUSTED * n:
            log_normal = (log_weights.var().clamp(max=_EXPONENT_LIMIT).expm1() / n).sqrt()
            stderr = torch.maximum(stderr, log_normal)
            words += " (too few to rely on: take more steps)"
        return cls(value, stderr, words)


def _softplus(x: Tensor) -> Tensor:
    return F.softplus(x.clamp(min=-_EXPONENT_LIMIT))


def _check(name: str, num_chains: int, num_steps: int) -> None:
    if num_chains < 2 or num_steps < 1:
        raise ConfigurationError(
            f"{name}: expected at least 2 chains, for a standard error, and 1 step; got {num_chains} and {num_steps}. "
            "Use some hundreds of each."
        )
