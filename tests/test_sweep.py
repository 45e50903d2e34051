"""Thousands of models: the laws of the engine."""

import dataclasses
import os
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.stats
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.sweeping import plan
from superpos.sweeping.budget import parse_bytes, show_bytes
from superpos.sweeping.compiled import lay_out, prepare

QUICK = sp.TrainConfig(steps=60, batch_size=33, evaluation_samples=99, history=6)  # odd sizes: no vector width fits
# Constant magnitudes: their loss is sampled at the end, which compiles in a fifth of the time of the exact one.
TASK = sp.tasks.Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5), magnitude="constant")


def bits(result, **cell):
    """Every number a cell reports, as bytes."""
    chosen = result.sel(**cell) if cell else result
    return {name: chosen[name].values.tobytes() for name in ("W", "b", "loss", "loss_history", "diverged_step")}


@pytest.mark.optimized
@pytest.mark.parametrize(
    "task",
    [
        pytest.param(dataclasses.replace(TASK, magnitude="uniform"), id="toy"),
        *(
            pytest.param(task, id=name, marks=pytest.mark.slow)
            for name, task in {
                "exponential gelu": dataclasses.replace(TASK, magnitude="exponential", activation="gelu"),
                "correlated": dataclasses.replace(TASK, correlated_sets=((0, 1),), loss_exponent=3),
                "40 → 7": sp.tasks.Toy(n_features=40, n_hidden=7, magnitude="constant"),
            }.items()
        ),
    ],
)
def test_a_cell_alone_has_the_bytes_it_has_in_any_sweep(task, one_device):
    """On one device and on four, whatever else is trained, however calls are cut, and whichever axes are swept."""
    cell = {"feature_probability": 0.3, "learning_rate": 0.02, "seed": 7}
    alone = sp.sweep(
        dataclasses.replace(task, feature_probability=0.3),
        dataclasses.replace(QUICK, learning_rate=0.02),
        sp.Grid(seed=[7]),
        block_size=4,
        devices=one_device,
    )
    grid = sp.Grid(seed=[3, 7, 1], learning_rate=[0.05, 0.02, 0.003], feature_probability=[0.9, 0.8, 0.3, 0.07, 0.01])
    for devices, blocks_per_device in ((one_device, 3), (jax.devices(), 1)):
        many = sp.sweep(task, QUICK, grid, block_size=4, devices=devices, blocks_per_device=blocks_per_device)
        assert bits(many, **cell) == bits(alone, seed=7)
    other = sp.Grid.zipped(feature_probability=[0.5, 0.3], learning_rate=[0.1, 0.02], seed=[7, 7])
    zipped = sp.sweep(task, QUICK, other, block_size=4)
    assert zipped["W"].values[1].tobytes() == bits(alone)["W"]


@pytest.mark.slow
@pytest.mark.optimized
def test_block_size_belongs_to_the_identity_of_a_result():
    a, b = (sp.sweep(TASK, QUICK, sp.Grid(seed=range(3)), block_size=B) for B in (2, 16))
    assert (a.attrs["block_size"], b.attrs["block_size"]) == ([2], [16])
    assert_allclose(a["W"], b["W"], rtol=1e-3, atol=1e-4)  # another B may change last bits, nothing more


@pytest.mark.optimized
def test_a_cell_is_what_train_gives():
    result = sp.sweep(TASK, QUICK, sp.Grid(feature_probability=[0.2, 0.6], seed=[0, 5]), block_size=4)
    run = sp.train(dataclasses.replace(TASK, feature_probability=0.6), QUICK, seed=5)
    cell = result.sel(feature_probability=0.6, seed=5)
    assert_allclose(cell["W"], run.model.W[...], rtol=1e-4, atol=1e-6)
    assert_allclose(cell["loss_history"], run.history.loss, rtol=1e-4)
    assert_allclose(cell["loss"], run.loss, rtol=1e-4)
    again = sp.train(
        result.task(feature_probability=0.6, seed=5), result.config(feature_probability=0.6, seed=5), seed=5
    )
    assert np.array_equal(again.model.W[...], run.model.W[...])


