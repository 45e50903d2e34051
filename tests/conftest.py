"""The order of tests, what is left out of them, and where they run; what they run with is in `equipment.py`."""

import gc
import os
from pathlib import Path

import pytest

gc.disable()  # until all is collected: imports make millions of objects that stay

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("COLUMNS", "160")
# Programs compiled by the tests are kept between runs, also those of the processes that tests start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # thousands of small ones add up

LONGEST_FILES = (
    "demos", "plot", "readme", "site", "accelerators", "first_hour", "landscape", "store", "engines", "threads", "own_task",
    "arrays", "fused", "sweep", "train", "physics", "sae", "transformer_decomposition", "expected_loss", "phases", "explorer",
    "cli", "hierarchy", "geometry", "kernel", "llc", "explorer_transformers", "own_architecture", "store_identity", "starting",
    "transformer", "outputs", "manifold_scaling", "run_once", "parameter_decomposition", "network_decomposition", "sae_pareto",
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_deselected(items):
    """Count what the marks leave out; workers tell the process that prints."""
    for item in items:
        kind = "long" if item.get_closest_marker("long") else "slow" if item.get_closest_marker("slow") else "other"
        left_out[kind] += 1


def pytest_collection_finish(session):
    """Leave what was imported and collected out of every later search for garbage: it took an eighth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(left_out)


class _OfWorkers:
    """Hooks of xdist, if it runs: all workers collect, and so leave out, the same."""

    @staticmethod
    def pytest_testnodedown(node):
        left_out.update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_configure(config):
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_OfWorkers())


def pytest_sessionstart(session):
    """Load what tests run with, but not in a process that only hands them to workers: these wait for it."""
    plugins = session.config.pluginmanager
    if not plugins.hasplugin("dsession"):
        plugins.import_plugin("equipment")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """The last line says what was left out, and how to run it."""
    if hasattr(config, "workerinput") or not (left_out["slow"] or left_out["long"]):
        return
    commands = {"slow": "pytest -m 'not long' runs them, too", "long": "pytest -m long"}
    parts = [f"{left_out[kind]} {kind} tests ({commands[kind]})" for kind in ("slow", "long") if left_out[kind]]
    if left_out["slow"]:
        parts.append("XLA's optimiser (it runs with the slow ones)")
    print(f"Left out: {', '.join(parts)}.")


left_out = {"slow": 0, "long": 0, "other": 0}
LEVELS = ("optimized", "trained")  # marks of tests that are not compiled in the least time
NEED_A_PROGRAM = ("running",)  # fixtures that start a browser


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Longest files first, so that no core waits at the end for the other; in a file, what is compiled alike together."""
    for item in items:
        if set(NEED_A_PROGRAM) & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    first = {f"test_{name}.py": k for k, name in enumerate(LONGEST_FILES)}

    def place(item):
        level = next((k for k, mark in enumerate(LEVELS) if item.get_closest_marker(mark)), len(LEVELS))
        return first.get(item.path.name, len(first)), item.path, level

    items.sort(key=place)
