"""A progress bar over the whole sweep, silent when nobody watches."""

import sys
import threading
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.text import Text


class _Rate(TextColumn):
    """Models trained per second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: RichTask) -> Text:
        return Text(f"{task.speed:.3g} models/s" if task.speed else "…", style="dim")


class Progress:
    """Counts models, which may come in fractions; shows a bar with rate and time left on a terminal."""

    def __init__(self, n_cells: int, *, done: int = 0, doing: str = "training", enabled: bool | None = None):
        console = Console(file=sys.stderr, force_terminal=True if enabled else None)
        shown = console.is_terminal if enabled is None else enabled
        columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        self._bar = RichProgress(*columns, console=console, disable=not shown, transient=True, speed_estimate_period=10)
        self._task = self._bar.add_task(doing, total=n_cells, completed=done)
        self._lock, self._done = threading.Lock(), float(done)

    def advance(self, models: float) -> None:
        """Add some models, or part of one."""
        with self._lock:
            self._done += models
            self._bar.update(self._task, completed=round(self._done, 1))

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
