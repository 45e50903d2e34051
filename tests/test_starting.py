"""Training from given weights, going on, whole vectors as an axis, and stopping early."""

import dataclasses
import importlib
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import snippets
import xarray as xr

import superpos as sp
from superpos.cli import main, sweepfile
from superpos.errors import ConfigError, StoreError
from superpos.sweeping.compiled import lay_out
from superpos.sweeping.engines.worker import train_part
from superpos.sweeping.store import reader
from superpos.training import start

compiled = importlib.import_module("superpos.sweeping.compiled")
training = importlib.import_module("superpos.sweeping.launches")

TASK = sp.tasks.Toy(n_features=4, n_hidden=2, feature_probability=0.3, magnitude="constant")
QUICK = sp.TrainConfig(steps=20, batch_size=16, history=4, evaluation_samples=32, schedule="constant", snapshots=(0,))
GRID = sp.Grid(feature_probability=[0.1, 0.3, 0.9], seed=range(2))
NUMBERS = ("W", "b", "loss", "loss_history", "diverged_step")


def go(task=TASK, config=QUICK, grid=GRID, store=None, **options):
    return sp.sweep(task, config, grid, store, block_size=2, progress=False, **options)


def same(a, b, names=NUMBERS):
    """Byte for byte."""
    return {n: np.asarray(a[n]).tobytes() == np.asarray(b[n]).tobytes() for n in names} == dict.fromkeys(names, True)


def starts(init, grid=GRID, task=TASK):
    """The W that every cell of a grid would start from; nothing is trained."""
    found = lay_out(task, QUICK, grid, block_size=2, init=init).starts
    return found.arrays["W"]


@pytest.fixture(scope="module")
def result():
    return go()


@pytest.fixture(scope="module")
def run():
    return sp.train(TASK, QUICK, seed=1)


# --- starts ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_given_weights_take_the_place_of_the_tasks_own(result):
    first = {n: result[f"{n}_snapshots"].isel(snapshot=0).transpose(*result.sizes, ...).values for n in ("W", "b")}
    again = go(init=first)
    assert same(again, result)
    assert np.array_equal(again["W_start"], first["W"]) and again.attrs["train"]["first_step"] is None
    alone = go(
        dataclasses.replace(TASK, feature_probability=0.9),
        grid=sp.Grid(seed=[1]),
        init={"W": first["W"][2, 1], "b": first["b"][2, 1]},
    )
    assert same(alone, result.sel(feature_probability=0.9, seed=[1]))


@pytest.mark.slow
def test_a_result_gives_every_cell_the_model_of_its_labels(result):
    grids = {
        "in another order, with a further axis": sp.Grid(
            seed=[1, 0], learning_rate=[0.1, 0.01], feature_probability=[0.9, 0.1]
        ),
        "zipped": sp.Grid.zipped(feature_probability=[0.9, 0.1, 0.9], seed=[0, 1, 1]),
        "points": sp.Grid.points([{"feature_probability": 0.3, "seed": s} for s in (1, 0, 1)]),
        "random": sp.Grid.random(9, feature_probability=[0.1, 0.9], seed=range(2)),
    }
    for name, grid in grids.items():
        columns = grid.columns()
        wanted = [
            result.sel(feature_probability=p, seed=s)["W"].values
            for p, s in zip(columns["feature_probability"], columns["seed"], strict=True)
        ]
        assert np.array_equal(starts(result, grid), wanted), name
    assert np.array_equal(starts(result.best("seed"))[[0, 1]], [result.best("seed")["W"].values[0]] * 2)
    one = result.sel(feature_probability=0.3, seed=1)
    assert np.array_equal(starts(one), one["W"])
    assert np.array_equal(starts(one, sp.Grid(learning_rate=[0.1])), one["W"])  # one cell needs no labels
    labelled = xr.DataArray(result["W"].values[::-1], {"feature_probability": [0.9, 0.3, 0.1], "seed": [0, 1]},
                            ("feature_probability", "seed", "hidden", "feature"))  # fmt: skip
    assert np.array_equal(starts(labelled), starts(result))


