"""A sweep to a store, from the checks to the result, whoever trains it."""

import logging
import re
import shlex
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from signal import SIGINT
from types import ModuleType
from typing import Any

from superpos import check
from superpos.errors import ConfigError, Interrupted
from superpos.sweep import store as stores
from superpos.sweep import stored
from superpos.sweep.grid import Grid
from superpos.sweep.journal import Journal
from superpos.sweep.progress import Progress
from superpos.sweep.result import SweepResult, open_result
from superpos.sweep.reuse import finished
from superpos.sweep.run import lay_out
from superpos.sweep.signals import StopOnSignals
from superpos.sweep.stored import Committed, StoredSweep
from superpos.tasks.base import Task
from superpos.tasks.registry import kind_of
from superpos.train import TrainConfig

log = logging.getLogger("superpos")

# name: (module, settings it takes)
ENGINES = {
    "local": ("superpos.sweep.engines.local", ()),
    "ray": ("superpos.sweep.engines.ray", ("address", "cpus_per_task", "gpus_per_task", "chunks_per_task")),
    "distributed": (
        "superpos.sweep.engines.distributed",
        ("coordinator_address", "num_processes", "process_id", "wait_seconds"),
    ),
}
CHECKPOINT_EVERY = 1_000


@dataclass
class Job:
    """What an engine is given: a store, the chunks it shall commit, and how to talk about it."""

    stored: StoredSweep
    chunks: list[int]
    options: dict[str, Any]  # of `sweep`: blocks_per_device, memory_budget, devices
    settings: Mapping[str, Any]  # of the engine
    checkpoint_every: int
    journal: Journal
    bar: Progress
    stop: threading.Event = field(default_factory=threading.Event)
    kind: str = ""  # of the task

    @property
    def path(self) -> Path:
        """Where the store is."""
        return self.stored.path

    def committed(self, done: Committed) -> None:
        """Note a chunk that is on disk."""
        self.journal.committed(done)


def sweep_to_store(
    task: Task,
    config: TrainConfig,
    grid: Grid,
    path: str | Path,
    *,
    resume: str,
    overwrite: bool,
    engine: str,
    worker: tuple[int, int] | str | None,
    checkpoint_every: int | None,
    block_size: int | None,
    init: Any,
    progress: bool | None,
    engine_options: Mapping[str, Any],
    **options: Any,
) -> SweepResult:
    """Begin or go on with a sweep in a store; see `superpos.sweep` for the arguments."""
    check.one_of("resume", resume, stored.RESUME)
    check.one_of("engine", engine, tuple(ENGINES))
    check.boolean("overwrite", overwrite)
    every = CHECKPOINT_EVERY if checkpoint_every is None else checkpoint_every
    check.integer("checkpoint_every", every, at_least=1)
    module, known = ENGINES[engine]
    for name in engine_options:
        check.known_key(name, known or ("none",), f"engine {engine}")
    share = parse_worker(worker)
    if share != (0, 1) and engine != "local":
        raise ConfigError(f"worker is for the local engine; {engine} shares out the chunks itself.")
    if engine != "local" and options.get("devices") is not None:
        raise ConfigError(f"devices are for the local engine; {engine} chooses them itself.")
    if share != (0, 1) and overwrite:
        raise ConfigError(
            "overwrite would remove what other workers have trained; remove the store before you start any."
        )
    target = stores.writable(path, overwrite=overwrite, resume=resume != "never" or engine == "distributed")
    for what in ("log", "checkpoints"):
        if stores.is_ours(folder := stored.beside(target, what)):
            raise ConfigError(f"output {path} cannot be written: its {what} would go to {folder}, which is a result.")
    chosen = import_module(module)
    if hasattr(chosen, "begin"):  # before anything asks JAX for its devices
        chosen.begin(engine_options)
    try:
        return _sweep(
            chosen,
            target,
            task,
            config,
            grid,
            resume=resume,
            overwrite=overwrite,
            share=share,
            every=every,
            block_size=block_size,
            init=init,
            progress=progress,
            settings=engine_options,
            options=options,
        )
    except BaseException as error:
        if hasattr(chosen, "leave"):  # which has other processes, and they wait for this one
            chosen.leave(error)
        raise


