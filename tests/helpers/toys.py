"""Three toys that try the trainer's contract: a game, a chain that must survive, and two stages.

Their estimators live here, outside the package, as a third party's would.
"""

import itertools

import torch
from torch import nn

from probgen import Batch, Density, Estimate, Estimator, MaximumLikelihood, Objective, Phase, Reparameterized
from probgen.capabilities import MarkovKernel, UnnormalizedDensity
from probgen.claims import Biased, Claims, Exact, Heuristic, Unbiased
from probgen.estimator import parameters_of
from probgen.training import OptimizerSettings, Recipe, Stage

# ------------------------------------------------------------------------------------------- a Wasserstein GAN on the plane


class PlaneGenerator(nn.Module, Reparameterized):
    """Maps four normals to the plane."""

    def __init__(self):
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([2]), None
        self.support = torch.distributions.constraints.real
        self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))

    def _rsample(self, n, context):
        return self.net(torch.randn(n, 4))


class WassersteinGP(Estimator):
    """Wasserstein distance by a critic with a gradient penalty, five critic steps for each of the generator."""

    requires = (Reparameterized,)
    objective = Objective("wasserstein", "units of the data", None)
    batch_coupled = True

    def __init__(self, penalty=1.0):
        self._penalty = penalty
        self._critic = None

    @property
    def claims(self):
        return Claims(value=Heuristic("the critic is not optimal"), gradient={"*": Unbiased("grad:game at a fixed critic")})

    @property
    def learned(self):
        return self._critic

    def initialize(self, model, batch):
        self._critic = nn.Sequential(nn.Linear(model.event_shape[0], 16), nn.LeakyReLU(), nn.Linear(16, 1))

    def phases(self, model):
        return [
            Phase("critic", parameters_of(self._critic), self._critic_estimate, repeats=5),
            Phase("generator", parameters_of(model), self._generator_estimate),
        ]

    def _critic_estimate(self, model, batch, state):
        with torch.no_grad():
            fake = model.rsample((len(batch),))
        gap = self._critic(batch.x) - self._critic(fake)
        with torch.enable_grad():
            between = torch.lerp(batch.x, fake, torch.rand(len(batch), 1)).requires_grad_()
            slope = torch.autograd.grad(self._critic(between).sum(), between, create_graph=True)[0]
        penalty = (slope.norm(dim=1) - 1).square().mean()
        return Estimate(self._penalty * penalty - gap.mean(), gap.mean().detach(), info={"penalty": penalty.detach()})

    def _generator_estimate(self, model, batch, state):
        score = self._critic(model.rsample((len(batch),))).mean()
        return Estimate(-score, score.detach())


# ---------------------------------------------------------------------------------- a Boltzmann machine by persistent chains


class SmallRBM(nn.Module, UnnormalizedDensity, MarkovKernel):
    """Six visible and four hidden units."""

    def __init__(self):
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([6]), None
        self.support = torch.distributions.constraints.boolean
        self.weight = nn.Parameter(0.1 * torch.randn(6, 4))
        self.visible_bias = nn.Parameter(torch.zeros(6))
        self.hidden_bias = nn.Parameter(torch.zeros(4))

    def _energy(self, x, context):
        return -(x @ self.visible_bias) - nn.functional.softplus(x @ self.weight + self.hidden_bias).sum(-1)

    def init(self, x, context=None):
        return {"x": x}

    def step(self, state, context=None):
        hidden = torch.bernoulli(torch.sigmoid(state["x"] @ self.weight + self.hidden_bias))
        visible = torch.bernoulli(torch.sigmoid(hidden @ self.weight.T + self.visible_bias))
        return {"x": visible}, {}


class PersistentCD(Estimator):
    """Persistent contrastive divergence: the chains are the state."""

    requires = (UnnormalizedDensity, MarkovKernel)
    objective = Objective("energy-gap", "nats", "minimise")
    batch_coupled = True

    def __init__(self, num_chains=10):
        self._num_chains = num_chains

    @property
    def claims(self):
        return Claims(value=Heuristic("no objective"), gradient={"*": Biased("grad:loglik", "one step from the chains")})

    def initial_state(self, model, batch):
        return {"chains": torch.bernoulli(torch.full((self._num_chains, *model.event_shape), 0.5))}

    def phases(self, model):
        return [Phase("main", parameters_of(model), self._estimate)]

    def _estimate(self, model, batch, state):
        with torch.no_grad():
            chains = model.step({"x": state["chains"]})[0]["x"]
        gap = model.energy(batch.x).mean() - model.energy(chains).mean()
        return Estimate(gap, gap.detach(), state={"chains": chains})


# -------------------------------------------------------------------------------------------- an autoencoder, then a prior


class DiagonalGaussian(nn.Module, Density):
    """A Gaussian over codes."""

    def __init__(self, features):
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([features]), None
        self.support = torch.distributions.constraints.real
        self.loc, self.log_scale = nn.Parameter(torch.zeros(features)), nn.Parameter(torch.zeros(features))

    def _log_prob(self, x, context):
        return torch.distributions.Normal(self.loc, self.log_scale.exp()).log_prob(x).sum(-1)


class CodedGaussian(nn.Module):
    """A linear autoencoder, and a prior over its codes; no `Model` as a whole."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 2), nn.Linear(2, 6)
        self.prior = DiagonalGaussian(2)


class Reconstruction(Estimator):
    """Squared error of an autoencoder."""

    objective = Objective("squared-error", "units²", "minimise")

    @property
    def claims(self):
        return Claims(value=Exact("squared-error"), gradient={"*": Unbiased("grad:squared-error")})

    def phases(self, model):
        return [Phase("main", _prefixed(model), self._estimate)]

    def _estimate(self, model, batch, state):
        error = (model.decoder(model.encoder(batch.x)) - batch.x).square().sum(-1)
        return Estimate(error.mean(), error.detach())


def _prefixed(model):
    return {
        f"{name}.{key}": parameter
        for name in ("encoder", "decoder")
        for key, parameter in parameters_of(getattr(model, name)).items()
    }


def encode(model, batch):
    """Return the batch of codes that the second stage learns."""
    return Batch(model.encoder(batch.x), index=batch.index)


# ------------------------------------------------------------------------------------------------------------ what is run


def data(name):
    """Return a toy's 50 examples."""
    generator = torch.Generator().manual_seed(1)
    if name == "rbm":
        return torch.bernoulli(torch.full((50, 6), 0.3), generator=generator)
    if name == "stages":
        return torch.randn(50, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
    return torch.randn(50, 2, generator=generator) + 2


def make(name):
    """Return a toy's model and recipe."""
    torch.manual_seed(0)
    adam = {"*": OptimizerSettings(learning_rate=1e-2, schedule="cosine", clip_norm=5.0)}
    if name == "rbm":
        return SmallRBM(), Recipe((Stage(PersistentCD(), optimizers=adam, batch_size=12, steps=60),))
    if name == "gan":
        return PlaneGenerator(), Recipe((Stage(WassersteinGP(), optimizers=adam, batch_size=12, steps=60),))
    stages = (
        Stage(Reconstruction(), name="autoencoder", optimizers=adam, batch_size=12, steps=30),
        Stage(MaximumLikelihood(), name="prior", part="prior", prepare=encode, optimizers=adam, batch_size=12, steps=30),
    )
    return CodedGaussian(), Recipe(stages)


NAMES = ("gan", "rbm", "stages")


def exact_log_partition(model):
    """Return log Z of the small RBM by enumeration."""
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)))
    return torch.logsumexp(-model.energy(states), 0)
