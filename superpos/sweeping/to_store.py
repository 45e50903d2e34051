"""A sweep to a store: plan, run and report, whichever engine trains."""

import logging
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import Any, NamedTuple

from superpos import check
from superpos.errors import ConfigError, Interrupted
from superpos.sweeping.compiled import lay_out
from superpos.sweeping.engines import Engine, Job, engine_of
from superpos.sweeping.engines.base import CHECKPOINT_EVERY
from superpos.sweeping.grid import Grid
from superpos.sweeping.layout import Layout
from superpos.sweeping.progress import Progress
from superpos.sweeping.result import SweepResult, open_result
from superpos.sweeping.signals import StopOnSignals
from superpos.sweeping.store import resume, writer
from superpos.sweeping.store.completed import completed_result
from superpos.sweeping.store.resume import StoredSweep
from superpos.sweeping.store.run_log import RunLog
from superpos.tasks.base import Task
from superpos.tasks.registry import kind_of
from superpos.training.loop import TrainConfig

log = logging.getLogger("superpos")


@dataclass(frozen=True)
class StoreOptions:
    """What `superpos.sweep` is told about its store; see there."""

    resume: str = "auto"
    overwrite: bool = False
    worker: tuple[int, int] | str | None = None
    checkpoint_every: int | None = None

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for options that are not allowed."""
        check.one_of("resume", self.resume, resume.RESUME)
        check.boolean("overwrite", self.overwrite)
        check.integer("checkpoint_every", self.segments_per_checkpoint, at_least=1)

    @property
    def segments_per_checkpoint(self) -> int:
        """`checkpoint_every`, or its default."""
        return CHECKPOINT_EVERY if self.checkpoint_every is None else self.checkpoint_every


class Share(NamedTuple):
    """The chunks of one of several workers that know nothing of each other: every `n_workers`-th, from `worker` on."""

    worker: int
    n_workers: int

    @property
    def is_whole(self) -> bool:
        """Whether there is only one worker."""
        return self.n_workers == 1

    @property
    def name(self) -> str:
        """How the worker's log is called."""
        return "worker" if self.is_whole else f"worker-{self.worker}-of-{self.n_workers}"

    def chunks(self, layout: Layout) -> range:
        """The worker's chunks."""
        return range(self.worker, layout.n_chunks, self.n_workers)


@dataclass(frozen=True)
class StorePlan:
    """A sweep that is laid out, and the store that it shall fill."""

    target: Path
    task: Task
    config: TrainConfig
    grid: Grid
    layout: Layout
    options: StoreOptions
    share: Share

    def begin(self, **changes: Any) -> StoredSweep:
        """Create the store, or go on with it; see `superpos.sweeping.store.resume.start`."""
        how = {"resume": self.options.resume, "overwrite": self.options.overwrite, **changes}
        return resume.start(self.target, self.task, self.config, self.grid, self.layout, **how)


def sweep_to_store(
    task: Task,
    config: TrainConfig,
    grid: Grid,
    path: str | Path,
    engine: Engine | str,
    options: StoreOptions,
    *,
    block_size: int | None = None,
    init: Any = None,
    kernel: str = "auto",
    progress: bool | None = None,
    device_options: dict[str, Any],
) -> SweepResult:
    """Begin or go on with a sweep in a store; see `superpos.sweep` for the arguments."""
    options.check()
    engine = engine_of(engine)
    share = parse_worker(options.worker)
    target = check_target(path, engine, options, share, device_options)
    engine.connect()
    try:
        devices = device_options.get("devices")
        platform = devices[0].platform if devices else None
        how = {"block_size": block_size, "platform": platform, "init": init, "kernel": kernel}
        layout = lay_out(task, config, grid, **how)
        if target.exists() and not options.overwrite and options.resume != "never":
            result = completed_result(target, task, config, grid, layout, block_size, kernel)
            if result is not None:
                return result
        plan = StorePlan(target, task, config, grid, layout, options, share)
        stored, signal = run_plan(plan, engine, device_options, progress)
        return report(plan, stored, signal)
    except BaseException as error:
        engine.leave(error)
        raise


