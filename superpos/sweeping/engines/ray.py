"""Train on a Ray cluster: bundles of chunks are tasks, which Ray places and scales.

What Ray would try for minutes, or for ever, ends here within seconds: a cluster that is not there or no longer there, and a
worker that dies again and again on the same chunks.
"""

import logging
import math
import os
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from superpos import check
from superpos.errors import ConfigError, EngineError, StoreError, one_line
from superpos.extras import install_command
from superpos.sweeping.attributes import registered_by
from superpos.sweeping.engines.addresses import reach, speaks_grpc
from superpos.sweeping.engines.base import Engine, Job
from superpos.sweeping.engines.cluster import KEPT, Cluster, errors_are_not_printed, within
from superpos.tasks.registry import task_class

log = logging.getLogger("superpos")

# Tasks per CPU of the cluster, unless chosen: enough to even out, few enough to start programs seldom.
TASKS_PER_CPU = 4
# Seconds to wait for a cluster that was named, and for Ray to end what it has begun where the cluster is lost.
FIND_SECONDS, END_SECONDS = 5, 3
# Seconds for which a file that another machine has written may be unseen here.
SEEN_SECONDS = 5.0
# Workers that may die in a row on the same chunks, none committed, before it is given up; fewer, if it takes so many seconds.
DEATHS, DEATHS_SECONDS = 3, 12.0


@dataclass(frozen=True)
class Ray(Engine):
    """Ray's workers, which write to the store themselves: its path must lead there on every machine.

    Attributes:
        address: of a running cluster, as HOST:PORT, ray://HOST:PORT or "auto"; a local one is started, and ended, without.
        cpus_per_task: CPU cores that a task takes.
        gpus_per_task: GPUs that a task takes.
        chunks_per_task: chunks that a task trains; a few tasks for every core of the cluster if None.
    """

    address: str | None = None
    cpus_per_task: float = 1
    gpus_per_task: float = 0
    chunks_per_task: int | None = None

    chooses_devices: ClassVar[bool] = True

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.in_range("cpus_per_task", self.cpus_per_task, above=0)
        check.in_range("gpus_per_task", self.gpus_per_task, at_least=0)
        if self.chunks_per_task is not None:
            check.integer("chunks_per_task", self.chunks_per_task, at_least=1)

    def train(self, job: Job) -> None:
        """Commit the chunks of the job by Ray's workers.

        Raises:
            ConfigError: Ray is not installed, or no machine of the cluster is large enough.
            EngineError: the cluster cannot be reached any longer, or workers die again and again.
            StoreError: a worker could not write.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Seconds for which a control store that is none of Ray's is asked again.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "5")
        try:
            import ray
            from ray.exceptions import RayError
        except ModuleNotFoundError:
            raise ConfigError(f"engine ray needs Ray: {install_command('ray')}.") from None
        modules = modules_of(job)
        starts_cluster = not ray.is_initialized()
        cluster, n_workers = self._connect(ray)
        self._check_sizes(ray, cluster, starts_cluster)
        per_task = self.chunks_per_task or math.ceil(len(job.chunks) / (TASKS_PER_CPU * n_workers))
        remote = ray.remote(num_cpus=self.cpus_per_task, num_gpus=self.gpus_per_task, max_retries=0)(_task)
        tasks = _Tasks(ray, remote, job, modules, max(1, int(self.cpus_per_task)))
        try:
            with errors_are_not_printed():
                for k in range(0, len(job.chunks), per_task):
                    tasks.submit(job.chunks[k : k + per_task], [])
                while tasks.chunks_of and not job.stop.is_set():
                    for task in ray.wait(list(tasks.chunks_of), timeout=0.5)[0]:
                        tasks.finish(task)
                    cluster.check()
        except RayError as error:
            raise EngineError(f"engine ray: the cluster fails: {one_line(error)[:300]}; {KEPT}.") from None
        finally:
            with errors_are_not_printed(ending=True):
                within(END_SECONDS, lambda: [ray.cancel(task) for task in tasks.chunks_of])
                if starts_cluster:
                    within(END_SECONDS, ray.shutdown) if cluster.lost else ray.shutdown()

    def _connect(self, ray: Any) -> tuple[Cluster, int]:
        """The cluster, and how many tasks it runs at once.

        Raises:
            EngineError: nobody answers at its address, or somebody else.
        """
        from ray.exceptions import RayError

        entrance = _entrance(self.address)
        if entrance is not None:
            reach(entrance, FIND_SECONDS, "engine ray: address")
            if not speaks_grpc(entrance, FIND_SECONDS):
                raise EngineError(
                    f"engine ray: address: who answers at {entrance} is no Ray cluster; give HOST:PORT of its head (port "
                    "6379, unless it was chosen), or auto."
                )
        try:
            if not ray.is_initialized():
                options: dict[str, Any] = {"address": "local", "include_dashboard": False}
                if self.address:
                    options = {"address": self.address}
                with warnings.catch_warnings():  # JAX warns of every fork; what Ray starts are programs: no harm
                    warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
                    ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
            n_workers = max(1, int(ray.cluster_resources().get("CPU", 1) // self.cpus_per_task))
            return Cluster(ray, entrance if str(self.address).startswith("ray://") else None), n_workers
        except (RayError, ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise EngineError(
                f"engine ray: the cluster at {self.address or 'this machine'} does not answer: {one_line(error)}"
            ) from None

    def _check_sizes(self, ray: Any, cluster: Cluster, starts_cluster: bool) -> None:
        """Refuse tasks that no machine is large enough for, or warn, for Ray waits for one without a word."""
        for field, needed, available in (
            ("cpus_per_task", self.cpus_per_task, cluster.most("CPU")),
            ("gpus_per_task", self.gpus_per_task, cluster.most("GPU")),
        ):
            if needed > available:
                wrong = f"{field} is {needed:g}, and no machine of the cluster has more than {available:g}"
                if not self.address:
                    if starts_cluster:
                        ray.shutdown()
                    raise ConfigError(f"{wrong}.")
                log.warning("%s: this waits until there is one.", wrong)


class _Tasks:
    """The tasks that run: which chunks each trains, and when workers have died on them."""

    def __init__(self, ray: Any, remote: Any, job: Job, modules: list[str], n_concurrent: int):
        self._ray, self._remote, self._job, self._modules, self._n_concurrent = ray, remote, job, modules, n_concurrent
        self._options = {k: v for k, v in job.device_options.items() if k != "devices"}
        self.chunks_of: dict[Any, tuple[list[int], list[float]]] = {}

    def submit(self, chunks: list[int], deaths: list[float]) -> None:
        """Let a worker train some chunks."""
        path, sweep = str(self._job.path), self._job.stored.digest
        task = self._remote.remote(path, sweep, self._modules, chunks, self._options, self._n_concurrent)
        self.chunks_of[task] = (chunks, deaths)

    def pending(self, chunks: list[int]) -> list[int]:
        """Note which of some chunks are committed; the others."""
        stored = self._job.stored
        stored.mark(chunks)
        pending = sorted(set(chunks) & set(stored.pending))
        self._job.bar.advance(stored.layout.n_cells_in(sorted(set(chunks) - set(pending))))
        return pending

    def finish(self, task: Any) -> None:
        """Take what became of a task; what a worker that died has not committed is submitted again.

        Raises:
            EngineError: workers die again and again on the same chunks.
            ConfigError, StoreError: what a worker raised.
        """
        from ray.exceptions import RayError, RayTaskError

        chunks, deaths = self.chunks_of.pop(task)
        try:
            self._ray.get(task)
            end = time.monotonic() + SEEN_SECONDS
            while (pending := self.pending(chunks)) and time.monotonic() < end:
                chunks = pending
                time.sleep(0.2)
            if pending:
                self._job.stored.check()
                raise StoreError(
                    f"{self._job.path} lacks what Ray's workers have written: the path must lead to one folder on all "
                    "machines."
                )
        except RayTaskError as error:
            if isinstance(error.cause, ConfigError | StoreError):
                raise error.cause from None
            raise EngineError(f"engine ray: a task failed: {_last_line(error)}") from None
        except RayError as error:  # its process is gone, or its machine
            pending, why = self.pending(chunks), one_line(error)[:300].removesuffix(".")
            deaths = [*(deaths if pending == chunks else []), time.monotonic()]
            if len(deaths) >= DEATHS or deaths[-1] > deaths[0] + DEATHS_SECONDS:
                raise EngineError(
                    f"engine ray: {len(deaths)} workers in a row died before they committed anything ({why}); {KEPT}."
                ) from None
            if pending:
                log.warning("engine ray: a worker died, and what it trained is tried again (%s)", why)
                self.submit(pending, deaths)


def _entrance(address: Any) -> str | None:
    """HOST:PORT of a cluster that is named, also where Ray finds the name by itself; None if there is none."""
    if address == "auto":
        with suppress(Exception):  # Ray's own look-up, which is private; it says by itself that there is none
            from ray._private.services import get_ray_address_from_environment

            address = get_ray_address_from_environment("auto", None)
    return None if address in (None, "", "auto", "local") else str(address).removeprefix("ray://")


def _last_line(error: Exception) -> str:
    """The end of a remote traceback, which says what went wrong."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]


