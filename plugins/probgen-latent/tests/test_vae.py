"""The VAE: its parts, its programs, and the parts that replace them."""

from __future__ import annotations

from math import log, prod

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    constraints,
    kl_divergence,
)

from probgen import (
    ELBO,
    Autoencoder,
    Batch,
    BoundedLikelihood,
    CapabilityError,
    ConfigurationError,
    Density,
    LatentVariable,
    Reparameterized,
    Sampler,
    ShapeError,
    SupportError,
    as_model,
    run_pair,
)
from probgen.capabilities import capabilities
from probgen.claims import LowerBound
from probgen.nn import Linear
from probgen.supports import categorical
from probgen_latent.examples import vae as examples
from probgen_latent.posterior import DiagonalGaussian
from probgen_latent.vae import VAE

SMALL = {"latent": 2, "hidden": (6,)}


def events(vae, n):
    """Draw `n` events from a VAE, with random contexts where it is conditional."""
    context = None if vae.context_shape is None else torch.randn(n, *vae.context_shape)
    return vae.sample((n,) if context is None else (), context), context


@pytest.mark.parametrize("name", list(examples()))
class TestEveryKind:
    def test_it_trains(self, name):
        vae = examples()[name]
        x, context = events(vae, 5)
        (phase,) = ELBO().phases(vae)
        estimate = phase(vae, Batch(x, context), {})
        assert estimate.value.shape == (5,)
        gradients = torch.autograd.grad(estimate.surrogate, list(phase.parameters.values()))
        assert all(g.isfinite().all() for g in gradients)
        assert len(gradients) == len(list(vae.parameters()))

    def test_particles_are_what_a_loop_gives(self, name):
        vae = examples()[name]
        x, context = events(vae, 4)
        trace = run_pair(vae, x, context, num_particles=3)
        z = trace.sites["z"]
        assert z.value.shape == (3, 4, 2)
        code = vae._code(z.value, None if context is None else context.expand(3, *context.shape))
        torch.testing.assert_close(trace.sites["x"].log_p, vae.decoder.log_prob(x, code))
        torch.testing.assert_close(z.log_p, vae.prior.log_prob(z.value))
        torch.testing.assert_close(z.log_q, vae.posterior.log_prob(z.value, vae.encoder(x, context)))

    def test_shapes_of_what_it_shows(self, name):
        vae = examples()[name]
        x, context = events(vae, 4)
        z = vae.encode(x, context)
        assert z.shape == (4, 2)
        assert vae.decode(z, context).shape == vae.reconstruct(x, context).shape == x.shape
        assert not torch.equal(vae.encode(x, context, sample=True), z)
        assert vae.log_prob_bound(x, context).shape == (4,)
        if context is None:
            assert vae.decode(torch.zeros(2, 3, 2)).shape == (2, 3, *vae.event_shape)

    def test_state_round_trips(self, name):
        first, second = examples()[name], examples()[name]
        second.load_state_dict(first.state_dict())
        x, context = events(first, 3)
        torch.testing.assert_close(first.reconstruct(x, context), second.reconstruct(x, context))

    def test_its_powers(self, name):
        assert capabilities(examples()[name]) == {LatentVariable, Sampler, BoundedLikelihood, Autoencoder}


