"""A part of a sweep in a process that knows nothing but the store's path."""

from pathlib import Path
from typing import Any

import jax

from superpos.errors import StoreError
from superpos.sweeping import starts
from superpos.sweeping.compiled import lay_out
from superpos.sweeping.engines.base import CHECKPOINT_EVERY, Job
from superpos.sweeping.engines.local import Local
from superpos.sweeping.progress import Progress
from superpos.sweeping.store import resume
from superpos.sweeping.store.run_log import RunLog
from superpos.sweeping.store.writer import JOINED


def train_part(
    path: Path, sweep: str, chunks: list[int], device_options: dict[str, Any], max_concurrent: int, *, name: str
) -> None:
    """Commit those of some chunks that are not committed yet, if the store is of this sweep: that with this digest.

    Raises:
        ConfigError: the store is of other versions or another platform than this process.
        StoreError: it is of another sweep by now, damaged, or cannot be written.
    """
    contents = resume.resumable(path)
    if contents.attributes["digest"] != sweep:
        raise StoreError(f"{path} is no longer {JOINED}: it was replaced.")
    jax.config.update("jax_enable_x64", contents.attributes["dtype"] == "float64")
    task, config, grid, how = resume.restored(contents)
    layout = lay_out(task, config, grid, init=starts.restored(contents), **how)
    stored = resume.join(path, task, config, grid, layout)
    pending = sorted(set(chunks) & set(stored.pending))
    if not pending:
        return
    with Progress(grid.n_cells, enabled=False) as bar:
        job = Job(
            stored=stored,
            chunks=pending,
            device_options={**device_options, "max_concurrent": max_concurrent},
            checkpoint_every=CHECKPOINT_EVERY,
            run_log=RunLog(path, stored.digest, name),
            bar=bar,
        )
        Local().train(job)
    stored.clean()
