"""The classifier two-sample test: how well can a fixed classifier tell two sets of events apart?"""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
import torch
from torch import Tensor

from probgen.errors import ShapeError

__all__ = ["CLASSIFIER", "ClassifierTest", "classifier_test"]

_HIDDEN = (64, 64)
_EPOCHS = 100
_BATCH = 100
_RATE = 5e-3
_PENALTY = 0.1

CLASSIFIER = (
    f"scikit-learn's MLPClassifier with {' and '.join(map(str, _HIDDEN))} ReLU units, {_EPOCHS} epochs of Adam at {_RATE:g} "
    f"in batches of {_BATCH}, L2 penalty {_PENALTY:g}, features standardised, two-fold cross-validated"
)
"""Which classifier tells the events apart: an accuracy means nothing without it."""


@dataclasses.dataclass(frozen=True)
class ClassifierTest:
    r"""The outcome of a classifier two-sample test.

    Args:
        accuracy: Share of held-out events that the classifier puts in the right set; 0.5 where the laws are equal.
        stderr: Its standard error $\sqrt{a (1 - a) / n}$, as if the held-out answers were independent. One right and one
            wrong answer are added for it, lest an accuracy of one be thought certain.
        n: How many events were classified.
    """

    accuracy: float
    stderr: float
    n: int


def classifier_test(x: Tensor, y: Tensor, *, seed: int = 0) -> ClassifierTest:
    r"""Train a classifier on halves of two samples, and score it on the other halves.

    An accuracy near one half means that this classifier, at this size of sample, finds no difference; near one, that it
    tells every event apart. Both samples count alike: the larger is cut to the size of the smaller. The classifier is
    fixed (`CLASSIFIER`), so that accuracies can be compared.

    Args:
        x: One sample.
        y: The other.
        seed: Decides the halves, the classifier's first weights and the order of its batches.

    Shapes:
        x: `(m, D)`.
        y: `(n, D)`.

    Raises:
        ShapeError: a sample has fewer than four events, or the samples' events differ in size.

    Example:
        >>> stream = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(2, 100, 3, generator=stream)
        >>> classifier_test(x, y + 9).accuracy
        1.0

    References:
        Lopez-Paz & Oquab (2017), Revisiting Classifier Two-Sample Tests, arXiv:1610.06545.
    """
    _check(x, y)
    n = min(len(x), len(y))
    features = torch.cat([x[:n], y[:n]]).to(device="cpu", dtype=torch.float64).numpy()
    labels = np.repeat([0, 1], n)
    random = np.random.default_rng(seed)
    folds = np.concatenate([random.permutation(np.arange(n) % 2) for _ in range(2)])
    right = np.concatenate([_held_out_answers(features, labels, folds == fold, seed) for fold in (0, 1)])
    smoothed = (right.sum() + 1) / (len(right) + 2)
    return ClassifierTest(float(right.mean()), math.sqrt(smoothed * (1 - smoothed) / len(right)), len(right))


def _held_out_answers(features: np.ndarray, labels: np.ndarray, held_out: np.ndarray, seed: int) -> np.ndarray:
    """Train on what is not held out; return, for each event that is, whether the classifier was right."""
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    train = ~held_out
    spread = features[train].std(0)
    # A feature that is constant in training says nothing there; dividing by its rounding error would make it shout.
    scale = np.where(spread > 1e-12 * np.abs(features[train]).max(0), spread, np.inf)
    standardised = ((features - features[train].mean(0)) / scale).astype(np.float32)
    classifier = MLPClassifier(
        _HIDDEN,
        learning_rate_init=_RATE,
        alpha=_PENALTY,
        batch_size=min(_BATCH, int(train.sum())),  # pyright: ignore[reportArgumentType]
        random_state=seed % (1 << 32),
    )
    # More threads would slow such small products down, and round them differently from machine to machine.
    with threadpool_limits(1):
        for _ in range(_EPOCHS):  # epoch by epoch: the budget is fixed, and nothing is to be said about convergence
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="Training interrupted")
                try:
                    classifier.partial_fit(standardised[train], labels[train], classes=(0, 1))
                except UserWarning as interruption:  # scikit-learn makes a warning of Ctrl-C
                    raise KeyboardInterrupt from interruption
    return classifier.predict(standardised[held_out]) == labels[held_out]


def _check(x: Tensor, y: Tensor) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 4:
        raise ShapeError(
            f"classifier_test: expected two samples of shape (events, features), 4 events or more, of one size; got "
            f"{tuple(x.shape)} and {tuple(y.shape)}. Flatten each event."
        )
