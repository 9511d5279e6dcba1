"""From what two programs recorded to the sites of a `LatentTrace`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from pyro.distributions import Delta, MaskedDistribution
from pyro.distributions.util import scale_and_mask
from torch import Tensor
from torch.distributions import Independent, kl_divergence

from probgen.errors import ConfigurationError
from probgen.latent import LatentTrace, LatentVariable, Site
from probgen.pyro_bridge.layout import Axes, batch_axis, find_batch_plate, guide_axis, is_subsampled
from probgen.pyro_bridge.recording import PARTICLES, Record, Recorder
from probgen.pyro_bridge.soft_scores import soft_log_prob

__all__ = ["stacked", "trace_of"]


def trace_of(pair: LatentVariable, guide: Recorder, model: Recorder, size: int, *, folded: int = 1) -> LatentTrace:
    """Match the records of a guide and a model that ran on `size` examples, `folded` times each in one batch."""
    _check_match(guide, model)
    records = list(model.records.values())
    plate = find_batch_plate(records, size * folded, pair.batch_plate, model.where)
    examples = partial(_axes, size=size * folded, folded=folded, declared=pair.batch_plate is not None)
    sites: dict[str, Site] = {}
    for record in records:
        axes = examples(record, plate, where=model.where)
        if record.observed:
            sites[record.name] = _observed(record, axes)
        else:
            drawn = guide.records[record.name]
            axis = guide_axis(drawn, record, axes.batch, model.where)
            particle = drawn.axis_of(PARTICLES)
            sites[record.name] = _latent(record, axes, drawn, Axes(tuple(drawn.shape), axis, particle, folded))
    guide_plate = plate if any(plate in record.plates for record in guide.records.values()) else None
    for record in guide.records.values():
        if record.name not in sites:
            sites[record.name] = _auxiliary(record, examples(record, guide_plate, where=guide.where))
    return LatentTrace(
        sites=sites,
        num_particles=_particles(records, folded),
        batch_size=size,
        per_example=not any(site.shared for site in sites.values()) and not is_subsampled(records, plate),
    )


def stacked(runs: Sequence[LatentTrace]) -> LatentTrace:
    """Join single-particle runs of one pair into a trace of as many particles."""
    names = list(runs[0].sites)
    for run in runs:
        if list(run.sites) != names:
            raise ConfigurationError(
                f"run_pair: expected the same sites in every run; got {', '.join(run.sites)} after {', '.join(names)}. "
                "Make the program draw each site whatever the others' values are."
            )
    return LatentTrace(
        sites={name: _stacked_site([run.sites[name] for run in runs]) for name in names},
        num_particles=len(runs),
        batch_size=runs[0].batch_size,
        per_example=runs[0].per_example,
    )


def _check_match(guide: Recorder, model: Recorder) -> None:
    if not any(record.observed for record in model.records.values()):
        raise ConfigurationError(
            f"{model.where}: expected an observed site; got none. Observe the data with pyro.sample('x', …, obs=x)."
        )
    for record in guide.records.values():
        if record.observed and not record.auxiliary:
            raise ConfigurationError(
                f"{guide.where}: expected sites that are drawn; got {record.name!r} observed. Observe it in the model only."
            )
        if not record.auxiliary and (record.name not in model.records or model.records[record.name].observed):
            raise ConfigurationError(
                f"{guide.where}: expected latents of the model alone; got {record.name!r}, which the model does not draw. "
                "Mark it infer={'is_auxiliary': True} if others are computed from it, or draw it in the model."
            )


def _axes(record: Record, plate: str | None, *, size: int, folded: int, declared: bool, where: str) -> Axes:
    axis = batch_axis(record, plate, size, declared=declared, where=where)
    return Axes(tuple(record.shape), axis, record.axis_of(PARTICLES), folded)


def _particles(records: Sequence[Record], folded: int) -> int:
    plates = {frame.size for record in records for frame in record.frames if frame.name == PARTICLES}
    return plates.pop() if plates else folded


def _observed(record: Record, axes: Axes) -> Site:
    return Site(
        name=record.name,
        value=axes.arrange(record.value, record.event_dim),
        model_distribution=record.distribution,
        guide_distribution=None,
        reparameterized=False,
        shared=axes.batch is None,
        plates=record.plates,
        scale=record.scale,
        order=(record.position, -1),
        score_model=partial(_score, record, axes),
        score_guide=None,
        divergence=_no_divergence,
    )


def _latent(record: Record, axes: Axes, drawn: Record, drawn_axes: Axes) -> Site:
    return Site(
        name=record.name,
        value=axes.arrange(record.value, record.event_dim),
        model_distribution=record.distribution,
        guide_distribution=drawn.distribution,
        reparameterized=drawn.reparameterized,
        shared=axes.batch is None or drawn_axes.batch is None,
        plates=record.plates,
        scale=record.scale,
        order=(record.position, drawn.position),
        score_model=partial(_score, record, axes),
        score_guide=partial(_score, drawn, drawn_axes),
        divergence=partial(_closed_form, record, drawn, axes),
        score_draw=partial(_density, drawn, drawn_axes) if _is_weighted(drawn) else None,
    )


def _auxiliary(drawn: Record, axes: Axes) -> Site:
    value = axes.arrange(drawn.value, drawn.event_dim)
    return Site(
        name=drawn.name,
        value=value,
        model_distribution=None,
        guide_distribution=drawn.distribution,
        reparameterized=drawn.reparameterized,
        shared=axes.batch is None,
        plates=drawn.plates,
        scale=drawn.scale,
        order=(-1, drawn.position),
        score_model=partial(torch.zeros, value.shape[: 1 if axes.batch is None else 2], device=value.device),
        score_guide=partial(_score, drawn, axes),
        divergence=_no_divergence,
        score_draw=partial(_density, drawn, axes) if _is_weighted(drawn) else None,
    )


def _score(record: Record, axes: Axes) -> Tensor:
    return axes.reduce(_weighted(_log_prob(record), record))


def _density(record: Record, axes: Axes) -> Tensor:
    return axes.reduce(_log_prob(record))


def _log_prob(record: Record) -> Tensor:
    if record.relaxed:
        return soft_log_prob(record.distribution, record.value, where=record.name)
    return record.distribution.log_prob(record.value)


def _is_weighted(record: Record) -> bool:
    return record.mask is not None or isinstance(record.scale, Tensor) or record.scale != 1.0


def _weighted(term: Tensor, record: Record) -> Tensor:
    """Scale and mask a term as the program says; Pyro's helper takes tensors as scales, whatever its annotation."""
    scale: Any = record.scale
    return scale_and_mask(term, scale, record.mask)


