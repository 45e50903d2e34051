"""Train every cell of a grid."""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np

from superpos import check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError
from superpos.sweep import mesh as meshes
from superpos.sweep import plan
from superpos.sweep import store as stores
from superpos.sweep.collect import Collector
from superpos.sweep.grid import Grid
from superpos.sweep.progress import Progress
from superpos.sweep.result import SweepResult
from superpos.tasks.base import Task
from superpos.train import Intervals, TrainConfig, intervals

log = logging.getLogger("superpos")

# A block's training is cut into calls, so that progress and interrupts need not wait for its end. A call goes through
# about this many numbers, which takes some tenths of a second. Part of the program's shape, never of its bits.
NUMBERS_PER_CALL = {"cpu": 2**27}
NUMBERS_PER_CALL_ELSEWHERE = 2**33


@dataclass(frozen=True)
class Chunk:
    """The blocks of one call: the same number on every device."""

    family: int
    blocks: tuple[plan.Block, ...]  # padded with copies of the last
    n_real: int


@dataclass(frozen=True)
class Work:
    """Everything decided before the first model is trained; what `--dry-run` reports."""

    families: list[plan.Family]
    block_sizes: list[int]
    programs: list[meshes.Programs]
    mesh: jax.sharding.Mesh
    blocks_per_call: int
    lanes: int  # calls running side by side
    n_cells: int
    x64: bool  # double precision may be switched on for one thread only; calls run in others

    def counts(self) -> list[tuple[int, int]]:
        """Block size and number of blocks of every family."""
        return [(b, plan.n_blocks(f, b)) for f, b in zip(self.families, self.block_sizes, strict=True)]

    @property
    def n_blocks(self) -> int:
        """Blocks of all families together."""
        return sum(n for _, n in self.counts())

    @property
    def bytes(self) -> int:
        """Device memory of all calls running side by side, by the compiler's account."""
        return self.lanes * max(p.bytes for p in self.programs)

    def chunks(self, first_family: int = 0) -> Iterator[Chunk]:
        """All calls, family by family."""
        for k in range(first_family, len(self.families)):
            blocks = plan.blocks(self.families[k], self.block_sizes[k])
            while some := tuple(islice(blocks, self.blocks_per_call)):
                yield Chunk(k, some + some[-1:] * (self.blocks_per_call - len(some)), len(some))


