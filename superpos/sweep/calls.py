"""One call of the compiled programs: some blocks on every device, trained from start to finish."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from superpos.stopping import all_done
from superpos.sweep import checkpoints, plan
from superpos.sweep import mesh as meshes
from superpos.sweep.layout import Layout, batched
from superpos.train import MAX_STEPS, Intervals, TrainConfig, intervals

# A block's training is cut into calls of `advance`, so that progress and interrupts need not wait for its end. One goes
# through about this many numbers, which takes some tenths of a second. Part of the program's shape, never of its bits.
NUMBERS_PER_SEGMENT = {"cpu": 2**27}
NUMBERS_PER_SEGMENT_ELSEWHERE = 2**33

# A call that is stopped keeps its state if it has trained for at least so many segments: some seconds.
WORTH_KEEPING = 20


@dataclass(frozen=True)
class Call:
    """The blocks of one call: the same number on every device. Blocks carry their numbers in the layout."""

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


@dataclass(frozen=True)
class Work:
    """Everything decided before the first model is trained; what `--dry-run` reports."""

    layout: Layout
    programs: list[meshes.Programs]
    segments: list[tuple[int, int]]  # of every family: intervals per segment, most steps per interval
    mesh: jax.sharding.Mesh
    blocks_per_call: int  # on the devices of this process
    lanes: int  # calls running side by side
    n_cells: int
    x64: bool  # double precision may be switched on for one thread only; calls run in others

    @property
    def families(self) -> list[plan.Family]:
        """The compile families."""
        return self.layout.families

    @property
    def block_sizes(self) -> list[int]:
        """Models per block, for every family."""
        return self.layout.block_sizes

    def counts(self) -> list[tuple[int, int]]:
        """Block size and number of blocks of every family."""
        return list(zip(self.block_sizes, self.layout.blocks_of_families, strict=True))

    @property
    def n_blocks(self) -> int:
        """Blocks of all families together."""
        return self.layout.n_blocks

    @property
    def bytes(self) -> int:
        """Device memory of all calls running side by side, by the compiler's account."""
        return self.lanes * max(p.bytes for p in self.programs)

    def calls(self, first_family: int = 0, wanted: Callable[[int], bool] | None = None) -> Iterator[Call]:
        """All calls, family by family; of the blocks that are `wanted` by their numbers."""
        for k in range(first_family, len(self.families)):
            blocks = ((n, block) for n, block in self.layout.blocks(k) if wanted is None or wanted(n))
            for some in batched(blocks, self.blocks_per_call):
                yield Call(k, some + some[-1:] * (self.blocks_per_call - len(some)), len(some))


def train_call(
    work: Work,
    call: Call,
    advance_bar: Callable[[float], None],
    stop: threading.Event,
    kept: checkpoints.Checkpoints | None = None,
) -> list[tuple[int, plan.Block, Any]]:
    """Train the blocks of one call, on the host's side a loop over segments. Nothing if it was stopped.

    With `kept`, the state is written every so many segments and when the call is stopped, and training goes on from there.
    """
    family, compiled = work.families[call.family], work.programs[call.family]
    pieces = segments(family.config, *work.segments[call.family])
    with jax.enable_x64(work.x64):
        tasks, configs, seeds = call_inputs(work, call)
        states = compiled.start(tasks, configs, seeds, call_starts(work, call))
        done, records = 0, []
        cut = (work.segments[call.family], work.mesh.size)
        if kept is not None and (found := kept.restore(call, cut, states)) is not None:
            done, states, records = found.segments, found.states, [found.records]
            advance_bar(call.n_models * done / len(pieces))
        first = last_kept = done
        for piece in pieces[done:]:
            if stop.is_set():
                if kept is not None and done > last_kept and done - first >= min(kept.every, WORTH_KEEPING):
                    kept.save(call, cut, done, states, _joined(records))
                return []
            states, record = compiled.advance(tasks, configs, seeds, states, meshes.place_everywhere(work.mesh, piece))
            records.append(jax.tree.map(meshes.local, record))
            done += 1
            advance_bar(call.n_models / len(pieces))
            if done < len(pieces) and ends_early(family.config, states):
                records.append(_nothing(records[-1], pieces[done:]))
                advance_bar(call.n_models * (len(pieces) - done) / len(pieces))
                break
            if kept is not None and done % kept.every == 0 and done < len(pieces):
                kept.save(call, cut, done, states, _joined(records))
                last_kept = done
        losses, diverged = jax.tree.map(meshes.local, compiled.finish(tasks, configs, states))
    stops = np.concatenate([piece.stop for piece in pieces])
    points = np.searchsorted(stops, family.config.boundaries())
    history = jax.tree.map(lambda column: column[:, :, points], _joined(records))
    model, snapshots = jax.tree.map(meshes.local, (states.model, states.snapshots))
    outcome = {"model": model, "snapshots": snapshots, "diverged_step": diverged, "loss": losses, "history": history}
    outcome["stopped_step"] = jax.tree.map(meshes.local, states.stopped_step)
    return [
        (number, block, jax.tree.map(lambda leaf, k=k, n=block.n_real: leaf[k, :n], outcome))
        for k, (number, block) in enumerate(call.real)
    ]


