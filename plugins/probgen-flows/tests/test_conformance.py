"""The kit's checks of every example of the plugin."""

from __future__ import annotations

from probgen.testing import parametrize_with_checks


@parametrize_with_checks(["flows/realnvp", "flows/maf", "flows/iaf"])
def test_conformance(check):
    check()