@pytest.mark.slow
@pytest.mark.optimized
def test_a_sweep_in_double_precision_is_what_train_gives(one_device):
    """Also where double precision is switched on for the calling thread only."""
    with jax.enable_x64(True):
        result = sp.sweep(TASK, QUICK, sp.Grid(seed=range(6)), block_size=2, devices=one_device)
        run = sp.train(TASK, QUICK, seed=4)
    assert result["W"].dtype == np.float64
    assert_allclose(result.sel(seed=4)["W"], run.model.W[...], rtol=1e-10)


def test_four_devices_run_without_collectives():
    work = prepare(TASK, QUICK, sp.Grid(seed=range(8)), block_size=2, devices=jax.devices())
    text = work.programs[0].advance.as_text()
    assert work.mesh.size == 4
    for collective in ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter"):
        assert collective not in text


@pytest.mark.optimized
@pytest.mark.parametrize("bad_rate", [1e6, 1e30])
def test_one_diverging_cell_harms_nobody(bad_rate, caplog):
    rates = [0.01, 0.02, 0.03, 0.04, 0.05]
    healthy = sp.sweep(TASK, QUICK, sp.Grid(learning_rate=rates, seed=[0, 1]), block_size=4)
    caplog.clear()
    result = sp.sweep(TASK, QUICK, sp.Grid(learning_rate=[*rates[:2], bad_rate, *rates[2:]], seed=[0, 1]), block_size=4)
    assert result.diverged == [{"learning_rate": bad_rate, "seed": seed, "step": 0} for seed in (0, 1)]
    assert [f"learning_rate={bad_rate:g}, seed={s}, step=0" in caplog.text for s in (0, 1)] == [True, True]
    assert "2 diverged" in repr(result)
    assert np.isnan(result.sel(learning_rate=bad_rate)["loss"]).all()
    assert np.isfinite(result["W"]).all()  # frozen at the last healthy weights
    for rate in rates:
        assert bits(result, learning_rate=rate) == bits(healthy, learning_rate=rate)
    assert float(result.best("learning_rate")["learning_rate"][0]) != bad_rate


def test_new_values_never_recompile_and_new_shapes_compile_once(no_programs, compilations):
    config = dataclasses.replace(QUICK, steps=7)
    sp.sweep(TASK, config, sp.Grid(feature_probability=[0.1, 0.2], seed=[0]), block_size=2)
    compilations.clear()
    sp.sweep(
        dataclasses.replace(TASK, importance=0.5),
        dataclasses.replace(config, learning_rate=0.5, weight_decay=0.1),
        sp.Grid(feature_probability=[0.3, 0.9, 1.0], init_scale=[0.1, 1.0], seed=[4, 5]),
        block_size=2,
    )
    assert not compilations
    sp.sweep(TASK, config, sp.Grid(n_hidden=[3, 4], feature_probability=[0.1, 0.5], seed=range(3)), block_size=2)
    assert {name: compilations.get(name) for name in ("_start", "_advance", "_finish")} == {
        "_start": 2, "_advance": 2, "_finish": 2
    }  # fmt: skip


