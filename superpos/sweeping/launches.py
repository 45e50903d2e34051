"""Training what is compiled: one launch from start to finish, and all launches of a sweep, some side by side."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import jax
import numpy as np

from superpos.sweeping import mesh as meshes
from superpos.sweeping.compiled import CompiledSweep, Launch, SegmentSize
from superpos.sweeping.plan import Block
from superpos.sweeping.store.checkpoints import Checkpoints
from superpos.sweeping.variables import BlockResult
from superpos.training.loop import Intervals, TrainConfig, intervals
from superpos.training.stopping import all_done

# A launch that is stopped keeps its state if it has trained for at least so many segments: some seconds.
MIN_SEGMENTS_KEPT = 20


def train_all(
    sweep: CompiledSweep,
    add: Callable[[int, int, Block, BlockResult], Any],
    advance_bar: Callable[[float], None],
    stop: threading.Event,
    is_needed: Callable[[int], bool] | None = None,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Train all blocks, or those that `is_needed` chooses by number, and hand each result to `add` as it comes.

    Memory holds no more launches than run side by side. After `stop` is set, or an error, they end at their next segment.
    """
    failed = threading.Event()

    def stopped() -> bool:
        return stop.is_set() or failed.is_set()

    with ThreadPoolExecutor(sweep.n_concurrent) as pool:
        launches = sweep.launches(is_needed=is_needed)
        running: dict[Future[Any], Launch] = {}

        def start(n_launches: int) -> None:
            for launch in islice(launches, n_launches):
                running[pool.submit(train_launch, sweep, launch, advance_bar, stopped, checkpoints)] = launch

        try:
            start(sweep.n_concurrent)
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    launch = running.pop(future)
                    results = future.result()
                    for number, block, result in results:
                        add(launch.family, number, block, result)
                    if checkpoints is not None and results:
                        checkpoints.remove(launch, cut_of(sweep, launch))
                if not stop.is_set():
                    start(len(done))
        except BaseException:
            failed.set()
            raise


def train_launch(
    sweep: CompiledSweep,
    launch: Launch,
    advance_bar: Callable[[float], None],
    stopped: Callable[[], bool],
    checkpoints: Checkpoints | None = None,
) -> list[tuple[int, Block, BlockResult]]:
    """Train the blocks of one launch, on the host's side a loop over segments. Nothing if it was stopped.

    With `checkpoints`, the state is written every so many segments and when the launch is stopped, and training goes on
    from there.
    """
    family, programs = sweep.families[launch.family], sweep.programs[launch.family]
    segments = segments_of(family.config, sweep.segment_sizes[launch.family])
    with jax.enable_x64(sweep.x64):
        tasks, configs, seeds = launch_inputs(sweep, launch)
        states = programs.start(tasks, configs, seeds, launch_starts(sweep, launch))
        done, records = 0, []
        cut = cut_of(sweep, launch)
        if checkpoints is not None and (checkpoint := checkpoints.restore(launch, cut, states)) is not None:
            done, states, records = checkpoint.segments, checkpoint.states, [checkpoint.records]
            advance_bar(launch.n_models * done / len(segments))
        first = last_saved = done
        for segment in segments[done:]:
            if stopped():
                if (
                    checkpoints is not None
                    and done > last_saved
                    and done - first >= min(checkpoints.every, MIN_SEGMENTS_KEPT)
                ):
                    checkpoints.save(launch, cut, done, states, _joined(records))
                return []
            states, record = programs.advance(
                tasks, configs, seeds, states, meshes.place_everywhere(sweep.mesh, segment)
            )
            records.append(jax.tree.map(meshes.local, record))
            done += 1
            advance_bar(launch.n_models / len(segments))
            if done < len(segments) and ends_early(family.config, states):
                records.append(_frozen_record(records[-1], segments[done:]))
                advance_bar(launch.n_models * (len(segments) - done) / len(segments))
                break
            if checkpoints is not None and done % checkpoints.every == 0 and done < len(segments):
                checkpoints.save(launch, cut, done, states, _joined(records))
                last_saved = done
        losses, diverged = jax.tree.map(meshes.local, programs.finish(tasks, configs, states))
    stops = np.concatenate([segment.stop for segment in segments])
    points = np.searchsorted(stops, family.config.boundaries())
    model, snapshots, stopped_step = jax.tree.map(meshes.local, (states.model, states.snapshots, states.stopped_step))
    results = BlockResult(
        model=model,
        snapshots=snapshots,
        loss=losses,
        history=jax.tree.map(lambda column: column[:, :, points], _joined(records)),
        diverged_step=diverged,
        stopped_step=stopped_step,
    )
    return [
        (number, block, jax.tree.map(lambda leaf, k=k, n=block.n_real: leaf[k, :n], results))
        for k, (number, block) in enumerate(launch.real)
    ]


def launch_inputs(sweep: CompiledSweep, launch: Launch) -> tuple[Any, Any, Any]:
    """Tasks, configurations and seeds of a launch, on the devices; leaves lead with (block, cell), seeds with (block,)."""
    members = np.stack([block.members for _, block in launch.blocks])
    stacked = sweep.families[launch.family].stacked(members.ravel())
    tasks, configs = jax.tree.map(lambda leaf: leaf.reshape(*members.shape, *leaf.shape[1:]), stacked)
    seeds = np.array([block.seed for _, block in launch.blocks], np.uint32)
    return meshes.place(sweep.mesh, (tasks, configs, seeds))


def launch_starts(sweep: CompiledSweep, launch: Launch) -> Any:
    """The weights that the cells of a launch start from, on the devices; None if the task makes them."""
    if sweep.layout.starts is None:
        return None
    family = sweep.families[launch.family]
    cells = family.cells[np.stack([block.members for _, block in launch.blocks])]
    return meshes.place(sweep.mesh, sweep.layout.starts.of(family, cells))


def ends_early(config: TrainConfig, states: Any) -> bool:
    """Whether no model of a launch is trained any more. Only where nothing waits for other processes or later snapshots."""
    if states.stopped_step is None or config.snapshots or jax.process_count() > 1:
        return False
    return all_done(meshes.local(states.stopped_step), meshes.local(states.diverged_step))


def segments_of(config: TrainConfig, size: SegmentSize) -> list[Intervals]:
    """The intervals of a training, as many in every segment; the last is filled up with empty ones."""
    real = intervals(config, size.max_steps)
    n_segments = math.ceil(len(real.start) / size.n_intervals)
    n_empty = n_segments * size.n_intervals - len(real.start)
    end = np.full(n_empty, config.steps, np.int32)
    empty = Intervals(np.full(n_empty, real.origin[-1], np.int32), end, end, np.full(n_empty, -1, np.int32))
    filled = Intervals(*(np.concatenate(pair) for pair in zip(real, empty, strict=True)))
    return [
        Intervals(*(leaf[k * size.n_intervals : (k + 1) * size.n_intervals] for leaf in filled))
        for k in range(n_segments)
    ]


def cut_of(sweep: CompiledSweep, launch: Launch) -> tuple[Any, ...]:
    """What a checkpoint of a launch depends on beside its blocks: how its training is cut, and the number of devices."""
    return tuple(sweep.segment_sizes[launch.family]), sweep.mesh.size


def _frozen_record(record: Any, segments: list[Intervals]) -> Any:
    """The record of segments through which all models were frozen: NaN, as the programs would have said."""
    n = sum(len(segment.stop) for segment in segments)
    return jax.tree.map(lambda column: np.full((*column.shape[:2], n, *column.shape[3:]), np.nan, column.dtype), record)


def _joined(records: list[Any]) -> Any:
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis=2), *records)
