"""Train in the processes of one JAX program (TPU pods, Slurm, Open MPI, or told by hand), each its own chunks.

JAX finds the other processes; all of them run the same programs over one mesh, in step, and no program needs to hear of
another. Each process writes the blocks its own devices trained. When one dies, the others end
with a sentence within seconds: run the same command again.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import zip_longest
from typing import Any

import jax

from superpos.errors import EngineError, one_line
from superpos.sweep.calls import Call, Work, train_call
from superpos.sweep.engines.job import Job
from superpos.sweep.engines.peers import check_address, reach, say_when_jax_aborts
from superpos.sweep.run import compile_work
from superpos.sweep.stored import StoredSweep

# Seconds to wait for the other processes in the beginning and the end, and for a sign of life in between. (JAX's own: 300 and
# 100.) Start all processes at about the same time.
FIND_SECONDS, SILENT_SECONDS = 12, 12
GONE = (
    "superpos: engine distributed: another process is missing or gone, so JAX ends this one; what was committed is kept, "
    "and the same command in all processes goes on."
)


def begin(settings: Mapping[str, Any]) -> None:
    """Find the other processes. The settings are those of `jax.distributed.initialize`, which guesses what is not given.

    Raises:
        EngineError: JAX cannot find them.
    """
    if jax.distributed.is_initialized():
        return
    if (address := settings.get("coordinator_address")) is not None:
        check_address(address, "coordinator_address")
        if settings.get("process_id"):  # not process 0, which the others come to
            reach(address, FIND_SECONDS, "coordinator_address")
    say_when_jax_aborts(GONE)
    try:
        jax.distributed.initialize(
            **settings,
            initialization_timeout=FIND_SECONDS,
            heartbeat_timeout_seconds=SILENT_SECONDS,
            shutdown_timeout_seconds=FIND_SECONDS,
        )
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise EngineError(f"engine distributed: JAX finds no other processes: {one_line(error)}") from None


def process() -> int:
    """The number of this process."""
    return jax.process_index()


def start(begin: partial[StoredSweep]) -> StoredSweep:
    """Process 0 begins the store; the others wait, and join it."""
    from jax.experimental import multihost_utils

    running = begin() if jax.process_index() == 0 else None
    multihost_utils.sync_global_devices("the store is there")
    return running or begin(resume="must", overwrite=False)  # one that went away meanwhile is not begun again


def train(job: Job) -> None:
    """Commit this process's share of the chunks, in step with the others."""
    from jax.experimental import multihost_utils

    where, n_processes = job.stored.layout, jax.process_count()
    multihost_utils.sync_global_devices("all have read what is committed")  # before anybody commits more
    work = compile_work(where, where.n_cells_in(job.chunks), **{**job.options, "devices": jax.devices()})
    for call in in_step(work, job.chunks, jax.process_index(), n_processes):
        if job.stop.is_set():
            break  # the programs wait for nobody, so the others are not held up
        for number, block, outcome in train_call(work, call, job.bar.advance, job.stop):
            if done := job.stored.add(call.family, number, block, outcome):
                job.committed(done)
    if not job.stop.is_set():
        multihost_utils.sync_global_devices("all have committed")


def in_step(work: Work, chunks: list[int], process: int, n_processes: int) -> Iterator[Call]:
    """The calls of one process: as many of every family as the process with the most of them.

    Where it has no block of its own left, it trains one again and drops it, for all processes run the same programs.
    """
    where = work.layout
    owners = {chunk: k % n_processes for k, chunk in enumerate(chunks)}
    for family in range(len(where.families)):
        mine: list[tuple[int, Any]] = []
        counts = [0] * n_processes
        spare = next(where.blocks(family))
        for number, block in where.blocks(family):
            owner = owners.get(number // where.blocks_per_chunk)
            if owner is not None:
                counts[owner] += 1
            if owner == process:
                mine.append((number, block))
        n_calls = -(-max(counts) // work.blocks_per_call)
        own = [mine[k : k + work.blocks_per_call] for k in range(0, len(mine), work.blocks_per_call)]
        for some, _ in zip_longest(own, range(n_calls), fillvalue=()):
            padding = (some[-1] if some else spare,) * (work.blocks_per_call - len(some))
            yield Call(family, (*some, *padding), len(some))
