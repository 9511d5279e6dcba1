"""MADE and NADE: training steps, and draws against one pass of the network for every entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints

from benchmarks.support.contest import Contestant, Goal, Row
from benchmarks.support.data import bits
from benchmarks.support.loops import fit_step, torch_step
from benchmarks.support.setting import Setting
from probgen import MaximumLikelihood
from probgen_autoregressive.made import MADE
from probgen_autoregressive.nade import NADE

__all__ = ["by_passes", "nade_loss", "rows"]

HIDDEN, BATCH = 500, 100
ENTRIES = 123


def rows(setting: Setting) -> Iterator[Row]:
    """Yield training of both and draws from both."""
    made, nade = partial(_made, 784), partial(_nade, ENTRIES)
    goal = Goal(0.50, 0.60)
    title = f"MADE 784-{HIDDEN}, batch {BATCH}: a training step"
    yield _training("made", title, made, _made_loss, goal, setting)
    goal = Goal(0.33, 0.40)
    title = f"NADE {ENTRIES}-{HIDDEN}, batch {BATCH}: a training step, against the loop under autograd"
    yield _training("nade", title, nade, nade_loss, goal, setting)
    yield _draws("made-draws", partial(_made, ENTRIES), _made_passes, 1000, Goal(0.03, 0.05), setting)
    yield _draws("nade-draws", nade, _nade_passes, 200, Goal(0.09, 0.12), setting)


def _made(entries: int) -> MADE:
    torch.manual_seed(1)
    return MADE(event_shape=(entries,), context_shape=None, support=constraints.boolean, hidden=(HIDDEN,), direct=False)


def _nade(entries: int) -> NADE:
    torch.manual_seed(1)
    return NADE(event_shape=(entries,), context_shape=None, support=constraints.boolean, hidden=HIDDEN)


# ------------------------------------------------------------------------------------------------------------- training


def _training(
    name: str,
    title: str,
    build: Callable[[], nn.Module],
    loss_of: Callable[..., Callable[[], Tensor]],
    goal: Goal,
    setting: Setting,
) -> Row:
    x = bits(BATCH, build().event_shape.numel())

    def probgen(execution: str) -> Contestant:
        return fit_step(build(), x, MaximumLikelihood(), setting, execution=execution, kind="binary")

    def by_hand(*, fused: bool) -> Contestant:
        model = setting.place(build())
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return torch_step(loss_of(model, setting.place(x)), trained, setting, fused=fused)

    def same_gradient(_: object) -> None:
        model = build()
        ours = torch.autograd.grad(-model.log_prob(x).mean(), list(model.parameters()))
        theirs = torch.autograd.grad(loss_of(model, x)(), list(model.parameters()))
        for own, plain in zip(ours, theirs, strict=True):
            torch.testing.assert_close(own, plain, rtol=1e-3, atol=1e-5)

    makers = {
        "torch": partial(by_hand, fused=False),
        "torch fused": partial(by_hand, fused=True),
        "probgen": partial(probgen, "eager"),
        "probgen graph": partial(probgen, "graph"),
    }
    return Row(name, title, makers, goals={"probgen": goal, "probgen graph": goal}, agree=same_gradient)


def _made_loss(made: MADE, x: Tensor) -> Callable[[], Tensor]:
    """Return the loss of the same network, its weights masked in every step."""
    into, out = made.network.layers
    masks = [made.network.get_buffer(f"mask_{number}") for number in range(2)]

    def loss() -> Tensor:
        hidden = torch.tanh(F.linear(x, into.weight * masks[0], into.bias))
        logits = F.linear(hidden, out.weight * masks[1], out.bias)
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)

    return loss


def nade_loss(nade: NADE, x: Tensor) -> Callable[[], Tensor]:
    """Return the negative log-likelihood by its definition, entry by entry."""

    def loss() -> Tensor:
        running, logits = nade.hidden_bias.expand(len(x), -1), []
        for d in range(x.shape[1]):
            logits.append(torch.sigmoid(running) @ nade.outward[d, 0] + nade.bias[d, 0])
            running = running + x[:, d : d + 1] * nade.inward[d]
        return F.binary_cross_entropy_with_logits(torch.stack(logits, 1), x, reduction="sum") / len(x)

    return loss


# ---------------------------------------------------------------------------------------------------------------- draws


def _draws(
    name: str,
    build: Callable[[], MADE | NADE],
    passes_of: Callable[..., Callable[[Tensor], Tensor]],
    count: int,
    goal: Goal,
    setting: Setting,
) -> Row:
    def probgen() -> Contestant:
        model = setting.place(build())
        return Contestant(lambda: model.sample((count,)))

    def by_hand() -> Contestant:
        passes = passes_of(setting.place(build()))
        return Contestant(lambda: by_passes(passes, ENTRIES, count, setting.device))

    def same_draws(_: object) -> None:
        model, draws = build(), []
        for draw in (lambda: model.sample((count,)), lambda: by_passes(passes_of(model), ENTRIES, count, "cpu")):
            torch.manual_seed(0)
            draws.append(draw())
        differing = float((draws[0] != draws[1]).any(1).double().mean())
        if differing > 0.02:  # rounding may turn a draw now and then
            raise ValueError(f"{differing:.1%} of the draws differ")

    title = f"{type(build()).__name__} {ENTRIES}-{HIDDEN}: {count} draws, against a pass for every entry"
    return Row(name, title, {"torch": by_hand, "probgen": probgen}, goals={"probgen": goal}, agree=same_draws, trains=False)


@torch.no_grad()
def by_passes(logits_of: Callable[[Tensor], Tensor], entries: int, draws: int, device: str) -> Tensor:
    """Draw one entry after the other, with all logits computed anew for each."""
    noise, x = torch.rand(entries, draws, device=device).logit(), torch.zeros(draws, entries, device=device)
    for d in range(entries):
        x[:, d] = logits_of(x)[:, d] > noise[d]
    return x


@torch.no_grad()
def _made_passes(made: MADE) -> Callable[[Tensor], Tensor]:
    """A pass through the network in a hand-written loop, the weights masked beforehand."""
    into, out = made.network.masked_weights(0)
    before, after = [layer.bias for layer in made.network.layers]
    return lambda x: F.linear(torch.tanh(F.linear(x, into, before)), out, after)


def _nade_passes(nade: NADE) -> Callable[[Tensor], Tensor]:
    """A pass that runs over all entries, in the time of a score."""

    def logits(x: Tensor) -> Tensor:
        running, result = nade.hidden_bias.expand(len(x), -1), torch.empty_like(x)
        for d in range(x.shape[1]):
            result[:, d] = torch.sigmoid(running) @ nade.outward[d, 0] + nade.bias[d, 0]
            running = running.addcmul(x[:, d : d + 1], nade.inward[d])
        return result

    return logits
