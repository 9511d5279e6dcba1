r"""Held-out likelihoods: exact where the model can score, bounds where it can bound.

Figures are in nats and in the data's own units: a log-density of a view becomes one of the data by the view's
log-determinant, and the figure in the view's units stands beside it where the two differ.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import BoundedLikelihood, LatentVariable, LogPartition, UnnormalizedDensity, capabilities
from probgen.claims import Claim, Exact, LowerBound, UpperBound
from probgen.data.view import View
from probgen.density import Density
from probgen.errors import CapabilityError
from probgen.evaluation.histogram import histogram_log_prob
from probgen.evaluation.importance import importance_scores
from probgen.evaluation.metric import Kind, Metric, mean_metric, negated
from probgen.evaluation.subject import Subject
from probgen.streams import seeded_streams

__all__ = ["likelihood_metrics"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Figure:
    """Numbers in nats, one for each example, in the units of the view, and the standard error of what all of them share."""

    name: str
    values: Tensor
    kind: Kind
    note: str = ""
    shared_stderr: float = 0.0


def likelihood_metrics(subject: Subject) -> list[Metric]:
    r"""Return what can be said of the model's likelihood on held-out data.

    A `Density` has `log_likelihood`, exactly. A `LatentVariable` has `elbo` and `importance_sampled_log_likelihood`; any
    other `BoundedLikelihood` has `log_prob_bound`, of the kind that it claims. An `UnnormalizedDensity` that estimates its
    log-partition has `log_likelihood`, an estimate whose standard error holds that of the log-partition. Where the data
    lie on a finite lattice,

    $$\texttt{bits\_per\_dim} = -\frac{\log_2 p(x)}{D}$$

    of the best of these stands with them, and so does a floor: independent entries, each with its histogram over the
    training data. Dequantised figures are lower bounds for the discrete data, and their bits upper bounds.

    Raises:
        CapabilityError: the model is none of these, or does not estimate its log-partition.
    """
    figures = _figures(subject)
    (offsets,) = subject.per_example("units", lambda batch: (_log_abs_det(subject, batch),))
    metrics = [metric for figure in figures for metric in _in_both_units(figure, offsets, subject.view)]
    if subject.view.levels is not None:
        best = next((figure for figure in figures if figure.kind == "exact"), figures[-1])
        metrics.append(_bits_per_dim("bits_per_dim", _in_own_units(best, offsets, subject.view), subject))
        floor = _floor(subject)
        metrics += [_nats(floor), _bits_per_dim("bits_per_dim_floor", floor, subject)]
    return metrics


def _figures(subject: Subject) -> list[_Figure]:
    """Return the figures that the model's capabilities allow, the best last unless one is exact."""
    held, figures = capabilities(subject.model), []
    if Density in held:
        figures.append(_exact(subject))
    if LatentVariable in held:
        figures += _importance_sampled(subject)
    elif BoundedLikelihood in held and Density not in held:
        figures.append(_bound(subject))
    elif UnnormalizedDensity in held and Density not in held:
        figures.append(_normalised(subject))
    if not figures:
        raise CapabilityError(
            f"likelihood: expected a Density, a LatentVariable, a BoundedLikelihood or an UnnormalizedDensity; got "
            f"{type(subject.model).__name__}. Use the two-sample tests."
        )
    return figures


def _exact(subject: Subject) -> _Figure:
    model = subject.model
    (values,) = subject.per_example("log_likelihood", lambda batch: (model.log_prob(batch.x, batch.context),))
    return _Figure("log_likelihood", values, "exact")


def _importance_sampled(subject: Subject) -> list[_Figure]:
    k = subject.num_particles

    def score(batch: Batch) -> tuple[Tensor, ...]:
        scores = importance_scores(subject.model, batch.x, batch.context, num_particles=k)
        return scores.elbo, scores.log_evidence

    bound, evidence = subject.per_example("importance", score)
    return [
        _Figure("elbo", bound, "lower bound", f"the bound itself is estimated with {k} draws an example"),
        _Figure(
            "importance_sampled_log_likelihood",
            evidence,
            "lower bound",
            f"IS-{k}: importance sampling with {k} draws of the guide an example, a lower bound in expectation",
        ),
    ]


def _bound(subject: Subject) -> _Figure:
    model = subject.model
    claim: Claim = model.bound_claim
    (values,) = subject.per_example("bound", lambda batch: (model.log_prob_bound(batch.x, batch.context),))
    return _Figure("log_prob_bound", values, _kind_of(claim), f"the model claims: {claim}")


