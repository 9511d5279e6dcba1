"""What this distribution registers is what it claims to be."""

from probgen.testing import parametrize_with_checks


@parametrize_with_checks(["tutorial/skew-normal", "log-variance"])
def test_conformance(check):
    check()
