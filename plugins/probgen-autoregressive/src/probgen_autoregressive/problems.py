"""Small models on which the average over masks is known: what `MaskSampling` is held against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from probgen import Batch
from probgen.testing import Oracle, Problem, Situation
from probgen_autoregressive.examples import stirred
from probgen_autoregressive.made import MADE

__all__ = ["mask_ensembles"]


def mask_ensembles() -> list[Problem]:
    """Return MADEs with a few masks, with and without a context."""
    average = Oracle(_average_over_masks, maximised=True)
    return [Problem(name, make, {"masked_log_prob": average}) for name, make in (("masks", _masks), ("orders", _orders))]


def _average_over_masks(situation: Situation) -> Tensor:
    model, batch = situation.model, situation.batch
    return torch.stack([model.log_prob_under(mask, batch.x, batch.context) for mask in range(model.num_masks)]).mean(0)


def _masks(dtype: torch.dtype) -> tuple[MADE, Batch]:
    made = MADE(event_shape=(3,), context_shape=None, support=constraints.boolean, hidden=(4,), masks=3)
    return stirred(made).to(dtype), Batch(torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=dtype))


def _orders(dtype: torch.dtype) -> tuple[MADE, Batch]:
    made = MADE(event_shape=(2,), context_shape=(1,), support=constraints.real, hidden=(4,), masks=2, order="shuffled")
    events = torch.tensor([[0.3, -1.1], [0.8, 0.2]], dtype=dtype)
    return stirred(made).to(dtype), Batch(events, context=torch.tensor([[0.5], [-1.0]], dtype=dtype))