def _normalised(subject: Subject) -> _Figure:
    model = subject.model
    if model.context_shape is not None:
        raise CapabilityError(
            f"likelihood: expected an unnormalised density without context; got {type(model).__name__} with contexts of "
            f"shape {tuple(model.context_shape)}, each with a log-partition of its own. Use the two-sample tests."
        )
    with seeded_streams(subject.seed, "evaluation/log_partition"):
        found: LogPartition = model.log_partition(num_particles=subject.num_particles)
    (values,) = subject.per_example("energy", lambda batch: (-model.energy(batch.x),))
    kind: Kind = "exact" if isinstance(found.claim, Exact) else "estimate"
    return _Figure(
        "log_likelihood", values - float(found.value), kind, _log_partition_note(found), shared_stderr=float(found.stderr)
    )


def _log_partition_note(found: LogPartition) -> str:
    """Return in words which log-partition was subtracted, and on which side of the truth that leaves a log-likelihood."""
    sides = {
        LowerBound: "; in expectation at most the true one, so the log-likelihood errs upwards",
        UpperBound: "; in expectation at least the true one, so the log-likelihood errs downwards",
    }
    value, stderr = float(found.value), float(found.stderr)
    return f"log-partition {value:.2f} ± {stderr:.2f} nats by {found.method}{sides.get(type(found.claim), '')}"


def _kind_of(claim: Claim) -> Kind:
    kinds: dict[type[Claim], Kind] = {Exact: "exact", LowerBound: "lower bound", UpperBound: "upper bound"}
    return kinds.get(type(claim), "estimate")


def _floor(subject: Subject) -> _Figure:
    values = histogram_log_prob(subject)
    note = "independent entries, each with its add-one smoothed histogram over the training data: a model must beat this"
    return _Figure("log_likelihood_floor", values, "exact", note)


# ------------------------------------------------------------------------------------------------------------------ units


def _log_abs_det(subject: Subject, batch: Batch) -> Tensor:
    """Return what turns a log-density of the view into one of the data; nothing does so with a probability."""
    if _is_discrete(subject.view) or subject.model.support.is_discrete:
        return torch.zeros(len(batch))
    return subject.view.log_abs_det(batch.x)


def _in_both_units(figure: _Figure, offsets: Tensor, view: View) -> list[Metric]:
    """Return the figure in the data's own units and, where the view rescales the data, in the view's."""
    metrics = [_nats(_in_own_units(figure, offsets, view))]
    if bool(offsets.any()):
        note = f"a density of the view {view.name!r}: compare it within this view only"
        metrics.append(_nats(dataclasses.replace(figure, name=f"{figure.name}_in_view", note=note)))
    return metrics


def _in_own_units(figure: _Figure, offsets: Tensor, view: View) -> _Figure:
    notes, kind = [figure.note], figure.kind
    if view.dequantised and not view.support.is_discrete:
        notes.append("uniform dequantisation, one draw an example: in expectation at most the log-probability of the values")
        kind = {"exact": "lower bound", "upper bound": "estimate"}.get(kind, kind)
    elif view.random:
        notes.append("the view's noise is drawn once an example")
    if not view.lossless:
        notes.append(f"of the {view.unit} of the view {view.name!r}, which are not the raw data")
    elif not _is_discrete(view):
        notes.append(f"a density in {view.unit}")
    note = "; ".join(filter(None, notes))
    return dataclasses.replace(figure, values=figure.values + offsets, kind=kind, note=note)


def _nats(figure: _Figure) -> Metric:
    metric = mean_metric(figure.name, figure.values, kind=figure.kind, unit="nats", note=figure.note)
    return _with_shared(metric, figure.shared_stderr)


def _with_shared(metric: Metric, stderr: float) -> Metric:
    """Return the metric with an error that all its examples share, which their mean does not make smaller."""
    if metric.stderr is None or not stderr:
        return metric
    return dataclasses.replace(metric, stderr=math.hypot(metric.stderr, stderr))


def _bits_per_dim(name: str, figure: _Figure, subject: Subject) -> Metric:
    entries = math.prod(subject.view.event_shape)
    note = f"of {figure.name}, over {entries} entries of {subject.view.levels} levels"
    if subject.view.dequantised:
        note += ", uniform dequantisation" if figure.kind != "exact" else ", no dequantisation"
    scale = entries * math.log(2)
    metric = mean_metric(name, figure.values / -scale, kind=negated(figure.kind), unit="bits/dim", note=note)
    return _with_shared(metric, figure.shared_stderr / scale)


def _is_discrete(view: View) -> bool:
    return bool(view.support.is_discrete)
