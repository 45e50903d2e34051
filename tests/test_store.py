"""Stores: what is on disk, that any reader opens it, and that the same sweep gives the same bytes."""

import dataclasses
import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import jax
import numpy as np
import pytest
import small
import xarray as xr
import zarr

import superpos as sp
from superpos.sweeping import layout
from superpos.sweeping.attributes import attributes
from superpos.sweeping.store import atomic_io, contents, resume, writer

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def chunked(monkeypatch):
    """A chunk per block, so that small sweeps have many."""
    monkeypatch.setattr(layout, "CELLS_PER_CHUNK", 2)


@pytest.fixture(scope="module")
def stored_once(tmp_path_factory):
    """The small sweep, stored without interruption, and its log."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CELLS_PER_CHUNK", 2)
        small.go(folder / "whole.zarr")
    return folder


@pytest.fixture
def whole(stored_once, tmp_path, chunked):
    """A copy of it, which a test may damage."""
    shutil.copytree(stored_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "whole.zarr"


def interrupted_after(n_chunks, path, monkeypatch, **options):
    """Train the small sweep until some chunks are committed; the next write fails."""

    real, done = writer.write_chunk, []

    def write(*arguments):
        if len(done) == n_chunks:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(*arguments)
        done.append(arguments[1])

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_chunk", write)
        with pytest.raises(sp.StoreError, match=r"could not be written: Input/output error"):
            small.go(path, **options)


def test_a_stored_sweep_is_the_sweep(whole):
    in_memory = small.go(None)
    xr.testing.assert_identical(sp.open(whole).dataset, in_memory.dataset)
    assert "missing" not in sp.open(whole).dataset


def test_nothing_in_a_store_differs_from_run_to_run(whole, tmp_path):
    small.go(tmp_path / "again.zarr")
    assert small.files(whole) == small.files(tmp_path / "again.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.log", "again.zarr", "whole.log", "whole.zarr"]


def test_any_reader_of_zarr_opens_a_store(whole):
    plain = xr.open_zarr(whole, consolidated=False)
    assert plain.W.encoding["chunks"][0] == 2  # one chunk, one block
    assert {"feature_probability", "activation", "seed", "grid_index"} <= set(plain.coords)
    real = plain.status.values == 1
    assert real.sum() == 12 and len(real) == 16  # three cells per seed and family: the second block is half padding
    assert np.isnan(plain.W.values[~real]).all() and np.isfinite(plain.W.values[real]).all()
    mine = sp.open(whole).dataset["loss"].values.ravel()
    assert np.array_equal(mine[plain.grid_index.values[real]], plain.loss.values[real])
    array = zarr.open_group(whole, mode="r")["W"]
    assert [type(c).__name__ for c in array.metadata.codecs] == ["BytesCodec", "Crc32cCodec"]
    assert np.isnan(array.metadata.fill_value)


def test_an_unfinished_sweep_opens_with_its_missing_cells_marked(tmp_path, chunked, monkeypatch):
    path = tmp_path / "r.zarr"
    interrupted_after(3, path, monkeypatch)
    result = sp.open(path)
    assert "UNFINISHED" in repr(result)
    missing = result.missing.values
    assert 0 < missing.sum() < 12
    assert np.isnan(result["W"].values[missing]).all() and np.isfinite(result["W"].values[~missing]).all()
    assert set(result.geometry()["shape"].values[missing]) == {"missing"}
    again = sp.open(result.save(tmp_path / "copy.zarr"))
    assert np.array_equal(again.missing, missing)


def test_resuming_trains_the_rest_and_ends_with_the_same_bytes(whole, tmp_path, monkeypatch):
    path = tmp_path / "r.zarr"
    interrupted_after(3, path, monkeypatch)
    before = {p: p.stat().st_mtime_ns for p in (path / "status").iterdir()}
    trained = []
    training = sys.modules["superpos.sweeping.launches"]
    real = training.train_launch
    monkeypatch.setattr(
        training, "train_launch", lambda sweep, launch, *rest: trained.append(launch) or real(sweep, launch, *rest)
    )
    result = small.go(path)
    assert small.files(path) == small.files(whole)
    assert sum(call.n_real for call in trained) == 5
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())
    small.go(path, resume="must")
    assert sum(call.n_real for call in trained) == 5  # nothing left to train
    xr.testing.assert_identical(result.dataset, sp.open(whole).dataset)


@pytest.mark.slow
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
def test_every_failing_write_is_one_sentence_and_can_be_resumed(every, whole, tmp_path, monkeypatch):
    """The disk is full at the k-th write: each one of the metadata, then every third; three divides no chunk's files."""
    real = os.write
    n_writes, count, tries = 1, [0], 0

    def counting(descriptor, data):
        count[0] += 1
        if count[0] == n_writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    path, good = tmp_path / "r.zarr", small.files(whole)
    n_files = sum(name.endswith(("/c.0", "/c.0.0", "/c.0.0.0", "/c.0.0.0.0")) for name in good)
    assert n_files > 5 and n_files % 3  # so each of them fails in one chunk or another
    while n_writes < 200:
        count[0], tries = 0, tries + 1
        with monkeypatch.context() as patch:
            patch.setattr(atomic_io.os, "write", counting)
            try:
                small.go(path)
                break
            except sp.StoreError as error:
                said = str(error)
        assert "No space left on device" in said and "bytes are free" in said and str(path) in said
        assert not [p for p in tmp_path.rglob("*") if p.name.endswith(atomic_io.TEMPORARY) or p.name.startswith(".")]
        n_writes += every if path.exists() else 1
        if path.exists():
            left = sp.open(path)
            assert np.isfinite(left["loss"].values[~left.missing.values]).all()
            if tries % 8 == 0:  # room again: it goes on
                small.go(path)
                assert small.files(path) == good
        shutil.rmtree(path, ignore_errors=True)
    assert n_writes > 60 and tries > 20 and small.files(path) == good


