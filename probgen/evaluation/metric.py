"""One number of an evaluation, with everything that a reader must know to compare it with another."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from probgen.errors import ConfigurationError

__all__ = ["Kind", "Metric", "mean_metric", "negated"]

Kind = Literal["exact", "lower bound", "upper bound", "estimate"]
"""What a number is in relation to the quantity that its name promises; a bound may hold in expectation only."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number that says what it is.

    Args:
        name: What was measured, in snake case: `"log_likelihood"`.
        value: The number.
        kind: Whether it *is* the quantity, bounds it (random bounds do so in expectation), or estimates it.
        unit: `"nats"`, `"bits/dim"`, `"probability"`, …
        stderr: Standard error of `value`; None where it has none (a p-value), or cannot be told from one example.
        n: How many examples the number is over.
        note: What else must be said: which classifier, which dequantisation.

    Raises:
        ConfigurationError: `kind` is not one of the four, or `n` is negative.

    Example:
        >>> Metric("log_likelihood", -1.5, "exact", "nats", 0.1, 100).kind
        'exact'
    """

    name: str
    value: float
    kind: Kind
    unit: str
    stderr: float | None
    n: int
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigurationError(
                f"Metric: expected kind {', '.join(map(repr, get_args(Kind)))}; got {self.kind!r}. Say what {self.name} is."
            )
        if self.n < 0:
            raise ConfigurationError(f"Metric: expected n of at least 0; got {self.n}. Count the examples of {self.name}.")

    def to_json(self) -> dict[str, Any]:
        """Return the metric as JSON values. JSON has no infinity and no NaN: such a value is None, and the note says so."""
        fields = dataclasses.asdict(self)
        if self.stderr is not None and not math.isfinite(self.stderr):
            fields["stderr"] = None
        if not math.isfinite(self.value):
            fields["value"] = None
            fields["note"] = _joined(self.note, f"the value is {self.value}")
        return fields

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Metric:
        """Return the metric that `to_json` wrote; a value of None comes back as NaN."""
        value = fields["value"]
        return cls(**{**fields, "value": math.nan if value is None else value})


def mean_metric(name: str, values: Tensor, *, kind: Kind, unit: str, note: str = "") -> Metric:
    r"""Return the mean of `values`, one for each example, with its standard error $s / \sqrt{n}$.

    The mean is taken in double precision. Examples whose value is infinite or NaN are counted in the note, never dropped.

    Shapes:
        values: `(N,)`.

    Example:
        >>> metric = mean_metric("log_likelihood", torch.tensor([-1.0, -2.0, -3.0]), kind="exact", unit="nats")
        >>> metric.value, round(metric.stderr, 4), metric.n
        (-2.0, 0.5774, 3)
    """
    values = values.detach().to(device="cpu", dtype=torch.float64)
    n = values.numel()
    broken = n - int(values.isfinite().sum())
    if broken:
        note = _joined(note, f"{broken} of {n} examples have no finite value")
    stderr = float(values.std() / math.sqrt(n)) if n > 1 and not broken else None
    return Metric(name, float(values.mean()), kind, unit, stderr, n, note)


def negated(kind: Kind) -> Kind:
    """Return what minus a number is: a lower bound on $q$ is, with its sign changed, an upper bound on $-q$."""
    return {"lower bound": "upper bound", "upper bound": "lower bound"}.get(kind, kind)  # pyright: ignore[reportReturnType]


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
