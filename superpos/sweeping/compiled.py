"""From settings to compiled programs: everything that is decided before the first model is trained."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError
from superpos.sweeping import budget, plan, variables
from superpos.sweeping import mesh as meshes
from superpos.sweeping.grid import Grid
from superpos.sweeping.layout import Layout, batched
from superpos.sweeping.starting_weights import continued, match_starts
from superpos.sweeping.starts import Starts
from superpos.tasks.base import Task
from superpos.training.chunks import chunk_length
from superpos.training.kernels import rules
from superpos.training.loop import MAX_STEPS, TrainConfig, intervals

log = logging.getLogger("superpos")

# A block's training is cut into calls of `advance`, so that progress and interrupts need not wait for its end. One goes
# through about this many numbers, which takes some tenths of a second. Part of the program's shape, never of its bits.
NUMBERS_PER_SEGMENT = {"cpu": 2**27}
NUMBERS_PER_SEGMENT_ELSEWHERE = 2**33


@dataclass(frozen=True)
class Launch:
    """The blocks of one call of the programs: the same number on every device. Blocks carry their numbers in the layout."""

    family: int
    blocks: tuple[tuple[int, plan.Block], ...]  # padded with copies of the last
    n_real: int

    @property
    def real(self) -> tuple[tuple[int, plan.Block], ...]:
        """The blocks that are no copies."""
        return self.blocks[: self.n_real]

    @property
    def n_models(self) -> int:
        """Models in the real blocks."""
        return sum(block.n_real for _, block in self.real)


class SegmentSize(NamedTuple):
    """How the training of a family is cut: intervals per segment, and the most steps of an interval."""

    n_intervals: int
    max_steps: int


@dataclass(frozen=True)
class CompiledSweep:
    """Everything decided before the first model is trained; what `--dry-run` reports."""

    layout: Layout
    programs: list[meshes.Programs]  # of every family, as the next
    segment_sizes: list[SegmentSize]
    mesh: jax.sharding.Mesh
    blocks_per_launch: int  # on the devices of this process
    n_concurrent: int  # launches running side by side
    n_cells: int
    x64: bool  # double precision may be switched on for one thread only; launches run in others

    @property
    def families(self) -> list[plan.Family]:
        """The compile families."""
        return self.layout.families

    @property
    def block_sizes(self) -> list[int]:
        """Models per block, for every family."""
        return self.layout.block_sizes

    @property
    def n_blocks(self) -> int:
        """Blocks of all families together."""
        return self.layout.n_blocks

    @property
    def bytes(self) -> int:
        """Device memory of all launches running side by side, by the compiler's account."""
        return self.n_concurrent * max(p.bytes for p in self.programs)

    def launches(self, first_family: int = 0, is_needed: Callable[[int], bool] | None = None) -> Iterator[Launch]:
        """All launches, family by family; with `is_needed`, of the blocks whose numbers it chooses."""
        for k in range(first_family, len(self.families)):
            blocks = ((n, block) for n, block in self.layout.blocks(k) if is_needed is None or is_needed(n))
            for batch in batched(blocks, self.blocks_per_launch):
                yield Launch(k, batch + batch[-1:] * (self.blocks_per_launch - len(batch)), len(batch))


def lay_out(
    task: Task,
    config: TrainConfig,
    grid: Grid,
    *,
    block_size: int | None = None,
    platform: str | None = None,
    init: Any = None,
    kernel: str = "auto",
) -> Layout:
    """Check every setting and split the grid into families and blocks. Nothing is compiled."""
    if arrays.is_traced(jax.numpy.zeros(())):
        raise ConfigError("sweep cannot run inside jit, vmap or grad, where no number is known; train can.")
    families = plan.families(task, config, grid)
    variables.check_names(families[0], (*grid.axes, *grid.sizes))
    if block_size is not None:
        check.integer("block_size", block_size, at_least=1, at_most=2**20)
    platform = platform or jax.local_devices()[0].platform
    sizes = [block_size or plan.block_size_of(f, platform) for f in families]
    if init is not None and not isinstance(init, Starts):
        init = match_starts(init, grid, families)
    return Layout(families, sizes, starts=init, kernel=_kernel_of(kernel, families, platform))


def _kernel_of(name: str, families: list[plan.Family], platform: str) -> str:
    check.one_of("kernel", name, rules.KERNELS)
    kernel = rules.chosen_kernel(name)
    for family in families:
        rules.check_kernel(kernel, family.task, family.config, platform)
    return kernel


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
    kernel: str = "auto",
) -> CompiledSweep:
    """Check everything, split the grid and compile. See `sweep` for the arguments."""
    layout, options = set_out(
        task,
        config,
        grid,
        block_size=block_size,
        blocks_per_device=blocks_per_device,
        memory_budget=memory_budget,
        devices=devices,
        init=init,
        kernel=kernel,
    )
    return compile_sweep(layout, grid.n_cells, **options)


