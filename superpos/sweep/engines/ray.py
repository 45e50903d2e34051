"""Train on a Ray cluster: bundles of chunks are tasks, which Ray places, retries and scales."""

import logging
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from superpos import check
from superpos.errors import ConfigError, EngineError, StoreError, one_line
from superpos.sweep.engines.job import Job
from superpos.sweep.engines.peers import reach
from superpos.tasks.registry import task_class

# Tasks per CPU of the cluster, unless chosen: enough to even out, few enough to start programs seldom.
TASKS_PER_CPU = 4

# How long to wait for a cluster that was named.
FIND_SECONDS = 5

# How often a task whose worker died is tried again.
RETRIES = 5


def train(job: Job) -> None:
    """Commit the chunks of the job by Ray's workers. They write to the store themselves: its path must lead there.

    Settings: `address` of a running cluster (a local one is started, and ended, without it), `cpus_per_task` (1),
    `gpus_per_task` (0), `chunks_per_task`.

    Raises:
        ConfigError: Ray is not installed, or a setting is not allowed.
        EngineError: the cluster cannot be reached, or a task failed again and again.
        StoreError: a worker could not write.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ModuleNotFoundError:
        raise ConfigError("engine ray needs Ray: pip install 'superpos[ray]'.") from None
    settings = dict(job.settings)
    address, cpus, gpus = settings.get("address"), settings.get("cpus_per_task", 1), settings.get("gpus_per_task", 0)
    check.in_range("cpus_per_task", cpus, above=0)
    check.in_range("gpus_per_task", gpus, at_least=0)
    if address and str(address) not in ("auto", "local"):
        reach(
            str(address).removeprefix("ray://"), FIND_SECONDS, "engine ray: address"
        )  # Ray itself would try for minutes
    module = module_of(job.kind)
    ours = not ray.is_initialized()
    try:
        if ours:
            where = {"address": address} if address else {"address": "local", "include_dashboard": False}
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        n_workers = max(1, int(ray.cluster_resources().get("CPU", 1) // cpus))
    except (RayError, ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"engine ray: the cluster at {address or 'this machine'} does not answer: {one_line(error)}"
        ) from None
    per_task = settings.get("chunks_per_task", -(-len(job.chunks) // (TASKS_PER_CPU * n_workers)))
    check.whole("chunks_per_task", per_task, at_least=1)
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_task)
    bundles = [job.chunks[k : k + per_task] for k in range(0, len(job.chunks), per_task)]
    options = {k: v for k, v in job.options.items() if k != "devices"}
    waiting: dict[Any, list[int]] = {}
    try:
        sweep = (str(job.path), job.stored.digest, module)
        waiting |= {remote.remote(*sweep, some, options, max(1, int(cpus))): some for some in bundles}
        while waiting and not job.stop.is_set():
            for task in ray.wait(list(waiting), timeout=0.5)[0]:
                try:
                    ray.get(task)
                except RayTaskError as error:
                    if isinstance(error.cause, ConfigError | StoreError):
                        raise error.cause from None
                    raise EngineError(f"engine ray: a task failed: {_last_line(error)}") from None
                some = waiting.pop(task)
                job.bar.advance(job.stored.layout.n_cells_in(some))
                job.stored.mark(some)
    except RayError as error:
        raise EngineError(f"engine ray: a task failed {RETRIES + 1} times: {one_line(error)[:300]}") from None
    finally:
        for task in waiting:
            ray.cancel(task)
        if ours:
            ray.shutdown()


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
