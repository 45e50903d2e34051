"""Results of anybody's numbers: what is written is read again as it was, and what could not be is refused by name before."""

import json
import sys
import time

import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.sweeping import outputs
from superpos.sweeping.sorting import distinct
from superpos.sweeping.store import atomic_io, backend, contents, export_reader, export_writer, writer

SUFFIXES = (".zarr", ".nc", ".parquet", ".safetensors")
GRID = ("p", "seed")


def dataset(**more):
    W = np.arange(48, dtype=np.float32).reshape(2, 3, 2, 4)
    variables = {"W": ((*GRID, "hidden", "feature"), W), "loss": (GRID, np.arange(6.0).reshape(2, 3)), **more}
    return xr.Dataset(variables, {"p": [0.1, 0.2], "seed": [0, 1, 2]})


def written(result, path):
    for package in export_reader.FORMATS.get(path.suffix, ()):
        pytest.importorskip(package)
    return export_writer.export(result, path)


BAD = {
    "times": ("when", dataset(when=("seed", np.array(["2020", "2021", "2022"], "M8[ns]")))),
    "spans": ("when", dataset(when=("seed", np.array([1, 2, 3], "m8[s]")))),
    "labels that are times": ("seed", dataset().assign_coords(seed=np.array(["2020", "2021", "2022"], "M8[ns]"))),
    "records": ("r", dataset(r=(GRID, np.zeros((2, 3), [("a", "f4")])))),
    "objects": ("m", dataset(m=("seed", np.array([1, None, "x"], object)))),
    "slash": ("a/b", dataset(**{"a/b": (GRID, np.ones((2, 3)))})),
    "metadata": ("zarr.json", dataset(**{"zarr.json": (GRID, np.ones((2, 3)))})),
    "drive": ("c:x", dataset(**{"c:x": (GRID, np.ones((2, 3)))})),
    "parent": (r"\.\.", dataset(**{"..": (GRID, np.ones((2, 3)))})),
    "no name": ("''", dataset(**{"": (GRID, np.ones((2, 3)))})),
    "long name": ("nnnn", dataset(nn=(GRID, np.ones((2, 3)))).rename(nn="n" * 300)),
    "number for a name": ("variable 3", dataset().assign({3: (GRID, np.ones((2, 3)))})),
    "number for a dimension": ("variable m.*dimension 0", dataset(m=((0,), np.ones(2)))),
    "several indexes": ("cell", dataset().stack(cell=GRID).transpose("cell", ...)),
    "attribute": ("attribute n", dataset().assign_attrs(n=np.int64(3))),
    "key": ("attribute t.*key 1", dataset().assign_attrs(t={"a": [{1: 2}]})),
    "absent axis": ("axis q", dataset().assign_attrs(task={"kind": "mine"}, train={}, grid={"axes": [
        {"name": "q", "field": "q", "rule": "value", "index": 0}]})),
}  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("what", BAD)
def test_what_could_not_be_read_again_is_refused_by_name(what, suffix, tmp_path):
    name, given = BAD[what]
    with pytest.raises(sp.ConfigError, match=name):
        written(sp.SweepResult(given), tmp_path / f"r{suffix}")
    assert not list(tmp_path.iterdir())


ZARR_ALONE = {
    "complex": ("z", dataset(z=(GRID, np.ones((2, 3), complex)))),
    "bytes": ("z", dataset(z=("seed", np.array([b"a", b"bb", b""])))),
    "nothing": ("z.*no entries along none", dataset(z=("none", np.zeros(0)))),
    "no cells": ("loss.*no entries along p", xr.Dataset({"loss": ("p", np.zeros(0))})),
}


@pytest.mark.parametrize("what", ZARR_ALONE)
def test_what_netcdf_alone_holds_goes_there(what, tmp_path):
    name, given = ZARR_ALONE[what]
    result = sp.SweepResult(given)
    for suffix in (".zarr", ".parquet", ".safetensors"):
        with pytest.raises(sp.ConfigError, match=name):
            written(result, tmp_path / f"r{suffix}")
    assert not list(tmp_path.iterdir())
    xr.testing.assert_identical(sp.open(written(result, tmp_path / "r.nc")).dataset, result.dataset)


WORDS = ["null", "1", "[1]", '"x"', "NaN", "Infinity", "true", "", " 1", "1e5", "{", "plain", "é\u2028", '{"a": 1}']
GOOD = {
    "over some axes": dataset(m=("seed", np.arange(3.0)), n=(("seed", "k"), np.arange(6).reshape(3, 2))),
    "over none": dataset(m=("k", np.arange(2.0)), s=((), np.float32(2.0))),
    "dots": dataset(**{"a.b": (GRID, np.ones((2, 3)))}),
    "kinds": dataset(
        **{d: (GRID, np.array([[1, 0, 1]] * 2, d)) for d in ("bool", "i1", "u8", "f2", "f4")},
        words=(GRID, np.array([["a", "b", "ccc"], ["", "é", "y"]])),
    ),
    "labels": dataset().assign_coords(
        name=("seed", ["a", "", "ccc"]), one=3, two=(GRID, np.eye(2, 3)), rest=(("p", "k"), np.eye(2))
    ),
    "attributes": dataset().assign_attrs({f"w{k}": word for k, word in enumerate(WORDS)}),
    "more attributes": dataset().assign_attrs(a=None, b=[1, "1"], c=1.5, d=True, dtype="3", precision=4, platform="[]"),
    "of variables": dataset(m=xr.Variable(GRID, np.ones((2, 3)), {"units": "nats", "range": np.array([0.0, 1.0])})),
    "half a configuration": dataset().assign_attrs(task={"kind": "mine"}, train={}, grid={"axes": []}),
    "no labels": dataset().drop_vars(GRID),
    "one cell": xr.Dataset({"loss": ((), 1.0), "W": (("hidden", "feature"), np.eye(2))}),
}