@pytest.mark.slow
def test_models_of_several_shapes_start_in_their_corner():
    grid = sp.Grid(n_hidden=[1, 2], seed=[0])
    small = go(grid=grid)
    assert np.array_equal(starts(small, grid), np.nan_to_num(small["W"].values.reshape(2, 2, 4)))
    where = lay_out(TASK, QUICK, grid, block_size=2, init=small)
    first = where.starts.of(where.families[0], np.array([[0, 0]]))["W"]
    assert np.array_equal(first, [[small.model(n_hidden=1).W[...]] * 2])
    with pytest.raises(
        ConfigError, match=r"W must have shape \(1, 4\), as it has in the models to train, got \(2, 4\)"
    ):
        starts(small.sel(n_hidden=2), sp.Grid(seed=[0]), dataclasses.replace(TASK, n_hidden=1))


W = np.ones((2, 4))
REFUSED = {
    "a shape": (W.T, {}, r"init: W must have shape \(2, 4\), as it has in the models to train, got \(4, 2\)"),
    "NaN": (np.full((2, 4), np.nan), {}, "init: W must be finite, got nan"),
    "NaN in one cell": (np.stack([W, W * np.nan]), {"grid": sp.Grid(seed=[0, 1])}, "init: W must be finite, got nan"),
    "no numbers": ({"W": "abc"}, {}, "init: W must be a number"),
    "a blown up model": (W * 1e5, {}, "init: W must hold numbers of at most 10000"),
    "a name": ({"w": W}, {}, "init has w, which the models do not have. They have W, b"),
    "nothing": ({}, {}, "init must map names of parameters to arrays"),
    "an object": (3, {}, "init must be a model, a run, a result, an array W or arrays by name, got int"),
    "too few cells": (np.ones((3, 2, 4)), {}, r"lead with the grid's \(3, 2\), got shape \(3, 2, 4\)"),
    "several n with one start": (W, {"grid": sp.Grid(n_features=[4, 5])}, r"shape \(2, 5\), .* got \(2, 4\)"),
    "no bias": ({"b": np.ones(4)}, {"task": dataclasses.replace(TASK, bias=False)}, "init has b, which the models do not"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_starts_that_do_not_fit_are_refused_in_one_sentence(case):
    init, options, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message) as error:
        starts(init, **options)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_labels_that_do_not_match_are_refused(result):
    with pytest.raises(ConfigError, match=r"init has no model at feature_probability=0\.2"):
        starts(result, sp.Grid(feature_probability=[0.1, 0.2], seed=[0]))
    with pytest.raises(ConfigError, match="init has models for several feature_probability, and the grid has no such"):
        starts(result, sp.Grid(seed=[0]))
    listed = go(grid=sp.Grid.points([{"feature_probability": p, "seed": s} for p, s in ((0.1, 0), (0.3, 1))]))
    assert np.array_equal(starts(listed, sp.Grid(feature_probability=[0.3], seed=[1])), listed["W"][[1]])
    with pytest.raises(ConfigError, match=r"init has no model at feature_probability=0\.1, seed=1"):
        starts(listed, sp.Grid(feature_probability=[0.1], seed=[0, 1]))
    unlabelled = xr.DataArray(np.ones((2, 2, 4)), dims=("seed", "hidden", "feature"))
    with pytest.raises(ConfigError, match="init has no labels along seed"):
        starts(unlabelled, sp.Grid(seed=[0, 1]))


@pytest.mark.slow
def test_the_start_belongs_to_a_stores_identity_and_is_stored(tmp_path, result):
    path = tmp_path / "r.zarr"
    whole = go(store=path, init=result)
    assert whole.attrs["train"]["first_step"] == 20 and np.array_equal(whole["W_start"], result["W"])
    assert same(go(init=result), whole)
    result.save(tmp_path / "first.zarr")
    assert same(go(store=path, init=tmp_path / "first.zarr"), whole)  # finished: read again
    first = result.dataset.copy(deep=True)
    first["W"][0, 0, 0, 0] += 1
    config = dataclasses.replace(QUICK, first_step=20)
    for other, said in ((sp.SweepResult(first), "other weights"), (None, "given weights")):
        with pytest.raises(ConfigError, match=f"its models start from {said}; choose"):
            go(store=path, config=config, init=other)
    (path / "status" / "c.0").unlink()  # unfinished: who does not know the start finds it in the store
    for other in (sp.SweepResult(first), None):
        with pytest.raises(ConfigError, match="holds another sweep: init"):
            go(store=path, config=config, init=other)
    train_part(path, reader.opened(path).attributes["digest"], [0], {}, 1, name="other")
    xr.testing.assert_identical(sp.open(path).dataset, whole.dataset)
    (path / "status" / "c.0").unlink()
    xr.testing.assert_identical(go(store=path, init=result).dataset, whole.dataset)
    whole.save(tmp_path / "saved.zarr")
    xr.testing.assert_identical(sp.open(tmp_path / "saved.zarr").dataset, whole.dataset)


def test_an_unfinished_result_is_no_start(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["superpos.sweeping.layout"], "CELLS_PER_CHUNK", 2)
    path = tmp_path / "r.zarr"
    go(store=path, worker="0/2")
    with pytest.raises(ConfigError, match="not finished: some of its models are missing"):
        go(init=path)
    with pytest.raises(StoreError, match="there is no result"):
        go(init=tmp_path / "none.zarr")


def test_a_sparse_autoencoder_keeps_its_own_k():
    sae = sp.tasks.SparseAutoencoder(n_features=4, n_hidden=2, n_latents=4, architecture="topk", k=2)
    key = jax.random.key(0)
    other = dataclasses.replace(sae, k=1).broadcast().init(jax.random.key(1))
    model = start.begun(sae, sae.broadcast().init(key), start.starting_parameters(sae, other))
    assert (int(other.n_active[...]), int(model.n_active[...])) == (1, 2)
    assert np.array_equal(model.W_dec[...], other.W_dec[...])


@pytest.mark.slow
def test_what_the_page_on_starting_says_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = snippets.run(Path(__file__).parents[1] / "docs" / "guide" / "starting.md")
    assert names["W"].shape == (2, 2, 5) and names["second"].attrs["train"]["first_step"] == 20
    assert np.array_equal(names["first"]["W_start"].isel(feature_probability=1), np.float32(names["W"]))
    assert names["longer"].history_steps[-1] == 20


# --- shapes as starts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "size", "named"),
    [
        ("pentagon", (5, 2), "pentagon"),
        ("9-gon", (9, 2), "9-gon"),
        ("square", (4, 2), "2 × antipodal pair"),
        (["triangle", "antipodal pair", "dedicated"], (7, 4), "triangle + antipodal pair + dedicated"),
        ("square antiprism", (8, 3), "square antiprism"),
        ("5-simplex", (6, 5), "5-simplex"),
    ],
)
def test_an_arrangement_is_recognised_as_what_was_asked_for(shapes, size, named):
    assert str(sp.geometry(sp.theory.arrangement(shapes, *size, length=0.8))).startswith(f"{named}, D = ")


