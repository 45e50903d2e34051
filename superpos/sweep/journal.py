"""What happened when, in JSON lines beside a store: the only place where times and names of machines are written."""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from superpos.sweep.stored import Committed, beside


class Journal:
    """One file per worker, appended line by line: {"event": "chunk", "time": …, "models": …, "loss_mean": …}."""

    def __init__(self, target: Path, sweep: str, worker: str):
        self._path = beside(target, "log") / f"{worker}-{sweep[:8]}.jsonl"  # of this very sweep: paths are used again

    def write(self, event: str, **values: Any) -> None:
        """Append one line. A journal that cannot be written stops nothing."""
        line = json.dumps({"event": event, "time": round(time.time(), 3), **values}) + "\n"
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)

    def started(self, n_models: int) -> None:
        """Training begins."""
        with suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write("\n")  # after a line that a crash has torn
        self.write("start", models=n_models, host=socket.gethostname(), process=os.getpid())

    def committed(self, done: Committed) -> None:
        """A chunk is on disk."""
        finite = done.losses[np.isfinite(done.losses)]
        loss = {}
        if len(finite):
            loss = {"loss_mean": float(finite.mean()), "loss_min": float(finite.min()), "loss_max": float(finite.max())}
        self.write("chunk", chunk=done.chunk, models=done.n_models, diverged=done.n_diverged, **loss)


def read(target: Path, sweep: str) -> list[dict[str, Any]]:
    """All lines of all workers of a sweep, in order of time. Lines that are torn or not ours are left out."""
    found = []
    for path in sorted(beside(target, "log").glob(f"*-{sweep[:8]}.jsonl")):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            continue
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("time"), int | float) and "event" in entry:
                found.append(entry)
    return sorted(found, key=lambda entry: entry["time"])