@pytest.mark.slow
def test_shapes_and_words_may_be_axes():
    grid = sp.Grid(n_features=[3, 6], n_hidden=[2, 3], bias=[True, False], seed=[0, 1])
    result = sp.sweep(
        sp.tasks.Toy(n_features=1, n_hidden=1, activation="identity"),
        dataclasses.replace(QUICK, snapshots=(0, 60)),
        grid,
        block_size=2,
    )
    assert result.sizes == {"n_features": 2, "n_hidden": 2, "bias": 2, "seed": 2}
    assert result["W"].shape == (2, 2, 2, 2, 3, 6)
    small = result.sel(n_features=3, n_hidden=2, bias=False, seed=1)
    assert np.isnan(small["W"].values[2:]).all() and np.isnan(small["W"].values[:, 3:]).all()
    model = small.model()
    assert model.W.shape == (2, 3) and model.b is None and model.activation == "identity"
    assert model.W[...].tobytes() == small["W"].values[:2, :3].tobytes()
    task = sp.tasks.Toy(n_features=3, n_hidden=2, activation="identity", bias=False)
    assert_allclose(model.W[...], sp.train(task, QUICK, seed=1).model.W[...], rtol=1e-3, atol=1e-5)
    table = result.geometry()
    assert table["packing"].sel(n_features=3, n_hidden=2).max() <= 1 + 1e-5
    assert_allclose(
        table["packing"],
        np.nan_to_num(table["dimensionality"]).sum(-1) / table.n_hidden.values[:, None, None],
        rtol=1e-5,
    )
    words = sp.Grid(activation=["relu", "identity"], feature_probability=[0.1, 0.5])
    mixed = sp.sweep(dataclasses.replace(task, bias=True), QUICK, words, block_size=2)
    assert [
        mixed.sel(activation=word).isel(feature_probability=1).model().activation for word in ("relu", "identity")
    ] == ["relu", "identity"]
    assert not np.array_equal(*mixed["W"].sel(feature_probability=0.5).values)


@pytest.mark.slow
@pytest.mark.optimized
def test_steps_and_batch_size_may_be_axes():
    result = sp.sweep(TASK, QUICK, sp.Grid(steps=[20, 60], batch_size=[16, 33], seed=[0]), block_size=2)
    assert result["record_step"].dims[-1] == "record"
    assert result["record_step"].sel(steps=20, batch_size=16, seed=0).values.tolist() == [3, 7, 10, 13, 17, 20]
    assert result.config(steps=20, batch_size=16, seed=0).steps == 20


def test_axes_set_vector_fields_from_scalars():
    task = dataclasses.replace(TASK, importance=2.0, feature_probability=0.5)
    grid = sp.Grid(
        relative_importance=sp.entry("importance", -1, [0.1, 10.0]),
        importance_decay=sp.decay("importance", [0.5, 1.0]),
        first_density=sp.entry("feature_probability", 0, [0.25]),
        seed=[0],
    )
    result = sp.sweep(task, QUICK, grid, block_size=4)
    cell = {"relative_importance": 10.0, "importance_decay": 0.5, "first_density": 0.25, "seed": 0}
    assert_allclose(result.task(**cell).importance, [2, 1, 0.5, 0.25, 10], rtol=1e-6)
    assert_allclose(result.task(**cell).feature_probability, [0.25, 0.5, 0.5, 0.5, 0.5])
    direct = dataclasses.replace(
        task, importance=np.array([2, 1, 0.5, 0.25, 10]), feature_probability=np.array([0.25, 0.5, 0.5, 0.5, 0.5])
    )
    alone = sp.sweep(direct, QUICK, sp.Grid(seed=[0]), block_size=4)
    assert result.sel(**cell)["W"].values.tobytes() == alone["W"].values.tobytes()


def test_designs():
    assert sp.Grid(feature_probability=[0.1, 0.2, 0.3], seed=range(4)).sizes == {"feature_probability": 3, "seed": 4}
    zipped = sp.Grid.zipped(feature_probability=[0.1, 0.2], learning_rate=[0.01, 0.02])
    assert zipped.sizes == {"cell": 2} and zipped.columns()["learning_rate"].tolist() == [0.01, 0.02]
    draw = {"feature_probability": scipy.stats.loguniform(0.01, 1), "seed": range(3), "n_hidden": [2, 3]}
    first, second, other = (sp.Grid.random(200, random_seed=s, **draw).columns() for s in (1, 1, 2))
    assert all(np.array_equal(first[k], second[k]) for k in draw)
    assert not np.array_equal(first["feature_probability"], other["feature_probability"])
    assert first["feature_probability"].min() > 0.01 and first["feature_probability"].max() < 1
    logs = np.log10(first["feature_probability"])
    assert abs(logs.mean() + 1) < 4 * logs.std() / np.sqrt(200)
    points = sp.Grid.points([{"feature_probability": 0.1, "seed": 3}, {"seed": 4, "feature_probability": 0.2}])
    assert points.columns()["seed"].tolist() == [3, 4]
    assert "Grid of 12 models" in repr(sp.Grid(feature_probability=[0.1, 0.2, 0.3], seed=range(4)))