def test_noise_of_an_arrangement_comes_from_the_seed():
    several = sp.theory.arrangement("square", 4, 2, noise=0.1, seed=range(3))
    alone = sp.theory.arrangement("square", 4, 2, noise=0.1, seed=2)
    assert np.array_equal(several.sel(seed=2), alone) and not np.array_equal(several[0], several[1])
    exact = sp.theory.arrangement("square", 4, 2)
    assert np.allclose(alone - exact, 0.1 * np.random.default_rng(2).normal(size=(2, 4)), atol=1e-12)
    assert np.array_equal(starts({"W": several}, sp.Grid(seed=[2, 0]))[0], alone.values.astype(np.float32))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ("pentagram", "'pentagram' is no known shape. Did you mean pentagon"),
        ("25-gon", "'25-gon' is no known shape"),
        ("pentagon", "shapes pentagon need 5 features, and there are 4"),
        (["triangle", "dedicated"], "need 3 dimensions, and there are 2"),
    ],
)
def test_arrangements_that_do_not_fit_are_refused(shapes, message):
    with pytest.raises(ConfigError, match=message):
        sp.theory.arrangement(shapes, 4, 2)


# --- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.optimized
def test_more_steps_are_as_if_the_run_had_been_longer(run):
    warm = dataclasses.replace(QUICK, warmup_steps=3, weight_decay=0.1, snapshots=())
    first, long = sp.train(TASK, warm, seed=1), sp.train(TASK, dataclasses.replace(warm, steps=32), seed=1)
    more = sp.more(sp.more(first, 5), 7, history=2)
    for a, b in zip(jax.tree.leaves(more.model), jax.tree.leaves(long.model), strict=True):
        assert np.array_equal(a, b)
    assert (more.config.first_step, more.config.steps, len(more.history.loss)) == (25, 7, 2)
    assert float(more.loss) == float(long.loss)


