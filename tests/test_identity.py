"""What code is: cached tables and sweeps of tasks of one's own notice every change that decides numbers, and no other."""

import dataclasses
import logging
import textwrap

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from IPython.core.interactiveshell import InteractiveShell

import superpos as sp
from superpos.identity import code_of, identity_of
from superpos.sweeping.store import tables

IMPORTS = "import collections, dataclasses, functools, jax, operator, random\nimport numpy as np\nimport xarray as xr\n"


def digest(source):
    """Of the function `measure` of a module that has no file."""
    space = {"__name__": "__main__"}
    exec(compile(IMPORTS + textwrap.dedent(source), "<cell>", "exec"), space)
    return identity_of(space["measure"], "measure").digest


WRAPPED = "def d(f):\n @functools.wraps(f)\n def w(): return {0} * f()\n return w\n@d\ndef measure(): return {1}"
OBJECT = "class C:\n k = {0}\n def __init__(s, v): s.v = v\n def __call__(s): return s.v\n def measure(s): return s.v + {1}\n"
USES = "\ndef measure(): return h(1)"
# Every number in braces must count; each is changed in turn.
CHANGES = {
    "body": "def measure(): return {0}",
    "global": "k = {0}\ndef measure(): return k",
    "changed global": "k = {{}}\nk['a'] = {0}\ndef measure(): return k['a']",
    "array": "k = np.ones(3) * {0}\ndef measure(): return k",
    "defaults": "def measure(a={0}, b=[{1}], *, c={2}): return a",
    "helper": "def h(x): return {0}" + USES,
    "lambda": "h = lambda x: x + {0}" + USES,
    "nested": "def measure():\n def g(): return {0}\n return g()",
    "closure": "def make(s):\n def measure(): return s\n return measure\nmeasure = make({0})",
    "closed-over function": "def make(f):\n def measure(): return f()\n return measure\nmeasure = make(lambda: {0})",
    "wrapped": WRAPPED,
    "partial": "def f(a, x): return a * {0}\nh = functools.partial(f, {1})" + USES,
    "callable object": OBJECT + "h = C({2})" + USES,
    "bound method": OBJECT + "measure = C({2}).measure",
    "class attribute": "class C:\n k = {0}\ndef measure(): return C.k",
    "base class": "class B:\n def f(s): return {0}\nclass C(B): pass\ndef measure(): return C().f()",
    "slots": "class C:\n __slots__ = ('k',)\nc = C()\nc.k = {0}\ndef measure(): return c.k",
    "private slots": "class C:\n __slots__ = ('__k',)\n def __init__(s): s.__k = {0}\nc = C()\ndef measure(): return c",
    "own kind of array": "class A(np.ndarray): k = {0}\na = np.zeros(2).view(A)\na.by = {1}\ndef measure(): return a",
    "under a library's name": "n = dict(__name__='builtins', k={0})\nf = 'def h(x): return k + {1}'\nexec(f, n)\nh = n['h']" + USES,
    "under superpos's name": "n = dict(__name__='superpos.toy', k={0})\nf = 'def h(x): return k'\nexec(f, n)\nh = n['h']" + USES,
    "partial method": "class C:\n def f(s, x): return x\n g = functools.partialmethod(f, {0})\ndef measure(): return C().g()",
    "nested class": "class C:\n class D:\n  k = {0}\ndef measure(): return C.D().k",
    "property's object": "o = [{0}]\nclass C:\n k = property(lambda s: o[0])\nc = C()\ndef measure(): return c.k",
    "lambda in a list": "fs = [lambda x: x + {0}]\ndef measure(): return fs[0](1)",
    "data class": "@dataclasses.dataclass\nclass C:\n k: int = {0}\ndef measure(): return C().k",
    "property": "class C:\n @property\n def k(s): return {0}\ndef measure(): return C().k",
    "compiled": "@jax.jit\ndef h(x): return x + {0}" + USES,
    "compiled itself": "@jax.jit\ndef measure(): return {0}",
    "mapped": "h = jax.vmap(lambda x: x + {0}, in_axes={1} - 1)" + USES,
    "derivative": "@jax.custom_jvp\ndef h(x): return x\n@h.defjvp\ndef j(p, t): return p[0], {0} * t[0]" + USES,
    "cached": "@functools.cache\ndef h(x): return x + {0}" + USES,
    "vectorised": "h = np.vectorize(lambda x: x + {0})" + USES,
    "dispatched": "@functools.singledispatch\ndef h(x): return 1\n@h.register(int)\ndef _(x): return {0}" + USES,
    "generator function": "def g():\n yield {0}\ndef measure(): return list(g())",
    "each other": "def g(n): return measure(n) if n else {0}\ndef measure(n=0): return g(n)",
    "random state": "np.random.seed({0})\ndef measure(): return np.random.rand()",
    "random state of Python": "random.seed({0})\ndef measure(): return random.random()",
    "generator of numbers": "rng = np.random.default_rng({0})\ndef measure(): return rng.random()",
    "key": "key = jax.random.key({0})\ndef measure(): return key",
    "attribute of a variable": "d = xr.Dataset({{'x': ((), 1, {{'u': {0}}})}})\ndef measure(): return d",
    "getter": "h = operator.itemgetter({0})\ndef measure(): return h([1, 2, 3])",
    "method of a list": "h = [{0}, 2].index" + USES,
    "attribute": "def measure(): return measure.k\nmeasure.k = {0}",
    "shadowed": "def sum(x): return {0}\ndef measure(): return sum([1])",
}  # fmt: skip


