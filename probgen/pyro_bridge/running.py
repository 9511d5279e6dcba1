"""Running a pair of programs once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from probgen.errors import ConfigurationError
from probgen.latent import LatentTrace, LatentVariable
from probgen.pyro_bridge.parameters import param_scope
from probgen.pyro_bridge.recording import Draw, ParticlePlate, Recorder
from probgen.pyro_bridge.sites import stacked, trace_of

__all__ = ["call_program", "record_programs", "run_pair"]


def run_pair(
    pair: LatentVariable,
    x: Tensor,
    context: Tensor | None = None,
    *,
    num_particles: int = 1,
    draw: Draw | None = None,
    frozen_guide: bool = False,
) -> LatentTrace:
    r"""Run the guide, then the model on what the guide drew, and return what happened at each site.

    $$\log w = \log p(x, z \mid c) - \log q(z \mid x, c), \qquad z \sim q$$

    The programs run inside a parameter store of their own and leave nothing in Pyro's global one; handlers around the call
    do not see into it. Validation of arguments is as the caller has it. Particles are run as `pair.particles` says; a pair
    whose examples are coupled (a latent shared by the batch, a subsampled plate of the batch) cannot be folded, and runs
    once for each particle instead.

    Args:
        pair: The model and its guide.
        x: A flat batch, `(N, *event_shape)`.
        context: What each example is conditioned on, `(N, *context_shape)`, or None.
        num_particles: How many draws $K$ from the guide to make for each example.
        draw: Answers the guide's statements in the place of draws of their own; None to let each draw.
        frozen_guide: Run the guide without gradients: neither its draws nor their scores carry any.

    Raises:
        ConfigurationError: the two programs do not fit each other (a latent that only one of them draws, nothing observed, a
            plate of another size), it cannot be told where the batch is, or a `pyro.param` belongs to no module.
        CapabilityError: a site asks to be enumerated, or draws straight through (see `Recorder.refuse_straight_through`).
        ShapeError: a site has another shape in the guide than in the model.

    Example:
        >>> import pyro, torch, pyro.distributions as dist
        >>> from probgen import PyroPair
        >>> def model(x):
        ...     with pyro.plate("data", len(x)):
        ...         z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))
        ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
        >>> def guide(x):
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))
        >>> x = torch.tensor([0.3, -1.0])
        >>> trace = run_pair(PyroPair(model, guide, event_shape=()), x, num_particles=4)
        >>> torch.allclose(trace.log_weights, dist.Normal(0.0, 2**0.5).log_prob(x).expand(4, 2))
        True
    """
    if num_particles < 1:
        raise ConfigurationError(f"run_pair: expected num_particles of at least 1; got {num_particles}.")
    how = _Guiding(draw, frozen_guide)
    if num_particles > 1 and pair.particles == "plate":
        return _single(pair, x, context, num_particles, how)
    if num_particles > 1 and pair.particles == "fold":
        trace = _folded(pair, x, context, num_particles, how)
        if trace is not None:
            return trace
    runs = [_single(pair, x, context, 1, how) for _ in range(num_particles)]
    return runs[0] if num_particles == 1 else stacked(runs)


@dataclasses.dataclass(frozen=True)
class _Guiding:
    """How a guide is run: who answers its statements, and whether gradients are off."""

    draw: Draw | None = None
    frozen: bool = False


def record_programs(pair: LatentVariable, x: Tensor, context: Tensor | None) -> tuple[Recorder, Recorder]:
    """Run the guide and then the model, in the present parameter scope; return what each of them did."""
    guide = _run_guide(pair, x, context, 1, _Guiding())
    return guide, _run_model(pair, x, context, 1, guide)


def _single(pair: LatentVariable, x: Tensor, context: Tensor | None, plated: int, how: _Guiding) -> LatentTrace:
    """Run the pair once, inside a plate of `plated` particles when there are several."""
    with param_scope(pair):
        guide = _run_guide(pair, x, context, plated, how)
        guide.refuse_straight_through()
        model = _run_model(pair, x, context, plated, guide)
    return trace_of(pair, guide, model, len(x))


def _run_guide(pair: LatentVariable, x: Tensor, context: Tensor | None, plated: int, how: _Guiding) -> Recorder:
    guide = Recorder(f"{type(pair).__name__}.guide", draw=how.draw)
    with torch.no_grad() if how.frozen else nullcontext(), guide, _particle_plate(pair, plated):
        call_program(pair.guide, x, context)
    return guide


def _run_model(pair: LatentVariable, x: Tensor, context: Tensor | None, plated: int, guide: Recorder) -> Recorder:
    model = Recorder(f"{type(pair).__name__}.model", replay=guide)
    with model, _particle_plate(pair, plated):
        call_program(pair.model, x, context)
    return model


def _folded(
    pair: LatentVariable, x: Tensor, context: Tensor | None, num_particles: int, how: _Guiding
) -> LatentTrace | None:
    """Run all particles as one batch, particle-major; return None where the examples turn out to be coupled."""
    many = x.repeat(num_particles, *(1 for _ in x.shape[1:]))
    contexts = None if context is None else context.repeat(num_particles, *(1 for _ in context.shape[1:]))
    with param_scope(pair):
        guide = _run_guide(pair, many, contexts, 1, how)
        guide.refuse_straight_through()
        if any(len(many) not in record.shape for record in guide.records.values()):
            return None
        model = _run_model(pair, many, contexts, 1, guide)
    trace = trace_of(pair, guide, model, len(x), folded=num_particles)
    return trace if trace.per_example else None


def _particle_plate(pair: LatentVariable, size: int) -> AbstractContextManager[Any]:
    return nullcontext() if size == 1 else ParticlePlate(size, -1 - pair.plate_nesting)


def call_program(program: Callable[..., Any], x: Tensor, context: Tensor | None) -> None:
    """Call one of a pair's programs, with the context where there is one."""
    if context is None:
        program(x)
    else:
        program(x, context)
