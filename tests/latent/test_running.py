"""`run_pair`: shapes, particle modes, isolation, and what it says of pairs that do not fit."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyro import poutine
from torch import nn

from helpers.pairs import linear_gaussian_pair
from probgen import Batch, CapabilityError, ConfigurationError, PyroPair, ShapeError, run_pair
from probgen.pyro_bridge import sample_prior

MODES = ["fold", "plate", "loop"]


def pair_of(model, guide, **options):
    return PyroPair(model, guide, **{"event_shape": (), **options})


class TestExactPosterior:
    """With the exact posterior as guide every log-weight is the log-evidence, whatever was drawn."""

    @pytest.mark.parametrize("particles", MODES)
    @given(num_particles=st.integers(1, 4), size=st.integers(1, 5))
    def test_every_weight_is_the_evidence(self, particles, num_particles, size):
        pair, model = linear_gaussian_pair(exact=True, particles=particles)
        x = torch.randn(size, 3, dtype=torch.float64)
        trace = run_pair(pair, x, num_particles=num_particles)
        assert trace.log_weights.shape == (num_particles, size)
        torch.testing.assert_close(trace.log_weights, model.log_evidence(x).expand(num_particles, size), rtol=0, atol=1e-9)

    def test_another_guide_has_other_weights(self):
        pair, model = linear_gaussian_pair()
        x = torch.randn(4, 3, dtype=torch.float64)
        assert (run_pair(pair, x).log_weights - model.log_evidence(x)).abs().min() > 1e-6


class TestShapes:
    @pytest.mark.parametrize("particles", MODES)
    @given(num_particles=st.integers(1, 3), size=st.integers(1, 4))
    def test_sites_lead_with_particles_and_examples(self, particles, num_particles, size):
        pair, _ = linear_gaussian_pair(particles=particles)
        trace = run_pair(pair, torch.randn(size, 3, dtype=torch.float64), num_particles=num_particles)
        z, x = trace.sites["z"], trace.sites["x"]
        assert (z.value.shape, x.value.shape) == ((num_particles, size, 2), (num_particles, size, 3))
        assert z.log_p.shape == z.log_q.shape == z.analytic_kl.shape == x.log_p.shape == (num_particles, size)
        assert (trace.num_particles, trace.batch_size, trace.per_example) == (num_particles, size, True)
        assert x.observed
        assert x.log_q is None
        assert x.analytic_kl is None
        assert z.plates == x.plates == ("data",)

    @pytest.mark.parametrize("particles", MODES)
    def test_scores_are_those_of_the_values(self, particles):
        pair, model = linear_gaussian_pair(particles=particles)
        x = torch.randn(4, 3, dtype=torch.float64)
        trace = run_pair(pair, x, num_particles=3)
        z = trace.sites["z"].value
        torch.testing.assert_close(trace.sites["z"].log_p, model.prior().log_prob(z))
        torch.testing.assert_close(
            trace.sites["z"].log_q,
            dist.Normal(pair.guide_program.mean(x), pair.guide_program.log_scale.exp()).to_event(1).log_prob(z),
        )
        assert not torch.equal(z[0], z[1])

    @pytest.mark.parametrize("dim", [-1, -2])
    @pytest.mark.parametrize("particles", MODES)
    def test_the_batch_may_be_any_plate(self, particles, dim):
        """Five examples of four entries, with the plate of the examples on the right or on the left."""

        def program(x, observed):
            with pyro.plate("data", 5 if x is None else len(x), dim=dim), pyro.plate("entries", 4, dim=-3 - dim):
                z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                if observed:
                    pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=x if dim == -2 else x.T)

        pair = pair_of(lambda x: program(x, True), lambda x: program(x, False), event_shape=(4,), particles=particles)
        pair.plate_nesting = 2
        x = torch.randn(5, 4)
        trace = run_pair(pair, x, num_particles=3)
        assert trace.sites["z"].value.shape == (3, 5, 4, 2)
        assert torch.equal(trace.sites["x"].value, x.expand(3, 5, 4))
        expected = dist.Normal(trace.sites["z"].value.sum(-1), 1.0).log_prob(x).sum(-1)
        torch.testing.assert_close(trace.sites["x"].log_p, expected)

    def test_without_plates_the_leftmost_axis_is_the_batch(self):
        def model(x):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 1.0))
            pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=x)

        pair = pair_of(model, lambda x: pyro.sample("z", dist.Normal(x[:, None].expand(-1, 2), 1.0)))
        trace = run_pair(pair, torch.randn(5), num_particles=3)
        assert trace.log_weights.shape == (3, 5)
        assert trace.sites["z"].value.shape == (3, 5, 2)

    def test_a_guide_may_leave_the_plate_out(self):
        pair, _ = linear_gaussian_pair(exact=True)
        plain = PyroPair(pair.model_program, lambda x: pyro.sample("z", pair.model_program.posterior(x)), event_shape=(3,))
        x = torch.randn(4, 3, dtype=torch.float64)
        torch.testing.assert_close(run_pair(plain, x).log_weights, run_pair(pair, x).log_weights)

    def test_sites_may_split_events_differently(self):
        def model(x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=x)

        joint = pair_of(model, lambda x: pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 1.0)))
        trace = run_pair(joint, torch.randn(4))
        torch.testing.assert_close(trace.sites["z"].log_q, trace.sites["z"].log_p)
        assert trace.sites["z"].analytic_kl is None


class TestTerms:
    def test_masks_and_scales_are_applied(self):
        kept = torch.tensor([True, False, True])

        def model(x):
            with pyro.plate("data", len(x)), poutine.scale(scale=2.0), poutine.mask(mask=kept):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

        def guide(x):
            with pyro.plate("data", len(x)), poutine.scale(scale=2.0), poutine.mask(mask=kept):
                pyro.sample("z", dist.Normal(0.5 * x, 1.0))

        trace = run_pair(pair_of(model, guide), x := torch.randn(3))
        z = trace.sites["z"]
        torch.testing.assert_close(z.log_p[0], torch.where(kept, 2 * dist.Normal(0.0, 1.0).log_prob(z.value[0]), 0.0))
        torch.testing.assert_close(z.analytic_kl[0], torch.where(kept, 2 * 0.125 * x.square(), 0.0))
        assert z.scale == 2.0
        with pytest.raises(CapabilityError, match=r"IWAE: expected plates without subsampling; got scale 2 at 'z'"):
            trace.require_per_example("IWAE")

    def test_no_closed_form_where_only_one_side_is_scaled(self):
        def model(x):
            with pyro.plate("data", len(x)):
                with poutine.scale(scale=0.5):
                    z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

        def guide(x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(x, 1.0))

        assert run_pair(pair_of(model, guide), torch.randn(3)).sites["z"].analytic_kl is None

    def test_factors_and_deterministic_values(self):
        def model(x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.deterministic("twice", 2 * z)
                pyro.factor("penalty", -z.square())
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

        def guide(x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(x, 1.0))

        trace = run_pair(pair_of(model, guide), torch.randn(3), num_particles=2)
        assert list(trace.sites) == ["z", "penalty", "x"]
        torch.testing.assert_close(trace.sites["penalty"].log_p, -trace.sites["z"].value.square())

    def test_a_factor_for_the_whole_batch_couples_it(self):
        def model(x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)
            pyro.factor("penalty", torch.tensor(-1.0))

        def guide(x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(x, 1.0))

        trace = run_pair(pair_of(model, guide), torch.randn(3), num_particles=2)
        assert trace.log_weights.shape == (2,)
        with pytest.raises(CapabilityError, match="'penalty' outside of it"):
            trace.require_per_example("IWAE")

    def test_a_guide_may_transform_an_auxiliary_draw(self):
        """z = exp(e) with e Gaussian is a LogNormal; the guide spells out the change of variables."""

        def model(x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.LogNormal(0.0, 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

        def guide(x):
            with pyro.plate("data", len(x)):
                e = pyro.sample("e", dist.Normal(x, 1.0), infer={"is_auxiliary": True})
                pyro.sample("z", dist.Delta(e.exp(), log_density=-e))

        trace = run_pair(pair_of(model, guide), x := torch.randn(3), num_particles=2)
        torch.testing.assert_close(trace.log_guide, dist.LogNormal(x, 1.0).log_prob(trace.sites["z"].value))
        assert trace.sites["e"].auxiliary
        assert torch.equal(trace.sites["e"].log_p, torch.zeros(2, 3))
        assert trace.sites["z"].analytic_kl is None

    @pytest.mark.parametrize("has_rsample", [True, False])
    def test_a_guide_may_have_a_factor(self, has_rsample):
        def guide(x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(x, 1.0))
                pyro.factor("correction", z, has_rsample=has_rsample)

        trace = run_pair(pair_of(lambda x: _observed(x, "z"), guide), x := torch.randn(3), num_particles=2)
        z = trace.sites["z"].value
        torch.testing.assert_close(trace.log_guide, dist.Normal(x, 1.0).log_prob(z) + z)
        assert trace.sites["correction"].reparameterized is has_rsample

    def test_examples_one_by_one_make_one_joint(self):
        """A sequential plate names a site for each example, so that only the joint weight of the batch is left."""

        def model(x):
            for i in pyro.plate("data", len(x)):
                z = pyro.sample(f"z{i}", dist.Normal(0.0, 1.0))
                pyro.sample(f"x{i}", dist.Normal(z, 1.0), obs=x[i])

        def guide(x):
            for i in pyro.plate("data", len(x)):
                pyro.sample(f"z{i}", dist.Normal(x[i] / 2, 0.5**0.5))

        trace = run_pair(pair_of(model, guide), x := torch.randn(3), num_particles=2)
        evidence = dist.Normal(0.0, 2**0.5).log_prob(x).sum()
        torch.testing.assert_close(trace.log_weights, evidence.expand(2))

    def test_missing_entries_are_latents(self):
        seen = torch.tensor([True, False, True])

        def model(x):
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(0.0, 1.0), obs=x, obs_mask=seen)

        def guide(x):
            with pyro.plate("data", len(x)), poutine.mask(mask=~seen):
                pyro.sample("x_unobserved", dist.Normal(1.0, 1.0))

        trace = run_pair(pair_of(model, guide), x := torch.randn(3))
        assert set(trace.sites) == {"x_observed", "x_unobserved"}
        torch.testing.assert_close(trace.sites["x_observed"].log_p[0], dist.Normal(0.0, 1.0).log_prob(x) * seen)


class TestIsolation:
    def test_nothing_is_left_in_the_parameter_store(self):
        pyro.clear_param_store()
        pyro.param("scale", torch.tensor(7.0))

        def model(x):
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(pyro.param("scale", torch.tensor(1.0)), 1.0), obs=x)
                pyro.param("other", torch.tensor(1.0))

        pair = pair_of(model, lambda x: None)
        pair.initialize(Batch(torch.zeros(3)))
        run_pair(pair, torch.zeros(3))
        assert dict(pyro.get_param_store().items()) == {"scale": 7.0}
        assert pair.statements["param_scale"] == 1.0
        pyro.clear_param_store()

    def test_a_program_that_fails_leaves_no_trace(self):
        pyro.clear_param_store()

        def model(x):
            with pyro.plate("data", len(x)):
                pyro.param("scale", torch.tensor(1.0))
                raise ZeroDivisionError

        pair = pair_of(model, lambda x: None)
        for _ in range(2):  # a plate that was never freed would refuse its name the second time
            with pytest.raises(ZeroDivisionError):
                run_pair(pair, torch.zeros(3))
        assert not pyro.get_param_store()
        assert not poutine.runtime._PYRO_STACK

    def test_handlers_outside_do_not_see_inside(self):
        pair, _ = linear_gaussian_pair()
        with poutine.trace() as outside:
            run_pair(pair, torch.randn(2, 3, dtype=torch.float64))
        assert not [name for name, node in outside.trace.nodes.items() if node["type"] == "sample"]

    def test_validation_is_as_the_caller_has_it(self):
        before = torch.distributions.Distribution._validate_args
        pair, _ = linear_gaussian_pair()
        run_pair(pair, torch.randn(2, 3, dtype=torch.float64))
        assert torch.distributions.Distribution._validate_args is before


def _latent(x, *names):
    with pyro.plate("data", len(x)):
        for name in names:
            pyro.sample(name, dist.Normal(torch.zeros(len(x)), 1.0))


def _observed(x, *names):
    _latent(x, *names)
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)


class TestMisfits:
    x = torch.zeros(3)

    def test_a_latent_that_the_guide_lacks(self):
        pair = pair_of(lambda x: _observed(x, "z", "w"), lambda x: _latent(x, "z"))
        with pytest.raises(ConfigurationError, match=r"PyroPair\.model: .*'w', which is not\. The guide draws 'z'"):
            run_pair(pair, self.x)

    def test_a_latent_that_the_model_lacks(self):
        pair = pair_of(lambda x: _observed(x, "z"), lambda x: _latent(x, "z", "w"))
        with pytest.raises(ConfigurationError, match=r"PyroPair\.guide: .*got 'w', which the model does not draw"):
            run_pair(pair, self.x)

    def test_nothing_observed(self):
        pair = pair_of(lambda x: _latent(x, "z"), lambda x: _latent(x, "z"))
        with pytest.raises(ConfigurationError, match="expected an observed site; got none"):
            run_pair(pair, self.x)

    def test_a_guide_that_observes(self):
        pair = pair_of(lambda x: _observed(x, "z"), lambda x: _observed(x, "z"))
        with pytest.raises(ConfigurationError, match="got 'x' observed"):
            run_pair(pair, self.x)

    def test_a_site_that_is_named_twice(self):
        pair = pair_of(lambda x: _observed(x, "z"), lambda x: _latent(x, "z", "z"))
        with pytest.raises(ConfigurationError, match="got 'z' twice"):
            run_pair(pair, self.x)

    def test_another_shape_in_the_guide(self):
        pair = pair_of(lambda x: _observed(x, "z"), lambda x: pyro.sample("z", dist.Normal(0.0, 1.0)))
        with pytest.raises(ShapeError, match=r"\(3,\) in the model \(plates 'data'\) and \(\) in the guide \(plates none\)"):
            run_pair(pair, self.x)

    def test_a_plate_of_another_size_in_the_guide(self):
        def guide(x):
            with pyro.plate("data", 2 * len(x)):
                pyro.sample("z", dist.Normal(0.0, 1.0))

        with pytest.raises(ConfigurationError, match="plate 'data' as in the guide, 6 of 6 rows; got 3 of 3"):
            run_pair(pair_of(lambda x: _observed(x, "z"), guide), self.x)

    def test_no_particles(self):
        pair = pair_of(_observed, lambda x: None)
        with pytest.raises(ConfigurationError, match="num_particles of at least 1; got 0"):
            run_pair(pair, self.x, num_particles=0)

    def test_sites_that_come_and_go(self):
        count = iter(range(10))

        def model(x):
            for index in range(next(count)):
                pyro.factor(f"f{index}", torch.tensor(0.0))
            _observed(x)

        with pytest.raises(ConfigurationError, match="expected the same sites in every run"):
            run_pair(pair_of(model, lambda x: None, particles="loop"), self.x, num_particles=2)


class TestFindingTheBatch:
    x = torch.zeros(4, 4)

    def _model(self, x):
        with pyro.plate("rows", len(x), dim=-2), pyro.plate("columns", 4, dim=-1):
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)

    def test_two_plates_of_its_size(self):
        pair = pair_of(self._model, lambda x: None, event_shape=(4,))
        with pytest.raises(ConfigurationError, match=r"one plate of the batch's size 4; got 'rows', 'columns'"):
            run_pair(pair, self.x)
        pair.batch_plate = "rows"
        assert run_pair(pair, self.x).sites["x"].log_p.shape == (1, 4)

    def test_a_plate_that_is_not_there(self):
        pair = pair_of(self._model, lambda x: None, event_shape=(4,), batch_plate="data")
        with pytest.raises(ConfigurationError, match="an observed site in batch_plate 'data'; got none"):
            run_pair(pair, self.x)

    def test_two_axes_of_its_size_without_plates(self):
        pair = pair_of(lambda x: pyro.sample("x", dist.Normal(0.0, 1.0), obs=x), lambda x: None, event_shape=(4,))
        with pytest.raises(ConfigurationError, match=r"'x' in a plate; got batch shape \(4, 4\)"):
            run_pair(pair, self.x)
        assert run_pair(pair, self.x[:3]).log_joint.shape == (1, 3)

    def test_a_latent_beside_the_plate(self):
        """One plate covers the data; the latent is drawn outside of it, with an axis as long as the batch."""

        def model(x):
            pyro.sample("z", dist.Normal(torch.zeros(4), 1.0))
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(torch.zeros(4), 1.0).to_event(1), obs=x)

        def guide(x):
            pyro.sample("z", dist.Normal(torch.zeros(4), 1.0))

        pair = pair_of(model, guide, event_shape=(4,))
        with pytest.raises(ConfigurationError, match=r"'z' in a plate; .* 4 may be the batch's size by chance"):
            run_pair(pair, self.x)
        pair.batch_plate = "data"  # now it is clear that z is shared
        assert run_pair(pair, self.x).log_weights.shape == (1,)


class TestSamplingThePrior:
    def test_observations_are_drawn(self):
        pair, model = linear_gaussian_pair()
        draws = sample_prior(pair, torch.zeros(20_000, 3, dtype=torch.float64))
        covariance = (model.weight @ model.weight.T + (2 * model.log_scale).exp() * torch.eye(3)).detach()
        error = (draws.T.cov() - covariance).abs()
        spread = torch.sqrt((covariance.square() + covariance.diagonal().outer(covariance.diagonal())) / len(draws))
        assert (error < 5 * spread).all()
        assert not draws.requires_grad

    def test_a_shared_latent_is_drawn_for_each(self):
        def model(x):
            shared = pyro.sample("shared", dist.Normal(0.0, 100.0))
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(shared, 1e-3), obs=x)

        pair = pair_of(model, lambda x: None)
        assert sample_prior(pair, torch.zeros(20)).std() > 10

    def test_several_observations(self):
        def model(x, names=("x", "y")):
            with pyro.plate("data", len(x)):
                for name in names:
                    pyro.sample(name, dist.Normal(0.0 if name == "x" else 99.0, 1e-3), obs=x)

        assert sample_prior(pair_of(model, lambda x: None), torch.zeros(3)).abs().max() < 1
        with pytest.raises(ConfigurationError, match="one called 'x'; got 2"):
            sample_prior(pair_of(lambda x: model(x, ("y", "w")), lambda x: None), torch.zeros(3))

    def test_factors_are_left_alone(self):
        class Model(nn.Module):
            def forward(self, x):
                with pyro.plate("data", len(x)):
                    z = pyro.sample("z", dist.Normal(0.0, 1.0))
                    pyro.factor("penalty", -z.square())
                    pyro.sample("x", dist.Normal(z, 1.0), obs=x)

        assert sample_prior(pair_of(Model(), lambda x: None), torch.zeros(3)).shape == (3,)
