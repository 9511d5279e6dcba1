"""`PyroPair` tried on the programs that people bring."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
from pyro.nn import PyroModule, PyroParam, PyroSample
from torch import nn
from torch.distributions import constraints

from helpers.pairs import linear_gaussian_pair
from probgen import ELBO, Batch, CapabilityError, ConfigurationError, PyroPair, fit, run_pair


def gradients(pair, batch, estimator=None):
    """Return the gradient of every parameter through one step of an estimator, by name."""
    (phase,) = (estimator or ELBO()).phases(pair)
    estimate = phase(pair, batch, {})
    names = list(phase.parameters)
    return dict(zip(names, torch.autograd.grad(estimate.surrogate, [phase.parameters[name] for name in names]), strict=True))


def reached(pair, batch):
    """Whether every parameter gets a finite gradient that is not zero."""
    return all(g.isfinite().all() and g.abs().sum() > 0 for g in gradients(pair, batch).values())


class ImageModel(nn.Module):
    """A decoder of images made of convolutions, which take one batch dimension, with batch normalisation."""

    def __init__(self, *, plate=True, norm=True):
        super().__init__()
        self.plate = plate
        self.head = nn.Linear(2, 4 * 2 * 2)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.up = nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1)

    def logits(self, z):
        return self.up(self.norm(self.head(z).view(-1, 4, 2, 2).tanh()))

    def programs(self, x):
        z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 1.0).to_event(1))
        pyro.sample("x", dist.Bernoulli(logits=self.logits(z)).to_event(3), obs=x)

    def forward(self, x):
        if not self.plate:
            return self.programs(x)
        with pyro.plate("data", len(x)):
            return self.programs(x)


class ImageGuide(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 4, stride=2, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten())
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        mean, log_scale = self.head(self.net(x)).chunk(2, -1)
        pyro.sample("z", dist.Normal(mean, log_scale.exp()).to_event(1))


@pytest.fixture
def images():
    return (torch.rand(6, 1, 4, 4) < 0.5).float()


class TestConvolutions:
    @pytest.mark.parametrize("plate", [True, False])
    @pytest.mark.parametrize("particles", ["fold", "loop"])
    def test_particles_of_a_conv_decoder(self, images, plate, particles):
        pair = PyroPair(ImageModel(plate=plate), ImageGuide(), event_shape=(1, 4, 4), particles=particles)
        pair.eval()
        trace = run_pair(pair, images, num_particles=3)
        z = trace.sites["z"].value
        assert z.shape == (3, 6, 2)
        expected = (
            dist.Bernoulli(logits=pair.model_program.logits(z.flatten(0, 1))).to_event(3).log_prob(images.repeat(3, 1, 1, 1))
        )
        torch.testing.assert_close(trace.sites["x"].log_p, expected.view(3, 6))

    def test_it_trains(self, images):
        pair = PyroPair(ImageModel(), ImageGuide(), event_shape=(1, 4, 4))
        assert reached(pair, Batch(images))

    def test_batch_norm_sees_the_batch_and_initialising_leaves_it_alone(self, images):
        pair = PyroPair(ImageModel(), ImageGuide(), event_shape=(1, 4, 4))
        before = {name: value.clone() for name, value in pair.named_buffers()}
        pair.initialize(Batch(images))
        assert all(torch.equal(value, before[name]) for name, value in pair.named_buffers())
        assert pair.training
        run_pair(pair, images)
        assert all(module.num_batches_tracked == 1 for module in pair.modules() if isinstance(module, nn.BatchNorm2d))

    def test_a_program_without_plates_keeps_examples_apart(self, images):
        pair = PyroPair(ImageModel(plate=False, norm=False), ImageGuide(), event_shape=(1, 4, 4))
        pair.eval()
        trace = run_pair(pair, images)
        assert trace.per_example
        assert trace.log_weights.shape == (1, 6)
        assert pair.sample((5,)).shape == (5, 1, 4, 4)


def local_model(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Gamma(2.0, 2.0))
        pyro.sample("x", dist.Normal(z, 0.5), obs=x)


def global_model(x):
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 0.5))
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(mean, scale), obs=x)


AUTOGUIDES = [AutoNormal, AutoMultivariateNormal]


class TestAutoguides:
    @pytest.mark.parametrize("autoguide", AUTOGUIDES)
    @pytest.mark.parametrize("model", [local_model, global_model])
    def test_they_train_after_initialising(self, autoguide, model):
        pair = PyroPair(model, autoguide(model), event_shape=())
        x = torch.rand(5) + 0.5
        with pytest.raises(ConfigurationError, match=rf"got {autoguide.__name__} before initialisation\. Call initialize"):
            run_pair(pair, x)
        assert not list(pair.parameters())
        pair.initialize(Batch(x))
        assert reached(pair, Batch(x))
        assert not pyro.get_param_store()

    def test_only_the_mean_field_keeps_examples_apart(self):
        x = torch.rand(5) + 0.5
        for autoguide, per_example in ((AutoNormal, True), (AutoMultivariateNormal, False)):
            pair = PyroPair(local_model, autoguide(local_model), event_shape=())
            pair.initialize(Batch(x))
            trace = run_pair(pair, x, num_particles=3)
            assert trace.per_example is per_example
            assert trace.log_weights.shape == ((3, 5) if per_example else (3,))

    @pytest.mark.parametrize("autoguide", AUTOGUIDES)
    @pytest.mark.parametrize("particles", ["fold", "plate", "loop"])
    def test_particles_differ(self, autoguide, particles):
        pair = PyroPair(global_model, autoguide(global_model), event_shape=(), particles=particles)
        pair.initialize(Batch(x := torch.randn(5)))
        weights = run_pair(pair, x, num_particles=3).log_weights
        assert weights.shape == (3,)
        assert len(set(weights.tolist())) == 3

    @pytest.mark.parametrize("autoguide", AUTOGUIDES)
    def test_state_round_trips(self, autoguide):
        first, second = (PyroPair(global_model, autoguide(global_model), event_shape=()) for _ in range(2))
        batch = Batch(torch.randn(5))
        first.initialize(batch)
        with torch.no_grad():
            for parameter in first.parameters():
                parameter.add_(torch.randn_like(parameter))
        second.initialize(batch)
        second.load_state_dict(first.state_dict())
        torch.manual_seed(1)
        weights = run_pair(first, batch.x).log_weights
        torch.manual_seed(1)
        assert torch.equal(run_pair(second, batch.x).log_weights, weights)

    def test_local_parameters_belong_to_the_batch_they_were_made_for(self):
        pair = PyroPair(local_model, AutoNormal(local_model), event_shape=())
        pair.initialize(Batch(torch.rand(5)))
        with pytest.raises(ConfigurationError, match="plate 'data' as in the guide, 5 of 5 rows; got 3 of 3"):
            run_pair(pair, torch.rand(3))


class TestParamStatements:
    @staticmethod
    def model(x):
        scale = pyro.param("model.scale", torch.tensor(2.0), constraint=constraints.positive)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))
            pyro.sample("x", dist.Normal(z, scale), obs=x)

    @staticmethod
    def guide(x):
        weights = pyro.param("weights", lambda: torch.tensor([0.5, 0.5]), constraint=constraints.simplex)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(weights[0] * x, 0.5))

    def make(self):
        return PyroPair(self.model, self.guide, event_shape=())

    def test_running_before_initialising(self):
        with pytest.raises(ConfigurationError, match=r"got 'weights', 'model\.scale', new in this run\. Call initialize"):
            run_pair(self.make(), torch.zeros(3))

    def test_they_become_parameters_and_keep_their_constraints(self):
        pair = self.make()
        pair.initialize(Batch(torch.zeros(3)))
        parameters = dict(pair.named_parameters())
        assert set(parameters) == {"statements.param_weights", "statements.param_model%2Escale"}
        assert reached(pair, Batch(torch.randn(3)))
        with torch.no_grad():
            parameters["statements.param_model%2Escale"].fill_(torch.tensor(3.0).log())
        trace = run_pair(pair, x := torch.randn(3))
        torch.testing.assert_close(trace.sites["x"].log_p, dist.Normal(trace.sites["z"].value, 3.0).log_prob(x))

    def test_a_second_initialisation_changes_nothing(self):
        pair = self.make()
        pair.initialize(Batch(torch.zeros(3)))
        before = dict(pair.named_parameters())
        pair.initialize(Batch(torch.ones(4)))
        assert all(parameter is before[name] for name, parameter in pair.named_parameters())

    def test_state_round_trips(self):
        first, second = self.make(), self.make()
        first.initialize(Batch(torch.zeros(3)))
        second.initialize(Batch(torch.zeros(3)))
        with torch.no_grad():
            first.statements["param_weights"].fill_(1.5)
        second.load_state_dict(first.state_dict())
        assert torch.equal(second.statements["param_weights"], first.statements["param_weights"])

    def test_networks_announced_by_pyro_module(self):
        network = nn.Linear(1, 2)

        def guide(x):
            pyro.module("network", network)
            mean, log_scale = network(x[:, None]).unbind(-1)
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(mean, log_scale.exp()))

        pair = PyroPair(self.model, guide, event_shape=())
        pair.initialize(Batch(torch.zeros(3)))
        assert pair.statements["param_network$$$weight"] is network.weight
        assert reached(pair, Batch(torch.randn(3)))

    def test_modules_need_no_initialising(self):
        pair, _ = linear_gaussian_pair()
        assert reached(pair, Batch(torch.randn(4, 3, dtype=torch.float64)))


class TestPyroModules:
    class Model(PyroModule):
        def __init__(self, name=""):
            super().__init__(name)
            self.scale = PyroParam(torch.tensor(1.0), constraint=constraints.positive)
            self.net = nn.Linear(1, 1)
            self.prior_scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(0.0, self.prior_scale))
                pyro.sample("x", dist.Normal(self.net(z[:, None])[:, 0], self.scale), obs=x)

    class Guide(PyroModule):
        def __init__(self, name=""):
            super().__init__(name)
            self.scale = PyroParam(torch.tensor(0.5), constraint=constraints.positive)

        def forward(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(0.5 * x, self.scale))

    def test_they_train(self):
        pair = PyroPair(self.Model(), self.Guide("guide"), event_shape=())
        assert reached(pair, Batch(torch.randn(4)))
        assert "guide_program.scale_unconstrained" in dict(pair.named_parameters())

    def test_names_that_pyro_would_confuse(self):
        with pytest.raises(ConfigurationError, match="got 'scale_unconstrained' in both"):
            PyroPair(self.Model(), self.Guide(), event_shape=())

    def test_a_random_weight_is_a_global_latent(self):
        class Regression(PyroModule):
            def __init__(self):
                super().__init__()
                self.slope = PyroSample(dist.Normal(0.0, 1.0))

            def forward(self, x, context):
                slope = self.slope
                with pyro.plate("data", len(x)):
                    pyro.sample("x", dist.Normal(slope * context, 1.0), obs=x)

        model = Regression()
        pair = PyroPair(model, AutoNormal(model), event_shape=(), context_shape=())
        batch = Batch(torch.randn(5), context=torch.randn(5))
        pair.initialize(batch)
        assert run_pair(pair, batch.x, batch.context, num_particles=2).log_weights.shape == (2,)
        assert reached(pair, batch)
        assert pair.sample((3,), torch.zeros(2)).shape == (3, 2)


class TestCoupledExamples:
    def test_a_global_latent_has_one_weight_for_each_particle(self):
        """The posterior over a Gaussian's mean is known, and the joint weight is the evidence of the whole batch."""
        x = torch.randn(4, dtype=torch.float64)

        def model(x):
            mean = pyro.sample("mean", dist.Normal(x.new_zeros(()), 1.0))
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(mean, 1.0), obs=x)

        def guide(x):
            pyro.sample("mean", dist.Normal(x.sum() / (len(x) + 1), (len(x) + 1) ** -0.5))

        pair = PyroPair(model, guide, event_shape=())
        trace = run_pair(pair, x, num_particles=3)
        evidence = dist.MultivariateNormal(torch.zeros_like(x), torch.eye(4).double() + 1.0).log_prob(x)
        torch.testing.assert_close(trace.log_weights, evidence.expand(3), rtol=0, atol=1e-9)
        assert trace.sites["mean"].shared
        with pytest.raises(
            CapabilityError, match=r"IWAE: expected every site inside the plate of the batch; got 'mean' outside"
        ):
            trace.require_per_example("IWAE")

    def test_a_subsampled_plate_keeps_its_scale_and_its_rows(self):
        rows = torch.arange(100.0)
        seen = []

        def model(x):
            mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
            with pyro.plate("data", len(x), subsample_size=10) as index:
                seen.append(index)
                z = pyro.sample("z", dist.Normal(mean, 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=x[index])

        def guide(x):
            pyro.sample("mean", dist.Normal(0.0, 1.0))
            with pyro.plate("data", len(x), subsample_size=10) as index:
                seen.append(index)
                pyro.sample("z", dist.Normal(x[index], 1.0))

        pair = PyroPair(model, guide, event_shape=())
        trace = run_pair(pair, rows)
        assert torch.equal(seen[0], seen[1])
        x = trace.sites["x"]
        assert (x.scale, x.log_p.shape) == (10.0, (1, 10))
        assert torch.equal(x.value[0], rows[seen[0]])
        torch.testing.assert_close(x.log_p[0], 10 * dist.Normal(trace.sites["z"].value[0], 1.0).log_prob(rows[seen[0]]))
        assert trace.log_weights.shape == (1,)
        assert run_pair(pair, rows, num_particles=2).log_weights.shape == (2,)
        with pytest.raises(CapabilityError, match="use ELBO"):
            trace.require_per_example("IWAE")

    def test_a_plate_over_a_larger_data_set_scales_the_batch(self):
        def model(x):
            with pyro.plate("data", 1000, subsample_size=len(x)):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

        def guide(x):
            with pyro.plate("data", 1000, subsample_size=len(x)):
                pyro.sample("z", dist.Normal(0.5 * x, 1.0))

        pair = PyroPair(model, guide, event_shape=())
        x = torch.randn(10)
        trace = run_pair(pair, x, num_particles=2)
        assert trace.sites["x"].scale == 100.0
        assert trace.log_weights.shape == (2,)
        with pytest.raises(CapabilityError, match="got scale 100 at"):
            trace.require_per_example("IWAE")
        assert ELBO().phases(pair)[0](pair, Batch(x), {}).value.shape == ()


class TestDiscreteLatents:
    @staticmethod
    def model(x, infer=None):
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.Categorical(torch.ones(3)), infer=infer)
            pyro.sample("x", dist.Normal(k.float(), 1.0), obs=x)

    @staticmethod
    def guide(x, infer=None):
        with pyro.plate("data", len(x)):
            pyro.sample("k", dist.Categorical(torch.ones(3)), infer=infer)

    def test_a_site_to_be_enumerated(self):
        enumerate_it = {"enumerate": "parallel"}
        in_model = PyroPair(lambda x: self.model(x, enumerate_it), lambda x: None, event_shape=())
        in_guide = PyroPair(self.model, lambda x: self.guide(x, enumerate_it), event_shape=())
        for pair in (in_model, in_guide):
            with pytest.raises(CapabilityError, match=r"got 'k' with infer=\{'enumerate': …\}\. Sum it out in the model"):
                run_pair(pair, torch.randn(3))

    def test_a_site_that_is_drawn_runs_but_does_not_fit_elbo(self):
        pair = PyroPair(self.model, self.guide, event_shape=())
        trace = run_pair(pair, x := torch.randn(3), num_particles=2)
        assert not trace.sites["k"].reparameterized
        with pytest.raises(CapabilityError, match="ELBO: expected reparameterised latents; got 'k', a Categorical"):
            ELBO().phases(pair)[0](pair, Batch(x), {})


