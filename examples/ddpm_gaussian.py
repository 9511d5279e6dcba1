"""A diffusion model of Gaussian events: its variational bound beside the exact likelihood, and the moments of its draws.

The events have two standard normal entries with a correlation of 0.8. Their density is known, so the gap of the bound is
seen event by event, without the variance of the events: `bound - exact` has a mean of at most 0, and a small standard error.
Draws of the model are held against the exact means and covariances, in standard errors of the draws.

    python examples/ddpm_gaussian.py            # a minute on one core
    python examples/ddpm_gaussian.py --seed 1
"""

from __future__ import annotations

import argparse
import sys
import time

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

import probgen

CORRELATION, TRAINING, TEST, DRAWS = 0.8, 50_000, 20_000, 20_000


def moment_errors(draws: Tensor, law: MultivariateNormal) -> tuple[Tensor, Tensor]:
    """Return how far means and second moments of draws, `(N, D)`, are from those of a centred law, in standard errors."""
    rows, columns = torch.triu_indices(draws.shape[1], draws.shape[1])
    products = draws[:, rows] * draws[:, columns]
    exact = law.covariance_matrix[rows, columns]

    def errors(values: Tensor, expected: Tensor | float) -> Tensor:
        return (values.mean(0) - expected) / (values.std(0) / len(values) ** 0.5)

    return errors(draws, 0.0), errors(products, exact)


def main() -> int:
    """Train, then print the gap of the bound and the errors of the moments."""
    parser = argparse.ArgumentParser(description="A diffusion model of Gaussian events.")
    parser.add_argument("--num-steps", type=int, default=500, help="of the chain")
    parser.add_argument("--steps", type=int, default=8000, help="of training")
    parser.add_argument("--seed", type=int, default=0, help="of data, weights, batches and draws")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the network is too small for more
    torch.manual_seed(arguments.seed)
    law = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]]))
    data, test = law.sample((TRAINING,)), law.sample((TEST,))
    model = probgen.build("diffusion/ddpm", event_shape=(2,), support="real", num_steps=arguments.num_steps)
    start = time.perf_counter()
    probgen.fit(model, data, steps=arguments.steps, ema=0.999, seed=arguments.seed, progress=False)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        gap = (model.log_prob_bound(test) - law.log_prob(test)).double() / 2
        means, products = moment_errors(model.sample((DRAWS,)), law)
    print(f"trained in {seconds:.0f} s; exact {law.log_prob(test).mean() / 2:.4f} nats an entry")
    print(f"bound - exact: {gap.mean():.4f} ± {gap.std() / TEST**0.5:.4f} nats an entry, {TEST} events")
    print(f"moments of {DRAWS} draws, in standard errors: means {rounded(means)}; products {rounded(products)}")
    return 0


def rounded(values: Tensor) -> str:
    """Return values in words."""
    return ", ".join(f"{value:+.1f}" for value in values.tolist())


if __name__ == "__main__":
    sys.exit(main())
