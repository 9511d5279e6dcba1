"""Bijections with a mistake."""

from __future__ import annotations

from torch import Tensor

from probgen.testing.twins.originals import Affine

__all__ = [
    "AveragesOverEntries",
    "ForgetsTheShift",
    "HasOneSign",
    "IgnoresTheContextBackwards",
    "StopsTooEarly",
    "SumsDeterminantsOverTheBatch",
    "WrongSignBothWays",
]


class ForgetsTheShift(Affine):
    """Does not add on the way back what it subtracted."""

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = super()._inverse(z, context)
        return x - self.loc, log_det


class HasOneSign(Affine):
    """Returns one log-determinant for both directions."""

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = super()._inverse(z, context)
        return x, -log_det


class IgnoresTheContextBackwards(Affine):
    """Is conditional in one direction only."""

    def __init__(self) -> None:
        super().__init__(context=2)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return super()._inverse(z, None)


class StopsTooEarly(Affine):
    """Solves for one entry after the other and leaves the last out."""

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = super()._inverse(z, context)
        return x - 1e-4 * z[:, -1:], log_det


class WrongSignBothWays(Affine):
    """Returns each log-determinant for the other direction."""

    def _transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = super()._transform(x, context)
        return z, -log_det

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = super()._inverse(z, context)
        return x, -log_det


class AveragesOverEntries(Affine):
    """Takes the mean over entries for the sum."""

    def _transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = super()._transform(x, context)
        return z, log_det / 3


class SumsDeterminantsOverTheBatch(Affine):
    """Gives every event the log-determinant of all."""

    def _transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = super()._transform(x, context)
        return z, log_det.sum().expand(len(x))