def check_target(
    path: str | Path, engine: Engine, options: StoreOptions, share: Share, device_options: dict[str, Any]
) -> Path:
    """The path of the store, made absolute, if this engine can write to it.

    Raises:
        ConfigError: options contradict each other, or nothing can be written there.
    """
    if not share.is_whole and engine.chooses_devices:
        raise ConfigError(f"worker is for the local engine; {engine.name} shares out the chunks itself.")
    if engine.chooses_devices and device_options.get("devices") is not None:
        raise ConfigError(f"devices are for the local engine; {engine.name} chooses them itself.")
    if not share.is_whole and options.overwrite:
        raise ConfigError(
            "overwrite would remove what other workers have trained; remove the store before you start any."
        )
    may_exist = options.resume != "never" or engine.is_collective
    target = writer.writable(path, overwrite=options.overwrite, resume=may_exist)
    for what in ("log", "checkpoints"):
        if writer.is_ours(folder := resume.beside(target, what)):
            raise ConfigError(f"output {path} cannot be written: its {what} would go to {folder}, which is a result.")
    return target


def run_plan(
    plan: StorePlan, engine: Engine, device_options: dict[str, Any], progress: bool | None
) -> tuple[StoredSweep, int]:
    """Let the engine commit the chunks of this worker that are missing. The store, and the signal that ended it or 0."""
    stored = engine.open_store(plan.begin, plan.target)
    layout = stored.layout
    pending = set(stored.pending)
    chunks = sorted(set(plan.share.chunks(layout)) & pending)
    process = engine.process_index()
    log_name = plan.share.name if process is None else f"{plan.share.name}-process-{process}"
    n_committed = layout.n_cells_in(sorted(set(range(layout.n_chunks)) - pending))
    with Progress(plan.grid.n_cells, done=n_committed, enabled=progress) as bar:
        job = Job(
            stored=stored,
            chunks=chunks,
            device_options=device_options,
            checkpoint_every=plan.options.segments_per_checkpoint,
            run_log=RunLog(plan.target, stored.digest, log_name),
            bar=bar,
            kind=kind_of(plan.task),
        )
        with StopOnSignals(job.stop) as signals:
            try:
                if chunks or engine.is_collective:  # whose processes wait for each other, with work or without
                    job.run_log.started(layout.n_cells_in(chunks))
                    engine.train(job)
                stored.clean()
            except KeyboardInterrupt:
                signals.received = signals.received or SIGINT
    stored.check()  # before anything is said about what is kept there
    interrupted = bool(signals.received) and bool(set(plan.share.chunks(layout)) & set(stored.pending))
    if interrupted:
        job.run_log.write("interrupted")
    return stored, signals.received if interrupted else 0


def report(plan: StorePlan, stored: StoredSweep, signal: int) -> SweepResult:
    """The result as it is on disk, its diverged models in the log.

    Raises:
        Interrupted: a signal arrived before the worker's chunks were committed.
    """
    if signal:
        n_cells = plan.grid.n_cells
        n_committed = n_cells - stored.layout.n_cells_in(stored.pending)
        how = "; the same command without overwrite goes on" if plan.options.overwrite else _how_to_go_on()
        raise Interrupted(f"interrupted: {n_committed:,} of {n_cells:,} models are kept in {plan.target}{how}.", signal)
    result = open_result(plan.target, same_as=stored.held)
    for line in result.diverged_lines():
        log.warning("diverged: %s", line)
    return result


def parse_worker(worker: tuple[int, int] | str | None) -> Share:
    """(i, N) from "i/N", a pair, or None for a worker that is alone.

    Raises:
        ConfigError: it is neither, or i is not below N.
    """
    if worker is None:
        return Share(0, 1)
    if isinstance(worker, str) and (match := re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", worker)):
        worker = (int(match[1]), int(match[2]))
    if not isinstance(worker, tuple | list) or len(worker) != 2:
        raise ConfigError(f'worker must look like "0/8", the first of eight, got {worker!r}.')
    check.integer("worker: number of workers", worker[1], at_least=1, at_most=10**6)
    check.integer("worker: i in i/N", worker[0], at_least=0, at_most=worker[1] - 1)
    return Share(int(worker[0]), int(worker[1]))


def _how_to_go_on() -> str:
    """The end of the sentence, with the command line if there was one: `superpos sweep …`."""
    command = ""
    if Path(sys.argv[0]).name.startswith("superpos"):
        command = ": " + shlex.join(["superpos", *sys.argv[1:]])
    return f"; the same command goes on{command}"
