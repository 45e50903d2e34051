"""The toy model and its loss, against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import superpos as sp
from superpos.models.activations import BUILT_IN
from superpos.theory import linear_loss, optimal_linear_loss


@pytest.mark.parametrize("activation", BUILT_IN)
@pytest.mark.parametrize("bias", [True, False])
def test_model_is_the_formula_for_one_input_and_for_columns(activation, bias, rng):
    W, b, x = rng.standard_normal((3, 7)), rng.standard_normal(7), rng.random((7, 11))
    model = sp.ToyModel(jnp.asarray(W, float), jnp.asarray(b, float) if bias else None, activation=activation)
    a = W.T @ W @ x + (b[:, None] if bias else 0)
    gelu = np.asarray(jax.nn.gelu(jnp.asarray(a)))
    expected = {"relu": np.maximum(a, 0), "identity": a, "gelu": gelu}[activation]
    np.testing.assert_allclose(model(jnp.asarray(x, float)), expected, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(model(jnp.asarray(x[:, 4], float)), expected[:, 4], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("exponent", [1, 2, 3, 4])
@pytest.mark.parametrize("importance", [0.5, "vector"])
def test_loss_is_the_mean_over_batch_and_features(exponent, importance, rng):
    I = rng.random(6) if importance == "vector" else importance
    task = sp.tasks.Toy(
        n_features=6, n_hidden=3, feature_probability=0.4, importance=I, loss_exponent=exponent
    ).broadcast()
    model = task.init(jax.random.key(0))
    key = jax.random.key(1)
    x = np.asarray(task.features.sample(key, 50), np.float64)
    W, b = np.asarray(model.W, np.float64), np.asarray(model.b, np.float64)
    total = 0.0
    for s in range(50):
        for i in range(6):
            out = max(0.0, sum((W[:, i] @ W[:, j]) * x[j, s] for j in range(6)) + b[i])
            total += np.broadcast_to(I, 6)[i] * abs(x[i, s] - out) ** exponent
    np.testing.assert_allclose(task.loss(model, key, 50)[0], total / 300, rtol=1e-5)


def test_initial_scale_is_that_of_one_model_and_sweepable():
    task = sp.tasks.Toy(n_features=200, n_hidden=20, init_scale=0.5).broadcast()
    W = np.asarray(task.init(jax.random.key(0)).W)
    std = 0.5 * np.sqrt(2 / 220)
    assert abs(W.std() - std) < 4 * std / np.sqrt(2 * W.size)
    assert np.all(np.asarray(task.init(jax.random.key(0)).b) == 0)


@pytest.mark.slow
@pytest.mark.optimized
def test_initial_weights_do_not_depend_on_how_many_models_train():
    task = sp.tasks.Toy(n_features=5, n_hidden=2, magnitude="constant")  # no exact loss, which compiles slowly
    config = sp.TrainConfig(steps=1, snapshots=(0,), batch_size=8)
    few = sp.sweep(task, config, sp.Grid(seed=[5]), block_size=2)
    many = sp.sweep(task, config, sp.Grid(learning_rate=np.geomspace(1e-4, 1e-2, 40), seed=[5]), block_size=2)
    alone = sp.train(task, config, seed=5)
    assert np.array_equal(few["W_snapshots"].values[0, 0], many["W_snapshots"].values[17, 0, 0])
    np.testing.assert_allclose(few["W_snapshots"].values[0, 0], alone.snapshots.W[0], rtol=1e-6)


def test_linear_loss_is_the_population_mean(rng):
    features = sp.FeatureDistribution(
        n_features=5, feature_probability=0.3, correlated_sets=((0, 1),), anticorrelated_sets=((2, 4),)
    )
    W, b, I = rng.standard_normal((2, 5)) * 0.5, rng.standard_normal(5) * 0.2, rng.random(5)
    x = np.asarray(features.sample(jax.random.key(3), 400_000), np.float64)
    error = ((x - (W.T @ W @ x + b[:, None])) ** 2 * I[:, None]).mean(axis=0)
    exact = float(linear_loss(W, b, features, I))
    assert abs(error.mean() - exact) < 4 * error.std() / np.sqrt(error.size)


def test_optimal_linear_loss_is_the_published_sum():
    features = sp.FeatureDistribution(n_features=20)
    total = 20 * float(optimal_linear_loss(features, 0.7 ** np.arange(20), 5))
    assert total == pytest.approx(0.0465, abs=2e-4)  # Σ_{i≥5} .7^i / 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("W", "formula"),
    [
        ([[1.0, -1.0]], lambda p: p**2 / 6),
        ([[1.0, 0.0]], lambda p: p / 6),  # one dedicated, one unlearned without bias: p/3 over two features
        (
            np.stack([np.cos(2 * np.pi * np.arange(3) / 3), np.sin(2 * np.pi * np.arange(3) / 3)]),
            lambda p: p**2 / 8 + p**3 / 24,
        ),
    ],
    ids=["antipodal pair", "unlearned", "triangle"],
)
@pytest.mark.parametrize("p", [0.9, 0.3, 0.05])
def test_sampled_loss_agrees_with_closed_forms(W, formula, p):
    W = jnp.asarray(W, float)
    n = W.shape[1]
    task = sp.tasks.Toy(n_features=n, n_hidden=W.shape[0], feature_probability=p).broadcast()
    model = sp.ToyModel(W, jnp.zeros(n))
    batches = [float(task.loss(model, jax.random.key(k), 50_000)[0]) for k in range(20)]
    assert abs(np.mean(batches) - formula(p)) < 4 * np.std(batches) / np.sqrt(20)