def test_a_store_that_cannot_be_created_leaves_nothing(tmp_path, monkeypatch):

    def failing(*arguments, **more):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("sync_tree", "sync"):
        with monkeypatch.context() as patch:
            patch.setattr(writer.atomic_io, name, failing)
            with pytest.raises(sp.StoreError, match="Read-only file system"):
                small.go(tmp_path / "r.zarr")
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
        shutil.rmtree(tmp_path / "r.zarr", ignore_errors=True)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"block_size": 3}, r"block_size is \[2\] there and \[3\] here"),
        ({"steps": 41}, "train.steps is 40 there and 41 here"),
        (
            {"grid": sp.Grid(feature_probability=[0.1, 0.3, 0.8], activation=["relu", "identity"], seed=range(2))},
            "feature_prob",
        ),
        ({"grid": sp.Grid(seed=range(2))}, "grid"),
        ({"task": sp.tasks.Toy(n_features=4, n_hidden=2)}, "task.n_features is 3 there and 4 here"),
    ],
)
def test_another_sweep_is_refused_with_what_differs(change, word, tmp_path, chunked, monkeypatch):
    path = tmp_path / "r.zarr"
    for finished in (False, True):
        if finished:
            small.go(path)
        else:
            interrupted_after(2, path, monkeypatch)
        before = small.files(path)
        with pytest.raises(sp.ConfigError, match="holds another sweep") as caught:
            small.go(path, **change)
        assert finished or pytest.raises(sp.ConfigError, match=word).matches(caught.value)
        assert all(way in str(caught.value) for way in ("store=", "--out", "--results", "--overwrite"))
        assert small.files(path) == before


def test_another_version_of_jax_does_not_go_on_but_reads_what_is_finished(tmp_path, chunked, monkeypatch):
    path = tmp_path / "r.zarr"
    interrupted_after(2, path, monkeypatch)

    def newer(*arguments):
        said = attributes(*arguments)
        return said | {"versions": said["versions"] | {"jax": "9.9.9"}}

    with monkeypatch.context() as patch:
        patch.setattr(resume, "attributes", newer)
        with pytest.raises(sp.ConfigError, match=rf"versions.jax is \"{jax.__version__}\" there and \"9.9.9\" here"):
            small.go(path)
    finished = small.go(path)
    monkeypatch.setattr(resume, "attributes", newer)
    xr.testing.assert_identical(small.go(path).dataset, finished.dataset)


