"""What `fit` will do is planned before anything is done."""

import pytest

from probgen import ELBO, build
from probgen.errors import ConfigurationError
from probgen.training import Settings
from probgen.training.planning import planned_recipe


@pytest.mark.parametrize(
    ("mistaken", "remedy"),
    [("elbo", r"got 'elbo'. Pass probgen.build_estimator\('elbo'\)"), (ELBO, r"got ELBO. Pass ELBO\(\)"), (3, "ELBO")],
    ids=["a-name", "a-class", "a-number"],
)
def test_what_is_no_estimator_is_refused(mistaken, remedy):
    with pytest.raises(ConfigurationError, match=remedy):
        planned_recipe(build("latent/vae", "digits"), mistaken, settings=Settings())
