"""`superpos status`: how far a sweep is, read from its store while workers run."""

from pathlib import Path
from typing import Annotated

import tyro

RECENT_SECONDS = 600
PAUSE_SECONDS = 120


def status(
    result: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="the folder a sweep writes to")],
) -> None:
    """Say how many models are trained, how many diverged, at what rate, and how long the rest will take."""
    import time

    import numpy as np

    from superpos.cli.sweep import duration
    from superpos.sweep import reading
    from superpos.sweep.journal import read
    from superpos.sweep.store import DONE

    opened = reading.opened(result)
    if opened.attributes["format"] == 1:
        print(f"models    {opened.n_cells:,}, all trained (written in one go by an earlier version)")
        return
    if opened.attributes["format"] == reading.SAVED:
        there = opened.n_cells - opened.n_missing  # pyright: ignore[reportAttributeAccessIssue]
        print(f"models    {there:,} of {opened.n_cells:,} (a saved result)")
        return
    done = int((opened.status == DONE).sum())
    print(f"models    {done:,} of {opened.n_cells:,} ({done / opened.n_cells:.1%})")
    print(f"chunks    {int(opened.committed.sum()):,} of {opened.n_chunks:,}")
    entries = read(result, opened.attributes["digest"])
    # A chunk counts once, whoever trained it again.
    chunks = {e["chunk"]: e for e in entries if e["event"] == "chunk" and isinstance(e.get("chunk"), int)}
    steps = np.asarray(opened.source_group["diverged_step"][...])
    print(f"diverged  {int((steps[opened.status[: len(steps)] == DONE] >= 0).sum()):,}")
    if done == opened.n_cells:
        print("time left none: finished")
        return
    now = time.time()
    since = now  # back over what happened lately, up to a pause
    for time_ in reversed([e["time"] for e in entries]):
        if time_ < max(now - RECENT_SECONDS, since - PAUSE_SECONDS):
            break
        since = time_
    trained = sum(int(e.get("models", 0)) for e in chunks.values() if e["time"] >= since)
    rate = trained / max(now - since, 1e-3)
    print(f"rate      {rate:.3g} models/s over the last {now - since:.0f} s")
    left = "unknown: nothing was trained lately" if not trained else duration((opened.n_cells - done) / rate)
    print(f"time left {left}")
