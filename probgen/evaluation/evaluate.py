"""`evaluate`: everything that a model's capabilities allow to be said about it, on held-out data."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

from probgen.adapters import as_model
from probgen.data import as_source, matching_view
from probgen.data.view import View
from probgen.errors import (
    CapabilityError,
    ConfigurationError,
    DataError,
    PluginLoadError,
    RunError,
    UnknownNameError,
    suggest,
)
from probgen.evaluation.likelihood import likelihood_metrics
from probgen.evaluation.metric import Metric
from probgen.evaluation.registered import registered_measurements
from probgen.evaluation.result import Evaluation
from probgen.evaluation.samples import Populations, c2st_metrics, draw_populations, mmd_metrics
from probgen.evaluation.subject import Subject, undisturbed
from probgen.shapes import Model

__all__ = ["evaluate"]


def evaluate(
    model: Any,
    data: Any,
    *,
    split: str = "test",
    view: str | None = None,
    context: str | None = None,
    seed: int = 0,
    num_particles: int = 500,
    num_samples: int = 1000,
    batch_size: int = 250,
    max_examples: int | None = None,
    metrics: Sequence[str] | None = None,
) -> Evaluation:
    """Judge `model` on held-out data by everything that its capabilities allow.

    - `likelihood`: a `Density`'s exact log-likelihood; a `LatentVariable`'s evidence lower bound and its importance-sampled
      log-likelihood; another `BoundedLikelihood`'s bound. Bits per dimension where the data lie on a finite lattice.
    - `mmd`: a `Sampler`'s squared maximum mean discrepancy from held-out events, with the p-value of the two-sample test.
    - `c2st`: how often a classifier tells a `Sampler`'s draws from held-out events.
    - every metric that a plugin registers.

    Beside the two-sample figures stand a floor, the same for training events, and a ceiling, the same for events with
    independent entries. Each number carries its kind, unit, standard error and n. The model, its mode, its parameters and
    torch's random streams are left as they were; the same arguments give the same numbers.

    Args:
        model: A model, or a distribution of torch or Pyro.
        data: Whatever `probgen.as_source` takes, or a view of it.
        split: Which split is held out.
        view: The view's name; None for the one that the model was built for, or else the one that suits its support.
        context: What of the data the model is conditioned on; None for the labels where it is conditional.
        seed: Of all randomness.
        num_particles: Draws of the latents for each example, in importance sampling.
        num_samples: Most draws of the model, and held-out events, in the two-sample tests.
        batch_size: Examples scored or drawn at once; memory depends on it and not on the size of the data.
        max_examples: Judge on a random subset of this size; None for the whole split.
        metrics: Names of the measurements to make (`likelihood`, `mmd`, `c2st`, or a plugin's); None for all that fit.

    Raises:
        UnknownNameError: no measurement has one of the names in `metrics`.
        CapabilityError: the model lacks what a measurement named in `metrics` needs.
        ConfigurationError: a size is below one, or `view` and `context` are given beside a view.
        ShapeError: the data's events are not the model's.
        SupportError: the data offer no view for the model's support.
        DataError: the data have no such split.

    Example:
        >>> import torch, probgen
        >>> model = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(2), 1.0), 1)
        >>> result = probgen.evaluate(model, torch.randn(500, 2), view="raw", metrics=["likelihood"])
        >>> result["log_likelihood"].kind
        'exact'
    """
    started = time.perf_counter()
    model = as_model(model)
    subject = Subject(
        model=model,
        view=_view_for(model, data, view, context),
        split=split,
        seed=seed,
        num_particles=num_particles,
        num_samples=num_samples,
        batch_size=batch_size,
        max_examples=max_examples,
    )
    with undisturbed(model):
        measured, notes = _measure(subject, metrics)
    return Evaluation(
        metrics=tuple(measured),
        model=_name_of(model),
        data=subject.view.source.name,
        view=subject.view.name,
        split=split,
        seed=seed,
        seconds=time.perf_counter() - started,
        notes=tuple(notes),
    )


def _measure(subject: Subject, wanted: Sequence[str] | None) -> tuple[list[Metric], list[str]]:
    """Make the measurements; where nobody asked for them by name, say why one could not be made and go on."""
    own = _own_measurements(subject)
    available = {**own, **{name: make for name, make in registered_measurements(subject).items() if name not in own}}
    measured: list[Metric] = []
    notes: list[str] = []
    for name in available if wanted is None else wanted:
        if name not in available:
            raise UnknownNameError(f"evaluate: expected names of metrics; got {name!r}. {suggest(name, available)}")
        try:
            measured += available[name]()
        except (CapabilityError, DataError, PluginLoadError, RunError) as error:
            if wanted is not None:
                raise
            notes.append(f"{name} is left out: {error}")
    return measured, notes


def _own_measurements(subject: Subject) -> dict[str, Callable[[], list[Metric]]]:
    @functools.cache
    def populations() -> Populations:
        return draw_populations(subject)

    return {
        "likelihood": lambda: likelihood_metrics(subject),
        "mmd": lambda: mmd_metrics(subject, populations()),
        "c2st": lambda: c2st_metrics(subject, populations()),
    }


def _view_for(model: Model, data: Any, name: str | None, context: str | None) -> View:
    """Return the view of `data` that is named, that the model was built for, or that suits its support, in this order."""
    if isinstance(data, View):
        if name is not None or context is not None:
            raise ConfigurationError(
                f"evaluate: expected no view and no context beside a view of the data; got view {name!r} and context "
                f"{context!r}. Pass the source instead of its view."
            )
        return data
    return matching_view(as_source(data), model, name, context=context)


def _name_of(model: Model) -> str:
    return model.provenance.name if model.provenance is not None else type(model).__name__