@pytest.mark.parametrize("source", CHANGES.values(), ids=CHANGES)
def test_every_number_that_code_reaches_counts_and_comments_do_not(source):
    values = [1, 1, 1]
    first = digest(source.format(*values))
    assert digest("# a comment\n\n\n" + source.format(*values) + "  # another") == first
    for k in range(3):
        if f"{{{k}}}" in source:
            assert digest(source.format(*[2 if j == k else 1 for j in range(3)])) != first, k


def test_types_and_signs_count_and_docstrings_do_not():
    found = {digest(f"def measure(): return {value}") for value in ("0", "0.0", "-0.0", "False", "'0'", "0j")}
    assert len(found) == 6
    assert digest("def measure():\n 'a'\n return 1") == digest("def measure():\n return 1")
    assert digest("def measure():\n 'a'\n return 'a'") != digest("def measure():\n 'b'\n return 'b'")


def test_what_is_only_added_to_is_no_input():
    assert digest("calls = []\ndef measure(): calls.append(1)") == digest("calls = [3]\ndef measure(): calls.append(1)")
    reads = "\ndef measure():\n calls.append(1)\n return len(calls)"
    assert digest("calls = []" + reads) != digest("calls = [3]" + reads)


@pytest.mark.parametrize(
    "source",
    [
        "def measure(): return eval('1')", "def measure(): return globals()['k']",
        "g = (i for i in range(3))\ndef measure(): return list(g)", "import threading\nh = threading.Lock()" + USES,
        "from importlib import import_module\ndef measure(): return import_module('x')",
        "import sys\ndef measure(): return sys.modules['x']",
        "import os\ndef measure(): return os.environ['x']", "from os import getenv\ndef measure(): return getenv('x')",
        "h = np.frompyfunc(lambda x: x, 1, 1)" + USES,
    ],
)  # fmt: skip
def test_what_cannot_be_known_is_refused(source):
    with pytest.raises(sp.ConfigError, match=r"^measure .*what it depends on cannot be known"):
        digest(source)


def test_what_fails_when_it_is_looked_at_is_refused():
    with pytest.raises(sp.ConfigError, match=r"^measure → c.* cannot be looked at"):
        digest("class C:\n def __getattr__(s, n): raise KeyError(n)\nc = C()\ndef measure(): return c.k")


