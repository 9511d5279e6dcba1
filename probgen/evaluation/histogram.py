"""The simplest model of discrete data, entries independent of each other: what any model must beat."""

from __future__ import annotations

import torch
from torch import Tensor

from probgen.errors import CapabilityError
from probgen.evaluation.subject import Subject

__all__ = ["histogram_log_prob", "histogram_samples"]


def histogram_log_prob(subject: Subject) -> Tensor:
    r"""Return the log-probability of each judged example under independent entries, in nats, `(N,)`.

    $$\log p(x) = \sum_d \log \frac{n_d(x_d) + 1}{n + L}$$

    with $n_d(v)$ the number of the $n$ training examples whose entry $d$ is $v$, one of $L$ levels.

    Raises:
        CapabilityError: the data do not lie on a finite lattice.
    """
    levels = subject.view.levels
    if levels is None:
        raise CapabilityError(
            f"histogram_log_prob: expected data on a finite lattice; got view {subject.view.name!r} of "
            f"{subject.view.source.name}. Compare densities with a fitted Gaussian instead."
        )
    size = len(subject.view.split("train"))
    counts = torch.zeros(subject.view.event_shape.numel() * levels, dtype=torch.int64)
    for batch in subject.batches("train", torch.arange(size)):
        counts += torch.bincount(_cells(subject, batch.x, levels).flatten(), minlength=len(counts))
    log_prob = ((counts + 1).double() / (size + levels)).log()
    scores = [log_prob[_cells(subject, batch.x, levels)].sum(1) for batch in subject.batches(subject.split, subject.rows)]
    return torch.cat(scores)


def histogram_samples(events: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return `size` events whose entries are each drawn from those of `events`, independently of each other.

    Shapes:
        events: `(N, D)`.
        returns: `(size, D)`.

    Example:
        >>> histogram_samples(torch.tensor([[0.0, 5.0]]), 2, torch.Generator()).tolist()
        [[0.0, 5.0], [0.0, 5.0]]
    """
    chosen = torch.randint(len(events), (size, events.shape[1]), generator=generator)
    return events.gather(0, chosen)


def _cells(subject: Subject, x: Tensor, levels: int) -> Tensor:
    """Return where each entry stands in the flat table of (entry, level), `(N, D)`."""
    values = subject.view.to_units(x).flatten(1).long().cpu()
    return values + levels * torch.arange(values.shape[1])
