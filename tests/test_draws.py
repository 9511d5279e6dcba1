"""Draws that the families share: their law, and what they are."""

import pytest
import torch

from probgen.draws import bernoulli

DRAWS = 40_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_coins_have_their_law(dtype):
    """The rarest one is below what a uniform number of half precision can tell from zero."""
    p = torch.tensor([0.0, 2**-10, 0.25, 0.75, 1.0], dtype=dtype)
    torch.manual_seed(0)
    ones = bernoulli(p.expand(DRAWS, -1))
    assert ones.dtype == dtype
    assert set(ones.unique().tolist()) == {0.0, 1.0}
    error = (p * (1 - p) / DRAWS).sqrt().double()
    assert ((ones.double().mean(0) - p.double()).abs() <= 5 * error).all()


def test_coins_are_constants():
    logits = torch.zeros(3, requires_grad=True)
    assert not bernoulli(logits.sigmoid()).requires_grad


def test_coins_of_a_transposed_tensor():
    p = torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]).T
    assert torch.equal(bernoulli(p), p)