@pytest.mark.slow
@pytest.mark.parametrize("design", ["zipped", "random", "points"])
def test_flat_designs_give_labelled_cells(design, tmp_path):
    if design == "zipped":
        grid = sp.Grid.zipped(feature_probability=[0.1, 0.4, 0.7], seed=[0, 1, 1])
    elif design == "random":
        grid = sp.Grid.random(3, feature_probability=[0.1, 0.4, 0.7], seed=range(2))
    else:
        grid = sp.Grid.points([{"feature_probability": p, "seed": s} for p, s in ((0.1, 0), (0.4, 1), (0.7, 1))])
    result = sp.sweep(TASK, QUICK, grid, block_size=2)
    assert result.sizes == {"cell": 3}
    assert set(result["loss"].coords) >= {"feature_probability", "seed"}
    cell = result.isel(cell=1)
    assert cell.model().W.shape == (2, 5)
    assert result.geometry()["shape"].dims == ("cell",)
    result.save(tmp_path / "r.zarr")
    xr.testing.assert_identical(sp.open(tmp_path / "r.zarr").dataset, result.dataset)


@pytest.mark.optimized
def test_blocks_hold_one_seed_and_cover_every_cell_once():
    grid = sp.Grid(feature_probability=np.linspace(0.1, 1, 7), seed=[5, 2, 9])
    (family,) = plan.families(TASK, QUICK, grid)
    blocks = list(plan.blocks(family, 4))
    assert len(blocks) == plan.n_blocks(family, 4) == 6
    real = np.concatenate([b.members[: b.n_real] for b in blocks])
    assert sorted(family.cells[real]) == list(range(21))
    for b in blocks:
        assert len(b.members) == 4
        assert set(family.seeds[b.members]) == {b.seed}  # padding is a real cell of the same seed


def test_draws_are_made_once_for_a_whole_block():
    """In the compiled step, random bits are drawn for one batch, not for one per model."""
    work = prepare(TASK, QUICK, sp.Grid(feature_probability=np.linspace(0.1, 1, 16), seed=[0]), block_size=16)
    shapes = [f"u32[{prefix}5,33]" for prefix in ("", "1,")]
    text = work.programs[0].advance.as_text()
    assert any(shape in text for shape in shapes)
    assert "u32[16,5,33]" not in text


def test_best_takes_the_lowest_loss_of_every_cell(quick_result):
    best = quick_result.best("seed")
    loss = quick_result["loss"]
    assert_allclose(best["loss"], loss.min("seed"))
    for p in best["feature_probability"].values:
        winner = best.sel(feature_probability=p)
        assert int(winner["seed"]) == int(loss.sel(feature_probability=p).idxmin("seed"))
        assert (
            winner.model().W[...].tobytes()
            == quick_result.model(feature_probability=p, seed=int(winner["seed"])).W[...].tobytes()
        )


def test_a_cell_is_a_run(quick_result):
    run = quick_result.cell(feature_probability=0.3, seed=2)
    labels = {"feature_probability": 0.3, "seed": 2}
    chosen = quick_result.dataset.sel(labels)
    assert isinstance(run, sp.Run) and run.seed == 2 and float(run.task.feature_probability[0]) == np.float32(0.3)
    for values, name in ((run.model.W[...], "W"), (run.loss, "loss"), (run.history.loss, "loss_history")):
        assert np.array_equal(values, chosen[name])
    assert np.array_equal(run.snapshots.W[...], chosen["W_snapshots"]) and run.config.snapshots == (0, 100, 1_500)
    assert np.array_equal(run.history_steps, quick_result["record_step"]) and "seed 2, 1500 steps" in repr(run)
    assert np.array_equal(quick_result.cell(feature_probability=0.31, seed=2, method="nearest").loss, run.loss)
    with pytest.raises(sp.ConfigError, match="one cell is needed; choose along seed"):
        quick_result.cell(feature_probability=0.3)


