r"""Whether draws through a bijection carry its gradient, seen at single points and so without chance.

Let $z = f_\theta(x)$ have a law that is free of $\theta$. Then draws move rightly if they stay at their noise, that is,

$$\frac{\partial x}{\partial \theta} = -\left(\frac{\partial f}{\partial x}\right)^{-1} \frac{\partial f}{\partial \theta}$$

There are other right ways to move, $x = f^{-1}(R_\theta z)$ with a rotation $R_\theta$ for one, so that a difference refutes
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import Invertible, capabilities
from probgen.testing.checks.inputs import stream
from probgen.testing.checks.scoring import seeded
from probgen.testing.trial import Trial, conforms
from probgen.testing.verdict import Verdict

__all__ = ["stays_at_its_noise"]

_POINTS = 16
_MOST_ENTRIES = 64
_TOLERANCE = 1e-7


def stays_at_its_noise(model: Any, context: Tensor | None, parameters: Sequence[Tensor], trial: Trial) -> Verdict | None:
    """Return a pass if draws of an invertible density stay at their noise, whose law is free of the parameters.

    Scores, log-determinants and the law of the draws are taken as they are said to be; they have checks of their own.

    Args:
        model: A `Density` that is `Reparameterized`.
        context: What to condition on.
        parameters: What the gradients are by.
        trial: Where the seeds come from.

    Returns:
        The pass; None where this does not tell: the model is no bijection, too large a one, or moves in another way.
    """
    entries = model.event_shape.numel()
    if Invertible not in capabilities(model) or entries > _MOST_ENTRIES:
        return None
    x = seeded(trial.seed("points"), lambda: model.rsample((_POINTS,), context))
    point = x.detach().requires_grad_()
    z, log_det = model.transform(point, context)
    cotangent = torch.randn(x.shape, generator=stream(trial, "cotangent"), dtype=torch.float64)
    gap = torch.zeros(())
    for row in range(_POINTS):
        found = _gradient(x[row], parameters, cotangent[row])
        expected = _gradient(z[row], parameters, -_solved(z[row], point, row, cotangent[row]))
        gap = torch.maximum(gap, _distance(found, expected))
    level = model.log_prob(point, context) - log_det  # the noise's log-density
    (slope,) = torch.autograd.grad(level.sum(), point, retain_graph=True)
    for row in range(_POINTS):
        changed, moved = _gradient(level[row], parameters), _gradient(x[row], parameters, -slope[row])
        gap = torch.maximum(gap, _distance(changed, moved))
    if not float(gap) <= _TOLERANCE:  # not so for NaN
        return None
    return conforms(
        f"draws stay at their noise, whose law is free of the parameters, at {_POINTS} points (off by {float(gap):.1e})",
        detectable=_TOLERANCE,
    )


def _solved(noise: Tensor, point: Tensor, row: int, cotangent: Tensor) -> Tensor:
    r"""Return $(\partial z / \partial x)^{-\top} u$ at one point."""
    units = torch.eye(noise.numel(), dtype=noise.dtype).reshape(-1, *noise.shape)
    jacobian = torch.stack(
        [torch.autograd.grad(noise, point, unit, retain_graph=True)[0][row].reshape(-1) for unit in units]
    )
    return torch.linalg.solve(jacobian.T, cotangent.reshape(-1)).reshape(noise.shape)


def _gradient(output: Tensor, parameters: Sequence[Tensor], cotangent: Tensor | None = None) -> Tensor:
    gradients = torch.autograd.grad(
        output, parameters, cotangent, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


def _distance(found: Tensor, expected: Tensor) -> Tensor:
    return (found - expected).abs().max() / expected.abs().max().clamp(min=1.0)
