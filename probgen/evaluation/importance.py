"""The evidence of a latent-variable model by importance sampling, in memory that does not grow with the particles."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import LatentVariable, require
from probgen.errors import ConfigurationError

__all__ = ["ImportanceScores", "importance_scores", "log_evidence"]

_ENTRIES_AT_ONCE = 4_000_000
"""Observed entries, over particles and examples, that one run of the pair may produce: 16 MB in single precision."""


@dataclasses.dataclass(frozen=True, eq=False)
class ImportanceScores:
    r"""What the log-weights $w_{kn} = \log p(x_n, z_k) - \log q(z_k \mid x_n)$ say of each example.

    Args:
        elbo: $\frac1K \sum_k w_{kn}$, which estimates the evidence lower bound without bias, `(N,)`.
        log_evidence: $\log \frac1K \sum_k e^{w_{kn}}$, `(N,)`.
    """

    elbo: Tensor
    log_evidence: Tensor


def log_evidence(
    model: Any,
    x: Tensor,
    context: Tensor | None = None,
    *,
    num_particles: int = 500,
    chunk: int | None = None,
) -> Tensor:
    r"""Return an importance-sampling estimate of $\log p(x \mid c)$ for each example.

    $$\widehat{\log p}(x) = \log \frac1K \sum_{k=1}^K \frac{p(x, z_k)}{q(z_k \mid x)}, \qquad z_k \sim q(z \mid x)$$

    Its expectation is at most $\log p(x)$, rises with $K$ and tends to it. The particles are drawn `chunk` at a time and
    their weights added up as they come, so memory does not depend on $K$.

    Args:
        model: A `LatentVariable` whose latents all belong to one example each.
        x: A flat batch of events.
        context: What each event is conditioned on, or None.
        num_particles: $K$.
        chunk: Particles in one run of the pair; None for as many as keep a run small.

    Shapes:
        x: `(N, *event_shape)`.
        context: `(N, *context_shape)`.
        returns: `(N,)`, in nats and double precision.

    Raises:
        CapabilityError: the model is no `LatentVariable`, or a latent is shared by the batch.
        ConfigurationError: `num_particles` or `chunk` is below one.

    References:
        Burda, Grosse & Salakhutdinov (2016), Importance Weighted Autoencoders, arXiv:1509.00519.
    """
    return importance_scores(model, x, context, num_particles=num_particles, chunk=chunk).log_evidence


@torch.no_grad()
def importance_scores(
    model: Any,
    x: Tensor,
    context: Tensor | None = None,
    *,
    num_particles: int = 500,
    chunk: int | None = None,
) -> ImportanceScores:
    """Return `log_evidence` and the evidence lower bound from the same draws; see `log_evidence` for the arguments."""
    from probgen.pyro_bridge import run_pair  # Pyro takes long to import, and only this needs it

    require(model, LatentVariable, for_what="log_evidence")
    chunk = _checked_chunk(x, num_particles, chunk)
    log_sum = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    plain_sum = torch.zeros_like(log_sum)
    for start in range(0, num_particles, chunk):
        trace = run_pair(model, x, context, num_particles=min(chunk, num_particles - start))
        trace.require_per_example("log_evidence")
        log_weights = trace.log_weights.to(torch.float64)
        log_sum = torch.logaddexp(log_sum, log_weights.logsumexp(0))
        plain_sum += log_weights.sum(0)
    return ImportanceScores(plain_sum / num_particles, log_sum - math.log(num_particles))


def _checked_chunk(x: Tensor, num_particles: int, chunk: int | None) -> int:
    for name, value in (("num_particles", num_particles), ("chunk", chunk)):
        if value is not None and value < 1:
            raise ConfigurationError(f"log_evidence: expected {name} of at least 1; got {value}. Try 500 particles.")
    return chunk or max(1, min(num_particles, _ENTRIES_AT_ONCE // max(1, x.numel())))
