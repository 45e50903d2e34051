"""Steps in chunks, as on a GPU: the same training as step by step."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import superpos as sp
from superpos.models.products import product, traced_for
from superpos.training.chunks import chunk_length
from superpos.training.loop import advance, init, intervals

TASK = sp.tasks.Toy(n_features=4, n_hidden=2, feature_probability=0.5)
CONFIG = sp.TrainConfig(steps=23, batch_size=8, history=4, snapshots=(0, 7)).with_defaults(TASK)


@partial(jax.jit, static_argnums=0)
def trained(chunk, learning_rate):
    config = replace(CONFIG, learning_rate=learning_rate)
    return advance(TASK, config, jnp.uint32(3), init(TASK, config, jnp.uint32(3)), intervals(CONFIG), chunk=chunk)


@pytest.mark.parametrize("learning_rate", [0.01, 1e30], ids=["healthy", "diverging"])
@pytest.mark.parametrize("chunk", [5, 64])
def test_chunks_train_as_single_steps_do(chunk, learning_rate):
    chunked, single = trained(chunk, learning_rate), trained(None, learning_rate)
    jax.tree.map(np.testing.assert_array_equal, chunked, single)
    assert (int(chunked[0].diverged_step) >= 0) == (learning_rate > 1)
    assert np.isfinite(chunked[1].loss).all() == (learning_rate < 1)


def test_a_chunk_is_an_interval_where_all_are_alike():
    assert chunk_length(np.full(100, 50), "gpu") == 50
    assert chunk_length(np.full(100, 50), "cpu") is None
    assert chunk_length(np.full(1, 1), "gpu") == 2  # the compiler would take a loop of one step apart


def test_chunks_waste_little_where_intervals_differ():
    lengths = np.array([50, 51] * 50)
    chunk = chunk_length(lengths, "gpu")
    computed = sum(-(-int(n) // chunk) * chunk for n in lengths)
    assert chunk >= 16
    assert computed <= 1.05 * lengths.sum()


def test_a_small_product_is_a_sum_on_a_gpu_and_the_same_numbers():
    matrix, x = np.arange(6.0, dtype=np.float32).reshape(2, 3), np.linspace(-1, 2, 12, dtype=np.float32).reshape(3, 4)

    def operations(platform, matrix, x):
        with traced_for(platform):
            return {e.primitive.name for e in jax.make_jaxpr(lambda a, b: product(a, b))(matrix, x).eqns}

    assert "dot_general" in operations("cpu", matrix, x)
    assert "dot_general" not in operations("gpu", matrix, x)
    assert "dot_general" in operations("gpu", np.ones((30, 400), np.float32), np.ones((400, 4), np.float32))
    with traced_for("gpu"):
        np.testing.assert_allclose(product(jnp.asarray(matrix), jnp.asarray(x)), matrix @ x, rtol=1e-6)
        np.testing.assert_allclose(product(jnp.asarray(matrix), jnp.asarray(x[:, 0])), matrix @ x[:, 0], rtol=1e-6)
