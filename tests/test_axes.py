"""Axes whose values are the exponents of a law: frequencies and importances with their sum held."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import superpos as sp
from superpos.cli import sweepfile
from superpos.errors import ConfigError

TASK = sp.tasks.Toy(n_features=5, n_hidden=2, magnitude="constant")  # no exact loss, which compiles slowly
QUICK = sp.TrainConfig(steps=20, batch_size=16, history=5, evaluation_samples=32)


def test_power_and_exponential_laws_hold_the_sum_of_probabilities():
    grid = sp.Grid(alpha=sp.power_law("feature_probability", [-1.0, 0.0, 0.7], total=0.6), seed=[0])
    result = sp.sweep(TASK, QUICK, grid, block_size=4)
    for alpha in (-1.0, 0.0, 0.7):
        p = np.asarray(result.task(alpha=alpha, seed=0).feature_probability, np.float64)
        assert_allclose(p / p[0], np.arange(1, 6) ** -(1 + alpha), rtol=1e-6)
        assert_allclose(p.sum(), 0.6, rtol=1e-6)
    grid = sp.Grid(rate=sp.exponential_law("importance", [0.0, 0.3]), seed=[0])
    result = sp.sweep(TASK, QUICK, grid, block_size=4)
    assert_allclose(result.task(rate=0.3, seed=0).importance, np.exp(-0.3 * np.arange(5)), rtol=1e-6)
    total = sp.sweep(TASK, QUICK, sp.Grid(a=sp.power_law("importance", [1.0], total=5), seed=[0]), block_size=4)
    assert_allclose(np.sum(total.task(a=1.0, seed=0).importance), 5, rtol=1e-6)


def test_probabilities_that_would_exceed_one_are_one_and_the_sum_stays():
    axis = sp.power_law("feature_probability", [2.0], total=2)
    p = axis.law(2.0, 5)
    assert p[0] == 1 and p[1] < 1
    assert_allclose(p.sum(), 2, rtol=1e-12)
    assert_allclose(p[2] / p[1], (2 / 3) ** 3, rtol=1e-12)


def test_a_cell_of_a_law_has_the_bytes_of_its_vector_and_draws_are_paired_across_exponents():
    grid = sp.Grid(alpha=sp.power_law("feature_probability", [0.0, 0.5], total=1), seed=[0, 1])
    result = sp.sweep(TASK, QUICK, grid, block_size=4)
    p = np.asarray(result.task(alpha=0.5, seed=1).feature_probability)
    alone = sp.sweep(dataclasses.replace(TASK, feature_probability=p), QUICK, sp.Grid(seed=[1]), block_size=4)
    assert result.sel(alpha=0.5, seed=1)["W"].values.tobytes() == alone["W"].values.tobytes()
    # One uniform number per feature decides for every exponent, so what is rarer is active on a subset of the inputs.
    often, rarely = (result.task(alpha=a, seed=0).features.sample(jax.random.key(3), 4096) != 0 for a in (0.0, 0.5))
    p, q = (np.asarray(result.task(alpha=a, seed=0).feature_probability) for a in (0.0, 0.5))
    assert np.all(often[q <= p] >= rarely[q <= p]) and np.all(often[q >= p] <= rarely[q >= p])


def test_new_exponents_need_no_compilation(compilations):
    def sweep(exponents: list[float]) -> None:
        sp.sweep(TASK, QUICK, sp.Grid(a=sp.power_law("importance", exponents, total=5), seed=[0]), block_size=4)

    sweep([0.0, 0.5])
    compilations.clear()
    sweep([0.25, 1.5])
    assert not compilations


@pytest.mark.slow
def test_a_law_fits_whatever_number_of_features_a_cell_has(tmp_path):
    grid = sp.Grid(n_features=[4, 6], alpha=sp.power_law("feature_probability", [0.5, 1.0], total=1), seed=[0])
    result = sp.sweep(TASK, QUICK, grid, store=tmp_path / "r.zarr", block_size=4)
    opened = sp.open(tmp_path / "r.zarr")
    for n in (4, 6):
        cell = {"n_features": n, "alpha": 1.0, "seed": 0}
        p = opened.task(**cell).feature_probability
        assert p.shape == (n,)
        assert_allclose(p.sum(), 1, rtol=1e-6)
        np.testing.assert_array_equal(p, result.task(**cell).feature_probability)


def test_a_sweep_file_states_laws(tmp_path: Path):
    file = tmp_path / "laws.toml"
    file.write_text(
        "[task]\nn_features = 5\nn_hidden = 2\n[grid]\nseed = [0]\n"
        'alpha = { power_law = "feature_probability", total = 1, linspace = [0, 1, 3] }\n'
        'rate = { exponential_law = "importance", values = [0.1] }\n'
    )
    grid = sweepfile.read(file).grid
    assert grid.sizes == {"seed": 1, "alpha": 3, "rate": 1}
    assert grid.axes["alpha"].total == 1 and grid.axes["rate"].total is None
    for override, words in {
        "grid.alpha={entry='importance[0]', total=1, values=[1]}": "grid.alpha.total belongs to",
        "grid.alpha={power_law='importance', decay='importance', values=[1]}": "at most one of",
        "grid.alpha={power_law='importance', total='x', values=[1]}": "total",
    }.items():
        with pytest.raises(ConfigError, match=words):
            sweepfile.read(file, [override])


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("power_law: field must be one of", lambda: sp.power_law("init_scale", [1.0])),
        ("must be at least -1", lambda: sp.power_law("importance", [-1.5])),
        ("must be at least 0", lambda: sp.exponential_law("importance", [-0.5])),
        ("total is missing", lambda: sp.power_law("feature_probability", [0.0])),
        ("total must be above 0", lambda: sp.power_law("importance", [0.0], total=0)),
        ("total", lambda: sp.power_law("importance", [0.0], total=float("nan"))),
        ("total", lambda: sp.power_law("importance", [0.0], total="much")),
        ("is empty", lambda: sp.power_law("importance", [])),
        ("must hold numbers", lambda: sp.power_law("importance", ["a"])),
        ("holds NaN|must be finite|not finite", lambda: sp.power_law("importance", [float("nan")])),
    ],
)
def test_laws_that_are_not_allowed(words, make):
    with pytest.raises(ConfigError, match=words):
        make()


def test_probabilities_that_cannot_add_up_are_refused_before_anything_is_trained():
    for words, axis in {
        "total must be at most the number of features, 5, got 6": sp.power_law("feature_probability", [0.0], total=6),
        "leaves some of the 5 features with a probability of 0": sp.power_law("feature_probability", [90.0], total=1),
    }.items():
        with pytest.raises(ConfigError, match=words):
            sp.sweep(TASK, QUICK, sp.Grid(alpha=axis, seed=[0]))
    with pytest.raises(ConfigError, match="both set feature_probability"):
        sp.Grid(feature_probability=[0.1], alpha=sp.power_law("feature_probability", [0.0], total=1))
