"""A fixed number of active features: exact counts, moments and independence, and what a linear model makes of it."""

import dataclasses
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import superpos as sp
from superpos.data import fixed_number
from superpos.errors import ConfigError

N, SAMPLES = 5, 60_000


def fixed(n_active, n=N, **settings):
    return sp.FeatureDistribution(n_features=n, world="fixed_number", n_active=n_active, **settings)


@pytest.fixture(scope="module")
def drawn():
    """x of shape (n_features, samples) for every number of active features."""
    sample = jax.jit(jax.vmap(lambda k: fixed(k).sample(jax.random.key(0), SAMPLES)))
    return dict(enumerate(np.asarray(sample(np.arange(1.0, N + 1)), np.float64), start=1))


@pytest.mark.parametrize("k", range(1, N + 1))
def test_in_every_input_as_many_are_active_and_each_set_as_often(k, drawn):
    active = drawn[k] != 0
    assert np.all(active.sum(0) == k)
    sets = list(combinations(range(N), k))
    counts = np.array([np.sum(np.all(active[list(members)], axis=0)) for members in sets])
    share = 1 / len(sets)
    assert np.all(np.abs(counts / SAMPLES - share) < 4 * np.sqrt(share * (1 - share) / SAMPLES) + 1e-12)


@pytest.mark.parametrize("k", range(1, N + 1))
def test_moments_are_those_of_counting(k, drawn):
    """k/n and k(k − 1)/(n(n − 1)) by hand, times moments of magnitudes that are uniform and independent."""
    features, x = fixed(k), drawn[k]
    p, pair = k / N, k * (k - 1) / (N * (N - 1))
    assert_allclose(features.probabilities, p, rtol=1e-6)
    both = np.where(np.eye(N, dtype=bool), p, pair)
    assert_allclose(features.co_activation(), both, rtol=1e-6)
    products = np.where(np.eye(N, dtype=bool), p / 3, pair / 4)
    assert_allclose(features.second_moments(), products, rtol=1e-6)
    spread = np.sqrt(np.einsum("ib,jb->ij", x**2, x**2) / SAMPLES - products**2)
    assert np.all(np.abs(x @ x.T / SAMPLES - products) < 4.5 * spread / np.sqrt(SAMPLES) + 1e-9)
    values = np.sort(x[x != 0])  # Kolmogorov–Smirnov by hand: 1.95 / √n at a level of 1e-3
    assert np.max(np.abs(values - np.arange(len(values)) / len(values))) < 1.95 / np.sqrt(len(values))


def test_draws_are_paired_across_numbers_of_active_features(drawn):
    for k in range(1, N):
        assert np.all((drawn[k] != 0) <= (drawn[k + 1] != 0))


def test_ranks_are_the_same_by_comparing_and_by_sorting(monkeypatch):
    """With ties, of which the first comes first."""
    values = np.random.default_rng(0).integers(4, size=(7, 50)).astype(float)
    expected = np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0, kind="stable")
    np.testing.assert_array_equal(fixed_number.ranks(jnp.asarray(values)), expected)
    monkeypatch.setattr(fixed_number, "COMPARED", 3)
    np.testing.assert_array_equal(fixed_number.ranks(jnp.asarray(values)), expected)


def test_magnitudes_of_every_law_are_taken():
    x = np.asarray(fixed(2, magnitude="constant", magnitude_value=3.0).sample(jax.random.key(1), 100))
    assert set(np.unique(x)) == {0.0, 3.0} and np.all(x.sum(0) == 6)


def test_a_linear_model_loses_what_principal_components_leave():
    """All covariances are equal: of n − 1 equal eigenvalues v − c and one v + (n − 1) c, m of the largest are kept.

    That is p = k/n, v = p/3 − p²/4, and c = (P − p²)/4 < 0 for pairs of probability P.
    """
    k, m = 2, 2
    task = sp.tasks.WorldToy(
        n_features=N, n_hidden=m, world="fixed_number", n_active=k, activation="identity", objective="expected"
    )
    p, pair = k / N, k * (k - 1) / (N * (N - 1))
    v, c = p / 3 - p**2 / 4, (pair - p**2) / 4
    assert c < 0
    assert_allclose(
        sp.theory.principal_losses(task.features)[m - 1], (N - 1 - m) * (v - c) / N + (v + (N - 1) * c) / N, rtol=1e-5
    )
    model = sp.models.ToyModel(np.linalg.qr(np.random.default_rng(0).normal(size=(N, m)))[0].T, np.full(N, 0.1))
    sampled, error = _sampled(dataclasses.replace(task, objective="sampled"), model)
    exact = float(np.asarray(task.expected_loss(sp.models.ToyModel(model.W, model.b, activation="identity"))))
    assert abs(sampled - exact) < 4 * error


