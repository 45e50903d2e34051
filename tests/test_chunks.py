"""Steps in chunks, as on a GPU: the same training as step by step."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import superpos as sp
from superpos.models.products import product, traced_for
from superpos.training.chunks import chunk_length
from superpos.training.loop import advance, init, intervals
from superpos.training.vectors import Vectors

# Sums of a few numbers of single precision, in another order.
TOLERANCE = {"rtol": 2e-5, "atol": 1e-6}

TASK = sp.tasks.Toy(n_features=4, n_hidden=2, feature_probability=0.5)
CONFIG = sp.TrainConfig(steps=23, batch_size=8, history=4, snapshots=(0, 7)).with_defaults(TASK)


@partial(jax.jit, static_argnums=0)
def trained(chunk, learning_rate):
    return trained_as(TASK, replace(CONFIG, learning_rate=learning_rate), chunk)


def trained_as(task, config, chunk):
    return advance(task, config, jnp.uint32(3), init(task, config, jnp.uint32(3)), intervals(CONFIG), chunk=chunk)


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


VARIANTS = {
    "penalty": ({"hidden_l1": 0.1}, {"weight_decay": 0.1, "decay_bias": False}),
    "linear without bias": ({"activation": "identity", "bias": False}, {"optimizer": "sgd", "momentum": 0.9}),
    "weights by feature": ({"importance": [1.0, 0.5, 0.2, 0.1]}, {"optimizer": "adam", "weight_decay": 0.1}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_gpu_sums_over_samples_and_keeps_parameters_in_one_vector_and_trains_alike(variant):
    changed, how = VARIANTS[variant]
    task, config = replace(TASK, **changed), replace(CONFIG, **how)
    single = jax.jit(partial(trained_as, task, config, None))()
    with traced_for("gpu"):
        chunked = jax.jit(partial(trained_as, task, config, 5))()
    assert jax.tree.structure(chunked) == jax.tree.structure(single)
    jax.tree.map(partial(np.testing.assert_allclose, **TOLERANCE), chunked, single)


def test_loss_and_gradient_are_one_reduction_on_a_gpu():
    """Of a few features; others multiply matrices. Without a gradient, too, as at the end of a training."""

    def operations(task):
        model = task.init(jax.random.key(0))
        with traced_for("gpu"):
            loss_of = jax.value_and_grad(lambda model: task.loss(model, jax.random.key(1), 8)[0])
            return str(jax.make_jaxpr(loss_of)(model))

    assert "dot_general" not in operations(TASK) and "optimization_barrier" in operations(TASK)
    for other in (replace(TASK, loss_exponent=4), replace(TASK, activation="gelu"), replace(TASK, n_features=20)):
        assert "optimization_barrier" not in operations(other)


def test_models_that_want_their_arrays_are_no_vectors():
    model = TASK.init(jax.random.key(0))
    assert Vectors.of(TASK, CONFIG, model) is not None
    assert Vectors.of(TASK, replace(CONFIG, optimizer="muon"), model) is None  # it multiplies matrices
    assert Vectors.of(replace(TASK, objective="expected"), CONFIG, model) is None  # no samples: the compiler joins more
    large = replace(TASK, n_features=400, n_hidden=3)
    assert Vectors.of(large, CONFIG, large.init(jax.random.key(0))) is None
    reader = sp.tasks.SparseAutoencoder(n_features=4, n_hidden=2, n_latents=4)  # looks at its decoder after a step
    assert Vectors.of(reader, CONFIG, reader.init(jax.random.key(0))) is None


def test_vectors_are_made_of_a_tree_and_become_it_again():
    model: Any = TASK.init(jax.random.key(0))
    vectors = Vectors.of(TASK, CONFIG, model)
    assert vectors is not None
    state = CONFIG.build_optimizer().init(model)
    joined = vectors.joined(state)
    assert [leaf.shape for leaf in jax.tree.leaves(joined) if leaf.ndim] == [(12,), (12,)]
    assert jax.tree.structure(vectors.parted(joined)) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, vectors.parted(vectors.joined(model)), model)