def test_names_that_are_not_there_are_key_errors(quick_result):
    for ask, sentence in (
        (lambda: quick_result["lost"], "result has no variable 'lost'. Did you mean loss? It has W, "),
        (lambda: quick_result.sel(sede=0), "result has no axis 'sede'. Did you mean seed? Axes: feature_prob"),
        (lambda: quick_result.sel(seed=9), 'result has no cell at seed=9; method="nearest" takes the closest.'),
    ):
        with pytest.raises(KeyError) as caught:
            ask()
        assert isinstance(caught.value, sp.ConfigError) and str(caught.value).startswith(sentence)


def test_geometry_of_a_sweep_is_the_geometry_of_each_model(quick_result):
    table = quick_result.geometry()
    for p in table.feature_probability.values:
        for seed in table.seed.values:
            alone = sp.geometry(quick_result.model(feature_probability=p, seed=int(seed)).W)
            cell = table.sel(feature_probability=p, seed=seed)
            assert str(cell["shape"].item()) == alone.name
            assert_allclose(cell["dimensionality"], alone.dimensionality, rtol=1e-6)
            assert_allclose(cell["packing"], alone.packing, rtol=1e-6)


def test_results_survive_saving(quick_result, tmp_path):
    for k, result in enumerate(
        [
            quick_result,
            quick_result.best("seed"),
            quick_result.sel(seed=2),
            quick_result.sel(seed=1, feature_probability=0.3),
        ]
    ):
        path = result.save(tmp_path / f"{k}.zarr")
        again = sp.open(path)
        xr.testing.assert_identical(again.dataset, result.dataset)
        assert repr(again) == repr(result)
    plain = xr.open_zarr(tmp_path / "0.zarr", consolidated=False)  # any xarray reader opens it
    xr.testing.assert_equal(plain.load(), quick_result.dataset)  # in grid form, as it is in memory
    assert plain.attrs["task"]["n_features"] == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{k}.zarr" for k in range(4)]  # nothing temporary is left


def test_a_failed_overwrite_keeps_the_old_result(quick_result, tmp_path, monkeypatch):
    path = quick_result.save(tmp_path / "r.zarr")
    rename, calls = Path.rename, []

    def failing(self, target):
        calls.append(self.name)
        if self.name == "new":
            raise OSError("disk trouble")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(sp.StoreError, match="disk trouble"):
        quick_result.best("seed").save(path, overwrite=True)
    assert calls == ["old", "new", "old"] or calls == ["r.zarr", "new", "old"]
    xr.testing.assert_identical(sp.open(path).dataset, quick_result.dataset)
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


@pytest.mark.slow
def test_one_cell_and_one_seed_axis_have_a_geometry(quick_result, tmp_path):
    cell = quick_result.sel(feature_probability=0.05).best("seed")
    assert cell.geometry()["shape"].item() == "pentagon"
    assert cell.geometry()["dimensionality"].shape == (5,)
    seeds = sp.sweep(TASK, QUICK, sp.Grid(seed=range(2)), block_size=2)
    assert seeds.best().geometry()["shape"].shape == ()
    monkey = seeds.save(tmp_path / "s.zarr")
    assert sp.open(monkey).geometry()["shape"].dims == ("seed",)


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
def test_numbers_of_numpy_are_settings_like_any_other(tmp_path):
    task = sp.tasks.Toy(
        n_features=np.int64(4), n_hidden=np.int32(2), importance=[1.0, 0.5, 0.25, 0.1], bias=np.bool_(True), magnitude="constant"
    )  # fmt: skip
    config = dataclasses.replace(QUICK, steps=np.int64(8), snapshots=tuple(np.array([0, 4])))
    result = sp.sweep(task, config, sp.Grid(bias=np.array([True, False]), seed=np.arange(2)), block_size=2)
    again = sp.open(result.save(tmp_path / "n.zarr"))
    assert again.model(bias=False, seed=1).b is None
    assert sp.train(task, config, seed=np.array(1)).model.W.shape == (2, 4)


