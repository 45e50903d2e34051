"""Phase diagrams: labels, candidates and boundaries in closed form, the true optimum, and what training finds."""

import dataclasses
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis import against_optimum, phase, phase_table
from superpos.experiments import phase_diagram
from superpos.theory import boundaries, candidate_losses, candidates, crossings, follow, minimise, optimum


@pytest.mark.slow
def test_phases_by_hand():
    assert phase([[1.0, 0.0]]) == "ignored"
    assert phase([[1.0, -1.0]]) == "in superposition"
    assert phase([[0.0, 1.0]]) == "dedicated"
    assert phase(np.eye(2), 0) == phase(np.eye(2), 1) == "dedicated"
    assert phase([[1.0, 0, 0], [0, 1, -1]], 0) == "dedicated"
    assert phase([[1.0, 0.4]]) == "ignored" and phase([[0.4, 1.0]]) == "dedicated"  # a faint neighbour does not share
    assert phase([[1.0, 0.4]], represented_above=0.3) == "in superposition"


def test_labels_do_not_depend_on_rotation_or_sign(rng):
    W = rng.normal(size=(2, 3))
    Q = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    for feature in range(3):
        assert phase(W, feature) == phase(Q @ W, feature) == phase(-W, feature)


@pytest.mark.slow
def test_the_table_keeps_the_best_restart_and_counts_those_that_reached_it():
    """Never a mean: one restart is an antipodal pair, two ignore the feature; the mean of them is nothing."""
    W = np.array([[[[1.0, -1.0]], [[1.0, 0.0]], [[1.0, 0.0]], [[np.nan, np.nan]]]])
    loss = np.array([[0.1, 0.2, 0.1005, np.nan]])
    table = phase_table(
        xr.DataArray(W, dims=("p", "seed", "hidden", "feature")), xr.DataArray(loss, dims=("p", "seed"))
    )
    assert table["phase"].values.tolist() == ["in superposition"]
    assert table["loss"].values == [0.1]
    assert table["norm"].values == [1.0] and table["interference"].values == [1.0]
    assert table["basin_probability"].values == [0.5]  # the best and the one half a per cent above it, of four
    with pytest.raises(sp.ConfigError, match="dim must be one of the dimensions p, seed, got 'restart'"):
        phase_table(xr.DataArray(W, dims=("p", "seed", "hidden", "feature")), xr.DataArray(loss, dims=("p", "seed")), dim="restart")  # fmt: skip


def test_tables_survive_odd_inputs():
    """W's dimensions in another order; a cell where every restart diverged; a loss below zero by rounding."""
    loss = xr.DataArray([[[0.2, 0.1], [0.3, 0.2]], [[np.nan, np.nan], [-1e-9, -1e-9]]], dims=("p", "r", "seed"))
    W = xr.DataArray(np.zeros((2, 2, 2, 1, 2)), dims=("p", "r", "seed", "hidden", "feature")).copy()
    W[0, 1, 1] = [[1.0, -1.0]]
    W[1, 1] = [[0.0, 1.0]]
    table, turned = phase_table(W, loss), phase_table(W.transpose("r", "p", ..., "feature"), loss)
    assert table["phase"].values.tolist() == [["ignored", "in superposition"], ["diverged", "dedicated"]]
    assert table["basin_probability"].values.tolist() == [[0.5, 0.5], [0.0, 1.0]]
    xr.testing.assert_equal(table, turned)


@pytest.mark.slow
def test_the_optimum_is_not_compared_with_what_it_is_not(quick_result):
    over = {"feature_probability": [0.5], "relative_importance": [1.0], "seed": [0]}
    task = sp.tasks.Toy(n_features=2, n_hidden=1, importance=[1.0, 1.0], bias=False, objective="expected")
    grid = sp.Grid(feature_probability=[0.5], relative_importance=sp.entry("importance", -1, [1.0]), seed=[0])
    result = sp.sweep(task, sp.TrainConfig(steps=1), grid, block_size=1)
    assert {d: len(v) for d, v in over.items()} == result.sizes
    with pytest.raises(sp.ConfigError, match="plain models .* here bias"):
        against_optimum(result.phases())
    with pytest.raises(sp.ConfigError, match="last feature, and the table is of feature 0"):
        against_optimum(result.phases(feature=0))
    with pytest.raises(sp.ConfigError, match="a phase table must be over"):
        against_optimum(quick_result.phases())
    assert quick_result.best("seed").phases()["basin_probability"].values.tolist() == [1.0] * 3


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_candidates_cost_what_the_expected_loss_says(n, bias):
    """Closed forms against the series, to 1e-4."""
    for p in (0.9, 0.3, 0.05):
        for r in (0.1, 1.0, 4.0):
            said = candidate_losses(n, p, r, bias=bias)
            for c in candidates(n):
                b = np.zeros(n)
                if c.ignored is not None and bias:
                    b[c.ignored] = p / 2
                importance = np.append(np.ones(n - 1), r)
                exact = float(sp.expected_loss(c.W, b, p, importance))
                assert said[c.name] == pytest.approx(exact, rel=2e-4), (c.name, p, r)
                assert c.phase == phase(c.W)
                np.testing.assert_allclose(c.W @ c.normal, 0, atol=1e-12)


