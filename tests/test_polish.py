"""Polishing one model: closed forms, other kinds of features, and starts assigned by importance."""

import numpy as np
import pytest
from scipy.optimize import minimize

import superpos as sp
from superpos.errors import ConfigError

PAIR = sp.tasks.Toy(n_features=2, n_hidden=1, feature_probability=0.1)


def pair_loss(x, p=0.1):
    """Two features of squared norm a, opposed, with bias b >= 0: integrals of straight lines, on a fine grid."""
    a, b = x
    u = (np.arange(2_000) + 0.5) / 2_000
    both = np.mean((u[:, None] - np.maximum(a * (u[:, None] - u[None]) + b, 0)) ** 2)
    alone, other = np.mean((u - np.maximum(a * u + b, 0)) ** 2), np.mean(np.maximum(b - a * u, 0) ** 2)
    return p * p * both + p * (1 - p) * (alone + other) + (1 - p) ** 2 * b * b


@pytest.mark.slow
def test_a_rough_pair_ends_in_the_minimum_of_the_closed_form():
    end = sp.theory.polish([[1.1, -0.8]], [0.05, -0.05], PAIR)
    least = minimize(pair_loss, (1.0, 0.0), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})
    assert end.loss == pytest.approx(least.fun, rel=1e-5) and end.loss < 0.1**2 / 6
    assert (end.W[0] ** 2).tolist() == pytest.approx([least.x[0]] * 2, abs=1e-3) and end.W.dtype == np.float64


def test_the_task_says_how_features_come_together():
    sets = {"anticorrelated_sets": ((0, 1),), "feature_probability": 0.2}
    task = sp.tasks.Toy(n_features=2, n_hidden=1, **sets)
    assert sp.theory.polish([[0.9, -1.1]], [0.01, 0.02], task).loss == pytest.approx(0, abs=1e-9)
    linear = sp.tasks.Toy(
        n_features=2, n_hidden=1, activation="identity", importance=[1.0, 0.5], feature_probability=0.3
    )
    left_out = 0.5 * (0.3 / 3 - 0.3**2 / 4) / 2
    assert sp.theory.polish([[0.9, 0.1]], [0.1, 0.1], linear).loss == pytest.approx(left_out, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([[1.0, -1.0]], None, PAIR), "b must be an array, as the task has bias=True"),
        (([[1.0, -1.0, 0.0]], [0.0, 0.0, 0.0], PAIR), r"W must have shape \(1, 2\) as the task says"),
        (([[1.0, -1.0]], [0.0], PAIR), r"b must have shape \(2,\)"),
        (([[1.0, -1.0]], [0.0, 0.0], sp.TrainConfig()), "task must be a superpos.tasks.Toy"),
        (
            ([[1.0, -1.0]], [0.0, 0.0], sp.tasks.Toy(n_features=2, n_hidden=1, loss_exponent=4)),
            "loss_exponent must be 2",
        ),
    ],
)
def test_what_cannot_be_polished_is_named(arguments, said):
    with pytest.raises(ConfigError, match=said):
        sp.theory.polish(*arguments)


def test_shapes_go_to_the_most_important_features_first():
    W = sp.theory.arrangement(["antipodal pair", "dedicated"], 4, 2, importance=[0.1, 1.0, 0.5, 0.7]).values
    assert np.abs(W).tolist() == [[0, 1, 0, 1], [0, 0, 1, 0]] and W[0, 1] == -W[0, 3]
    with pytest.raises(ConfigError, match="importance must"):
        sp.theory.arrangement("dedicated", 2, 1, importance=[1.0, 2.0, 3.0])


@pytest.mark.slow
def test_the_best_of_every_cell_is_polished_beside_planted_solutions():
    task = sp.tasks.Toy(n_features=3, n_hidden=2, objective="expected", order=16)
    grid = sp.Grid(n_hidden=[1, 2], feature_probability=[0.1], seed=range(3))
    result = sp.sweep(task, sp.TrainConfig(steps=40), grid, block_size=1)
    table = sp.polish_best(result, planted="antipodal pair")  # one word is one arrangement
    assert table["loss"].dims == ("n_hidden", "feature_probability") and table.attrs == {"n_best": 2, "restarts": 3}
    assert np.all(table["loss"] <= result["loss"].min("seed") * (1 + 1e-5))
    cell = table.sel(n_hidden=1, feature_probability=0.1)
    assert sp.geometry(cell["W"].values[:1]).name == "antipodal pair"  # and the third feature is left out
    exact = result.cell(n_hidden=1, feature_probability=0.1, seed=0).task
    again = sp.theory.polish(cell["W"].values[:1], cell["b"].values, exact)
    assert float(again.loss) == pytest.approx(float(cell["loss"]), rel=1e-9)
    assert np.isnan(cell["W"].values[1]).all() and np.isfinite(table.sel(n_hidden=2)["W"]).all()
    with pytest.raises(sp.ConfigError, match="n_best"):
        sp.polish_best(result, n_best=4)
    with pytest.raises(sp.ConfigError, match="toy models over 'sed'"):
        sp.polish_best(result, "sed")


@pytest.mark.slow
def test_a_planted_solution_wins_where_training_did_not_find_it_and_no_restart_has_its_loss():
    task = sp.tasks.Toy(n_features=3, n_hidden=1, feature_probability=0.1, objective="expected", order=16)
    alone = {"W": np.array([[0.0, 0.9, 0.0]]), "b": np.array([0.05, 0.0, 0.05])}  # one feature, a saddle's valley
    result = sp.sweep(
        task, sp.TrainConfig(steps=1, learning_rate=1e-6), sp.Grid(seed=range(2)), init=alone, block_size=2
    )
    table = sp.polish_best(result, n_best=1, planted=[["antipodal pair"]])
    assert float(table["loss"]) < float(result["loss"].min()) and float(table["share"]) == 0
    assert table["found_by"].item() in ("training", "antipodal pair")


@pytest.mark.slow
def test_a_perfect_reconstruction_counts_as_reached_and_weights_may_be_planted():
    """Two features that never come together fit in one dimension without loss: no share of 0 is above 0."""
    task = sp.tasks.Toy(
        n_features=2, n_hidden=1, feature_probability=0.2, anticorrelated_sets=((0, 1),), objective="expected", order=16
    )
    perfect = {"W": np.array([[1.0, -1.0]]), "b": np.zeros(2)}
    config = sp.TrainConfig(steps=1, learning_rate=1e-6)
    nearly = {"W": 1.0003 * perfect["W"], "b": perfect["b"]}  # costs 2e-8: nothing, and infinitely more than 0
    result = sp.sweep(task, config, sp.Grid(seed=range(2)), init=nearly, block_size=2)
    table = sp.polish_best(result, n_best=1, planted=[(perfect["W"], perfect["b"])])
    assert abs(float(table["loss"])) < 1e-8 and float(table["share"]) == 1
    alone = np.array([[1.0, 0.0]])
    W, b = sp.theory.planted_start(alone, task, noise=0.0)
    assert W.tolist() == alone.tolist() and b is not None and b.tolist() == pytest.approx([0, 0.2 / 2])
    with pytest.raises(sp.ConfigError, match="planted W must have shape"):
        sp.polish_best(result, planted=[np.eye(2)])
    for b in (np.zeros(3), np.zeros((2, 1))):
        with pytest.raises(sp.ConfigError, match="^planted b must (have shape|be a vector)"):
            sp.theory.planted_start((alone, b), task)
