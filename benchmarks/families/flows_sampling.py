"""Draws from affine flows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.families import flow_peers
from benchmarks.families.flow_peers import Kind, PeerFlow
from benchmarks.support.contest import Contestant, Goal, Row, Unavailable
from benchmarks.support.setting import Setting

__all__ = ["rows"]

_LOUD = 10.0  # undoes the factor by which probgen makes the last layer of a new flow small


def rows(setting: Setting) -> Iterator[Row]:
    """Yield coupling flows, whose base takes one pass, and masked ones, whose base takes one for every number."""
    one_pass = Goal(1.0, 1.05)
    yield _row("realnvp-21", "realnvp", 21, 5, (100, 100), 1000, one_pass, setting)
    yield _row("realnvp-784", "realnvp", 784, 5, (512, 512), 100, one_pass, setting)
    yield _row("maf-21", "maf", 21, 5, (100, 100), 1000, Goal(0.33, 0.40), setting)
    yield _row("maf-784", "maf", 784, 2, (128, 128), 16, Goal(0.025, 0.04), setting)


def _row(
    name: str,
    kind: Kind,
    features: int,
    transforms: int,
    hidden: tuple[int, int],
    draws: int,
    goal: Goal,
    setting: Setting,
) -> Row:
    sizes = (kind, features, transforms, hidden)

    def probgen() -> Contestant:
        flow = setting.place(_loud(flow_peers.probgen_flow(*sizes)))
        return Contestant(lambda: flow.sample((draws,)))

    def by_hand() -> Contestant:
        return _drawn(flow_peers.by_hand(_loud(flow_peers.probgen_flow(*sizes))), draws, setting)

    def peer(make: Callable[..., PeerFlow]) -> Contestant:
        if setting.device != "cpu" and make is flow_peers.pyro_flow:
            raise Unavailable("its base distribution stays on the CPU")
        return _drawn(make(*sizes), draws, setting)

    makers = {
        "torch": by_hand,
        "probgen": probgen,
        "zuko": partial(peer, flow_peers.zuko_flow),
        "nflows": partial(peer, flow_peers.nflows_flow),
        "pyro": partial(peer, flow_peers.pyro_flow),
    }
    title = f"{kind}, {features} numbers, {transforms} layers of {hidden[0]}-{hidden[1]}: {draws} draws"
    return Row(f"{name}-draws", title, makers, goals={"probgen": goal}, agree=lambda _: _same_draws(*sizes), trains=False)


def _drawn(flow: Any, draws: int, setting: Setting) -> Contestant:
    setting.place(flow)
    return Contestant(lambda: flow.sample(draws))


@torch.no_grad()
def _loud(flow: nn.Module) -> Any:
    """Return a flow whose numbers depend on each other as after training: how fast a fixed point is reached hangs on it."""
    networks = flow.conditioners if hasattr(flow, "conditioners") else [layer.conditioner.layers for layer in flow.layers]
    for network in networks:
        network[-1].weight.mul_(_LOUD)
    return flow


def _same_draws(*sizes: object) -> None:
    """Stop unless the hand-written flow draws what probgen's does from the same noise."""
    flow = _loud(flow_peers.probgen_flow(*sizes))
    draws: list[Tensor] = []
    for draw in (lambda: flow.sample((8,)), lambda: flow_peers.by_hand(flow).sample(8)):
        torch.manual_seed(0)
        draws.append(draw())
    torch.testing.assert_close(draws[0], draws[1], rtol=1e-3, atol=1e-3)
