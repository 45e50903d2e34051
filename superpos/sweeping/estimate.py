"""How long a sweep will take, from timing a few steps of each compile family."""

import math
import time

import jax
import numpy as np

from superpos.sweeping import mesh as meshes
from superpos.sweeping.compiled import CompiledSweep
from superpos.sweeping.launches import launch_inputs, launch_starts
from superpos.training.loop import Intervals

TIMED_SECONDS = 0.3


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
        n_launches = math.ceil(sweep.counts()[launch.family][1] / sweep.blocks_per_launch)
        total += elapsed / n_steps * family.config.steps * n_launches / min(sweep.n_concurrent, n_launches)
    return total