@pytest.mark.slow
def test_what_resume_means(tmp_path, chunked, monkeypatch):
    path = tmp_path / "r.zarr"
    with pytest.raises(sp.ConfigError, match="resume is must, and there is nothing"):
        small.go(path, resume="must")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(sp.ConfigError, match="resume must be one of auto, never, must"):
        small.go(path, resume="maybe")
    small.go(path, resume="never")
    with pytest.raises(sp.ConfigError, match="exists"):
        small.go(path, resume="never")
    small.go(path, steps=41, overwrite=True)
    assert sp.open(path).attrs["train"]["steps"] == 41
    with pytest.raises(sp.ConfigError, match="store is missing"):
        small.go(None, resume="must")


def test_a_committed_chunk_that_is_lost_is_trained_again(whole, tmp_path, chunked, monkeypatch, caplog):
    path = tmp_path / "r.zarr"
    interrupted_after(5, path, monkeypatch)
    lost = next(p for p in sorted((path / "b").iterdir()) if p.name.startswith("c."))
    lost.write_bytes(lost.read_bytes()[:-3])
    with pytest.raises(sp.StoreError, match="b lacks chunk"):
        sp.open(path)
    with caplog.at_level(logging.WARNING, "superpos"):
        small.go(path)
    assert "is trained again" in caplog.text
    assert small.files(path) == small.files(whole)


def test_what_dead_writers_leave_is_removed_and_what_living_ones_write_is_not(tmp_path):
    dead = tmp_path / f"c.0.1-ab{atomic_io.TEMPORARY}"
    dead.write_bytes(b"half")
    living = tmp_path / f"c.1.1-ab{atomic_io.TEMPORARY}"
    with living.open("wb") as file:
        atomic_io.fcntl.flock(file, atomic_io.fcntl.LOCK_EX)
        atomic_io.clean(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == [living.name]
    atomic_io.write(tmp_path / "x", b"123")
    assert (tmp_path / "x").read_bytes() == b"123"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_state_and_says_how_to_go_on(number, whole, tmp_path, monkeypatch):
    path, training = tmp_path / "r.zarr", sys.modules["superpos.sweeping.launches"]
    real, seen = training.train_launch, []

    def noticed(*arguments):
        seen.append(1)
        if len(seen) == 3:
            os.kill(os.getpid(), number)
            time.sleep(0.1)
        return real(*arguments)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(training, "train_launch", noticed)
        with pytest.raises(sp.Interrupted, match=r"interrupted: \d+ of 12 models are kept in .*r\.zarr") as caught:
            small.go(path, devices=jax.devices()[:1])
    assert caught.value.signal == number and signal.getsignal(number) == before
    small.go(path)
    assert small.files(path) == small.files(whole)


@pytest.mark.slow
def test_checkpoints_inside_a_block_change_no_bit_and_are_gone_afterwards(whole, tmp_path, chunked, monkeypatch):
    """Every segment is kept; the training dies after each of them in turn, and goes on from there."""
    compiled = sys.modules["superpos.sweeping.compiled"]
    monkeypatch.setattr(compiled, "NUMBERS_PER_SEGMENT", {"cpu": 2 * 3 * 16 * 7})  # seven steps of two models
    path, kept = tmp_path / "r.zarr", tmp_path / "r.checkpoints"
    real, trained = sys.modules["superpos.sweeping.store.checkpoints"].Checkpoints.save, []

    def dying(self, *arguments):
        real(self, *arguments)
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["superpos.sweeping.store.checkpoints"].Checkpoints, "save", dying)
        for _ in range(6):
            with pytest.raises(OSError, match="power cut"):
                small.go(path, checkpoint_every=1)
            trained.append(sorted(p.name for p in kept.rglob("*") if p.name.isdigit()))
    assert trained[0] != trained[-1]  # later tries got further
    small.go(path, checkpoint_every=1)
    assert small.files(path) == small.files(whole)
    assert not kept.exists()


