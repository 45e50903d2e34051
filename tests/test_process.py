"""Places where JAX or a cache cannot work: one sentence where it would hang or abort, and no cache where there is no place."""

import logging
import subprocess
import sys
import warnings

import pytest
import small

import superpos as sp
from superpos import cache, process

FORKS = """
import os, sys, warnings
warnings.simplefilter("ignore")  # JAX warns of forks
import numpy as np
import superpos as sp

W = np.array([[1.0, -1.0, 0.5], [0.0, 1.0, 0.5]])
task, config = sp.tasks.Toy(n_features=2, n_hidden=1), sp.TrainConfig(steps=2, batch_size=2, evaluation_samples=2)
ways = {
    "geometry": lambda: sp.geometry(W),
    "loss": lambda: sp.expected_loss(W, np.zeros(3), feature_probability=0.1),
    "train": lambda: sp.train(task, config),
    "sweep": lambda: sp.sweep(task, config, sp.Grid(seed=[0]), progress=False),
}

def fork(name):
    if (child := os.fork()) == 0:
        try:
            ways[name]()
            print(name, "works", flush=True)
        except sp.EngineError as error:
            print(name, "EngineError", error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)

fork("geometry")
import jax
jax.numpy.ones(3)
for name in ways:
    fork(name)
"""


@pytest.mark.slow
def test_a_fork_of_a_process_that_used_jax_is_told_so_and_an_earlier_one_works():
    run = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=120)
    first, *others = run.stdout.splitlines()
    assert first == "geometry works", run.stderr
    assert [line.split()[:2] for line in others] == [[n, "EngineError"] for n in ("geometry", "loss", "train", "sweep")]
    assert all("forked from one that had used JAX" in line and "spawn" in line for line in others)


def test_too_small_an_address_space_is_refused_before_anything_is_imported():
    command = f"ulimit -v 1500000; exec {sys.executable} -c 'from superpos.cli import main; main()' "
    run = subprocess.run(["bash", "-c", command + "doctor"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and run.stdout == "" and run.stderr.count("\n") == 1
    assert run.stderr.startswith("superpos: the address space of this process is limited to 1.54 GB, and JAX needs ")
    run = subprocess.run(["bash", "-c", command + "--version"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0


def test_a_limit_on_the_address_space_limits_the_memory_of_sweeps(monkeypatch):
    from superpos.sweeping import budget

    assert process.address_space() is None or process.address_space_left() <= process.address_space()
    before = budget._memory()
    monkeypatch.setattr(process, "address_space", lambda: 10**15)
    assert budget._memory() == before
    taken = 10**15 - process.address_space_left()
    assert 10**8 < taken < 10**12
    monkeypatch.setattr(process, "address_space", lambda: taken + 2**20)
    assert budget._memory() < 2**28


@pytest.fixture
def no_place(monkeypatch):
    """No folder chosen so far, and none by the environment."""
    chosen = {}
    monkeypatch.setattr(cache, "cache_folder", lambda: None)
    monkeypatch.setattr("jax.config.update", lambda name, value: chosen.update({name: value}))
    for name in ("XDG_CACHE_HOME", "HOME", "SUPERPOS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return chosen


def test_without_a_home_there_is_no_cache(no_place, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def nobody(*_):
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    cache.use_compilation_cache()
    for home in ("", "relative", "/dev/null", "/proc/nowhere"):
        monkeypatch.setenv("HOME", home)
        monkeypatch.setenv("XDG_CACHE_HOME", "relative/too")
        cache.use_compilation_cache()
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    cache.use_compilation_cache()
    assert no_place == {} and list(tmp_path.iterdir()) == []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache.use_compilation_cache()
    assert no_place["jax_compilation_cache_dir"] == str(tmp_path / "superpos" / "jax")
    warnings.warn("Error writing persistent compilation cache entry for 'x': No space left", UserWarning, stacklevel=1)
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    no_place.clear()
    cache.use_compilation_cache()
    assert no_place == {}


def test_paths_with_a_tilde_are_refused_in_a_sentence_where_there_is_no_home(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda *_: {}[0])
    monkeypatch.setattr("pwd.getpwnam", lambda *_: {}[0])
    with pytest.raises(sp.ConfigError, match="output path cannot be used: "):
        small.go("~/r.zarr")
    with pytest.raises(sp.StoreError, match="path of a result cannot be used: "):
        sp.open("~/r.zarr")


@pytest.mark.slow
def test_a_store_of_the_other_precision_is_refused_and_a_result_says_its_own(tmp_path):
    import jax

    single = small.go(tmp_path / "r.zarr", worker="0/2")
    assert single.attrs["dtype"] == "float32" and "float64" not in repr(single)
    with jax.enable_x64(True):
        with pytest.raises(sp.ConfigError, match="its numbers are float32, here they are float64"):
            small.go(tmp_path / "r.zarr")
        double = small.go(None, grid=sp.Grid(seed=[0]))
    assert double.attrs["dtype"] == "float64" and ", in float64\n" in repr(double)


def test_matplotlib_says_nothing_of_its_temporary_cache(caplog):
    log = logging.getLogger("matplotlib")
    log.warning(
        "Matplotlib created a temporary cache directory at %s because there was an issue with %s", "/tmp/x", "it"
    )
    assert not caplog.records
    log.warning("Matplotlib is building the font cache; this may take a moment.")
    assert len(caplog.records) == 1
