"""Sparse features: every statement about them is tested to a stated number of standard errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpos.data import MAGNITUDE_MOMENTS, MAGNITUDES, FeatureDistribution, unit_uniform

N = 200_000
# A two-sided test of one number fails by chance once in 16,000 at 4 standard errors; seeds are fixed besides.
SIGMAS = 4.0


def within(measured, expected, standard_error):
    assert np.all(np.abs(measured - expected) <= SIGMAS * standard_error + 1e-7), (measured, expected)


@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_activity_and_magnitude_have_the_stated_moments(magnitude):
    p = np.array([1.0, 0.5, 0.1, 0.01, 0.001])
    features = FeatureDistribution(n_features=5, feature_probability=p, magnitude=magnitude)
    x = np.asarray(features.sample(jax.random.key(1), N), np.float64)
    assert x.shape == (5, N)
    within((x != 0).mean(axis=1), p, np.sqrt(p * (1 - p) / N))
    for order in (1, 2, 3):
        powers = x**order
        within(powers.mean(axis=1), np.asarray(features.moment(order)), powers.std(axis=1) / np.sqrt(N))


@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_the_table_of_moments_is_the_integral_of_the_density(magnitude):
    u = (np.arange(2_000_000) + 0.5) / 2_000_000
    v = {"uniform": u, "signed_uniform": 2 * u - 1, "constant": np.ones_like(u), "exponential": -np.log1p(-u)}[
        magnitude
    ]
    np.testing.assert_allclose([np.mean(v**k) for k in (1, 2, 3)], MAGNITUDE_MOMENTS[magnitude], rtol=1e-4, atol=1e-9)


@pytest.mark.slow
def test_active_magnitudes_are_uniform_even_when_very_sparse():
    """Kolmogorov's distance against the uniform law, at p = 1e-4 where 23 bits would leave 840 values."""
    x = np.asarray(FeatureDistribution(n_features=8, feature_probability=1e-4).sample(jax.random.key(2), 2_000_000))
    active = np.sort(x[x > 0])
    assert 1_300 < len(active) < 1_900
    distance = np.max(np.abs(active - (np.arange(len(active)) + 0.5) / len(active)))
    assert distance < 1.95 / np.sqrt(len(active))  # exceeded once in 1,000
    assert len(np.unique(active)) > 0.99 * len(active)


@pytest.mark.slow
def test_dense_features_are_always_active_and_none_reaches_one():
    x = np.asarray(FeatureDistribution(n_features=3).sample(jax.random.key(3), 1_000_000))
    assert np.all((x > 0) & (x < 1))


def test_unit_uniform_never_reaches_its_ends():
    u = unit_uniform(jax.random.key(4), (3_000_000,))
    assert float(u.min()) > 0 and float(u.max()) < 1


def test_exponential_magnitudes_are_finite_at_every_draw():
    x = FeatureDistribution(n_features=4, feature_probability=0.9, magnitude="exponential").sample(jax.random.key(5), N)
    assert bool(jnp.all(jnp.isfinite(x)))


def test_independent_features_are_active_together_by_chance_only():
    features = FeatureDistribution(n_features=4, feature_probability=np.array([0.5, 0.2, 0.8, 0.3]))
    check_co_activation(features)


@pytest.mark.slow
def test_correlated_features_are_active_together():
    features = FeatureDistribution(n_features=5, feature_probability=0.2, correlated_sets=((0, 3), (1, 4)))
    x = np.asarray(features.sample(jax.random.key(6), N))
    assert np.array_equal(x[0] != 0, x[3] != 0)
    assert np.array_equal(x[1] != 0, x[4] != 0)
    check_co_activation(features)
    both = x[:, x[0] != 0]
    assert abs(np.corrcoef(both[0], both[3])[0, 1]) < SIGMAS / np.sqrt(both.shape[1])  # magnitudes are independent


@pytest.mark.parametrize("p", [0.02, 0.25, 1 / 3])
def test_at_most_one_anticorrelated_feature_is_active(p):
    features = FeatureDistribution(n_features=4, feature_probability=p, anticorrelated_sets=((0, 2, 3),))
    x = np.asarray(features.sample(jax.random.key(7), N))
    assert (x[[0, 2, 3]] != 0).sum(axis=0).max() == 1
    check_co_activation(features)
    for i in (0, 2, 3):
        active = x[i][x[i] != 0]
        within(active.mean(), 0.5, np.sqrt(1 / 12 / len(active)))


def test_anticorrelated_features_may_differ_in_density():
    p = np.array([0.6, 0.3, 0.1, 0.5])
    features = FeatureDistribution(n_features=4, feature_probability=p, anticorrelated_sets=((0, 1, 2),))
    x = np.asarray(features.sample(jax.random.key(8), N))
    within((x != 0).mean(axis=1), p, np.sqrt(p * (1 - p) / N))
    assert np.mean((x[:3] != 0).sum(axis=0) == 1) > 0.9999  # they add up to 1: always exactly one


def check_co_activation(features):
    x = np.asarray(features.sample(jax.random.key(9), N), np.float64)
    active = (x != 0).astype(np.float64)
    expected = np.asarray(features.co_activation(), np.float64)
    within(active @ active.T / N, expected, np.sqrt(np.maximum(expected * (1 - expected), 1e-12) / N))
    products = x[:, None] * x[None]
    within(products.mean(axis=2), np.asarray(features.second_moments()), products.std(axis=2) / np.sqrt(N))


def test_models_of_all_densities_see_the_same_draws():
    """Common random numbers: u decides activity, so a sparser model's active features are a subset of a denser one's."""
    dense, sparse = (
        np.asarray(FeatureDistribution(n_features=6, feature_probability=p).sample(jax.random.key(10), 4_096))
        for p in (0.5, 0.125)
    )
    assert np.all((sparse == 0) | (dense != 0))
    both = sparse != 0
    np.testing.assert_allclose(dense[both], sparse[both] / 4, rtol=1e-6)  # the same u, divided by another p


def test_both_precisions_get_the_same_draws():
    features = FeatureDistribution(n_features=3, feature_probability=0.25)
    single = np.asarray(features.sample(jax.random.key(11), 1_000))
    with jax.enable_x64(True):
        double = np.asarray(features.sample(jax.random.key(11), 1_000))
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, atol=2e-7)
