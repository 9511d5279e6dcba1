"""The scripts behind the page on the quality of estimators: RELAX by quadrature, and factors that should be caught."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from probgen import REINFORCE, RELAX
from probgen.estimators import relax
from probgen.testing import exact_law
from probgen.testing.checks.questions import questions, target_of
from probgen.testing.checks.scenes import Scene, gradients_of, set_up
from probgen.testing.problems.belief_nets import belief_net_problem
from probgen.testing.subjects import estimator_subject

sys.path.append(str(Path(__file__).parents[1] / "docs" / "_support"))

import estimator_power
from relax_quadrature import relax_moments


def scene_of(latents: int) -> Scene:
    return set_up(RELAX(hidden=(3,)), belief_net_problem(visible=2, latents=latents), seed=0)


def exact_gradient(scene: Scene) -> torch.Tensor:
    (asked,) = (each for each in questions(scene.estimator, scene.phases[0]) if each.target == "grad:elbo")
    return target_of(scene, asked)


@pytest.mark.parametrize(("latents", "nodes"), [(1, 16), (2, 12)])
def test_relax_is_unbiased_by_quadrature(latents: int, nodes: int) -> None:
    scene = scene_of(latents)
    found = relax_moments(scene, nodes=nodes)
    assert found.draws == 2**latents * nodes ** (2 * latents)
    torch.testing.assert_close(found.mean, exact_gradient(scene), rtol=0, atol=1e-7)


def test_its_moments_are_those_of_the_exact_tier() -> None:
    scene = scene_of(1)
    (phase,) = scene.phases
    names = [name for name in phase.parameters if name.startswith("programs")]

    def draw() -> torch.Tensor:
        found = gradients_of(phase, scene.estimate(phase))
        return torch.cat([found[name].flatten() for name in names])

    law, found = exact_law(draw, nodes=8), relax_moments(scene, nodes=24)
    np.testing.assert_allclose(law.mean, found.mean, rtol=0, atol=1e-7)
    assert (law.probabilities @ (law.values - law.mean) ** 2).sum() == pytest.approx(found.variance, abs=1e-6)


def test_a_wrong_control_variate_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relax, "_residual", lambda signal, guess: signal - 0.999 * guess)
    scene = scene_of(1)
    assert (relax_moments(scene, nodes=8).mean - exact_gradient(scene)).norm() > 1e-4


def test_only_relax_is_integrated() -> None:
    with pytest.raises(ValueError, match="expected a RELAX"):
        relax_moments(set_up(REINFORCE(), belief_net_problem(), seed=0), nodes=2)


def test_a_factor_breaks_value_and_gradient() -> None:
    subject = estimator_subject(REINFORCE(), name="reinforce")
    right = estimator_power._exact_claims(subject, subject.thing, 0)
    wrong = estimator_power._exact_claims(subject, estimator_power._scaled(subject.thing), 0)
    assert {str(outcome) for outcomes in right.values() for outcome in outcomes} == {"CONFORMS"}
    assert all("FAILS" in {str(outcome) for outcome in outcomes} for outcomes in wrong.values())
    assert len(right) == 2


def test_turned_vectors_keep_their_products() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 9))
    turned = estimator_power._turned(vectors)
    assert turned.shape == (3, 3)
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T)
