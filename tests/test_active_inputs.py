"""Inputs given that some feature is active: against the probability of every pattern, and by their magnitudes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

import superpos as sp
from superpos.data.active_inputs import draw_active, probability_of_any

P = np.array([0.1, 0.6, 0.3])
N = 100_000


def test_patterns_and_magnitudes_are_those_of_inputs_that_are_not_zero():
    features = sp.FeatureDistribution(n_features=3, feature_probability=jnp.asarray(P, float))
    x = np.asarray(draw_active(features, jax.random.key(0), N))
    assert_allclose(probability_of_any(features), 1 - np.prod(1 - P), rtol=1e-6)
    for pattern in itertools.product((False, True), repeat=3):
        expected = np.prod(np.where(pattern, P, 1 - P)) / (1 - np.prod(1 - P)) if any(pattern) else 0.0
        share = np.mean(np.all((x != 0) == np.array(pattern)[:, None], axis=0))
        assert abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / N)
    for values in x:
        active = values[values != 0]
        assert abs(active.mean() - 0.5) < 5 / np.sqrt(12 * len(active))
        assert abs(np.mean(active**2) - 1 / 3) < 5 * np.sqrt(4 / 45 / len(active))
    both = x[:2, (x[:2] != 0).all(axis=0)]
    assert abs(np.corrcoef(both)[0, 1]) < 5 / np.sqrt(both.shape[1])


def test_a_feature_that_is_always_active_leaves_the_others_as_they_are():
    features = sp.FeatureDistribution(n_features=2, feature_probability=jnp.array([0.2, 1.0]))
    x = np.asarray(draw_active(features, jax.random.key(1), 20_000))
    assert float(probability_of_any(features)) == 1 and (x[1] > 0).all()
    assert abs(np.mean(x[0] > 0) - 0.2) < 5 * np.sqrt(0.16 / 20_000)