def died_after_a_checkpoint(path, monkeypatch, **options):
    """Every segment is kept; the process dies after the first."""
    from superpos.sweeping.store.checkpoints import Checkpoints

    monkeypatch.setattr(sys.modules["superpos.sweeping.compiled"], "NUMBERS_PER_SEGMENT", {"cpu": 2 * 3 * 16 * 7})
    real = Checkpoints.save

    def dying(self, *arguments):
        real(self, *arguments)
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", dying)
        with pytest.raises(OSError, match="power cut"):
            small.go(path, checkpoint_every=1, **options)
    assert list(path.with_name("r.checkpoints").rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"devices": 1}, {"blocks_per_device": 2}, {"worker": "0/1", "devices": 2}])
def test_a_checkpoint_of_other_blocks_is_never_used(other, whole, tmp_path, monkeypatch):
    """First every second chunk, two blocks at a time; then all of them, cut in other ways."""
    path = tmp_path / "r.zarr"
    two = jax.devices()[:2]
    died_after_a_checkpoint(path, monkeypatch, worker="0/2", devices=two)
    options = other | ({"devices": jax.devices()[: other["devices"]]} if "devices" in other else {})
    small.go(path, checkpoint_every=1, **options)
    assert small.files(path) == small.files(whole)
    assert not path.with_name("r.checkpoints").exists()


@pytest.mark.slow
def test_a_damaged_checkpoint_or_one_that_cannot_be_written_costs_time_only(whole, tmp_path, monkeypatch, caplog):
    import orbax.checkpoint as ocp

    path = tmp_path / "r.zarr"
    died_after_a_checkpoint(path, monkeypatch)
    for file in path.with_name("r.checkpoints").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with caplog.at_level(logging.WARNING, "superpos"):

        def full(*arguments, **more):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(ocp.StandardCheckpointer, "save", full)
        small.go(path, checkpoint_every=1)
    assert "is not used" in caplog.text and "could not be written" in caplog.text
    assert small.files(path) == small.files(whole)


def test_a_large_sweep_that_has_just_begun_goes_on(tmp_path, monkeypatch):
    """A store that promises far more than it holds may be joined, watched and opened; only its emptiness is not read."""
    monkeypatch.setattr(contents, "EAGER_BYTES", 0)
    monkeypatch.setattr(contents, "MAX_EMPTY", 0.01)
    monkeypatch.setattr(layout, "CELLS_PER_CHUNK", 2)
    path = tmp_path / "r.zarr"
    interrupted_after(1, path, monkeypatch)
    assert 0 < sp.open(path).missing.sum() < 12
    with pytest.raises(sp.StoreError, match="promises .* bytes of W and holds"):
        sp.open(path)["W"].load()
    monkeypatch.setattr(contents, "MAX_EMPTY", 64)
    assert small.go(path).missing.sum() == 0


def test_a_store_is_not_gone_on_with_under_another_number_of_threads(tmp_path, monkeypatch):
    """XLA cuts large products and sums by its threads: cells of two numbers of them would differ in their last bits."""
    monkeypatch.setattr(layout, "CELLS_PER_CHUNK", 2)
    path = tmp_path / "r.zarr"
    monkeypatch.setenv("NPROC", "3")
    interrupted_after(1, path, monkeypatch)
    assert sp.open(path).attrs["cpu_threads"] == 3
    before = small.files(path)
    monkeypatch.setenv("NPROC", "2")
    for options in ({}, {"worker": "1/2"}):
        with pytest.raises(sp.ConfigError, match="cpu_threads is 3 there and 2 here"):
            small.go(path, **options)
    assert small.files(path) == before
    monkeypatch.setenv("NPROC", "3")
    assert small.go(path).missing.sum() == 0
    monkeypatch.setenv("NPROC", "2")
    assert small.go(path).missing.sum() == 0  # what is finished is taken, whatever made it


