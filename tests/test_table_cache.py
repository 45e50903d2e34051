"""Tables kept beside results: computed once, again when anything they depend on changed, and never read half-written."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.identity import sources
from superpos.sweeping import cached as cached_function

cache_module = sys.modules["superpos.sweeping.table_cache"]
calls: list[str] = []


def table_of(*inputs, scale=1.0, **_):
    calls.append("table_of")
    n = np.arange(6).reshape(2, 3)
    variables = {
        "whole": (("seed", "feature"), n),
        "number": (("seed", "feature"), scale * n / 7),
        "small": ("feature", np.array([1 / 3, np.nan, np.inf], np.float32)),
        "word": ("seed", np.array(["2 × antipodal pair", ""])),
        "truth": ("seed", np.array([True, False])),
        "lone": ((), "pentagon"),
        "empty": ("nothing", np.zeros(0)),
    }
    coords = {"seed": [3, 5], "name": ("feature", ["a", "bc", ""]), "n_hidden": 2}
    return xr.Dataset(variables, coords, {"dims": {"seed": 2}, "share": 0.01, "sets": [[0, 1]], "words": "ρ"})


@pytest.fixture(autouse=True)
def _none_called():
    calls.clear()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "r.zarr"


def result(loss=(0.5, 0.25), attrs=None):
    over = {"seed": [0, 1]}
    return sp.SweepResult(
        xr.Dataset({"loss": ("seed", np.array(loss, np.float32))}, over, attrs or {"train": {"steps": 3}})
    )


def test_the_second_call_reads_what_the_first_returned(path):
    first, second = sp.cached(path, table_of), sp.cached(path, table_of)
    assert calls == ["table_of"]
    for found in (first, second):
        assert found.identical(table_of())
        assert {n: v.dtype for n, v in found.variables.items()} == {n: v.dtype for n, v in table_of().variables.items()}
    assert [p.name for p in path.parent.iterdir()] == ["r.table_of.nc"]
    assert sp.cached is cached_function


def test_other_programs_read_it(path):
    sp.cached(path, table_of)
    found = xr.load_dataset(path.with_name("r.table_of.nc"), engine="scipy")
    np.testing.assert_array_equal(found["number"], table_of()["number"])


@pytest.mark.slow
def test_equal_inputs_are_the_same_and_others_are_not(path):
    """Numbers, labels, attributes, options, and of a result the last bit of one loss."""
    W = xr.DataArray(np.ones((2, 2)), {"seed": [0, 1]}, ("seed", "feature"))
    bit = np.nextafter(np.float32(0.25), np.float32(1))
    different = [
        ((), {}),
        ((1,), {}),
        ((1.0,), {}),
        ((True,), {}),
        (("1",), {}),
        (([1, 2],), {}),
        ((np.array([1, 2]),), {}),
        ((np.array([[1, 2]]),), {}),
        ((np.array([1.0, 2.0]),), {}),
        ((np.array(["1", "2"]),), {}),
        ((), {"scale": 2.0}),
        ((), {"other": None}),
        ((result(),), {}),
        ((result((0.5, bit)),), {}),
        ((result(attrs={"train": {"steps": 4}}),), {}),
        ((sp.SweepResult(result().dataset.isel(seed=[1, 0])),), {}),
        ((result().dataset,), {}),
        ((W,), {}),
        ((W.rename("W"),), {}),
        ((W.assign_coords(seed=[0, 2]),), {}),
        ((W.T,), {}),
    ]
    for inputs, options in different:
        sp.cached(path, table_of, *inputs, **options)
    assert len(calls) == len(different)
    sp.cached(path, table_of, result())
    sp.cached(path, table_of, result())
    assert len(calls) == len(different) + 1


def test_a_changed_analyser_computes_again(path, monkeypatch):
    sp.cached(path, table_of)
    monkeypatch.setattr(cache_module, "digest_of_modules", lambda modules: "of other sources")
    sp.cached(path, table_of)
    assert len(calls) == 2


FILES = {
    "__init__.py": "",
    "analysis/__init__.py": "from superpos.analysis.a import f as f\nfrom superpos.analysis.b import g as g\n",
    "analysis/a.py": "from superpos.numbers import one\ndef f(): return one\n",
    "analysis/b.py": "def g(): return 2\n",
    "numbers.py": "one = 1\n",
    "plot/__init__.py": "from superpos.analysis import g\n",
    "experiments/x.py": "from superpos import plot\nfrom superpos.analysis import f\ndef measure(): return f()\n",
    "experiments/y.py": "import superpos as sp\ndef measure(): return sp.analysis.g()\n",
}
CHANGES = {  # file: new text, and the experiments whose tables are computed again
    "experiments/y.py": ("import superpos as sp\ndef measure(): return -sp.analysis.g()\n", "y"),
    "experiments/x.py": ('"""Words."""\n\n' + FILES["experiments/x.py"] + "# a comment\n", ""),
    "analysis/a.py": ("from superpos.numbers import one\ndef f(): return one + 1\n", "xy"),  # (y takes the whole face)
    "analysis/b.py": ("def g(): return 3\n", "y"),
    "numbers.py": ("one = 3\n", "xy"),
    "plot/__init__.py": ("x = 3\n", ""),
}


def test_a_table_depends_on_what_its_code_imports_and_on_no_more(tmp_path, monkeypatch):
    """A small package in place of superpos; a comment, or a change in what another experiment imports, keeps the table."""

    def digests():
        for function in (sources._read, sources._face):
            function.cache_clear()
        return {name: sources.digest_of_modules([f"superpos.experiments.{name}"]) for name in "xy"}

    monkeypatch.setattr(sources, "PACKAGE", tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = digests()
    for name, (text, again) in CHANGES.items():
        (tmp_path / name).write_text(text)
        assert "".join(k for k, digest in digests().items() if digest != before[k]) == again, name
        (tmp_path / name).write_text(FILES[name])
    assert digests() == before
    monkeypatch.undo()
    digests()


@pytest.mark.slow
def test_code_reached_through_a_result_counts():
    """Methods of a result, tasks that it finds by name and all that these import; no experiment, page or picture."""
    assert "superpos.sweeping.result" in cache_module.identity_of(result(), "result", as_input=True).modules
    files = sources.closure(["superpos.sweeping.result"])
    assert {"analysis/geometries.py", "tasks/toy.py", "training/loop.py", "theory/expectation.py"} <= files
    assert not {name for name in files if name.startswith(("experiments", "plot", "explorer", "cli", "demos"))}


@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "foreign", "extend", "folder"])
def test_a_damaged_table_is_computed_again(path, harm):
    file = path.with_name("r.table_of.nc")
    sp.cached(path, table_of)
    raw = file.read_bytes()
    file.unlink()
    if harm == "folder":
        file.mkdir()
    else:
        middle = len(raw) // 2
        data = {
            "flip": raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :],
            "truncate": raw[:-1],
            "empty": b"",
            "foreign": bytes(xr.Dataset({"x": 1}).to_netcdf(engine="scipy")),
            "extend": raw + b"\0",
        }[harm]
        file.write_bytes(data)
    assert sp.cached(path, table_of).identical(table_of())
    assert harm == "folder" or file.read_bytes() == raw


@pytest.mark.slow
def test_every_flipped_byte_is_noticed(path):
    file = path.with_name("r.table_of.nc")
    sp.cached(path, table_of)
    raw = file.read_bytes()
    places = np.random.default_rng(0).integers(0, len(raw), 20).tolist()
    for k in places:
        file.write_bytes(raw[:k] + bytes([raw[k] ^ 0x10]) + raw[k + 1 :])
        sp.cached(path, table_of)
    assert len(calls) == 1 + len(places)


def test_a_table_of_another_place_is_not_taken_for_this_one(path):
    """What is copied from one option to another has the wrong seal."""
    sp.cached(path, table_of, scale=2.0)
    assert sp.cached(path, table_of, scale=3.0).identical(table_of(scale=3.0))


KILLED = """
import os, signal, sys
import numpy as np, xarray as xr
sys.path.insert(0, {folder!r})
import superpos as sp, of_this_test
os.replace = lambda *names, **folders: os.kill(os.getpid(), signal.SIGKILL)
sp.cached({path!r}, of_this_test.table)
"""


@pytest.mark.slow
def test_killed_before_the_name_is_there_nothing_is_read(path, tmp_path):
    """The temporary file of the dead is no table, and the next call removes it, but no other program's file."""
    folder = tmp_path / "module"
    folder.mkdir()
    code = "import xarray as xr\n\ndef table():\n    return xr.Dataset({'x': 1.0})\n"
    (folder / "of_this_test.py").write_text(code)
    script = textwrap.dedent(KILLED).format(folder=str(folder), path=str(tmp_path / "r.zarr"))
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = [p.name for p in tmp_path.iterdir() if p.name.startswith("r.table.nc.") and p.name.endswith(".tmp")]
    assert len(left) == 1 and not (tmp_path / "r.table.nc").exists()
    other = tmp_path / "other.tmp"
    other.write_text("of somebody else")

    sys.path.insert(0, str(folder))
    try:
        import of_this_test  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(str(folder))
    assert float(sp.cached(path, of_this_test.table)["x"]) == 1
    assert sorted(os.listdir(tmp_path)) == ["module", "other.tmp", "r.table.nc"]


def test_what_cannot_be_kept_is_computed_all_the_same(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    assert sp.cached(tmp_path / "file" / "r.zarr", table_of).identical(table_of())
    assert "r.table_of.nc could not be cached" in caplog.text


def test_bad_input_is_named(path):
    with pytest.raises(sp.ConfigError, match="inputs must be results, tables, arrays, numbers and words, got object"):
        sp.cached(path, table_of, object())
    with pytest.raises(sp.ConfigError, match="compute must be a function with a name of its own"):
        sp.cached(path, lambda: table_of())
    assert not calls


def test_the_geometry_of_a_result_is_kept(path, quick_result):
    first = sp.cached(path, sp.SweepResult.geometry, quick_result)
    assert (path.parent / "r.geometry.nc").exists() and first.identical(quick_result.geometry())
    assert sp.cached(path, sp.SweepResult.geometry, quick_result).identical(first)
