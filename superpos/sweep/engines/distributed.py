"""Train in the processes of one JAX program (TPU pods, Slurm, Open MPI, or told by hand), each its own chunks.

They meet before JAX starts (`meeting`). Then all of them run the same programs over one mesh, in step, and no program needs
to hear of another. Each process writes the blocks its own devices trained. When one dies, the others end with a sentence
within seconds (`peers`): run the same command again.
"""

import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import zip_longest
from typing import Any

import jax

from superpos import check
from superpos.errors import ConfigError, EngineError, StoreError, one_line
from superpos.process import age
from superpos.sweep.calls import Call, Work, train_call
from superpos.sweep.engines.addresses import check_address
from superpos.sweep.engines.job import Job
from superpos.sweep.engines.meeting import meet
from superpos.sweep.engines.peers import Peers
from superpos.sweep.run import compile_work
from superpos.sweep.stored import StoredSweep

# Seconds that processes wait for each other in the beginning, unless `wait_seconds` says otherwise. Told by hand, they are
# started together: counted from the start of this process, whose imports take long on a busy machine, but some at least. In a
# cluster that JAX knows, each comes when its machine is ready.
START_SECONDS, MIN_SECONDS, CLUSTER_SECONDS = 15.0, 6.0, 120.0
# Seconds that JAX has to connect those that have met; between signs of life; and in the end, where some may have more to do
# than others. (JAX's own: 300, 100 and 300.)
CONNECT_SECONDS, SILENT_SECONDS, END_SECONDS = 12, 12, 300
# Seconds for which a folder that another machine has made may be unseen here.
SEEN_SECONDS = 5.0

_peers: list[Peers] = []  # of this process: none, or one for as long as it lives, as with JAX's own


def begin(settings: Mapping[str, Any]) -> None:
    """Meet the other processes, and let JAX connect them. What the settings leave out is found by JAX where it knows how.

    Settings: `coordinator_address` (HOST:PORT of process 0), `num_processes`, `process_id`, and `wait_seconds`, which is how
    long they wait for each other: until 15 seconds after they started, or 120 in a cluster that JAX knows. Of a long time, a
    line every ten seconds says for whom.

    Raises:
        ConfigError: a setting is missing or not allowed, or contradicts another process.
        EngineError: some processes do not come, or JAX cannot connect them.
    """
    if jax.distributed.is_initialized():
        return
    by_hand = "num_processes" in settings and "process_id" in settings
    default = max(MIN_SECONDS, START_SECONDS - age()) if by_hand else CLUSTER_SECONDS
    seconds = check.number("wait_seconds", settings.get("wait_seconds", default), above=0, at_most=86_400)
    given = {key: value for key, value in settings.items() if key != "wait_seconds"}
    if (address := given.get("coordinator_address")) is not None:
        check_address(address, "coordinator_address")
    for name, least in (("num_processes", 1), ("process_id", 0)):
        if name in given:
            check.integer(name, given[name], at_least=least, at_most=10**6)
            given[name] = int(given[name])
    found = _found(given, seconds)
    for name in ("coordinator_address", "num_processes", "process_id"):
        if found.get(name) is None:
            raise ConfigError(f"engine distributed: {name} must be given, for JAX knows no cluster here that tells it.")
    address, n_processes, process = found["coordinator_address"], found["num_processes"], found["process_id"]
    if not 0 <= process < n_processes:
        raise ConfigError(f"process_id must be below num_processes, which is {n_processes}, got {process}.")
    peers = Peers(process, meet(address, process, n_processes, seconds))
    peers.begin()
    _peers.append(peers)
    try:
        jax.distributed.initialize(
            **found,
            initialization_timeout=CONNECT_SECONDS,
            heartbeat_timeout_seconds=SILENT_SECONDS,
            shutdown_timeout_seconds=END_SECONDS,
        )
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        wrong = EngineError(f"engine distributed: JAX does not connect the processes: {one_line(error)}")
        leave(wrong)
        raise wrong from None


def _found(given: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What `jax.distributed.initialize` would find: a cluster's settings, where some are not given."""
    names = ("coordinator_address", "num_processes", "process_id", "local_device_ids")
    here = {"coordinator_address": os.environ.get("JAX_COORDINATOR_ADDRESS"), **given}
    try:
        from jax._src.clusters import ClusterEnv

        address, n_processes, process, devices = (here.get(name) for name in names)
        found = ClusterEnv.auto_detect_unset_distributed_params(
            address, n_processes, process, devices, None, int(seconds) + 1
        )
    except Exception as error:  # of many kinds: variables that are missing or no numbers, services that do not answer
        if all(here.get(name) is not None for name in names[:3]):
            return here
        why = one_line(error) or type(error).__name__
        raise EngineError(
            f"engine distributed: JAX cannot ask the cluster for its processes ({why}); give coordinator_address, "
            "num_processes and process_id."
        ) from None
    return dict(zip(names, found, strict=True))


def leave(error: BaseException) -> None:
    """Tell the other processes that this one cannot go on."""
    for peers in _peers:
        peers.leave(error)


def process() -> int:
    """The number of this process."""
    return jax.process_index()


def start(begin: partial[StoredSweep]) -> StoredSweep:
    """Process 0 begins the store; the others wait, and join it.

    Raises:
        StoreError: its path leads elsewhere in this process.
    """
    running, target = begin() if jax.process_index() == 0 else None, begin.args[0]
    _together("the store is there")
    end = time.monotonic() + SEEN_SECONDS
    while not target.exists() and time.monotonic() < end:
        time.sleep(0.1)
    if running is None and not target.exists():
        raise StoreError(
            f"{target} is not there in process {jax.process_index()}, though process 0 has begun it: the path must lead to "
            "one folder in all processes."
        )
    return running or begin(resume="must", overwrite=False)  # one that went away meanwhile is not begun again


def train(job: Job) -> None:
    """Commit this process's share of the chunks, in step with the others."""
    where, n_processes = job.stored.layout, jax.process_count()
    _together("all have read what is committed")  # before anybody commits more
    work = compile_work(where, where.n_cells_in(job.chunks), **{**job.options, "devices": jax.devices()})
    for call in in_step(work, job.chunks, jax.process_index(), n_processes):
        if job.stop.is_set():
            break  # the programs wait for nobody, so the others are not held up
        for number, block, outcome in train_call(work, call, job.bar.advance, job.stop):
            if done := job.stored.add(call.family, number, block, outcome):
                job.committed(done)
    if not job.stop.is_set():
        _together("all have committed")
    job.stored.mark(job.chunks)  # those of the others, too


def _together(what: str) -> None:
    """Wait until all processes are here.

    Raises:
        EngineError: one of them is gone.
    """
    from jax.experimental import multihost_utils

    try:
        multihost_utils.sync_global_devices(what)
    except (RuntimeError, ValueError) as error:
        raise EngineError(_peers[0].sentence() if _peers else f"engine distributed: {one_line(error)}") from None


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
