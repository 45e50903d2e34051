"""A part of a sweep in a process that knows nothing but the store's path."""

import threading
from pathlib import Path
from typing import Any

import jax

from superpos.errors import StoreError
from superpos.sweep import starts, stored
from superpos.sweep.engines import local
from superpos.sweep.engines.job import CHECKPOINT_EVERY, Job
from superpos.sweep.journal import Journal
from superpos.sweep.progress import Progress
from superpos.sweep.run import lay_out
from superpos.sweep.store import JOINED


def train_part(path: Path, sweep: str, chunks: list[int], options: dict[str, Any], lanes: int, *, name: str) -> None:
    """Commit those of some chunks that are not committed yet, if the store is of this sweep: that with this digest.

    Raises:
        ConfigError: the store is of other versions or another platform than this process.
        StoreError: it is of another sweep by now, damaged, or cannot be written.
    """
    contents = stored.inside(path)
    if contents.attributes["digest"] != sweep:
        raise StoreError(f"{path} is no longer {JOINED}: it was replaced.")
    jax.config.update("jax_enable_x64", contents.attributes["dtype"] == "float64")
    task, config, grid, block_size = stored.restored(contents)
    where = lay_out(task, config, grid, block_size=block_size, init=starts.restored(contents))
    running = stored.join(path, task, config, grid, where)
    left = sorted(set(chunks) & set(running.pending))
    if not left:
        return
    with Progress(grid.n_cells, enabled=False) as bar:
        options = {**options, "lanes": lanes}
        local.train(
            Job(
                running,
                left,
                options,
                {},
                CHECKPOINT_EVERY,
                Journal(path, running.digest, name),
                bar,
                threading.Event(),
            )
        )
    running.clean()
