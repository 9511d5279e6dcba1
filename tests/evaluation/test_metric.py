"""A metric says what it is, and survives JSON."""

from __future__ import annotations

import json
import math

import pytest
import torch

from probgen.errors import ConfigurationError
from probgen.evaluation.metric import Metric, mean_metric, negated


def test_mean_metric_has_the_mean_and_its_standard_error():
    values = torch.tensor([1.0, 2.0, 4.0, 9.0])
    metric = mean_metric("score", values, kind="estimate", unit="nats")
    assert metric.value == 4.0
    assert metric.stderr == pytest.approx(math.sqrt(sum((v - 4.0) ** 2 for v in values.tolist()) / 3 / 4))
    assert metric.n == 4


def test_mean_is_taken_in_double_precision():
    values = torch.full((100_000,), 1e4) + torch.arange(100_000) % 2
    assert mean_metric("score", values, kind="exact", unit="nats").value == 10000.5


def test_one_example_has_no_standard_error():
    assert mean_metric("score", torch.tensor([1.0]), kind="exact", unit="nats").stderr is None


def test_impossible_examples_are_counted_and_not_dropped():
    metric = mean_metric("score", torch.tensor([0.0, -torch.inf, 1.0]), kind="exact", unit="nats", note="why")
    assert metric.value == -math.inf
    assert metric.stderr is None
    assert metric.note == "why; 1 of 3 examples have no finite value"


def test_json_is_strict_and_comes_back():
    metric = Metric("score", -1.5, "lower bound", "nats", 0.25, 7, "a note")
    fields = json.loads(json.dumps(metric.to_json(), allow_nan=False))
    assert list(fields) == ["name", "value", "kind", "unit", "stderr", "n", "note"]
    assert Metric.from_json(fields) == metric


def test_json_says_in_words_what_it_cannot_hold():
    fields = Metric("score", -math.inf, "exact", "nats", math.nan, 7).to_json()
    assert json.dumps(fields, allow_nan=False)
    assert (fields["value"], fields["stderr"], fields["note"]) == (None, None, "the value is -inf")
    assert math.isnan(Metric.from_json(fields).value)


def test_a_bound_turns_round_with_its_sign():
    kinds = ["exact", "lower bound", "upper bound", "estimate"]
    assert [negated(kind) for kind in kinds] == ["exact", "upper bound", "lower bound", "estimate"]


@pytest.mark.parametrize(("field", "value"), [("kind", "guess"), ("n", -1)])
def test_a_malformed_metric_is_refused(field, value):
    fields = {"name": "score", "value": 0.0, "kind": "exact", "unit": "nats", "stderr": None, "n": 1, field: value}
    with pytest.raises(ConfigurationError, match=f"Metric: expected {field}"):
        Metric(**fields)
