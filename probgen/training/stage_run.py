"""One stage of a recipe under way: its data, its phases, its state; how it steps, validates, and is saved."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.errors import CheckpointError, ConfigurationError
from probgen.estimator import Phase, State, parameters_of
from probgen.execution import PhaseExecution
from probgen.plugin import check_fit
from probgen.shapes import Model
from probgen.streams import epoch_order, seed_streams, seeded_streams, stream_seed
from probgen.training.averaging import WeightAverage
from probgen.training.phase_run import PhaseRun
from probgen.training.recipe import Stage
from probgen.training.settings import Settings
from probgen.training.world import World

if TYPE_CHECKING:
    from probgen.data import View

__all__ = ["StageRun", "by_owner", "load_weights"]


class StageRun:
    """A stage of training on a model and a view of the data.

    Everything random is a function of the seed, the stage's name and the number of the step, so `step(n)` does the same
    whether the steps before it ran in this process or in one that was killed.

    Args:
        model: The whole model, already on its device.
        stage: What to do, with the run's overrides applied.
        view: The data.
        settings: The run's settings.
        device: Where to compute.
        world: The processes that train together.
    """

    def __init__(
        self, model: Any, stage: Stage, view: View, settings: Settings, *, device: torch.device, world: World
    ) -> None:
        self.stage = stage
        self.model = model
        self.part = _part_of(model, stage.part)
        self._settings = settings
        self._device = device
        self._world = world
        self._train = view.split("train")
        self._valid = view.split("valid") if "valid" in view.split_names else None
        self.batch_size = min(stage.batch_size, len(self._train))
        self.batches_per_epoch = math.ceil(len(self._train) / self.batch_size)
        self._view_seed = stream_seed(settings.seed, f"{stage.name}/view")
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

        self.estimator = stage.estimator
        check_fit(self.estimator, self.part)
        self.set_training(training=False)
        with seeded_streams(settings.seed, f"{stage.name}/initialise"):
            first = self._batch(0, rank=0, size=1)
            if isinstance(self.part, Model):
                self.part.initialize(first)
            self.estimator.initialize(self.part, first)
            if self.estimator.learned is not None:
                self.estimator.learned.to(device)
            world.share(model if isinstance(model, nn.Module) else None, self.estimator.learned)
            self.state: State = dict(self.estimator.initial_state(self.part, first))
        phases = self.estimator.phases(self.part)
        self._check_phases(phases)
        self.draws_per_step = sum(phase.repeats for phase in phases)
        self.total_steps = stage.steps or max(1, math.ceil(stage.epochs * self.batches_per_epoch / self.draws_per_step))
        trained = self._trained_parameters(phases)
        self.phase_runs = [
            PhaseRun(
                phase,
                stage.settings_for(phase.name),
                trained=trained,
                total_steps=self.total_steps,
                execution=partial(self._execution, phase),
                world=world,
            )
            for phase in phases
        ]
        own = {name: parameter for name, parameter in parameters_of(self.part).items() if id(parameter) in trained}
        self.average = WeightAverage(own, settings.ema) if settings.ema is not None else None

    def _execution(self, phase: Phase, parameters: Sequence[nn.Parameter]) -> PhaseExecution:
        """Return what runs a phase of this stage."""
        return PhaseExecution(
            phase,
            self.part,
            self.estimator,
            parameters,
            execution=self._settings.execution,
            runs=self.total_steps * phase.repeats,
            autocast=torch.bfloat16 if self._settings.precision == "bfloat16" else None,
        )

    def _check_phases(self, phases: Sequence[Phase]) -> None:
        """Refuse phases whose optimisers a checkpoint could not tell apart, and what several processes cannot share yet."""
        names = [phase.name for phase in phases]
        if len(set(names)) < len(names) or any("." in name for name in names):
            raise ConfigurationError(
                f"fit: expected phases with names of their own, without dots; got {', '.join(names)}. Rename them."
            )
        for phase in phases:
            if not phase.parameters:
                raise ConfigurationError(
                    f"fit: expected phase {phase.name!r} to train something; got a {type(self.part).__name__} without "
                    "trainable parameters for it. Keep what is learned in an nn.Module that the model holds."
                )
        updates = [phase.name for phase in phases if phase.update is not None]
        if self._world.size > 1 and (self.state or updates):
            what = f"carries {', '.join(self.state)}" if self.state else f"updates without gradients in {updates[0]}"
            raise ConfigurationError(
                f"fit: expected an estimator without state and updates for {self._world.size} processes; got "
                f"{type(self.estimator).__name__}, which {what}. Train it in one process."
            )
        if self.batch_size < self._world.size:
            raise ConfigurationError(
                f"fit: expected a batch of at least one example for each of {self._world.size} processes; got "
                f"{self.batch_size}. Raise batch_size."
            )

    def _trained_parameters(self, phases: Sequence[Phase]) -> frozenset[int]:
        """Return the identities of the parameters to train: the chosen ones, and all that the estimator learns."""
        own, learned = parameters_of(self.part), parameters_of(self.estimator.learned)
        known = {id(parameter) for parameter in (*own.values(), *learned.values())}
        for phase in phases:
            for name, parameter in phase.parameters.items():
                if parameter.requires_grad and id(parameter) not in known:
                    raise ConfigurationError(
                        f"fit: expected the parameters of phase {phase.name!r} to belong to the model or to the estimator's "
                        f"`learned` module; got {name!r}, which no checkpoint would hold. Put its module into `learned`."
                    )
        chosen = {
            id(p) for name, p in _by_every_name(self.part) if any(fnmatchcase(name, glob) for glob in self.stage.train)
        }
        return frozenset(chosen | set(map(id, learned.values())))

    # ------------------------------------------------------------------------------------------------------- training

    def step(self, number: int) -> None:
        """Run every phase once, with its repeats, as the step that comes after `number` others."""
        seed_streams(stream_seed(self._settings.seed, f"{self.stage.name}/noise", number, self._world.rank))
        draw = number * self.draws_per_step
        for run in self.phase_runs:
            for _ in range(run.phase.repeats):
                batch = self._batch(draw, rank=self._world.rank, size=self._world.size)
                share = len(batch) / self._batch_length(draw) if self._world.size > 1 else 1.0
                self.state = run.run(batch, self.state, step=number, share=share)
                draw += 1
        if self.average is not None:
            self.average.update(number)

    def require_finite(self) -> None:
        """Raise `NonFiniteError` if a step since the last call had a loss or gradient that was not finite."""
        for run in self.phase_runs:
            run.require_finite()

    def epochs_after(self, steps: int) -> float:
        """Return how many passes through the training data `steps` steps are."""
        return steps * self.draws_per_step / self.batches_per_epoch

    @property
    def examples_per_step(self) -> int:
        """How many examples a step sees, over all phases."""
        return self.batch_size * self.draws_per_step

    def set_training(self, *, training: bool) -> None:
        """Put what is trained into training or evaluation mode; the rest of the model is always in evaluation mode."""
        if isinstance(self.model, nn.Module):
            self.model.eval()
        for module in (self.part, self.estimator.learned):
            if isinstance(module, nn.Module):
                module.train(training)

    def _batch(self, draw: int, *, rank: int, size: int) -> Batch:
        """Return one process's part of the stage's batch number `draw`."""
        epoch, position = divmod(draw, self.batches_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self._order_of(epoch))
        rows = self._order[1][position * self.batch_size : (position + 1) * self.batch_size]
        if size > 1:
            rows = rows[rank::size]
        return self._prepared(self._train.batch(rows, seed=self._view_seed, epoch=epoch))

    def _order_of(self, epoch: int) -> Tensor:
        if not self.stage.shuffle:
            return torch.arange(len(self._train))
        return epoch_order(self._settings.seed, f"{self.stage.name}/order", epoch, len(self._train))

    def _batch_length(self, draw: int) -> int:
        position = draw % self.batches_per_epoch
        return min(self.batch_size, len(self._train) - position * self.batch_size)

    def _prepared(self, batch: Batch) -> Batch:
        batch = batch.to(self._device)
        if self.stage.prepare is None:
            return batch
        with torch.no_grad():
            return self.stage.prepare(self.model, batch)

    # ----------------------------------------------------------------------------------------------------- validation

    def validate(self) -> dict[tuple[str, str], float]:
        """Return each phase's mean value and diagnostics on the validation set, by (phase, name).

        The weights are the averaged ones where there is an average; noise is the same every time; the state is not changed.
        """
        if self._valid is None:
            return {}
        count = len(self._valid)
        sums: dict[tuple[str, str], float] = {}
        self.set_training(training=False)
        with self._averaged(), torch.no_grad():
            for number, start in enumerate(range(0, count, self.batch_size)):
                rows = torch.arange(start, min(start + self.batch_size, count))
                with seeded_streams(self._settings.seed, f"{self.stage.name}/validation", number):
                    self._add_validation(self._prepared(self._valid.batch(rows, seed=self._view_seed, epoch=0)), sums)
        self.set_training(training=True)
        return {key: total / count for key, total in sums.items()}

    def _add_validation(self, batch: Batch, sums: dict[tuple[str, str], float]) -> None:
        for run in self.phase_runs:
            if run.phase.estimate is None:
                continue
            estimate = run.phase.estimate(self.part, batch, self.state)
            for name, tensor in {"value": estimate.value, **estimate.info}.items():
                key = (run.phase.name, name)
                sums[key] = sums.get(key, 0.0) + float(tensor.mean()) * len(batch)

    @property
    def has_validation(self) -> bool:
        """Whether there are examples to validate on."""
        return self._valid is not None

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.average is None else self.average.applied()

    # ---------------------------------------------------------------------------------------------------- saved state

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor that this stage needs to go on, the model's raw weights among them."""
        saved = {f"model.{name}": tensor for name, tensor in _state_dict(self.model).items()}
        saved |= self.learned_tensors()
        saved |= {f"state.{name}": tensor for name, tensor in self.state.items()}
        for run in self.phase_runs:
            saved |= {f"optimizer.{run.phase.name}.{name}": tensor for name, tensor in run.state().items()}
        if self.average is not None:
            saved |= {f"average.{name}": tensor for name, tensor in self.average.state().items()}
        return saved

    def execution_history(self) -> dict[str, Any]:
        """Return how each phase runs, as JSON values: a resumed run goes on in the same way."""
        return {run.phase.name: run.execution.history() for run in self.phase_runs}

    def execution_in_words(self) -> str:
        """Return how the phases run, as a line for a person."""
        return f"{self.stage.name}: " + ", ".join(f"{run.phase.name} {run.execution.in_words}" for run in self.phase_runs)

    def restore_execution(self, history: Mapping[str, Any]) -> None:
        """Run each phase as the checkpoint's process did."""
        for run in self.phase_runs:
            if run.phase.name in history:
                run.execution.load_history(history[run.phase.name])

    def raw_tensors(self) -> dict[str, Tensor]:
        """Return copies of the weights that the average is about to replace, for the stage's last checkpoint."""
        if self.average is None:
            return {}
        return {f"raw.{name}": tensor.detach().clone() for name, tensor in _state_dict(self.model).items()}

    def learned_tensors(self) -> dict[str, Tensor]:
        """Return what the estimator has learned, by names that start with `learned.` and the stage's name."""
        return {f"learned.{self.stage.name}.{name}": tensor for name, tensor in _state_dict(self.estimator.learned).items()}

    def restore_learned(self, tensors: Mapping[str, Tensor]) -> None:
        """Give the estimator what it had learned, from a checkpoint of this stage or a later one."""
        learned = by_owner(by_owner(tensors).get("learned", {}))
        load_weights(self.estimator.learned, learned.get(self.stage.name, {}))

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue with the tensors of a checkpoint.

        Raises:
            CheckpointError: they belong to another model or estimator.
        """
        owned = by_owner(tensors)
        optimizers = by_owner(owned.get("optimizer", {}))
        load_weights(self.model, owned.get("model", {}))
        self.restore_learned(tensors)
        for run in self.phase_runs:
            run.load(optimizers.get(run.phase.name, {}))
        if self.average is not None:
            self.average.load(owned.get("average", {}))
        self.state = {name: tensor.to(self._device) for name, tensor in owned.get("state", {}).items()}


def _part_of(model: Any, name: str) -> Any:
    if not name:
        return model
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise ConfigurationError(
            f"fit: expected the stage's part to be a submodule of {type(model).__name__}; got {name!r}. Check its name."
        ) from error


def _by_every_name(part: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the trainable parameters with their names; one that is tied comes under each of them."""
    named = part.named_parameters(remove_duplicate=False) if isinstance(part, nn.Module) else ()
    return ((name, parameter) for name, parameter in named if parameter.requires_grad)


def _state_dict(module: Any) -> dict[str, Tensor]:
    return dict(module.state_dict()) if isinstance(module, nn.Module) else {}


def load_weights(module: Any, tensors: Mapping[str, Tensor]) -> None:
    """Give `module` its tensors of a checkpoint.

    Raises:
        CheckpointError: they belong to another module.
    """
    if not isinstance(module, nn.Module):
        return
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"fit: expected the checkpoint of a {type(module).__name__} like this one; got another "
            f"({' '.join(str(error).split())}). Resume with the same options."
        ) from error


def by_owner(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Group tensors by the part of their name before the first dot, which is left out of the inner names."""
    owned: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        owner, _, rest = name.partition(".")
        owned.setdefault(owner, {})[rest] = tensor
    return owned