def test_published_boundaries():
    """r = .667, .24, .0571 at p = .5, .3, .1 with the bias free; triple point p = 4/7; r = p/(2 − p) without."""
    lower, upper, dense = boundaries(2)
    np.testing.assert_allclose(
        np.interp([0.1, 0.3, 0.5], lower.feature_probability, lower.importance), [0.0571, 0.24, 0.667], rtol=2e-3
    )
    np.testing.assert_allclose(upper.importance, 1 / lower.importance)
    for curve in (lower, upper):
        assert curve.feature_probability[-1] == pytest.approx(4 / 7) and curve.importance[-1] == pytest.approx(1)
    assert dense.importance.tolist() == [1.0] * len(dense.importance)
    without = boundaries(2, bias=False)[0]
    np.testing.assert_allclose(without.importance, without.feature_probability / (2 - without.feature_probability))


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_on_a_boundary_two_candidates_tie_and_none_is_lower(n, bias):
    for curve in boundaries(n, bias=bias, points=20):
        losses = candidate_losses(n, curve.feature_probability, curve.importance, bias=bias)
        a, b = (losses[name] for name in curve.between)
        np.testing.assert_allclose(a, b, rtol=1e-9)
        assert np.all(np.min(list(losses.values()), axis=0) >= a * (1 - 1e-9))


@pytest.mark.trained
@pytest.mark.slow
def test_the_optimum_is_below_every_candidate_and_kinks_at_the_boundary():
    """Never above the best candidate; within 2 % of it far from boundaries; on both sides of one the phase differs."""
    p = np.array([0.8, 0.05, 0.05, 0.3, 0.3])
    r = np.array([0.2, 0.5, 2.0, 0.12, 0.9])
    best = optimum(2, p, r, steps=500, order=32)
    lowest = np.min(list(candidate_losses(2, p, r).values()), axis=0)
    assert np.all(best.loss <= lowest * (1 + 1e-4))
    assert np.all(best.loss[:3] >= lowest[:3] * 0.98)
    assert [phase(W) for W in best.W] == [
        "ignored",
        "in superposition",
        "in superposition",
        "ignored",
        "in superposition",
    ]
    for W, b, loss, p_, r_ in zip(*best, p, r, strict=True):
        assert loss == pytest.approx(float(sp.expected_loss(W, b, p_, [1.0, r_], order=512)), rel=1e-4)


def test_minimise_finds_the_published_pentagon():
    """p = .05: two pairs and a feature left out, nudged, fall into the pentagon at .0089 (the sum)."""
    W = np.array([[1.0, -1, 0.1, 0, 0], [0, 0, 1, -1, 0.1]], np.float32)
    end = minimise(W, np.zeros(5, np.float32), np.full(5, 0.05, np.float32), np.ones(5, np.float32), steps=400)
    assert 5 * float(end.loss) == pytest.approx(0.0089, rel=0.02)
    assert sp.geometry(end.W).name == "pentagon"


