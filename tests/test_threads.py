"""Law 1: a model's bytes depend on the number of XLA's threads, which a result states, and not on the cores that run them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import threads

from superpos.tasks import REGISTRY

HERE = Path(__file__).parent


def digests(flags, cores, threads, *tasks):
    """What sweeps of all tasks, or of some, come to in a process that may use so many cores and has so many threads."""
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "PJRT_NPROC")} | flags
    environment |= {"NPROC": str(threads), "PYTHONPATH": str(HERE.parent)}
    # None runs what another has compiled: each keeps its own programs.
    compiled = Path(os.environ["JAX_COMPILATION_CACHE_DIR"]) / f"{cores} cores, {threads} threads"
    environment["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
    command = [sys.executable, str(HERE / "threads.py"), str(cores), *tasks]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=400).stdout)


def test_every_task_is_among_those_that_are_compared():
    assert set(threads.TASKS) == {kind for kind, cls in REGISTRY.items() if cls.__module__.startswith("superpos.")}


# What XLA cuts for threads: products of matrices, sums over a batch, a choice among latents, attention.
CUT = ("modular_addition", "toy", "sparse_autoencoder", "skip_trigrams")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot give a process fewer cores")
@pytest.mark.parametrize(
    "as_users_compile",
    [
        pytest.param(False, marks=pytest.mark.slow, id="some, quickly"),
        pytest.param(True, marks=pytest.mark.long, id="all, as users"),
    ],
)
def test_bytes_of_tasks_are_the_same_on_one_core_and_on_two(as_users_compile, quick_flags):
    """Work is cut for threads before machine code is made, so code of a lower level, in half the time, shows the law."""
    flags = {} if as_users_compile else quick_flags
    tasks = tuple(threads.TASKS) if as_users_compile else CUT
    one, two = (digests(flags, cores, 2, *tasks) for cores in (1, 2))
    assert set(one) == set(tasks) and one == two
    seven = digests(flags, 2, 7, "modular_addition")  # a size at which threads matter: this test can fail
    assert seven["modular_addition"] != two["modular_addition"]