def test_diverged_cells_have_no_geometry():
    result = sp.sweep(TASK, QUICK, sp.Grid(learning_rate=[1e6, 0.01], seed=[0]), block_size=2)
    assert result.geometry()["shape"].values.ravel()[0] == "diverged"
    assert not result.geometry()["represented"].sel(learning_rate=1e6).any()
    assert np.isnan(result.sel(learning_rate=1e6).best("seed")["loss"])


def test_cells_of_flat_designs_are_chosen_by_their_coordinates():
    grid = sp.Grid.zipped(feature_probability=[0.1, 0.4, 0.4], seed=[0, 0, 1], activation=["relu", "relu", "gelu"])
    result = sp.sweep(TASK, QUICK, grid, block_size=2)
    assert result.model(feature_probability=0.4, seed=1).activation == "gelu"
    near = result.sel(feature_probability=0.35, activation="relu", method="nearest")
    assert near["seed"].values.tolist() == [0] and near["feature_probability"].values.tolist() == [0.4]


def test_an_interrupt_stops_the_other_calls_soon(one_device, monkeypatch):
    seen = []

    def broken(self, *args):
        seen.append(args)
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["superpos.sweeping.collector"].Collector, "add", broken)
    with pytest.raises(KeyboardInterrupt):
        sp.sweep(TASK, QUICK, sp.Grid(seed=range(40)), block_size=2, devices=one_device)
    assert len(seen) == 1


def test_words_survive_saving(tmp_path):
    words = np.array(["relu", "gelu"], object)  # as pandas and xarray hold them
    result = sp.sweep(TASK, QUICK, sp.Grid(activation=words, seed=[0]), block_size=2)
    xr.testing.assert_identical(sp.open(result.save(tmp_path / "w.zarr")).dataset, result.dataset)


def test_snapshots_and_attributes(quick_result):
    assert quick_result["W_snapshots"].dims == ("feature_probability", "seed", "snapshot", "hidden", "feature")
    assert quick_result["snapshot_step"].values.tolist() == [0, 100, 1500]
    assert np.array_equal(quick_result["W_snapshots"].isel(snapshot=2), quick_result["W"])
    assert quick_result.attrs["train"]["steps"] == 1_500
    assert quick_result.attrs["versions"]["jax"] == jax.__version__
    assert len(repr(quick_result).splitlines()) == 3


def test_a_finished_sweep_is_read_and_not_trained_again(tmp_path, monkeypatch):
    grid = sp.Grid(seed=range(2))
    first = sp.sweep(TASK, QUICK, grid, tmp_path / "r.zarr", block_size=2)
    monkeypatch.setattr(sp.engines.Local, "train", None)
    second = sp.sweep(TASK, QUICK, grid, tmp_path / "r.zarr")
    xr.testing.assert_identical(first.dataset, second.dataset)
    with pytest.raises(sp.ConfigError, match="train.steps differs"):
        sp.sweep(TASK, dataclasses.replace(QUICK, steps=61), grid, tmp_path / "r.zarr")
    with pytest.raises(sp.ConfigError, match="axis seed differs"):
        sp.sweep(TASK, QUICK, sp.Grid(seed=[0, 2]), tmp_path / "r.zarr")


def test_a_metric_of_a_task_is_recorded():
    class Counting(sp.tasks.Toy):
        def loss(self, model, key, batch_size):
            loss, _ = super().loss(model, key, batch_size)
            return loss, {"twice": 2 * loss}

    numeric = ["feature_probability", "importance", "init_scale", "hidden_l1"]
    jax.tree_util.register_dataclass(
        Counting, numeric, [f.name for f in dataclasses.fields(sp.tasks.Toy) if f.name not in numeric]
    )
    result = sp.sweep(
        Counting(n_features=3, n_hidden=2, magnitude="constant"), QUICK, sp.Grid(seed=range(2)), block_size=2
    )
    assert_allclose(result["twice_history"], 2 * result["loss_history"], rtol=1e-6)
    assert "Counting" in repr(result)
    assert isinstance(result.task(seed=0), Counting)


