"""A step in a few kernels, in tiles: its draws, its steps beside those of the plain program, and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import superpos as sp
from superpos.sweeping.compiled import lay_out
from superpos.tasks.base import materialize
from superpos.training import loop
from superpos.training.tiled import cut
from superpos.training.tiled.kernel import train_steps

# Rounding differs from the plain program's: sums over samples run in another order. As for the fused kernel, weights of
# size 1 may be some millionths apart after some dozens of steps (measured: 1.4e-7), and a wrong step moves them by thousandths.
TOLERANCE = {"rtol": 0, "atol": 1e-5}

TASK = sp.tasks.Toy(
    n_features=40, n_hidden=10, feature_probability=0.2, importance=[*np.geomspace(1, 0.2, 40)], magnitude="constant"
)
SIZES = {"steps": 60, "batch_size": 75, "evaluation_samples": 64}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Three parts of a batch, three tiles of features, and three of weights: the last of each with padding."""
    for name, size in {"MOST_SAMPLES": 32, "FEATURES": 16, "MOVED": 16}.items():
        monkeypatch.setattr(cut, name, size)
    sizes = cut.Cut.of(40, 10, 75)
    assert (sizes.parts, sizes.tiles, sizes.moves) == (3, 3, 3) and sizes.hidden == 16


def both(task, config, stopped_step=None, chunk=None, seed=4):
    """The state after all steps of one training, of the plain loop and of the kernels."""
    task, config = materialize(task), config.with_defaults(task).broadcast()
    state = loop.init(task, config, jnp.uint32(seed))._replace(stopped_step=stopped_step)
    steps = jnp.int32(config.steps)
    through = loop.Intervals(*(jnp.atleast_1d(n) for n in (jnp.int32(0), jnp.int32(0), steps, jnp.int32(-1))))
    plain, _ = jax.jit(lambda state: loop.advance(task, config, jnp.uint32(seed), state, through))(state)
    span = (jax.random.key(seed), state, jnp.int32(0), steps)
    tiled = jax.jit(lambda *span: train_steps(task, config, *span, chunk=chunk, interpret=True))(*span)
    return plain, tiled, state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        pytest.param({"hidden_l1": 0.3}, {"optimizer": "adamw", "weight_decay": 0.1, "decay_bias": True}, id="adamw"),
        pytest.param({"bias": False, "magnitude": "uniform"}, {"optimizer": "adam", "warmup_steps": 5}, id="no bias"),
        pytest.param(
            {
                "activation": "identity",
                "magnitude": "signed_uniform",
                "n_features": 48,
                "n_hidden": 16,
                "importance": 1.0,
            },
            {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 0.3, "batch_size": 64},
            id="identity, no padding",
        ),
        pytest.param({}, {"optimizer": "lion", "learning_rate": 1e-3, "first_step": 7}, id="lion"),
    ],
)
def test_tiles_take_the_steps_that_are_taken_elsewhere(fields, settings):
    """In chunks whose last steps lie beyond the end."""
    task = dataclasses.replace(TASK, **fields)
    plain, tiled, start = both(task, sp.TrainConfig(**{**SIZES, **settings}), chunk=7)
    assert jax.tree.structure(plain) == jax.tree.structure(tiled)
    for own, expected in zip(jax.tree.leaves(tiled), jax.tree.leaves(plain), strict=True):
        assert own.dtype == expected.dtype
        assert_allclose(own, expected, **TOLERANCE)
    assert np.abs(tiled.model.W[...] - start.model.W[...]).max() > 1e-2
    assert tiled.diverged_step == -1 and tiled.total[0] > 0


@pytest.mark.slow
def test_a_model_that_was_stopped_stays_as_it_is():
    plain, tiled, start = both(TASK, sp.TrainConfig(steps=3, batch_size=75), stopped_step=jnp.int32(5))
    for own, before in zip(jax.tree.leaves(tiled.model), jax.tree.leaves(start.model), strict=True):
        assert np.array_equal(own, before)
    assert (tiled.stopped_step, tiled.diverged_step) == (plain.stopped_step, plain.diverged_step) == (5, -1)
    assert np.isnan(tiled.total[0])


