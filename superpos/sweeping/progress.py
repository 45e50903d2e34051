"""How far a sweep is, for whoever watches: a bar on a terminal or in a notebook, plain lines in a log."""

import html
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from types import TracebackType
from typing import Any

from superpos import console

# Seconds: before a notebook shows a bar, and between its changes.
NOTEBOOK_SECONDS = 0.25
# Seconds before the first line of a log; later lines come when the time since the begin has grown by this share.
FIRST_LINE, LINE_SHARE = 10.0, 0.1
# The rate is measured over the last so many seconds.
RATE_SECONDS = 30.0


class Progress:
    """Counts models, which may come in fractions, and shows them, the rate and the time left.

    `enabled` is None for a bar on a terminal or in a notebook and, after ten seconds, plain lines anywhere else (about one
    every ten seconds, fewer as time goes by); True for a first and a last line there, too; False for nothing. Everything
    goes to the error output, whose state is never an error, and is timed by a clock that cannot be set.
    """

    def __init__(self, n_cells: int, *, done: int = 0, doing: str = "training", enabled: bool | None = None):
        self.total, self.doing, self.always = n_cells, doing, bool(enabled)
        self._done, self._begin = float(done), time.monotonic()
        self._seen = deque([(self._begin, float(done))])
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._show: Callable[[Progress, bool], None] | None = None if enabled is False else _way_to_show()
        self._every = NOTEBOOK_SECONDS if isinstance(self._show, _Notebook | _Terminal) else 1.0
        self._thread: threading.Thread | None = None

    def advance(self, models: float) -> None:
        """Add some models, or part of one."""
        with self._lock:
            self._done += models

    @property
    def done(self) -> int:
        """Whole models so far."""
        return min(self.total, int(self._done + 1e-6))

    @property
    def seconds(self) -> float:
        """Since the begin."""
        return time.monotonic() - self._begin

    def rate(self) -> float:
        """Models per second lately."""
        now, done = time.monotonic(), self._done
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] < now - RATE_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0]
        return max(0.0, done - before) / max(now - then, 1e-3)

    def words(self) -> str:
        """ "training 1,200 of 4,096 models (29 %), 85.2 models/s, 0:34 left"."""
        rate, share = self.rate(), self.done / max(self.total, 1)
        text = f"{self.doing} {self.done:,} of {self.total:,} models ({share:.0%})"
        if rate > 0 and self.done < self.total:
            text += f", {rate:.3g} models/s, {_clock((self.total - self._done) / rate)} left"
        return text

    def __enter__(self) -> "Progress":
        if self._show is not None:
            context = copy_context()  # a notebook knows by it which cell a message belongs to
            self._thread = threading.Thread(target=context.run, args=(self._tick,), name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._draw(last=True)

    def _tick(self) -> None:
        self._draw()
        while not self._ended.wait(self._every):
            self._draw()

    def _draw(self, last: bool = False) -> None:
        with suppress(Exception):  # whatever a front end does, training goes on
            if self._show is not None:
                self._show(self, last)


class _Lines:
    """Lines in a log: the first after ten seconds, then ever more seldom."""

    def __init__(self) -> None:
        self.next, self.n_lines = FIRST_LINE, 0

    def __call__(self, progress: Progress, last: bool) -> None:
        due = progress.seconds >= self.next or (progress.always and self.n_lines == 0)
        if due or (last and self.n_lines):
            self.next = progress.seconds + max(FIRST_LINE, LINE_SHARE * progress.seconds)
            self.n_lines += 1
            console.say(f"superpos: {progress.words()}, {_clock(progress.seconds)} so far", error=True)


class _Terminal:
    """A bar that is drawn over, and gone at the end."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __call__(self, progress: Progress, last: bool) -> None:
        from rich.live import Live
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        row = Table.grid(padding=(0, 1))
        row.add_column()
        row.add_column(no_wrap=True)
        row.add_row(ProgressBar(progress.total, progress.done, width=20), progress.words())
        if self.bar is None:
            terminal = console.terminal(error=True, force_terminal=True, force_jupyter=False)
            self.bar = Live(row, console=terminal, transient=True, auto_refresh=False, redirect_stdout=False)
            self.bar.start()
        self.bar.update(row, refresh=True)
        if last:
            self.bar.stop()


class _Notebook:
    """A bar in the output of a cell that changes in place; it needs no widgets. At the end it says how long it took."""

    def __init__(self) -> None:
        self.display: Any = None

    def __call__(self, progress: Progress, last: bool) -> None:
        if self.display is None and (last or progress.seconds < NOTEBOOK_SECONDS):
            return  # too short to watch
        from IPython.display import display

        words = progress.words()
        if last:
            words = f"{words}, in {_clock(progress.seconds)}"
        bar = f'<progress value="{progress.done}" max="{progress.total}" style="width:20em"></progress> '
        data = {"text/plain": words, "text/html": bar * (not last) + html.escape(words)}
        if self.display is None:
            self.display = display(data, raw=True, display_id=True)
        else:
            self.display.update(data, raw=True)


def _way_to_show() -> Callable[[Progress, bool], None]:
    """A notebook's cell, a terminal, or a log, by where this runs."""
    if console.in_kernel() and "spyder_kernels" not in sys.modules:  # whose console only appends
        return _Notebook()
    output = console.terminal(error=True)
    if output.file.isatty() and not output.is_dumb_terminal:
        return _Terminal()
    return _Lines()


def _clock(seconds: float) -> str:
    """Seconds as 0:34, 12:05 or 3:12:05."""
    whole = int(min(seconds, 1e9) + 0.5)
    minutes, seconds_ = divmod(whole, 60)
    hours, minutes_ = divmod(minutes, 60)
    return f"{hours:,}:{minutes_:02}:{seconds_:02}" if hours else f"{minutes}:{seconds_:02}"