def set_out(
    task: Task,
    config: TrainConfig,
    grid: Grid,
    *,
    block_size: int | None = None,
    init: Any = None,
    kernel: str = "auto",
    **options: Any,
) -> tuple[Layout, dict[str, Any]]:
    """What `prepare` does before it compiles: check everything and split the grid. What is left are options of devices."""
    check_options(**options)
    devices = options.get("devices")
    platform = None if devices is None else devices[0].platform
    config, init = continued(arrays.own(config), grid, init)
    how = {"block_size": block_size, "platform": platform, "init": init, "kernel": kernel}
    return lay_out(arrays.own(task), config, grid, **how), options


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


def compile_sweep(
    layout: Layout,
    n_cells: int,
    *,
    blocks_per_device: int = 1,
    memory_budget: int | str | None = None,
    devices: Sequence[Any] | None = None,
    max_concurrent: int | None = None,
) -> CompiledSweep:
    """Compile the programs of every family for these devices, and decide how many launches run side by side."""
    devices = jax.local_devices() if devices is None else devices
    local_devices = [d for d in devices if d.process_index == jax.process_index()]
    allowed_bytes = (
        budget.default_budget(local_devices[0]) if memory_budget is None else budget.parse_bytes(memory_budget)
    )
    mesh, platform = meshes.cell_mesh(list(devices)), devices[0].platform
    n_blocks, block_sizes = blocks_per_device * len(devices), layout.block_sizes
    segment_sizes = [
        segment_size(family, size * blocks_per_device, platform)
        for family, size in zip(layout.families, block_sizes, strict=True)
    ]
    use_compilation_cache()
    programs = [
        meshes.programs(mesh, shapes_of(f, size, segments, n_blocks, platform, layout.starts, layout.kernel))
        for f, size, segments in zip(layout.families, block_sizes, segment_sizes, strict=True)
    ]
    largest = int(np.argmax([p.bytes for p in programs]))
    if (needed_bytes := programs[largest].bytes) > allowed_bytes:
        raise ConfigError(
            f"memory_budget of {budget.show_bytes(allowed_bytes)} is too small: one call with block_size="
            f"{block_sizes[largest]} needs {budget.show_bytes(needed_bytes)}; lower block_size or batch_size."
        )
    blocks_per_launch = blocks_per_device * len(local_devices)
    # One program of small models keeps one core busy, so on a single CPU device as many launches run as there are cores.
    is_alone = any(p.calls_lapack for p in programs)
    n_useful = budget.cpu_cores() if platform == "cpu" and len(devices) == 1 and not is_alone else 1
    n_launches = sum(layout.n_launches(blocks_per_launch))
    in_memory = allowed_bytes // max(needed_bytes, 1)
    n_concurrent = max(1, min(max_concurrent or n_useful, n_useful, n_launches, in_memory))
    n_trained = layout.n_trained(blocks_per_launch)
    if n_trained > 4 * n_cells and n_launches > 64:
        log.warning(
            "%s of %s trainings are padding: a block holds %s models of one seed, and most seeds have fewer; "
            "a smaller block_size is faster.",
            f"{n_trained - n_cells:,}",
            f"{n_trained:,}",
            max(block_sizes),
        )
    x64 = jax.dtypes.canonicalize_dtype(float) == np.float64
    return CompiledSweep(layout, programs, segment_sizes, mesh, blocks_per_launch, n_concurrent, n_cells, x64)


def segment_size(family: plan.Family, n_models: int, platform: str) -> SegmentSize:
    """How many intervals a segment has, and how many steps an interval has at most."""
    numbers_per_step = n_models * family.task.elements_per_step(family.config.batch_size)
    numbers_per_segment = NUMBERS_PER_SEGMENT.get(platform, NUMBERS_PER_SEGMENT_ELSEWHERE)
    max_steps = int(np.clip(numbers_per_segment // numbers_per_step, 1, MAX_STEPS))
    n_intervals = len(intervals(family.config, max_steps).start)
    n_segments = min(math.ceil(int(family.config.steps) / max_steps), n_intervals)
    return SegmentSize(math.ceil(n_intervals / n_segments), max_steps)


def shapes_of(
    family: plan.Family,
    block_size: int,
    segments: SegmentSize,
    n_blocks: int,
    platform: str,
    starts: Starts | None = None,
    kernel: str = "plain",
) -> meshes.Shapes:
    """What the programs of a family depend on, for so many blocks per call on a platform, trained by a kernel."""
    given = starts and starts.of(family, family.cells[0])
    todo = intervals(family.config, segments.max_steps)
    lengths = todo.stop - todo.start
    chunk = chunk_length(lengths, platform)
    if kernel == "fused" and chunk is not None:
        chunk = int(lengths.max())  # it looks for the end of an interval by itself
    sizes = (n_blocks, block_size, segments.n_intervals)
    return meshes.shapes(family.task, family.config, *sizes, given, chunk=chunk, kernel=kernel)