def _no_divergence() -> None:
    return None


def _closed_form(record: Record, drawn: Record, axes: Axes) -> Tensor | None:
    """Return KL(guide ‖ model) at a site, or None where none is known or the two are not weighted alike."""
    p, q = record.distribution, drawn.distribution
    alike = p.event_shape == q.event_shape and record.mask is drawn.mask and _equal(record.scale, drawn.scale)
    if not alike or _is_special(p) or _is_special(q):
        return None
    try:
        divergence = kl_divergence(q, p)
    except NotImplementedError:
        return None
    return axes.reduce(_weighted(divergence, record))


def _equal(ours: float | Tensor, theirs: float | Tensor) -> bool:
    return ours is theirs or (not isinstance(ours, Tensor) and not isinstance(theirs, Tensor) and ours == theirs)


def _is_special(distribution: Any) -> bool:
    """Whether Pyro's registered divergence is not E[log q - log p]: it drops a Delta's density and mixes unequal masks."""
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return isinstance(distribution, Delta | MaskedDistribution)


def _stacked_site(parts: list[Site]) -> Site:
    first = parts[0]
    return dataclasses.replace(
        first,
        value=torch.cat([part.value for part in parts]),
        model_distribution=None if first.auxiliary else tuple(part.model_distribution for part in parts),
        guide_distribution=None if first.observed else tuple(part.guide_distribution for part in parts),
        score_model=lambda: torch.cat([part.log_p for part in parts]),
        score_guide=None if first.observed else lambda: torch.cat([part.log_q for part in parts if part.log_q is not None]),
        divergence=lambda: _stacked_divergence(parts),
        score_draw=first.score_draw and (lambda: torch.cat([part.log_draw for part in parts if part.log_draw is not None])),
    )


def _stacked_divergence(parts: list[Site]) -> Tensor | None:
    terms = [part.analytic_kl for part in parts]
    return None if any(term is None for term in terms) else torch.cat([term for term in terms if term is not None])