def test_a_result_that_was_replaced_is_not_mixed_with_the_new_one(whole, monkeypatch):
    monkeypatch.setattr(contents, "EAGER_BYTES", 0)
    result = sp.open(whole)
    lost = whole / "b" / "c.0.0"
    good = lost.read_bytes()
    lost.unlink()
    with pytest.raises(sp.StoreError, match="b lacks chunk 0"):
        result["b"].load()
    lost.write_bytes(good)
    small.go(whole, steps=41, overwrite=True)
    with pytest.raises(sp.StoreError, match="no longer the result that was opened"):
        result["loss"].load()


KILLED_WHILE_REPLACING = """
import os, pathlib, signal, sys
import superpos as sp
rename = pathlib.Path.rename
def dying(self, target):
    if self.name == "new":
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
pathlib.Path.rename = dying
result = sp.open(sys.argv[1])
result.save(sys.argv[2], overwrite=True)
"""


@pytest.mark.slow
def test_a_result_whose_replacement_was_killed_comes_back(whole, tmp_path):
    """Killed between the two renames: the old result is moved back by whoever looks next, and nothing is left over."""
    before, target = small.files(whole), tmp_path / "r.zarr"
    whole.rename(target)
    for look in (lambda: sp.open(target), lambda: small.go(target, resume="must")):
        died = subprocess.run([sys.executable, "-c", KILLED_WHILE_REPLACING, target, target], cwd=tmp_path, check=False)
        assert died.returncode == -signal.SIGKILL and not target.exists()
        assert look().missing.sum() == 0
        assert small.files(target) == before and not list(tmp_path.glob(".*"))


def test_hidden_folders_of_the_living_and_of_other_machines_are_left_alone(whole, tmp_path, monkeypatch):
    target = tmp_path / "r.zarr"
    with atomic_io.folder_beside(target) as folder:
        atomic_io.clean_beside(target)
        assert folder.exists()
    assert not folder.exists()
    left = tmp_path / ".r.zarr.abcdefgh"
    left.mkdir()
    (left / "kept").write_text("")
    atomic_io.clean_beside(target)  # not said whose
    (left / atomic_io.OWNER).write_text("another")
    atomic_io.clean_beside(target)
    assert left.exists()
    monkeypatch.setattr(atomic_io, "_machine", lambda: b"another")
    atomic_io.clean_beside(target)
    assert not left.exists()


def test_large_results_are_read_when_they_are_looked_at(whole, monkeypatch):
    monkeypatch.setattr(contents, "EAGER_BYTES", 0)
    lazy, eager = sp.open(whole), small.go(None)
    assert "loss" in lazy.dataset and not lazy.dataset["W"].variable._in_memory
    cell = {"feature_probability": 0.3, "activation": "relu", "seed": 1}
    assert lazy.model(**cell).W[...].tobytes() == eager.model(**cell).W[...].tobytes()
    part = lazy.isel(seed=[1, 0], feature_probability=slice(0, 3, 2))
    xr.testing.assert_identical(
        part.dataset.load(), eager.isel(seed=[1, 0], feature_probability=slice(0, 3, 2)).dataset
    )
    xr.testing.assert_identical(lazy.dataset["W"][..., 1, :2].load(), eager.dataset["W"][..., 1, :2])
    damaged = next(p for p in (whole / "W").iterdir() if p.name.startswith("c."))
    raw = bytearray(damaged.read_bytes())
    raw[5] ^= 1
    damaged.write_bytes(raw)
    with pytest.raises(
        sp.StoreError, match=r"damaged: chunk \d of W has a wrong checksum; remove status/c\.\d and resume"
    ):
        sp.open(whole).dataset.load()


def test_shares_of_workers_are_fixed_and_make_the_same_store(whole, tmp_path):
    path = tmp_path / "r.zarr"
    first = small.go(path, worker="0/3")
    assert 0 < int(first.missing.sum()) < 12
    small.go(path, worker=(2, 3))
    assert int(sp.open(path).missing.sum()) > 0
    assert small.go(path, worker="1/3").missing.sum() == 0
    assert small.files(path) == small.files(whole)
    for wrong in ("3/3", "x", "1", "1/0", (-1, 2)):
        with pytest.raises(sp.ConfigError, match="worker"):
            small.go(tmp_path / "w.zarr", worker=wrong)
    with pytest.raises(sp.ConfigError, match="overwrite would remove"):
        small.go(path, worker="0/2", overwrite=True)


