"""Train every cell of a grid."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError
from superpos.process import check_process
from superpos.sweep import budget, plan
from superpos.sweep import mesh as meshes
from superpos.sweep.calls import Call, Work, segment_size, train_call
from superpos.sweep.checkpoints import Checkpoints
from superpos.sweep.collect import Collector
from superpos.sweep.grid import Grid
from superpos.sweep.layout import Layout
from superpos.sweep.progress import Progress
from superpos.sweep.result import SweepResult
from superpos.sweep.starts import Starts, going_on, matched
from superpos.tasks.base import Task
from superpos.train import TrainConfig

log = logging.getLogger("superpos")


def lay_out(
    task: Task,
    config: TrainConfig,
    grid: Grid,
    *,
    block_size: int | None = None,
    platform: str | None = None,
    init: Any = None,
) -> Layout:
    """Check every setting and split the grid into families and blocks. Nothing is compiled."""
    if check.is_traced(jax.numpy.zeros(())):
        raise ConfigError("sweep cannot run inside jit, vmap or grad, where no number is known; train can.")
    families = plan.families(task, config, grid)
    if block_size is not None:
        check.integer("block_size", block_size, at_least=1, at_most=2**20)
    platform = platform or jax.local_devices()[0].platform
    sizes = [block_size or plan.default_block_size(f.task, f.config, platform) for f in families]
    if init is not None and not isinstance(init, Starts):
        init = matched(init, grid, families)
    return Layout(families, sizes, starts=init)


def prepare(
    task: Task,
    config: TrainConfig,
    grid: Grid,
    *,
    block_size: int | None = None,
    blocks_per_device: int = 1,
    memory_budget: int | str | None = None,
    devices: Sequence[Any] | None = None,
    init: Any = None,
) -> Work:
    """Check everything, split the grid and compile. See `sweep` for the arguments."""
    options = {"blocks_per_device": blocks_per_device, "memory_budget": memory_budget, "devices": devices}
    check_options(**options)
    platform = None if devices is None else devices[0].platform
    config, init = going_on(arrays.own(config), grid, init)
    task = arrays.own(task)
    where = lay_out(task, config, grid, block_size=block_size, platform=platform, init=init)
    return compile_work(where, grid.n_cells, **options)


def check_options(
    *, blocks_per_device: int = 1, memory_budget: int | str | None = None, devices: Sequence[Any] | None = None
) -> None:
    """Raise `ConfigError` for options of `sweep` that are not allowed."""
    check.integer("blocks_per_device", blocks_per_device, at_least=1, at_most=2**20)
    if memory_budget is not None:
        budget.parse_bytes(memory_budget)
    if devices is None:
        return
    if not isinstance(devices, Sequence) or not devices or not all(isinstance(d, jax.Device) for d in devices):
        raise ConfigError("devices must be a list of at least one of jax.devices().")
    if len(set(devices)) < len(devices):
        raise ConfigError("devices must not name a device twice.")


def compile_work(
    where: Layout,
    n_cells: int,
    *,
    blocks_per_device: int = 1,
    memory_budget: int | str | None = None,
    devices: Sequence[Any] | None = None,
    lanes: int | None = None,
) -> Work:
    """Compile the programs of every family for these devices, and decide how many calls run side by side."""
    devices = jax.local_devices() if devices is None else devices
    own = [d for d in devices if d.process_index == jax.process_index()]
    allowed = budget.default_budget(own[0]) if memory_budget is None else budget.parse_bytes(memory_budget)
    mesh, platform = meshes.cell_mesh(list(devices)), devices[0].platform
    n_blocks, sizes = blocks_per_device * len(devices), where.block_sizes
    cuts = [segment_size(f, s * blocks_per_device, platform) for f, s in zip(where.families, sizes, strict=True)]
    use_compilation_cache()
    compiled = [
        meshes.programs(
            mesh, f.task, f.config, n_blocks, size, n_intervals, where.starts and where.starts.of(f, f.cells[0])
        )
        for f, size, (n_intervals, _) in zip(where.families, sizes, cuts, strict=True)
    ]
    worst = int(np.argmax([p.bytes for p in compiled]))
    if (need := compiled[worst].bytes) > allowed:
        raise ConfigError(
            f"memory_budget of {budget.show_bytes(allowed)} is too small: one call with block_size={sizes[worst]} needs "
            f"{budget.show_bytes(need)}; lower block_size or batch_size."
        )
    blocks_per_call = blocks_per_device * len(own)
    # One program of small models keeps one core busy, so on a single CPU device as many calls run as there are cores.
    most_lanes = budget.cpu_cores() if platform == "cpu" and len(devices) == 1 else 1
    n_calls = sum(-(-n // blocks_per_call) for n in where.blocks_of_families)
    lanes = max(1, min(lanes or most_lanes, most_lanes, n_calls, allowed // max(need, 1)))
    counts = zip(where.blocks_of_families, sizes, strict=True)
    trained = sum(-(-n // blocks_per_call) * blocks_per_call * size for n, size in counts)
    if trained > 4 * n_cells and n_calls > 64:
        log.warning(
            "%s of %s trainings are padding: a block holds %s models of one seed, and most seeds have fewer; "
            "a smaller block_size is faster.",
            f"{trained - n_cells:,}",
            f"{trained:,}",
            max(sizes),
        )
    x64 = jax.dtypes.canonicalize_dtype(float) == np.float64
    return Work(where, compiled, cuts, mesh, blocks_per_call, lanes, n_cells, x64)


def sweep(
    task: Task,
    config: TrainConfig | None = None,
    grid: Grid | None = None,
    store: str | Path | None = None,
    *,
    resume: str = "auto",
    overwrite: bool = False,
    engine: str = "local",
    worker: tuple[int, int] | str | None = None,
    checkpoint_every: int | None = None,
    block_size: int | None = None,
    init: Any = None,
    blocks_per_device: int = 1,
    memory_budget: int | str | None = None,
    devices: Sequence[Any] | None = None,
    progress: bool | None = None,
    engine_options: dict[str, Any] | None = None,
) -> SweepResult:
    """Train every cell of `grid`: thousands of models, one compilation per shape.

    A cell's result depends on its own settings, its seed, the weights it is given and `block_size` alone: not on the other
    cells, on how calls are cut, on the number of devices or processes, or on whether it was interrupted and resumed.

    Args:
        task, config: settings of every cell, but for what the grid's axes set.
        grid: which models.
        store: a folder that the models are written to as they are trained. Whatever ends the process, a second run with the
            same arguments goes on where it was. A large result is read from there when it is looked at.
        resume: what to do with `store`: "auto" goes on with it or begins it, "never" refuses one that exists, "must" refuses
            to begin. One of another sweep is always refused, with what differs.
        overwrite: replace a result that is there.
        engine: who trains: "local" (this process), "ray" or "distributed" (see `superpos.sweep.engines`).
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
        blocks_per_device: blocks that one call trains, one after the other, on each device.
        memory_budget: bytes (or "4GiB") that calls running side by side may take together; half of the machine's or
            four fifths of the accelerator's memory if None. Fewer calls run side by side to stay inside it.
        devices: which devices to use; all local ones if None.
        progress: None shows a bar with rate and time left on a terminal or in a notebook and, after ten seconds, lines in a
            log; True lines from the begin; False nothing.
        engine_options: settings of the engine, by name.

    Raises:
        ConfigError: a setting is not allowed. Nothing has been trained or written.
        StoreError: the store is damaged, or could not be written; what was committed is kept.
        Interrupted: a signal arrived; what was committed is kept.
        EngineError: JAX cannot work in this process, or those who were to train could not.
    """
    check_process()
    if grid is None:
        raise ConfigError("grid is missing; pass sp.Grid(seed=range(8)), for example.")
    options = {"blocks_per_device": blocks_per_device, "memory_budget": memory_budget, "devices": devices}
    check_options(**options)
    task, config = arrays.own(task), arrays.own(TrainConfig() if config is None else config)
    chosen, init = going_on(config, grid, init)
    if store is not None:
        from superpos.sweep.engines import sweep_to_store

        return sweep_to_store(
            task,
            chosen,
            grid,
            store,
            resume=resume,
            overwrite=overwrite,
            engine=engine,
            worker=worker,
            checkpoint_every=checkpoint_every,
            block_size=block_size,
            init=init,
            progress=progress,
            engine_options=engine_options or {},
            **options,
        )
    if resume != "auto" or overwrite or engine != "local" or worker is not None or checkpoint_every is not None:
        raise ConfigError("store is missing: resume, overwrite, engine, worker and checkpoint_every are about one.")
    platform = None if devices is None else devices[0].platform
    where = lay_out(task, chosen, grid, block_size=block_size, platform=platform, init=init)
    with Progress(grid.n_cells, enabled=progress) as bar:  # from here on, for compiling takes long as well
        result = _in_memory(compile_work(where, grid.n_cells, **options), task, chosen, grid, bar)
    return _told(result)


def run(work: Work, task: Task, config: TrainConfig, grid: Grid, *, progress: bool | None = None) -> SweepResult:
    """Train what `prepare` laid out, in memory."""
    with Progress(work.n_cells, enabled=progress) as bar:
        result = _in_memory(work, task, config, grid, bar)
    return _told(result)


def _in_memory(work: Work, task: Task, config: TrainConfig, grid: Grid, bar: Progress) -> SweepResult:
    collector = Collector(task, config, grid, work.layout)
    train_all(work, collector.add, bar.advance, threading.Event())
    return collector.result()


def _told(result: SweepResult) -> SweepResult:
    """The result, once the log has its diverged models: after the bar, which the lines would run into."""
    for line in result.diverged_lines():
        log.warning("diverged: %s", line)
    return result


def train_all(
    work: Work,
    add: Callable[[int, int, plan.Block, Any], Any],
    advance_bar: Callable[[float], None],
    stop: threading.Event,
    wanted: Callable[[int], bool] | None = None,
    kept: Checkpoints | None = None,
) -> None:
    """Train all blocks, or those `wanted` by number, and hand each outcome to `add` as it comes.

    Memory holds no more calls than run side by side. After `stop` is set, the calls end at their next segment.
    """
    with ThreadPoolExecutor(work.lanes) as pool:
        calls = work.calls(wanted=wanted)
        running: dict[Future[Any], Call] = {}

        def start(how_many: int) -> None:
            for call in islice(calls, how_many):
                running[pool.submit(train_call, work, call, advance_bar, stop, kept)] = call

        try:
            start(work.lanes)
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    call = running.pop(future)
                    outcomes = future.result()
                    for number, block, outcome in outcomes:
                        add(call.family, number, block, outcome)
                    if kept is not None and outcomes:
                        kept.remove(call, (work.segments[call.family], work.mesh.size))
                if not stop.is_set():
                    start(len(done))
        finally:
            stop.set()  # after an error or an interrupt, the other calls end at their next segment