class TestPrograms:
    def test_nothing_is_left_in_pyros_store(self):
        pyro.clear_param_store()
        run_pair(VAE.build((3,), None, constraints.boolean, **SMALL), torch.zeros(4, 3))
        assert not pyro.get_param_store()

    def test_the_bound_is_a_draw_of_the_elbo(self):
        vae = VAE.build((3,), None, constraints.boolean, **SMALL)
        x = (torch.rand(4, 3) < 0.5).float()
        torch.manual_seed(1)
        bound = vae.log_prob_bound(x)
        torch.manual_seed(1)
        assert torch.equal(bound, run_pair(vae, x).log_weights[0])
        assert vae.bound_claim == LowerBound("log_prob")

    def test_the_bound_is_below_the_evidence(self):
        """With one latent the evidence of each of the eight events is an integral that a grid takes."""
        vae = VAE.build((3,), None, constraints.boolean, latent=1, hidden=(6,)).double()
        for parameter in vae.parameters():
            nn.init.normal_(parameter, std=0.7)
        with torch.no_grad():  # wider than any posterior, so that importance weights are bounded
            vae.posterior.head.weight.mul_(0.1)
            vae.posterior.head.bias.copy_(torch.tensor([0.0, 0.4]))
        x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
        grid = torch.linspace(-8, 8, 2001, dtype=torch.float64)[:, None]
        joint = vae.decoder.log_prob(x[:, None], grid) + Normal(0.0, 1.0).log_prob(grid[:, 0])
        evidence = joint.logsumexp(1) + log(16 / 2000)
        torch.testing.assert_close(evidence.exp().sum(), torch.tensor(1.0).double())
        draws = run_pair(vae, x, num_particles=4000).log_weights
        mean, error = draws.mean(0), draws.std(0) / 4000**0.5
        assert (mean < evidence + 5 * error).all()
        weights = (draws - evidence).exp()  # importance weights average to the evidence
        assert ((weights.mean(0) - 1).abs() < 5 * weights.std(0) / 4000**0.5).all()

    def test_the_divergence_is_in_closed_form(self):
        vae = VAE.build((3,), None, constraints.boolean, **SMALL)
        x = torch.zeros(4, 3)
        mean, scale = vae.posterior.parameters_at(vae.encoder(x))
        expected = kl_divergence(Normal(mean, scale), Normal(0 * mean, 1.0)).sum(-1)
        torch.testing.assert_close(run_pair(vae, x).sites["z"].analytic_kl[0], expected)

    def test_the_context_matters(self):
        vae = VAE.build((3,), (2,), constraints.real, **SMALL)
        x, context = torch.randn(4, 3), torch.randn(4, 2)
        assert not torch.allclose(vae.encode(x, context), vae.encode(x, -context))
        z = torch.zeros(4, 2)
        assert not torch.allclose(vae.decode(z, context), vae.decode(z, -context))
        with pytest.raises(ShapeError, match=r"VAE\.sample: .* got None"):
            vae.sample((2,))

    def test_draws_have_the_contexts_batch(self):
        vae = VAE.build((3,), (2,), constraints.real, **SMALL)
        assert vae.sample((5,), torch.zeros(4, 2)).shape == (5, 4, 3)

    def test_levels_are_centred_for_the_encoder(self):
        vae = VAE.build((3,), None, categorical(5), **SMALL)
        seen = []
        vae.encoder.body.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        vae.encode(torch.tensor([[0, 2, 4]]))
        assert seen[0].tolist() == [[-1.0, 0.0, 1.0]]

    def test_dropout_is_for_training(self):
        vae = VAE.build((3,), None, constraints.real, latent=2, hidden=(50,), dropout=0.5)
        x = torch.randn(4, 3)
        assert not torch.equal(vae.encode(x), vae.encode(x))
        vae.eval()
        assert torch.equal(vae.encode(x), vae.encode(x))

    def test_double_precision_moves_every_part(self):
        vae = VAE.build((3,), None, constraints.boolean, **SMALL).double()
        assert vae.log_prob_bound(torch.zeros(2, 3, dtype=torch.float64)).dtype == torch.float64


class TestAnyEvent:
    @given(
        shape=st.lists(st.integers(1, 3), max_size=3).map(tuple), batch=st.lists(st.integers(1, 3), max_size=2).map(tuple)
    )
    def test_dense_networks_take_any_shape(self, shape, batch):
        vae = VAE.build(shape, None, constraints.real, **SMALL)
        x = vae.sample(batch)
        assert x.shape == (*batch, *shape)
        assert vae.log_prob_bound(x).shape == batch

    @settings(max_examples=15)
    @given(channels=st.integers(1, 2), height=st.integers(4, 9), width=st.integers(4, 9))
    def test_convolutions_take_any_image(self, channels, height, width):
        vae = VAE.build((channels, height, width), None, categorical(3), architecture="conv", **SMALL)
        x = vae.sample((2,))
        assert x.shape == (2, channels, height, width)
        assert vae.reconstruct(x).shape == x.shape
        assert vae.log_prob_bound(x).isfinite().all()

    def test_convolutions_with_a_context(self):
        vae = VAE.build((1, 4, 4), (3,), constraints.boolean, architecture="conv", **SMALL)
        x, context = torch.zeros(2, 1, 4, 4), torch.randn(2, 3)
        assert not torch.allclose(vae.encode(x, context), vae.encode(x, -context))


class AffineFlow(nn.Module, Density, Reparameterized):
    """A correlated Gaussian without `given` of its own, so that no closed form is known."""

    def __init__(self, *, event_shape, context_shape=None, support=constraints.real):
        super().__init__()
        self.event_shape, self.support = torch.Size(event_shape), support
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        size = prod(event_shape)
        self.mix = nn.Parameter(0.3 * torch.randn(size, size).tril(-1) + torch.eye(size))
        self.shift = None if context_shape is None else Linear(prod(context_shape), size)

    def _distribution(self, n, context):
        mean = torch.zeros(n, len(self.mix)) if self.shift is None else self.shift(context)
        return dist.MultivariateNormal(mean, scale_tril=self.mix.tril())

    def _rsample(self, n, context):
        return self._distribution(n, context).rsample()

    def _log_prob(self, x, context):
        return self._distribution(len(x), context).log_prob(x)