def test_a_process_that_tidies_the_folder_does_not_refuse_another_its_place(tmp_path, monkeypatch):
    """Another writer takes the empty folder with which one asks whether it may write for what a dead one had left."""
    path = tmp_path / "r.zarr"
    real = writer.tempfile.mkdtemp

    def beside_another(**options):
        probe = real(**options)
        atomic_io.clean_beside(path)
        assert not Path(probe).exists()
        return probe

    monkeypatch.setattr(writer.tempfile, "mkdtemp", beside_another)
    assert writer.writable(path) == path and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_may_create_the_same_store_at_once(whole, tmp_path, monkeypatch):
    """The loser of the race joins: here every one of three threads creates, and all train everything."""
    path, gate = tmp_path / "r.zarr", threading.Barrier(3, timeout=120)
    real = resume.writer.create
    monkeypatch.setattr(resume.writer, "create", lambda *a, **k: (gate.wait() and False) or real(*a, **k))
    with ThreadPoolExecutor(3) as threads:
        for end in as_completed([threads.submit(small.go, path) for _ in range(3)]):
            end.result()
    assert small.files(path) == small.files(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_devices", "blocks"),
    [(1, 3), (2, 2), (4, 1), (4, 3), *(pytest.param(*pair, marks=pytest.mark.long) for pair in ((1, 1), (1, 2), (2, 1), (2, 3), (4, 2)))],
)  # fmt: skip
def test_devices_and_calls_change_no_byte(whole, tmp_path, n_devices, blocks):
    small.go(tmp_path / "r.zarr", devices=jax.devices()[:n_devices], blocks_per_device=blocks)
    assert small.files(tmp_path / "r.zarr") == small.files(whole)


class Poisoned(sp.tasks.Toy):
    """A toy task whose weights begin as NaN where `init_scale` is one half."""

    def init(self, key):
        model = super().init(key)
        return jax.tree.map(lambda leaf: jax.numpy.where(self.init_scale == 0.5, jax.numpy.nan, leaf), model)


NUMERIC = ["feature_probability", "importance", "init_scale", "hidden_l1"]
jax.tree_util.register_dataclass(
    Poisoned, NUMERIC, [f.name for f in dataclasses.fields(sp.tasks.Toy) if f.name not in NUMERIC]
)


@pytest.mark.slow
def test_poisoned_cells_harm_nobody(tmp_path, chunked):
    """NaN in one cell's initial weights, a huge learning rate in another: flagged; all others keep their bits."""
    good = [(1.0, 0.01), (0.9, 0.01), (1e-3, 0.02), (0.9, 0.03)]
    bad = [(1.0, 0.01), (0.5, 0.01), (1e-3, 0.02), (0.9, 1e6)]
    found = []
    for name, cells in (("good", good), ("bad", bad)):
        grid = sp.Grid.points([{"init_scale": s, "learning_rate": r, "seed": 0} for s, r in cells])
        task, config = Poisoned(n_features=3, n_hidden=2, magnitude="constant"), small.settings(40)["config"]
        found.append(sp.sweep(task, config, grid, tmp_path / f"{name}.zarr", block_size=2))
    assert found[0].diverged == []
    poisoned, wild = found[1].diverged
    assert (poisoned["init_scale"], poisoned["step"], wild["learning_rate"]) == (0.5, 0, 1e6)
    for k in (0, 2):
        assert all(found[0].isel(cell=k)[v].values.tobytes() == found[1].isel(cell=k)[v].values.tobytes() for v in "Wb")