def call_inputs(work: Work, call: Call) -> tuple[Any, Any, Any]:
    """Tasks, configurations and seeds of one call, on the devices; leaves lead with (block, cell), seeds with (block,)."""
    members = np.stack([block.members for _, block in call.blocks])
    stacked = work.families[call.family].stacked(members.ravel())
    tasks, configs = jax.tree.map(lambda leaf: leaf.reshape(*members.shape, *leaf.shape[1:]), stacked)
    seeds = np.array([block.seed for _, block in call.blocks], np.uint32)
    return meshes.place(work.mesh, (tasks, configs, seeds))


def call_starts(work: Work, call: Call) -> Any:
    """The weights that the cells of one call start from, on the devices; None if the task makes them."""
    if work.layout.starts is None:
        return None
    family = work.families[call.family]
    cells = family.cells[np.stack([block.members for _, block in call.blocks])]
    return meshes.place(work.mesh, work.layout.starts.of(family, cells))


def ends_early(config: TrainConfig, states: Any) -> bool:
    """Whether no model of a call is trained any more. Only where nothing waits for other processes or later snapshots."""
    if states.stopped_step is None or config.snapshots or jax.process_count() > 1:
        return False
    return all_done(meshes.local(states.stopped_step), meshes.local(states.diverged_step))


def segment_size(family: plan.Family, n_models: int, platform: str) -> tuple[int, int]:
    """How many intervals a segment has, and how many steps an interval has at most."""
    numbers = n_models * family.task.elements_per_step(family.config.batch_size)
    allowed = NUMBERS_PER_SEGMENT.get(platform, NUMBERS_PER_SEGMENT_ELSEWHERE)
    most_steps = int(np.clip(allowed // numbers, 1, MAX_STEPS))
    n_intervals = len(intervals(family.config, most_steps).start)
    n_segments = min(-(-int(family.config.steps) // most_steps), n_intervals)
    return -(-n_intervals // n_segments), most_steps


def segments(config: TrainConfig, per_segment: int, most_steps: int) -> list[Intervals]:
    """The intervals of a training, as many in every segment; the last is filled up with empty ones."""
    whole = intervals(config, most_steps)
    n_segments = -(-len(whole.start) // per_segment)
    missing = n_segments * per_segment - len(whole.start)
    end = np.full(missing, config.steps, np.int32)
    empty = Intervals(np.full(missing, whole.origin[-1], np.int32), end, end, np.full(missing, -1, np.int32))
    filled = Intervals(*(np.concatenate(pair) for pair in zip(whole, empty, strict=True)))
    return [Intervals(*(leaf[k * per_segment : (k + 1) * per_segment] for leaf in filled)) for k in range(n_segments)]


def _nothing(record: Any, pieces: list[Intervals]) -> Any:
    """The record of segments through which all models were frozen: NaN, as the programs would have said."""
    n = sum(len(piece.stop) for piece in pieces)
    return jax.tree.map(lambda column: np.full((*column.shape[:2], n, *column.shape[3:]), np.nan, column.dtype), record)


def _joined(records: list[Any]) -> Any:
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis=2), *records)
