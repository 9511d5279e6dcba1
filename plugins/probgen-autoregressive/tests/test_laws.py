"""The laws of single entries."""

import torch

from probgen_autoregressive.laws import BernoulliLaw


def test_logits_of_half_precision_are_scored_exactly():
    logits = (5 * torch.randn(1000, 1)).bfloat16()
    x = torch.rand(1000).lt(0.5).float()
    scores = BernoulliLaw().log_prob(x, logits)
    torch.testing.assert_close(scores, BernoulliLaw().log_prob(x, logits.float()), rtol=0, atol=0)
    assert scores.dtype == torch.float32
