"""One phase under way: its optimiser, and what it measured since the last row of metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.errors import NonFiniteError, RunError
from probgen.estimator import Estimate, Phase, State
from probgen.execution import PhaseExecution
from probgen.execution.program import Results
from probgen.training.optimizers import Descent, make_optimizer, schedule_factor
from probgen.training.recipe import OptimizerSettings
from probgen.training.world import World

__all__ = ["PhaseRun"]


class PhaseRun:
    """Runs one phase of an estimator: estimate, differentiate, average over processes, clip, step.

    Args:
        phase: What is run.
        settings: Its optimiser's settings.
        trained: The identities of the parameters that the stage trains; the phase's other ones are left alone.
        total_steps: Length of the learning-rate schedule.
        execution: Returns what runs the phase and takes the gradient by the given parameters.
        world: The processes that train together.
    """

    def __init__(
        self,
        phase: Phase,
        settings: OptimizerSettings,
        *,
        trained: frozenset[int],
        total_steps: int,
        execution: Callable[[Sequence[nn.Parameter]], PhaseExecution],
        world: World,
    ) -> None:
        self.phase = phase
        self.settings = settings
        self.parameters: list[nn.Parameter] = [p for p in phase.parameters.values() if id(p) in trained]
        self.optimizer = make_optimizer(self.parameters, settings) if phase.estimate and self.parameters else None
        self._descent = None if self.optimizer is None else Descent(self.optimizer)
        self._total_steps = total_steps
        self.execution = execution(self.parameters if self.optimizer is not None else [])
        self._world = world
        self._sums: dict[tuple[str, ...], Tensor] = {}  # of numbers that were measured together, by their names
        self._count = 0
        self._first_bad: Tensor | None = None

    def run(self, batch: Batch, state: State, *, step: int, share: float) -> State:
        """Take one step of this phase and return the estimator's next state.

        Args:
            batch: This process's part of the batch.
            state: The estimator's state.
            step: How many steps of the stage were done before.
            share: Which fraction of the whole batch `batch` is; the processes' gradients are added with these weights. A
                process without rows adds zeros.

        Raises:
            NonFiniteError: the loss or the gradient is not finite. On the CPU the parameters are as they were.
        """
        results = self.execution(batch, state) if len(batch) else None
        norm = None
        if self._descent is not None:
            norm = self._descend(self._descent, results, batch.x.device, step, share)
        elif results is not None:
            self._watch(results.estimate.value.detach().mean(), step)
        if self.phase.after_step is not None:
            with torch.no_grad():
                self.phase.after_step()
        if results is None:
            return state
        estimate = results.estimate
        self._record(estimate, norm)
        return {name: _as_state(tensor, state.get(name)) for name, tensor in estimate.state.items()}

    def _descend(self, descent: Descent, results: Results | None, device: torch.device, step: int, share: float) -> Tensor:
        gradients = self._gradients(results, share)
        norm = _total_norm([gradient for gradient in gradients if gradient is not None])
        loss = torch.zeros((), device=device) if results is None else results.estimate.surrogate.detach()
        self._watch(loss + norm, step)
        if self.settings.clip_norm is not None:  # not in place: autograd may hand out one tensor for two parameters
            factor = (self.settings.clip_norm / (norm + 1e-6)).clamp(max=1.0)
            gradients = [None if gradient is None else gradient * factor for gradient in gradients]
        laid_out = [
            None if gradient is None else _laid_out_as(parameter, gradient)
            for parameter, gradient in zip(self.parameters, gradients, strict=True)
        ]
        descent.step(
            laid_out, self.settings.learning_rate * schedule_factor(self.settings.schedule, step, self._total_steps)
        )
        return norm

    def _gradients(self, results: Results | None, share: float) -> Sequence[Tensor | None]:
        """Return the whole batch's gradients; a process without rows adds zeros to them."""
        if results is None:
            return self._world.add_up([torch.zeros_like(parameter) for parameter in self.parameters])
        if self._world.size == 1:
            if all(gradient is None for gradient in results.gradients):
                raise RunError(
                    f"fit: expected the surrogate of phase {self.phase.name!r} to depend on one of the parameters that are "
                    "trained; got one that depends on none. Check the stage's `train` patterns and that the estimator fits "
                    "the model."
                )
            return results.gradients
        whole = [
            torch.zeros_like(parameter) if gradient is None else gradient * share
            for parameter, gradient in zip(self.parameters, results.gradients, strict=True)
        ]
        return self._world.add_up(whole)

    def _watch(self, health: Tensor, step: int) -> None:
        """Note whether loss and gradient were finite; on the CPU, where looking is free, stop before the step is taken."""
        if health.device.type == "cpu":
            if not math.isfinite(health.item()):
                raise self._not_finite(step + 1)
            return
        bad = torch.where(torch.isfinite(health), torch.inf, float(step + 1))
        self._first_bad = bad if self._first_bad is None else torch.minimum(self._first_bad, bad)

    def require_finite(self) -> None:
        """Raise `NonFiniteError` if a loss or gradient so far was not finite, naming the first step where that was so."""
        if self._first_bad is not None and self._first_bad.isfinite():
            raise self._not_finite(int(self._first_bad))

    def _not_finite(self, step: int) -> NonFiniteError:
        return NonFiniteError(
            f"fit: expected a finite loss and gradient in phase {self.phase.name!r}; got one that is not, at step {step}."
        )

    # -------------------------------------------------------------------------------------------------------- metrics

    def _record(self, estimate: Estimate, norm: Tensor | None) -> None:
        measured: dict[str, Tensor] = {"value": estimate.value, **estimate.info}
        if self.phase.estimate is not None:
            measured["loss"] = estimate.surrogate.detach()
        if norm is not None:
            measured["gradient_norm"] = norm
        names, place = tuple(measured), estimate.value.device
        means = torch.stack([_mean(tensor, place) for tensor in measured.values()])
        before = self._sums.get(names)
        self._sums[names] = means if before is None else before.add_(means)
        self._count += 1

    def read_metrics(self) -> dict[str, float]:
        """Return the means since the last call, and start over."""
        totals: dict[str, float] = {}
        for names, numbers in self._sums.items():
            for name, number in zip(names, numbers.tolist(), strict=True):
                totals[name] = totals.get(name, 0.0) + number
        means = {name: total / self._count for name, total in totals.items()}
        if self.optimizer is not None:
            means["learning_rate"] = float(self.optimizer.param_groups[0]["lr"])
        self._sums, self._count = {}, 0
        return means

    # ---------------------------------------------------------------------------------------------------- saved state

    def state(self) -> dict[str, Tensor]:
        """Return the optimiser's tensors, by parameter number and name."""
        if self.optimizer is None:
            return {}
        saved = {}
        for number, entries in self.optimizer.state_dict()["state"].items():
            for name, value in entries.items():
                if value is not None:
                    saved[f"{number}.{name}"] = torch.as_tensor(value)
        return saved

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue with saved optimiser tensors."""
        if self.optimizer is None:
            return
        entries: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            number, _, name = key.partition(".")
            parameter = self.parameters[int(number)]
            moment = tensor.shape == parameter.shape
            entries.setdefault(int(number), {})[name] = _laid_out_as(parameter, tensor) if moment else tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": entries})
        if self._descent is not None:
            self._descent.forget()


def _as_state(tensor: Tensor, before: Tensor | None) -> Tensor:
    """Return what to keep of a new state: no gradient, and the precision of the old one, whatever a step is computed in."""
    kept = tensor.detach()
    if before is not None and before.is_floating_point() and kept.is_floating_point():
        kept = kept.to(before.dtype)
    return kept.contiguous()  # for state that stays in memory and state from a checkpoint: sums depend on the layout


def _mean(tensor: Tensor, device: torch.device) -> Tensor:
    number = tensor.detach().to(device, torch.float32)
    return number.mean() if number.ndim else number


def _total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Return the norm of all gradients together."""
    if any(gradient.device.type != "cpu" for gradient in gradients):
        return nn.utils.get_total_norm(gradients)
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return `tensor` with the strides of `parameter`: torch's fused optimisers read both as if they had the same."""
    if tensor.stride() == parameter.stride():
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