def test_a_cell_edited_in_a_notebook_is_computed_again(tmp_path):
    shell = InteractiveShell()
    shell.push({"path": str(tmp_path / "r.zarr")})

    def run(cell):
        return shell.run_cell(cell, store_history=True).raise_error()

    def cached():
        run("found = float(sp.cached(path, measure)['x'])")
        return shell.user_ns["found"]

    run("import superpos as sp, xarray as xr\nk, calls = 3, []")
    run("def measure():\n    calls.append(1)\n    return xr.Dataset({'x': 1.0 * k})")
    assert (cached(), cached()) == (3, 3)
    run("def measure():\n    calls.append(1)  # the same\n\n    return xr.Dataset({'x': 1.0 * k})")
    assert cached() == 3 and len(shell.user_ns["calls"]) == 1
    run("def measure():\n    calls.append(1)\n    return xr.Dataset({'x': 2.0 * k})")
    assert cached() == 6
    run("k = 5")
    assert cached() == 10 and len(shell.user_ns["calls"]) == 3


def test_a_module_imported_by_a_function_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "def measure():\n    from helper_of_this_test import f\n    return f()"
    (tmp_path / "helper_of_this_test.py").write_text("def f():\n    return 1\n")
    first = digest(source)
    import helper_of_this_test  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(helper_of_this_test, "f", lambda: 2)
    assert digest(source) != first


# --- tables that are hard to write -----------------------------------------------------------------------------------


NAN = np.array([0x7FF8000000000123, 0x7FF0000000000001], np.uint64).view(np.float64)
ARRAYS = {
    "int64": np.array([2**40, -1]), "uint64": np.array([2**64 - 1], np.uint64), "uint8": np.array([255], np.uint8),
    "bool": np.array([True, False]), "complex": np.array([1 + 2j]), "float16": np.array([1.5, np.nan], np.float16),
    "nan": NAN, "minus zero": np.array([-0.0]), "big-endian": np.array([1.0, 2.0], ">f8"), "big whole": np.array([2**40], ">i8"),
    "objects": np.array([None, 1, "a", 2.5, (1, 2), True], object), "words": np.array(["é", "日本", "", "a\0b"]),
    "surrogate": np.array(["\ud800"]), "bytes": np.array([b"a", b"\xff\0b"]), "long": np.array([1.1], np.longdouble),
    "time": np.array(["2020-01-01", "NaT"], "datetime64[ns]"), "span": np.array([3], "timedelta64[ns]"),
    "none": np.zeros((0, 3), np.int64), "no words": np.zeros(0, "U3"), "record": np.array([(1, 2.0)], [("a", int), ("b", float)]),
}  # fmt: skip


def same(a, b):
    assert a.identical(b) and {str(n): v.dtype for n, v in a.variables.items()} == {
        str(n): v.dtype for n, v in b.variables.items()
    }


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_every_type_comes_back_bit_by_bit(array):
    table = xr.Dataset({"x": (("p", "q")[: array.ndim], array)}, {"p": np.arange(len(array))})
    found = tables.decode(tables.encode(table))
    same(found, table)
    assert array.dtype.hasobject or found["x"].values.tobytes() == array.tobytes()


def test_indexes_names_and_attributes_come_back():
    several = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["u", "v"])
    odd = {"n": np.arange(2), "t": (1, (2,)), "none": None, "keys": {1: 2}, "c": 1j, "b": b"x", "f": np.float32(2)}
    encoded = xr.Dataset({"x": ("d", [1.0, 2.0])})
    encoded["x"].encoding = {"dtype": "int16", "scale_factor": 0.1, "_FillValue": -1}
    for table in (
        xr.Dataset({"x": ("c", [1, 2])}, xr.Coordinates.from_pandas_multiindex(several, "c")),
        xr.Dataset({"x": ("d", [3.0], odd)}, {"d": ("d", [1], odd)}, odd),
        xr.Dataset({"": ("a/b", [1.0]), "superpos_table": ("string2", [1]), "words": ("w", ["ab"])}),
        xr.Dataset({"x": ("d", [1.0])}, {"d": [3]}).drop_indexes("d"),
        encoded,
    ):
        found = tables.decode(tables.encode(table))
        same(found, table)
        assert set(found.xindexes) == set(table.xindexes)


