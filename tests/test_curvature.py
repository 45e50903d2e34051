"""Ranks, zero modes and learning coefficients of points whose answer is known."""

import jax.numpy as jnp
import numpy as np
import pytest

import superpos as sp
from superpos.errors import ConfigError
from superpos.landscapes import curvature_at, dead_tangents, rotation_tangents
from superpos.landscapes.curvature import rank_at


def bowl(w, stretch):
    return jnp.sum(stretch * w**2)


def product(w):
    return (w[0] * w[1] - 1) ** 2 + w[2] ** 2


def quartic(w):
    return w[0] ** 4 + w[1] ** 2


def saddle(w):
    return w[0] ** 2 - w[1] ** 2


def ramp(w):
    return jnp.maximum(w[0], 0) ** 2 + w[1] ** 2


def reconstruction(point, x):
    W, b = point
    return jnp.mean((x - jnp.maximum(W.T @ W @ x + b[:, None], 0)) ** 2)


def test_a_regular_minimum_has_half_its_parameters():
    found = curvature_at(bowl, np.zeros(4), np.array([1.0, 2.0, 3.0, 1e-3]))
    assert (found.rank, found.zero_modes, found.index, found.learning_coefficient) == (4, 0, 0, 2.0)
    np.testing.assert_allclose(found.eigenvalues, [2e-3, 2, 4, 6])
    assert found.flags == ()
    assert found.gap > 1e8


def test_zero_modes_that_a_symmetry_explains_cost_nothing():
    point = np.array([2.0, 0.5, 0.0])
    bare = curvature_at(product, point)
    assert (bare.rank, bare.zero_modes, bare.symmetry_modes) == (2, 1, 0)
    assert bare.flags == ("unexplained zero modes",)
    assert np.isnan(bare.learning_coefficient)
    scaling = np.array([[2.0, -0.5, 0.0], [4.0, -1.0, 0.0]])  # twice the same: one independent tangent
    known = curvature_at(product, point, symmetries=scaling)
    assert (known.symmetry_modes, known.learning_coefficient, known.flags) == (1, 1.0, ())
    wrong = curvature_at(product, point, symmetries=np.array([[1.0, 1.0, 0.0]]))
    assert wrong.symmetry_modes == 0


def test_a_flat_quartic_is_not_taken_for_a_smooth_floor():
    found = curvature_at(quartic, np.zeros(2))
    assert (found.rank, found.flags) == (1, ("unexplained zero modes",))


def test_a_saddle_has_an_index_and_no_learning_coefficient():
    found = curvature_at(saddle, np.zeros(2))
    assert (found.rank, found.index) == (2, 1)
    assert found.flags == ("not a minimum",)
    assert np.isnan(found.learning_coefficient)
    assert "not a minimum" in curvature_at(bowl, np.ones(2), np.ones(2)).flags


def test_a_kink_is_flagged():
    assert "kink" in curvature_at(ramp, np.zeros(2)).flags
    assert "kink" not in curvature_at(ramp, np.array([1e-2, 0.0])).flags


def test_a_rank_without_a_gap_is_said_to_be_unclear():
    found = curvature_at(bowl, np.zeros(8), 10.0 ** -np.arange(0, 16, 2))
    assert "rank not clear" in found.flags
    assert found.gap < 1e4


def test_ranks_are_stable_over_four_orders_of_the_threshold_where_the_gap_says_so():
    found = curvature_at(product, np.array([2.0, 0.5, 0.0]), symmetries=np.array([[2.0, -0.5, 0.0]]))
    assert found.gap >= 1e4
    assert {rank_at(found.eigenvalues, t) for t in 10.0 ** np.arange(-10, -5)} == {found.rank}


def test_the_rotations_of_a_toy_model_explain_its_zero_modes():
    """Features that are all active in all combinations; W an orthogonal matrix is a perfect model."""
    x = np.abs(np.random.default_rng(0).standard_normal((3, 40))) + 0.1
    W, b = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0], np.zeros(3)
    tangents = rotation_tangents(W, b)
    assert tangents.shape == (3, 12)
    gram = np.stack([(W.T @ A + A.T @ W) for A in tangents[:, :9].reshape(3, 3, 3)])
    np.testing.assert_allclose(gram, 0, atol=1e-14)
    found = curvature_at(reconstruction, (W, b), x, symmetries=tangents)
    assert (found.rank, found.zero_modes, found.symmetry_modes) == (9, 3, 3)
    assert found.learning_coefficient == 4.5


def test_two_dead_features_are_flagged_and_cost_nothing():
    x = np.concatenate([np.abs(np.random.default_rng(0).standard_normal((1, 40))) + 0.1, np.zeros((2, 40))])
    point = np.array([[1.0, 0, 0]]), np.array([0.0, -0.5, -0.5])
    dead = dead_tangents(*point)
    assert dead.shape == (4, 6)
    found = curvature_at(reconstruction, point, x, symmetries=rotation_tangents(*point), dead=dead)
    assert (found.rank, found.zero_modes, found.dead_modes) == (2, 4, 4)
    assert (found.flags, found.learning_coefficient) == (("dead features",), 1.0)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((3, np.zeros(2)), "loss"),
        ((saddle, np.array([np.nan, 0])), "point"),
        ((saddle, np.zeros(0)), "point"),
        ((jnp.log, np.zeros(1)), "loss must give one number"),
        ((lambda w: jnp.log(w[0]), np.zeros(1)), "loss must be finite"),
        ((None, np.zeros(1)), "loss must be a function"),
    ],
)
def test_wrong_input_is_named(arguments, field):
    with pytest.raises(ConfigError, match=f"^{field}"):
        curvature_at(*arguments)


def test_tangents_of_another_length_are_refused():
    with pytest.raises(ConfigError, match="^symmetries must"):
        curvature_at(saddle, np.zeros(2), symmetries=np.ones((1, 3)))


def test_it_is_offered():
    assert sp.landscapes.curvature_at is curvature_at