def prepare(
    task: Task,
    config: TrainConfig,
    grid: Grid,
    *,
    block_size: int | None = None,
    blocks_per_device: int = 1,
    memory_budget: int | str | None = None,
    devices: Sequence[Any] | None = None,
) -> Work:
    """Check everything, split the grid and compile. See `sweep` for the arguments."""
    families = plan.families(task, config, grid)
    if block_size is not None:
        check.whole("block_size", block_size, at_least=1, at_most=2**20)
    check.whole("blocks_per_device", blocks_per_device, at_least=1, at_most=2**20)
    devices = jax.local_devices() if devices is None else devices
    if not isinstance(devices, Sequence) or not devices or not all(isinstance(d, jax.Device) for d in devices):
        raise ConfigError("devices must be a list of at least one of jax.devices().")
    if len(set(devices)) < len(devices):
        raise ConfigError("devices must not name a device twice.")
    budget = _default_budget(devices[0]) if memory_budget is None else parse_bytes(memory_budget)
    mesh, platform = meshes.cell_mesh(list(devices)), devices[0].platform
    blocks_per_call = blocks_per_device * len(devices)
    sizes = [block_size or plan.default_block_size(f.task, f.config, platform) for f in families]
    per_call = NUMBERS_PER_CALL.get(platform, NUMBERS_PER_CALL_ELSEWHERE)
    cuts = [_n_calls(f, size * blocks_per_device, per_call) for f, size in zip(families, sizes, strict=True)]
    use_compilation_cache()
    compiled = [
        meshes.programs(mesh, f.task, f.config, blocks_per_call, size, -(-len(f.config.boundaries()) // n_calls))
        for f, size, n_calls in zip(families, sizes, cuts, strict=True)
    ]
    worst = int(np.argmax([p.bytes for p in compiled]))
    if (need := compiled[worst].bytes) > budget:
        raise ConfigError(
            f"memory_budget of {show_bytes(budget)} is too small: one call with block_size={sizes[worst]} needs "
            f"{show_bytes(need)}; lower block_size or batch_size."
        )
    # One program of small models keeps one core busy, so on a single CPU device as many calls run as there are cores.
    lanes = _cpu_cores() if platform == "cpu" and len(devices) == 1 else 1
    counts = [(plan.n_blocks(f, s), s) for f, s in zip(families, sizes, strict=True)]
    n_calls = sum(-(-n // blocks_per_call) for n, _ in counts)
    lanes = max(1, min(lanes, n_calls, budget // max(need, 1)))
    trained = sum(-(-n // blocks_per_call) * blocks_per_call * size for n, size in counts)
    if trained > 4 * grid.n_cells and n_calls > 64:
        log.warning(
            "%s of %s trainings are padding: a block holds %s models of one seed, and most seeds have fewer; "
            "a smaller block_size is faster.",
            f"{trained - grid.n_cells:,}",
            f"{trained:,}",
            max(sizes),
        )
    x64 = jax.dtypes.canonicalize_dtype(float) == np.float64
    return Work(families, sizes, compiled, mesh, blocks_per_call, lanes, grid.n_cells, x64)


def sweep(
    task: Task,
    config: TrainConfig | None = None,
    grid: Grid | None = None,
    store: str | Path | None = None,
    *,
    block_size: int | None = None,
    blocks_per_device: int = 1,
    memory_budget: int | str | None = None,
    devices: Sequence[Any] | None = None,
    progress: bool | None = None,
) -> SweepResult:
    """Train every cell of `grid`: thousands of models, one compilation per shape.

    A cell's result depends on its own settings, its seed and `block_size` alone: not on the other cells, on how calls
    are cut, or on the number of devices. All cells of one seed see the same underlying draws.

    Args:
        task, config: settings of every cell, but for what the grid's axes set.
        grid: which models.
        store: a folder to write the result to when all is trained; refused if it exists.
        block_size: models per block (B). Chosen from the model's size and the platform if None. Part of the result's
            identity: another B may change the last bits.
        blocks_per_device: blocks that one call trains, one after the other, on each device.
        memory_budget: bytes (or "4GiB") that calls running side by side may take together; half of the machine's or
            four fifths of the accelerator's memory if None. Fewer calls run side by side to stay inside it.
        devices: which devices to use; all local ones if None.
        progress: show a bar with rate and time left; None shows it on a terminal.

    Raises:
        ConfigError: a setting is not allowed. Nothing has been trained or written.
    """
    config = TrainConfig() if config is None else config
    if grid is None:
        raise ConfigError("grid is missing; pass sp.Grid(seed=range(8)), for example.")
    target = None if store is None else stores.writable(store)
    work = prepare(
        task,
        config,
        grid,
        block_size=block_size,
        blocks_per_device=blocks_per_device,
        memory_budget=memory_budget,
        devices=devices,
    )
    result = run(work, task, config, grid, progress=progress)
    if target is not None:
        result.save(target)
    return result


def run(work: Work, task: Task, config: TrainConfig, grid: Grid, *, progress: bool | None = None) -> SweepResult:
    """Train what `prepare` laid out."""
    collector = Collector(task, config, grid, work.families, work.block_sizes)
    stop = threading.Event()
    with Progress(work.n_cells, enabled=progress) as bar, ThreadPoolExecutor(work.lanes) as pool:
        chunks = work.chunks()

        def start(how_many: int) -> set[Future[Any]]:
            return {pool.submit(_train_chunk, work, c, bar.advance, stop) for c in islice(chunks, how_many)}

        try:
            running = start(work.lanes)
            while running:  # results are collected as they come, so memory holds no more chunks than run side by side
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    for family, block, outcome in future.result():
                        collector.add(family, block, outcome)
                running |= start(len(done))
        finally:
            stop.set()  # after an error or an interrupt, the other calls end at their next stretch of steps
    result = collector.result()
    for line in result.diverged_lines():
        log.warning("diverged: %s", line)
    return result


def _train_chunk(
    work: Work, chunk: Chunk, advance_bar: Callable[[float], None], stop: threading.Event
) -> list[tuple[int, plan.Block, Any]]:
    """Train the blocks of one call from start to finish, on the host's side a loop over stretches of steps."""
    family, compiled = work.families[chunk.family], work.programs[chunk.family]
    records = []
    n_real = sum(block.n_real for block in chunk.blocks[: chunk.n_real])
    pieces = _call_intervals(family.config, compiled.n_intervals)
    with jax.enable_x64(work.x64):
        tasks, configs, seeds = chunk_inputs(work, chunk)
        states = compiled.start(tasks, configs, seeds)
        for piece in pieces:
            if stop.is_set():
                return []
            states, record = compiled.advance(tasks, configs, seeds, states, meshes.place_everywhere(work.mesh, piece))
            records.append(jax.tree.map(np.asarray, record))
            advance_bar(n_real / len(pieces))
        losses = np.asarray(compiled.finish(tasks, configs, states))
    n_points = len(family.config.boundaries())
    history = jax.tree.map(lambda *parts: np.concatenate(parts, axis=2)[:, :, :n_points], *records)
    model, snapshots, diverged = jax.tree.map(np.asarray, (states.model, states.snapshots, states.diverged_step))
    outcome = {"model": model, "snapshots": snapshots, "diverged_step": diverged, "loss": losses, "history": history}
    return [
        (chunk.family, block, jax.tree.map(lambda leaf, k=k, n=block.n_real: leaf[k, :n], outcome))
        for k, block in enumerate(chunk.blocks[: chunk.n_real])
    ]


def chunk_inputs(work: Work, chunk: Chunk) -> tuple[Any, Any, Any]:
    """Tasks, configurations and seeds of one call, on the devices; leaves lead with (block, cell), seeds with (block,)."""
    members = np.stack([block.members for block in chunk.blocks])
    stacked = work.families[chunk.family].stacked(members.ravel())
    tasks, configs = jax.tree.map(lambda leaf: leaf.reshape(*members.shape, *leaf.shape[1:]), stacked)
    seeds = np.array([block.seed for block in chunk.blocks], np.uint32)
    return meshes.place(work.mesh, (tasks, configs, seeds))


def _n_calls(family: plan.Family, n_models: int, numbers_per_call: int) -> int:
    """How many calls the training of some models is cut into: at most one for every point of the record."""
    numbers = n_models * family.task.numbers_per_step(family.config.batch_size) * int(family.config.steps)
    return min(-(-numbers // numbers_per_call), len(family.config.boundaries()))


def _call_intervals(config: TrainConfig, per_call: int) -> list[Intervals]:
    """The intervals of a training, cut into calls of equal length; the last is filled up with empty ones."""
    whole = intervals(config)
    n_calls = -(-len(whole.start) // per_call)
    missing = n_calls * per_call - len(whole.start)
    end = np.full(missing, config.steps, np.int32)
    filled = Intervals(
        np.concatenate([whole.start, end]),
        np.concatenate([whole.stop, end]),
        np.concatenate([whole.snapshot, np.full(missing, -1, np.int32)]),
    )
    return [Intervals(*(leaf[k * per_call : (k + 1) * per_call] for leaf in filled)) for k in range(n_calls)]


def parse_bytes(given: int | str) -> int:
    """4_000_000, "500MB" or "4GiB" as a number of bytes."""
    if isinstance(given, str):
        match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{0,15})?)\s*([kMGT]?)(i?)B?\s*", given)
        if not match:
            raise ConfigError(f'memory_budget must be a number of bytes such as 4000000 or "4GiB", got {given!r}.')
        number, prefix, binary = match.groups()
        given = int(float(number) * (1024 if binary else 1000) ** " kMGT".index(prefix or " "))
    check.whole("memory_budget", given, at_least=1, at_most=2**62)
    return int(given)


def show_bytes(n: float) -> str:
    """1536 as "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.3g} {unit}"
        n /= 1024
    return f"{n:.3g} TiB"


def _cpu_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _default_budget(device: Any) -> int:
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(0.8 * stats["bytes_limit"])
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 * 2**30
