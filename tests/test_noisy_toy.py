"""Dropout and noise in the hidden layer: exact losses against sums over masks and samples, and what dropout privileges."""

from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.optimize import minimize

import superpos as sp
from superpos.errors import ConfigError
from superpos.experiments import Claims
from superpos.experiments import dropout as experiment
from superpos.theory import dropout_penalty, linear_loss, noise_penalty

rng = np.random.default_rng(5)
TASK = sp.tasks.NoisyToy(
    n_features=4, n_hidden=2, feature_probability=0.4, importance=np.array([1.0, 0.7, 0.5, 0.2]), dropout_rate=0.3
)


def _model(task=TASK, seed=0):
    return task.broadcast().init(jax.random.key(seed))


def test_the_penalty_of_a_linear_model_is_the_mean_over_all_masks():
    """Independent twin: every mask by itself, with the second moments of x."""
    W, importance, rate = rng.normal(size=(3, 4)), rng.random(4), 0.3
    features = sp.FeatureDistribution(n_features=4, feature_probability=0.4)
    M, total = np.asarray(features.second_moments(), float), 0.0
    for mask in product((0, 1), repeat=3):
        A = np.eye(4) - W.T @ np.diag(np.array(mask) / (1 - rate)) @ W
        total += np.prod(np.where(mask, 1 - rate, rate)) * np.mean(importance * np.diag(A @ M @ A.T))
    plain = float(linear_loss(W, np.zeros(4), features, importance))
    assert_allclose(float(dropout_penalty(W, features, rate, importance)), total - plain, rtol=1e-4)


def test_the_penalty_of_noise_is_that_of_its_covariance():
    W, importance = rng.normal(size=(2, 4)), rng.random(4)
    covariance = W.T @ (0.3**2 * np.eye(2)) @ W
    assert_allclose(float(noise_penalty(W, 0.3, importance)), np.mean(importance * np.diag(covariance)), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_the_expected_loss_is_the_mean_of_sampled_ones(activation):
    noise = 0.2 if activation == "identity" else None
    task = replace(TASK, activation=activation, hidden_noise=noise, objective="expected").broadcast()
    model, keys = _model(task), jax.random.split(jax.random.key(2), 20)
    sampled = replace(task, objective="sampled")
    losses = np.array([float(sampled.loss(model, key, 5_000)[0]) for key in keys])
    expected, error = float(task.loss(model, keys[0], 0)[0]), losses.std(ddof=1) / 20**0.5
    assert abs(losses.mean() - expected) < 4 * error
    assert abs(losses.mean() - float(model_loss(task, model))) > 4 * error  # without noise it is another


def model_loss(task, model):
    return task.evaluation_task().expected_loss(model)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["sampled", "expected"])
def test_no_noise_is_the_toy_model(objective):
    task = replace(TASK, objective=objective, dropout_rate=None).broadcast()
    toy, model, key = task.evaluation_task(), _model(), jax.random.key(3)
    for quiet in (task, replace(task, dropout_rate=0.0), replace(task, hidden_noise=0.0)):
        assert_allclose(quiet.loss(model, key, 64)[0], toy.loss(model, key, 64)[0], rtol=1e-6)


def test_draws_are_paired_across_rates():
    """What a low rate drops, a higher one drops, too."""
    hidden, key = jnp.ones((3, 200)), jax.random.key(0)
    dropped = [np.asarray(replace(TASK, dropout_rate=rate)._with_noise(hidden, key)) == 0 for rate in (0.2, 0.6)]
    assert np.all(dropped[1] | ~dropped[0]) and abs(dropped[0].mean() - 0.2) < 4 * (0.16 / 600) ** 0.5


@pytest.mark.slow
def test_the_reported_loss_is_that_without_noise():
    run = sp.train(replace(TASK, objective="expected"), sp.TrainConfig(steps=20))
    assert_allclose(run.loss, float(model_loss(TASK, run.model)), rtol=1e-5)


def test_linear_training_ends_at_the_optimum_that_numpy_finds():
    """Twin in double precision: least of 8 starts of a quasi-Newton method; features of mean 0, so b is 0."""
    rate, importance = 0.4, 0.5 ** np.arange(4)
    features = sp.FeatureDistribution(n_features=4, feature_probability=1.0, magnitude="signed_uniform")

    def loss(flat):
        W = flat.reshape(2, 4)
        A = np.eye(4) - W.T @ W
        lost = np.mean(importance * np.diag(A @ A.T)) / 3
        noise = rate / (1 - rate) * np.sum((W**2).sum(1) * (importance * W**2).sum(1)) / 3 / 4
        return lost + noise

    best = min(minimize(loss, rng.normal(size=8) * 0.5).fun for _ in range(8))
    task = sp.tasks.NoisyToy(
        n_features=4, n_hidden=2, importance=importance, activation="identity", magnitude="signed_uniform",
        dropout_rate=rate, objective="expected",
    )  # fmt: skip
    result = sp.sweep(task, sp.TrainConfig(steps=400), sp.Grid(seed=range(4)), progress=False)
    trained = [float(task.broadcast().loss(result.model(seed=k), jax.random.key(0), 0)[0]) for k in range(4)]
    assert_allclose(min(trained), best, rtol=1e-4)
    W = np.asarray(result.model(seed=int(np.argmin(trained))).W)
    assert_allclose(float(dropout_penalty(W, features, rate, importance)) + float(
        linear_loss(W, np.zeros(4), features, importance)), min(trained), rtol=1e-4)  # fmt: skip


