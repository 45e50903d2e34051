"""`superpos status`: how far a sweep is, read from its store while workers run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from superpos.console import words_are_the_result

if TYPE_CHECKING:
    from superpos.sweeping.store.run_log import Entry

RECENT_SECONDS = 600
PAUSE_SECONDS = 120
GRACE_SECONDS = 1.0


def status(
    result: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="the folder a sweep writes to")],
) -> None:
    """Say how many models are trained, how many diverged, at what rate, and how long the rest will take."""
    words_are_the_result()
    import time

    import numpy as np

    from superpos.sweeping.store import contents, reader
    from superpos.sweeping.store.run_log import read
    from superpos.sweeping.store.writer import DONE

    opened = reader.opened(result)
    if opened.attributes["format"] == 1:
        print(f"models    {opened.n_cells:,}, all trained (written in one go by an earlier version)")
        return
    if opened.attributes["format"] == contents.SAVED:
        n_models = opened.n_cells - opened.n_missing  # pyright: ignore[reportAttributeAccessIssue]
        print(f"models    {n_models:,} of {opened.n_cells:,} (a saved result)")
        return
    done = int((opened.status == DONE).sum())
    print(f"models    {done:,} of {opened.n_cells:,} ({done / opened.n_cells:.1%})")
    print(f"chunks    {int(opened.committed.sum()):,} of {opened.n_chunks:,}")
    with reader.blaming(result):
        steps = np.asarray(opened.source_group["diverged_step"][...])
    print(f"diverged  {int((steps[opened.status[: len(steps)] == DONE] >= 0).sum()):,}")
    if done == opened.n_cells:
        print("time left none: finished")
        return
    in_chunks = (opened.status.reshape(-1, opened.chunk) == DONE).sum(1).tolist()
    for line in pace(read(result, opened.attributes["digest"]), in_chunks, opened.n_cells - done, time.time()):
        print(line)


def pace(entries: Sequence["Entry"], in_chunks: Sequence[int], n_left: int, now: float) -> list[str]:
    """What to say about rate and time left.

    `in_chunks` are the models that each chunk holds on disk; the journal only says when chunks came. Times after `now` (and
    a moment of grace) are by a clock that is ahead: they are ignored, and said.
    """
    from superpos.cli.sweep import duration

    past = [e for e in entries if e.time <= now + GRACE_SECONDS]
    lines = []
    if ahead := len(entries) - len(past):
        by = duration(max(e.time for e in entries) - now)
        lines.append(f"clocks    {ahead:,} lines of the journal are left out: they lie up to {by} after now")
    since = now  # back over what happened lately, up to a pause
    for entry in reversed(past):
        if entry.time < max(now - RECENT_SECONDS, since - PAUSE_SECONDS):
            break
        since = min(since, entry.time)
    # A chunk counts once, whoever trained it again, with what is on disk of it.
    lately = {e.chunk for e in past if e.chunk is not None and e.chunk < len(in_chunks) and e.time >= since}
    trained, seconds = sum(in_chunks[chunk] for chunk in lately), max(now - since, GRACE_SECONDS)
    rate = trained / seconds
    lines.append(f"rate      {rate:.3g} models/s over the last {seconds:.0f} s")
    left = duration(n_left / rate) if trained else "unknown: nothing was trained lately"
    return [*lines, f"time left {left}"]
