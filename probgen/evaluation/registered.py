"""Metrics that plugins register."""

from __future__ import annotations

import functools
from collections.abc import Callable

from probgen.errors import CapabilityError, RunError
from probgen.evaluation.metric import Metric
from probgen.evaluation.subject import Subject
from probgen.plugin import registry
from probgen.plugin.records import Registered
from probgen.plugin.specs import MetricSpec
from probgen.streams import seeded_streams

__all__ = ["registered_measurements"]


def registered_measurements(subject: Subject) -> dict[str, Callable[[], list[Metric]]]:
    """Return every registered metric by name, ready to be measured.

    A registered function is called as `function(model, view, split=…, seed=…, **options)`, with its options at their
    defaults, and returns a list of `Metric`s. It raises `CapabilityError` for a model that it does not fit. Its randomness
    may come from `seed` or from torch's global stream, which depends on the seed as well.
    """
    metrics = registry().metrics.values()
    return {metric.spec.name: functools.partial(_measure, subject, metric) for metric in metrics}


def _measure(subject: Subject, metric: Registered[MetricSpec]) -> list[Metric]:
    """Call a plugin's function; whatever it raises is reported as that plugin's trouble.

    Raises:
        CapabilityError: the metric does not fit the model.
        PluginLoadError: the function cannot be imported.
        RunError: it failed, or returned something else than metrics.
    """
    function, name = metric.load(), metric.spec.name
    options = {option.name: option.default for option in metric.spec.options}
    seed = subject.derived_seed(name)
    try:
        with seeded_streams(subject.seed, f"evaluation/{name}"):
            found = list(function(subject.model, subject.view, split=subject.split, seed=seed, **options))
    except CapabilityError:
        raise
    except Exception as error:  # a plugin's failure is its own: it is reported, and stops nothing else
        raise RunError(
            f"metric {name!r} ({metric.origin}): expected a list of metrics; got {type(error).__name__}: {error}. "
            f"Leave it out with metrics=[…], or update {metric.distribution}."
        ) from error
    strangers = [item for item in found if not isinstance(item, Metric)]
    if strangers:
        raise RunError(
            f"metric {name!r} ({metric.origin}): expected a list of probgen.evaluation.Metric; got one of "
            f"{type(strangers[0]).__name__}. Update {metric.distribution}."
        )
    return found
