"""`sweep`: train every cell of a grid, in memory or to a store."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superpos import arrays
from superpos.errors import ConfigError
from superpos.process import check_process
from superpos.sweeping.collector import Collector
from superpos.sweeping.compiled import CompiledSweep, check_options, compile_sweep, lay_out
from superpos.sweeping.engines import Engine
from superpos.sweeping.grid import Grid
from superpos.sweeping.launches import train_all
from superpos.sweeping.progress import Progress
from superpos.sweeping.result import SweepResult
from superpos.sweeping.starting_weights import continued
from superpos.sweeping.to_store import StoreOptions, sweep_to_store
from superpos.tasks.base import Task
from superpos.training.loop import TrainConfig

log = logging.getLogger("superpos")


def sweep(
    task: Task,
    config: TrainConfig | Grid | None = None,
    grid: Grid | None = None,
    store: str | Path | None = None,
    *,
    resume: str = "auto",
    overwrite: bool = False,
    engine: Engine | str = "local",
    worker: tuple[int, int] | str | None = None,
    checkpoint_every: int | None = None,
    block_size: int | None = None,
    init: Any = None,
    kernel: str = "auto",
    blocks_per_device: int = 1,
    memory_budget: int | str | None = None,
    devices: Sequence[Any] | None = None,
    progress: bool | None = None,
) -> SweepResult:
    """Train every cell of `grid`: thousands of models, one compilation per shape.

    A cell's result depends on its own settings, its seed, the weights it is given, `block_size` and `kernel` alone: not on
    the other cells, on how calls are cut, on the number of devices or processes, or on whether it was interrupted.

    Args:
        task, config: settings of every cell, but for what the grid's axes set. Without a configuration, `sweep(task, grid)`,
            training has that of `TrainConfig()`.
        grid: which models.
        store: a folder that the models are written to as they are trained. Whatever ends the process, a second run with the
            same arguments goes on where it was. A large result is read from there when it is looked at.
        resume: what to do with `store`: "auto" goes on with it or begins it, "never" refuses one that exists, "must" refuses
            to begin. One of another sweep is always refused, with what differs.
        overwrite: replace a result that is there.
        engine: who trains: `sp.engines.Local()` (this process), `Ray(…)`, `Distributed(…)` or one of your own (see
            `superpos.engines`); or "local", "ray", "distributed" for one with its defaults.
        worker: train only a fixed share of the chunks: (1, 8) or "1/8" is the second of eight workers that share nothing
            but the store. The result then holds what is there so far.
        checkpoint_every: keep the state of a training every so many segments (of some tenths of a second each), for
            blocks that take long; 1,000 if None.
        block_size: models per block (B). Chosen from the model's size and the platform if None. Part of the result's
            identity: another B may change the last bits.
        init: weights to start from, with a fresh optimiser: a result (or its path), matched by the labels of its axes; a
            model, a run, an array W or arrays by name, of one model or with the grid's dimensions leading. Parameters
            that are not named start as the task starts them. Steps are numbered on from those of a result or run
            (`TrainConfig.first_step`), so no batch comes again. The weights are stored, and part of the sweep's identity.
        kernel: how steps are computed. "plain": as XLA compiles them. "fused": a whole training in one kernel of a GPU, for
            small toy models on samples (`superpos.training.fused`). "tiled": a step in a few kernels, for larger ones
            (`superpos.training.tiled`). A CPU interprets both, slowly. "auto": the plain one, until a GPU has confirmed
            the others. Part of the result's identity: the last bits differ.
        blocks_per_device: blocks that one call trains, one after the other, on each device.
        memory_budget: bytes (or "4GiB") that calls running side by side may take together; half of the machine's or
            four fifths of the accelerator's memory if None. Fewer calls run side by side to stay inside it.
        devices: which devices to use; all local ones if None.
        progress: None shows a bar with rate and time left on a terminal or in a notebook and, after ten seconds, lines in a
            log; True lines from the begin; False nothing.

    Raises:
        ConfigError: a setting is not allowed. Nothing has been trained or written.
        StoreError: the store is damaged, or could not be written; what was committed is kept.
        Interrupted: a signal arrived; what was committed is kept.
        EngineError: JAX cannot work in this process, or those who were to train could not.
    """
    check_process()
    if grid is None and isinstance(config, Grid):
        config, grid = None, config
    if grid is None:
        raise ConfigError("grid is missing; pass sp.Grid(seed=range(8)), for example.")
    options: dict[str, Any] = {
        "blocks_per_device": blocks_per_device,
        "memory_budget": memory_budget,
        "devices": devices,
    }
    check_options(**options)
    task, given_config = arrays.own(task), arrays.own(TrainConfig() if config is None else config)
    full_config, init = continued(given_config, grid, init)
    if store is not None:
        return sweep_to_store(
            task,
            full_config,
            grid,
            store,
            engine,
            StoreOptions(resume, overwrite, worker, checkpoint_every),
            block_size=block_size,
            init=init,
            kernel=kernel,
            progress=progress,
            device_options=options,
        )
    if resume != "auto" or overwrite or engine != "local" or worker is not None or checkpoint_every is not None:
        raise ConfigError("store is missing: resume, overwrite, engine, worker and checkpoint_every are about one.")
    platform = None if devices is None else devices[0].platform
    how = {"block_size": block_size, "platform": platform, "init": init, "kernel": kernel}
    layout = lay_out(task, full_config, grid, **how)
    with Progress(grid.n_cells, enabled=progress) as bar:  # from here on, for compiling takes long as well
        result = _in_memory(compile_sweep(layout, grid.n_cells, **options), task, full_config, grid, bar)
    return _with_diverged_logged(result)


def run(
    compiled: CompiledSweep, task: Task, config: TrainConfig, grid: Grid, *, progress: bool | None = None
) -> SweepResult:
    """Train what `prepare` laid out, in memory."""
    with Progress(compiled.n_cells, enabled=progress) as bar:
        result = _in_memory(compiled, task, config, grid, bar)
    return _with_diverged_logged(result)


def _in_memory(compiled: CompiledSweep, task: Task, config: TrainConfig, grid: Grid, bar: Progress) -> SweepResult:
    collector = Collector(task, config, grid, compiled.layout)
    train_all(compiled, collector.add, bar.advance, threading.Event())
    return collector.result()


def _with_diverged_logged(result: SweepResult) -> SweepResult:
    """The result, once the log has its diverged models: after the bar, which the lines would run into."""
    for line in result.diverged_lines():
        log.warning("diverged: %s", line)
    return result