@pytest.mark.slow
def test_the_sparse_end_of_the_pentagon_is_first_order():
    """One feature made sparser: pentagon and two pairs cross at .2 < ρ < .45, and each outlives the crossing (hysteresis)."""
    angles = 2 * np.pi * np.arange(5) / 5
    rho = np.geomspace(1, 0.1, 24)
    p = np.full((24, 5), 0.05)
    p[:, 0] *= rho
    pentagon = follow(1.13 * np.array([np.cos(angles), np.sin(angles)]), np.full(5, -0.25), rho, p, order=32)
    assert 5 * pentagon.loss[0] == pytest.approx(0.0089, rel=0.02)
    np.testing.assert_allclose(np.linalg.norm(pentagon.W[0], axis=0), 1.13, atol=0.03)
    np.testing.assert_allclose(pentagon.b[0], -0.25, atol=0.03)
    pairs = follow(
        np.array([[0, 1.0, -1, 0, 0], [0, 0, 0, 1, -1]]), np.array([0.0025, 0, 0, 0, 0]), rho[::-1], p[::-1], order=32
    )
    assert 5 * pairs.loss[-1] == pytest.approx(0.0177, rel=0.02)
    assert len(pairs.jumps) == 0
    alive = slice(0, pentagon.jumps[0] if len(pentagon.jumps) else None)
    at = crossings(rho[alive], pentagon.loss[alive], pairs.loss[::-1][alive])
    assert len(at) == 1 and 0.2 < at[0] < 0.45
    assert rho[alive][-1] < 0.6 * at[0]  # warm starts stay a pentagon long after two pairs are better
    # Backwards from where the pentagon has ended, the pairs stay: up and down differ.
    back = follow(pentagon.W[-1], pentagon.b[-1], rho[::-1], p[::-1], order=32)
    assert len(pentagon.jumps) == 1 and len(back.jumps) == 0
    assert back.loss[-1] > 1.5 * pentagon.loss[0]


def test_crossings_by_hand():
    np.testing.assert_allclose(crossings([0, 1, 2, 3], [0, 1, 2, 3], [0.5, 0.5, 2.5, 2.5]), [0.5, 1 + 0.5, 2.5])
    assert len(crossings([0, 1], [1, 2], [3, 4])) == 0
    np.testing.assert_allclose(crossings([0, 1, 2], [0, 1, 2], [1, 1, 1]), [1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: candidates(4), "n_features must be 2 (for 2→1) or 3 (for 3→2), got 4."),
        (lambda: boundaries(1), "n_features must be 2 (for 2→1) or 3 (for 3→2), got 1."),
        (lambda: optimum(2, [[0.5]], 1.0), "must be vectors over cells"),
        (lambda: optimum(2, [0.0], [1.0]), "feature_probability must be above 0"),
        (lambda: phase(np.zeros(3)), "W must be a matrix (rows, columns), got an array of shape (3,)."),
        (lambda: phase(np.zeros((1, 2)), 2), "feature must be at most 1, got 2."),
        (lambda: follow(np.ones((1, 2)), [0.0], [1.0], 0.5), "W must be (n_hidden, n_features) and b (n_features,)"),
        (lambda: follow(np.ones((1, 2)), [0.0, 0], [], 0.5), "values must be a list of numbers"),
        (lambda: follow(np.ones((1, 2)), [0.0, 0], [1.0], [0.5] * 3), "feature_probability must be a number, (2,) or (1, 2)"),
        (lambda: sp.expected_loss(np.zeros(3), None, 0.5), "W must be a matrix (rows, columns), got an array of shape (3,)."),
        (lambda: sp.expected_loss(np.zeros((1, 2)), np.zeros(3), 0.5), "b must have shape (2,), got shape (3,)."),
        (lambda: sp.expected_loss(np.full((1, 2), np.nan), None, 0.5), "W must be finite"),
        (lambda: sp.expected_loss(np.full((1, 2), 1e7), None, 0.5), "W must be at least -1e+06 and at most 1e+06"),
        (lambda: sp.expected_loss(np.zeros((1, 2)), None, 0.0), "feature_probability must be above 0"),
        (lambda: sp.expected_loss(np.zeros((1, 2)), None, 0.5, [1.0] * 3), "importance must be one number or 2"),
        (lambda: sp.expected_loss(np.zeros((1, 2)), None, 0.5, order=0), "order must be at least 1, got 0."),
        (lambda: sp.expected_loss(np.zeros((1, 2)), None, 0.5, magnitude="exponential"), "magnitude must be one of uniform"),
        (lambda: sp.expected_loss(np.zeros((1, 2)), None, 0.5, activation="gelu"), "activation must be one of relu, identity"),
        (lambda: sp.expected_loss("x", None, 0.5), "W must be a number"),
        (lambda: optimum(2, [0.1, 0.2, 0.3], [1.0, 2.0]), "must have one length"),
        (lambda: boundaries(2, points=-1), "points must be at least 2"),
        (lambda: phase(np.eye(2), represented_above=np.nan), "represented_above must be finite"),
        (lambda: follow(np.ones((1, 2)), [0.0, 0], [1.0], 0.5, importance=0.0), "importance must not be 0 for every feature"),
        (lambda: sp.TrainConfig().boundaries(), "steps is not chosen yet"),
        (lambda: sp.Grid(phase=sp.entry("importance", -1, [0.5]), seed=[0]), "phase"),
    ],
)  # fmt: skip
def test_wrong_input_is_named(call, words):
    with pytest.raises(sp.ConfigError) as error:
        call()
    assert words in str(error.value)


