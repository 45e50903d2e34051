"""Worlds with a latent position: laws of draws against quadrature, and what a linear model makes of them."""

import dataclasses

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate
from scipy.special import expit

import superpos as sp
from superpos.errors import ConfigError

CIRCLE = {"world": "circle", "sharpness": 5.0, "log_odds": -2.0}
N_SAMPLES = 200_000


def _features(n=6, **settings) -> sp.FeatureDistribution:
    return sp.FeatureDistribution(n_features=n, **settings)


@pytest.mark.slow
def test_marginals_and_pairs_on_the_circle_are_integrals_over_the_angle():
    features = _features(12, **CIRCLE)
    p, both = np.asarray(features.probabilities), np.asarray(features.co_activation())

    def q(angle, i):
        return expit(5 * np.cos(angle - 2 * np.pi * i / 12) - 2)

    expected = [integrate.quad(lambda a, i=i: q(a, 0) * q(a, i) / (2 * np.pi), 0, 2 * np.pi)[0] for i in range(7)]
    assert_allclose(p, integrate.quad(lambda a: q(a, 0) / (2 * np.pi), 0, 2 * np.pi)[0], rtol=1e-5)
    assert_allclose(p, 0.35674, atol=5e-6)
    assert_allclose(both[0, 1:7], expected[1:], rtol=2e-5)
    assert_allclose(np.diagonal(both), p, rtol=1e-6)


WORLDS = [
    {**CIRCLE},
    {**CIRCLE, "noise": 2.0},
    {"world": "figure_eight", "sharpness": 4.0, "log_odds": -3.0},
    {"world": "sphere", "sharpness": 6.0, "log_odds": -4.0, "noise": 0.5},
    {"world": "line", "sharpness": 8.0, "log_odds": -5.0},
    {"world": "logits", "logits": np.array([[3, 0, -1, 1, 0, 2.0], [-3, 0, 1, 1, -1, 0], [0, 0, 0, 0, 0, -5]])},
]


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w["world"] + "_noise" * ("noise" in w))
def test_draws_have_the_marginals_pairs_and_magnitudes_that_the_quadrature_says(world):
    features = _features(**world)
    x = np.asarray(jax.jit(lambda key: features.sample(key, N_SAMPLES))(jax.random.key(0)), np.float64)
    active = x != 0
    p, both = np.asarray(features.probabilities), np.asarray(features.co_activation())
    measured = active @ active.T.astype(float) / N_SAMPLES
    error = np.sqrt(both * (1 - both) / N_SAMPLES)
    assert np.all(np.abs(measured - both) < 4.5 * error + 1e-6)  # 21 numbers a world
    for order in (1, 2):
        moment = np.mean(x**order, axis=1)
        spread = np.std(x**order, axis=1) / np.sqrt(N_SAMPLES)
        assert np.all(np.abs(moment - np.asarray(features.moment(order))) < 4.5 * spread + 1e-6)
    assert np.all((p > 0) & (p < 1))


@pytest.mark.slow
def test_a_world_is_independent_of_the_position_where_sharpness_is_zero():
    features = _features(world="sphere", sharpness=0.0, log_odds=-1.0)
    assert_allclose(features.probabilities, expit(-1), rtol=1e-5)
    off = ~np.eye(6, dtype=bool)
    assert_allclose(np.asarray(features.co_activation())[off], expit(-1) ** 2, rtol=1e-5)


@pytest.mark.slow
def test_draws_are_paired_across_every_number_of_a_world():
    key = jax.random.key(5)
    rarer, likelier = (
        np.asarray(_features(world="circle", sharpness=3.0, log_odds=odds).sample(key, 4_096) != 0)
        for odds in (-3.0, -1.0)
    )
    assert np.all(likelier >= rarer) and likelier.sum() > rarer.sum()


