"""How long a sweep will take: predicted from what its steps cost, or from timing a few of each compile family."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from superpos.chips.model import Chip, Parts, step
from superpos.sweeping import budget
from superpos.sweeping import mesh as meshes
from superpos.sweeping.compiled import CompiledSweep
from superpos.sweeping.kernel_cost import kernel_cost
from superpos.sweeping.launches import launch_inputs, launch_starts
from superpos.sweeping.layout import Layout
from superpos.sweeping.step_cost import step_cost
from superpos.training.loop import Intervals

TIMED_SECONDS = 0.3


@dataclass(frozen=True)
class Prediction:
    """What a sweep will take on a chip, by the model of `superpos.chips`; nothing was compiled or run for it."""

    seconds: float  # of training, without compilation and without the loss at the end
    rate: float  # steps of all models together, a second; padding counts for nothing
    parts: Parts  # of the seconds
    memory: float  # bytes that steps running side by side hold, at most
    n_launches: int
    n_trained: int  # models, with those that fill up blocks and launches
    at_least: bool = False  # a loop of some task is as long as its data say, and was counted once


def predicted(
    layout: Layout, chip: Chip, *, blocks_per_device: int = 1, devices: Sequence[Any] | None = None, **_: Any
) -> Prediction:
    """The prediction for a sweep on devices that are all like `chip`; of a CPU that is one core. Options as of `sweep`."""
    devices = jax.local_devices() if devices is None else devices
    n_useful = budget.cpu_cores() if devices[0].platform == "cpu" and len(devices) == 1 else 1
    blocks_per_launch = blocks_per_device * len(devices)
    launches_of_families = layout.n_launches(blocks_per_launch)
    seconds, model_steps, memory, at_least = 0.0, 0.0, 0.0, False
    sums = [0.0, 0.0, 0.0]
    for family, size, n_launches in zip(layout.families, layout.block_sizes, launches_of_families, strict=True):
        plain = step_cost(family.task, family.config)
        cost = kernel_cost(layout.kernel, family.task, family.config, plain, size)
        parts = step(chip, cost, size)
        n_concurrent = min(n_useful, n_launches)
        n_in_a_row = float(family.config.steps) * blocks_per_device * n_launches / n_concurrent
        seconds += parts.seconds * n_in_a_row
        sums = [
            s + n_in_a_row * p for s, p in zip(sums, (parts.launches, parts.bandwidth, parts.operations), strict=True)
        ]
        model_steps += len(family.cells) * float(family.config.steps)
        memory = max(memory, n_concurrent * cost.memory(size))
        at_least |= cost.open_ended
    n_trained = layout.n_trained(blocks_per_launch)
    return Prediction(
        seconds, model_steps / seconds, Parts(*sums), memory, sum(launches_of_families), n_trained, at_least
    )


def estimated_seconds(sweep: CompiledSweep) -> float:
    """Estimated seconds of training, compilation left out."""
    total = 0.0
    for k in range(len(sweep.families)):
        launch = next(sweep.launches(k))
        family, programs = sweep.families[launch.family], sweep.programs[launch.family]
        inputs = launch_inputs(sweep, launch)
        states = programs.start(*inputs, launch_starts(sweep, launch))
        n_intervals = programs.n_intervals
        n_steps, elapsed = 4, 0.0
        while elapsed < TIMED_SECONDS and n_steps < 100_000:
            n_steps *= 2
            stops = np.full(n_intervals, n_steps, np.int32)
            start = np.concatenate([[0], stops[1:]]).astype(np.int32)
            segment = Intervals(start, start, stops, np.full(n_intervals, -1, np.int32))
            begin = time.perf_counter()
            states, _ = jax.block_until_ready(
                programs.advance(*inputs, states, meshes.place_everywhere(sweep.mesh, segment))
            )
            elapsed = time.perf_counter() - begin
        n_launches = sweep.layout.n_launches(sweep.blocks_per_launch)[launch.family]
        total += elapsed / n_steps * family.config.steps * n_launches / min(sweep.n_concurrent, n_launches)
    return total
