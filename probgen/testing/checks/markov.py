"""Checks of Markov chains and of energies: the chain leaves the distribution of the energy as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import MarkovKernel, UnnormalizedDensity
from probgen.claims import Exact, LowerBound, UpperBound
from probgen.errors import CapabilityError
from probgen.testing.check import Check
from probgen.testing.checks.inputs import (
    contexts_of,
    double,
    listed_events,
    possible,
    some_contexts,
    some_events,
    still,
    stream,
)
from probgen.testing.checks.scoring import seeded
from probgen.testing.exact import exact_law
from probgen.testing.failures import NotEnumerable
from probgen.testing.ladder import decide_mean
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, exactly, fails
from probgen.testing.twins import markov as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_MOST_STATES, _MOST_PATHS, _MOST_RUNS = 64, 1000, 2000
_MOST_FEATURES = 15
_CHAINS, _STEPS = 64, 20


def _invariant(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    events = listed_events(model)
    if events is None:
        raise NotApplicable("its events cannot be listed")
    for words, context in contexts_of(model, 1, trial):
        with torch.no_grad():
            stationary = (-model.energy(events, context)).softmax(0)
            claim = f"a step leaves the distribution of the energy invariant{words}"
            yield Judgement(claim, _invariance(model, events, stationary, context, trial))


def _invariance(model: Any, events: Tensor, stationary: Tensor, context: Tensor | None, trial: Trial) -> Verdict:
    """Decide by the transition matrix where that is small, and else by chains that start from the distribution itself."""
    contexts = None if context is None else context[None]
    try:
        if len(events) > _MOST_STATES:
            raise NotEnumerable(f"{len(events)} states")
        after = torch.zeros_like(stationary)
        for state, mass in zip(events, stationary, strict=True):
            after += mass * _transition(model, state[None], contexts, events)
    except NotEnumerable:
        return _statistical(model, events, stationary, context, trial)
    gap = 0.5 * float((after - stationary).abs().sum())
    return exactly(gap, "the distribution after a step is that before it", tolerance=1e-9)


def _transition(model: Any, start: Tensor, context: Tensor | None, events: Tensor) -> Tensor:
    """Return the probabilities of all events after one step from `start`, `(1, *event_shape)`."""

    def step() -> Tensor:
        return model.step(model.init(start, context), context)[0]["x"]

    law = exact_law(step, max_paths=min(_MOST_PATHS, _MOST_RUNS // len(events)))
    places = _places(torch.as_tensor(law.values), events)
    mass = torch.zeros(len(events), dtype=torch.float64)
    return mass.index_add(0, places, torch.as_tensor(law.probabilities))


def _statistical(model: Any, events: Tensor, stationary: Tensor, context: Tensor | None, trial: Trial) -> Verdict:
    """Decide whether entries and energies have the same mean after a step as before, in chains that start in equilibrium."""

    def features(x: Tensor) -> Tensor:
        return torch.cat([x.reshape(len(x), -1)[:, :_MOST_FEATURES], model.energy(x, context)[:, None]], 1)

    spread = features(events).mul(stationary.sqrt()[:, None]).norm(dim=0).clamp(min=1e-9)

    def draw(n: int, seed: int) -> Tensor:
        torch.manual_seed(seed)
        start = events[torch.multinomial(stationary, n, replacement=True)]
        contexts = None if context is None else context.expand(n, *context.shape)
        after = model.step(model.init(start, contexts), contexts)[0]["x"]
        return 1 + (features(after) - features(start)) / spread  # a bias then counts in root mean squares

    rates = {"delta": trial.level.delta, "max_samples": trial.level.max_samples, "seed": trial.seed("chains")}
    return decide_mean(draw, torch.ones(len(spread)), **rates)


def _places(found: Tensor, events: Tensor) -> Tensor:
    """Return where each of `found` stands in the list of events; an unknown one counts as the event it is nearest to."""
    gaps = torch.cdist(found.reshape(len(found), -1).to(torch.float64), events.reshape(len(events), -1).to(torch.float64))
    return gaps.argmin(1)


def _chain_moves(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    x, context = _starts(model, trial)
    torch.manual_seed(trial.seed("steps"))
    with torch.no_grad():
        state = model.init(x, context)
        for _ in range(_STEPS):
            state = model.step(state, context)[0]
    moved = (state["x"] != x).reshape(_CHAINS, -1).any(1)
    share = f"{int(moved.sum())} of {_CHAINS} chains are elsewhere after {_STEPS} steps"
    yield Judgement("chains", conforms(share) if moved.any() else fails(share))
    strange = int((~possible(model, state["x"])).sum())
    words = f"{strange} of {_CHAINS} states lie outside of {model.support}"
    yield Judgement("states", fails(words) if strange else conforms(words))


def _kernel_pure(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    x, context = _starts(model, trial)
    given = x.clone()
    with torch.no_grad():
        state = model.init(x, context)
        holds = "x" in state and torch.equal(state["x"], given)
        yield Judgement("init", conforms("its x are the events") if holds else fails('state["x"] are not the events given'))
        before = {name: tensor.clone() for name, tensor in state.items()}
        one, two = (seeded(trial.seed("step"), lambda: model.step(state, context)[0]) for _ in range(2))
    changed = [name for name in before if not torch.equal(before[name], state[name])]
    changed += [] if torch.equal(x, given) else ["the events given to init"]
    yield Judgement(
        "step", fails(f"it changes {', '.join(changed)} in place") if changed else conforms("it changes nothing")
    )
    yield Judgement("the next state", _alike(one, two, before))


def _alike(one: Mapping[str, Tensor], two: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> Verdict:
    if one.keys() != before.keys():
        return fails(f"expected a state of {sorted(before)}; got {sorted(one)}")
    for name, tensor in one.items():
        if tensor.shape != before[name].shape:
            return fails(f"{name} has shape {tuple(tensor.shape)} after a step and {tuple(before[name].shape)} before")
        if not torch.equal(tensor, two[name]):
            return fails(f"{name} differs between two steps from one state on one seed: something is remembered elsewhere")
    return conforms("it is a function of the state and of torch's draws")


def _starts(model: Any, trial: Trial) -> tuple[Tensor, Tensor | None]:
    generator = stream(trial, "events")
    return some_events(model, _CHAINS, generator), some_contexts(model, _CHAINS, generator)


def _log_partition(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    events = listed_events(model)
    if events is None:
        raise NotApplicable("its events cannot be listed")
    for words, context in contexts_of(model, 1, trial):
        try:
            found = seeded(trial.seed("estimate"), lambda context=context: model.log_partition(context))
        except CapabilityError as error:
            raise NotApplicable("it has no estimate of its log-partition") from error
        exact = float(torch.logsumexp(-model.energy(events, context), 0).detach())
        yield Judgement(f"log_partition{words}, {found.claim}", _partition(model, context, found, exact, trial))


def _partition(model: Any, context: Tensor | None, found: Any, exact: float, trial: Trial) -> Verdict:
    if found.value.shape != () or found.stderr.shape != ():
        return fails(
            f"expected a number for one context; got shapes {tuple(found.value.shape)}, {tuple(found.stderr.shape)}"
        )
    if isinstance(found.claim, Exact):
        return exactly(abs(float(found.value) - exact) / max(1.0, abs(exact)), "it is the log of the sum", tolerance=1e-9)

    def draw(n: int, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.stack([model.log_partition(context, num_particles=_CHAINS).value for _ in range(n)])

    side = {LowerBound: 1, UpperBound: -1}.get(type(found.claim))
    if side is None:
        raise NotApplicable(f"a claim that it is {found.claim} is judged by its own check")
    rates = {"delta": trial.level.delta, "max_samples": trial.level.max_samples, "seed": trial.seed("draws")}
    return decide_mean(draw, exact, side=side, **rates)


CHECKS = (
    Check(
        name="invariant",
        about="A step of the chain leaves the distribution of the energy as it is.",
        kind="model",
        run=_invariant,
        twins={
            "flips a sign": twins.FlipsASign,
            "draws means for bits": twins.UpdatesAtOnce,
            "accepts too often": twins.AcceptsTooOften,
            "is a little too hot": twins.IsALittleTooHot,
            "has too many states to list its paths": twins.FlipsASignOfMany,
        },
        needs=(MarkovKernel, UnnormalizedDensity),
    ),
    Check(
        name="chain-moves",
        about="The chain does not stay where it starts, nor leave the support.",
        kind="model",
        run=_chain_moves,
        twins={"never moves": twins.NeverMoves, "moves to probabilities": twins.MovesToProbabilities},
        needs=(MarkovKernel,),
    ),
    Check(
        name="kernel-pure",
        about="A step takes a state and returns another; it changes nothing and remembers nothing.",
        kind="model",
        run=_kernel_pure,
        twins={
            "moves in place": twins.MovesInPlace,
            "remembers the chain": twins.RemembersTheChain,
            "starts elsewhere": twins.StartsElsewhere,
            "loses a part of the state": twins.LosesAPart,
        },
        needs=(MarkovKernel,),
    ),
    Check(
        name="log-partition",
        about="The log-partition is that of the energy, as exactly as is claimed.",
        kind="model",
        run=_log_partition,
        twins={
            "forgets half of the events": twins.ForgetsHalfOfTheEvents,
            "calls an upper bound a lower one": twins.CallsAnUpperBoundALowerOne,
        },
        needs=(UnnormalizedDensity,),
    ),
)
