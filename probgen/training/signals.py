"""Stopping a run politely: SIGINT and SIGTERM let the step under way finish, and the run save itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from probgen.errors import InterruptedRunError

__all__ = ["StopRequest", "caught_signals"]


class StopRequest:
    """Whether somebody asked the run to stop, and with which signal: 0 for nobody."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        """Note the request; a second one stops the run at once, with what was saved before."""
        if self.signal_number:
            raise InterruptedRunError(
                f"fit: stopped at once by a second signal {signal_number}. Resume from the newest checkpoint.",
                signal_number=signal_number,
            )
        self.signal_number = signal_number


@contextmanager
def caught_signals(*, enabled: bool) -> Iterator[StopRequest]:
    """Catch SIGINT and SIGTERM inside the block, where that is possible: in the main thread."""
    request = StopRequest()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
