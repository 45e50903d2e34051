"""Compressed computation: the model, its noisy labels, the naive baseline, and what training makes of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import superpos as sp
from superpos.models import ResidualMLP
from superpos.models.residual_mlp import embedding

SHORT = sp.TrainConfig(steps=20, batch_size=16, history=4, evaluation_samples=32)
SMALL = sp.tasks.ResidualMLP(n_features=6, n_hidden=3, feature_probability=0.5)


def key(k):
    """A key whose draws compile in no time."""
    return jax.random.key(k, impl="unsafe_rbg")


@pytest.mark.parametrize("n_residual", [0, 9])
def test_model_and_loss_are_the_formula(n_residual):
    task = dataclasses.replace(
        SMALL, n_residual=n_residual, label_noise=0.2, importance=0.8 ** np.arange(6), loss_exponent=4
    )
    task = task.broadcast()
    model = task.init(key(0))
    W_E = np.eye(6) if n_residual == 0 else np.asarray(embedding(9, 6, 0), np.float64)
    assert_allclose(np.linalg.norm(W_E, axis=0), 1, rtol=1e-6)
    x = np.asarray(task.features.sample(key(1), 40), np.float64)
    W_in, W_out = (np.asarray(W[...], np.float64) for W in (model.W_in, model.W_out))
    stream = W_E @ x
    y = W_E.T @ (stream + W_out @ np.maximum(W_in @ stream, 0))
    assert_allclose(model(jnp.asarray(x, float)), y, rtol=1e-4, atol=1e-5)
    assert_allclose(model(jnp.asarray(x[:, 3], float)), y[:, 3], rtol=1e-4, atol=1e-5)
    M = np.asarray(task.mixing(), np.float64)
    wanted = x + np.maximum(x, 0) + 0.2 * M @ x
    loss = np.mean(np.asarray(task.importance)[:, None] * (wanted - y) ** 4)
    assert float(task.loss(model, key(1), 40)[0]) == pytest.approx(loss, rel=1e-4)


def test_noise_has_unit_variance_and_spares_the_feature_itself():
    M = np.asarray(dataclasses.replace(SMALL, n_features=60).mixing())
    assert not np.diag(M).any() and abs(M.var() * 60 / 59 - 1) < 4 * np.sqrt(2 / 3_540)


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [2, 4])
def test_the_naive_model_costs_its_closed_form(exponent):
    """(n − m)/n · p / (2 (q + 1)) without noise; noise adds λ² E (Mx)² to a squared error, since E x = 0."""
    task = dataclasses.replace(SMALL, loss_exponent=exponent).broadcast()
    x = task.features.sample(key(0), 40_000)
    error = np.asarray(task.naive().hidden_part(x, None) - task.asked_of_neurons(x), np.float64)
    wanted = 0.5 * 0.5 / 2 / (exponent + 1)
    per_input = np.mean(error**exponent, axis=0)
    assert abs(per_input.mean() - wanted) < 4 * per_input.std() / 200
    if exponent == 2:
        noisy = dataclasses.replace(task, label_noise=jnp.asarray(0.3))
        more = np.asarray(noisy.naive().hidden_part(x, None) - noisy.asked_of_neurons(x), np.float64)
        per_input = np.mean(more**2, axis=0)
        wanted += 0.09 * np.sum(np.asarray(task.mixing()) ** 2) / 6 * 0.5 / 3
        assert abs(per_input.mean() - wanted) < 4 * per_input.std() / 200


def test_the_naive_model_takes_the_features_that_matter_and_sees_through_the_embedding():
    task = dataclasses.replace(SMALL, importance=[0, 1, 0, 1, 0, 1], n_residual=9).broadcast()
    x = jnp.diag(jnp.asarray([1.0, -1, 1, 0.5, -1, 1]))
    added = np.asarray(task.naive().hidden_part(x, embedding(9, 6, 0)))
    assert_allclose(np.diag(added), [0, 0, 0, 0.5, 0, 1], atol=1e-5)
    assert_allclose(added - np.diag(np.diag(added)), 0, atol=1e-5)


@pytest.mark.slow
def test_a_neuron_for_every_feature_and_no_noise_costs_nothing():
    task = dataclasses.replace(SMALL, n_hidden=6).broadcast()
    assert float(task.loss(task.naive(), key(0), 100)[0]) == 0


@pytest.mark.slow
@pytest.mark.optimized
def test_a_cell_of_a_sweep_is_that_cell_alone_and_new_noise_does_not_recompile(compilations):
    grid = sp.Grid(label_noise=[0.0, 0.1], seed=[0, 1])
    result = sp.sweep(SMALL, SHORT, grid, block_size=2)
    before = dict(compilations)
    alone = sp.sweep(SMALL, SHORT, sp.Grid(label_noise=[0.1], seed=[0, 1]), block_size=2)
    again = sp.sweep(SMALL, SHORT, sp.Grid(label_noise=[0.3, 0.4], seed=[0, 1]), block_size=2)
    assert compilations == before
    for name in ("W_in", "W_out", "loss"):
        assert np.array_equal(result.sel(label_noise=[0.1])[name].values, alone[name].values)
    assert result["W_in"].dims == ("label_noise", "seed", "hidden", "residual") and again["loss"].shape == (2, 2)
    assert isinstance(result.model(label_noise=0.1, seed=0), ResidualMLP)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"label_noise": -1}, "label_noise must be at least 0"),
        ({"n_residual": 2.0}, "n_residual must be a whole number"),
        ({"embedding_seed": -1}, "embedding_seed must be at least 0"),
        ({"n_hidden": 0}, "n_hidden must be at least 1"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, words, unchecked):
    with pytest.raises(sp.ConfigError) as error:
        sp.train(dataclasses.replace(SMALL, **settings), SHORT)
    assert words in str(error.value)
