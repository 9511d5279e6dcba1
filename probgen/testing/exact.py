r"""Exact moments of black-box torch programs, by enumeration of their own randomness.

A program that draws finitely many discrete values has finitely many paths, each of known probability. Its expectation is
then a sum and no statistics is needed to say whether it equals a target:

$$\mathbb{E}[f] = \sum_{\text{paths}} p(\text{path})\, f(\text{path})$$

Normal variables take the nodes of a Gauss-Hermite rule, which is exact for polynomials of degree below twice its number of
nodes. Two rules that disagree show that the program is not smooth in them. Uniform variables are first cut where the program
compares them, or monotone functions of them, with something; on the rest a Gauss-Legendre rule is used if it computes with
them. So the relaxation of a bit and its threshold, of one and the same noise, are integrated piece by piece.

Whatever tells Python, or a truth value, where smooth noise lies is refused, since no rule sees what happens between its
nodes. That is the limit of quadrature, too: a continuous function that is constant but for a bump or a pair of steps which
is narrower than the distance of nodes, a tenth of a uniform variable or half of a deviation, is taken for a constant.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from probgen.streams import preserved_streams
from probgen.testing.dispatch import ScriptedNoise
from probgen.testing.failures import HiddenRandomness, NotEnumerable
from probgen.testing.law import FiniteLaw
from probgen.testing.moments import Accumulator, Moments, Outputs
from probgen.testing.reading import Watch
from probgen.testing.script import Script

__all__ = ["Replay", "exact_expectation", "exact_law", "replays_identically"]

_RULES = (11, 16)
"""Nodes of the two quadrature rules: of one an odd number, since all even rules overlook a step next to the middle."""

_DISAGREEMENT = 1e-6
"""Rules that are farther apart say nothing; nearer ones say how far to trust them, which single precision limits too."""

_MASS_ERROR = 1e-9

_FAR_END = 1 - 1e-6
"""Where undecided uniform noise lies in a replay, in contrast to 0: code that reads it then gives another result."""

_SENTINEL = 0x5EED_5EED
"""Seed of the global stream while a program is run; another one afterwards shows that the program has set its own."""

_PROJECTED_EXCESS = 20


def exact_expectation(fn: Callable[[], Any], *, max_paths: int = 20_000, rules: tuple[int, int] = _RULES) -> Moments:
    """Return the exact moments of what `fn` returns, over the random torch operations that it calls.

    Discrete draws (Bernoulli, multinomial, integers, permutations, dropout, comparisons of `rand` with a probability) are
    enumerated, normal and other uniform ones integrated by quadrature, wherever they are made: in autograd, vmap, modules,
    `torch.distributions` or Pyro. The function may compute gradients inside. It must keep no state between calls.

    Args:
        fn: Returns a tensor, a dict of tensors or a sequence of tensors, of the same shapes at every call.
        max_paths: Refuse programs with more paths. With quadrature it holds for each of the two rules.
        rules: Nodes of these for each variable; the second gives the result, the first says how far to trust it. The
            second is given one node more if both are even or both odd, for then they would err alike where a step is near
            the middle.

    Raises:
        NotEnumerable: an operation is neither discrete nor normal nor uniform (exponential, gamma), the paths are too many,
            the two rules disagree by more than 1e-6 of the result's size (1e-5 for float32), something jumps in what was
            computed from normal or uniform variables, Python reads it as a number or branches on it, half precision rounds
            it, or rounding decides a comparison.
        HiddenRandomness: something else than torch operations decides the result: another library's random stream, state
            that survives a call, a seed that is set inside.

    Example:
        >>> theta = torch.tensor(0.3, requires_grad=True)
        >>> def score_function_gradient():
        ...     x = torch.bernoulli(theta.detach())
        ...     log_p = x * theta.log() + (1 - x) * (1 - theta).log()
        ...     return torch.autograd.grad((3 * x + 1) * log_p, theta)[0]
        >>> exact_expectation(score_function_gradient).mean  # of E[3x + 1], whose gradient is 3
        tensor([3.0000], dtype=torch.float64)
        >>> exact_expectation(lambda: torch.randn(()) ** 4).mean
        tensor([3.0000], dtype=torch.float64)
        >>> def rectified():
        ...     u = torch.rand((), dtype=torch.float64)
        ...     return torch.where(u > 0.5, u, 0.0)
        >>> exact_expectation(rectified).mean
        tensor([0.3750], dtype=torch.float64)
    """
    rules = rules[0], rules[1] + (rules[0] + rules[1] + 1) % 2
    coarse, smooth = _moments(fn, max_paths=max_paths, nodes=rules[0])
    if not smooth:
        return coarse.moments()
    fine, _ = _moments(fn, max_paths=max_paths, nodes=rules[1])
    return _compared(coarse.moments(), fine.moments(), tolerance=max(_DISAGREEMENT, fine.resolution), rules=rules)


def exact_law(fn: Callable[[], Any], *, max_paths: int = 20_000, nodes: int = _RULES[1]) -> FiniteLaw:
    """Return the distribution of what `fn` returns, as a table of outcomes and probabilities.

    Smooth noise appears as quadrature nodes: the law then shares moments with the true one, not its shape.

    Args:
        fn: As for `exact_expectation`.
        max_paths: Refuse programs with more paths.
        nodes: Nodes of the rule that stands for a normal or uniform variable.

    Raises:
        NotEnumerable: as for `exact_expectation`.
        HiddenRandomness: as for `exact_expectation`.

    Example:
        >>> exact_law(lambda: torch.bernoulli(torch.tensor([0.25]))).probabilities
        array([0.75, 0.25])
    """
    outcomes = [(outputs.values.numpy(), script.mass) for outputs, script in _walk(fn, max_paths=max_paths, nodes=nodes)]
    values, weights = zip(*outcomes, strict=True)
    return FiniteLaw(np.stack(values), np.array(weights) / sum(weights))


@dataclasses.dataclass(frozen=True)
class Replay:
    """Whether a program repeats itself on the same torch draws; if not, `reason` says what shows it. True when it does."""

    identical: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.identical


def replays_identically(fn: Callable[[], Any], *, paths: int = 4, seed: int = 0) -> Replay:
    """Run `fn` twice on each of several scripted paths and compare.

    A difference means that something other than torch's random operations decides the result: the streams of numpy or
    Python, state that survives a call, uniform noise that is read behind torch's back. A stream that moves is noticed even
    when the results happen to agree.

    Args:
        fn: As for `exact_expectation`.
        paths: How many paths to try, drawn at random.
        seed: Which paths.

    Raises:
        NotEnumerable: the program calls a random operation that has no script.

    Example:
        >>> import random
        >>> replays_identically(lambda: torch.randn(3)).identical
        True
        >>> replays_identically(lambda: torch.tensor(random.random())).reason
        "draws from Python's global random stream"
    """
    stream = random.Random(seed)
    for _ in range(paths):
        script = Script(max_paths=math.inf, pick=lambda weights: stream.choices(range(len(weights)), weights)[0])
        try:
            _run_twice(fn, script, nodes=_RULES[0])
        except HiddenRandomness as problem:
            return Replay(identical=False, reason=problem.reason)
    return Replay(identical=True)


def _moments(fn: Callable[[], Any], *, max_paths: int, nodes: int) -> tuple[Accumulator, bool]:
    accumulator, smooth = None, False
    for outputs, script in _walk(fn, max_paths=max_paths, nodes=nodes):
        accumulator = accumulator or Accumulator(outputs)
        accumulator.add(outputs, script.mass, script.atom)
        smooth |= script.smooth
    if accumulator is None or abs(accumulator.mass - 1) > _MASS_ERROR:
        mass = accumulator.mass if accumulator else 0.0
        raise HiddenRandomness(
            f"has paths whose probabilities sum to {mass:.9f}, so that something else decides between them"
        )
    return accumulator, smooth


def _walk(fn: Callable[[], Any], *, max_paths: int, nodes: int) -> Iterator[tuple[Outputs, Script]]:
    """Yield what the program returns on each of its paths, with the script that has just been followed."""
    script = Script(max_paths=max_paths)
    paths, share = 0, 0.0
    more = True
    while more:
        if paths & (paths + 1) == 0:  # the first, third, seventh, …: few, and unlike each other
            outputs = _run_twice(fn, script, nodes=nodes, watched=True)
        else:
            outputs, _ = _run(fn, script, nodes=nodes)
        paths, share = paths + 1, share + script.share
        yield outputs, script
        more = script.advance()
        projected = max(paths / share, paths + 1)
        if more and (paths >= max_paths or (paths == 1000 and projected > _PROJECTED_EXCESS * max_paths)):
            raise NotEnumerable(f"about {projected:.2g} paths, above max_paths={max_paths}")


def _run(
    fn: Callable[[], Any], script: Script, *, nodes: int, position: float = 0.0, watched: bool = False
) -> tuple[Outputs, list[tuple[torch.Generator, int]]]:
    """Run the present path; return its outputs, and the generators that it drew from, each with its seed."""
    script.start()
    with preserved_streams():
        torch.default_generator.manual_seed(_SENTINEL)
        scripted = ScriptedNoise(script, nodes=nodes, position=position)
        with scripted as noise, Watch(noise.forbid) if watched else contextlib.nullcontext():
            try:
                result = fn()
            finally:
                if noise.refusal:  # which the program may have caught
                    raise noise.refusal
        noise.read(result)
        if torch.initial_seed() != _SENTINEL:
            raise HiddenRandomness("sets the seed of torch's global stream, so that its draws do not vary")
    script.finish()
    return Outputs.of(result), list(noise.generators.values())


def _run_twice(fn: Callable[[], Any], script: Script, *, nodes: int, watched: bool = False) -> Outputs:
    """Run the present path, and again to compare; if `watched`, see to it that nothing reads noise unseen."""
    outputs, generators = _run(fn, script, nodes=nodes)
    python, legacy = random.getstate(), np.random.get_state(legacy=False)
    choices = len(script)
    with _reseeded([generator for generator, _ in generators]):
        again, used = _run(fn, script, nodes=nodes, position=_FAR_END, watched=watched)
    if len(script) > choices:
        raise HiddenRandomness("makes more random choices when it is run again on the same draws")
    if random.getstate() != python:
        raise HiddenRandomness("draws from Python's global random stream")
    if not _same_state(legacy, np.random.get_state(legacy=False)):
        raise HiddenRandomness("draws from numpy's global random stream")
    if not {seed for _, seed in generators}.isdisjoint({seed for _, seed in used} - {_SENTINEL}):
        raise HiddenRandomness("sets the seed of a generator, so that its draws do not vary")
    if not outputs.agrees_with(again):
        raise HiddenRandomness("returns another result when it is run again on the same draws")
    return outputs


@contextlib.contextmanager
def _reseeded(generators: list[torch.Generator]) -> Iterator[None]:
    """Within the block generators have another seed, unless the block sets it."""
    states = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(_SENTINEL)
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _same_state(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same_state(one[key], other[key]) for key in one)
    return bool(np.array_equal(one, other))


def _compared(coarse: Moments, fine: Moments, *, tolerance: float, rules: tuple[int, int]) -> Moments:
    """Return the finer moments, with how far the coarser ones are from them.

    Raises:
        NotEnumerable: the means are farther apart than `tolerance`, or only one of them is a number.
    """
    size = fine.size
    known = fine.mean.isfinite() | coarse.mean.isfinite()
    error = _largest((fine.mean - coarse.mean)[known]) / size
    variance_error = _largest((fine.variance - coarse.variance)[known]) / size**2
    if not error <= tolerance:
        raise NotEnumerable(
            f"noise that the result is not smooth in ({rules[0]} and {rules[1]} nodes disagree by {error:.1e})"
        )
    return dataclasses.replace(fine, error=error, variance_error=variance_error)


def _largest(values: torch.Tensor) -> float:
    return values.abs().max().item() if values.numel() else 0.0
