"""How each random operation of torch is answered from a script.

The operation itself is run first: it checks its arguments and returns tensors of the right shape, type and device. Then
their elements are replaced by scripted ones.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probgen.testing.failures import NotEnumerable
from probgen.testing.script import Script
from probgen.testing.uniforms import Uniforms

__all__ = ["Answerer"]


class Answerer:
    """Answers random operations from `script`.

    Args:
        script: The choices of one path.
        uniforms: Where undecided uniform elements are kept.
        nodes: Number of nodes of the Gauss-Hermite rule that stands for a normal variable.
    """

    def __init__(self, script: Script, uniforms: Uniforms, *, nodes: int) -> None:
        self._script = script
        self._uniforms = uniforms
        self._nodes, self._weights = _gauss_hermite(nodes)
        self._answers: dict[str, Callable[[Mapping[str, Any], Any, str], None]] = {
            **dict.fromkeys(("bernoulli", "bernoulli_"), self._bernoulli),
            **dict.fromkeys(("rand", "rand_like", "uniform", "uniform_"), self._uniform),
            **dict.fromkeys(("randn", "randn_like", "normal", "normal_", "normal_functional"), self._normal),
            **dict.fromkeys(("randint", "randint_like", "random", "random_"), self._integers),
            "multinomial": self._multinomial,
            "randperm": self._permutation,
            "native_dropout": self._dropout,
        }

    def answer(self, name: str, arguments: Mapping[str, Any], output: Any, operation: str) -> Any:
        """Replace the elements of `output` by scripted ones and return it.

        Args:
            name: The operation's short name, without namespace and overload.
            arguments: What it was called with, by the names of its schema.
            output: What it returned.
            operation: Its full name, for messages.

        Raises:
            NotEnumerable: no rule covers the operation, or it has too many outcomes.
        """
        if name not in self._answers:
            raise NotEnumerable(f"{operation}, whose outcomes are not finitely many")
        self._answers[name](arguments, output, operation)
        return output

    def _bernoulli(self, arguments: Mapping[str, Any], output: Tensor, operation: str) -> None:
        probability = arguments.get("p", arguments.get("self"))
        self._fill(output, self._flips(probability, output.shape, operation))

    def _dropout(self, arguments: Mapping[str, Any], output: tuple[Tensor, Tensor], operation: str) -> None:
        kept, mask = output
        keep = 1 - arguments["p"]
        self._fill(mask, self._flips(keep, mask.shape, operation))
        kept.copy_(arguments["input"] * mask / keep if keep > 0 else torch.zeros_like(kept))

    def _flips(self, probability: Tensor | float, shape: torch.Size, operation: str) -> list[int]:
        chances = self._numbers(probability, shape, operation)
        self._script.expect(2 ** sum(0 < p < 1 for p in chances), operation)
        return [self._script.choose((1 - p, p)) for p in chances]

    def _multinomial(self, arguments: Mapping[str, Any], output: Tensor, operation: str) -> None:
        table = arguments["self"]
        draws, replacement = arguments["num_samples"], arguments["replacement"]
        rows = np.reshape(self._numbers(table, table.shape, operation), (-1, table.shape[-1]))
        self._script.expect(math.prod(_outcomes(row, draws, replacement=replacement) for row in rows), operation)
        self._fill(output, [index for row in rows for index in self._categories(row, draws, replacement=replacement)])

    def _categories(self, row: np.ndarray, draws: int, *, replacement: bool) -> list[int]:
        weights, taken = row.copy(), []
        for _ in range(draws):
            taken.append(self._script.choose((weights / weights.sum()).tolist()))
            if not replacement:
                weights[taken[-1]] = 0
        return taken

    def _uniform(self, arguments: Mapping[str, Any], output: Tensor, operation: str) -> None:
        del operation
        self._uniforms.draw(output, float(arguments.get("from", 0.0)), float(arguments.get("to", 1.0)))

    def _normal(self, arguments: Mapping[str, Any], output: Tensor, operation: str) -> None:
        if output.is_complex():
            raise NotEnumerable(f"{operation} of complex numbers")
        self._script.expect(len(self._nodes) ** output.numel(), operation)
        means = self._numbers(arguments.get("mean", 0.0), output.shape, operation)
        scales = self._numbers(arguments.get("std", 1.0), output.shape, operation)
        self._fill(output, [mean + scale * self._node() for mean, scale in zip(means, scales, strict=True)])

    def _node(self) -> float:
        return self._nodes[self._script.choose(self._weights, smooth=True)]

    def _integers(self, arguments: Mapping[str, Any], output: Tensor, operation: str) -> None:
        low = int(arguments.get("low", arguments.get("from", 0)))
        high = arguments.get("high", arguments.get("to"))
        if high is None:
            raise NotEnumerable(f"{operation} over every number of its type")
        size = int(high) - low
        self._script.expect(size ** output.numel(), operation)
        self._fill(output, [low + self._script.choose((1 / size,) * size) for _ in range(output.numel())])

    def _permutation(self, arguments: Mapping[str, Any], output: Tensor, operation: str) -> None:
        rest = list(range(arguments["n"]))
        self._script.expect(math.factorial(min(len(rest), 30)), operation)
        self._fill(output, [rest.pop(self._script.choose((1 / len(rest),) * len(rest))) for _ in range(len(rest))])

    def _numbers(self, value: Tensor | float, shape: torch.Size, operation: str) -> list[float]:
        """Return a parameter of a random operation, one number for each element of `shape`."""
        if not isinstance(value, Tensor):
            return [float(value)] * math.prod(shape)
        if self._uniforms.labels(value) is not None:
            raise NotEnumerable(f"{operation} with parameters that are uniform noise")
        return value.detach().to(torch.float64).expand(shape).reshape(-1).tolist()

    def _fill(self, output: Tensor, values: Sequence[float]) -> None:
        self._uniforms.forget(output)
        output.copy_(torch.tensor(values, dtype=torch.float64).reshape(output.shape))


def _outcomes(row: np.ndarray, draws: int, *, replacement: bool) -> int:
    possible = int((row > 0).sum())
    return possible**draws if replacement else math.perm(possible, draws)


@functools.cache
def _gauss_hermite(nodes: int) -> tuple[list[float], list[float]]:
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return points.tolist(), (weights / weights.sum()).tolist()
