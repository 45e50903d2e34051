"""A sweep writes to the store that it joined, whatever lies at its path: no foreign cell is ever written or returned."""

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import small
from marks import slow

import superpos as sp
from superpos.sweeping import layout
from superpos.sweeping.engines.worker import train_part
from superpos.sweeping.store import atomic_io, completed, contents, handle, reader, resume, writer

OWN, OTHER = [0.8, 0.9], [0.1, 0.2]


@pytest.fixture(autouse=True)
def chunked(monkeypatch):
    monkeypatch.setattr(layout, "CELLS_PER_CHUNK", 2)


def go(path, densities=OWN, **options):
    """Six cells, three chunks of two."""
    task = sp.tasks.Toy(n_features=2, n_hidden=1, magnitude="constant")
    config = sp.TrainConfig(steps=5, batch_size=4, history=1, evaluation_samples=4)
    grid = sp.Grid(feature_probability=densities, seed=range(3))
    return sp.sweep(task, config, grid, path, block_size=2, progress=False, **options)


@pytest.fixture
def places(tmp_path):
    """Where the sweep writes, where its store is moved, another finished result, and a copy of that."""
    go(tmp_path / "other.zarr", OTHER)
    shutil.copytree(tmp_path / "other.zarr", tmp_path / "same.zarr")
    return tmp_path / "mv.zarr", tmp_path / "away.zarr", tmp_path / "other.zarr"


def before_commit(number, act, monkeypatch):
    """Act once, before the given call that commits a chunk; after the last one, with three."""
    real, calls = writer.write_chunk, []

    def write(*arguments):
        calls.append(arguments)
        if len(calls) == number + 1:
            act()
        real(*arguments)
        if len(calls) == number == 3:
            act()

    monkeypatch.setattr(writer, "write_chunk", write)


def other_chunks(path):
    """What is in a store, but for what a sweep over the other densities put there."""
    labels = sp.open(path)["feature_probability"].values.tolist()
    return small.files(path), labels


@pytest.mark.slow
@pytest.mark.parametrize("commit", [0, slow(1), slow(2), 3])
@pytest.mark.parametrize("what", ["other", "same sweep", "link", "file", "nothing"])
def test_what_has_the_path_later_is_not_written_to(commit, what, places, monkeypatch):
    """The issue's input: renamed away before a commit, or before the return, and something else put there."""
    path, away, other = places
    if what == "same sweep":
        go(other, overwrite=True)

    def swap():
        path.rename(away)
        if what in ("other", "same sweep"):
            other.rename(path)
        elif what == "link":
            path.symlink_to(other)
        elif what == "file":
            path.write_text("mine")

    good = small.files(other)
    before_commit(commit, swap, monkeypatch)
    with pytest.raises(sp.StoreError, match=r"mv\.zarr is no longer the store that was begun"):
        go(path)
    there = {"file": lambda: path.read_text() == "mine", "nothing": lambda: not path.exists()}
    assert there.get(what, lambda: small.files(path) == good)()
    assert len(list((away / "status").glob("c.*"))) == commit  # what was committed before is in its own store
    monkeypatch.undo()
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        path.rename(other)
    away.rename(path)
    monkeypatch.setattr(layout, "CELLS_PER_CHUNK", 2)
    go(path)  # moved back, it goes on
    whole = path.with_name("whole.zarr")
    go(whole)
    assert small.files(path) == small.files(whole)


@pytest.mark.slow
@pytest.mark.parametrize("densities", [OTHER, OWN])
def test_a_store_that_another_process_overwrites_is_left_to_it(densities, places, monkeypatch):
    path, *_ = places
    real, nested = writer.write_chunk, []

    def write(*arguments):
        if len(list((path / "status").glob("c.*"))) == 1 and not nested:
            nested.append(True)
            go(path, densities, overwrite=True)
        real(*arguments)

    monkeypatch.setattr(writer, "write_chunk", write)
    with pytest.raises(sp.StoreError, match="no longer the store that was begun"):
        go(path)
    alone = path.with_name("alone.zarr")
    go(alone, densities)
    assert small.files(path) == small.files(alone)
    assert not list(path.parent.glob(".*"))


def test_a_store_that_changes_in_place_is_another(places, monkeypatch):
    """Copied over: the folder is the same, and what it says is not."""
    path, _, other = places
    before_commit(1, lambda: shutil.copytree(other, path, dirs_exist_ok=True), monkeypatch)
    with pytest.raises(sp.StoreError, match="no longer the store that was begun"):
        go(path)
    assert small.files(path) == small.files(other)


def test_a_finished_result_is_the_one_that_was_compared(places, monkeypatch):
    path, away, other = places
    go(path)
    real = completed.open_result

    def swapped(target, **options):
        path.rename(away)
        other.rename(path)
        return real(target, **options)

    monkeypatch.setattr(completed, "open_result", swapped)
    with pytest.raises(sp.StoreError, match="no longer the store"):
        go(path)


def test_a_worker_that_is_told_a_path_checks_whose_store_it_is(places):
    """A task of Ray's knows nothing but the path and the digest of its sweep."""
    _, _, other = places
    for chunk in (other / "status").glob("c.*"):
        chunk.unlink()
    before, digest = small.files(other), reader.opened(other).attributes["digest"]
    with pytest.raises(sp.StoreError, match="no longer the store that was begun"):
        train_part(other, "0" * 64, [0, 1, 2], {}, 1, name="ray-0")
    assert small.files(other) == before
    train_part(other, digest, [0], {}, 1, name="ray-0")
    assert small.files(other) != before