def same(found, wanted):
    xr.testing.assert_identical(found, wanted)
    assert {n: v.dtype for n, v in found.variables.items()} == {n: v.dtype for n, v in wanted.variables.items()}
    assert {k: (type(v), v) for k, v in found.attrs.items()} == {k: (type(v), v) for k, v in wanted.attrs.items()}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("what", GOOD)
def test_what_is_written_is_read_as_it_was(what, suffix, tmp_path):
    result = sp.SweepResult(GOOD[what])
    same(sp.open(written(result, tmp_path / f"r{suffix}")).dataset, result.dataset)
    if suffix == ".zarr":
        same(sp.open(export_writer.pack(tmp_path / "r.zarr", tmp_path / "r.zip")).dataset, result.dataset)


def test_an_attribute_that_would_be_lost_is_refused_unless_a_reader_of_stores_shows_it(tmp_path):
    for name in ("labels", "dims", "digest", "coordinates"):
        with pytest.raises(sp.ConfigError, match=f"attribute {name} cannot be stored"):
            sp.SweepResult(dataset().assign_attrs({name: "mine"})).save(tmp_path / "r.zarr")
    first = sp.SweepResult(dataset())
    first.save(tmp_path / "r.zarr")
    with xr.open_zarr(tmp_path / "r.zarr", consolidated=False) as plain:
        sp.SweepResult(plain.load()).save(tmp_path / "s.zarr")
    assert set(sp.open(tmp_path / "s.zarr").attrs) == set(first.attrs)


