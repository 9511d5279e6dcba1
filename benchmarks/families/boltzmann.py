"""Restricted Boltzmann machines: contrastive divergence of one and ten steps, persistent chains, annealing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.support.contest import Contestant, Goal, Row, Unavailable
from benchmarks.support.data import bits
from benchmarks.support.loops import fit_step
from benchmarks.support.setting import Setting
from probgen import ContrastiveDivergence
from probgen.training import OptimizerSettings
from probgen_boltzmann.ais import anneal
from probgen_boltzmann.rbm import RBM

__all__ = ["rows"]

VISIBLE, HIDDEN, BATCH, RATE = 784, 500, 100, 0.01
CHAINS, TEMPERATURES = 100, 300


def rows(setting: Setting) -> Iterator[Row]:
    """Yield three ways to train a machine, and the estimate of its log-partition."""
    yield _training("rbm-cd1", "CD-1", 1, setting, persistent=False)
    yield _training("rbm-cd10", "CD-10", 10, setting, persistent=False)
    yield _training("rbm-pcd", "PCD-1", 1, setting, persistent=True)
    yield _annealing(setting)


def _machine() -> RBM:
    torch.manual_seed(0)
    machine = RBM(event_shape=(VISIBLE,), hidden=HIDDEN)
    machine.weight.data.mul_(0.1)
    return machine


# ------------------------------------------------------------------------------------------------------------- training


def _training(name: str, what: str, k: int, setting: Setting, *, persistent: bool) -> Row:
    def probgen(execution: str) -> Contestant:
        machine, estimator = setting.place(_machine()), ContrastiveDivergence(k=k, persistent=persistent)
        descent = OptimizerSettings(name="sgd", learning_rate=RATE, betas=(0.0, 0.0))
        x = bits(BATCH, VISIBLE)
        trained = fit_step(machine, x, estimator, setting, execution=execution, kind="binary", optimizer=descent)
        return _judged(trained.step, machine, x)

    makers: dict[str, Callable[[], Contestant]] = {
        "torch": partial(_by_hand, k, setting, persistent=persistent),
        "torch tuned": partial(_tuned, k, setting, persistent=persistent),
        "probgen": partial(probgen, "eager"),
        "probgen graph": partial(probgen, "graph"),
    }
    if k == 1:
        makers["sklearn"] = partial(_sklearn, setting)
    goal = Goal(0.60, 0.70)
    note = "" if persistent or k > 1 else " (scikit-learn's chains persist)"
    title = f"RBM {VISIBLE}-{HIDDEN}, batch {BATCH}, {what}{note}: a step of gradient ascent"
    return Row(name, title, makers, goals={"probgen": goal, "probgen graph": goal}, learning_steps=24)


def _judged(step: Callable[[], object], machine: RBM, x: Tensor) -> Contestant:
    """Return a contestant whose loss is the error at which the machine reconstructs the data."""
    x = x.to(machine.weight.device)

    @torch.no_grad()
    def error() -> float:
        hidden = torch.sigmoid(F.linear(x, machine.weight, machine.hidden_bias))
        logits = torch.addmm(machine.visible_bias, hidden, machine.weight)
        return float(F.binary_cross_entropy_with_logits(logits, x))

    return Contestant(step, lambda: [machine.weight, machine.visible_bias, machine.hidden_bias], error)


def _prepared(setting: Setting) -> tuple[RBM, Tensor]:
    from probgen import Batch

    machine, x = setting.place(_machine()), setting.place(bits(BATCH, VISIBLE))
    machine.initialize(Batch(x))
    return machine, x


def _by_hand(k: int, setting: Setting, *, persistent: bool) -> Contestant:
    """The loop as it is usually written, without autograd."""
    machine, x = _prepared(setting)
    weight, b, c = machine.weight.data, machine.visible_bias.data, machine.hidden_bias.data
    v = x.clone()

    @setting.autocast()
    def step() -> None:
        nonlocal v
        h_data = torch.sigmoid(x @ weight.T + c)
        if not persistent:
            v = x
        for _ in range(k):
            h = torch.bernoulli(torch.sigmoid(v @ weight.T + c))
            v = torch.bernoulli(torch.sigmoid(h @ weight + b))
        h_model = torch.sigmoid(v @ weight.T + c)
        weight.add_((h_data.T @ x - h_model.T @ v) / BATCH, alpha=RATE)
        b.add_((x - v).mean(0), alpha=RATE)
        c.add_((h_data - h_model).mean(0), alpha=RATE)

    return _judged(step, machine, x)


def _tuned(k: int, setting: Setting, *, persistent: bool) -> Contestant:
    """The same with cheaper draws, and as little memory as can be."""
    if setting.precision != "float32":
        raise Unavailable("its sums are written over weights in single precision")
    machine, x = _prepared(setting)
    weight, b, c = machine.weight.data, machine.visible_bias.data, machine.hidden_bias.data
    v = x.clone()

    def draw(probabilities: Tensor) -> Tensor:
        return torch.rand_like(probabilities).lt_(probabilities)

    def step() -> None:
        nonlocal v
        h_data = torch.addmm(c, x, weight.T).sigmoid_()
        if not persistent:
            v = x
        for _ in range(k):
            h = draw(torch.addmm(c, v, weight.T).sigmoid_())
            v = draw(torch.addmm(b, h, weight).sigmoid_())
        h_model = torch.addmm(c, v, weight.T).sigmoid_()
        weight.addmm_(h_data.T, x, alpha=RATE / BATCH)
        weight.addmm_(h_model.T, v, alpha=-RATE / BATCH)
        b.add_(x.sum(0) - v.sum(0), alpha=RATE / BATCH)
        c.add_(h_data.sum(0) - h_model.sum(0), alpha=RATE / BATCH)

    return _judged(step, machine, x)


def _sklearn(setting: Setting) -> Contestant:
    """A batch given to scikit-learn's machine, which trains by persistent chains."""
    from sklearn.neural_network import BernoulliRBM

    if setting.device != "cpu":
        raise Unavailable("it runs on the CPU alone")
    if setting.precision != "float32":
        raise Unavailable("it computes in single precision")
    machine, x = _prepared(setting)
    numbers = x.numpy()
    peer = BernoulliRBM(n_components=HIDDEN, learning_rate=RATE, batch_size=BATCH, random_state=0)
    peer.partial_fit(numbers)
    peer.components_ = machine.weight.data.numpy()  # the same memory: what it learns shows in the machine
    peer.intercept_hidden_ = machine.hidden_bias.data.numpy()
    peer.intercept_visible_ = machine.visible_bias.data.numpy()
    return dataclasses.replace(_judged(lambda: peer.partial_fit(numbers), machine, x), spins=True)


