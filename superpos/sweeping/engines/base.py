"""What an engine is, and the job that it is given."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from superpos.sweeping.progress import Progress
from superpos.sweeping.store.resume import Committed, StoredSweep
from superpos.sweeping.store.run_log import RunLog

CHECKPOINT_EVERY = 1_000  # segments


@dataclass
class Job:
    """What an engine is given: a store, the chunks it shall commit, and how to talk about it."""

    stored: StoredSweep
    chunks: list[int]
    device_options: dict[str, Any]  # of `sweep`: blocks_per_device, memory_budget, devices
    checkpoint_every: int
    run_log: RunLog
    bar: Progress
    stop: threading.Event = field(
        default_factory=threading.Event
    )  # set when the engine shall end at the next safe point
    kind: str = ""  # of the task

    @property
    def path(self) -> Path:
        """Where the store is."""
        return self.stored.path

    def log_chunk(self, committed: Committed) -> None:
        """Note a chunk that is on disk."""
        self.run_log.committed(committed)


class Engine(ABC):
    """Commits the chunks of a job. Derive from this, preferably as a frozen dataclass; only `train` has no default."""

    # Whether it shares out the chunks and chooses the devices itself, so `worker` and `devices` cannot be given.
    chooses_devices: ClassVar[bool] = False
    # Whether several processes call `sweep` together: each calls `train`, also without chunks of its own.
    is_collective: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """How messages call it: its class in lower case."""
        return type(self).__name__.lower()

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed. By default all are."""
        return

    def connect(self) -> None:
        """Whatever must happen before JAX is asked for its devices. By default nothing."""
        return

    def open_store(self, begin: Callable[..., StoredSweep], target: Path) -> StoredSweep:
        """The store at `target`, created or gone on with. By default `begin()`, which this process does alone.

        `begin(resume="must", overwrite=False)` joins one that another process has created.
        """
        return begin()

    def process_index(self) -> int | None:
        """The number of this process, where several train together; None by default."""
        return None

    @abstractmethod
    def train(self, job: Job) -> None:
        """Train `job.chunks`, and hand every block to `job.stored.add`, which commits a chunk with its last block.

        It ends early, without an error, once `job.stop` is set.
        """

    def leave(self, error: BaseException) -> None:
        """The sweep ends with an error: tell whoever waits for this process. By default nobody does."""
        return
