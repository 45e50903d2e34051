"""Strictness for every test: four simulated devices to choose from, no silent rank promotion, shapes checked at run time."""

import os
import sys

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("COLUMNS", "160")

import jaxtyping
from jaxtyping import install_import_hook

if "superpos" in sys.modules:
    raise RuntimeError("superpos was imported before its types could be checked")
_hook = install_import_hook("superpos", "strict.typechecked")
_hook.__enter__()  # for the whole session

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

# Sweeps take one device unless a test names several: on two cores, four simulated ones would mostly train padding.
jax.local_devices = lambda *_, **__: jax.devices()[:1]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Compiled programs hold memory maps, of which Linux gives a process 65,530; the whole suite would need more."""
    from superpos.sweep import mesh

    yield
    mesh._compile.cache_clear()
    jax.clear_caches()


@pytest.fixture
def rng():
    return np.random.default_rng(20_221_114)


@pytest.fixture(scope="session")
def one_device():
    return jax.devices()[:1]


@pytest.fixture(scope="session")
def quick_result():
    """A small 5→2 sweep that several tests look at."""
    import superpos as sp

    task = sp.tasks.Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5))
    grid = sp.Grid(feature_probability=[1.0, 0.3, 0.05], seed=range(4))
    config = sp.TrainConfig(steps=1_500, batch_size=512, snapshots=(0, 100, 1_500), evaluation_samples=16_384)
    return sp.sweep(task, config, grid, block_size=4)


@pytest.fixture
def unchecked():
    """Run without the type checker, as users do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def compilations():
    """Counts compilations by function name while a test runs."""
    counts: dict[str, int] = {}
    active = [True]

    def listen(event: str, duration: float, **extra: object) -> None:
        if active[0] and event == "/jax/core/compile/backend_compile_duration":
            name = str(extra.get("fun_name", "?")).removeprefix("jit(").removesuffix(")")
            counts[name] = counts.get(name, 0) + 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield counts
    active[0] = False
