"""Flows as parts of a variational autoencoder: what a flow as prior, as posterior, or as both does to the bound.

Four models that differ in two options of `latent/vae`, by name and with nothing else said, are trained for the same steps
on the same batches and judged on the same test events: the plain one, with a standard prior and a diagonal Gaussian as
posterior; one with a masked autoregressive flow as prior; one with an inverse autoregressive flow as posterior, conditioned
on the encoder's features; and one with both. At the shell the last is

    probgen train latent/vae --data digits -o prior=flows/maf -o posterior=flows/iaf

Printed are, for each seed and model, the evidence lower bound and the importance-sampled log-likelihood in nats with their
standard errors over test events, and what the bound gains on the plain model's of the same seed, event by event; then each
model's mean gain with its standard error over seeds.

    python examples/composed_vae.py                                     # digits, three seeds: six minutes on one core
    python examples/composed_vae.py --data FILE.npz --epochs 10         # a data set of one's own

References:
    Kingma et al. (2016), "Improving variational inference with inverse autoregressive flow", arXiv:1606.04934.
    Chen et al. (2017), "Variational lossy autoencoder", arXiv:1611.02731, for the flow as prior.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import torch
from torch import Tensor

import probgen
from probgen.data import View, matching_view
from probgen.evaluation.importance import ImportanceScores, importance_scores

MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "flow prior": {"prior": "flows/maf"},
    "flow posterior": {"posterior": "flows/iaf"},
    "both": {"prior": "flows/maf", "posterior": "flows/iaf"},
}
"""Options of `latent/vae` by what the model is called in the table."""


def scores(model: Any, view: View, *, particles: int, seed: int) -> ImportanceScores:
    """Return bound and log-likelihood of each test event, `(N,)`, the draws seeded alike for every model."""
    torch.manual_seed(seed)
    split = view.split("test")
    parts = [
        importance_scores(model, split.batch(rows).x.float(), num_particles=particles)
        for rows in torch.arange(len(split)).split(250)
    ]
    return ImportanceScores(torch.cat([part.elbo for part in parts]), torch.cat([part.log_evidence for part in parts]))


def mean_and_error(values: Tensor) -> str:
    """Return the mean over events with its standard error, as text."""
    return f"{values.mean().item():.2f} ± {(values.std() / len(values) ** 0.5).item():.2f}"


def main() -> int:
    """Train and judge every model on every seed; print a row for each, then the mean gains."""
    parser = argparse.ArgumentParser(description="Variational autoencoders with flows as their parts.")
    parser.add_argument("--data", default="digits", help="a data set's name, or a file")
    parser.add_argument("--epochs", type=float, default=None, help="passes through the data; the recipe's when left out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of weights, batches and draws")
    parser.add_argument("--particles", type=int, default=500, help="draws of the posterior for each test event")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the networks are too small for more
    source = probgen.as_source(arguments.data)
    gains: dict[str, list[float]] = {name: [] for name in MODELS}
    header = f"{'seed':<6}{'model':<16}{'steps':>6}{'bound':>17}{f'IS-{arguments.particles}':>17}{'gain in bound':>17}"
    print(header, flush=True)
    for seed in arguments.seeds:
        plain: Tensor | None = None
        for name, options in MODELS.items():
            torch.manual_seed(seed)
            model = probgen.build("latent/vae", source, **options)
            trained = probgen.fit(model, source, epochs=arguments.epochs, seed=seed, progress=False)
            found = scores(model, matching_view(source, model), particles=arguments.particles, seed=seed)
            plain = found.elbo if plain is None else plain
            gains[name].append((found.elbo - plain).mean().item())
            cells = (found.elbo, found.log_evidence, found.elbo - plain)
            row = "".join(f"{mean_and_error(cell):>17}" for cell in cells)
            print(f"{seed:<6}{name:<16}{trained.steps['main']:>6}{row}", flush=True)
    if len(arguments.seeds) > 1:
        for name, values in list(gains.items())[1:]:
            error = statistics.stdev(values) / len(values) ** 0.5
            print(f"{name}: gains {statistics.mean(values):.2f} ± {error:.2f} nats over {len(values)} seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