def test_the_price_of_an_axis_each_is_that_of_the_penalty():
    features = sp.FeatureDistribution(n_features=2, feature_probability=1.0, magnitude="signed_uniform")
    importance, lengths, rate = np.array([1.0, 0.5]), np.array([0.9, 0.6]), 0.3
    turned = np.array([[1.0, 1.0], [-1.0, 1.0]]) / 2**0.5 * lengths
    prices = [float(dropout_penalty(W, features, rate, importance)) for W in (np.diag(lengths), turned)]
    price = experiment.aligned_price(lengths, importance, 1 / 3, rate)
    assert_allclose(2 * (prices[0] - prices[1]), price, rtol=1e-4)
    assert price > 0


@pytest.mark.slow
def test_a_rotation_costs_nothing_without_dropout_and_something_with_it():
    task = replace(TASK, objective="expected", dropout_rate=0.0)
    result = sp.sweep(task, sp.TrainConfig(steps=5), sp.Grid(dropout_rate=[0.0, 0.5], seed=[0]), progress=False)
    table = experiment.measure(result)
    assert abs(float(table["rise"][0, 0])) < 1e-4 < abs(float(table["rise"][1, 0]))
    assert 0 <= float(table["orientation"].min()) <= float(table["orientation"].max()) <= 1


def _failed(monkeypatch, relu, linear, *, off=0.0, ratio=1.0, counts=(5.0, 4.0)) -> list[str]:
    monkeypatch.setattr(experiment, "sampled_error", lambda result, table, samples: (off, 1.0))
    monkeypatch.setattr(experiment, "_price_ratio", lambda linear, table, rate: ratio)
    over = {"feature_probability": [0.3], "dropout_rate": [0.0, 0.5], "seed": range(64)}
    count = xr.DataArray(np.broadcast_to(np.array(counts)[None, :, None], (1, 2, 64)), over, tuple(over))
    monkeypatch.setattr(experiment, "represented", lambda result: count)
    claims = Claims("")
    experiment.evaluate(None, None, (relu, linear), claims)
    return [claim.statement for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should(monkeypatch):
    over = {"feature_probability": [0.3], "dropout_rate": [0.0, 0.5], "seed": range(64)}
    random, zeros = np.linspace(0, 1, 64), np.zeros(64)
    rows = {"rise": (zeros, zeros + 1), "orientation": (random, zeros), "alignment": (0.9 + zeros, 1 + zeros)}
    relu = xr.Dataset({name: (tuple(over), np.stack(row)[None]) for name, row in rows.items()}, over)
    linear = relu.isel(feature_probability=0).assign(orientation=relu["orientation"][0] * 0 + 1)
    assert _failed(monkeypatch, relu, linear) == []
    assert [s[:16] for s in _failed(monkeypatch, relu, linear, off=5.0)] == ["the loss under d"]
    assert [s[:12] for s in _failed(monkeypatch, relu, linear, ratio=1.1)] == ["… and a feat"]
    assert [s[:8] for s in _failed(monkeypatch, relu, linear, counts=(5.0, 4.8))] == ["sparsest"]
    assert [s[:17] for s in _failed(monkeypatch, relu.assign(rise=relu["rise"] + 0.01), linear)] == [
        "no dropout: any r"
    ]
    assert [s[:6] for s in _failed(monkeypatch, relu, linear.assign(orientation=0 * linear["orientation"]))] == [
        "linear"
    ]
    swapped = relu.assign(orientation=relu["orientation"].roll(dropout_rate=1))
    assert [s[:12] for s in _failed(monkeypatch, swapped, linear)] == ["no dropout: ", "… and no suc"]
    assert [s[:4] for s in _failed(monkeypatch, relu.assign(alignment=relu["alignment"] - 0.1), linear)] == ["ReLU"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"dropout_rate": 1.0}, "dropout_rate must be below 1"),
        ({"dropout_rate": -0.1}, "dropout_rate must be at least 0"),
        ({"dropout_rate": np.nan}, "dropout_rate must be finite"),
        ({"dropout_rate": [0.1, 0.2]}, "dropout_rate must be one number"),
        ({"hidden_noise": -1.0}, "hidden_noise must be at least 0"),
        ({"hidden_noise": "loud"}, "hidden_noise"),
        ({"hidden_noise": 0.1, "objective": "expected"}, "hidden_noise must be None or 0"),
        ({"n_hidden": 7, "n_features": 8, "importance": 1.0, "objective": "expected"}, "n_hidden must be at most 6"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replace(TASK, **settings).check()


@pytest.mark.slow
def test_a_cell_alone_has_the_bytes_it_has_in_a_sweep_of_rates():
    config = sp.TrainConfig(steps=5, batch_size=16)
    both = sp.sweep(TASK, config, sp.Grid(dropout_rate=[0.1, 0.5], seed=[1]), block_size=2, progress=False)
    alone = sp.sweep(TASK, config, sp.Grid(dropout_rate=[0.5], seed=[1]), block_size=2, progress=False)
    assert both["W"].values[1].tobytes() == alone["W"].values[0].tobytes()
