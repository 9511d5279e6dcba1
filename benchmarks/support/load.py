"""How much of the processors other processes took while something was measured."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["OutsideLoad"]

_STATISTICS = Path("/proc/stat")
_IDLE = (3, 4)  # columns of the first line: idle, and waiting for a disk
_GUEST = 8  # from here on time is counted a second time


class OutsideLoad:
    """Compares the time in which the processors were busy with that which this process and its children used.

    Time that a virtual machine's host took away counts as load. Where the system does not tell, there is none.

    Example:
        >>> load = OutsideLoad()
        >>> 0.0 <= load.share() <= 1.0
        True
    """

    known = _STATISTICS.exists()

    def __init__(self) -> None:
        self._cores = os.cpu_count() or 1
        self._start = self._now()

    def share(self) -> float:
        """Return the share of all processors' time that went to others since this object was made, from 0 to 1."""
        then, now = self._start, self._now()
        wall, busy, own = (after - before for before, after in zip(then, now, strict=True))
        return min(1.0, max(0.0, (busy - own) / max(wall * self._cores, 1e-9)))

    def _now(self) -> tuple[float, float, float]:
        """Return the wall clock, all processors' busy time and this process's, in seconds."""
        own = sum(os.times()[:4])
        return time.perf_counter(), self._busy(own), own

    def _busy(self, own: float) -> float:
        if not self.known:
            return own
        ticks = [int(word) for word in _STATISTICS.read_text().split("\n", 1)[0].split()[1:]][:_GUEST]
        return sum(count for column, count in enumerate(ticks) if column not in _IDLE) / os.sysconf("SC_CLK_TCK")
