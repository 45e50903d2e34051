"""The forms of a result: slots in the order of training (on disk), cells in the order of the grid, one dimension per axis."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from superpos.optimizers import named_leaves
from superpos.stopping import stops
from superpos.sweep import plan
from superpos.sweep.plan import Block, Family
from superpos.sweep.starts import Starts
from superpos.tasks.base import materialize

# Version of the form on disk, in every result's attributes.
FORMAT = 2

# A chunk on disk holds whole blocks: so many that training them goes through about this many numbers (a second or so),
# but no more than so many cells. A crash loses the chunks then being trained; files cost time and space of their own.
NUMBERS_PER_CHUNK = 2**29
CELLS_PER_CHUNK = 4_096


class Field(NamedTuple):
    """One variable over the cells: dimensions, shape and type of what one cell holds."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def fill(self) -> Any:
        """What a cell without a model holds: NaN, or -1 where numbers are whole."""
        return np.nan if self.dtype.kind == "f" else -1


def fields(families: list[Family]) -> dict[str, Field]:
    """The variables that training fills: parameters, snapshots, losses, records.

    Families of other shapes share an array: it is as large as the largest, and each fills its corner.
    """
    found: dict[str, Field] = {}

    def add(name: str, dims: tuple[str, ...], shape: tuple[int, ...], dtype: Any) -> None:
        if name in found:
            shape = tuple(max(a, b) for a, b in zip(shape, found[name].shape, strict=True))
        found[name] = Field(dims, shape, np.dtype(dtype))

    for family in families:
        task, config = family.task, family.config
        model = jax.eval_shape(lambda task=task: task.broadcast().init(jax.random.key(0)))
        for name, leaf in named_leaves(model):
            dims = getattr(model, "DIMS", {}).get(name) or tuple(f"{name}_{k}" for k in range(leaf.ndim))
            add(name, dims, leaf.shape, leaf.dtype)
            if config.snapshots:
                kept = (len(config.snapshots), *leaf.shape)
                add(f"{name}_snapshots", ("snapshot", *dims), kept, leaf.dtype)
        points = (len(config.boundaries()),)
        loss, (metrics, _) = jax.eval_shape(
            lambda model, task=task, config=config: materialize(task).training_loss(
                model, jax.random.key(0), config.batch_size
            ),
            model,
        )
        add("loss", (), (), loss.dtype)
        add("loss_history", ("record",), points, loss.dtype)
        for name, metric in metrics.items():
            add(f"{name}_history", ("record",), points, metric.dtype)
        add("diverged_step", (), (), np.int32)
        if stops(config):
            add("stopped_step", (), (), np.int32)
    return found


def values(outcome: dict[str, Any]) -> dict[str, np.ndarray]:
    """What one block's training returned, by the names of `fields`; cells lead."""
    found = {"loss": outcome["loss"], "diverged_step": outcome["diverged_step"]}
    if outcome["stopped_step"] is not None:
        found["stopped_step"] = outcome["stopped_step"]
    found["loss_history"] = outcome["history"].loss
    found |= {f"{name}_history": metric for name, metric in outcome["history"].metrics.items()}
    found |= dict(named_leaves(outcome["model"]))
    found |= {f"{name}_snapshots": leaf for name, leaf in named_leaves(outcome["snapshots"])}
    return found


def empty(field: Field, n_cells: int) -> np.ndarray:
    """An array for some cells that hold nothing yet."""
    return np.full((n_cells, *field.shape), field.fill, field.dtype)


def write_corner(target: np.ndarray, cells: Any, found: np.ndarray) -> None:
    """Put the values of some cells into theirs: the corner of their own shape."""
    target[(cells, *(slice(size) for size in found.shape[1:]))] = found


