"""How a model's samples compare with held-out events: two-sample tests, with a floor and a ceiling beside them.

Everything is compared in the data's own units and on their own lattice. A model that draws 0.98 where the data say 1 is not
told apart by that alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from probgen.capabilities import require
from probgen.errors import DataError, NonFiniteError
from probgen.evaluation.classifier import CLASSIFIER, classifier_test
from probgen.evaluation.histogram import histogram_samples
from probgen.evaluation.metric import Metric
from probgen.evaluation.subject import Subject
from probgen.evaluation.two_sample import median_distance, mmd_test
from probgen.sampler import Sampler
from probgen.streams import seeded_streams

__all__ = ["Populations", "c2st_metrics", "draw_populations", "mmd_metrics"]

_PERMUTATIONS = 999
_FEWEST = 10
"""With fewer events on a side, neither test says anything."""


@dataclasses.dataclass(frozen=True, eq=False)
class Populations:
    """Held-out events, and the sets of events that are compared with them; each `(n, D)`, in the data's own units.

    Args:
        reference: Held-out events.
        training: Training events, which decide the kernel: it must not depend on which event is in which sample.
        compared: By the ending of the metrics' names: `""` the model's draws, `"_floor"` training events, which a perfect
            model would be as far away as, and `"_ceiling"` events with independent entries, which a useful model is nearer
            than.
        note: What the model's draws were conditioned on, if anything.
    """

    reference: Tensor
    training: Tensor
    compared: Mapping[str, Tensor]
    note: str = ""


_ROLES = {
    "": "the model's draws against held-out events",
    "_floor": "training against held-out events: what a perfect model has",
    "_ceiling": "independent entries with the training data's histograms against held-out events: a useful model has less",
}


def draw_populations(subject: Subject) -> Populations:
    """Draw from the model, and choose the events that its draws are compared with.

    A conditional model draws one event for each of as many held-out contexts, and those come from other examples than the
    reference: sharing them would make the two samples dependent.

    Raises:
        CapabilityError: the model is no `Sampler`.
        DataError: there are too few events to compare.
        NonFiniteError: a draw is infinite or NaN.
    """
    require(subject.model, Sampler, for_what="two-sample tests")
    conditional = subject.model.context_shape is not None
    order = subject.choice("reference", len(subject.rows), len(subject.rows))
    size = min(subject.num_samples, len(order) // 2 if conditional else len(order))
    if min(size, len(subject.view.split("train"))) < _FEWEST:
        raise DataError(
            f"two-sample tests: expected at least {_FEWEST} events on each side; got {size} of split {subject.split!r} "
            f"and {len(subject.view.split('train'))} for training. Hold out more data."
        )
    reference = _events(subject, subject.split, subject.rows[order[:size]])
    contexts = subject.rows[order[size : 2 * size]] if conditional else None
    train_size = len(subject.view.split("train"))
    training = _events(subject, "train", subject.choice("training events", train_size, 10 * size))
    histogram = histogram_samples(training, size, subject.generator("histogram"))
    return Populations(
        reference,
        training,
        {"": _draws(subject, size, contexts), "_floor": training[:size], "_ceiling": histogram},
        "given the contexts of other held-out examples, and compared without them" if conditional else "",
    )


def mmd_metrics(subject: Subject, populations: Populations) -> list[Metric]:
    """Return the squared MMD between each population and the reference, and the p-value of its permutation test.

    The bandwidth is the median distance between training events. Entries of different units (a table's columns) are divided
    by their standard deviations in the training data first; levels, counts and pictures are left as they are.
    """
    scale = _scale(subject, populations.training)
    reference = populations.reference / scale
    bandwidth = median_distance(populations.training / scale, generator=subject.generator("bandwidth"))
    metrics = []
    for ending, events in populations.compared.items():
        test = mmd_test(
            events / scale,
            reference,
            bandwidth=bandwidth,
            generator=subject.generator(f"permutations{ending}"),
            num_permutations=_PERMUTATIONS,
        )
        n = len(events) + len(reference)
        kernel = (
            f"unbiased; mean of Gaussian kernels of 1, 1/2, 1/4, 1/8 times {bandwidth:.4g}, the median distance in training"
        )
        note = _note(ending, kernel, populations)
        metrics.append(Metric(f"mmd_squared{ending}", test.statistic, "estimate", "kernel", test.stderr, n, note))
        error = math.sqrt(test.p_value * (1 - test.p_value) / _PERMUTATIONS)
        note = _note(ending, f"{_PERMUTATIONS} permutations", populations)
        metrics.append(Metric(f"mmd_p_value{ending}", test.p_value, "estimate", "probability", error, n, note))
    return metrics


def c2st_metrics(subject: Subject, populations: Populations) -> list[Metric]:
    """Return how often a classifier tells each population from the reference: 0.5 means not at all."""
    metrics = []
    for ending, events in populations.compared.items():
        test = classifier_test(events, populations.reference, seed=subject.derived_seed("classifier"))
        note = _note(ending, CLASSIFIER, populations)
        metrics.append(Metric(f"c2st_accuracy{ending}", test.accuracy, "estimate", "share", test.stderr, test.n, note))
    return metrics


def _note(ending: str, method: str, populations: Populations) -> str:
    """Say what is compared; how, and given what, is said once, beside the model's own number."""
    return "; ".join(filter(None, (_ROLES[ending], *(() if ending else (method, populations.note)))))


def _scale(subject: Subject, training: Tensor) -> Tensor:
    """Return what to divide each entry by so that entries of different units count alike."""
    spread = training.std(0, correction=0)
    if subject.view.is_image or subject.view.source.kind != "real":
        return torch.ones_like(spread)
    return torch.where(spread > 0, spread, 1.0)


def _events(subject: Subject, split: str, rows: Tensor) -> Tensor:
    """Return the events at `rows` in the data's own units, `(N, D)` in double precision."""
    return torch.cat([_in_units(subject, batch.x) for batch in subject.batches(split, rows)])


def _draws(subject: Subject, size: int, contexts: Tensor | None) -> Tensor:
    """Return `size` draws, or one for each example of `contexts`, in the data's own units, `(N, D)`."""
    with seeded_streams(subject.seed, "evaluation/samples"):
        if contexts is None:
            starts = range(0, size, subject.batch_size)
            parts = [subject.model.sample((min(subject.batch_size, size - start),)) for start in starts]
        else:
            parts = [subject.model.sample((), batch.context) for batch in subject.batches(subject.split, contexts)]
    draws = torch.cat([_in_units(subject, part) for part in parts])
    broken = int((~draws.isfinite().all(1)).sum())
    if broken:
        raise NonFiniteError(
            f"two-sample tests: expected finite draws of {type(subject.model).__name__}; got NaN or infinity in {broken} of "
            f"{len(draws)}. Train the model with smaller steps."
        )
    return draws


def _in_units(subject: Subject, x: Tensor) -> Tensor:
    return subject.view.to_units(x).flatten(1).to("cpu", torch.float64)
