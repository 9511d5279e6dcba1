r"""Annealed importance sampling: estimates of a log-partition from below and from above.

A path of densities $f_\beta$ leads from a base of known normaliser $Z_0$ at $\beta = 0$ to the target at $\beta = 1$.
Chains walk it in steps; their importance weights $w$ are unbiased for $Z_1 / Z_0$. Forward from draws of the base,

$$\mathbb{E}\left[\log \left(Z_0\, \tfrac1K \textstyle\sum_k w_k\right)\right] \le \log Z_1,$$

and backward from draws of the target the same weights are unbiased for $Z_0 / Z_1$, so that minus their log-mean bounds
$\log Z_1$ from above. The two close in on it as the path gets finer.

References:
    Neal (2001), Annealed importance sampling. Salakhutdinov & Murray (2008), On the quantitative analysis of deep belief
    networks. Burda, Grosse & Salakhutdinov (2015), Accurate and conservative estimates of MRF log-likelihood using reverse
    annealing, arXiv:1412.8566.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from probgen.capabilities import LogPartition
from probgen.claims import Claim, LowerBound, UpperBound
from probgen.errors import ConfigurationError
from probgen.nn import linear

__all__ = ["AnnealingPath", "RBMPath", "anneal", "anneal_backward", "draw_bits"]

_EXPONENT_LIMIT = 87.0  # beyond it exp leaves the normal numbers of float32, where it is many times slower


class AnnealingPath(Protocol):
    r"""Densities $f_\beta(x)$ from a base at 0 to the target at 1, with reversible Markov kernels that keep them.

    `inputs` computes once what score and kernel share at an event, whatever $\beta$ is.
    """

    def log_base(self) -> Tensor:
        """Return the base's log-partition, a scalar."""
        ...

    def draw_base(self, n: int) -> Tensor:
        """Return `n` draws of the base, `(n, D)`."""
        ...

    def inputs(self, x: Tensor) -> Any:
        """Return what `log_density` and `move` need to know of `x`."""
        ...

    def log_density(self, inputs: Any, beta: float) -> Tensor:
        r"""Return $\log f_\beta$, unnormalised, `(n,)`."""
        ...

    def move(self, inputs: Any, beta: float) -> Tensor:
        r"""Return the chains one reversible step on, keeping $f_\beta$ invariant, `(n, D)`."""
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
        self._ends = torch.stack([base_bias, self._change])

    def log_base(self) -> Tensor:
        """Return the base's log-partition, in float64."""
        return F.softplus(self._base_bias.double()).sum() + len(self._hidden_bias) * math.log(2)

    def draw_base(self, n: int) -> Tensor:
        """Return `n` draws of independent visible units."""
        return draw_bits(self._base_bias.expand(n, -1))

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the hidden units' inputs $c + W v$, `(n, hidden)`, and $a \cdot v$ and $(b - a) \cdot v$, `(n, 2)`."""
        return linear(x, self._weight, self._hidden_bias), linear(x, self._ends)

    def log_density(self, inputs: tuple[Tensor, Tensor], beta: float) -> Tensor:
        r"""Return $\log f_\beta$."""
        hidden, ends = inputs
        return ends[:, 0] + beta * ends[:, 1] + F.softplus((beta * hidden).clamp_(min=-_EXPONENT_LIMIT)).sum(-1)

    def move(self, inputs: tuple[Tensor, Tensor], beta: float) -> Tensor:
        """Draw the hidden units, then the visible ones."""
        hidden = draw_bits(beta * inputs[0])
        return draw_bits(torch.addmm(self._base_bias + beta * self._change, hidden, self._weight, alpha=beta))


@torch.no_grad()
def anneal(path: AnnealingPath, *, num_chains: int = 500, num_steps: int = 1000) -> LogPartition:
    r"""Estimate $\log Z$ forward, from draws of the base: in expectation at most the truth.

    The standard error is that of the weights seen. It knows nothing of a mode that no chain came to, and is then far too
    small: trust it as far as `anneal_backward` agrees.

    Args:
        path: From base to target.
        num_chains: Independent chains; the standard error falls with their square root.
        num_steps: Steps of $\beta$, evenly spaced; the bias falls with them.

    Raises:
        ConfigurationError: there are fewer than two chains, or no step.
    """
    _check("anneal", num_chains, num_steps)
    log_weights = _walk(path, path.draw_base(num_chains), torch.linspace(0, 1, num_steps + 1).tolist())
    log_mean, stderr = _log_mean(log_weights)
    method = f"annealed importance sampling, {num_chains} chains of {num_steps} steps"
    return _found(path.log_base() + log_mean, stderr, LowerBound("log_partition"), method)


@torch.no_grad()
def anneal_backward(path: AnnealingPath, starts: Tensor, *, num_steps: int = 1000) -> LogPartition:
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
    log_mean, stderr = _log_mean(_walk(path, starts, torch.linspace(1, 0, num_steps + 1).tolist()))
    method = f"reverse annealed importance sampling, {len(starts)} chains of {num_steps} steps"
    return _found(path.log_base() - log_mean, stderr, UpperBound("log_partition"), method)


def draw_bits(logits: Tensor) -> Tensor:
    """Return bits that are 1 with the probabilities of `logits`, of the same shape and type.

    Example:
        >>> draw_bits(torch.tensor([-100.0, 100.0]))
        tensor([0., 1.])
    """
    probabilities = torch.sigmoid(logits.clamp(-_EXPONENT_LIMIT, _EXPONENT_LIMIT))
    return torch.lt(torch.rand_like(probabilities), probabilities).to(logits.dtype)


def _walk(path: AnnealingPath, x: Tensor, betas: list[float]) -> Tensor:
    """Walk chains that start at `x` along the path; return their log-weights, `(n,)` in float64."""
    log_weights = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for now, then in pairwise(betas):
        inputs = path.inputs(x)
        log_weights += path.log_density(inputs, then) - path.log_density(inputs, now)
        x = path.move(inputs, then)
    return log_weights


def _log_mean(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log of the mean weight, and its standard error by the delta method."""
    n = len(log_weights)
    log_mean = log_weights.logsumexp(0) - math.log(n)
    return log_mean, (log_weights - log_mean).exp().std() / math.sqrt(n)


def _found(value: Tensor, stderr: Tensor, claim: Claim, method: str) -> LogPartition:
    return LogPartition(value=value, stderr=stderr, claim=claim, method=method)


def _check(name: str, num_chains: int, num_steps: int) -> None:
    if num_chains < 2 or num_steps < 1:
        raise ConfigurationError(
            f"{name}: expected at least 2 chains, for a standard error, and 1 step; got {num_chains} and {num_steps}. "
            "Use some hundreds of each."
        )