@dataclass(frozen=True)
class Layout:
    """Where every cell of a sweep lies on disk: family by family, block by block, all blocks equally wide.

    A slot is a place along `cell` on disk. Block g has the slots from g × width on; slots beyond its own size, and the
    padding of its last cells, hold nothing.
    """

    families: list[Family]
    block_sizes: list[int]
    chosen_blocks_per_chunk: int | None = None  # of a store that is there already
    starts: Starts | None = None  # given weights, instead of the task's

    @cached_property
    def width(self) -> int:
        """Slots per block."""
        return max(self.block_sizes)

    @cached_property
    def blocks_per_chunk(self) -> int:
        """Blocks that are committed together; decided by the settings alone, unless a store has decided it."""
        if self.chosen_blocks_per_chunk is not None:
            return self.chosen_blocks_per_chunk
        most = max(
            size * f.task.elements_per_step(f.config.batch_size) * int(f.config.steps)
            for f, size in zip(self.families, self.block_sizes, strict=True)
        )
        wanted = min(NUMBERS_PER_CHUNK // most, CELLS_PER_CHUNK // self.width, self.n_blocks)
        return 2 ** int(math.log2(max(1, wanted)))

    @cached_property
    def blocks_of_families(self) -> list[int]:
        """Number of blocks of every family."""
        return [plan.n_blocks(f, size) for f, size in zip(self.families, self.block_sizes, strict=True)]

    @property
    def n_blocks(self) -> int:
        """Blocks of all families."""
        return sum(self.blocks_of_families)

    @property
    def n_slots(self) -> int:
        """Length of `cell` on disk."""
        return self.n_blocks * self.width

    @property
    def chunk(self) -> int:
        """Slots per chunk."""
        return self.blocks_per_chunk * self.width

    @property
    def n_chunks(self) -> int:
        """Chunks of all blocks; the last may be shorter."""
        return -(-self.n_blocks // self.blocks_per_chunk)

    def blocks(self, family: int) -> Iterator[tuple[int, Block]]:
        """The numbered blocks of one family."""
        first = sum(self.blocks_of_families[:family])
        yield from enumerate(plan.blocks(self.families[family], self.block_sizes[family]), first)

    def slots(self, number: int, block: Block) -> slice:
        """Where the real cells of a block lie."""
        return slice(number * self.width, number * self.width + block.n_real)

    @cached_property
    def grid_index(self) -> np.ndarray:
        """The cell of the grid in every slot; -1 where there is none."""
        index = np.full(self.n_slots, -1, np.int64)
        first = 0
        for family, size, n_blocks in zip(self.families, self.block_sizes, self.blocks_of_families, strict=True):
            block, place = plan.places(family, size)
            index[(first + block) * self.width + place] = family.cells
            first += n_blocks
        return index

    def blocks_in(self, chunk: int) -> range:
        """Numbers of the blocks of a chunk."""
        return range(chunk * self.blocks_per_chunk, min((chunk + 1) * self.blocks_per_chunk, self.n_blocks))

    def n_cells_in(self, chunks: list[int]) -> int:
        """How many models the chunks hold."""
        real = self.grid_index >= 0
        return sum(int(real[c * self.chunk : (c + 1) * self.chunk].sum()) for c in chunks)


def batched(items: Iterator[Any], n: int) -> Iterator[tuple[Any, ...]]:
    """Tuples of n items, the last perhaps shorter."""
    while some := tuple(islice(items, n)):
        yield some


def unflatten(flat: xr.Dataset, dims: Mapping[str, int]) -> xr.Dataset:
    """Give the `cell` dimension the grid's shape; a coordinate named after a dimension becomes its index."""
    shape, names = tuple(dims.values()), tuple(dims)
    out: dict[str, xr.Variable] = {}
    for name, variable in flat.variables.items():
        if "cell" not in variable.dims:
            out[str(name)] = variable
            continue
        rest = tuple(d for d in variable.dims if d != "cell")
        values = variable.transpose("cell", *rest).values
        values = values.reshape((*shape, *values.shape[1:]))
        if name in dims:  # the axis itself: constant along all other dimensions
            axis = names.index(str(name))
            values = values[tuple(slice(None) if k == axis else 0 for k in range(len(names)))]
            out[str(name)] = xr.Variable(name, values, variable.attrs)
        else:
            out[str(name)] = xr.Variable((*names, *rest), values, variable.attrs)
    coords = {name: out.pop(str(name)) for name in flat.coords}
    return xr.Dataset(out, coords, flat.attrs)