def module_of(kind: str) -> str:
    """The module that workers must import before they can make the sweep's tasks again.

    Raises:
        ConfigError: the class of the tasks is defined in a script or notebook, which no other process can import.
    """
    if (module := task_class(kind).__module__) == "__main__":
        raise ConfigError(
            f"engine ray: task {kind!r} is defined in a script or notebook, where Ray's workers cannot find it; move its "
            "class to a module of its own and import it."
        )
    return module


def modules_of(job: Job) -> list[str]:
    """All modules that workers must import: of the task, and of what is registered and named by a field of any family.

    Raises:
        ConfigError: one of them is a script or notebook, which no other process can import.
    """
    nodes = registered_by(job.stored.layout)
    named = {name: code for node in nodes for name, code in node.named_code().items()}
    modules = {module_of(job.kind)}
    for name, code in named.items():
        if code.__module__ == "__main__":
            raise ConfigError(
                f"engine ray: {name} is defined in a script or notebook, where Ray's workers cannot find it; move it to a "
                "module of its own and import it."
            )
        modules.add(code.__module__)
    return sorted(modules)


def _task(
    path: str, sweep: str, modules: list[str], chunks: list[int], options: dict[str, Any], n_concurrent: int
) -> None:
    """What one worker does: make the sweep again from its store, and commit some chunks."""
    from superpos.sweeping.engines.worker import train_part

    for module in modules:
        import_module(module)
    train_part(Path(path), sweep, chunks, options, n_concurrent, name=f"ray-{chunks[0]}")
