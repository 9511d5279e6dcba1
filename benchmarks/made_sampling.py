"""Time to draw from a MADE and from a NADE (500 hidden units): probgen against one full pass for every entry.

The cases take turns within a round, so that a busy neighbour hits all of them; the ratios printed are medians over rounds of
ratios within a round. Absolute times mean little. With the same noise both ways must give the same draws.

    python benchmarks/made_sampling.py --entries 123 --draws 1000 --rounds 10 --threads 2
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from probgen_autoregressive.made import MADE
from probgen_autoregressive.nade import NADE

HIDDEN = 500


@torch.no_grad()
def made_passes(made: MADE) -> Callable[[Tensor], Tensor]:
    """A pass through the network in a hand-written loop, the weights masked beforehand."""
    into, out, direct = made.network.masked_weights(0)
    before, after = [layer.get_parameter("bias") for layer in made.network.layers]
    return lambda x: F.linear(torch.tanh(F.linear(x, into, before)), out, after) + F.linear(x, direct)


def nade_passes(nade: NADE) -> Callable[[Tensor], Tensor]:
    """A pass that runs over all entries, in the time of a score."""
    return lambda x: nade._parameters_of(x.unsqueeze(-1), None).squeeze(-1)


def by_passes(logits_of: Callable[[Tensor], Tensor], entries: int, draws: int) -> Tensor:
    """Draw one entry after the other, with all logits computed anew for each."""
    noise, x = torch.rand(entries, draws).logit(), torch.zeros(draws, entries)
    for d in range(entries):
        x[:, d] = logits_of(x)[:, d] > noise[d]
    return x


def timed(draw: Callable[[], Tensor], repeats: int) -> tuple[float, Tensor]:
    """Return the time of a call, the mean over several, and what the first draws from a fixed seed."""
    torch.manual_seed(0)
    start = time.perf_counter()
    x = draw()
    for _ in range(repeats - 1):
        draw()
    return (time.perf_counter() - start) / repeats, x


@torch.no_grad()
def measure(
    ours: Callable[[], Tensor], theirs: Callable[[], Tensor], rounds: int, repeats: int
) -> list[tuple[float, float]]:
    """Return the times of both in each round, stopping unless they draw the same."""
    times = []
    for _ in range(rounds + 1):
        (our_time, x), (their_time, expected) = timed(ours, repeats), timed(theirs, 1)
        times.append((our_time, their_time))
        differing = (x != expected).any(1).double().mean()
        if differing > 0.01:  # rounding may turn a draw now and then
            raise SystemExit(f"{differing:.1%} of the draws differ")
    return times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=123)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=10, help="calls of probgen in a round, against one by passes")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    shapes = {"event_shape": (options.entries,), "context_shape": None, "support": constraints.boolean}
    made, nade = MADE(**shapes, hidden=(HIDDEN,)), NADE(**shapes, hidden=HIDDEN)
    for name, model, logits_of in (("made", made, made_passes(made)), ("nade", nade, nade_passes(nade))):
        times = measure(
            partial(model._sample, options.draws, None),
            partial(by_passes, logits_of, options.entries, options.draws),
            options.rounds,
            options.repeats,
        )
        low, middle, high = statistics.quantiles([ours / theirs for ours, theirs in times], n=4)
        print(f"{name}, probgen / passes: {middle:.4f} (quartiles {low:.4f} to {high:.4f})")
        medians = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
        print("{:.1f} ms / {:.1f} ms".format(*medians))


if __name__ == "__main__":
    main()
