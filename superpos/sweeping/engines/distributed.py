"""Train in the processes of one JAX program (TPU pods, Slurm, Open MPI, or told by hand), each its own chunks.

They meet before JAX starts (`meeting`). Then all of them run the same programs over one mesh, in step, and no program needs
to hear of another. Each process writes the blocks its own devices trained. When one dies, the others end with a sentence
within seconds (`peers`): run the same command again.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

import jax

from superpos import check
from superpos.errors import ConfigError, EngineError, StoreError, one_line
from superpos.process import age
from superpos.sweeping.compiled import CompiledSweep, Launch, compile_sweep
from superpos.sweeping.engines.addresses import check_address
from superpos.sweeping.engines.base import Engine, Job
from superpos.sweeping.engines.meeting import meet
from superpos.sweeping.engines.peers import Peers
from superpos.sweeping.launches import train_launch
from superpos.sweeping.store.resume import StoredSweep

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


@dataclass(frozen=True)
class Distributed(Engine):
    """The processes of one JAX program. What is left out is found by JAX where it knows the cluster.

    Attributes:
        coordinator_address: HOST:PORT of process 0.
        num_processes: how many there are.
        process_id: the number of this one, from 0.
        wait_seconds: how long they wait for each other in the beginning; if None until 15 seconds after they started, or
            120 in a cluster that JAX knows. Of a long time, a line every ten seconds says for whom.
    """

    coordinator_address: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    wait_seconds: float | None = None

    chooses_devices: ClassVar[bool] = True
    is_collective: ClassVar[bool] = True

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        if self.wait_seconds is not None:
            check.number("wait_seconds", self.wait_seconds, above=0, at_most=86_400)
        if self.coordinator_address is not None:
            check_address(self.coordinator_address, "coordinator_address")
        for name, least in (("num_processes", 1), ("process_id", 0)):
            if getattr(self, name) is not None:
                check.integer(name, getattr(self, name), at_least=least, at_most=10**6)

    def connect(self) -> None:
        """Meet the other processes, and let JAX connect them.

        Raises:
            ConfigError: a setting is missing or not allowed, or contradicts another process.
            EngineError: some processes do not come, or JAX cannot connect them.
        """
        if jax.distributed.is_initialized():
            return
        self.check()
        seconds = self._wait_seconds()
        settings = _cluster_settings(self._given(), seconds)
        for name in ("coordinator_address", "num_processes", "process_id"):
            if settings.get(name) is None:
                raise ConfigError(
                    f"engine distributed: {name} must be given, for JAX knows no cluster here that tells it."
                )
        address, n_processes, process = (
            settings[name] for name in ("coordinator_address", "num_processes", "process_id")
        )
        if not 0 <= process < n_processes:
            raise ConfigError(f"process_id must be below num_processes, which is {n_processes}, got {process}.")
        peers = Peers(process, meet(address, process, n_processes, seconds))
        peers.begin()
        _peers.append(peers)
        try:
            jax.distributed.initialize(
                **settings,
                initialization_timeout=CONNECT_SECONDS,
                heartbeat_timeout_seconds=SILENT_SECONDS,
                shutdown_timeout_seconds=END_SECONDS,
            )
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            wrong = EngineError(f"engine distributed: JAX does not connect the processes: {one_line(error)}")
            self.leave(wrong)
            raise wrong from None

    def _given(self) -> dict[str, Any]:
        """The settings that are not left to JAX."""
        settings: dict[str, Any] = {}
        if self.coordinator_address is not None:
            settings["coordinator_address"] = self.coordinator_address
        for name in ("num_processes", "process_id"):
            if getattr(self, name) is not None:
                settings[name] = int(getattr(self, name))
        return settings

    def _wait_seconds(self) -> float:
        if self.wait_seconds is not None:
            return self.wait_seconds
        by_hand = self.num_processes is not None and self.process_id is not None
        return max(MIN_SECONDS, START_SECONDS - age()) if by_hand else CLUSTER_SECONDS

    def leave(self, error: BaseException) -> None:
        """Tell the other processes that this one cannot go on."""
        for peers in _peers:
            peers.leave(error)

    def process_index(self) -> int:
        """The number of this process."""
        return jax.process_index()

    def open_store(self, begin: Callable[..., StoredSweep], target: Path) -> StoredSweep:
        """Process 0 begins the store; the others wait, and join it.

        Raises:
            StoreError: its path leads elsewhere in this process.
        """
        stored = begin() if jax.process_index() == 0 else None
        _together("the store is there")
        end = time.monotonic() + SEEN_SECONDS
        while not target.exists() and time.monotonic() < end:
            time.sleep(0.1)
        if stored is None and not target.exists():
            raise StoreError(
                f"{target} is not there in process {jax.process_index()}, though process 0 has begun it: the path must lead "
                "to one folder in all processes."
            )
        return stored or begin(resume="must", overwrite=False)  # one that went away meanwhile is not begun again

    def train(self, job: Job) -> None:
        """Commit this process's share of the chunks, in step with the others."""
        layout = job.stored.layout
        _together("all have read what is committed")  # before anybody commits more
        options = {**job.device_options, "devices": jax.devices()}
        compiled = compile_sweep(layout, layout.n_cells_in(job.chunks), **options)
        for launch in in_step(compiled, job.chunks, jax.process_index(), jax.process_count()):
            if job.stop.is_set():
                break  # the programs wait for nobody, so the others are not held up
            for number, block, result in train_launch(compiled, launch, job.bar.advance, job.stop.is_set):
                if committed := job.stored.add(launch.family, number, block, result):
                    job.log_chunk(committed)
        if not job.stop.is_set():
            _together("all have committed")
        job.stored.mark(job.chunks)  # those of the others, too


