"""Activation functions that keep few latents: against NumPy's sort, closed forms, and the mean that a kernel estimates."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from superpos.models.sae.sparse_activations import (
    PEELED_UP_TO,
    above,
    batch_top_k,
    ceiling,
    jump_relu,
    kth_largest,
    top_k,
)

KTH, TOP, BATCH = jax.jit(partial(kth_largest, axis=0)), jax.jit(top_k), jax.jit(batch_top_k)


def rectified(rng, dtype, shape=(7, 9)):
    """Values as a rectifier leaves them: many zeros, one column of them only, ties, tiny and huge numbers."""
    values = np.maximum(rng.standard_normal(shape), 0)
    values[:, 0] = 0
    values[:3, 1] = values[:, 1].max() + 1  # three equal largest
    values[0, 2], values[1, 2] = np.finfo(dtype).tiny, np.finfo(dtype).max
    return values.astype(dtype)


def kept_by_sort(values, k):
    """The k largest of one dimension, and whatever equals the smallest of them."""
    if k > len(values):
        return values
    return np.where(values >= np.sort(values)[::-1][k - 1], values, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_kth_largest_is_that_of_a_sort(dtype, rng):
    with jax.enable_x64(dtype is np.float64):
        values = rectified(rng, dtype)
        for k in (1, 2, 3, 7, 8):  # traced: one program for all
            found = KTH(jnp.asarray(values), jnp.asarray(k, dtype))
            assert found.dtype == dtype and found.shape == (1, 9)
            wanted = np.sort(values, axis=0)[::-1][k - 1] if k <= 7 else np.zeros(9)
            assert_array_equal(found[0], wanted)
            kept = TOP(jnp.asarray(values), jnp.asarray(k, dtype))
            assert_array_equal(kept, np.apply_along_axis(kept_by_sort, 0, values, k))
            clear = [c for c in range(9) if len(set(values[:, c])) == np.count_nonzero(values[:, c]) + 1]
            assert len(clear) > 3  # without ties above 0, k are kept, or all that are positive
            assert_array_equal(
                np.count_nonzero(kept, axis=0)[clear], np.minimum(k, np.count_nonzero(values, axis=0))[clear]
            )
        assert (
            np.count_nonzero(TOP(jnp.asarray(values), jnp.asarray(1.0, dtype))[:, 1]) == 3
        )  # equal ones stay together


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_many_latents_the_kth_largest_is_that_of_a_sort_too(dtype, rng):
    with jax.enable_x64(dtype is np.float64):
        values = np.maximum(np.round(rng.normal(size=(PEELED_UP_TO + 6, 9)), 2), 0).astype(dtype)
        for k in (1, 5, 30, 69, 70):
            found = KTH(jnp.asarray(values), jnp.asarray(k, dtype))
            assert_array_equal(found[0], np.sort(values, axis=0)[::-1][k - 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_of_a_batch_are_those_of_a_sort(dtype, rng):
    with jax.enable_x64(dtype is np.float64):
        values = rectified(rng, dtype)
        n_positive = np.count_nonzero(values)
        for k in (1 / 9, 0.5, 1.0, 1.5, 2.3, 3.0, 7.0):  # of 9 columns: 0.5 keeps 5, the next whole number from 4.5
            kept, smallest = BATCH(jnp.asarray(values), jnp.asarray(k, dtype))
            n = int(np.ceil(np.round(9 * k, 5)))
            assert_array_equal(np.ravel(kept), kept_by_sort(values.ravel(), n))
            assert smallest.shape == () and smallest == np.sort(values.ravel())[::-1][n - 1]
            assert (smallest > 0) == (n <= n_positive)
        # As biases leave them on inputs of zeros: most values are one of four numbers, two of them neighbours.
        tied = np.abs(rng.standard_normal((9, 9)))
        few = np.array([1e-3, 0.3, np.nextafter(dtype(0.3), dtype(1)), 0.3001])
        tied[rng.uniform(size=tied.shape) < 0.7] = 0
        tied = np.where(tied > 0, tied, rng.choice(few, tied.shape)).astype(dtype)
        for n in range(1, 82, 5):
            _, smallest = BATCH(jnp.asarray(tied), jnp.asarray(n / 9, dtype))
            assert smallest == np.sort(tied.ravel())[::-1][n - 1], n


@pytest.mark.optimized
@pytest.mark.parametrize("double", [slow(False), True])
def test_a_product_that_is_whole_but_for_rounding_is_whole(double):
    with jax.enable_x64(double):
        dtype = np.float64 if double else np.float32
        a, b, c = (g.ravel() for g in np.meshgrid(np.arange(1, 40), np.arange(2, 41), np.arange(1, 60)))
        a, b, c = a[a < b], b[a < b], c[a < b]
        assert np.any(np.ceil((a / b).astype(dtype) * (b * c).astype(dtype)) != a * c)  # what it is for
        each = jax.vmap(ceiling)
        assert_array_equal(each(jnp.asarray(a / b, dtype), jnp.asarray(b * c, dtype)), a * c)
        whole = np.array([1, 2, 7, 1023, 4096, 65_536, 10**6], dtype)
        assert_array_equal(each(jnp.asarray(whole), jnp.ones(len(whole), dtype)), whole)
        assert ceiling(jnp.asarray(1.001, dtype), 1000) == 1001 and ceiling(jnp.asarray(1.0011, dtype), 1000) == 1002


def test_no_gradient_flows_through_the_choice(rng):
    values = jnp.asarray(rectified(rng, np.float32)[:, 3:])
    weights = jnp.asarray(rng.standard_normal(values.shape), jnp.float32)
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(weights * top_k(v, jnp.float32(2)))))(values)
    kept = np.apply_along_axis(kept_by_sort, 0, np.asarray(values), 2) > 0
    assert_array_equal(np.where(kept, gradient, 0), np.where(kept, weights, 0))
    assert not np.any(np.where((np.asarray(values) > 0) & ~kept, gradient, 0))


def test_every_model_of_a_batch_of_models_has_its_own_k(rng):
    values = jnp.asarray(np.stack([rectified(rng, np.float32) for _ in range(3)]))
    k = jnp.asarray([1.0, 2.0, 5.0])
    many, many_smallest = jax.jit(jax.vmap(batch_top_k))(values, k)
    each = jax.jit(jax.vmap(top_k))(values, k)
    for i in range(3):
        kept, smallest = BATCH(values[i], k[i])
        assert_array_equal(many[i], kept)
        assert many_smallest[i] == smallest
        assert_array_equal(each[i], TOP(values[i], k[i]))


# --- steps with a gradient --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(), (1, 1), (5, 1), (1, 8), (5, 8)])
def test_pseudo_gradients_are_their_closed_forms(shape, rng):
    """For all ways in which a threshold broadcasts: the sum over whatever it was spread over."""
    a, weights = rng.standard_normal((2, 5, 8))
    theta, width = np.exp(0.5 * rng.standard_normal(shape) - 1), 0.7
    inside, open_ = np.abs(a - theta) < width / 2, a > theta
    assert 5 < inside.sum() < 35 and 3 < open_.sum() < 37
    arguments = [jnp.asarray(x, jnp.float32) for x in (a, theta, width)]
    with jax.numpy_rank_promotion("allow"):  # a scalar threshold is allowed too
        for step, value, to_values, factor in (
            (above, open_, np.zeros_like(a), np.ones_like(theta)),
            (jump_relu, a * open_, weights * open_, theta),
        ):
            assert_allclose(step(*arguments), value, rtol=1e-6)
            found = jax.grad(lambda *x, step=step: jnp.sum(weights * step(*x)), argnums=(0, 1, 2))(*arguments)
            full = -factor * inside / width * weights
            axes = tuple(k for k in range(2) if not shape or shape[k] == 1)
            assert_allclose(found[0], to_values, rtol=1e-6)
            assert found[1].shape == shape
            assert_allclose(found[1], np.sum(full, axis=axes, keepdims=bool(shape)), rtol=1e-4, atol=1e-5)
            assert found[2] == 0


def test_the_mean_pseudo_gradient_is_the_derivative_of_the_smoothed_mean():
    """At 200,000 normal pre-activations, within four standard errors; and not that of the next threshold.

    The mean of H smoothed by the rectangle of width ε is ∫ P(a > t) dt / ε over θ ± ε/2, whose derivative is
    −(Φ(θ + ε/2) − Φ(θ − ε/2)) / ε. A jump is θ high.
    """
    n, width = 200_000, 0.4
    a = jnp.asarray(np.random.default_rng(0).standard_normal((1, n)), jnp.float32)

    def mean_of(step):
        return jax.jit(jax.grad(lambda theta: jnp.mean(step(a, theta, jnp.float32(width)))))

    slopes, jumps = mean_of(above), mean_of(jump_relu)
    for theta in (0.3, 1.0, 1.7):
        share = np.diff(stats.norm.cdf([theta - width / 2, theta + width / 2]))[0]
        error = np.sqrt(share * (1 - share) / n) / width
        found = slopes(jnp.full((1, 1), theta, jnp.float32)).item()
        assert abs(found + share / width) < 4 * error
        assert abs(found + np.diff(stats.norm.cdf([theta - 0.1, theta + 0.3]))[0] / width) > 4 * error
        jump = jumps(jnp.full((1, 1), theta, jnp.float32)).item()
        assert abs(jump + theta * share / width) < 4 * theta * error
