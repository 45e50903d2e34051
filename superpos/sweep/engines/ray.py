"""Train on a Ray cluster: bundles of chunks are tasks, which Ray places and scales.

What Ray would try for minutes, or for ever, ends here within seconds: a cluster that is not there or no longer there, and a
worker that dies again and again on the same chunks.
"""

import logging
import os
import time
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from superpos import check
from superpos.errors import ConfigError, EngineError, StoreError, one_line
from superpos.sweep.engines.addresses import reach, speaks_grpc
from superpos.sweep.engines.cluster import KEPT, Cluster, errors_are_not_printed, within
from superpos.sweep.engines.job import Job
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


def train(job: Job) -> None:
    """Commit the chunks of the job by Ray's workers. They write to the store themselves: its path must lead there.

    Settings: `address` of a running cluster (a local one is started, and ended, without it), `cpus_per_task` (1),
    `gpus_per_task` (0), `chunks_per_task`.

    Raises:
        ConfigError: Ray is not installed, or a setting is not allowed.
        EngineError: the cluster cannot be reached any longer, or workers die again and again.
        StoreError: a worker could not write.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault(
        "RAY_NUM_REDIS_GET_RETRIES", "5"
    )  # seconds for which one that is none of Ray's is asked again
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ModuleNotFoundError:
        raise ConfigError("engine ray needs Ray: pip install 'superpos[ray]'.") from None
    settings = dict(job.settings)
    address, cpus, gpus = settings.get("address"), settings.get("cpus_per_task", 1), settings.get("gpus_per_task", 0)
    check.in_range("cpus_per_task", cpus, above=0)
    check.in_range("gpus_per_task", gpus, at_least=0)
    if "chunks_per_task" in settings:
        check.integer("chunks_per_task", settings["chunks_per_task"], at_least=1)
    module = module_of(job.kind)
    door = _door(address)
    if door is not None:
        reach(door, FIND_SECONDS, "engine ray: address")
        if not speaks_grpc(door, FIND_SECONDS):
            raise EngineError(
                f"engine ray: address: who answers at {door} is no Ray cluster; give HOST:PORT of its head (port 6379, "
                "unless it was chosen), or auto."
            )
    ours = not ray.is_initialized()
    try:
        if ours:
            where = {"address": address} if address else {"address": "local", "include_dashboard": False}
            with warnings.catch_warnings():  # JAX warns of every fork; what Ray starts are programs, which is no harm
                warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
                ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        n_workers = max(1, int(ray.cluster_resources().get("CPU", 1) // cpus))
        cluster = Cluster(ray, door if str(address).startswith("ray://") else None)
    except (RayError, ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"engine ray: the cluster at {address or 'this machine'} does not answer: {one_line(error)}"
        ) from None
    for field, need, most in (
        ("cpus_per_task", cpus, cluster.most("CPU")),
        ("gpus_per_task", gpus, cluster.most("GPU")),
    ):
        if need > most:  # Ray waits for one, without a word
            wrong = f"{field} is {need:g}, and no machine of the cluster has more than {most:g}"
            if not address:
                if ours:
                    ray.shutdown()
                raise ConfigError(f"{wrong}.")
            log.warning("%s: this waits until there is one.", wrong)
    per_task = settings.get("chunks_per_task", -(-len(job.chunks) // (TASKS_PER_CPU * n_workers)))
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_task)
    options = {k: v for k, v in job.options.items() if k != "devices"}
    waiting: dict[Any, tuple[list[int], list[float]]] = {}  # the chunks of a task, and when workers have died on them

    def submit(some: list[int], deaths: list[float]) -> None:
        task = remote.remote(str(job.path), job.stored.digest, module, some, options, max(1, int(cpus)))
        waiting[task] = (some, deaths)

    def committed(some: list[int]) -> list[int]:
        """Note which of some chunks are committed; the others."""
        job.stored.mark(some)
        left = sorted(set(some) & set(job.stored.pending))
        job.bar.advance(job.stored.layout.n_cells_in(sorted(set(some) - set(left))))
        return left

    def see(task: Any) -> None:
        """Take what became of a task."""
        some, deaths = waiting.pop(task)
        try:
            ray.get(task)
            end = time.monotonic() + SEEN_SECONDS
            while (left := committed(some)) and time.monotonic() < end:
                some = left
                time.sleep(0.2)
            if left:
                job.stored.check()
                raise StoreError(
                    f"{job.path} lacks what Ray's workers have written: the path must lead to one folder on all machines."
                )
        except RayTaskError as error:
            if isinstance(error.cause, ConfigError | StoreError):
                raise error.cause from None
            raise EngineError(f"engine ray: a task failed: {_last_line(error)}") from None
        except RayError as error:  # its process is gone, or its machine
            left, why = committed(some), one_line(error)[:300].removesuffix(".")
            deaths = [*(deaths if left == some else []), time.monotonic()]
            if len(deaths) >= DEATHS or deaths[-1] > deaths[0] + DEATHS_SECONDS:
                raise EngineError(
                    f"engine ray: {len(deaths)} workers in a row died before they committed anything ({why}); {KEPT}."
                ) from None
            if left:
                log.warning("engine ray: a worker died, and what it trained is tried again (%s)", why)
                submit(left, deaths)

    try:
        with errors_are_not_printed():
            for k in range(0, len(job.chunks), per_task):
                submit(job.chunks[k : k + per_task], [])
            while waiting and not job.stop.is_set():
                for task in ray.wait(list(waiting), timeout=0.5)[0]:
                    see(task)
                cluster.check()
    except RayError as error:
        raise EngineError(f"engine ray: the cluster fails: {one_line(error)[:300]}; {KEPT}.") from None
    finally:
        with errors_are_not_printed(ending=True):
            within(END_SECONDS, lambda: [ray.cancel(task) for task in waiting])
            if ours:
                within(END_SECONDS, ray.shutdown) if cluster.lost else ray.shutdown()


def _door(address: Any) -> str | None:
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


def _task(path: str, sweep: str, module: str, chunks: list[int], options: dict[str, Any], lanes: int) -> None:
    """What one worker does: make the sweep again from its store, and commit some chunks."""
    from superpos.sweep.engines.part import train_part

    import_module(module)
    train_part(Path(path), sweep, chunks, options, lanes, name=f"ray-{chunks[0]}")
