"""Sparse autoencoders by the hundred: the grid, the ceiling of linear probes, claims, the picture, and the command line."""

import dataclasses
import json
import runpy
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.probes import best_f1, linear_probe_f1
from superpos.cli import main
from superpos.cli.one_cell import one_cell
from superpos.cli.report import print_scores
from superpos.experiments import Claims
from superpos.experiments import sae_pareto as experiment
from superpos.experiments.sae_pareto import (
    by_setting,
    control_table,
    evaluate,
    most_f1_of_one_latent,
    sparsity_frontier,
)

ROOT = Path(__file__).parents[1]


def test_each_architecture_is_swept_over_its_own_sparsity():
    grid = sp.sparsity_grid({"relu": np.array([0.1, 0.2]), "topk": range(1, 4)}, seed=range(2), dictionary_size=[3, 5])
    columns = grid.columns()
    assert grid.n_cells == 2 * 2 * 2 + 3 * 2 * 2
    relu = columns["architecture"] == "relu"
    assert set(columns["sparsity_coefficient"][relu]) == {0.1, 0.2} and set(columns["k"][relu]) == {1.0}
    assert set(columns["k"][~relu]) == {1.0, 2.0, 3.0} and set(columns["sparsity_coefficient"][~relu]) == {0.0}
    with pytest.raises(sp.ConfigError, match="settings: architecture"):
        sp.sparsity_grid({"rely": [1]})
    with pytest.raises(sp.ConfigError, match="grid axis relu"):
        sp.sparsity_grid({"relu": [np.nan]})
    for wrong, said in (({"k": [3]}, "k is set"), ({"revival": "none"}, "revival"), ({"seed": 3}, "seed")):
        with pytest.raises(sp.ConfigError, match=said):
            sp.sparsity_grid({"topk": [1]}, **wrong)
    for settings in ({}, {"relu": []}, {"relu": 0.1}):
        with pytest.raises(sp.ConfigError):
            sp.sparsity_grid(settings)


@pytest.fixture(scope="module")
def best_toy():
    """The best of toy models that are hardly trained."""
    return sp.sweep(*experiment.build_toys(experiment.SIZES.quick), block_size=1).best("seed")


@pytest.mark.slow
def test_the_sweep_script_trains_what_the_figure_reads(best_toy):
    script = runpy.run_path(str(ROOT / "sweeps" / "sae.py"))
    figure = runpy.run_path(str(ROOT / "figures" / "sae_pareto.py"))
    assert script["build"] is figure["experiment"].build and script["build_toys"] is figure["experiment"].build_toys
    _, config, grid = script["build"](experiment.SIZES.laptop, best_toy)
    settings = {
        "relu": np.geomspace(0.05, 1.2, 8),
        "topk": np.arange(1, 9),
        "batch_topk": np.geomspace(0.3, 3.0, 8),
        "jumprelu": np.geomspace(0.005, 0.3, 8),
    }
    wanted = sp.sparsity_grid(settings, seed=range(8))
    assert config.steps == 10_000 and grid.n_cells == wanted.n_cells == 256
    for name, values in wanted.columns().items():
        np.testing.assert_array_equal(grid.columns()[name], values)


@pytest.mark.slow
def test_captions_say_where_directions_come_from_and_not_their_numbers(best_toy):
    task, config, grid = experiment.build(experiment.SIZES.quick, best_toy)
    result = sp.sweep(task, dataclasses.replace(config, steps=2), grid)
    said = sp.plot.caption(result.attrs)
    assert "directions of one toy model" in said and "ReLU output" in said and len(said) < 600
    assert "n_latents 40" in repr(result) and "activation" not in repr(result)


def test_best_f1_tries_every_threshold():
    rng = np.random.default_rng(0)
    score, active = np.round(rng.normal(size=60), 1), rng.random(60) < 0.3
    brute = max(2 * np.sum(active & (score >= t)) / (active.sum() + np.sum(score >= t)) for t in score)
    assert best_f1(score, active) == pytest.approx(brute, abs=1e-12)
    assert np.isnan(best_f1(score, np.zeros(60, bool)))


