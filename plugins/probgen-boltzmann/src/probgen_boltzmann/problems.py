"""Machines small enough to list: what the conformance kit holds the centred gradient against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from probgen import Batch
from probgen.testing import Oracle, Problem, Situation
from probgen_boltzmann.enumeration import bits
from probgen_boltzmann.rbm import RBM

__all__ = ["centered_problems"]

_Machine = tuple[Tensor, Tensor, Tensor]  # weight, visible bias, hidden bias


def centered_problems() -> list[Problem]:
    """Return two machines whose chains' paths can be walked, and one that draws must decide on.

    Quantities: `log_prob`; `energy-gap`, as the estimator takes it; and `centered-cd[k]` and `centered-pcd[k]`, whose
    gradients are those of machines written in centred units, with their chains' law by matrix powers as a constant.
    """
    return [
        _problem("rbm-pair", 2, 1, [[1, 0], [0, 0]]),
        _problem("rbm", 3, 2, [[1, 0, 1]]),
        _problem("rbm-4x3", 4, 3, [[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]], statistical=True),
    ]


def _problem(name: str, visible: int, hidden: int, x: list[list[float]], *, statistical: bool = False) -> Problem:
    def make(dtype: torch.dtype) -> tuple[RBM, Batch]:
        model = RBM(event_shape=(visible,), hidden=hidden).to(dtype)
        start = 0.0
        for parameter in model.parameters():  # nothing is symmetric, nothing is small
            values = 1.3 * torch.sin(start + 1.7 * torch.arange(1.0, parameter.numel() + 1, dtype=torch.float64))
            parameter.data = values.to(dtype).reshape(parameter.shape)
            start += 0.6
        return model, Batch(torch.tensor(x, dtype=dtype))

    oracles = {
        "log_prob": Oracle(_log_prob, maximised=True),
        "energy-gap": Oracle(_energy_gap),
        "centered-cd": Oracle(lambda situation: _centered_gap(situation, situation.batch.x)),
        "centered-pcd": Oracle(lambda situation: _centered_gap(situation, situation.state["chains.x"])),
    }
    return Problem(name, make, oracles, statistical=statistical)


def _parameters(model: RBM) -> _Machine:
    return model.weight, model.visible_bias, model.hidden_bias


def _joint(machine: _Machine) -> Tensor:
    """Return minus the energy of every pair of configurations, `(2^V, 2^H)`."""
    weight, visible_bias, hidden_bias = machine
    v, h = (bits(torch.arange(1 << size), size).to(weight) for size in (len(visible_bias), len(hidden_bias)))
    return v @ weight.T @ h.T + (v @ visible_bias)[:, None] + h @ hidden_bias


def _number(v: Tensor) -> Tensor:
    """Return the position of configurations in the list."""
    return (v.long() * 2 ** torch.arange(v.shape[1])).sum(1)


def _log_prob(situation: Situation) -> Tensor:
    joint = _joint(_parameters(situation.model))
    return (joint.logsumexp(1) - joint.logsumexp((0, 1)))[_number(situation.batch.x)]


def _expected_energies(machine: _Machine, law_of: _Machine, starts: Tensor, steps: int) -> Tensor:
    """Return the energy expected of chains that move by the law of a machine, `(N,)`."""
    table = _joint(law_of).detach()
    transition = torch.linalg.matrix_power(table.softmax(1) @ table.softmax(0).T, steps)
    return transition[_number(starts)] @ -_joint(machine).logsumexp(1)


def _energy_gap(situation: Situation) -> Tensor:
    machine, estimator, x = _parameters(situation.model), situation.estimator, situation.batch.x
    steps: int = estimator.k  # pyright: ignore[reportAttributeAccessIssue]
    here = _expected_energies(machine, machine, x, 0)
    if "chains.x" in situation.state:
        return here.mean() - _expected_energies(machine, machine, situation.state["chains.x"], steps).mean()
    return here - _expected_energies(machine, machine, x, steps)


def _centered_gap(situation: Situation, starts: Tensor) -> Tensor:
    """Return a scalar whose gradient is a gradient in centred units, said in the ordinary parameters."""
    now: _Machine = tuple(tensor.detach() for tensor in _parameters(situation.model))  # pyright: ignore[reportAssignmentType]
    m, n = _offsets(situation, now)

    def plain(weight: Tensor, visible_bias: Tensor, hidden_bias: Tensor) -> _Machine:
        return weight, visible_bias - n @ weight, hidden_bias - weight @ m

    weight, visible_bias, hidden_bias = now
    with torch.enable_grad():
        units = [part.clone().requires_grad_() for part in (weight, visible_bias + n @ weight, hidden_bias + weight @ m)]
        machine = plain(*units)
        gap = _expected_energies(machine, now, situation.batch.x, 0).mean()
        gap = gap - _expected_energies(machine, now, starts, int(situation.argument)).mean()
        step = plain(*torch.autograd.grad(gap, units))  # linear: a step in one is the same step in the other
    return torch.stack([(p * s.detach()).sum() for p, s in zip(_parameters(situation.model), step, strict=True)]).sum()


def _offsets(situation: Situation, machine: _Machine) -> tuple[Tensor, Tensor]:
    """Return the offsets after the batch has moved them: of the visible and of the hidden units."""
    weight, _, hidden_bias = machine
    x, rate = situation.batch.x, situation.estimator.offset_rate  # pyright: ignore[reportAttributeAccessIssue]
    means = x.mean(0), torch.sigmoid(F.linear(x, weight, hidden_bias)).mean(0)
    before = situation.state["offsets.visible_bias"], situation.state["offsets.hidden_bias"]
    m, n = ((1 - rate) * old + rate * new for old, new in zip(before, means, strict=True))
    return m, n
