"""Small games whose value is known: generators that list their draws, critics that are tables."""

import torch
from torch import nn

from probgen import Batch, Reparameterized


class Listed(nn.Module, Reparameterized):
    """Returns the same events each time, shifted by a parameter, so that a batch's mean is an expectation."""

    def __init__(self, events):
        super().__init__()
        self.events = events
        self.event_shape, self.context_shape = events.shape[1:], None
        self.support = torch.distributions.constraints.real
        self.shift = nn.Parameter(torch.zeros(self.event_shape, dtype=events.dtype))

    def _rsample(self, n, context):
        return self.events[:n] + self.shift


class Table(nn.Module):
    """A score for each of a few events, which are one-hot."""

    def __init__(self, scores):
        super().__init__()
        self.scores = nn.Parameter(scores.clone())

    def forward(self, x):
        return x @ self.scores


def repeated(counts):
    """Return one-hot events, each as often as it counts."""
    return torch.eye(len(counts), dtype=torch.float64).repeat_interleave(torch.tensor(counts), 0)


def estimate_of(estimator, model, batch, phase="critic", state=None):
    """Return an estimate in the phase of a name, with the phase."""
    (chosen,) = (each for each in estimator.phases(model) if each.name == phase)
    return chosen(model, batch, estimator.initial_state(model, batch) if state is None else state), chosen


REAL, FAKE = (1, 2, 3, 3, 2, 1), (3, 1, 1, 2, 2, 3)
"""How often each of six events is drawn from the data, and by the generator, in twelve draws."""


def six_points():
    """Return a batch, a generator, and the two probabilities of each of six events."""
    counts = [torch.tensor(each, dtype=torch.float64) / 12 for each in (REAL, FAKE)]
    return Batch(repeated(REAL)), Listed(repeated(FAKE)), *counts