@pytest.mark.slow
def test_a_probe_finds_features_of_their_own_dimensions_and_no_others():
    x = np.asarray(sp.FeatureDistribution(n_features=6, feature_probability=0.2).sample(jax.random.key(1), 8_192))
    x = np.where(x > 0, 0.2 + x, 0)  # well above 0, or not active
    W = np.eye(3, 6)  # features 3, 4 and 5 are not in h
    f1 = linear_probe_f1(W @ x, x)
    assert np.all(f1[:3] > 0.99)
    # Nothing is known of the others: to call all active is best, F1 = 2p / (1 + p) = 1/3, within 4 standard errors.
    np.testing.assert_allclose(f1[3:], 1 / 3, atol=0.04)
    with pytest.raises(sp.ConfigError, match="h and x"):
        linear_probe_f1(W @ x[:, :10], x)
    with pytest.raises(sp.ConfigError, match="finite"):
        linear_probe_f1(np.full((3, 8), np.nan), x[:, :8])


def table(**scores: float) -> xr.Dataset:
    """Scores of two settings × two seeds of TopK, as `result.sae_scores()` has them: one cell after the other."""
    names = {"mcc": 0.97, "f1": 0.8, "explained_variance": 0.9, "l0": 1.0, "l0_true": 0.8, "random_mcc": 0.65} | scores
    cells = {
        "architecture": ("cell", ["topk"] * 4),
        "sparsity_coefficient": ("cell", [0.0] * 4),
        "k": ("cell", [1.0, 1.0, 2.0, 2.0]),
        "seed": ("cell", [0, 1, 0, 1]),
    }
    found = xr.Dataset({name: ("cell", np.full(4, value)) for name, value in names.items()}, cells)
    found["f1"] = found["f1"] - xr.DataArray([0, 0, 0.2, 0.2], dims="cell")
    found["explained_variance"] = found["explained_variance"] + xr.DataArray([0, 0, 0.05, 0.05], dims="cell")
    found["l0"] = found["l0"] * found["k"]
    return found


def controls(true: float = 0.98, random: float = 0.3) -> xr.Dataset:
    return xr.Dataset({"f1": ("dictionary", [true, random])}, {"dictionary": ["true", "random"]})


@pytest.mark.parametrize(
    ("scores", "optimised", "control", "failed"),
    [
        ({}, {}, {}, 0), ({"mcc": 0.9}, {}, {}, 1), ({"f1": 0.76}, {}, {}, 1), ({"random_mcc": 0.7}, {}, {}, 1),
        ({"f1": 0.85}, {}, {}, 1),  # no dictionary with one latent per input can have that
        ({}, {"f1": 0.89}, {}, 1), ({}, {}, {"true": 0.8}, 1), ({}, {}, {"random": 0.6}, 1),
    ],
)  # fmt: skip
def test_claims_can_fail(scores, optimised, control, failed):
    claims = Claims("test")
    evaluate(
        by_setting(table(**scores)),
        by_setting(table(**{"f1": 0.92} | optimised)),
        controls(**control),
        np.array([0.75]),
        0.82,
        claims,
    )
    assert len(claims.claims) == 7 and len(claims.failed) == failed
    assert [c.statement for c in claims.claims if "identity" in c.verdict] == ["topk, k = 1: F1 is at most 2P/(P + np)"]
    said = [c for c in claims.claims if "F1 of" in c.statement and "best setting" in c.statement]
    assert ["own encoder" in c.statement for c in said] == [True, False]
    assert f"its own encoder at best {scores.get('f1', 0.8):.3f}" in said[1].measured


def test_autoencoders_that_diverged_are_in_no_mean_and_counted(capsys):
    lost = table(pursuit_f1=0.9, dead_share=0.1).where(xr.DataArray(np.arange(4) > 0, dims="cell"))
    claims = Claims("test")
    evaluate(by_setting(lost), by_setting(table(f1=0.92)), controls(), np.array([0.75]), 0.82, claims)
    assert claims.claims[0].measured == "0.970, without 1 of 4 autoencoders, which diverged" and not claims.failed
    print_scores(lost)
    assert "1 of 4 autoencoders diverged or are missing: they are in no mean" in capsys.readouterr().out
    print_scores(table(pursuit_f1=0.9, dead_share=0.1))
    assert "diverged" not in capsys.readouterr().out


def test_one_latent_per_input_reaches_its_bound_and_no_more():
    """The best such detector names one active feature at random; simulated, within 4 standard errors."""
    p, n, N = 0.1, 6, 200_000
    active = np.random.default_rng(0).random((n, N)) < p
    pick = np.where(active, np.random.default_rng(1).random((n, N)), 0)
    told = (pick == pick.max(axis=0)) & active
    f1 = np.mean(2 * told.sum(axis=1) / (told.sum(axis=1) + active.sum(axis=1)))
    assert f1 == pytest.approx(most_f1_of_one_latent(p, n), abs=0.004)
    assert most_f1_of_one_latent(0.3, 1) == pytest.approx(1)