def _sweep(
    chosen: ModuleType,
    target: Path,
    task: Task,
    config: TrainConfig,
    grid: Grid,
    *,
    resume: str,
    overwrite: bool,
    share: tuple[int, int],
    every: int,
    block_size: int | None,
    init: Any,
    progress: bool | None,
    settings: Mapping[str, Any],
    options: dict[str, Any],
) -> SweepResult:
    """The sweep, once the engine has begun."""
    devices = options.get("devices")
    platform = devices[0].platform if devices else None
    where = lay_out(task, config, grid, block_size=block_size, platform=platform, init=init)
    if (
        target.exists()
        and not overwrite
        and resume != "never"
        and (done := finished(target, task, config, grid, where, block_size)) is not None
    ):
        return done
    begin = partial(stored.start, target, task, config, grid, where, resume=resume, overwrite=overwrite)
    running = chosen.start(begin) if hasattr(chosen, "start") else begin()
    where = running.layout
    mine = range(share[0], where.n_chunks, share[1])  # a fixed share: no worker needs to know of another
    chunks = sorted(set(mine) & set(running.pending))
    name = "worker" if share == (0, 1) else f"worker-{share[0]}-of-{share[1]}"
    name = f"{name}-process-{chosen.process()}" if hasattr(chosen, "process") else name
    n_kept = where.n_cells_in(sorted(set(range(where.n_chunks)) - set(running.pending)))
    with Progress(grid.n_cells, done=n_kept, enabled=progress) as bar:
        journal = Journal(target, running.digest, name)
        job = Job(running, chunks, options, settings, every, journal, bar, kind=kind_of(task))
        with StopOnSignals(job.stop) as signals:
            try:
                if chunks or hasattr(chosen, "process"):  # whose processes wait for each other, with work or without
                    job.journal.started(where.n_cells_in(chunks))
                    chosen.train(job)
                running.clean()
            except KeyboardInterrupt:
                signals.received = signals.received or SIGINT
    running.check()  # before anything is said about what is kept there
    if signals.received and set(mine) & set(running.pending):
        kept = grid.n_cells - where.n_cells_in(running.pending)
        job.journal.write("interrupted")
        again = (
            "; the same command without overwrite goes on" if overwrite else f"; the same command goes on{_command()}"
        )
        raise Interrupted(
            f"interrupted: {kept:,} of {grid.n_cells:,} models are kept in {target}{again}.", signals.received
        )
    result = open_result(target, same_as=running.held)
    for line in result.diverged_lines():
        log.warning("diverged: %s", line)
    return result


def parse_worker(worker: tuple[int, int] | str | None) -> tuple[int, int]:
    """(i, N) from "i/N", a pair, or None for a worker that is alone.

    Raises:
        ConfigError: it is neither, or i is not below N.
    """
    if worker is None:
        return 0, 1
    if isinstance(worker, str) and (match := re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", worker)):
        worker = (int(match[1]), int(match[2]))
    if not isinstance(worker, tuple | list) or len(worker) != 2:
        raise ConfigError(f'worker must look like "0/8", the first of eight, got {worker!r}.')
    check.integer("worker: number of workers", worker[1], at_least=1, at_most=10**6)
    check.integer("worker: i in i/N", worker[0], at_least=0, at_most=worker[1] - 1)
    return int(worker[0]), int(worker[1])


def _command() -> str:
    """The command line that went on, if there was one: `superpos sweep …`."""
    if not Path(sys.argv[0]).name.startswith("superpos"):
        return ""
    return ": " + shlex.join(["superpos", *sys.argv[1:]])
