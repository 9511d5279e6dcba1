"""Affine flows, trained by maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from benchmarks.families import flow_peers
from benchmarks.families.flow_peers import Kind, PeerFlow
from benchmarks.support.contest import Contestant, Goal, Row, Unavailable
from benchmarks.support.data import rows as table_rows
from benchmarks.support.loops import fit_step, torch_step
from benchmarks.support.setting import Setting
from probgen import MaximumLikelihood

__all__ = ["rows"]

TRANSFORMS = 5
RATES = {21: 1e-3, 784: 1e-4}  # at which the loss falls from the start


def rows(setting: Setting) -> Iterator[Row]:
    """Yield both flows on tables of 21 columns and on events as large as pictures."""
    small = {"probgen": Goal(0.80, 0.85), "probgen graph": Goal(0.80, 0.85), "probgen inductor": Goal(0.65, 0.70)}
    for kind in ("realnvp", "maf"):
        yield _row(f"{kind}-21", kind, 21, (100, 100), 256, small, setting)
    large = {"realnvp": (512, Goal(0.82, 0.90)), "maf": (800, Goal(0.56, 0.65))}
    for kind, (width, goal) in large.items():
        yield _row(f"{kind}-784", kind, 784, (width, width), 100, {"probgen": goal, "probgen graph": goal}, setting)


def _row(
    name: str, kind: Kind, features: int, hidden: tuple[int, int], batch: int, goals: Mapping[str, Goal], setting: Setting
) -> Row:
    x = table_rows(batch, features)
    sizes = (kind, features, TRANSFORMS, hidden)

    def probgen(execution: str) -> Contestant:
        model = flow_peers.probgen_flow(*sizes)
        return fit_step(model, x, MaximumLikelihood(), setting, execution=execution, rate=RATES[x.shape[1]])

    def by_hand(*, fused: bool) -> Contestant:
        return _trained(flow_peers.by_hand(flow_peers.probgen_flow(*sizes)), x, setting, fused=fused)

    def peer(make: Callable[..., PeerFlow]) -> Contestant:
        if setting.device != "cpu" and make is flow_peers.pyro_flow:
            raise Unavailable("its base distribution stays on the CPU")
        return _trained(make(*sizes), x, setting, fused=False)

    makers = {
        "torch": partial(by_hand, fused=False),
        "torch fused": partial(by_hand, fused=True),
        "probgen": partial(probgen, "eager"),
        "probgen graph": partial(probgen, "graph"),
        "probgen inductor": partial(probgen, "inductor"),
        "zuko": partial(peer, flow_peers.zuko_flow),
        "nflows": partial(peer, flow_peers.nflows_flow),
        "pyro": partial(peer, flow_peers.pyro_flow),
    }
    if "probgen inductor" not in goals:
        del makers["probgen inductor"]
    title = f"{kind}, {features} numbers, {TRANSFORMS} layers of {hidden[0]}-{hidden[1]}, batch {batch}: a training step"
    return Row(name, title, makers, goals=goals, agree=lambda _: _same_density(*sizes, x=x), learning_steps=12)


def _trained(flow: PeerFlow, x: Tensor, setting: Setting, *, fused: bool) -> Contestant:
    setting.place(flow)
    x = setting.place(x)
    return torch_step(lambda: -flow.log_prob(x).mean(), flow.parameters(), setting, fused=fused, rate=RATES[x.shape[1]])


@torch.no_grad()
def _same_density(*sizes: object, x: Tensor) -> None:
    """Stop unless the hand-written flow scores as probgen's does at the same weights."""
    flow = flow_peers.probgen_flow(*sizes)
    torch.testing.assert_close(flow_peers.by_hand(flow).log_prob(x), flow.log_prob(x), rtol=1e-4, atol=1e-3)
