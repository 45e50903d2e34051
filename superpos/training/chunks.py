"""How many steps a program takes between two looks at whether an interval is over.

A CPU and a TPU look after every step, at no cost. On a GPU the host looks: it waits for the step, copies the answer and only
then launches the next one. So there an interval is trained in chunks of a fixed number of steps, which the host launches
without waiting. The steps of the last chunk that lie beyond the end of the interval are computed and thrown away.
"""

from typing import Any

import jax
import numpy as np

from superpos.models.products import GPUS

# A look takes a GPU's host about as long as a step of a small model, so the cost of a chunk is counted in steps.
STEPS_PER_LOOK = 1
LONGEST_CHUNK = 128


def chunk_length(lengths: Any, platform: str) -> int | None:
    """Steps per chunk for intervals of these `lengths` on a platform; None where a program looks after every step.

    The best of all lengths up to `LONGEST_CHUNK`, by the steps computed and the looks taken. At least 2: a loop that is
    known to run once is none for the compiler.

    >>> chunk_length(np.full(100, 50), "gpu")
    50
    """
    if platform not in GPUS:
        return None
    candidates = np.arange(2, LONGEST_CHUNK + 1)
    distinct, counts = np.unique(lengths, return_counts=True)
    chunks = -(-distinct[:, None] // candidates)
    cost = np.sum(counts[:, None] * chunks * (candidates + STEPS_PER_LOOK), axis=0)
    return int(candidates[np.argmin(cost)])


def train_through(step: Any, start: Any, stop: Any, state: Any, chunk: int | None, vectors: Any = None) -> Any:
    """The state after the steps from `start` up to `stop`, which are data: other numbers need no other program.

    `step(t, state, taken)` leaves the state as it is where `taken` is False; `taken` is None where every step is.
    """
    if chunk is None:
        return jax.lax.fori_loop(start, stop, lambda t, state: step(t, state, None), state)

    def one_chunk(k: Any, state: Any) -> Any:
        first = start + k * chunk
        return jax.lax.fori_loop(0, chunk, lambda i, state: step(first + i, state, first + i < stop), state)

    if vectors is not None:
        state = state._replace(model=vectors.joined(state.model), opt_state=vectors.joined(state.opt_state))
    state = jax.lax.fori_loop(0, (stop - start + chunk - 1) // chunk, one_chunk, state)
    if vectors is not None:
        state = state._replace(model=vectors.parted(state.model), opt_state=vectors.parted(state.opt_state))
    return state