# ------------------------------------------------------------------------------------------------------------ annealing


def _annealing(setting: Setting) -> Row:
    def probgen() -> Contestant:
        path = _trained(setting).annealing_path()
        return Contestant(lambda: anneal(path, num_chains=CHAINS, num_steps=TEMPERATURES))

    def by_hand() -> Contestant:
        machine = _trained(setting)
        return Contestant(lambda: _naive_estimate(machine))

    def same_estimate(_: object) -> None:
        machine = _trained(setting)
        torch.manual_seed(0)
        ours = anneal(machine.annealing_path(), num_chains=CHAINS, num_steps=TEMPERATURES)
        theirs = _naive_estimate(machine)
        if abs(float(ours.value) - theirs) > 8 * max(0.1, float(ours.stderr)):
            raise ValueError(f"log Z is {float(ours.value):.2f} by probgen and {theirs:.2f} by hand")

    title = f"annealed importance sampling, RBM {VISIBLE}-{HIDDEN}, {CHAINS} chains, {TEMPERATURES} temperatures"
    makers = {"torch": by_hand, "probgen": probgen}
    return Row("ais", title, makers, goals={"probgen": Goal(0.28, 0.35)}, agree=same_estimate, trains=False)


def _trained(setting: Setting) -> RBM:
    """Return a machine whose units have something to say to each other."""
    machine, x = _prepared(setting)
    step = _sweeps(machine, x)
    for _ in range(30):
        step()
    return machine


def _sweeps(machine: RBM, x: Tensor) -> Callable[[], None]:
    weight, b, c = machine.weight.data, machine.visible_bias.data, machine.hidden_bias.data

    def step() -> None:
        h_data = torch.sigmoid(x @ weight.T + c)
        v = torch.bernoulli(torch.sigmoid(torch.bernoulli(h_data) @ weight + b))
        h_model = torch.sigmoid(v @ weight.T + c)
        weight.add_((h_data.T @ x - h_model.T @ v) / BATCH, alpha=RATE)

    return step


@torch.no_grad()
def _naive_estimate(machine: RBM) -> float:
    """Return log Z by annealing as it is usually written: every density and every kernel computed on its own."""
    weight, b, c, a = machine.weight, machine.visible_bias, machine.hidden_bias, machine.base_bias

    def log_density(v: Tensor, beta: float) -> Tensor:
        return v @ ((1 - beta) * a + beta * b) + F.softplus(beta * (v @ weight.T + c)).sum(1)

    betas: Sequence[float] = torch.linspace(0, 1, TEMPERATURES + 1).tolist()
    v = torch.bernoulli(torch.sigmoid(a).expand(CHAINS, -1))
    log_weights = torch.zeros(CHAINS, device=v.device)
    for now, then in pairwise(betas):
        log_weights += log_density(v, then) - log_density(v, now)
        h = torch.bernoulli(torch.sigmoid(then * (v @ weight.T + c)))
        v = torch.bernoulli(torch.sigmoid(h @ (then * weight) + (1 - then) * a + then * b))
    base = F.softplus(a).sum() + len(c) * torch.log(torch.tensor(2.0))
    return float(base + log_weights.logsumexp(0) - torch.log(torch.tensor(float(CHAINS))))
