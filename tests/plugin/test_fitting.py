"""A pair of model and estimator that does not fit says so before anything runs."""

from __future__ import annotations

import pytest

from probgen import Density, Enumerable, LatentVariable, Reparameterized, Sampler
from probgen.errors import CapabilityError
from probgen.plugin import build, build_estimator, check_fit, estimators_that_fit
from probgen.plugin.fitting import describe_capabilities

pytestmark = pytest.mark.usefixtures("acme")


@pytest.fixture
def cloud():
    return build("acme/cloud", event_shape=(2,), support="real")


def test_what_fits_passes(cloud):
    check_fit(build_estimator("score-only"), cloud)


def test_what_does_not_fit_says_what_is_needed_and_what_would_fit(cloud):
    with pytest.raises(CapabilityError) as caught:
        check_fit(build_estimator("needs-latents"), cloud)
    start = "NeedsLatents needs a LatentVariable; acme/cloud is a Density and a Reparameterized Sampler. "
    start += "Estimators that fit it: "
    assert str(caught.value).startswith(start)
    fitting = str(caught.value).removeprefix(start).rstrip(".").split(", ")
    assert "score-only" in fitting
    assert "needs-latents" not in fitting
    assert "acme-missing" not in fitting


def test_a_model_made_by_hand_is_called_by_its_class(cloud):
    cloud.provenance = None
    with pytest.raises(CapabilityError, match="; Cloud is a Density and a Reparameterized Sampler"):
        check_fit(build_estimator("needs-latents"), cloud)


def test_no_estimator_fits_what_is_no_model():
    assert estimators_that_fit(object()) == []
    with pytest.raises(CapabilityError, match="object is no model of probgen"):
        check_fit(build_estimator("score-only"), object())


def test_maximum_likelihood_fits_a_density(cloud):
    assert {"maximum-likelihood", "score-only"} <= set(estimators_that_fit(cloud))
    assert "elbo" not in estimators_that_fit(cloud)


@pytest.mark.parametrize(
    ("contracts", "words"),
    [
        ([LatentVariable], "a LatentVariable"),
        ([Sampler], "a Sampler"),
        ([Reparameterized], "a Reparameterized Sampler"),
        ([Density, Enumerable, Sampler], "a Density, a Sampler and an Enumerable"),
    ],
)
def test_capabilities_are_put_into_words(contracts, words):
    assert describe_capabilities(contracts) == words