def test_sweeps_that_differ_in_the_values_of_an_axis_alone_are_others(places):
    """Their checkpoints, journals and stores are told apart by their digest, and labels by the store they are of."""
    path, _, other = places
    go(path)
    mine, others = (reader.opened(p).attributes for p in (path, other))
    assert mine["digest"] != others["digest"] and "labels" not in sp.open(path).attrs
    name = "feature_probability/c.0"
    shutil.copy(other / name, path / name)
    with pytest.raises(sp.StoreError, match="values of feature_probability are those of another result"):
        sp.open(path)


def test_a_large_result_is_read_only_from_the_store_that_was_opened(places, monkeypatch):
    path, away, other = places
    whole = go(path)["W"].values
    monkeypatch.setattr(contents, "EAGER_BYTES", 0)
    monkeypatch.chdir(path.parent)
    result = sp.open(path.name)
    monkeypatch.chdir(path.parent.parent)
    np.testing.assert_array_equal(result["W"][0].values, whole[0])  # whatever folder the process is in by now
    real = contents._Cells._check_files

    def swapped(self, chunks):
        real(self, chunks)
        path.rename(away)  # between the look and the reading
        other.rename(path)

    monkeypatch.setattr(contents._Cells, "_check_files", swapped)
    with pytest.raises(sp.StoreError, match="no longer the result that was opened"):
        result["W"].load()
    monkeypatch.setattr(contents._Cells, "_check_files", real)
    with pytest.raises(sp.StoreError, match="no longer the result that was opened"):
        result["W"].load()


def test_labels_and_numbers_of_two_results_are_never_opened_as_one(places, monkeypatch):
    """Replaced while it is opened."""
    path, away, other = places
    go(path)
    real = contents.Contents._find_committed

    def swapped(self):
        path.rename(away)
        other.rename(path)
        return real(self)

    monkeypatch.setattr(contents.Contents, "_find_committed", swapped)
    with pytest.raises(sp.StoreError, match="no longer the result that was opened"):
        sp.open(path)


def test_what_was_put_in_the_way_meanwhile_is_not_overwritten(places, monkeypatch):
    path, *_ = places
    result = go(path)
    real = writer._move_in

    def late(*arguments):
        shutil.rmtree(path)
        path.mkdir()
        (path / "thesis.txt").write_text("mine")
        return real(*arguments)

    monkeypatch.setattr(writer, "_move_in", late)
    with pytest.raises(sp.ConfigError, match="no superpos result any longer"):
        result.save(path, overwrite=True)
    assert (path / "thesis.txt").read_text() == "mine" and not list(path.parent.glob(".*"))


class Turns:
    """Threads of which one runs at a time, chosen anew at every step: an interleaving that can be repeated."""

    def __init__(self, rng):
        self._rng, self._here, self._back = rng, threading.local(), threading.Semaphore(0)

    def step(self):
        """Let another one run; nothing in threads that are none of these."""
        if (own := getattr(self._here, "turn", None)) is not None:
            self._back.release()
            own.acquire()

    def run(self, *actors):
        turns = [threading.Semaphore(0) for _ in actors]
        left = set(range(len(actors)))

        def live(k):
            self._here.turn = turns[k]
            turns[k].acquire()
            try:
                actors[k]()
            finally:
                self._here.turn = None
                left.discard(k)
                self._back.release()

        threads = [threading.Thread(target=live, args=(k,)) for k in left]
        for thread in threads:
            thread.start()
        while left:
            turns[sorted(left)[self._rng.integers(len(left))]].release()
            self._back.acquire()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_a_thousand_interleavings_of_two_writers_and_renames_write_no_foreign_cell(tmp_path, rng, monkeypatch):
    """Every call of the system is a step, after which another writer, or whoever renames, may run."""
    turns = Turns(rng)
    for name in ("open", "stat", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _real=real, **k: (turns.step(), _real(*a, **k))[1])
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    counts = {"committed": 0, "refused": 0}

    def writing(place, value):
        mine = handle.Held(place)

        def write():
            for number in range(2):
                try:
                    writer.write_chunk(mine, number, 1, {"W": np.full(1, value)}, np.ones(1, np.int8))
                    counts["committed"] += 1
                except sp.StoreError:
                    counts["refused"] += 1

        return write

    for trial in range(1_000):
        first, second, third = (tmp_path / f"{trial}-{k}" for k in range(3))
        for place, value in ((first, 1.0), (second, 2.0)):
            for name in ("W", "status"):
                (place / name).mkdir(parents=True)
            (place / handle.METADATA).write_text(str(value))

        moves = [(first, third), (second, first), (third, second)][: rng.integers(1, 4)]

        def rename(moves=moves):
            for source, target in moves:
                turns.step()
                source.rename(target)

        turns.run(writing(first, 1.0), writing(second, 2.0), rename)
        for place in (first, second, third):
            if place.exists():
                value = float((place / handle.METADATA).read_text())
                for chunk in (place / "W").iterdir():
                    assert np.frombuffer(chunk.read_bytes()[: -atomic_io.CHECKSUM_BYTES]).tolist() == [value]
                status, data = ({p.name for p in (place / n).iterdir()} for n in ("status", "W"))
                assert status <= data  # nothing is said to be there that is not
        for place in (first, second, third):
            shutil.rmtree(place, ignore_errors=True)
    assert counts["committed"] > 500 and counts["refused"] > 500


def test_a_joined_store_keeps_no_file_open_once_it_is_forgotten(places):
    _, _, other = places
    folder = Path("/dev/fd")
    if not folder.is_dir():
        pytest.skip("this system does not list open files")
    before = len(list(folder.iterdir()))
    for _ in range(5):
        resume.resumable(other)
        sp.open(other)
    assert len(list(folder.iterdir())) <= before
