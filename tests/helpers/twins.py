"""Wrong subjects, and the first thing that a check finds wrong with them."""

import torch

from probgen.testing.trial import Trial
from probgen.testing.verdict import Outcome


def first_failure(check, subject):
    """Return the first judgement that fails; None where all pass."""
    torch.manual_seed(0)
    for judgement in check.run(subject, Trial(check.name, "twin", entropy=1)):
        if judgement.verdict.outcome is Outcome.FAILS:
            return judgement
    return None