def test_a_task_with_a_setting_that_no_file_can_hold_is_refused_before_training(tmp_path):
    task = sp.tasks.Toy(n_features=3, n_hidden=2)
    object.__setattr__(task, "order", np.sin)
    attributes = {"task": vars(task), "train": {}}
    with pytest.raises(sp.ConfigError, match="order must be numbers, words, .* to be stored, got ufunc"):
        resume.writer.create(tmp_path / "r.zarr", resume.writer.Blueprint(attributes, {}, {}, np.arange(1), 1))
    assert list(tmp_path.iterdir()) == []


def test_packing_makes_one_file_that_opens_with_equal_values(whole, tmp_path):
    from superpos.sweeping.store import export_writer

    packed = export_writer.pack(whole, tmp_path / "r.zarr.zip")
    xr.testing.assert_identical(sp.open(packed).dataset, sp.open(whole).dataset)
    with zarr.storage.ZipStore(packed, mode="r") as store:
        xr.testing.assert_equal(xr.open_zarr(store, consolidated=False).load(), sp.open(whole).dataset)
    first = packed.read_bytes()
    assert export_writer.pack(whole, packed, overwrite=True).read_bytes() == first
    with pytest.raises(sp.ConfigError, match="exists"):
        export_writer.pack(whole, packed)
    with pytest.raises(sp.ConfigError, match="packed already"):
        export_writer.pack(packed, tmp_path / "s.zip")
    (tmp_path / "text").write_text("no result")
    with pytest.raises(sp.StoreError, match="no superpos result"):
        export_writer.pack(tmp_path / "text", tmp_path / "s.zip")


def test_exports_hold_the_same_numbers(whole, tmp_path):
    from superpos.sweeping.store import export_writer

    pytest.importorskip("h5netcdf")
    pq = pytest.importorskip("pyarrow.parquet")
    load_file = pytest.importorskip("safetensors.numpy").load_file
    result = sp.open(whole)
    with xr.open_dataset(export_writer.export(result, tmp_path / "r.nc"), engine="h5netcdf") as netcdf:
        assert np.array_equal(netcdf["W"].values, result["W"].values)
        assert netcdf["activation"].values.tolist() == ["relu", "identity"]
    table = pq.read_table(export_writer.export(result, tmp_path / "r.parquet"))
    assert table.num_rows == 12 and np.array_equal(table["loss"].to_numpy(), result["loss"].values.ravel())
    assert np.array_equal(np.array(table["W"].to_pylist(), np.float32), result["W"].values.reshape(12, -1))
    tensors = load_file(export_writer.export(result, tmp_path / "r.safetensors"))
    assert np.array_equal(tensors["W"], result["W"].values) and set(tensors) == {"W", "b"}
    for wrong, word in ((tmp_path / "r.csv", "out must end"), (tmp_path / "r.nc", "exists")):
        with pytest.raises(sp.ConfigError, match=word):
            export_writer.export(result, wrong)


def test_stores_of_every_format_open_with_the_same_values_for_ever():
    for name in ("format1.zarr", "format2.zarr"):
        result = sp.open(FIXTURES / name)
        expected = np.load(FIXTURES / "values.npz")
        assert result.sizes == {"feature_probability": 2, "activation": 2, "seed": 2}
        assert result["activation"].values.tolist() == ["relu", "identity"]
        for variable in ("W", "b", "loss", "loss_history", "W_snapshots", "feature_probability"):
            np.testing.assert_array_equal(result[variable].values, expected[f"{name}:{variable}"])
        assert result.task(feature_probability=0.1, activation="relu", seed=1).n_features == 3


def test_a_huge_number_of_cells_is_laid_out_in_chunks_of_bounded_size():
    task = sp.tasks.Toy(n_features=2, n_hidden=1, objective="expected", order=8)
    from superpos.sweeping.compiled import lay_out

    where = lay_out(
        task, sp.TrainConfig(history=1), sp.Grid(feature_probability=np.linspace(0.01, 1, 2_000), seed=range(100))
    )
    assert where.n_slots >= 200_000
    assert 256 <= where.chunk <= layout.CELLS_PER_CHUNK
    long = dataclasses.replace(task, n_features=50, objective="sampled")
    assert lay_out(long, sp.TrainConfig(), sp.Grid(seed=[0, 1])).blocks_per_chunk == 1