def test_whatever_else_would_be_refused_is_refused_before_it_takes_its_place(tmp_path, monkeypatch):
    """The reader itself is asked: here of more metadata than it reads."""
    sp.SweepResult(dataset()).save(tmp_path / "r.zarr")
    monkeypatch.setattr(backend, "MAX_TABLES", 50)
    with pytest.raises(sp.ConfigError, match="could not be opened again: .* too many lists"):
        sp.SweepResult(dataset().assign_attrs(a=[[]] * 60)).save(tmp_path / "r.zarr", overwrite=True)
    monkeypatch.undo()
    assert "a" not in sp.open(tmp_path / "r.zarr").attrs and [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


@pytest.mark.parametrize("suffix", [".parquet", ".safetensors"])
@pytest.mark.parametrize("most", [0, 30])
def test_labels_beyond_the_limit_of_a_head_are_arrays(most, suffix, tmp_path, monkeypatch):
    """The head of a safetensors file ends at 100 MB, and labels of ten million models take 80: here the limit is lower."""
    given = dataset().assign_coords(
        name=("seed", ["a", "", "cçc"]), two=(GRID, np.eye(2, 3)), rest=(("p", "k"), np.eye(2)), both=(GRID, [["x", "yy", ""]] * 2)
    )  # fmt: skip
    result = sp.SweepResult(given)
    usual = written(result, tmp_path / f"usual{suffix}").read_bytes()
    monkeypatch.setattr(export_reader, "MAX_LABELS", most)
    path = written(result, tmp_path / f"r{suffix}")
    same(sp.open(path).dataset, result.dataset)
    assert path.read_bytes() != usual
    if suffix == ".safetensors":
        head = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
        assert len(json.dumps(json.loads(head["__metadata__"]["labels"])["values"])) <= most + 30
        assert {"name", "two", "both"} <= set(head)
    free = sp.SweepResult(dataset().assign_coords(free=("k", np.arange(50))))
    if suffix == ".parquet":  # every row would have all of it
        with pytest.raises(sp.ConfigError, match="variable free cannot be written as .parquet"):
            written(free, tmp_path / "free.parquet")
    else:
        same(sp.open(written(free, tmp_path / "free.safetensors")).dataset, free.dataset)


def test_exports_of_earlier_versions_are_read(tmp_path):
    """With every label in the head, and words as they are."""
    save_file = pytest.importorskip("safetensors.numpy").save_file
    result = sp.SweepResult(dataset().assign_attrs(task={"kind": "mine"}, train={}, grid={"axes": []}))
    said = {"dims": result.sizes, "columns": {}, "values": {}, "coordinates": ["p", "seed"]}
    for name, variable in result.dataset.variables.items():
        values = [list(variable.dims), str(variable.dtype), variable.values.tolist()]
        said["columns" if name == "W" else "values"][name] = values[:2] if name == "W" else values
    about = {"superpos": json.dumps(result.attrs), "axes": "{}", "labels": json.dumps(said)}
    save_file({"W": result["W"].values}, tmp_path / "r.safetensors", metadata=about)
    same(sp.open(tmp_path / "r.safetensors").dataset, result.dataset)
    if pytest.importorskip("h5netcdf"):
        attrs = {k: v if isinstance(v, str) else json.dumps(v) for k, v in result.attrs.items()}
        result.dataset.assign_attrs(attrs).to_netcdf(tmp_path / "r.nc", engine="h5netcdf")
        same(sp.open(tmp_path / "r.nc").dataset, result.dataset)


def test_reading_one_cell_of_a_saved_result_looks_at_its_file_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SAVED_CHUNK", 2)
    n = 12
    given = xr.Dataset(
        {"loss": ("seed", np.arange(float(n))), "W": (("seed", "hidden", "feature"), np.ones((n, 1, 2)))}
    )
    sp.SweepResult(given.assign_coords(seed=range(n))).save(tmp_path / "r.zarr")
    monkeypatch.setattr(contents, "EAGER_BYTES", 0)
    result, looks, real = sp.open(tmp_path / "r.zarr"), [], backend.Source.size_now
    monkeypatch.setattr(backend.Source, "size_now", lambda self, *names: (looks.append(names), real(self, *names))[1])
    for index, numbers in ((3, [1]), (slice(1, 5), [0, 1, 2]), ([0, 11], [0, 5]), (slice(None, None, -1), range(6))):
        looks.clear()
        np.testing.assert_array_equal(result["loss"][index].values, np.arange(n)[index])
        assert looks == [("loss", f"c.{k}") for k in numbers]
    (tmp_path / "r.zarr" / "loss" / "c.4").unlink()
    assert result["loss"][0] == 0
    with pytest.raises(sp.StoreError, match="loss lacks chunk 4"):
        result["loss"][8].load()


def test_distinct_numbers_of_millions_are_sorted_and_not_looked_up():
    values = np.random.default_rng(0).permutation(2_000_000)
    begin = time.process_time()
    assert len(distinct(np.append(values, values[:9]))) == 2_000_000
    assert time.process_time() - begin < 1  # `np.unique` of NumPy 2.4 takes longer
    for some in ([3, 1, 3], [], ["b", "a", "b"], [0.5]):
        assert distinct(np.asarray(some)).tolist() == sorted(set(some))


def test_columns_of_a_product_run_through_the_last_axis_first(rng):
    grid = sp.Grid(feature_probability=[0.5, 0.1], activation=["relu", "identity", "gelu"], seed=range(2))
    index = np.unravel_index(np.arange(12), (2, 3, 2))
    for (name, axis), place in zip(grid.axes.items(), index, strict=True):
        np.testing.assert_array_equal(grid.columns()[name], axis.values[place])
    lone = sp.Grid(seed=range(3))
    lone.columns()["seed"][0] = 7
    assert lone.axes["seed"].values[0] == 0


def test_arrays_are_written_without_a_copy(tmp_path):
    values = np.arange(5.0)
    raw, sum_ = atomic_io.encode(values)
    assert np.shares_memory(np.frombuffer(raw, np.uint8), values) and sum_ == atomic_io.checksum(values.tobytes())
    atomic_io.write(tmp_path / "x", (raw, sum_))
    assert (tmp_path / "x").read_bytes() == values.astype("<f8").tobytes() + sum_
    atomic_io.write(tmp_path / "y", atomic_io.encode(values.astype(">f8")))
    assert (tmp_path / "y").read_bytes() == (tmp_path / "x").read_bytes()


def test_a_packed_result_or_export_that_is_there_is_said_to_be_one(tmp_path, monkeypatch, capsys):
    from superpos.cli import main

    result = sp.SweepResult(dataset())
    path = result.save(tmp_path / "r.zarr")
    packed = export_writer.pack(path, tmp_path / "r.zarr.zip")
    good = packed.read_bytes()
    for suffix, kind in (
        (".nc", r"\.nc file"),
        (".parquet", r"\.parquet file"),
        (".safetensors", r"\.safetensors file"),
    ):
        file = written(result, tmp_path / f"r{suffix}")
        with pytest.raises(sp.ConfigError, match=f"is a {kind} already.*--overwrite"):
            written(result, file)
    monkeypatch.setattr(sys, "argv", ["superpos", "pack", str(path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    said = capsys.readouterr().err
    assert "exists and is a packed result already" in said and "--overwrite" in said and said.count("\n") == 1
    assert packed.read_bytes() == good
    monkeypatch.setattr(sys, "argv", ["superpos", "pack", str(path), "--overwrite"])
    main()
    assert packed.read_bytes() == good
    long = sp.SweepResult(dataset().assign_attrs(task={"kind": "mine", "a": "x" * 9_000}, train={}, grid={"axes": []}))
    export_writer.pack(long.save(tmp_path / "s.zarr"), tmp_path / "s.zip")
    assert outputs.is_packed((tmp_path / "s.zip").read_bytes()[: outputs.HEAD_BYTES])  # whatever it says of itself
