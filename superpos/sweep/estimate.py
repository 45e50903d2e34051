"""How long a sweep will take, from timing a few steps of each compile family."""

import time

import jax
import numpy as np

from superpos.sweep import mesh as meshes
from superpos.sweep.calls import Work, call_inputs, call_starts
from superpos.train import Intervals

TIMED_SECONDS = 0.3


def seconds(work: Work) -> float:
    """Estimated seconds of training, compilation left out."""
    total = 0.0
    for k in range(len(work.families)):
        call = next(work.calls(k))
        family, compiled = work.families[call.family], work.programs[call.family]
        inputs = call_inputs(work, call)
        states = compiled.start(*inputs, call_starts(work, call))
        n_pieces = compiled.n_intervals
        n_steps, spent = 4, 0.0
        while spent < TIMED_SECONDS and n_steps < 100_000:
            n_steps *= 2
            stops = np.full(n_pieces, n_steps, np.int32)
            start = np.concatenate([[0], stops[1:]]).astype(np.int32)
            piece = Intervals(start, start, stops, np.full(n_pieces, -1, np.int32))
            begin = time.perf_counter()
            states, _ = jax.block_until_ready(
                compiled.advance(*inputs, states, meshes.place_everywhere(work.mesh, piece))
            )
            spent = time.perf_counter() - begin
        calls = -(-work.counts()[call.family][1] // work.blocks_per_call)
        total += spent / n_steps * family.config.steps * calls / min(work.lanes, calls)
    return total