class TestContext:
    @staticmethod
    def model(x, context):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(context.sum(-1), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    @staticmethod
    def guide(x, context):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal((x + context.sum(-1)) / 2, 0.5**0.5))

    @pytest.mark.parametrize("particles", ["fold", "plate", "loop"])
    def test_it_reaches_both_programs(self, particles):
        pair = PyroPair(self.model, self.guide, event_shape=(), context_shape=(2,), particles=particles)
        x, context = torch.randn(4), torch.randn(4, 2)
        evidence = dist.Normal(context.sum(-1), 2**0.5).log_prob(x)
        weights = run_pair(pair, x, context, num_particles=3).log_weights
        torch.testing.assert_close(weights, evidence.expand(3, 4))

    def test_it_conditions_the_draws(self):
        pair = PyroPair(self.model, self.guide, event_shape=(), context_shape=(2,))
        draws = pair.sample((2000,), torch.tensor([[0.0, 0.0], [10.0, 0.0]]))
        assert draws.shape == (2000, 2)
        assert ((draws.mean(0) - torch.tensor([0.0, 10.0])).abs() < 5 * (2 / 2000) ** 0.5).all()


def test_particles_have_three_ways():
    with pytest.raises(ConfigurationError, match="'fold', 'plate' or 'loop'; got 'vmap'"):
        PyroPair(local_model, local_model, event_shape=(), particles="vmap")


