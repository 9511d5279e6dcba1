r"""Lenses: how the raw values of a source become what a model sees, and back.

A view is a source seen through a lens. Each lens states its support, whether it needs noise, how to return to the data's own
lattice, and the log-determinant that turns a log-density of what the model sees into one of the data:

$$\log p_{\text{data}}(x) = \log p_{\text{view}}(v) + \log\left|\det \partial v / \partial x\right|$$

Discrete values that are to look continuous are dequantised: $x + u$ with $u$ uniform on (0, 1). Each value owns a cell of
volume one, so the expected log-density of the dequantised values is a lower bound on the log-probability of the discrete
ones (Theis, van den Oord & Bethge, 2016, arXiv:1511.01844).
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen.errors import ConfigurationError
from probgen.supports import levels, named_support, support_name

__all__ = ["Affine", "Identity", "Lens", "Logit", "Renewed", "Threshold", "lens_from_json"]


class Lens(abc.ABC):
    """What turns raw values into a model's events.

    Attributes:
        support: The values that an entry of the view may take.
        summary: What is done to the values, a phrase.
        random: Whether `apply` needs noise.
        lossless: Whether `to_units` brings the raw values back.
        dequantised: Whether uniform noise was added to discrete values.
        rescales: Whether `log_abs_det` is anything but zero.
    """

    support: Constraint
    summary: str
    random: bool = False
    lossless: bool = True
    dequantised: bool = False
    rescales: bool = False

    def noise_bits(self) -> int:
        """Return the resolution of the noise; see `probgen.data.noise.uniform`."""
        return 23

    def prepare(self, raw: Tensor) -> Tensor:
        """Do once, for a whole split, what needs no noise; what is kept stays compact."""
        return raw

    @abc.abstractmethod
    def apply(self, rows: Tensor, noise: Tensor | None) -> Tensor:
        """Turn prepared rows into what the model sees; `noise`, shaped as `rows`, for a random lens."""

    @abc.abstractmethod
    def to_units(self, x: Tensor) -> Tensor:
        """Return events of the view in the data's own units, on their own lattice."""

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return what `lens_from_json` makes the lens of again, as JSON types."""

    def log_abs_det(self, x: Tensor, event_dims: int) -> Tensor:
        r"""Return $\log|\det \partial v / \partial x|$ at events of the view, `(..., *event) -> (...)`."""
        return torch.zeros(_batch_shape(x, event_dims), dtype=_floating(x), device=x.device)


@final
class Identity(Lens):
    """The values as they are: bits and counts as floating point, levels as int64."""

    def __init__(self, support: Constraint, *, integer: bool = False) -> None:
        self.support = support
        self.summary = "as they are"
        self._integer = integer
        self._largest = getattr(support, "upper_bound", 1 if support is constraints.boolean else math.inf)

    def apply(self, rows: Tensor, noise: Tensor | None) -> Tensor:
        """Return the values as floating point, or as int64."""
        return rows.to(torch.int64 if self._integer else torch.get_default_dtype())

    def to_units(self, x: Tensor) -> Tensor:
        """Return the nearest values of the support."""
        return x.to(_floating(x)).round().clamp(0, self._largest)

    def to_json(self) -> dict[str, Any]:
        """Return the support and the type of the values."""
        return {"lens": "identity", **_support_to_json(self.support), "integer": self._integer}


@final
class Threshold(Lens):
    """Bits: whether an intensity exceeds one half. What lay between is lost, and the lattice is that of the bits.

    Args:
        half: Half the full intensity; for levels, the whole number just below it or equal, which says the same.
    """

    support = constraints.boolean
    lossless = False

    def __init__(self, half: float) -> None:
        self.summary = "1 above half the full intensity, else 0"
        self._half = half

    def prepare(self, raw: Tensor) -> Tensor:
        """Return the bits, which need no noise."""
        return (raw > self._half).to(torch.uint8)

    def apply(self, rows: Tensor, noise: Tensor | None) -> Tensor:
        """Return the bits as floating point."""
        return rows.to(torch.get_default_dtype())

    def to_json(self) -> dict[str, Any]:
        """Return the threshold."""
        return {"lens": "threshold", "half": self._half}

    def to_units(self, x: Tensor) -> Tensor:
        """Return the nearest bits; a probability becomes the likelier one."""
        return (x > 0.5).to(_floating(x))


@final
class Renewed(Lens):
    r"""Bits drawn anew in each epoch: 1 with probability $x / x_{\max}$, the intensity.

    Args:
        full: $x_{\max}$.

    References: Salakhutdinov & Murray (2008) for reading grey levels as probabilities.
    """

    support = constraints.boolean
    random = True
    lossless = False

    def __init__(self, full: float) -> None:
        self.summary = "1 with probability equal to the intensity, drawn anew each epoch"
        self._full = full

    def apply(self, rows: Tensor, noise: Tensor | None) -> Tensor:
        """Return bits that are 1 where the noise is below the intensity."""
        draws = _given(noise).mul_(self._full)
        return torch.lt(draws, rows.to(draws.dtype)).to(draws.dtype)

    def to_json(self) -> dict[str, Any]:
        """Return the full intensity."""
        return {"lens": "renewed", "full": self._full}

    def to_units(self, x: Tensor) -> Tensor:
        """Return the nearest bits; a probability becomes the likelier one."""
        return (x > 0.5).to(_floating(x))


@final
class Affine(Lens):
    r"""Shifted and scaled values, $v = (x - m) / s$, entry by entry; dequantised before, $v = (x + u - m) / s$, if discrete.

    Args:
        support: Of the result.
        shift: $m$, of the event's shape or a scalar.
        scale: $s > 0$, likewise.
        entries: How many entries an event has.
        levels: For discrete values, how many there are (`math.inf` for counts); None for real ones.
        largest: The largest discrete value in the data; the noise is as fine as can be undone there.
        summary: What the shift and scale are for.
    """

    def __init__(
        self,
        support: Constraint,
        shift: Tensor,
        scale: Tensor,
        *,
        entries: int,
        levels: float | None,
        largest: float,
        summary: str,
    ) -> None:
        self.support = support
        self.random = self.dequantised = levels is not None
        self.summary = f"dequantised, {summary}" if self.dequantised else summary
        self._shift, self._scale = shift.double(), scale.double()
        self._levels, self._largest, self._entries, self._purpose = levels, largest, entries, summary
        self._log_det = -float(self._scale.log().expand(entries if scale.ndim == 0 else scale.shape).sum())
        self.rescales = bool((scale != 1).any())

    def noise_bits(self) -> int:
        """Return the finest resolution that can be undone."""
        return _undoable_bits(self._largest)

    def prepare(self, raw: Tensor) -> Tensor:
        """Shift and scale now what needs no noise, in float64."""
        if self.dequantised:
            return raw
        return ((raw.double() - self._shift) / self._scale).to(torch.get_default_dtype())

    def apply(self, rows: Tensor, noise: Tensor | None) -> Tensor:
        """Add noise to discrete values, then shift and scale them."""
        if not self.dequantised:
            return rows
        values = _given(noise).add_(rows)
        if self._shift.any():
            values.sub_(self._shift.to(values.dtype))
        return values.div_(self._scale.to(values.dtype)) if self.rescales else values

    def to_units(self, x: Tensor) -> Tensor:
        """Scale and shift back, and take the level whose cell it is."""
        values = x * self._scale.to(x) + self._shift.to(x)
        return values if self._levels is None else values.floor().clamp(0, self._levels - 1)

    def to_json(self) -> dict[str, Any]:
        """Return shift and scale, to the last bit, and what else the lens was made of."""
        return {
            "lens": "affine",
            **_support_to_json(self.support),
            "shift": self._shift.tolist(),
            "scale": self._scale.tolist(),
            "entries": self._entries,
            "levels": "any" if self._levels == math.inf else self._levels,
            "largest": self._largest,
            "summary": self._purpose,
        }

    def log_abs_det(self, x: Tensor, event_dims: int) -> Tensor:
        """Return minus the sum of the log-scales."""
        return torch.full(_batch_shape(x, event_dims), self._log_det, dtype=_floating(x), device=x.device)


@final
class Logit(Lens):
    r"""Logits of values squeezed into the open unit interval, $v = \operatorname{logit}(\lambda + (1 - 2\lambda) y)$.

    Here $y = (x + u) / L$ for $L$ levels, and $y = x$ for values that lie in [0, 1] already;

    $$\log\left|\frac{\partial v}{\partial x}\right| = \log(1 - 2\lambda) - \log L - \log \sigma(v) - \log \sigma(-v).$$

    References: Dinh, Sohl-Dickstein & Bengio (2017), arXiv:1605.08803.
    """

    support = constraints.real
    rescales = True
    margin = 1e-6

    def __init__(self, levels: int | None) -> None:
        self.random = self.dequantised = levels is not None
        self.summary = f"{'dequantised, ' if self.dequantised else ''}squeezed by {self.margin:g} at both ends, as logits"
        self._levels = levels

    def noise_bits(self) -> int:
        """Return the finest resolution that can be undone."""
        return _undoable_bits((self._levels or 1) - 1)

    def prepare(self, raw: Tensor) -> Tensor:
        """Take the logits now where no noise is needed, in float64."""
        return raw if self.dequantised else self._squeezed_logit(raw.double()).to(torch.get_default_dtype())

    def apply(self, rows: Tensor, noise: Tensor | None) -> Tensor:
        """Add noise to discrete values, then take the logits."""
        return self._squeezed_logit(_given(noise).add_(rows).div_(self._levels or 1)) if self.dequantised else rows

    def to_units(self, x: Tensor) -> Tensor:
        """Return from logits to [0, 1], and take the level whose cell it is."""
        unit = (torch.sigmoid(x) - self.margin) / (1 - 2 * self.margin)
        return unit.clamp(0, 1) if self._levels is None else (unit * self._levels).floor().clamp(0, self._levels - 1)

    def to_json(self) -> dict[str, Any]:
        """Return the number of levels."""
        return {"lens": "logit", "levels": self._levels}

    def log_abs_det(self, x: Tensor, event_dims: int) -> Tensor:
        """Return the sum over entries of the log-derivative above."""
        constant = math.log1p(-2 * self.margin) - math.log(self._levels or 1)
        entries = constant - torch.nn.functional.logsigmoid(x) - torch.nn.functional.logsigmoid(-x)
        return entries.reshape(*_batch_shape(x, event_dims), -1).sum(-1)

    def _squeezed_logit(self, unit: Tensor) -> Tensor:
        return torch.logit(self.margin + (1 - 2 * self.margin) * unit)


def lens_from_json(fields: Mapping[str, Any]) -> Lens:
    """Return the lens whose `to_json` gave these fields.

    Raises:
        KeyError: a field is missing.
        ValueError: there is no such lens, or no such support.
    """
    match fields["lens"]:
        case "identity":
            return Identity(_support_from_json(fields), integer=fields["integer"])
        case "threshold":
            return Threshold(fields["half"])
        case "renewed":
            return Renewed(fields["full"])
        case "logit":
            return Logit(fields["levels"])
        case "affine":
            shift, scale = (torch.tensor(fields[name], dtype=torch.float64) for name in ("shift", "scale"))
            return Affine(
                _support_from_json(fields),
                shift,
                scale,
                levels=math.inf if fields["levels"] == "any" else fields["levels"],
                **{name: fields[name] for name in ("entries", "largest", "summary")},
            )
    raise ConfigurationError(f"lens_from_json: expected the name of a lens; got {fields['lens']!r}.")


def _support_to_json(support: Constraint) -> dict[str, Any]:
    name = support_name(support)
    return {"support": name, "values": levels(support) if name == "categorical" else None}


def _support_from_json(fields: Mapping[str, Any]) -> Constraint:
    return named_support(fields["support"], levels=fields["values"])


def _undoable_bits(largest: float) -> int:
    """Return the finest noise that rounding cannot carry across a level's edge, in the default floating-point type.

    Four bits are left to the arithmetic of a view and its inverse, so that `to_units` returns exactly the level that a value
    came from.
    """
    mantissa = 53 if torch.get_default_dtype() == torch.float64 else 24
    return max(1, min(31, mantissa - 4 - math.ceil(math.log2(largest + 1))))


def _given(noise: Tensor | None) -> Tensor:
    if noise is None:
        raise ConfigurationError(
            "Lens.apply: expected noise for a random lens; got None. Draw it with probgen.data.noise.uniform."
        )
    return noise


def _batch_shape(x: Tensor, event_dims: int) -> torch.Size:
    return x.shape[: x.ndim - event_dims]


def _floating(x: Tensor) -> torch.dtype:
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()
