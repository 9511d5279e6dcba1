"""What the plugin registers, before the conformance kit; and estimators that are wrong, which it must see."""

from __future__ import annotations

import pytest

from probgen.testing import check_estimator, parametrize_with_checks
from probgen_boltzmann import centering
from probgen_boltzmann.centering import CenteredContrastiveDivergence, centered
from probgen_boltzmann.problems import centered_problems


@parametrize_with_checks(["boltzmann/rbm", "centered-contrastive-divergence"])
def test_conformance(check):
    check()


@pytest.mark.parametrize(("k", "count"), [(1, 2), (2, 1)])
def test_persistent_chains_conform(k, count):
    estimator = CenteredContrastiveDivergence(k=k, persistent=True, offset_rate=0.3)
    report = check_estimator(estimator, problems=centered_problems()[:count], only=["claims"], seed=1)
    assert report.exit_code == 0


class StillOffsets(CenteredContrastiveDivergence):
    """Wrong: the offsets move after the gradient, not before."""

    def _moved_offsets(self, model, batch, state):
        return {name.removeprefix("offsets."): state[name] for name in state if name.startswith("offsets.")}


def plain_biases(gradients, offsets, couplings):
    """Wrong: the weight's gradient alone is centred."""
    moved = centered(gradients, offsets, couplings)
    return {name: moved[name] if name in couplings else gradients[name] for name in moved}


def claims_of(estimator):
    return check_estimator(estimator, problems=centered_problems()[1:2], only=["claims"], seed=1, raising=False)


def test_offsets_that_lag_are_seen():
    assert claims_of(StillOffsets(offset_rate=0.5)).exit_code == 1


def test_biases_that_are_not_centred_are_seen(monkeypatch):
    monkeypatch.setattr(centering, "centered", plain_biases)
    assert claims_of(CenteredContrastiveDivergence()).exit_code == 1


def test_the_plain_gradient_is_seen(monkeypatch):
    monkeypatch.setattr(centering, "centered", lambda gradients, offsets, couplings: dict(gradients))
    assert claims_of(CenteredContrastiveDivergence()).exit_code == 1
