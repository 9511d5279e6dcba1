"""A phase run once as it is written, for its numbers and for what it makes once, with everything put back afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from probgen.batch import Batch
from probgen.estimator import Estimate, State
from probgen.execution.eager import EagerPhase
from probgen.execution.program import Program, Results, tensors_of
from probgen.execution.reach import Reach
from probgen.execution.snapshot import Snapshot, untouched

__all__ = ["Rehearsal"]


class Rehearsal:
    """What a phase does to a batch and a state, found out without leaving a trace.

    What was None, or was not there, and is now, stays: a table that is computed at the first call has tensors with values
    in it when the phase is traced. All else is put back.

    Args:
        run: The phase as it is written.
        batch: What to run it on.
        state: The estimator's state.
        roots: Where what it can reach begins.

    Raises:
        Exception: the phase's own, after everything was put back.
    """

    def __init__(self, run: EagerPhase, batch: Batch, state: State, roots: Mapping[str, Any]) -> None:
        before = Reach(roots)
        self._snapshot = Snapshot(before)
        given = tensors_of(batch, state)
        try:
            with untouched(given, before):
                # Copies: the tensors themselves are about to be written to, when everything is put back.
                self._results = _copied(run(batch, state))
                after = Reach(roots)
                self._kept = [*before.tensors, *after.tensors, *given]
                self._values = {id(tensor): tensor.detach().clone() for tensor in self._kept}
                self._contents = {place.identity: tensor for tensor, group in after.places for place in group}
        except BaseException:
            self.undo()
            raise
        self.put_back()
        self.reach = Reach(roots)

    def put_back(self) -> None:
        """Put everything back but what is made once."""
        self._snapshot.restore(keep_new=True)

    def undo(self) -> None:
        """Put everything back."""
        self._snapshot.restore()

    def drawn_from(self) -> str | None:
        """Return the name of a stream, none of torch's, from which was drawn since things were put back."""
        return self._snapshot.drawn_from()

    def outcome(self, program: Program, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return what came of the phase: the outputs of a program of it, then what became of the program's inputs."""
        rebound = [self._values[id(self._contents[place.identity])] for place in program.rebound]
        return [*program.flat(self._results, rebound), *(self._values[id(tensor)] for tensor in inputs)]


def _copied(results: Results) -> Results:
    estimate = results.estimate
    copy = Estimate(
        estimate.surrogate.detach().clone(),
        estimate.value.detach().clone(),
        state={name: tensor.detach().clone() for name, tensor in estimate.state.items()},
        info={name: tensor.detach().clone() for name, tensor in estimate.info.items()},
    )
    return Results(copy, [None if gradient is None else gradient.detach().clone() for gradient in results.gradients])