@pytest.mark.slow
def test_a_linear_model_lays_the_circle_around_a_ring_in_the_order_of_the_data():
    """Closed form: the two leading eigenvectors are the first harmonic, so WᵀW_ij = cos(30° (i − j)) / 6."""
    task = sp.tasks.WorldToy(
        n_features=12, n_hidden=2, activation="identity", magnitude="constant", objective="expected", **CIRCLE
    )
    run = sp.train(task, sp.TrainConfig(steps=600, learning_rate=0.03), seed=0)
    W = np.asarray(run.model.W)
    i = np.arange(12)
    assert_allclose(W.T @ W, np.cos(np.pi / 6 * (i[:, None] - i)) / 6, atol=2e-4)
    covariance = np.asarray(task.features.co_activation()) - np.outer(*2 * [np.asarray(task.features.probabilities)])
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
    assert_allclose(eigenvalues[:2], 0.89566, atol=2e-5)
    assert_allclose(eigenvalues[:2].sum() / np.trace(covariance), 0.65051, atol=2e-5)
    assert_allclose(run.loss, eigenvalues[2:].sum() / 12, rtol=1e-4)
    ring = sp.analysis.ring_order(run, permutations=999, above=0.1)
    assert ring.p_value < 0.01 and ring.statistic > 0.999
    independent = dataclasses.replace(task, sharpness=0.0, log_odds=float(np.log(0.35674 / 0.64326)))
    control = sp.train(independent, sp.TrainConfig(steps=600, learning_rate=0.03), seed=0)
    assert sp.analysis.ring_order(control, permutations=999, above=0.0).p_value > 0.01


def test_numbers_of_a_world_are_swept_without_compiling_and_cells_keep_their_bytes(compilations):
    task = sp.tasks.WorldToy(n_features=6, n_hidden=2, **CIRCLE, noise=0.5)
    config = sp.TrainConfig(steps=20, batch_size=16, history=5)
    result = sp.sweep(task, config, sp.Grid(sharpness=[1.0, 5.0], noise=[0.0, 1.0], seed=[0]), block_size=4)
    compilations.clear()
    other = sp.sweep(task, config, sp.Grid(sharpness=[2.0, 5.0], noise=[0.3, 1.0], seed=[0]), block_size=4)
    assert not compilations
    cell = {"sharpness": 5.0, "noise": 1.0, "seed": 0}
    assert result.sel(**cell)["W"].values.tobytes() == other.sel(**cell)["W"].values.tobytes()


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("world must be one of", {"world": "torus", "sharpness": 1.0, "log_odds": 0.0}),
        ("sharpness is missing", {"world": "circle", "log_odds": 0.0}),
        ("log_odds is missing", {"world": "circle", "sharpness": 0.0}),
        ("sharpness must be", {"world": "circle", "sharpness": np.nan, "log_odds": 0.0}),
        ("sharpness must be", {"world": "circle", "sharpness": -1.0, "log_odds": 0.0}),
        ("sharpness must be", {"world": "circle", "sharpness": 101.0, "log_odds": 0.0}),
        ("log_odds must be", {"world": "circle", "sharpness": 1.0, "log_odds": np.inf}),
        ("noise must be", {**CIRCLE, "noise": -0.1}),
        ("noise must be None where world is None", {"noise": 1.0}),
        ("logits must be None where world is None", {"logits": np.zeros((2, 6))}),
        ('logits must be None unless world is "logits"', {**CIRCLE, "logits": np.zeros((2, 6))}),
        ("logits are missing", {"world": "logits"}),
        ("logits must have shape", {"world": "logits", "logits": np.zeros((2, 5))}),
        ("logits must have shape", {"world": "logits", "logits": np.zeros((0, 6))}),
        ("logits must have shape", {"world": "logits", "logits": np.zeros(6)}),
        ("logits", {"world": "logits", "logits": np.full((2, 6), np.nan)}),
        ("sharpness must be None", {"world": "logits", "logits": np.zeros((2, 6)), "sharpness": 1.0}),
        ("feature_probability must be left at 1", {**CIRCLE, "feature_probability": 0.5}),
        ("correlated_sets must be", {**CIRCLE, "correlated_sets": ((0, 1),)}),
        ("parents must be", {**CIRCLE, "parents": (-1, 0, 0, 0, 0, 0)}),
        ("correlation must be None", {**CIRCLE, "correlation": 0.5}),
    ],
)
def test_worlds_that_cannot_be(words, settings):
    with pytest.raises(ConfigError, match=words):
        _features(**settings).check()


def test_the_expected_loss_of_a_relu_model_in_a_world_is_refused_and_auto_samples():
    task = sp.tasks.WorldToy(n_features=6, n_hidden=2, objective="expected", **CIRCLE)
    with pytest.raises(ConfigError, match="world must be None for the expected loss"):
        task.check()
    dataclasses.replace(task, objective="auto").check()
