"""Checks of what becomes of a registered model: it is trained by its recipe, saved, and loaded again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probgen.capabilities import capabilities
from probgen.density import Density
from probgen.errors import CapabilityError, NonFiniteError, ProbgenError
from probgen.plugin import ModelSpec, Provenance, Registered, default_estimator, registry
from probgen.sampler import Sampler
from probgen.shapes import Model
from probgen.streams import seeded_streams
from probgen.testing.check import Check
from probgen.testing.tiny import built, examples_of, supports_of, tiny_source
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, fails
from probgen.testing.twins import registration as twins
from probgen.testing.verdict import Verdict
from probgen.training import fit, load, save
from probgen.training.recipe import Recipe, Stage

__all__ = ["CHECKS"]

_STEPS = 2
_DRAWS = 4


def _trains(registered: Registered[ModelSpec], trial: Trial) -> Iterator[Judgement]:
    make_recipe = registered.load("recipe")
    tried = False
    with seeded_streams(trial.seed(), "examples"):
        examples = examples_of(registered)
    for name, example in examples.items():
        recipe = _recipe(example) if make_recipe is None else make_recipe(example)
        if recipe is None:
            continue
        tried = True
        claim = f"example {name!r} takes {_STEPS} steps of its recipe"
        yield Judgement(claim, _trained(example, recipe, trial.seed(name)))
    if not tried:
        raise NotApplicable("it has no recipe, or no examples, and no estimator suggests itself")


def _recipe(example: Any) -> Recipe | None:
    """Return how a model without a recipe is trained."""
    estimator = default_estimator(example)
    return None if estimator is None else Recipe((Stage(estimator),))


def _trained(example: Any, recipe: Any, seed: int) -> Verdict:
    if not isinstance(recipe, Recipe):
        return fails(f"expected a Recipe; got {recipe!r}")
    try:
        for stage in recipe.stages:
            stage.estimator.check(example.get_submodule(stage.part) if stage.part else example)
    except CapabilityError as error:
        return fails(str(error))
    source = tiny_source(example, seed)
    if source is None:
        return conforms("its estimators fit it; no data set has events and contexts like its own")
    try:
        fit(example, source, recipe=recipe, steps=_STEPS, batch_size=_DRAWS, seed=seed, device="cpu", progress=False)
    except NonFiniteError as error:
        return fails(str(error))
    wild = [name for name, tensor in example.state_dict().items() if not bool(tensor.isfinite().all())]
    return fails(f"after {_STEPS} steps, not finite: {', '.join(wild)}") if wild else conforms("all stays finite")


def _reloads(registered: Registered[ModelSpec], trial: Trial) -> Iterator[Judgement]:
    tried = False
    for position, support in enumerate(supports_of(registered.spec)):
        try:
            with seeded_streams(trial.seed(position), "saved"):
                model, _ = built(registered, support)
            with seeded_streams(trial.seed(position), "loaded"):
                fresh, _ = built(registered, support)
        except ProbgenError:  # `builds-by-name` reports it
            continue
        if not isinstance(model, nn.Module):
            raise NotApplicable("it is no module, so it has no weights to save")
        tried = True
        yield Judgement(f"what is written about a model over {support} is read again", _provenance(model))
        yield from _judged(model, _reloaded(model, fresh), trial.seed(position, "events"), f"over {support}")
    if not tried:
        raise NotApplicable("it cannot be built for a small shape")


def _provenance(model: Model) -> Verdict:
    written = model.provenance
    if written is None:
        return fails("expected a provenance; got options that cannot be written down")
    read = Provenance.from_json(json.loads(json.dumps(written.to_json())))
    return conforms("it is the same") if read == written else fails(f"expected {written}; got {read}")


def _reloaded(model: Model, fresh: Model) -> Any:
    """Return the model as it comes back from a folder: by its name where it is registered, else into a fresh one."""
    by_name = model.provenance is not None and model.provenance.name in registry().models
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder))
        return load(folder) if by_name else load(folder, model=fresh)


def _judged(model: Model, again: Model, seed: int, over: str) -> Iterator[Judgement]:
    """Compare a model with itself from a folder, bit for bit: its state, its draws and its scores."""
    model.eval()  # pyright: ignore[reportAttributeAccessIssue]  # a module
    states: list[Mapping[str, Tensor]] = [one.state_dict() for one in (model, again)]  # pyright: ignore[reportAttributeAccessIssue]
    different = [name for name, tensor in states[0].items() if not torch.equal(tensor, states[1][name])]
    verdict = fails(f"different: {', '.join(different)}") if different else conforms("every tensor is the same")
    yield Judgement(f"the state of a model {over} survives a folder", verdict)
    if Sampler not in capabilities(model):
        return
    first, second = (one.sample((_DRAWS,), generator=_stream(seed)) for one in (model, again))  # pyright: ignore[reportAttributeAccessIssue]
    yield Judgement(f"its draws {over} survive a folder", _equal(first, second))
    if Density in capabilities(model):
        scores = [one.log_prob(first) for one in (model, again)]  # pyright: ignore[reportAttributeAccessIssue]
        yield Judgement(f"its scores {over} survive a folder", _equal(*scores))


def _stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _equal(one: Tensor, other: Tensor) -> Verdict:
    same = torch.equal(one.nan_to_num(), other.nan_to_num())
    return conforms("they are the same, bit for bit") if same else fails("something that matters is not in the state dict")


CHECKS = (
    Check(
        "trains",
        "Its recipe has estimators that fit it, and two steps leave everything finite.",
        "registration",
        _trains,
        {
            "a recipe that is none": twins.with_no_recipe,
            "an estimator that does not fit": twins.with_an_unfit_recipe,
            "a loss that is not finite": twins.that_explodes,
        },
    ),
    Check(
        "survives-a-folder",
        "Saved and loaded it is the same, bit for bit: its state, its draws and its scores.",
        "registration",
        _reloads,
        {"state outside of the state dict": twins.with_hidden_state, "a size that is drawn": twins.with_a_drawn_size},
    ),
)
