"""Every wrong setting is refused in one sentence that names the field; nothing is trained, nothing is written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import superpos as sp
from superpos.cli import main

# Users run without the tests' type checker, which would refuse some of this first, in its own words.
pytestmark = pytest.mark.usefixtures("unchecked")

TASK = {"n_features": 5, "n_hidden": 2}
SHORT = {"steps": 3, "batch_size": 4, "evaluation_samples": 4}
PAIRS = {"feature_probability": 0.6, "anticorrelated_sets": ((0, 1),)}

# Which field the sentence must name, task fields, config fields, grid axes.
SETTINGS = [
    ("n_features", {"n_features": 0}, {}, {}),
    ("n_features", {"n_features": 2.5}, {}, {}),
    ("n_hidden", {"n_hidden": 0}, {}, {}),
    ("n_hidden", {"n_hidden": -3}, {}, {}),
    ("n_hidden", {"n_hidden": True}, {}, {}),
    ("n_hidden", {"n_hidden": "2"}, {}, {}),
    ("feature_probability", {"feature_probability": 0.0}, {}, {}),
    ("feature_probability", {"feature_probability": 1.5}, {}, {}),
    ("feature_probability", {"feature_probability": -0.1}, {}, {}),
    ("feature_probability", {"feature_probability": 3}, {}, {}),
    ("feature_probability", {"feature_probability": float("nan")}, {}, {}),
    ("feature_probability", {"feature_probability": np.full(4, 0.5)}, {}, {}),
    ("feature_probability", {"feature_probability": np.full((5, 5), 0.5)}, {}, {}),
    ("feature_probability", {"feature_probability": "half"}, {}, {}),
    ("feature_probability", {"feature_probability": None}, {}, {}),
    ("feature_probability", {"feature_probability": [0.5, 0.5, "x", 0.5, 0.5]}, {}, {}),
    ("importance", {"importance": float("nan")}, {}, {}),
    ("importance", {"importance": float("inf")}, {}, {}),
    ("importance", {"importance": -1.0}, {}, {}),
    ("importance", {"importance": np.ones(6)}, {}, {}),
    ("importance", {"importance": np.ones(5) * 1j}, {}, {}),
    ("init_scale", {"init_scale": -1.0}, {}, {}),
    ("init_scale", {"init_scale": np.ones(5)}, {}, {}),
    ("activation", {"activation": "rleu"}, {}, {}),
    ("bias", {"bias": 1}, {}, {}),
    ("loss_exponent", {"loss_exponent": 0}, {}, {}),
    ("loss_exponent", {"loss_exponent": 2.0}, {}, {}),
    ("magnitude", {"magnitude": "gaussian"}, {}, {}),
    ("correlated_sets", {"correlated_sets": ((0, 7),)}, {}, {}),
    ("correlated_sets", {"correlated_sets": ((0,),)}, {}, {}),
    ("anticorrelated_sets", {"correlated_sets": ((0, 1),), "anticorrelated_sets": ((1, 2),)}, {}, {}),
    ("feature_probability", {"feature_probability": np.linspace(0.1, 0.5, 5), "correlated_sets": ((0, 1),)}, {}, {}),
    ("feature_probability", PAIRS, {}, {}),
    ("steps", {}, {"steps": -1}, {}),
    ("steps", {}, {"steps": 0}, {}),
    ("steps", {}, {"steps": 1e3}, {}),
    ("steps", {}, {"steps": 2**40}, {}),
    ("batch_size", {}, {"batch_size": 0}, {}),
    ("learning_rate", {}, {"learning_rate": 0.0}, {}),
    ("learning_rate", {}, {"learning_rate": float("nan")}, {}),
    ("learning_rate", {}, {"learning_rate": np.ones(2)}, {}),
    ("weight_decay", {}, {"weight_decay": -0.1}, {}),
    ("beta1", {}, {"beta1": 1.0}, {}),
    ("beta2", {}, {"beta2": -0.1}, {}),
    ("epsilon", {}, {"epsilon": 0.0}, {}),
    ("optimizer", {}, {"optimizer": "adamm"}, {}),
    ("schedule", {}, {"schedule": "cosin"}, {}),
    ("warmup_steps", {}, {"warmup_steps": 3}, {}),
    ("decay_bias", {}, {"decay_bias": "yes"}, {}),
    ("history", {}, {"history": 0}, {}),
    ("snapshots", {}, {"snapshots": (2, 1)}, {}),
    ("snapshots", {}, {"snapshots": (9,)}, {}),
    ("evaluation_samples", {}, {"evaluation_samples": 0}, {}),
    ("seed", {}, {}, {"seed": []}),
    ("seed", {}, {}, {"seed": [-1]}),
    ("seed", {}, {}, {"seed": [0.5]}),
    ("got 2.5", {}, {}, {"seed": [1, 2.5]}),
    ("seed", {}, {}, {"seed": [2**33]}),
    ("seed", {}, {}, {"seed": [1, 1]}),
    ("seed", {}, {}, {"seed": 4}),
    ("seed", {}, {}, {"seed": "0"}),
    ("sparsity", {}, {}, {"sparsity": [0.5]}),
    ("lr", {}, {}, {"lr": [0.5]}),
    ("feature_probability", {}, {}, {"feature_probability": [0.5, 0.0]}),
    ("feature_probability", {}, {}, {"feature_probability": [0.5, 1.2]}),
    ("feature_probability", {}, {}, {"feature_probability": [0.5, float("nan")]}),
    ("feature_probability", {}, {}, {"feature_probability": ["a"]}),
    ("feature_probability", {}, {}, {"feature_probability": [[0.5], [0.2]]}),
    ("feature_probability", {}, {}, {"feature_probability": [0.5, "a"]}),
    ("feature_probability", {"anticorrelated_sets": ((0, 1),)}, {}, {"feature_probability": [0.3, 0.6]}),
    ("learning_rate", {}, {}, {"learning_rate": [0.1, -0.1]}),
    ("learning_rate", {}, {}, {"learning_rate": [1e300]}),
    ("n_hidden", {}, {}, {"n_hidden": [2, 0]}),
    ("n_hidden", {}, {}, {"n_hidden": [2.5]}),
    ("importance", {"importance": np.ones(5)}, {}, {"n_features": [5, 6]}),
    ("activation", {}, {}, {"activation": ["relu", "tanh"]}),
    ("history", {}, {}, {"history": [10, 20]}),
    ("correlated_sets", {}, {}, {"correlated_sets": [1]}),
    ("importance[9]", {}, {}, {"r": lambda: sp.entry("importance", 9, [1.0])}),
    ("init_scale", {}, {}, {"r": lambda: sp.entry("init_scale", 0, [1.0])}),
    ("importanc", {}, {}, {"r": lambda: sp.decay("importanc", [0.5])}),
    ("n_hidden", {}, {}, {"r": lambda: sp.entry("n_hidden", 0, [2])}),
    (
        "importance[-1]",
        {},
        {},
        {"a": lambda: sp.entry("importance", -1, [1]), "b": lambda: sp.entry("importance", -1, [2])},
    ),
    ("importance", {}, {}, {"r": lambda: sp.entry("importance", -1, [-2.0])}),
    ("seed", {}, {}, {"s": lambda: sp.entry("seed", 0, [3, 4])}),
    (
        "importance[4]",
        {},
        {},
        {"a": lambda: sp.entry("importance", -1, [1]), "b": lambda: sp.entry("importance", 4, [2])},
    ),
    ("n_hidden", {}, {}, {"n_hidden": lambda: sp.entry("importance", 0, [1.0])}),
    ("seed", {}, {}, {"seed": lambda: sp.entry("importance", 0, [1.0])}),
    ("entry('importance')", {}, {}, {"r": lambda: sp.entry("importance", 0, ["a"])}),
    *[
        (name, {}, {}, {name: lambda: sp.entry("importance", 0, [1.0])})
        for name in ("W", "loss", "feature", "shape", "W_history")
    ],
    ("a b", {}, {}, {"a b": lambda: sp.entry("importance", 0, [1.0])}),
    ("correlated_sets", {"correlated_sets": (0, 1)}, {}, {}),
    ("anticorrelated_sets", {"anticorrelated_sets": 3}, {}, {}),
    ("snapshots", {}, {"snapshots": 2}, {}),
    ("snapshots", {}, {"snapshots": np.array([0, 2])}, {}),
    ("feature_probability", {"feature_probability": 1e-50}, {}, {}),
    ("beta1", {}, {"beta1": 1 - 1e-12}, {}),
    ("importance", {"importance": [[1], [2, 3]]}, {}, {}),
    ("activation", {"activation": np.array(["relu", "gelu"])}, {}, {}),
    ("n_features", {"n_features": 10**9}, {}, {}),
    ("n_features × n_hidden", {"n_features": 10**6, "n_hidden": 10**6}, {}, {}),
    ("grid of", {}, {}, {"learning_rate": np.linspace(0.1, 1, 20_000), "epsilon": np.linspace(0.1, 1, 20_000)}),
]


@pytest.mark.parametrize(
    ("field", "task", "config", "axes"), SETTINGS, ids=[f"{k}-{s[0]}" for k, s in enumerate(SETTINGS)]
)
def test_wrong_settings_are_refused_by_name(field, task, config, axes, tmp_path):
    def attempt():
        grid = sp.Grid(**{name: v() if callable(v) else v for name, v in ({"seed": [0]} | axes).items()})
        sp.sweep(
            sp.tasks.Toy(**{**TASK, **task}), sp.TrainConfig(**{**SHORT, **config}), grid, store=tmp_path / "r.zarr"
        )

    with pytest.raises(sp.ConfigError) as caught:
        attempt()
    message = str(caught.value)
    assert field in message
    assert message.count("\n") == 0 and message.endswith((".", "?")) and len(message) < 420
    assert not list(tmp_path.iterdir())
    if not axes:  # train refuses what sweep refuses, in the same words
        with pytest.raises(sp.ConfigError, match=field):
            sp.train(sp.tasks.Toy(**{**TASK, **task}), sp.TrainConfig(**{**SHORT, **config}))


@pytest.mark.parametrize(
    ("attempt", "word"),
    [
        (lambda: sp.Grid(), "grid"),
        (lambda: sp.Grid.zipped(seed=[0], learning_rate=[0.1, 0.2]), "equal lengths"),
        (lambda: sp.Grid.random(0, seed=[0]), "n_cells"),
        (lambda: sp.Grid.points([]), "points"),
        (lambda: sp.Grid.points([{"seed": 0}, {"learning_rate": 0.1}]), "point 1"),
        (lambda: sp.Grid(cell=[1]), "cell"),
        (lambda: sp.sweep(sp.tasks.Toy(**TASK)), "grid is missing"),
        (lambda: sp.sweep("toy", grid=sp.Grid(seed=[0])), "task must be"),
        (lambda: sp.train(sp.tasks.Toy(**TASK), {"steps": 3}), "config must be"),
        (lambda: sp.train(sp.tasks.Toy(**TASK), seed=-1), "seed"),
        (lambda: sp.train(sp.tasks.Toy(**TASK), seed=1.5), "seed"),
        (lambda: sp.sweep(sp.tasks.Toy(**TASK), grid=sp.Grid(seed=[0]), block_size=0), "block_size"),
        (lambda: sp.sweep(sp.tasks.Toy(**TASK), grid=sp.Grid(seed=[0]), memory_budget="lots"), "memory_budget"),
        (lambda: sp.sweep(sp.tasks.Toy(**TASK), grid=sp.Grid(seed=[0]), memory_budget=10), "memory_budget"),
        (lambda: sp.sweep(sp.tasks.Toy(**TASK), grid=sp.Grid(seed=[0]), devices=[]), "devices"),
        (lambda: sp.sweep(sp.tasks.Toy(**TASK), grid={"seed": [0]}), "grid must be"),
        (lambda: sp.sweep(sp.tasks.Toy(**TASK), grid=sp.Grid(seed=[0]), devices=["cpu"]), "devices"),
        (lambda: sp.sweep(sp.tasks.Toy(**TASK), grid=sp.Grid(seed=[0]), store=5), "output path"),
        (lambda: sp.train(sp.tasks.Toy), "task must be"),
        (lambda: sp.Grid.random(3, p=scipy.stats.loguniform), "distribution"),
        (lambda: sp.open(None), "path"),
        (
            lambda: sp.sweep(sp.tasks.Toy(**TASK), None, sp.Grid(seed=[0]), "/proc/x/r.zarr"),
            "cannot be written",
        ),
        (lambda: sp.FeatureDistribution(n_features=2).moment(4), "order"),
        (lambda: sp.ToyModel(np.ones((1, 2), np.float32), activation="foo"), "activation"),
        (lambda: sp.geometry([[1e20, -1e20]]), r"W must lie within ±1e\+15"),
        (lambda: sp.geometry([[1, 2], [3]]), "ragged"),
    ],
    ids=range(26),
)
def test_wrong_calls_are_refused_by_name(attempt, word):
    with pytest.raises((sp.ConfigError, sp.StoreError), match=word):
        attempt()


def test_suggestions_know_synonyms_and_typos():
    for axes, hint in (
        ({"sparsity": [0.5]}, "feature_probability"),
        ({"learning_rat": [0.1]}, "Did you mean learning_rate?"),
    ):
        with pytest.raises(sp.ConfigError, match=hint.replace("?", r"\?")):
            sp.sweep(sp.tasks.Toy(**TASK), grid=sp.Grid(**axes))
    with pytest.raises(sp.ConfigError) as error:  # a word for a field is no value of another
        sp.tasks.Toy(n_features=2, n_hidden=1, activation="batch").check()
    assert "batch_size" not in str(error.value)


def test_questions_a_result_cannot_answer_are_refused_by_name(quick_result):
    for attempt, word in (
        (lambda: quick_result.sel(sparsity=0.5), "sparsity"),
        (lambda: quick_result.sel(feature_probability=0.123), "0.123"),
        (lambda: quick_result.best("learning_rate"), "learning_rate"),
        (lambda: quick_result.best("seed").best("seed"), "seed"),
        (lambda: quick_result.model(), "one cell"),
        (lambda: quick_result.sel(feature_probability=slice(0.5, 0.4)), "empty"),
        (lambda: quick_result.sel(seed=1).sel(seed=1), "seed"),
        (lambda: quick_result.sel(seed=1, method="closest"), "method"),
        (lambda: quick_result.isel(seed=9), "seed"),
        (lambda: quick_result["V"], "'V'"),
        (lambda: sp.plot.feature_directions(np.zeros((3, 5))), "2 hidden"),
        (lambda: sp.plot.feature_directions(np.zeros(3)), "one model"),
    ):
        with pytest.raises(sp.ConfigError, match=word):
            attempt()


# --- the command line -------------------------------------------------------------------------------------------------

GOOD = """
[task]
n_features = 5
n_hidden = 2
[train]
steps = 3
batch_size = 4
evaluation_samples = 4
[grid]
seed = [0]
"""

FILES = [
    ("n_hiden", GOOD.replace("n_hidden", "n_hiden"), []),
    ("n_hidden is missing", GOOD.replace("n_hidden = 2", ""), []),
    ("task", "[grid]\nseed=[0]", []),
    ("grid is missing", GOOD.split("[grid]")[0], []),
    ("trian", GOOD.replace("[train]", "[trian]"), []),
    ("TOML", "[task\n", []),
    ("TOML", GOOD + "seed = [1]\n", []),  # the same axis twice
    ("kind", GOOD.replace("[task]", "[task]\nkind = 'sae'"), []),
    ("importance", GOOD.replace("[task]", "[task]\nimportance = 'exp(i)'"), []),
    ("importance", GOOD.replace("[task]", "[task]\nimportance = [1, 2]"), []),
    ("importance", GOOD.replace("[task]", "[task]\nimportance = nan"), []),
    ("feature_probability", GOOD.replace("[task]", "[task]\nfeature_probability = 0"), []),
    ("steps", GOOD.replace("steps = 3", "steps = -5"), []),
    ("steps", GOOD.replace("steps = 3", "steps = '3'"), []),
    ("task", "task = 3\n[grid]\nseed=[0]", []),
    ("grid.seed", GOOD.replace("seed = [0]", "seed = { rnage = 3 }"), []),
    ("grid.seed", GOOD.replace("seed = [0]", "seed = { range = 3, values = [1] }"), []),
    ("seed", GOOD.replace("seed = [0]", "seed = { range = 0 }"), []),
    ("range", GOOD.replace("seed = [0]", "seed = { range = 100000000000 }"), []),
    ("geomspace", GOOD + "feature_probability = { geomspace = [0, 1, 5] }\n", []),
    ("linspace", GOOD + "feature_probability = { linspace = [0.1, 1] }\n", []),
    ("entry", GOOD + "r = { entry = 'importance', values = [1] }\n", []),
    ("design.kind", GOOD + "[design]\nkind = 'latin'\n", []),
    ("n_cells", GOOD + "[design]\nkind = 'random'\n", []),
    ("n_cells", GOOD + "[design]\nkind = 'zipped'\nn_cells = 3\n", []),
    ("points", GOOD + "[[points]]\nseed = 3\n", []),
    ("blok_size", GOOD + "[sweep]\nblok_size = 4\n", []),
    ("block_size", GOOD + "[sweep]\nblock_size = 0\n", []),
    ("distribution", GOOD + "feature_probability = { loguniform = [0.1, 1] }\n", []),
    ("override", GOOD, ["n_hidden=3"]),
    ("n_hiden", GOOD, ["task.n_hiden=3"]),
    ("tsak", GOOD, ["tsak.n_hidden=3"]),
    ("n_hidden", GOOD, ["task.n_hidden=two"]),
    ("steps", GOOD, ["train.steps=0"]),
    ("sparsity", GOOD, ["grid.sparsity=[0.5]"]),
    ("n_hidden", GOOD, ["task.n_hidden=3\nfoo=4"]),
    ("task", "task = [1]\n[grid]\nseed=[0]", ["task.n_hidden=3"]),
    ("self", GOOD + "self = [1]\n", []),
    ("range", GOOD.replace("seed = [0]", f"seed = {{ range = [0, {10**40}] }}"), []),
    ("TOML", GOOD.replace("n_hidden = 2", "n_hidden = " + "9" * 5000), []),
    ("importance", GOOD.replace("[task]", "[task]\nimportance = '1e200^i'"), []),
    ("n_features", GOOD.replace("n_features = 5", "n_features = 2000000000\nimportance = '0.5^i'"), []),
    ("memory_budget", GOOD + "[sweep]\nmemory_budget = '" + "9" * 400 + "'\n", []),
]


@pytest.mark.parametrize(("word", "text", "overrides"), FILES, ids=[f"{k}-{f[0]}" for k, f in enumerate(FILES)])
def test_wrong_sweep_files_end_with_code_2_and_one_sentence(word, text, overrides, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("sweep.toml").write_text(text)
    monkeypatch.setattr(sys, "argv", ["superpos", "sweep", "sweep.toml", *overrides])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1 and printed.err.startswith("superpos: ")
    assert word in printed.err
    assert sorted(os.listdir(tmp_path)) == ["sweep.toml"]


@pytest.mark.parametrize(
    ("arguments", "word", "code"),
    [
        (["sweep", "missing.toml"], "missing.toml", 2),
        (["sweep", "."], "cannot be read", 2),
        (["sweep", "good.toml", "--out", "taken"], "taken", 2),
        (["sweep", "good.toml", "--out", "taken", "--overwrite"], "no superpos result", 2),
        (["sweep", "good.toml", "--out", "good.toml/below"], "cannot be written", 2),
        (["sweep", "good.toml", "--out", "/proc/nowhere/r.zarr"], "cannot be written", 2),
        (["sweep", "good.toml", "--out", ""], "output", 2),
        (["geometry", "missing"], "no result at missing", 1),
        (["geometry", "taken"], "no superpos result", 1),
        (["geometry", "good.toml"], "no superpos result", 1),
        (["demo", "--out", "good.toml"], "good.toml", 2),
        (["demo", "--seeds", "0"], "seeds", 2),
        (["demo", "--densities", "1"], "densities", 2),
        (["demo", "--steps", "-1"], "steps", 2),
        (["phase", "--hidden", "3"], "hidden", 2),
        (["phase", "--cells", "1"], "cells", 2),
        (["phase", "--seeds", "0"], "seeds", 2),
        (["phase", "--steps", "0"], "steps", 2),
        (["phase", "--out", "good.toml"], "good.toml", 2),
        (["geometry", "~nosuchuser/x"], "path", 1),
        (["sweep", "good.toml", "--out", "a" * 300], "output", 2),
        (["sweep", "good.toml", "--out", "~nosuchuser/r"], "output", 2),
    ],
)
def test_wrong_paths_and_options_are_refused(arguments, word, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("good.toml").write_text(GOOD)
    Path("taken").mkdir()
    Path("taken/something").write_text("precious")
    monkeypatch.setattr(sys, "argv", ["superpos", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == code
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["good.toml", "something", "taken"]
    assert Path("taken/something").read_text() == "precious"


@pytest.mark.parametrize("arguments", [["swep"], ["sweep"], ["demo", "--sedes", "3"], ["demo", "--seeds", "many"], []])
def test_wrong_arguments_end_with_code_2(arguments):
    run = subprocess.run(
        [sys.executable, "-c", "from superpos.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 2
    assert "Traceback" not in run.stderr + run.stdout


DAMAGES = [
    "flip",
    "truncate",
    "empty",
    "garbage metadata",
    "wrong size",
    "other format",
    "no chunk",
    "no seed",
    "no task",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_results_are_refused(damage, quick_result, tmp_path):
    path = quick_result.save(tmp_path / "r.zarr")
    chunk = next(p for p in sorted((path / "W").rglob("*")) if p.is_file() and p.name != "zarr.json")
    metadata = path / "zarr.json"
    if damage == "flip":
        data = bytearray(chunk.read_bytes())
        data[len(data) // 2] ^= 1
        chunk.write_bytes(data)
    elif damage == "truncate":
        chunk.write_bytes(chunk.read_bytes()[:-9])
    elif damage == "empty":
        chunk.write_bytes(b"")
    elif damage == "no chunk":  # which Zarr alone would read as zeros
        next(p for p in (path / "diverged_step").rglob("*") if p.is_file() and p.name != "zarr.json").unlink()
    elif damage == "no seed":
        shutil.rmtree(path / "seed")
    elif damage == "no task":
        metadata.write_text(metadata.read_text().replace('"n_hidden": 2', '"n_hidden": "two"'))
    elif damage == "garbage metadata":
        (path / "W" / "zarr.json").write_text("{")
    elif damage == "wrong size":
        metadata.write_text(metadata.read_text().replace('"seed": 4', '"seed": 400000000'))
    else:
        metadata.write_text(metadata.read_text().replace('"format": 3', '"format": 99'))
    with pytest.raises(sp.StoreError, match=r"r\.zarr"):
        sp.open(path)
