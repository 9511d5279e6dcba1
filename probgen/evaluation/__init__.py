"""Evaluation: what can be said of a model on held-out data, each number with its kind, unit, standard error and n."""

from __future__ import annotations

from probgen.evaluation.classifier import classifier_test
from probgen.evaluation.evaluate import evaluate
from probgen.evaluation.importance import log_evidence
from probgen.evaluation.metric import Kind, Metric, mean_metric
from probgen.evaluation.result import Evaluation
from probgen.evaluation.two_sample import median_distance, mmd_test

__all__ = [
    "Evaluation",
    "Kind",
    "Metric",
    "classifier_test",
    "evaluate",
    "log_evidence",
    "mean_metric",
    "median_distance",
    "mmd_test",
]
