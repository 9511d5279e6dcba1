"""Models that cannot be saved, copied, moved or converted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from probgen.testing.twins.originals import Coins, Gaussian

__all__ = [
    "ComputesInFloat32",
    "ComputesItsScaleOnce",
    "DrawsFloat32",
    "HoldsATensor",
    "HoldsATensorInAList",
    "IsBoundToTheOriginal",
    "SavesHalfOfItsState",
    "SharesParameters",
]


class ComputesItsScaleOnce(Coins):
    """Keeps probabilities that it computed when it was made, so that training and loading change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.probabilities = self.logits.detach().sigmoid()

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return torch.where(x == 1, self.probabilities, 1 - self.probabilities).log().sum(-1)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return torch.bernoulli(self.probabilities.expand(n, -1))


class IsBoundToTheOriginal(Gaussian):
    """Reads its location through a function that remembers whose it was."""

    def __init__(self) -> None:
        super().__init__()
        self.read = lambda: (self.loc, self.log_scale)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        loc, log_scale = self.read()
        return torch.distributions.Normal(loc, log_scale.exp()).log_prob(x).sum(-1)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        loc, log_scale = self.read()
        return loc + log_scale.exp() * torch.randn(n, 2, dtype=loc.dtype)


class SavesHalfOfItsState(Gaussian):
    """Leaves its scale out of what it saves, and takes what it is given without complaint."""

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the location."""
        return {name: value for name, value in super().state_dict(*args, **kwargs).items() if name == "loc"}

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Load what there is."""
        return super().load_state_dict(state_dict, strict=False, assign=assign)


class SharesParameters(Gaussian):
    """Copies itself by handing out its own parameters."""

    def __deepcopy__(self, memo: dict[int, Any]) -> SharesParameters:
        other = SharesParameters()
        other.loc, other.log_scale = self.loc, self.log_scale
        return other


class ComputesInFloat32(Gaussian):
    """Converts events to float32 before it scores them."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x.float(), context).float()


class HoldsATensor(Gaussian):
    """Keeps a constant that torch does not know of."""

    def __init__(self) -> None:
        super().__init__()
        self.centre = torch.zeros(2)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x - self.centre, context)


class HoldsATensorInAList(Gaussian):
    """Keeps constants in a list, where torch does not look for them."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = [torch.zeros(2), torch.zeros(2)]

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x - self.centres[0], context)


class DrawsFloat32(Gaussian):
    """Returns draws of torch's default type."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return super()._rsample(n, context).float()