@pytest.mark.parametrize("value", [xr.Dataset({"x": 1}, attrs={"f": object()}), xr.DataArray(1), None])
def test_what_no_file_holds_is_returned_and_not_lost(tmp_path, caplog, value):
    def measure():
        return value

    measure.__qualname__ = "measure"
    with caplog.at_level(logging.WARNING):
        assert sp.cached(tmp_path / "r.zarr", measure) is value
    assert "r.measure.nc could not be cached" in caplog.text and not list(tmp_path.iterdir())


# --- tasks of one's own ----------------------------------------------------------------------------------------------

NUMERIC = ["feature_probability", "importance", "init_scale", "hidden_l1"]
TASK = """
def factor(): return {factor}
class Mine(sp.tasks.Toy):
    {comment}
    def init(self, key):
        return jax.tree.map(lambda leaf: leaf * factor(), super().init(key))
"""


def mine(factor=1.0, comment="'''Words.'''"):
    """A task as a notebook's cell defines it."""
    space = {"__name__": "__main__", "sp": sp, "jax": jax}
    exec(TASK.format(factor=factor, comment=comment), space)
    names = [f.name for f in dataclasses.fields(sp.tasks.Toy) if f.name not in NUMERIC]
    jax.tree_util.register_dataclass(space["Mine"], NUMERIC, names)
    return space["Mine"](n_features=3, n_hidden=2, magnitude="constant")


CONFIG = sp.TrainConfig(steps=2, batch_size=8, evaluation_samples=16)


def swept(task, path=None, **options):
    return sp.sweep(task, CONFIG, sp.Grid(seed=range(2)), path, block_size=2, **options)


@pytest.mark.slow
def test_a_task_whose_code_changed_is_another_sweep(tmp_path):
    path = tmp_path / "r.zarr"
    first = swept(mine(), path)
    assert first.attrs["code"]["digest"] == swept(mine(comment="# other words"), path).attrs["code"]["digest"]
    with pytest.raises(sp.ConfigError, match="the task's code changed"):  # a finished one
        swept(mine(2.0), path)
    (path / "status" / "c.0").unlink()
    for options in ({}, {"worker": (0, 2)}):
        with pytest.raises(sp.ConfigError, match="the task's code changed"):  # and one to go on with
            swept(mine(2.0), path, **options)
    again = swept(mine(), path)
    assert again["W"].values.tobytes() == first["W"].values.tobytes()


@pytest.mark.slow
def test_built_in_tasks_state_no_code_and_methods_put_into_them_do(tmp_path, monkeypatch):
    """In one process, too: a changed method is another program."""
    task = sp.tasks.Toy(n_features=3, n_hidden=2, magnitude="constant")
    plain = swept(task, tmp_path / "r.zarr")
    assert "code" not in plain.attrs
    alone, old = sp.train(task, CONFIG).model.W[...], sp.tasks.Toy.init
    with monkeypatch.context() as patched:
        patched.setattr(sp.tasks.Toy, "init", lambda self, key: jax.tree.map(lambda leaf: 2 * leaf, old(self, key)))
        other = swept(task)
        assert other.attrs["code"] and np.any(other["W"].values != plain["W"].values)
        assert np.any(np.asarray(sp.train(task, CONFIG).model.W[...] != alone))
        with pytest.raises(sp.ConfigError, match="does not say which code"):
            swept(task, tmp_path / "r.zarr")
    assert code_of(task, CONFIG) is None
    assert swept(task)["W"].values.tobytes() == plain["W"].values.tobytes()


@pytest.mark.slow
def test_a_task_whose_code_cannot_be_known_is_not_stored(tmp_path):
    task = mine("eval('1.0')")
    with pytest.raises(sp.ConfigError, match="task cannot be swept to a store: Mine → .*uses eval"):
        swept(task, tmp_path / "r.zarr")
    assert not list(tmp_path.iterdir())
    assert "uses eval" in swept(task).attrs["code"]["unknown"]


def test_what_a_class_shows_of_itself_is_no_part_of_its_code():
    """Else tables would depend on the front of the package, and so on every experiment."""
    modules = identity_of(sp.tasks.Toy, "Toy").modules
    assert "superpos.models.toy" in modules and "superpos" not in modules
