"""How a phase is run: as it is written, or recorded once as a graph of tensor operations and replayed at every step."""

from __future__ import annotations

from probgen.execution.memory import keep_freed_memory
from probgen.execution.policy import EXECUTIONS, Execution, PhaseExecution, check_execution
from probgen.execution.recorded import Recorded
from probgen.execution.staged import StagedPhase

__all__ = ["EXECUTIONS", "Execution", "PhaseExecution", "Recorded", "StagedPhase", "check_execution", "keep_freed_memory"]
