"""The pull of feature directions to unit norm: its closed form, and strong superposition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import superpos as sp
from superpos.errors import ConfigError
from superpos.training.unit_norm_pull import distance_from_unit


def test_without_a_gradient_norms_come_to_one_by_a_fixed_factor_a_step_and_directions_stay():
    """Closed form: ‖W‖ − 1 shrinks by 1 − ηγ. An importance of 0 has no gradient."""
    task = sp.tasks.Toy(n_features=4, n_hidden=3, importance=0.0, init_scale=2.0)
    config = sp.TrainConfig(
        steps=20, batch_size=4, schedule="constant", learning_rate=0.05, unit_norm_pull=2.0, snapshots=(0, 20)
    )
    result = sp.sweep(task, config, sp.Grid(seed=[0, 1]))
    before, after = np.moveaxis(result["W_snapshots"].values, 1, 0)
    norms, later = np.linalg.norm(before, axis=1), np.linalg.norm(after, axis=1)
    assert_allclose(later - 1, (norms - 1) * 0.9**20, atol=2e-6)
    assert_allclose(after / later[:, None], before / norms[:, None], atol=2e-6)
    assert_allclose(result["b"].values, 0)


def test_columns_of_length_one_or_none_are_not_moved():
    W = jnp.array([[0.6, 0.0, 2.0], [0.8, 0.0, 0.0]])
    assert_allclose(distance_from_unit(W, -2), [[0, 0, 1], [0, 0, 0]], atol=1e-7)


def test_it_is_the_gradient_of_half_the_squared_distance_from_one():
    W = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5)), float)
    slope = jax.grad(lambda W: 0.5 * jnp.sum((jnp.sqrt(jnp.sum(W**2, axis=0)) - 1) ** 2))(W)
    assert_allclose(distance_from_unit(W, -2), slope, atol=1e-6)


@pytest.mark.slow
def test_strong_superposition_represents_all_features_near_the_floor_of_welch():
    task = sp.tasks.Toy(n_features=40, n_hidden=6, feature_probability=0.02)
    config = sp.TrainConfig(steps=1_000, batch_size=256, learning_rate=0.02)
    result = sp.sweep(task, config, sp.Grid(unit_norm_pull=[0.0, 1.0], seed=[0]))
    weak, strong = (result.sel(unit_norm_pull=pull, seed=0)["W"].values for pull in (0.0, 1.0))
    assert np.all(np.abs(np.linalg.norm(strong, axis=0) - 1) < 0.2)
    assert np.linalg.norm(weak, axis=0).max() > 1.02 * np.linalg.norm(strong, axis=0).max()
    floor = sp.analysis.welch_floor(40, 6)
    assert floor < float(sp.analysis.mean_squared_overlap(strong)) < 1.1 * floor


@pytest.mark.parametrize("pull", [-1.0, np.nan, np.inf, "much"])
def test_a_pull_that_cannot_be(pull):
    with pytest.raises(ConfigError, match="unit_norm_pull"):
        sp.TrainConfig(unit_norm_pull=pull).check()