def test_a_run_as_init_has_a_fresh_optimiser_and_new_batches(run):
    plain = dataclasses.replace(QUICK, optimizer="sgd", snapshots=())  # which remembers nothing
    half = sp.train(TASK, plain, seed=1)
    both = sp.train(TASK, dataclasses.replace(plain, steps=40), seed=1)
    again = sp.train(TASK, plain, seed=1, init=half)
    assert again.config.first_step == 20
    assert np.allclose(again.model.W, both.model.W, rtol=1e-5, atol=1e-6)
    same_batches = sp.train(TASK, plain, seed=1, init=half.model)  # a bare model tells of no steps
    assert same_batches.config.first_step is None and not np.allclose(same_batches.model.W, both.model.W, rtol=1e-3)
    assert start.steps_before(again) == 40


@pytest.mark.slow
def test_what_a_task_does_after_a_step_counts_with_the_optimiser(monkeypatch):
    """From 0 after `init`, whatever the batches count from; on and on with `more`."""

    def after_step(self, before, model, optimizer, seen, key, step, steps):
        model.b[...] = jnp.stack([jnp.asarray(step, float), jnp.asarray(steps, float), before.b[2], before.b[3]])
        return model, optimizer

    monkeypatch.setattr(sp.tasks.Toy, "after_step", after_step, raising=False)
    config = dataclasses.replace(QUICK, steps=3, history=1, snapshots=())
    first = sp.train(TASK, config)
    again = sp.train(TASK, config, init=first)
    assert again.config.first_step == 3
    swept = go(config=config, grid=sp.Grid(seed=[0]), init=first).model()
    longer, more = sp.more(first, 2), sp.more(again, 2)
    assert [run.model.b[:2].tolist() for run in (first, again)] == [[2, 3]] * 2 and swept.b[:2].tolist() == [2, 3]
    assert [run.model.b[:2].tolist() for run in (longer, more)] == [[4, 5]] * 2


def test_what_cannot_go_on_is_refused(run):
    with pytest.raises(ConfigError, match="schedule cosine has ended with the run"):
        sp.more(dataclasses.replace(run, config=dataclasses.replace(run.config, schedule="cosine")), 5)
    with pytest.raises(ConfigError, match="steps must be at least 1, got 0"):
        sp.more(run, 0)
    with pytest.raises(ConfigError, match=r"run must be what superpos\.train returned, got ToyModel"):
        sp.more(run.model, 5)
    with pytest.raises(ConfigError, match="more has no field 'batch_size'"):
        sp.more(run, 5, batch_size=3)
    with pytest.raises(ConfigError, match="first_step must be at most"):
        sp.train(TASK, dataclasses.replace(QUICK, first_step=2**31 - 1))


# --- vectors --------------------------------------------------------------------------------------------------------

IMPORTANCE = [[1, 0.5, 0.25, 0.1], [1, 1, 1, 1], [0.1, 0.2, 0.3, 0.7]]


def test_a_vector_of_an_axis_is_the_vector_of_the_task(tmp_path, compilations):
    alone = go(dataclasses.replace(TASK, importance=np.array(IMPORTANCE[2])), grid=sp.Grid(seed=range(2)))
    compilations.clear()
    result = go(grid=sp.Grid(importance=IMPORTANCE, seed=range(2)), store=tmp_path / "r.zarr")
    assert not {"_start", "_advance", "_finish"} & set(compilations)
    assert result.sizes == {"importance": 3, "seed": 2} and result["importance"].values.tolist() == [0, 1, 2]
    assert same(result.sel(importance=2), alone)
    assert np.array_equal(result.task(importance=0, seed=1).importance, np.float32(IMPORTANCE[0]))
    assert sp.open(tmp_path / "r.zarr").attrs["grid"]["axes"][0]["vectors"] == IMPORTANCE
    (tmp_path / "r.zarr" / "status" / "c.0").unlink()
    train_part(tmp_path / "r.zarr", reader.opened(tmp_path / "r.zarr").attributes["digest"], [0], {}, 1, name="other")
    xr.testing.assert_identical(sp.open(tmp_path / "r.zarr").dataset, result.dataset)
    others = [IMPORTANCE[0], IMPORTANCE[1], [0.1, 0.2, 0.3, 0.8]]
    with pytest.raises(ConfigError, match=r"holds another sweep: grid\.axes differs"):
        go(grid=sp.Grid(importance=others, seed=range(2)), store=tmp_path / "r.zarr")