class Methods(nn.Module):
    """Two programs as methods of one module, as people write them."""

    def __init__(self):
        super().__init__()
        self.loading, self.encoder = nn.Parameter(torch.tensor(0.1)), nn.Linear(1, 1)

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))
            pyro.sample("x", dist.Normal(self.loading * z[:, None], 1.0).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.encoder(x)[:, 0], 1.0))


def test_methods_of_a_module_train_what_the_module_holds():
    programs = Methods()
    pair = PyroPair(programs.model, programs.guide, event_shape=(1,), inference=("programs.encoder.*",))
    encoder = {"programs.encoder.weight", "programs.encoder.bias"}
    assert {name for name, _ in pair.named_parameters()} == {"programs.loading"} | encoder
    assert set(pair.inference_parameters()) == encoder
    before = {name: tensor.clone() for name, tensor in pair.state_dict().items()}
    fit(pair, torch.randn(40, 1), steps=2)  # without a recipe: by the estimator that bounds the likelihood
    assert all(not torch.equal(tensor, before[name]) for name, tensor in pair.state_dict().items())


def test_a_pair_that_learns_nothing_is_refused():
    programs = Methods()
    pair = PyroPair(lambda x: programs.model(x), lambda x: programs.guide(x), event_shape=(1,))
    with pytest.raises(ConfigurationError, match="without trainable parameters"):
        fit(pair, torch.randn(40, 1), steps=2)
