"""Decoder columns that begin as inputs: a NumPy twin, groups that are found one by one, and the share of each manifold."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.tasks import seeding
from superpos.tasks.base import materialize
from superpos.theory.allocation import optimal_allocation, tiling_losses, uniform_points

SEED = 3


def twin(h, n_latents):
    """The same in loops over inputs."""
    squares, columns = np.sum(h**2, axis=0), []
    explained = np.zeros(len(squares))
    for j in range(n_latents):
        left = squares - explained
        u = np.asarray(jax.random.uniform(jax.random.fold_in(jax.random.key(SEED), j), (2 + int(np.log(n_latents)),)))
        drawn = [int(np.sum(np.cumsum(left) <= x * left.sum())) for x in u]
        totals = []
        for i in drawn:
            d = h[:, i] / np.linalg.norm(h[:, i])
            others = [max(explained[k], max(d @ h[:, k], 0) ** 2) for k in range(len(left)) if k != i]
            totals.append(sum(others) + explained[i])
        d = h[:, drawn[int(np.argmax(totals))]]
        columns.append(d / np.linalg.norm(d))
        explained = np.maximum(explained, np.maximum(columns[-1] @ h, 0) ** 2)
    return np.stack(columns, axis=1)


def test_columns_are_those_of_a_twin_in_numpy():
    h = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)
    assert_allclose(
        seeding.columns_of_inputs(jax.random.key(SEED), jnp.asarray(h), 8), twin(h.astype(float), 8), atol=1e-5
    )


def test_groups_of_inputs_are_found_one_by_one_and_what_is_left_over_is_random():
    """Four directions with frequencies from one half to 1/16, and six columns: nothing is left for the last two."""
    group = np.repeat(np.arange(4), [32, 16, 8, 8])
    turned = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    h = jnp.asarray(turned[:, group] * np.linspace(0.5, 2, 64), float)
    D = turned.T @ np.asarray(seeding.columns_of_inputs(jax.random.key(SEED), h, 6))
    assert_allclose(np.sort(np.argmax(D[:, :4], axis=0)), np.arange(4))
    assert_allclose(np.max(D[:, :4], axis=0), 1, rtol=1e-6)
    assert_allclose(np.linalg.norm(D, axis=0), 1, rtol=1e-6)
    assert np.all(np.abs(D[:, 4:]).max(axis=0) < 0.999)
    assert np.all(np.isfinite(seeding.columns_of_inputs(jax.random.key(SEED), jnp.zeros((3, 8)), 4)))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "alpha"), [("circle", 0.5), ("hypersphere", 2.0)])
def test_manifolds_get_about_as_many_columns_as_the_best_allocation(kind, alpha):
    """Below the boundary α = β and above it; drawn in proportion to the square of what is left they do not."""
    p, n = np.arange(1, 13) ** -(1 + alpha), 32
    best = optimal_allocation(p, tiling_losses(kind, n), n).latents
    rng, d = np.random.default_rng(0), len(uniform_points(kind, 1, np.random.default_rng(0))[0])
    counts = []
    for seed in range(4):
        group = rng.choice(12, 8_192, p=p / p.sum())
        h = np.zeros((12, d, 8_192))
        h[group, :, np.arange(8_192)] = uniform_points(kind, 8_192, rng)
        D = np.asarray(seeding.columns_of_inputs(jax.random.key(seed), jnp.asarray(h.reshape(12 * d, -1), float), n))
        counts.append(np.bincount(np.argmax(np.linalg.norm(D.reshape(12, d, n), axis=1), axis=0), minlength=12))
    mean = np.mean(counts, axis=0)
    assert abs(mean[0] / best[0] - 1) < 0.15
    assert abs(np.sum(mean > 0.5) - np.sum(best > 0)) <= 2
    assert np.sum(np.abs(mean - best)) < 0.2 * n


def test_models_begin_with_inputs_of_their_own_source():
    """Features one at a time and on as many axes: columns are the axes, in sources that turn them."""
    turned = np.stack([np.eye(4), np.eye(4)[::-1] * -1])
    task = sp.tasks.SparseAutoencoder(
        n_features=4, n_hidden=4, n_latents=6, directions=turned, source=1, dictionary_size=3, feature_probability=0.25,
        anticorrelated_sets=((0, 1, 2, 3),), magnitude="constant", initial_columns="inputs",
    )  # fmt: skip
    task.check()
    model = materialize(task).init(jax.random.key(SEED))
    W = np.asarray(model.W_dec[...])
    assert_allclose(np.sort(W[:, :3], axis=0)[0], -1, rtol=1e-6)
    assert len({int(i) for i in np.argmin(W[:, :3], axis=0)}) == 3
    assert_array_equal(W[:, 3:], 0)
    assert_array_equal(model.W_enc[...], W.T)
    same = task.broadcast().init(jax.random.key(SEED))  # before it is prepared, as for the shapes of results
    assert_array_equal(same.W_dec[...], W)
    random = materialize(replace(task, initial_columns="random")).init(jax.random.key(SEED))
    assert np.all(np.abs(random.W_dec[...]) < 0.999)


def test_models_that_do_not_read_what_they_write_are_refused():
    layer = sp.tasks.Transcoder(
        n_features=2, n_hidden=2, n_neurons=3, n_latents=4, directions=np.eye(2), W_in=np.ones((3, 2)),
        W_out=np.ones((2, 3)),
    )  # fmt: skip
    layer.check()
    two = sp.tasks.Crosscoder(n_features=2, n_hidden=2, n_latents=4, parts=(1, 1), directions=np.eye(2))
    two.check()
    for task, kind in ((layer, "transcoders"), (two, "crosscoders")):
        with pytest.raises(sp.ConfigError, match=f'initial_columns must be "random" for {kind}'):
            replace(task, initial_columns="inputs").check()


@pytest.mark.slow
@pytest.mark.optimized
def test_a_cell_alone_has_the_bytes_it_has_in_a_sweep(one_device):
    task = sp.tasks.SparseAutoencoder(
        n_features=6, n_hidden=4, n_latents=8, architecture="topk", initial_columns="inputs", feature_probability=0.2
    )
    config = sp.TrainConfig(steps=4, batch_size=33, evaluation_samples=33, history=1)
    options = {"block_size": 4, "blocks_per_device": 2, "devices": one_device, "progress": False}
    alone = sp.sweep(replace(task, source=1), config, sp.Grid(seed=[7]), **options)
    many = sp.sweep(task, config, sp.Grid(source=[0, 1], seed=[3, 7]), **options)
    for name in ("W_dec", "W_enc", "loss"):
        assert many.sel(source=1, seed=7)[name].values.tobytes() == alone.sel(seed=7)[name].values.tobytes(), name
    assert not np.array_equal(many.sel(source=0, seed=3)["W_dec"], many.sel(source=0, seed=7)["W_dec"])