@pytest.mark.slow
def test_a_small_diagram_end_to_end(monkeypatch, tmp_path, capsys):
    """`superpos phase` and the figure script: files, numbers, and the label of the optimum nearly everywhere."""
    from superpos.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["superpos", "phase", "--cells", "6", "--seeds", "4"])
    main()
    printed = capsys.readouterr().out
    assert "100.00 % of the cells are within 1 % of the least possible loss" in printed
    assert sorted(p.name for p in Path("superpos-phase").iterdir()) == [
        "phase_2_1.against_optimum.nc", "phase_2_1.log", "phase_2_1.png", "phase_2_1.svg", "phase_2_1.txt", "phase_2_1.zarr",
    ]  # fmt: skip
    assert "expected loss (order 16), no sampling" in Path("superpos-phase/phase_2_1.txt").read_text()
    result = sp.open("superpos-phase/phase_2_1.zarr")
    table = result.phases()
    assert set(table["loss"].dims) == {"feature_probability", "relative_importance"}
    # Hard cases of the published picture: dense and unimportant is ignored; sparse is an antipodal pair.
    p, r = table.feature_probability, table.relative_importance
    assert set(table["phase"].where((p >= 0.5) & (r <= 0.3), drop=True).values.ravel()) == {"ignored"}
    sparse = table.where(p <= 0.1, drop=True)
    assert set(sparse["phase"].values.ravel()) == {"in superposition"}
    assert np.all(np.abs(sparse["norm"] - 1) < 0.1)
    # The optimum was kept: nothing looks for it again, or the table would be written anew.
    kept = Path("superpos-phase/phase_2_1.against_optimum.nc")
    before = kept.stat()
    compared = sp.cached(Path("superpos-phase/phase_2_1.zarr"), against_optimum, table, steps=200, order=16)
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert np.all(np.abs(compared["excess"]) < 0.01)
    assert bool(compared["agrees"].isel(feature_probability=[0, 2, 5], relative_importance=[0, 2, 5]).all())


def test_maps_draw_on_the_axes_they_are_given():
    over = {"feature_probability": np.geomspace(1, 0.01, 4), "relative_importance": np.geomspace(0.1, 10, 5)}
    values = xr.DataArray(np.linspace(0, 1, 20).reshape(4, 5), over, tuple(over))
    for draw in (
        sp.plot.excess_map,
        sp.plot.basin_map,
        lambda v, ax: sp.plot.phase_map(v, v, ax, boundaries=boundaries(2)),
    ):
        figure, ax = plt.subplots()
        draw(values, ax)
        assert ax.get_xlim() == (1.0, 0.01) and ax.get_xscale() == ax.get_yscale() == "log"
        figure.canvas.draw()


@pytest.mark.long
@pytest.mark.parametrize("n_hidden", [1, 2])
def test_a_full_diagram_agrees_with_the_true_optimum(n_hidden):
    """64 × 64 cells × 8 restarts: 99 % of the cells within 1 % of the optimum's loss, 97 % with its label."""
    planned = phase_diagram.build(phase_diagram.SIZES.laptop)[n_hidden]
    result = sp.sweep(*planned, block_size=phase_diagram.BLOCK_SIZE)
    compared = against_optimum(result.phases())
    print((compared["excess"] <= 0.01).mean().item(), compared["agrees"].mean().item(), compared["excess"].max().item())
    assert (compared["excess"] <= 0.01).mean() >= 0.99
    assert compared["agrees"].mean() >= 0.97


@pytest.mark.slow
def test_exact_training_respects_a_missing_bias():
    """Without a bias the boundary is r = p/(2 − p): at p = .5, r = .4 the extra feature is still in superposition."""
    task = sp.tasks.Toy(n_features=2, n_hidden=1, importance=[1.0, 0.4], feature_probability=0.5, objective="expected")
    for bias, expected in ((True, "ignored"), (False, "in superposition")):
        runs = sp.sweep(dataclasses.replace(task, bias=bias), None, sp.Grid(seed=range(6)), block_size=2)
        assert runs.phases()["phase"].item() == expected
