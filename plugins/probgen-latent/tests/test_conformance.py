"""Every model of this distribution is what it claims to be."""

from __future__ import annotations

from probgen.testing import parametrize_with_checks


@parametrize_with_checks(["latent/vae", "latent/sbn", "latent/helmholtz"])
def test_conformance(check):
    check()
