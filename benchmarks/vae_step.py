"""Step time of one VAE (784-400-400-20, batch 128): probgen, a bare PyTorch loop, and Pyro's SVI, on the same weights.

The cases take turns within a round, so that a busy neighbour hits all of them; the ratios printed are medians over rounds of
ratios within a round. Absolute times mean little.

    python benchmarks/vae_step.py --rounds 30 --threads 2
"""

from __future__ import annotations

import argparse
import copy
import itertools

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro.infer import SVI, TraceMeanField_ELBO
from support.rounds import Step, measured, ratio, step_times
from torch import Tensor, nn
from torch.distributions import constraints

from probgen import ELBO, Stage, as_source
from probgen.pyro_bridge import without_validation
from probgen.training.settings import Settings
from probgen.training.stage_run import StageRun
from probgen.training.world import World
from probgen_latent.vae import VAE

SHAPE, LATENT, HIDDEN, BATCH = (784,), 20, (400, 400), 128


def probgen_step(vae: VAE, x: Tensor) -> Step:
    """A step of `fit`, all of it: the batch gathered from the data, streams seeded, estimate, gradient, checks, metrics."""
    source = as_source({"train": x.repeat(20, 1)}, kind="binary", name="noise")
    stage = Stage(ELBO(), batch_size=BATCH)
    run = StageRun(vae, stage, source.view("binary"), Settings(), device=torch.device("cpu"), world=World())
    numbers = itertools.count()
    return lambda: run.step(next(numbers))


def bare_step(vae: VAE, x: Tensor) -> Step:
    """The same networks in a hand-written loop, without distribution objects."""
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)
    encoder, head, decoder = vae.encoder.body, vae.posterior.head, vae.decoder.network.body
    limit = vae.posterior.limit

    def step() -> Tensor:
        mean, log_scale = head(encoder(x)).chunk(2, -1)
        log_scale = limit * torch.tanh(log_scale / limit)
        scale = log_scale.exp()
        logits = decoder(mean + scale * torch.randn_like(scale))
        reconstruction = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        divergence = (0.5 * (mean.square() + scale.square() - 1.0) - log_scale).sum(1)
        loss = (divergence - reconstruction).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step


def pyro_step(vae: VAE, x: Tensor) -> Step:
    """The same networks as Pyro's own tutorial would train them."""
    networks = nn.ModuleDict({"encoder": vae.encoder.body, "head": vae.posterior.head, "decoder": vae.decoder.network.body})
    limit = vae.posterior.limit

    def model(x: Tensor) -> None:
        pyro.module("decoder", networks["decoder"])
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), LATENT), torch.ones(len(x), LATENT)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=networks["decoder"](z)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", networks["encoder"])
        pyro.module("head", networks["head"])
        with pyro.plate("data", len(x)):
            mean, log_scale = networks["head"](networks["encoder"](x)).chunk(2, -1)
            scale = (limit * torch.tanh(log_scale / limit)).exp()
            pyro.sample("z", dist.Normal(mean, scale).to_event(1))

    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), TraceMeanField_ELBO())
    return lambda: svi.step(x)


CASES = {"probgen": probgen_step, "bare": bare_step, "pyro": pyro_step}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=10, help="steps of each case in a round")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    x = (torch.rand(BATCH, *SHAPE) < 0.2).float()
    template = VAE.build(SHAPE, None, constraints.boolean, latent=LATENT, hidden=HIDDEN)
    models = {name: copy.deepcopy(template) for name in CASES}
    steps = {name: make(models[name], x) for name, make in CASES.items()}
    with without_validation():
        times = measured(steps, rounds=options.rounds, repeats=options.repeats)
    for name, model in models.items():
        moved = all(not torch.equal(new, old) for new, old in zip(model.parameters(), template.parameters(), strict=True))
        if not moved:
            raise SystemExit(f"{name}: some weights did not change")
    for name, others in (("probgen", ("bare", "pyro")), ("pyro", ("bare",))):
        for other in others:
            print(ratio(times, name, other))
    print(step_times(times))


if __name__ == "__main__":
    main()