class TestReplacedParts:
    def both(self):
        return {
            "prior": AffineFlow(event_shape=(2,)),
            "posterior": AffineFlow(event_shape=(2,), context_shape=(6,)),
        }

    @pytest.mark.parametrize("slots", [("prior",), ("posterior",), ("prior", "posterior")])
    def test_a_flow_is_trained_by_sampled_terms(self, slots):
        parts = {slot: self.both()[slot] for slot in slots}
        vae = VAE.build((3,), None, constraints.boolean, **SMALL, **parts)
        x = (torch.rand(5, 3) < 0.5).float()
        trace = run_pair(vae, x, num_particles=3)
        assert trace.sites["z"].analytic_kl is None
        assert trace.log_weights.shape == (3, 5)
        (phase,) = ELBO().phases(vae)
        estimate = phase(vae, Batch(x), {})
        names = [name for name in phase.parameters if name.endswith("mix")]
        assert len(names) == len(slots)
        assert all(
            g.abs().sum() > 0 for g in torch.autograd.grad(estimate.surrogate, [phase.parameters[name] for name in names])
        )

    def test_any_distribution_is_a_prior(self):
        modes = Independent(Normal(torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), 0.5), 1)
        vae = VAE.build((3,), None, constraints.boolean, **SMALL, prior=MixtureSameFamily(Categorical(torch.ones(2)), modes))
        assert run_pair(vae, torch.zeros(4, 3)).sites["z"].analytic_kl is None
        assert vae.sample((4,)).shape == (4, 3)

    def test_a_distribution_of_an_entry_fills_the_code(self):
        vae = VAE.build((3,), None, constraints.boolean, **SMALL, prior=Normal(1.0, 2.0))
        assert vae.prior.event_shape == (2,)
        assert run_pair(vae, torch.zeros(4, 3)).sites["z"].analytic_kl is not None

    def test_parts_that_do_not_fit(self):
        with pytest.raises(SupportError, match="a model with support"):
            VAE.build((3,), None, constraints.boolean, **SMALL, prior=torch.distributions.Bernoulli(0.5))
        with pytest.raises(ShapeError, match=r"event_shape \(2,\)"):
            VAE.build((3,), None, constraints.boolean, **SMALL, prior=AffineFlow(event_shape=(3,)))
        with pytest.raises(ShapeError, match=r"context_shape \(6,\)"):
            VAE.build((3,), None, constraints.boolean, **SMALL, posterior=AffineFlow(event_shape=(2,)))

    def test_a_part_that_cannot_draw(self):
        class Scorer(nn.Module, Density):
            event_shape, context_shape, support = torch.Size([2]), None, constraints.real

            def _log_prob(self, x, context):
                return -x.square().sum(-1)

        with pytest.raises(CapabilityError, match="VAE: expected a model that is Sampler; got Scorer"):
            VAE.build((3,), None, constraints.boolean, **SMALL, prior=Scorer())

    def test_ready_made_parts_must_agree(self):
        vae = VAE.build((3,), None, constraints.boolean, **SMALL)
        wide = as_model(Independent(Normal(torch.zeros(3), 1.0), 1))
        with pytest.raises(ShapeError, match=r"VAE: expected prior and posterior over one code"):
            VAE(encoder=vae.encoder, posterior=vae.posterior, prior=wide, decoder=vae.decoder)

    def test_a_posterior_that_cannot_be_differentiated_does_not_fit_elbo(self):
        class Detached(DiagonalGaussian):
            def _capabilities(self):
                return frozenset({Density, Sampler})

            def given(self, context=None):
                return Density.given(self, context)

        posterior = Detached(event_shape=(2,), context_shape=(6,))
        vae = VAE.build((3,), None, constraints.boolean, **SMALL, posterior=posterior)
        with pytest.raises(CapabilityError, match="ELBO: expected reparameterised latents; got 'z', a Given"):
            ELBO().phases(vae)[0](vae, Batch(torch.zeros(2, 3)), {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": 0}, "latent and hidden sizes of at least 1; got 0"),
        ({"hidden": ()}, r"latent and hidden sizes of at least 1; got 50 and \(\)"),
        ({"architecture": "transformer"}, "'mlp' or 'conv'; got 'transformer'"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\); got 1.0"),
        ({"activation": "tanhh"}, "Did you mean 'tanh'"),
        ({"likelihood": "poisson"}, "a likelihood among auto"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigurationError, match=message):
        VAE.build((3,), None, constraints.boolean, **options)


def test_the_posterior_is_a_normal_within_bounds():
    posterior = DiagonalGaussian(event_shape=(2,), context_shape=(3,), limit=2.0)
    nn.init.normal_(posterior.head.weight, std=50.0)
    features = torch.randn(100, 3)
    mean, scale = posterior.parameters_at(features)
    assert scale.log().abs().max() <= 2.0 + 1e-5
    draws, scores = posterior.rsample_and_log_prob((), features)
    torch.testing.assert_close(scores, Normal(mean, scale).log_prob(draws).sum(-1))
    torch.testing.assert_close(posterior.given(features).log_prob(draws), scores)
    with pytest.raises(ShapeError, match=r"DiagonalGaussian\.given: expected context of shape \(\.\.\., 3\)"):
        posterior.given(torch.zeros(4))
