"""Where every cell of a sweep lies on disk: slots, in the order of training. See the picture in `README.md`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from superpos.sweeping import plan
from superpos.sweeping.plan import Block, Family
from superpos.sweeping.starts import Starts

# A chunk on disk holds whole blocks: so many that training them goes through about this many numbers (a second or so),
# but no more than so many cells. A crash loses the chunks then being trained; files cost time and space of their own.
NUMBERS_PER_CHUNK = 2**29
CELLS_PER_CHUNK = 4_096


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
    kernel: str = "plain"  # or "fused" or "tiled": how steps are computed (`superpos.training.fused`)

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
        n_fitting = min(NUMBERS_PER_CHUNK // most, CELLS_PER_CHUNK // self.width, self.n_blocks)
        return 2 ** int(math.log2(max(1, n_fitting)))

    @cached_property
    def blocks_of_families(self) -> list[int]:
        """Number of blocks of every family."""
        return [plan.n_blocks(f, size) for f, size in zip(self.families, self.block_sizes, strict=True)]

    @property
    def n_blocks(self) -> int:
        """Blocks of all families."""
        return sum(self.blocks_of_families)

    def n_launches(self, blocks_per_launch: int) -> list[int]:
        """Launches of every family, each of so many blocks."""
        return [math.ceil(n / blocks_per_launch) for n in self.blocks_of_families]

    def n_trained(self, blocks_per_launch: int) -> int:
        """Models that launches of so many blocks train, with those that fill up blocks and launches."""
        pairs = zip(self.n_launches(blocks_per_launch), self.block_sizes, strict=True)
        return sum(n_launches * blocks_per_launch * size for n_launches, size in pairs)

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
        return math.ceil(self.n_blocks / self.blocks_per_chunk)

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
    while batch := tuple(islice(items, n)):
        yield batch
