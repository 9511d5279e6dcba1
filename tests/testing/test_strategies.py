"""Strategies: what they draw is what they say, and the estimators hold on it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.distributions import constraints

from probgen import (
    ELBO,
    MMD,
    Adversarial,
    ContrastiveDivergence,
    DenoisingScoreMatching,
    MaximumLikelihood,
    SupportError,
)
from probgen.estimators.adversarial_losses import Minimax
from probgen.supports import SUPPORT_NAMES, inside, named_support
from probgen.testing import exact_expectation, strategies
from probgen.testing.problem import Situation
from probgen.testing.problems.games import TinyCritic

few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def relative_bias(problem, estimator, quantity, dtype=torch.float64, phase=0):
    """Return how far the expected gradient is from the oracle's, relative to it."""
    model, batch = problem.make(dtype)
    state = estimator.initial_state(model, batch)
    chosen = estimator.phases(model)[phase]
    parameters = list(chosen.parameters.values())

    def gradient_of(scalar):
        gradients = torch.autograd.grad(scalar, parameters, allow_unused=True, materialize_grads=True)
        return torch.cat([gradient.flatten() for gradient in gradients]).detach()

    target = gradient_of(problem.loss(quantity, Situation(model, batch, estimator, state))).double()
    mean = exact_expectation(lambda: gradient_of(chosen(model, batch, state).surrogate), rules=(8, 10)).mean
    return ((mean - target).norm() / target.norm().clamp(min=1e-3)).item()


class TestNumbers:
    @few
    @given(st.data(), st.lists(st.integers(1, 3), max_size=2), st.sampled_from([0.5, 3.0]))
    def test_weights_keep_their_distance_from_zero(self, data, shape, largest):
        drawn = data.draw(strategies.weights(*shape, largest=largest))
        assert drawn.shape == tuple(shape)
        assert drawn.dtype == torch.float64
        assert (drawn.abs() >= 0.299 * largest).all()
        assert (drawn.abs() <= largest).all()

    @pytest.mark.parametrize("name", SUPPORT_NAMES)
    @few
    @given(data=st.data(), shape=strategies.sample_shapes(), dtype=strategies.dtypes())
    def test_tensors_lie_in_their_support(self, name, data, shape, dtype):
        support = named_support(name, levels=5)
        drawn = data.draw(strategies.tensors_in(support, (*shape, 2), dtype=dtype))
        assert drawn.shape == (*shape, 2)
        assert drawn.dtype == dtype
        assert inside(support, drawn, 1).all()

    def test_a_support_without_a_name_is_refused(self):
        with pytest.raises(SupportError):
            strategies.tensors_in(constraints.simplex, (3,))

    @few
    @given(strategies.num_particles(3), strategies.batch_sizes(2), strategies.sample_shapes(max_rank=1, max_size=2))
    def test_ranges(self, particles, batch, shape):
        assert particles in (1, 2, 3)
        assert batch in (1, 2)
        assert shape in ((), (0,), (1,), (2,))


class TestProblems:
    """Each comes with a right estimator, whose expectation it knows."""

    @few
    @given(strategies.densities(), strategies.dtypes())
    def test_densities(self, problem, dtype):
        assert relative_bias(problem, MaximumLikelihood(), "grad:log_prob", dtype) < (
            1e-9 if dtype == torch.float64 else 1e-3
        )

    @pytest.mark.parametrize("kind", ["categorical", "correlated-gaussian", "linear-regression"])
    @few
    @given(data=st.data())
    def test_densities_of_a_kind(self, kind, data):
        assert data.draw(strategies.densities(of=kind)).name == kind

    @few
    @given(strategies.rbms(max_visible=2))
    def test_machines(self, problem):
        assert relative_bias(problem, ContrastiveDivergence(), "cd[1]") < 1e-9

    @few
    @given(strategies.finite_pairs())
    def test_finite_pairs(self, problem):
        estimator = Adversarial(loss=Minimax(), critic=TinyCritic(2))
        assert relative_bias(problem, estimator, "grad:minimax") < 1e-9
        assert relative_bias(problem, estimator, "grad:minimax-generator", phase=1) < 1e-9
        model, batch = problem.make(torch.float64)
        situation = Situation(model, batch, estimator, {})
        assert problem.quantity("minimax", situation).mean() < problem.quantity("minimax-optimum", situation)

    @few
    @given(strategies.gaussian_pairs())
    def test_gaussian_pairs(self, problem):
        """Their discrepancy has a gradient in both directions; a kernel that is narrow beside the noise is left to draws."""
        model, batch = problem.make(torch.float64)
        estimator = MMD()
        state = estimator.initial_state(model, batch)
        value = problem.quantity("mmd2", Situation(model, batch, estimator, state))
        assert all(each.isfinite().all() for each in torch.autograd.grad(value, list(model.parameters())))

    @few
    @given(strategies.diffusions())
    def test_diffusions(self, problem):
        assert not problem.statistical
        assert relative_bias(problem, DenoisingScoreMatching(), "grad:dsm[simple]") < 1e-9

    @few
    @given(strategies.diffusions(features=2, max_batch=2, listed=False))
    def test_diffusions_whose_times_matter(self, problem):
        assert problem.statistical
        assert problem.knows("dsm[likelihood]")

    @few
    @given(
        st.one_of(
            strategies.belief_nets(),
            strategies.belief_chains(),
            strategies.conditional_nets(),
            strategies.gaussian_vaes(),
        ),
        strategies.dtypes(),
    )
    def test_latent_pairs(self, problem, dtype):
        model, batch = problem.make(dtype)
        again, _ = problem.make(dtype)
        situation = Situation(model, batch, ELBO(), {})
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
        assert (problem.quantity("elbo", situation) <= problem.quantity("log_prob", situation) + 1e-5).all()

    @few
    @given(strategies.belief_nets())
    def test_belief_nets_have_no_rare_outcome(self, problem):
        model, batch = problem.make(torch.float64)
        assert problem.quantity("log_prob", Situation(model, batch, ELBO(), {})).min() > -10
