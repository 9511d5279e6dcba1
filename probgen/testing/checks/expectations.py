"""The mean of an estimator's outputs: exactly where its randomness can be enumerated, else by draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.estimator import Phase
from probgen.streams import preserved_streams
from probgen.testing.checks.scenes import Latents, Scene, gradients_of
from probgen.testing.dispatch import ScriptedNoise
from probgen.testing.exact import exact_expectation
from probgen.testing.failures import NotEnumerable
from probgen.testing.moments import Moments
from probgen.testing.script import Script

__all__ = ["VALUE", "GradientDraws", "ValueDraws", "expected", "gradient_output", "outputs", "replicated", "require_paths"]

VALUE = "value"
"""What the value is called among the outputs."""

_FEW_NODES, _NODES = (4, 6), (8, 10)
"""Rules for noise: polynomials, which closed forms and normal scores are of normal noise, need few nodes."""

_ROUNDING = 1e-12
"""Fewer nodes have to be so near each other that more would change nothing."""

_RARE = 1e-4

_REPLICAS = 128
"""So many copies of a batch are averaged in one draw of a gradient, where examples do not share randomness."""


def gradient_output(parameter: str) -> str:
    """Return what the gradient by a parameter is called among the outputs."""
    return f"gradient by {parameter}"


def outputs(scene: Scene, phase: Phase, batch: Batch | None = None) -> dict[str, Tensor]:
    """Return a draw of everything that claims speak of, by name, on the scene's batch or another."""
    estimate = scene.estimate(phase, batch)
    found = {VALUE: estimate.value}
    if phase.estimate is not None:
        found |= {gradient_output(name): gradient for name, gradient in gradients_of(phase, estimate).items()}
    return found


def expected(scene: Scene, phase: Phase, batch: Batch | None = None, *, budget: int) -> Moments:
    """Return the exact moments of the outputs, on the scene's batch or another, if that takes at most about `budget` paths.

    Raises:
        NotEnumerable: it takes more, or its randomness has no list of outcomes.
    """

    def draw() -> dict[str, Tensor]:
        return outputs(scene, phase, batch)

    require_paths(draw, budget=budget, nodes=_NODES[0])
    if scene.latents is not Latents.DISCRETE:
        try:
            moments = exact_expectation(draw, max_paths=20 * budget, rules=_FEW_NODES)
        except NotEnumerable:
            moments = None
        if moments is not None and moments.error <= _ROUNDING:
            return moments
    return exact_expectation(draw, max_paths=20 * budget, rules=_NODES)


def require_paths(fn: Callable[[], dict[str, Tensor]], *, budget: int, nodes: int) -> None:
    """Raise unless `fn` has at most about `budget` paths, as its first one tells.

    Raises:
        NotEnumerable: it has more, or its randomness has no list of outcomes.
    """
    script = Script(max_paths=math.inf)
    with preserved_streams(), ScriptedNoise(script, nodes=nodes):
        fn()
    if 1 / script.share > budget:
        raise NotEnumerable(f"about {1 / script.share:.1e} paths, above {budget}")


def replicated(batch: Batch, count: int) -> Batch:
    """Return a batch of `count` copies of each example, copy after copy of the whole."""

    def repeated(tensor: Tensor) -> Tensor:
        return tensor.repeat(count, *(1 for _ in tensor.shape[1:]))

    return Batch(repeated(batch.x), context=None if batch.context is None else repeated(batch.context))


class ValueDraws:
    """Draws of the value of every example, `(n, N)`; of its mean, `(n, 1)`, where examples share randomness."""

    def __init__(self, scene: Scene, phase: Phase) -> None:
        self._scene, self._phase = scene, phase
        self._together = not scene.estimator.batch_coupled and scene.estimate(phase).value.ndim == 1

    def __call__(self, n: int, seed: int) -> Tensor:
        """Return `n` draws."""
        torch.manual_seed(seed)
        with torch.no_grad():
            if self._together:
                batch = replicated(self._scene.batch, n)
                return self._scene.estimate(self._phase, batch).value.reshape(n, -1).double()
            rows = [self._scene.estimate(self._phase).value.reshape(-1) for _ in range(n)]
        return torch.stack(rows).double()


class GradientDraws:
    """Draws of the gradient by some of the phase's parameters, `(n, P)`; each averages many copies of the batch.

    All groups of parameters see the same draws, which are made once.

    Attributes:
        p_min: The smallest probability that a draw shows an outcome which one copy shows once in ten thousand times.
    """

    def __init__(self, scene: Scene, phase: Phase) -> None:
        self._scene, self._phase = scene, phase
        replicas = 1 if scene.estimator.batch_coupled else _REPLICAS
        self._batch = replicated(scene.batch, replicas) if replicas > 1 else scene.batch
        self.p_min = -math.expm1(replicas * math.log1p(-_RARE))
        self._made: dict[tuple[int, int], dict[str, Tensor]] = {}

    def by(self, names: Sequence[str]) -> Callable[[int, int], Tensor]:
        """Return the function `(n, seed)` for the parameters of these names."""
        return lambda n, seed: torch.cat([self._draws(n, seed)[name] for name in names], 1)

    def _draws(self, n: int, seed: int) -> dict[str, Tensor]:
        if (n, seed) not in self._made:
            torch.manual_seed(seed)
            rows = [gradients_of(self._phase, self._scene.estimate(self._phase, self._batch)) for _ in range(n)]
            self._made[n, seed] = {
                name: torch.stack([row[name].reshape(-1) for row in rows]).double() for name in self._phase.parameters
            }
        return self._made[n, seed]
