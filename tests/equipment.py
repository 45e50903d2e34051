"""Strictness for every test: four simulated devices to choose from, no silent rank promotion, shapes checked at run time."""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jaxtyping
from jaxtyping import install_import_hook

if "superpos" in sys.modules:
    raise RuntimeError("superpos was imported before its types could be checked")
PACKAGE = Path(__file__).parents[1] / "superpos"
# Where arrays are annotated; elsewhere the checks find nothing that pyright does not, and take a third of the tests' time.
WITH_SHAPES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if "\nfrom jaxtyping import" in path.read_text("utf-8")
]
install_import_hook(WITH_SHAPES, "strict.typechecked").__enter__()  # for the whole session

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from jax._src import compiler
from mlir_contexts import few_contexts

jax.config.update("jax_numpy_rank_promotion", "raise")

# The power never fails here, so nothing waits for a disk: a fifth of the time of stores' tests. A descriptor must still be one;
# the processes that tests start, and kill, do wait.
os.fsync = os.fstat

# Sweeps take one device unless a test names several: on two cores, four simulated ones would mostly train padding.
jax.local_devices = lambda *_, **__: jax.devices()[:1]

MAX_MAPS = 36_000
last_module: list[Any] = [None]  # of which a test has run
AS_USERS, TRAINED, HARDLY = "as users", "trained", "hardly"
level = [AS_USERS]  # how programs are compiled now


def _forget_compiled_programs():
    from superpos.sweeping import mesh

    mesh.programs.cache_clear()
    jax.clear_caches()


@cache
def _where_known(name, value):
    """An option of XLA's as a list of one; an empty one where it has no such option."""
    before, level[0] = level[0], AS_USERS  # while it is asked
    try:
        jax.jit(lambda x: x + 1).lower(0).compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError:
        return []
    finally:
        level[0] = before
    return [(name, value)]


def _quick_options():
    """What turns XLA's fusion emitters off."""
    return _where_known("xla_cpu_use_fusion_emitters", False)


def _quickly(get_compile_options):
    """XLA's options for programs that need not be fast: its fusion emitters take most of the time of compiling."""

    def options(*arguments, **named):
        chosen = get_compile_options(*arguments, **named)
        if level[0] != AS_USERS:
            chosen.env_option_overrides = [*chosen.env_option_overrides, *_quick_options()]
        return chosen

    return options


compiler.get_compile_options = _quickly(compiler.get_compile_options)
few_contexts()


def _compile(new_level):
    """Let XLA optimise what it compiles as it does for users, without its fusion emitters, or hardly at all.

    Programs of another level are forgotten, so none of them is taken for one of this.
    """
    if level[0] != new_level:
        _forget_compiled_programs()
        jax.config.update("jax_disable_most_optimizations", new_level == HARDLY)
        level[0] = new_level


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Before any fixture: laws about bits are `optimized`, long trainings `trained`; all other tests mostly compile.

    The default run leaves the optimiser out of these, too: it alone makes their programs twice, at five times the time.
    """
    marks = {AS_USERS: "optimized", TRAINED: "trained"}
    asked = (a_level for a_level, mark in marks.items() if item.get_closest_marker(mark))
    is_whole_run = "not slow" not in item.config.getoption("markexpr")
    _compile(next(asked, HARDLY) if is_whole_run else HARDLY)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(autouse=True)
def _few_memory_maps(request):
    """Compiled programs hold memory maps, of which Linux gives a process 65,530; the whole suite would need more.

    Programs that several tests need are kept below that. The default run needs 33,000 and keeps them all. A slow test, such
    as a figure, needs thousands; so does a file of others. No one of them takes more than the rest.
    """
    yield
    if request.node.get_closest_marker("slow") or request.module is not last_module[0]:
        last_module[0] = request.module
        maps = Path("/proc/self/maps")
        if not maps.exists() or maps.read_bytes().count(b"\n") > MAX_MAPS:
            _forget_compiled_programs()


@pytest.fixture(scope="module")
def running():
    """A browser, for the tests of pages; they skip where there is none."""
    from browser import browser

    with browser() as started:
        yield started


@pytest.fixture
def opened(running, page_path):
    """The page of a module at 1,440 pixels; afterwards it must have been quiet."""
    from browser import Opened

    page = Opened(running, page_path, viewport={"width": 1_440, "height": 900})
    yield page
    assert page.is_quiet(), (page.complaints, page.requests)
    page.close()


@pytest.fixture
def rng():
    return np.random.default_rng(20_221_114)


@pytest.fixture(scope="session")
def one_device():
    return jax.devices()[:1]


@pytest.fixture(scope="session")
def quick_result():
    """A small 5→2 sweep that several tests look at, the same whichever of them comes first."""
    import superpos as sp

    before = level[0]
    _compile(TRAINED)
    task = sp.tasks.Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5))
    grid = sp.Grid(feature_probability=[1.0, 0.3, 0.05], seed=range(4))
    config = sp.TrainConfig(steps=1_500, batch_size=512, snapshots=(0, 100, 1_500), evaluation_samples=16_384)
    result = sp.sweep(task, config, grid, block_size=4)
    _compile(before)
    return result


@pytest.fixture(scope="session")
def quick_flags():
    """Variables by which another process compiles faster, for one device, and still runs long trainings fast."""
    options = [*_quick_options(), *_where_known("xla_cpu_parallel_codegen_split_count", 1)]
    options += [("xla_backend_optimization_level", 1), ("xla_llvm_disable_expensive_passes", True)]
    return {"XLA_FLAGS": " ".join(f"--{name}={str(value).lower()}" for name, value in options)}


@pytest.fixture(scope="session")
def quick_environment(quick_flags):
    """Variables by which another process compiles as these tests do: for one device, with hardly any optimisation."""
    return quick_flags | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@pytest.fixture
def unchecked():
    """Run without the type checker, as users do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def eager(unchecked):
    """Operation by operation and in doubles, for comparison with a twin; draws are one operation each."""
    with jax.disable_jit(), jax.enable_x64(True), jax.default_prng_impl("unsafe_rbg"):
        yield


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def no_programs():
    """Nothing was compiled before, for tests that count what a first sweep compiles."""
    _forget_compiled_programs()


compiled_on_import: list[str] = []


def _note_compilation(event: str, duration: float, **extra: object) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        compiled_on_import.append(str(extra.get("fun_name", "?")))


jax.monitoring.register_event_duration_secs_listener(_note_compilation)


def pytest_collection_finish(session):
    """Importing tests must compile nothing: all workers would at once, and one would read what another is still writing."""
    jax.monitoring.unregister_event_duration_listener(_note_compilation)
    if compiled_on_import:
        raise pytest.UsageError(f"Importing the tests compiled {', '.join(sorted(set(compiled_on_import)))}.")


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