def _cluster_settings(given: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What `jax.distributed.initialize` would find: a cluster's settings, where some are not given."""
    names = ("coordinator_address", "num_processes", "process_id", "local_device_ids")
    settings = {"coordinator_address": os.environ.get("JAX_COORDINATOR_ADDRESS"), **given}
    try:
        from jax._src.clusters import ClusterEnv

        address, n_processes, process, devices = (settings.get(name) for name in names)
        values = ClusterEnv.auto_detect_unset_distributed_params(
            address, n_processes, process, devices, None, int(seconds) + 1
        )
    except Exception as error:  # of many kinds: variables that are missing or no numbers, services that do not answer
        if all(settings.get(name) is not None for name in names[:3]):
            return settings
        why = one_line(error) or type(error).__name__
        raise EngineError(
            f"engine distributed: JAX cannot ask the cluster for its processes ({why}); give coordinator_address, "
            "num_processes and process_id."
        ) from None
    return dict(zip(names, values, strict=True))


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


def in_step(compiled: CompiledSweep, chunks: list[int], process: int, n_processes: int) -> Iterator[Launch]:
    """The launches of one process: as many of every family as the process with the most of them.

    Where it has no block of its own left, it trains one again and drops it, for all processes run the same programs.
    """
    layout, per_launch = compiled.layout, compiled.blocks_per_launch
    owners = {chunk: k % n_processes for k, chunk in enumerate(chunks)}
    for family in range(len(layout.families)):
        own_blocks: list[tuple[int, Any]] = []
        counts = [0] * n_processes
        spare = next(layout.blocks(family))
        for number, block in layout.blocks(family):
            owner = owners.get(number // layout.blocks_per_chunk)
            if owner is not None:
                counts[owner] += 1
            if owner == process:
                own_blocks.append((number, block))
        n_launches = math.ceil(max(counts) / per_launch)
        batches = [own_blocks[k : k + per_launch] for k in range(0, len(own_blocks), per_launch)]
        for batch, _ in zip_longest(batches, range(n_launches), fillvalue=()):
            padding = (batch[-1] if batch else spare,) * (per_launch - len(batch))
            yield Launch(family, (*batch, *padding), len(batch))
