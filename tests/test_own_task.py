"""A task from outside the package: everything a built-in one can do, from a second process, too."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import own_tasks
import pytest
import snippets
from flax import nnx
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.cli import main
from superpos.identity import code_of
from superpos.sweeping.engines.ray import module_of
from superpos.tasks import Task
from superpos.tasks.registry import described_as
from superpos.training.loop import check_kinds

HERE = Path(__file__).parent
TASK = own_tasks.Ring(n_features=6)
SHORT = sp.TrainConfig(steps=20, history=4)
SWEEP = """
[task]
kind = "ring"
n_features = 6
[train]
steps = 20
history = 4
[grid]
width = {values = [0.1, 0.2]}
seed = {range = 3}
[sweep]
block_size = 2
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "ring.zarr"
    sp.sweep(TASK, SHORT, sp.Grid(width=[0.1, 0.2], seed=range(3)), path, block_size=2)
    return path


def elsewhere(code, folder):
    """What code prints in another process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(HERE.parent), str(HERE))), "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["superpos", "sweep", "ring.toml", *arguments])
    main()


def test_what_a_result_asks_its_task_has_an_answer_also_where_the_class_is_missing():
    assert described_as("nowhere.Ring") is Task and not described_as("toy").TRAINS_AUTOENCODERS
    assert described_as("sparse_autoencoder").TRAINS_AUTOENCODERS
    assert "activation" not in described_as("sparse_autoencoder").SUMMARY  # that of what it reads, not its own


def test_a_result_gives_back_task_model_geometry_caption_and_page(store, tmp_path):
    result = sp.open(store)
    task = result.task(width=0.2, seed=1)
    assert isinstance(task, own_tasks.Ring) and float(task.width) == np.float32(0.2)
    model = result.model(width=0.2, seed=1)
    alone = sp.train(dataclasses.replace(TASK, width=0.2), SHORT, seed=1)
    assert_allclose(model.W[...], alone.model.W[...], rtol=1e-5)
    assert result.geometry()["shape"].shape == (2, 3)
    assert "6 features in 2 hidden dimensions; width swept" in sp.plot.caption(result.attrs)
    assert "ring models" in repr(result) and "largest_history" in result.dataset
    result.explore(tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size > 10_000


@pytest.mark.slow
def test_the_same_from_the_command_line_and_in_another_process(store, tmp_path, monkeypatch, capsys):
    (tmp_path / "ring.toml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    command(monkeypatch, "--import", "own_tasks", "--out", str(store))  # it is there: nothing is trained
    assert "6 ring models" in capsys.readouterr().out
    code = (
        "import json, superpos as sp\n"
        f"result = sp.open({str(store)!r})\n"
        "said = [result['W'].sum().item()]\n"
        "try: result.model(width=.1, seed=0)\n"
        "except sp.ConfigError as error: said.append(str(error))\n"
        "import own_tasks\n"
        "said += [type(result.task(width=.1, seed=0)).__name__, result.model(width=.1, seed=0).W[...].sum().item()]\n"
        "print(json.dumps(said))"
    )
    W, sentence, name, sum_ = json.loads(elsewhere(code, tmp_path))
    assert sp.open(store)["W"].sum().item() == W and name == "Ring"
    assert sum_ == pytest.approx(float(sp.open(store).model(width=0.1, seed=0).W[...].sum()))
    assert "got 'ring'" in sentence and "imported" in sentence and "\n" not in sentence


@pytest.mark.slow
@pytest.mark.optimized
def test_an_unfinished_sweep_goes_on_in_another_process(tmp_path):
    grid = "sp.Grid(width=[.1, .2], seed=range(3))"
    begin = (
        "import superpos as sp, own_tasks\n"
        f"sp.sweep(own_tasks.Ring(n_features=6), sp.TrainConfig(steps=20, history=4), {grid}, 'r.zarr', block_size=2"
    )
    elsewhere(begin + ", worker='0/2')", tmp_path)
    assert sp.open(tmp_path / "r.zarr").missing.any()
    elsewhere(begin + ")", tmp_path)
    whole = sp.sweep(TASK, SHORT, sp.Grid(width=[0.1, 0.2], seed=range(3)), block_size=2)
    assert_array_equal(sp.open(tmp_path / "r.zarr")["W"], whole["W"])


def test_a_module_that_cannot_be_imported_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "ring.toml").write_text(SWEEP)
    (tmp_path / "broken_tasks.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for module, said in (("nowhere_tasks", "ModuleNotFoundError"), ("broken_tasks", "division"), ("../x", "must name")):
        with pytest.raises(SystemExit) as ended:
            command(monkeypatch, "--import", module)
        error = capsys.readouterr().err
        assert ended.value.code == 2 and said in error and error.count("\n") == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("kind", "said"),
    [("Ring", "lower-case"), ("a.b", "lower-case"), ("", "lower-case"), (3, "lower-case"), ("toy", "taken")],
)
def test_names_that_cannot_be_given(kind, said):
    with pytest.raises(sp.ConfigError, match=said):
        sp.tasks.register(kind)(own_tasks.Ring)


def test_only_dataclasses_that_derive_from_task_are_registered():
    class Plain:
        pass

    class NoDataclass(own_tasks.Ring):
        pass

    for cls in (Plain, NoDataclass, TASK, None):
        with pytest.raises(sp.ConfigError, match="dataclass that derives"):
            sp.tasks.register("plain")(cls)
    with pytest.raises(sp.ConfigError, match="derives from superpos"):
        check_kinds(type("Almost", (), {"init": None, "loss": None})(), SHORT)


@pytest.mark.parametrize("name", ["width", "seed", "loss"])
def test_a_parameter_with_the_name_of_something_else_in_a_result_is_refused_before_training(name):
    class Named(own_tasks.Ring):
        def init(self, key):
            return nnx.Dict({name: nnx.Param(super().init(key).W[...])})

        def loss(self, model, key, batch_size):
            return jnp.mean(model[name][...] ** 2), {}

    jax.tree_util.register_dataclass(Named, ["width"], ["n_features", "n_hidden"])
    with pytest.raises(sp.ConfigError, match=f"parameter {name} of the model has the name of something else"):
        sp.sweep(Named(n_features=3), SHORT, sp.Grid(width=[0.1, 0.2]), progress=False)


@pytest.mark.parametrize("name", ["kind", "seed", "learning_rate"])
def test_fields_that_would_be_taken_for_something_else_are_refused(name, tmp_path):
    named = dataclasses.make_dataclass(
        "Named", [(name, float, 0.1)], bases=(own_tasks.Ring,), frozen=True, kw_only=True
    )
    sp.tasks.register("named_of_this_test")(named)
    try:
        for begin in (
            lambda: sp.train(named(n_features=3), SHORT),
            lambda: sp.sweep(named(n_features=3), SHORT, sp.Grid(width=[0.1, 0.2]), tmp_path / "r.zarr"),
        ):
            with pytest.raises(sp.ConfigError, match=f"task Named may have no field {name}"):
                begin()
    finally:
        del sp.tasks.REGISTRY["named_of_this_test"]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_class_may_be_defined_anew_and_needs_no_name():
    def define(scale):
        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Scaled(own_tasks.Ring):
            def loss(self, model, key, batch_size):
                loss, metrics = super().loss(model, key, batch_size)
                return scale * loss, metrics

        jax.tree_util.register_dataclass(Scaled, ["width"], ["n_features", "n_hidden"])
        return Scaled

    first = sp.sweep(define(1.0)(n_features=3), SHORT, sp.Grid(seed=[0]), block_size=1)
    again = sp.sweep(define(2.0)(n_features=3), SHORT, sp.Grid(seed=[0]), block_size=1)
    assert_allclose(again["loss_history"][..., 0], 2 * first["loss_history"][..., 0], rtol=1e-5)
    assert type(again.task()).__name__ == "Scaled"  # by module and class, while it lives
    sp.tasks.register("ring")(own_tasks.Ring)  # the same class, as when a notebook's cell runs again


def test_code_of_one_task_does_not_depend_on_which_others_are_registered():
    before = code_of(TASK)

    @sp.tasks.register("another_of_this_test")
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Another(own_tasks.Ring):
        pass

    try:
        assert code_of(TASK) == before
        assert code_of(Another(n_features=3)) != before
    finally:
        del sp.tasks.REGISTRY["another_of_this_test"]


def test_defaults_of_the_base_class():
    assert TASK.expected_loss(None) is None and TASK.evaluation_task() is TASK and TASK.unread() == {}
    full = TASK.broadcast()
    assert isinstance(full.width, jax.Array) and full.precompute() is full
    assert TASK.elements_per_step(2_048) > 1.9 * TASK.elements_per_step(1_024) > 1.9 * 10 * 6 * 1_024
    with pytest.raises(sp.ConfigError, match="width"):
        dataclasses.replace(TASK, width=np.nan).check()
    with pytest.raises(TypeError, match="abstract"):
        sp.tasks.Task()


def test_ray_is_told_that_a_script_cannot_be_imported(monkeypatch):
    assert module_of("ring") == "own_tasks" and module_of("toy") == "superpos.tasks.toy"
    monkeypatch.setattr(own_tasks.Ring, "__module__", "__main__")
    with pytest.raises(sp.ConfigError, match="module of its own"):
        module_of("ring")


@pytest.mark.slow
def test_map_applies_a_function_of_one_model_to_every_cell():
    result = sp.sweep(
        sp.tasks.Toy(n_features=4, n_hidden=1, magnitude="constant"),  # no exact loss, which compiles slowly
        SHORT,
        sp.Grid(n_hidden=[1, 2], feature_probability=[0.1, 0.5]),
        block_size=2,
    )
    bad = result.dataset.copy(deep=True)
    bad["diverged_step"][1, 1] = 3
    result = sp.SweepResult(bad)

    def measured(model, task):
        return {
            "rows": jnp.linalg.norm(model.W[...], axis=1),
            "p": task.feature_probability[0],
            "n": jnp.int32(model.W.shape[0]),
        }

    for at_once in (1, 3):
        table = result.map(measured, dims={"rows": ("hidden_unit",)}, at_once=at_once)
        assert table["rows"].dims == ("n_hidden", "feature_probability", "hidden_unit")
        assert table["n"].values.tolist() == [[1, 1], [2, -1]]
        assert_allclose(table["p"], [[0.1, 0.5], [0.1, np.nan]], rtol=1e-6)
        for m, p in ((1, 0.1), (1, 0.5), (2, 0.1)):
            W = np.asarray(result.model(n_hidden=m, feature_probability=p).W[...])
            row = table["rows"].sel(n_hidden=m, feature_probability=p)
            assert_allclose(row[:m], np.linalg.norm(W, axis=1), rtol=1e-6)
            assert np.isnan(row[m:]).all()
        assert np.isnan(table["rows"][1, 1]).all()
    norms = result.sel(n_hidden=2, feature_probability=0.1).map(lambda model: jnp.sum(model.W[...] ** 2))
    assert norms.shape == () and float(norms) == pytest.approx(float((result["W"][1, 0] ** 2).sum()), rel=1e-6)


def test_map_refuses_what_is_no_analyser(store):
    result = sp.open(store)
    with pytest.raises(sp.ConfigError, match="function of one model"):
        result.map(3)
    with pytest.raises(sp.ConfigError, match="3 arguments"):
        result.map(lambda a, b, c: a)
    with pytest.raises(sp.ConfigError, match="failed for one model.*ZeroDivision"):
        result.map(lambda model: 1 / 0)
    with pytest.raises(sp.ConfigError, match="must be an array"):
        result.map(lambda model: {"a": {"b": model.W[...]}})
    with pytest.raises(sp.ConfigError, match="1 names"):
        result.map(lambda model: {"a": model.b[...]}, dims={"a": ("x", "y")})
    with pytest.raises(sp.ConfigError, match="at_once"):
        result.map(lambda model: model.b[...], at_once=0)


def test_the_example_of_the_page_on_tasks_runs():
    try:
        names = snippets.run(HERE.parent / "docs" / "own" / "task.md")
        assert names["lines"].sizes == {"width": 2, "seed": 4} and names["lines"].attrs["task"]["kind"] == "line"
    finally:
        sp.tasks.REGISTRY.pop("line", None)
