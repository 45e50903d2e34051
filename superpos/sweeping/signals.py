"""A polite end: the first SIGINT or SIGTERM asks for the next safe point."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopOnSignals:
    """While this context lasts, a signal sets `stop` instead of ending the process. A second SIGINT interrupts at once.

    Only the main thread can watch for signals; elsewhere this does nothing.
    """

    def __init__(self, stop: threading.Event):
        self.stop, self.received = stop, 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopOnSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._arrived)
        return self

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or number
        self.stop.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
