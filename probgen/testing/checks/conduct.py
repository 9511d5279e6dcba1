"""How an estimator behaves: what it says, that it repeats itself, and that it leaves everything as it was."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from probgen.claims import Biased, Heuristic
from probgen.errors import ConfigurationError
from probgen.estimator import Estimator, Phase
from probgen.testing.checks.expectations import outputs
from probgen.testing.checks.questions import questions
from probgen.testing.checks.scenes import Scene, fitting_scenes
from probgen.testing.exact import replays_identically
from probgen.testing.failures import NotEnumerable
from probgen.testing.quantity import QuantityName
from probgen.testing.trial import Judgement, Trial, conforms, fails
from probgen.testing.verdict import Verdict

__all__ = ["alike", "check_claimed", "check_pure", "check_replayed", "check_repeatable", "check_value", "drawn"]

_SEEDS = 100
"""So many seeds are tried before draws that are all alike are called constant."""


def check_claimed(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """Every phase's value and every parameter is spoken of, in names that can be looked up."""
    for scene in fitting_scenes(subject, trial):
        yield Judgement(f"every output is spoken of, {scene.where}", _spoken_of(scene))


def check_value(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """Surrogate, value, state and info are what the contract says."""
    for scene, phase in _estimated(subject, trial):
        estimate = scene.estimate(phase)
        detached = {"value": estimate.value, **estimate.info, **estimate.state}
        faults = [f"{name} has a graph" for name, tensor in detached.items() if tensor.requires_grad]
        if estimate.surrogate.ndim:
            faults.append(f"the surrogate has shape {tuple(estimate.surrogate.shape)} and is no scalar")
        if estimate.value.shape not in (torch.Size(()), torch.Size((len(scene.batch),))):
            faults.append(f"the value has shape {tuple(estimate.value.shape)}, not ({len(scene.batch)},) or ()")
        elif not estimate.value.ndim and (quantity := _per_example(scene, phase)):
            faults.append(
                f"the value is a scalar, and {quantity} has a number for each example: return ({len(scene.batch)},)"
            )
        faults += [f"{name} is no scalar" for name, tensor in estimate.info.items() if tensor.numel() != 1]
        if not all(bool(torch.isfinite(part).all()) for part in (estimate.surrogate, estimate.value)):
            faults.append("it is not finite")
        yield Judgement(f"outputs of {phase.name} are as they should be, {scene.where}", _faultless(faults))


def check_repeatable(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """Torch's stream decides: one seed gives one result, bit by bit, and other seeds give others."""
    draws, varies = False, False
    for scene, phase in _estimated(subject, trial):
        seed = trial.seed(scene.where, phase.name)
        first, moved = drawn(scene, phase, seed)
        verdict = conforms("one seed gives one result")
        if not alike(first, drawn(scene, phase, seed)[0]):
            verdict = fails("the same seed gives another result")
        yield Judgement(f"{phase.name} is decided by the seed, {scene.where}", verdict)
        draws |= moved
        if moved and not varies:  # somewhere at least: signs of a direction on the line, say, make no difference there
            varies = not all(alike(first, drawn(scene, phase, seed + more)[0]) for more in range(1, _SEEDS))
    if draws:
        same = fails(f"it draws, and yet {_SEEDS} seeds give the same result on every problem")
        yield Judgement("other seeds give other results", conforms("they do, on some problem") if varies else same)


def check_replayed(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """Nothing but torch's stream decides."""
    for scene, phase in _estimated(subject, trial):
        claim = f"{phase.name} is a function of its torch draws, {scene.where}"
        try:
            replay = replays_identically(lambda: outputs(scene, phase), paths=2, seed=trial.seed(scene.where))  # noqa: B023
            yield Judgement(claim, conforms("it replays") if replay else fails(f"it {replay.reason}"))
        except NotEnumerable:
            yield Judgement(claim, _other_streams(scene, phase, trial.seed(scene.where)))


def check_pure(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """A draw changes nothing, and depends on nothing but model, batch, state and the stream."""
    for scene, phase in _estimated(subject, trial):
        seed = trial.seed(scene.where, phase.name)
        held = {name: tensor.detach().clone() for name, tensor in _everything(scene).items()}
        first, _ = drawn(scene, phase, seed)
        following = scene.estimate(phase).state
        faults = [f"it changes {name}" for name, tensor in _everything(scene).items() if not _same(tensor, held[name])]
        faults += [f"it leaves a gradient in {name}" for name, p in phase.parameters.items() if p.grad is not None]
        scene.estimate(phase, state=following)
        if not faults and not alike(first, drawn(scene, phase, seed)[0]):
            faults.append("it remembers earlier calls outside of its state")
        yield Judgement(f"{phase.name} leaves everything as it was, {scene.where}", _faultless(faults))


def _estimated(subject: Estimator, trial: Trial) -> Iterator[tuple[Scene, Phase]]:
    """Yield every phase that makes estimates, on every problem that fits; a phase that updates changes what it is given."""
    for scene in fitting_scenes(subject, trial):
        for phase in scene.phases:
            if phase.estimate is not None:
                yield scene, phase


def _spoken_of(scene: Scene) -> Verdict:
    claims = scene.estimator.claims
    try:
        said = [claim for phase in scene.phases for claim in claims.for_value(phase.name)]
        said += [claims.for_parameter(name) for phase in scene.phases for name in phase.parameters]
        for claim in said:
            if not isinstance(claim, Heuristic):
                QuantityName.of(claim.of)
            if isinstance(claim, Biased):
                QuantityName.of(claim.target)
    except ConfigurationError as silence:
        return fails(str(silence))
    misplaced = [
        claim.of for phase in scene.phases for claim in claims.for_value(phase.name) if claim.of.startswith("grad:")
    ]
    misplaced += [
        claim.of
        for phase in scene.phases
        for claim in map(claims.for_parameter, phase.parameters)
        if not isinstance(claim, Heuristic) and not claim.of.startswith("grad:")
    ]
    if misplaced:
        return fails(
            f"a claim about a gradient is of 'grad:…', one about a value is not; got {misplaced[0]!r} in the wrong place"
        )
    return conforms(f"{len(said)} outputs have a claim")


def _per_example(scene: Scene, phase: Phase) -> str | None:
    """Return the name of a quantity that the value is said to be and that is a sum over examples; None without one."""
    if scene.estimator.batch_coupled:
        return None
    for question in questions(scene.estimator, phase):
        if not question.names and question.target and scene.problem.knows(question.target):
            try:
                if scene.problem.quantity(question.target, scene.situation).ndim:
                    return question.target
            except NotEnumerable:
                continue
    return None


def drawn(scene: Scene, phase: Phase, seed: int) -> tuple[dict[str, Tensor], bool]:
    """Return outputs and next state at a seed, and whether the stream moved."""
    torch.manual_seed(seed)
    before = torch.get_rng_state()
    estimate = scene.estimate(phase)
    moved = not torch.equal(before, torch.get_rng_state())
    torch.manual_seed(seed)
    return {**outputs(scene, phase), **{f"state {name}": tensor for name, tensor in estimate.state.items()}}, moved


def _other_streams(scene: Scene, phase: Phase, seed: int) -> Verdict:
    """Say whether a draw looks at the streams of Python or numpy; for programs whose torch draws cannot be scripted."""
    python, legacy = random.getstate(), np.random.get_state()
    try:
        first, _ = drawn(scene, phase, seed)
        if random.getstate() != python:
            return fails("it draws from Python's global random stream")
        if not all(np.array_equal(old, new) for old, new in zip(legacy, np.random.get_state(), strict=True)):
            return fails("it draws from numpy's global random stream")
        random.seed(seed)
        np.random.seed(seed % 2**32)  # the very stream that must not matter
        if not alike(first, drawn(scene, phase, seed)[0]):
            return fails("another state of the streams of Python and numpy gives another result")
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
    return conforms("neither Python's stream nor numpy's matters")


def _everything(scene: Scene) -> dict[str, Tensor]:
    """Return every tensor that a draw is given, by name."""
    modules = {"the model's": scene.model, "the estimator's": scene.estimator.learned}
    held = {
        f"{owner} {name}": tensor
        for owner, module in modules.items()
        if isinstance(module, nn.Module)
        for name, tensor in module.state_dict(keep_vars=True).items()
    }
    batch = {"the batch's x": scene.batch.x}
    if scene.batch.context is not None:
        batch["the batch's context"] = scene.batch.context
    return {**held, **batch, **{f"the state's {name}": tensor for name, tensor in scene.state.items()}}


def alike(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Return whether both hold the same tensors under the same names, bit by bit; NaN is NaN."""
    return one.keys() == other.keys() and all(_same(tensor, other[name]) for name, tensor in one.items())


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())


def _faultless(faults: list[str]) -> Verdict:
    return fails("; ".join(faults)) if faults else conforms("as it should be")