@pytest.mark.slow
@pytest.mark.trained
def test_sweeps_learn_the_same_and_a_cell_alone_has_its_bytes():
    """Six cells of two seeds, half of which diverge; whoever is beside a cell changes no bit of it."""
    config = sp.TrainConfig(**{**SIZES, "steps": 20}, history=2, snapshots=(0, 10))
    axes = {"feature_probability": [0.9, 0.1], "learning_rate": [0.01, 2e3], "seed": [2, 5]}
    options = {"devices": jax.devices()[:1], "progress": False, "block_size": 3}
    plain, tiled = (sp.sweep(TASK, config, sp.Grid(**axes), kernel=kernel, **options) for kernel in ("plain", "tiled"))
    assert tiled.attrs["kernel"] == "tiled" and set(tiled.dataset) == set(plain.dataset)
    assert np.array_equal(tiled["diverged_step"], plain["diverged_step"])
    assert np.all(tiled["diverged_step"].sel(learning_rate=2e3) >= 1)
    assert np.all(tiled["diverged_step"].sel(learning_rate=0.01) == -1)
    for name in plain.dataset:
        healthy = tiled[name].sel(learning_rate=0.01), plain[name].sel(learning_rate=0.01)
        assert_allclose(*healthy, **TOLERANCE)
        largest = np.nanmax(
            np.abs(plain[name].astype(float)), initial=1
        )  # of weights that diverge, whose rounding it sets
        assert_allclose(tiled[name], plain[name], rtol=0, atol=1e-5 * largest)
    for rate in axes["learning_rate"]:
        task, of_rate = (
            dataclasses.replace(TASK, feature_probability=0.1),
            dataclasses.replace(config, learning_rate=rate),
        )
        alone = sp.sweep(task, of_rate, sp.Grid(seed=[5]), kernel="tiled", **options)
        cell = tiled.sel(feature_probability=0.1, learning_rate=rate, seed=5)
        for name in alone.dataset:
            assert alone.sel(seed=5)[name].values.tobytes() == cell[name].values.tobytes(), name


@pytest.mark.parametrize(
    ("task", "config", "platform", "reason"),
    [
        (dataclasses.replace(TASK, activation="gelu"), {}, "cpu", 'activation must be .* for kernel="tiled"'),
        (dataclasses.replace(TASK, n_hidden=65), {}, "cpu", "n_hidden must be at most 64 .* got 65"),
        (
            dataclasses.replace(TASK, n_features=100, importance=1.0),
            {"batch_size": 2**24},
            "cpu",
            "n_features × batch_size must be at most .* got 1,677,721,600",
        ),
        (TASK, {"optimizer": "muon"}, "cpu", 'optimizer must be one of adamw, .* for kernel="tiled"'),
        (TASK, {}, "tpu", 'kernel must be "plain" on a TPU'),
    ],
    ids=lambda value: "",
)
def test_what_the_kernels_cannot_train_is_refused_by_name(task, config, platform, reason):
    with pytest.raises(sp.ConfigError, match=reason) as error:
        lay_out(task, sp.TrainConfig(**config), sp.Grid(seed=[0]), kernel="tiled", block_size=2, platform=platform)
    assert str(error.value).count(". ") == 0


def test_sizes_that_the_fused_kernel_refuses_are_tiled():
    with pytest.raises(sp.ConfigError, match='"tiled" trains larger ones'):
        lay_out(TASK, sp.TrainConfig(), sp.Grid(seed=[0]), kernel="fused", block_size=2, platform="cpu")
    assert lay_out(TASK, sp.TrainConfig(), sp.Grid(seed=[0]), kernel="tiled", block_size=2).kernel == "tiled"