@pytest.mark.slow
def test_pursuit_tells_activity_in_the_true_directions_and_not_in_random_ones():
    W = sp.analysis.matching.random_directions(10, 20, (3,))
    found = control_table(xr.DataArray(W, dims=("hidden", "feature")), p=0.05, n_inputs=2048)["f1"]
    assert found.sel(dictionary="true") > 0.9 and found.sel(dictionary="random") < 0.6


def test_frontier_draws_a_line_per_architecture_through_the_means():
    found = by_setting(table())
    assert dict(found.sizes) == {"architecture": 1, "setting": 2, "seed": 2}
    ax = sparsity_frontier(found, "f1")
    lines = {line.get_label(): line for line in ax.get_lines()}
    np.testing.assert_allclose(lines["TopK"].get_xydata(), [[1, 0.8], [2, 0.6]])


@pytest.mark.slow
def test_sae_reads_a_toy_model_and_its_own_result(tmp_path, monkeypatch, capsys):
    toy = sp.tasks.Toy(n_features=3, n_hidden=2)
    grid = sp.Grid(feature_probability=[0.3, 0.1], seed=range(2))
    sp.sweep(toy, sp.TrainConfig(steps=20, batch_size=32), grid).save(tmp_path / "toy.zarr")

    def say(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["superpos", "sae", *arguments])
        main()
        return capsys.readouterr().out

    first = ["--at", "feature_probability=0.12", "--architectures", "relu", "--coefficients", "0.1", "0.3"]
    out = say(str(tmp_path / "toy.zarr"), *first, "--seeds", "1", "--steps", "20", "--out", str(tmp_path / "sae.zarr"))
    assert "MCC" in out and "0.3" in out and "F1 by pursuit" in out
    again = say(str(tmp_path / "sae.zarr"))
    assert again.splitlines()[-2:] == out.splitlines()[-2:]
    stored = json.dumps(sp.open(tmp_path / "sae.zarr").attrs["task"])
    assert '"feature_probability": [0.1' in stored.replace("0.10000000149011612", "0.1")

    for arguments, said in (
        ([], "at must leave one cell"),
        (["--at", "feature_probability"], "axis=value"),
        (["--at", "feature_probability=x"], "must be a number"),
        ([*first[:2], "--seeds", "0"], "seeds"),
        ([*first[:2], "--latents", "0"], "latents"),
        (["--at", "feature_probability=nan"], "must be a number"),
        ([*first[:2], "--coefficients", "-1"], "sparsity_coefficient"),
    ):
        monkeypatch.setattr(sys, "argv", ["superpos", "sae", str(tmp_path / "toy.zarr"), *arguments])
        with pytest.raises(SystemExit) as error:
            main()
        assert error.value.code == 2 and said in capsys.readouterr().err
    # Points of no product, trained by the same program: chosen by value or by number, the better seed of two alike.
    zipped = sp.Grid.zipped(feature_probability=[0.3, 0.3, 0.1, 0.1], seed=[0, 1, 0, 1])
    points = sp.sweep(toy, sp.TrainConfig(steps=20, batch_size=32), zipped)
    loss = points.dataset["loss"].values
    for at, wanted in (("feature_probability=0.12", loss[2:].min()), ("cell=1", loss[1])):
        assert one_cell(points, (at,)).dataset["loss"].item() == wanted
    with pytest.raises(sp.ConfigError, match=r"along feature_probability \(2 values\), or cell=0 … 3"):
        one_cell(points, ())
    with pytest.raises(sp.ConfigError, match="cell must be at most 3, got 4"):
        one_cell(points, ("cell=4",))
    for arguments in (["--at", "k=1"], ["--architectures", "gated"], ["--steps", "5"]):
        monkeypatch.setattr(sys, "argv", ["superpos", "sae", str(tmp_path / "sae.zarr"), *arguments])
        with pytest.raises(SystemExit):
            main()
        assert "holds autoencoders already" in capsys.readouterr().err
    sp.open(tmp_path / "sae.zarr").isel(cell=0).save(tmp_path / "one.zarr")
    assert "MCC" in say(str(tmp_path / "one.zarr"))
