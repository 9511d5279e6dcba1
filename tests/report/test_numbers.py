"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from probgen.report.numbers import duration, measured, typed


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (-86.7742, 0.1234, "−86.77 ± 0.12"),
        (1234.5, 96.0, "1234 ± 96"),
        (0.5, 1.0, "0.5 ± 1.0"),
        (0.001234, 0.0000999, "0.001234 ± 0.000100"),
        (3.0, None, "3"),
        (3.0, math.inf, "3"),
        (math.nan, 1.0, "not finite"),
        (-math.inf, None, "not finite"),
    ],
)
def test_measured(value, stderr, text):
    assert measured(value, stderr) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.25, "0.2 s"), (59.6, "1 min 00 s"), (3600, "1 h 00 min")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_typed():
    assert typed({"name": "flow"}) == "flow"
    assert typed([True, None, 0.5]) == "true,none,0.5"
