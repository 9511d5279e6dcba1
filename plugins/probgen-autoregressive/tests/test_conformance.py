"""Every model and estimator of this distribution is what it claims to be."""

from __future__ import annotations

from probgen.testing import parametrize_with_checks


@parametrize_with_checks(["autoregressive/linear", "autoregressive/nade", "autoregressive/made", "mask-sampling"])
def test_conformance(check):
    check()
