"""What happened when, in JSON lines beside a store: the only place where times and names of machines are written."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from superpos.sweeping.store.resume import Committed, beside

LONGEST_LINE = 4_096
END_OF_TIME = 2**33  # seconds: the year 2242


class RunLog:
    """One file per worker, appended line by line: {"event": "chunk", "time": …, "models": …, "loss_mean": …}."""

    def __init__(self, target: Path, sweep: str, worker: str):
        self._path = beside(target, "log") / f"{worker}-{sweep[:8]}.jsonl"  # of this very sweep: paths are used again

    def write(self, event: str, **values: Any) -> None:
        """Append one line. A log that cannot be written stops nothing."""
        line = json.dumps({"event": event, "time": round(time.time(), 3), **values}) + "\n"
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_file() or not self._path.exists():  # a pipe would block
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line)

    def started(self, n_models: int) -> None:
        """Training begins."""
        with suppress(OSError):
            if self._path.is_file():
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("\n")  # after a line that a crash has torn
        self.write("start", models=n_models, host=socket.gethostname(), process=os.getpid())

    def committed(self, done: Committed) -> None:
        """A chunk is on disk."""
        finite = done.losses[np.isfinite(done.losses)]
        loss = {}
        if len(finite):
            loss = {"loss_mean": float(finite.mean()), "loss_min": float(finite.min()), "loss_max": float(finite.max())}
        self.write("chunk", chunk=done.chunk, models=done.n_models, diverged=done.n_diverged, **loss)


class Entry(NamedTuple):
    """One line that is ours: what happened, when by the writer's clock, and the chunk where one was committed."""

    event: str
    time: float
    chunk: int | None


def read(target: Path, sweep: str) -> list[Entry]:
    """All lines of all workers of a sweep, in order of time. Lines that are torn or not ours are left out."""
    entries = []
    for path in sorted(beside(target, "log").glob(f"*-{sweep[:8]}.jsonl")):
        with suppress(OSError):
            if path.is_file():  # anybody may put something here: a pipe, for example, would never end
                with path.open("rb") as file:
                    entries += [entry for line in _lines(file) if (entry := _entry(line)) is not None]
    return sorted(entries, key=lambda entry: entry.time)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines no longer than ours can be; longer ones are skipped without being held in memory."""
    whole = True
    while line := file.readline(LONGEST_LINE):
        ends = line.endswith(b"\n")
        if whole and (ends or len(line) < LONGEST_LINE):
            yield line
        whole = ends


def _entry(line: bytes) -> Entry | None:
    """What a line says, or None if it is not one that `Journal` writes."""
    try:
        event = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    when, chunk = event.get("time"), event.get("chunk")
    if isinstance(when, bool) or not isinstance(when, int | float) or not 0 < when < END_OF_TIME:
        return None
    if event["event"] == "chunk" and (not isinstance(chunk, int) or isinstance(chunk, bool) or chunk < 0):
        return None
    return Entry(event["event"], float(when), chunk if event["event"] == "chunk" else None)