def _sampled(task, model):
    x = np.asarray(task.features.sample(jax.random.key(3), SAMPLES), np.float64)
    W, b = np.asarray(model.W, np.float64), np.asarray(model.b, np.float64)
    errors = np.mean((W.T @ (W @ x) + b[:, None] - x) ** 2, axis=0)
    return errors.mean(), errors.std() / np.sqrt(SAMPLES)


@pytest.mark.slow
def test_a_sweep_over_the_number_compiles_once_and_its_caption_says_it(compilations):
    task = sp.tasks.WorldToy(n_features=N, n_hidden=2, world="fixed_number", n_active=1)
    config = sp.TrainConfig(steps=5, batch_size=8, history=1, evaluation_samples=1_024)
    result = sp.sweep(task, config, sp.Grid(n_active=[1, 3], seed=[0]), block_size=2)
    compilations.clear()
    other = sp.sweep(task, config, sp.Grid(n_active=[2, 3], seed=[0]), block_size=2)
    assert not compilations
    assert result.sel(n_active=3)["W"].values.tobytes() == other.sel(n_active=3)["W"].values.tobytes()
    words = sp.plot.caption(result.attrs)
    assert "world with a fixed number of active features" in words and "number of active features swept" in words


CIRCLE = {"world": "circle", "sharpness": 1.0, "log_odds": 0.0}
FIXED: dict[str, Any] = {"world": "fixed_number", "n_active": 2}


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ('n_active is missing where world is "fixed_number"', {"world": "fixed_number"}),
        ("n_active must be at least 1", {**FIXED, "n_active": 0}),
        (f"n_active must be at least 1 and at most {N}", {**FIXED, "n_active": N + 1}),
        ("n_active must be a whole number", {**FIXED, "n_active": 1.5}),
        ("n_active must be finite", {**FIXED, "n_active": np.nan}),
        ("n_active must be", {**FIXED, "n_active": "two"}),
        ("n_active must be None where world is None", {"n_active": 2}),
        ('n_active must be None unless world is "fixed_number"', {**CIRCLE, "n_active": 2}),
        ('sharpness must be None where world is "fixed_number"', {**FIXED, "sharpness": 1.0}),
        ('logits must be None where world is "fixed_number"', {**FIXED, "logits": np.zeros((2, N))}),
        ('documents must be None unless world is "documents"', {**FIXED, "documents": np.ones((2, N))}),
        ("held_out must be 0", {**FIXED, "held_out": 0.5}),
        ("feature_probability must be left at 1", {**FIXED, "feature_probability": 0.5}),
        ("correlated_sets must be", {**FIXED, "correlated_sets": ((0, 1),)}),
        ("correlation must be None", {**FIXED, "correlation": 0.5}),
    ],
)
def test_numbers_of_active_features_that_cannot_be(words, settings):
    with pytest.raises(ConfigError, match=words):
        sp.FeatureDistribution(n_features=N, **settings).check()


def test_one_number_is_wanted_where_one_is_meant():
    with pytest.raises(ConfigError, match="n_active must be one number"):
        _ = fixed(np.array([1, 2])).probabilities
    with pytest.raises(ConfigError, match="n_active must be one number"):
        sp.tasks.WorldToy(n_features=N, n_hidden=2, world="fixed_number", n_active=np.array([1, 2])).check()
    with pytest.raises(ConfigError, match="world must be None for the expected loss"):
        sp.tasks.WorldToy(n_features=N, n_hidden=2, objective="expected", **FIXED).check()
    assert fixed(1, n=1).co_activation().shape == (1, 1)
