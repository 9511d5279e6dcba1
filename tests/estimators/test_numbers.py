"""Options that are no numbers are refused by name, before anything is computed with them."""

from __future__ import annotations

import pytest

from probgen import ELBO, IWAE, MMD, REINFORCE, RELAX, VIMCO, Adversarial, ConfigurationError, ContrastiveDivergence


@pytest.mark.parametrize(
    ("make", "option", "value"),
    [
        (ELBO, "beta", "x"),
        (ELBO, "beta", True),
        (ELBO, "num_particles", 2.5),
        (IWAE, "num_particles", "5"),
        (VIMCO, "num_particles", None),
        (REINFORCE, "num_particles", "5"),
        (RELAX, "temperature", "hot"),
        (MMD, "num_samples", 10.0),
        (Adversarial, "critic_steps", "5"),
        (ContrastiveDivergence, "k", 1.0),
    ],
)
def test_the_option_is_named(make, option, value):
    with pytest.raises(ConfigurationError, match=f"{make.__name__}: expected {option} as a (whole )?number; got {value!r}"):
        make(**{option: value})
