"""A series that is too short for its weights: no loss is taken from it, by whichever way it comes."""

import logging

import numpy as np
import pytest

import superpos as sp
from superpos.config import compared
from superpos.errors import ConfigError, DivergedError
from superpos.theory import follow, minimise, series

SHORT = sp.tasks.Toy(n_features=10, n_hidden=2, feature_probability=0.1, objective="expected", order=2)
STEPS = sp.TrainConfig(steps=60)


@pytest.fixture(scope="module")
def swept():
    densities = [
        0.3,
        0.1,
        0.03,
    ]  # two terms lead to a minimum; to a loss below 0; to one that is far from the true loss
    return sp.sweep(SHORT, STEPS, sp.Grid(feature_probability=densities), block_size=2, progress=False)


@pytest.mark.slow
def test_a_sweep_marks_models_that_the_series_led_astray_and_leaves_the_others_alone(swept):
    assert np.isfinite(swept["loss"].values).tolist() == [True, False, False]
    below, far = swept.diverged
    assert below["feature_probability"] == 0.1 and 0 < below["step"] < 60 and "below 0" in below["reason"]
    assert far["feature_probability"] == 0.03 and far["step"] == 60 and "far from the true one" in far["reason"]
    assert all("order = 2 is too short for 10 features" in line for line in swept.diverged_lines())
    alone = sp.sweep(SHORT, STEPS, sp.Grid(feature_probability=[0.3]), block_size=2, progress=False)
    for name in ("W", "b", "loss", "loss_history", "diverged_step"):
        assert alone[name].values.tobytes() == swept[name].values[:1].tobytes(), name


@pytest.mark.slow
def test_one_model_raises_and_names_the_order(caplog):
    with (
        caplog.at_level(logging.WARNING, "superpos"),
        pytest.raises(DivergedError, match=r"below 0.* order = 2 is too"),
    ):
        sp.train(SHORT, STEPS)
    assert [r.message for r in caplog.records if "few terms for 10 features" in r.message]


@pytest.mark.slow
def test_the_loss_of_such_weights_is_refused_below_zero_and_far_from_the_true_one(swept):
    for k, p in ((1, 0.1), (2, 0.03)):
        W, b = swept["W"].values[k], swept["b"].values[k]
        with pytest.raises(ConfigError, match="order does not suit these weights"):
            sp.expected_loss(W, b, p, order=2)
        assert sp.expected_loss(W, b, p) > 0.005


@pytest.mark.slow
def test_descents_on_a_short_series_are_refused(swept):
    start = (swept["W"].values[1], swept["b"].values[1])
    with pytest.raises(ConfigError, match="order led the descent astray"):
        minimise(*start, 0.1, 1.0, order=2, steps=2)
    with pytest.raises(ConfigError, match="order led the descent below a loss of 0"):
        follow(*start, [0.0], 0.1, order=2)


def test_the_order_grows_with_features_and_dimensions():
    chosen = [sp.theory.chosen_order(n, m) for n, m in ((5, 2), (56, 7), (64, 16), (100, 20), (400, 30))]
    assert chosen == [32, 32, 64, 64, 256]
    assert sp.tasks.Toy(n_features=100, n_hidden=20, objective="expected").terms == 64
    with pytest.raises(ConfigError, match="n_features² × order must be at most"):
        sp.tasks.Toy(n_features=1_000, n_hidden=20, objective="expected").check()


def test_short_series_are_doubted_and_long_ones_trusted():
    assert series.doubts(16, 56, 7) and not series.doubts(16, 20, 5) and not series.doubts(8, 3, 2)
    assert bool(series.far(0.5, 1.0, 0.0)) and not bool(series.far(0.95, 1.0, 0.0))
    assert bool(series.below_zero(-0.1, 1.0)) and not bool(series.below_zero(-1e-4, 1.0))


def test_a_store_that_says_the_number_that_would_be_chosen_is_of_the_same_sweep():
    said = {"kind": "toy", "n_features": 100, "n_hidden": 20}
    assert compared(said | {"order": None}) == compared(said | {"order": 64}) != compared(said | {"order": 32})