def test_every_design_takes_vectors():
    a, b, _ = IMPORTANCE
    zipped = sp.Grid.zipped(profile=sp.vectors("importance", [b, a, b]), seed=[0, 0, 1])
    points = sp.Grid.points([{"importance": v, "seed": s} for v, s in ((b, 0), (a, 0), (b, 1))])
    random = sp.Grid.random(6, importance=np.array([b, a]), seed=[0, 1])
    for grid in (zipped, points, random):
        (family,) = lay_out(TASK, QUICK, grid, block_size=2).families
        code = next(iter(grid.columns().values()))
        assert np.array_equal(
            family.stacked(np.arange(grid.n_cells))[0].importance, np.float32([[b, a][k] for k in code])
        )
        again = sp.Grid.restored(grid.describe(), grid.sizes, grid.columns())
        assert again.describe() == grid.describe()
    assert zipped.columns()["profile"].tolist() == points.columns()["importance"].tolist() == [0, 1, 0]
    saes = sp.sparsity_grid({"topk": [1, 2]}, feature_probability=[[0.1] * 4, [0.2] * 4])
    assert saes.axes["feature_probability"].vectors.tolist() == [[0.1] * 4, [0.2] * 4]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"importance": [[1, 2], [3, 4]]}, "holds vectors of 2 numbers, and importance has 4"),
        ({"importance": [[1, 2, 3, 4], [3, 4]]}, "must be a list of vectors of one length"),
        ({"importance": [[1, 2, 3, 4], [1, 2, 3, 4]]}, r"holds the vector \[1\.0, 2\.0, 3\.0, 4\.0\] twice"),
        ({"importance": [[1, 2, 3, float("nan")]]}, "must be finite, got nan"),
        ({"importance": [[1, 2, 3, -4]]}, "importance must be at least 0, got -4"),
        ({"importance": [1, [1, 2, 3, 4]]}, "must be a flat list"),
        ({"learning_rate": [[1, 2, 3, 4]]}, "learning_rate is one number, not a vector"),
        ({"n_hidden": [[1, 2, 3, 4]]}, "n_hidden cannot be a grid axis"),
        ({"profile": IMPORTANCE}, "grid has no axis 'profile'"),
        ({"importance": np.ones((2, 2, 4))}, "must be a list of vectors of one length"),
    ],
)
def test_vectors_that_are_none_are_refused(axes, message):
    with pytest.raises(ConfigError, match=message):
        lay_out(TASK, QUICK, sp.Grid(seed=[0], **axes), block_size=2)


# --- stopping -------------------------------------------------------------------------------------------------------

EARLY = dataclasses.replace(QUICK, snapshots=())


@pytest.mark.slow
@pytest.mark.optimized
def test_a_model_is_frozen_at_the_first_point_beyond_the_bound_whatever_is_trained_beside_it(monkeypatch):
    full = go(config=dataclasses.replace(QUICK, snapshots=(5, 10, 15, 20)))
    history = full["loss_history"].values.astype(np.float64)
    bound = float(np.median(history))
    config = dataclasses.replace(EARLY, stop_below=bound)
    stopped = go(config=config)
    below = history < np.float32(bound)
    wanted = np.where(below.any(-1), 5 * (below.argmax(-1) + 1), -1)
    assert np.array_equal(stopped["stopped_step"], wanted) and len(np.unique(wanted)) > 2  # some stop, some do not
    assert f"{(wanted >= 0).sum()} stopped early" in repr(stopped)
    for index in np.ndindex(wanted.shape):
        end = (wanted[index] if wanted[index] >= 0 else 20) // 5
        weights = full["W_snapshots"].transpose(*full.sizes, "snapshot", ...).values[index][end - 1]
        assert np.allclose(stopped["W"].values[index], weights, rtol=1e-5, atol=1e-6)
        assert np.isnan(stopped["loss_history"].values[index]).tolist() == [k >= end for k in range(4)]
    assert (stopped["diverged_step"] == -1).all() and np.isfinite(stopped["loss"]).all()
    names = (*NUMBERS, "stopped_step")
    alone = go(dataclasses.replace(TASK, feature_probability=0.3), config, sp.Grid(seed=[1]))
    assert same(alone, stopped.sel(feature_probability=0.3, seed=[1]), names)
    saved, real = [], training.ends_early
    monkeypatch.setattr(compiled, "NUMBERS_PER_SEGMENT", {"cpu": 2 * 4 * 16 * 3})  # three steps at a time
    monkeypatch.setattr(training, "ends_early", lambda *arguments: saved.append(real(*arguments)) or saved[-1])
    assert same(go(config=config), stopped, names) and any(saved)


