"""Feature frequencies and random directions."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import superpos as sp
from superpos.data import FeatureDistribution, geometric_probabilities, random_directions, zipf_probabilities


@pytest.mark.parametrize(("n", "exponent", "mean"), [(64, 1.0, 3.0), (64, 0.5, 40.0), (10, 2.0, 5.5), (1, 1.0, 0.3), (16_384, 0.5, 34.0), (5, 3.0, 5.0), (4, 0.0, 1.0)])  # fmt: skip
def test_zipf_probabilities_fall_as_the_law_says_and_add_up(n, exponent, mean):
    p = zipf_probabilities(n, exponent, mean)
    assert p.shape == (n,) and p.dtype == np.float64
    assert abs(p.sum() - mean) <= 1e-12 * mean
    check_filled(p, np.arange(1, n + 1.0) ** -exponent)


@pytest.mark.parametrize(("n", "ratio", "mean"), [(512, 0.99, 5.0), (512, 0.99, 200.0), (8, 0.5, 3.0), (8, 1.0, 2.0)])
def test_geometric_probabilities_fall_as_the_law_says_and_add_up(n, ratio, mean):
    p = geometric_probabilities(n, ratio, mean)
    assert abs(p.sum() - mean) <= 1e-12 * mean
    check_filled(p, ratio ** np.arange(1, n + 1.0))


def check_filled(p, weights):
    """p = min(1, c · weights) for one c."""
    assert np.all((p > 0) & (p <= 1))
    free = p < 1
    if free.any():
        c = p[free] / weights[free]
        assert_allclose(c, c[0], rtol=1e-12)
        assert np.all(c[0] * weights[~free] >= 1 - 1e-12)
    FeatureDistribution(n_features=len(p), feature_probability=p).check()


def test_the_published_dictionaries():
    """Sharkey et al.: five of 512 active; SynthSAEBench: Zipf exponent 1/2 falls from 0.4 to 5e-4 over 16,384? No: by 128."""
    p = geometric_probabilities(512, 0.99, 5)
    assert_allclose(p[:2], 5 * 0.01 / (1 - 0.99**512) * np.array([1, 0.99]), rtol=1e-12)
    q = zipf_probabilities(16_384, 0.5, 34)
    assert q[0] / q[-1] == pytest.approx(128)


@pytest.mark.parametrize(("n_hidden", "n_features"), [(1, 4), (2, 5), (20, 64), (64, 20)])
def test_random_directions_are_unit_columns(n_hidden, n_features):
    directions = random_directions(jax.random.key(0), n_hidden, n_features)
    assert directions.shape == (n_hidden, n_features)
    assert_allclose(np.linalg.norm(directions, axis=0), 1, rtol=1e-6)
    with jax.enable_x64(True):
        assert random_directions(jax.random.key(0), n_hidden, n_features).dtype == np.float64


def test_random_directions_are_independent_and_isotropic():
    """Cosines of different columns have mean 0 and mean square 1/m, mean fourth power 3 / (m (m + 2))."""
    m = 6
    directions = np.asarray(random_directions(jax.random.key(1), m, 40_000), np.float64)
    cosines = np.sum(directions[:, ::2] * directions[:, 1::2], axis=0)
    for power, mean in ((1, 0), (2, 1 / m), (4, 3 / (m * (m + 2)))):
        values = cosines**power
        assert abs(values.mean() - mean) < 4 * values.std() / np.sqrt(len(values))
    second = directions @ directions.T / 40_000
    assert np.abs(second - np.eye(m) / m).max() < 5 * np.sqrt(1 / 40_000) / m


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("attempt", "sentence"),
    [
        (lambda: zipf_probabilities(0, 1.0, 1.0), "n_features must be at least 1"),
        (lambda: zipf_probabilities(5, -1.0, 1.0), "exponent must be at least 0"),
        (lambda: zipf_probabilities(5, float("nan"), 1.0), "exponent must be finite"),
        (lambda: zipf_probabilities(5, np.ones(2), 1.0), "exponent must be one number"),
        (lambda: zipf_probabilities(5, 1.0, 5.1), "mean_active must be above 0 and at most 5"),
        (lambda: zipf_probabilities(5, 1.0, 0), "mean_active must be above 0"),
        (lambda: zipf_probabilities(512, 1e3, 2.0), "exponent of 1000 leaves"),
        (lambda: geometric_probabilities(5, 0.0, 1.0), "ratio must be above 0"),
        (lambda: geometric_probabilities(5, 1.1, 1.0), "ratio must be above 0 and at most 1"),
        (lambda: geometric_probabilities(5_000, 0.5, 1.0), "ratio of 0.5 leaves"),
        (lambda: random_directions(jax.random.key(0), 0, 3), "n_hidden must be at least 1"),
        (lambda: random_directions(jax.random.key(0), 2, 2.5), "n_features must be a whole number"),
    ],
    ids=range(12),
)
def test_bad_numbers_are_refused_in_a_sentence(attempt, sentence):
    with pytest.raises(sp.ConfigError) as error:
        attempt()
    assert sentence in str(error.value)