def test_memory_budget_limits_what_runs_side_by_side(one_device):
    work = prepare(TASK, QUICK, sp.Grid(seed=range(64)), block_size=2, devices=one_device)
    one = work.programs[0].bytes
    assert one > 2 * 33 * 5 * 4  # at least the batch of every model
    tight = prepare(TASK, QUICK, sp.Grid(seed=range(64)), block_size=2, memory_budget=one, devices=one_device)
    assert tight.n_concurrent == 1 and work.n_concurrent == min(len(os.sched_getaffinity(0)), 64)
    with pytest.raises(sp.ConfigError, match="memory_budget of .* is too small"):
        prepare(TASK, QUICK, sp.Grid(seed=range(64)), block_size=2, memory_budget=one - 1, devices=one_device)


@pytest.mark.optimized
def test_how_many_launches_run_side_by_side_changes_no_bit(one_device):
    grid = sp.Grid(feature_probability=[0.1, 0.5, 0.9], seed=range(6))
    work = prepare(TASK, QUICK, grid, block_size=2, devices=one_device)
    from superpos.sweeping.api import run

    results = [run(dataclasses.replace(work, n_concurrent=n), TASK, QUICK, grid) for n in (1, 3)]
    assert bits(results[0]) == bits(results[1])


def test_sizes_of_memory_in_words():
    assert [parse_bytes(s) for s in ("1000", "4kB", "2 MiB", "1.5GiB", 7)] == [1000, 4000, 2 * 2**20, 3 * 2**29, 7]
    assert show_bytes(1536) == "1.5 KiB"


def test_default_block_size_depends_on_the_model_alone():
    sizes = [
        plan.default_block_size(sp.tasks.Toy(n_features=n, n_hidden=1), sp.TrainConfig(), "cpu")
        for n in (2, 5, 20, 100, 400)
    ]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 32 and sizes[-1] == 4


def test_progress_shows_rate_and_time_left_and_is_silent_when_nobody_watches(capsys):
    from superpos.sweeping.progress import Progress

    for enabled, shown in ((True, True), (False, False), (None, False)):
        with Progress(4, enabled=enabled) as bar:
            for _ in range(3):
                bar.advance(1.0)
        printed = capsys.readouterr().err
        assert ("training 3 of 4 models (75%)" in printed and "models/s, 0:0" in printed and "left" in printed) == shown
        assert shown or not printed
        assert bar.done == 3


@pytest.mark.slow
def test_ten_million_cells_are_laid_out_without_walking_them():
    begin = time.perf_counter()
    for grid in (
        sp.Grid(seed=range(10_000_000)),
        sp.Grid(feature_probability=np.linspace(0.01, 1, 10_000), seed=range(1_000)),
    ):
        where = lay_out(sp.tasks.Toy(n_features=5, n_hidden=2), sp.TrainConfig(steps=100), grid)
        assert where.n_blocks == (10_000_000 if len(grid.axes) == 1 else 1_000 * -(-10_000 // where.width))
    assert time.perf_counter() - begin < 20  # seconds; walking them took minutes
    with pytest.raises(sp.ConfigError, match="may not be called loss"):
        sp.Grid(loss=range(10**15))
    with pytest.raises(sp.ConfigError, match="too large"):
        sp.Grid.zipped(seed=range(10**25))


def test_the_place_of_every_cell_is_the_one_that_its_block_says(rng):
    grid = sp.Grid.zipped(feature_probability=rng.uniform(0.1, 1, 40), seed=rng.integers(0, 5, 40))
    where = lay_out(sp.tasks.Toy(n_features=3, n_hidden=2), sp.TrainConfig(steps=1), grid, block_size=3)
    expected = np.full(where.n_slots, -1)
    for number, block in where.blocks(0):
        expected[where.slots(number, block)] = where.families[0].cells[block.members[: block.n_real]]
    np.testing.assert_array_equal(where.grid_index, expected)
    assert sorted(where.grid_index[where.grid_index >= 0]) == list(range(40))