@pytest.mark.slow
def test_a_bound_may_be_an_axis_and_any_recorded_number_its_metric():
    result = go(config=EARLY, grid=sp.Grid(stop_above=[0, 1e9], seed=[0]))
    assert result["stopped_step"].values.ravel().tolist() == [5, -1]
    assert "stopped_step" not in go(config=EARLY).dataset
    with pytest.raises(ConfigError, match="stop_metric must be a number that the task records, one of loss, got 'l0'"):
        go(config=dataclasses.replace(EARLY, stop_metric="l0"), grid=sp.Grid(stop_below=[1, 2]))
    sae = sp.tasks.SparseAutoencoder(n_features=4, n_hidden=2, n_latents=4)
    run = sp.train(sae, dataclasses.replace(EARLY, stop_metric="l0", stop_above=0.0))
    assert int(run.stopped_step) == 5 and "stopped early after 5 steps" in repr(run)
    with pytest.raises(ConfigError, match="run was stopped early after 5 steps"):
        sp.more(run, 5)


@pytest.mark.slow
def test_a_diverged_model_is_not_called_stopped():
    config = dataclasses.replace(EARLY, stop_above=1e9)
    result = go(config=config, grid=sp.Grid(learning_rate=[0.01, 1e6], seed=[0]))
    assert result["stopped_step"].values.ravel().tolist() == [-1, -1]
    assert (result["diverged_step"].values.ravel() >= 0).tolist() == [False, True]


# --- sweep files ----------------------------------------------------------------------------------------------------

FILE = """
[task]
n_features = 4
n_hidden = 2
magnitude = "constant"
[train]
steps = 4
batch_size = 16
history = 2
evaluation_samples = 32
[grid]
importance = [[1, 1, 1, 1], [1, 0.5, 0.25, 0.1]]
seed = { range = 2 }
[sweep]
block_size = 2
"""


@pytest.mark.slow
def test_sweep_files_take_vectors_and_starts(tmp_path, monkeypatch, capsys):
    path = tmp_path / "s.toml"
    path.write_text(FILE + 'init = { shapes = "square", noise = 0.1 }\n')
    given = sweepfile.read(path)
    assert given.grid.axes["importance"].vectors.tolist() == [[1, 1, 1, 1], [1, 0.5, 0.25, 0.1]]
    assert np.array_equal(given.options["init"], sp.theory.arrangement("square", 4, 2, noise=0.1, seed=[0, 1]))
    named = sweepfile.read(path, ['grid.importance={vectors="feature_probability", values=[[0.1, 0.2, 0.3, 0.4]]}'])
    assert named.grid.axes["importance"].field == "feature_probability"

    def superpos(*arguments):
        monkeypatch.setattr(sys, "argv", ["superpos", "sweep", str(path), "--out", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().out

    assert superpos(tmp_path / "a.zarr")[0] == 0
    again = f"sweep.init={tmp_path / 'a.zarr'}"
    assert superpos(tmp_path / "b.zarr", again)[0] == 0
    first, second = sp.open(tmp_path / "a.zarr"), sp.open(tmp_path / "b.zarr")
    assert np.array_equal(second["W_start"], first["W"]) and second.attrs["train"]["first_step"] == 4
    for override, message in {
        "sweep.init=none.zarr": "there is no result at none.zarr",
        "sweep.init=3": "sweep.init must be the path of a result, or a table",
        'sweep.init={shapes="pentagon"}': "shapes pentagon need 5 features, and there are 4",
        'sweep.init={shapes="square", nois=1}': "sweep.init has no field 'nois'",
        "task.n_hidden=3": r"init: W must have shape \(3, 4\)",
        "task.n_features=5": "holds vectors of 4 numbers, and importance has 5",
        "grid.n_features=[4, 5]": "holds vectors of 4 numbers, and importance has 5",
        "grid.importance={vectors='importance', range=3}": "grid.importance.vectors names a field",
    }.items():
        overrides = [override] if "init" in override else [again, override]
        code, said = superpos(tmp_path / "c.zarr", *overrides)
        assert (
            code == (1 if "none" in override else 2)
            and re.search(message, said)
            and len(said.strip().splitlines()) == 1
        ), said
        assert not (tmp_path / "c.zarr").exists()
