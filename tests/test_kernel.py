"""A training in one kernel: its draws, its gradient, its steps, and the door to it. A CPU interprets the kernel."""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import superpos as sp
from superpos.cli import main
from superpos.data.distribution import unit_uniform
from superpos.sweeping.compiled import lay_out
from superpos.sweeping.engines.worker import train_part
from superpos.sweeping.store.resume import resumable
from superpos.tasks.base import materialize
from superpos.training import loop
from superpos.training.fused import cut
from superpos.training.fused.gradient import Numbers, Problem, loss_and_gradient
from superpos.training.fused.kernel import train_steps
from superpos.training.kernels import draws
from superpos.training.kernels.draw import uniform_numbers

# Rounding differs from the plain program's, as sums run in another order. A number of single precision has a relative
# error of 6e-8, and a step of Adam is no longer than the learning rate (.01): after 200 steps weights near 1 may be some
# millionths apart (measured: 5e-7). A wrong draw or a wrong step moves them by thousandths.
TOLERANCE = {"rtol": 0, "atol": 1e-5}

# Constant magnitudes: their loss is sampled at the end, which compiles in a fifth of the time of the exact one.
TASK = sp.tasks.Toy(n_features=2, n_hidden=1, importance=[1.0, 0.7], magnitude="constant")
CONFIG = sp.TrainConfig(steps=200, batch_size=24, history=4, snapshots=(0, 50), evaluation_samples=64)
GRID = {"feature_probability": [0.9, 0.3, 0.1], "learning_rate": [0.01, 2e3], "seed": [2, 5]}


def words(key):
    return tuple(jax.random.key_data(key))


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
@pytest.mark.parametrize("step", [0, 1, 2**31 - 1])
def test_keys_and_bits_are_those_of_jax(seed, step):
    key = jax.random.fold_in(jax.random.key(seed), step)
    own_key = draws.fold_in(words(jax.random.key(seed)), jnp.uint32(step))
    assert np.array_equal(own_key, words(key))
    expected = jax.random.bits(key, (5, 24), jnp.uint32)
    assert np.array_equal(draws.bits(own_key, jnp.arange(120, dtype=jnp.uint32)), expected.ravel())


@pytest.mark.parametrize("magnitude", ["uniform", "signed_uniform", "constant", "exponential"])
@pytest.mark.parametrize("batch_size", [300, 1_024])
def test_inputs_of_some_steps_are_those_of_every_step(magnitude, batch_size):
    p = np.float32([0.9, 0.02, 1.0])
    distribution = sp.FeatureDistribution(n_features=3, feature_probability=p, magnitude=magnitude)
    key = jax.random.key(3)
    u = uniform_numbers(jax.random.key_data(key), jnp.array([2]), 5, (4, 3, batch_size), interpret=True)
    for step, drawn in enumerate(u, 7):
        expected = distribution.sample(jax.random.fold_in(key, step), batch_size)
        assert np.array_equal(draws.inputs(drawn, p[:, None], magnitude), expected)
        assert 0 < np.count_nonzero(expected[1]) < batch_size // 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="relu"),
        pytest.param({"bias": False, "hidden_l1": 0.3}, id="no bias, with penalty"),
        pytest.param({"activation": "identity", "magnitude": "signed_uniform"}, id="identity"),
    ],
)
def test_loss_and_gradient_are_those_of_the_task(fields):
    """Of a batch that is no multiple of a tile, in arrays that are longer than needed."""
    sizes = {"n_features": 3, "n_hidden": 2, "importance": [1.0, 0.7, 2.0], "feature_probability": 0.4}
    task = materialize(dataclasses.replace(TASK, **{"magnitude": "uniform", **sizes, **fields}))
    key, batch_size = jax.random.key(9), 40
    model = task.init(jax.random.key(1))
    if task.bias:
        model.b[...] = jnp.float32([0.1, -0.2, 0.05])
    loss, gradient = jax.value_and_grad(lambda model: task.loss(model, key, batch_size)[0])(model)
    problem = Problem(3, 2, batch_size, 16, task.activation, task.magnitude)
    u = jnp.pad(unit_uniform(key, (3, batch_size)), ((0, 0), (0, 8)))  # as far as the last tile
    numbers = Numbers(list(task.feature_probability), list(task.importance), task.hidden_l1)
    W = jnp.zeros((2, 4)).at[:, :3].set(model.W[...])
    b = jnp.zeros(4).at[:3].set(model.b[...]) if task.bias else None
    own_loss, to_W, to_b = jax.jit(
        lambda *weights: loss_and_gradient(problem, numbers, *weights, lambda i, sample: u[i, sample])
    )(W, b)
    assert_allclose(own_loss, loss, rtol=1e-6)
    assert_allclose(to_W[:, :3], gradient.W[...], rtol=1e-5, atol=1e-7)
    assert not np.any(to_W[:, 3:])
    if task.bias:
        assert_allclose(to_b[:3], gradient.b[...], rtol=1e-5, atol=1e-7)


def both(task, config, seed=4, stopped_step=None, interval=None):
    """The state after all steps of one training, of the plain loop and of the kernel."""
    task, config = materialize(task), config.with_defaults(task).broadcast()
    state = loop.init(task, config, jnp.uint32(seed))._replace(stopped_step=stopped_step)
    steps = jnp.int32(config.steps)
    through = loop.Intervals(*(jnp.atleast_1d(n) for n in (jnp.int32(0), jnp.int32(0), steps, jnp.int32(-1))))
    plain, _ = jax.jit(lambda state: loop.advance(task, config, jnp.uint32(seed), state, through))(state)
    key = jax.random.key(seed)
    how = {"interval": interval, "interpret": True}
    fused = jax.jit(lambda state: train_steps(task, config, key, state, jnp.int32(0), steps, **how))(state)
    return plain, fused, state


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"optimizer": "adam", "weight_decay": 0.1, "schedule": "linear"}, id="adam"),
        pytest.param({"optimizer": "adamw", "weight_decay": 0.1, "decay_bias": True, "warmup_steps": 5}, id="adamw"),
        pytest.param({"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 0.3}, id="sgd"),
        pytest.param({"optimizer": "rmsprop", "momentum": 0.5, "schedule": "constant"}, id="rmsprop"),
        pytest.param({"optimizer": "lion", "learning_rate": 1e-3, "first_step": 7}, id="lion"),
    ],
)
def test_every_optimiser_takes_the_steps_it_takes_elsewhere(fields):
    task = dataclasses.replace(TASK, feature_probability=0.5)
    plain, fused, start = both(task, sp.TrainConfig(**{"steps": 30, "batch_size": 16, **fields}))
    assert jax.tree.structure(plain) == jax.tree.structure(fused)
    for own, expected in zip(jax.tree.leaves(fused), jax.tree.leaves(plain), strict=True):
        assert own.dtype == expected.dtype
        assert_allclose(own, expected, **TOLERANCE)
    assert np.abs(fused.model.W[...] - start.model.W[...]).max() > 1e-3
    assert fused.diverged_step == -1 and fused.total[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "interval"), [(30, 30), (65, 70)])
def test_calls_of_a_known_number_take_the_same_steps(steps, interval, monkeypatch):
    """As on a GPU: numbers of some steps are drawn at once, and what lies beyond the last step is left out."""
    monkeypatch.setattr(cut, "MAX_STEPS", 30)
    plain, fused, _ = both(TASK, sp.TrainConfig(steps=steps, batch_size=16), interval=interval)
    for own, expected in zip(jax.tree.leaves(fused), jax.tree.leaves(plain), strict=True):
        assert_allclose(own, expected, **TOLERANCE)


@pytest.mark.slow
def test_a_model_that_was_stopped_stays_as_it_is():
    plain, fused, start = both(TASK, sp.TrainConfig(steps=3, batch_size=16), stopped_step=jnp.int32(5))
    assert np.array_equal(fused.model.W[...], start.model.W[...]) and np.isnan(fused.total[0])
    assert (fused.stopped_step, fused.diverged_step) == (plain.stopped_step, plain.diverged_step) == (5, -1)


@pytest.fixture(scope="module")
def one_device():
    return jax.devices()[:1]


@pytest.fixture(scope="module")
def fused(one_device):
    """Twelve cells, half of which diverge: three blocks of four per seed, padding in the last."""
    return sp.sweep(TASK, CONFIG, sp.Grid(**GRID), block_size=4, kernel="fused", devices=one_device, progress=False)


@pytest.mark.slow
@pytest.mark.trained
def test_sweeps_of_both_kernels_learn_the_same(fused, one_device):
    """Weights, snapshots and record to rounding; steps of divergence, and where numbers are missing, exactly."""
    plain = sp.sweep(TASK, CONFIG, sp.Grid(**GRID), block_size=4, devices=one_device, progress=False)
    assert fused.attrs["kernel"] == "fused" and "kernel" not in plain.attrs
    assert set(fused.dataset) == set(plain.dataset)
    steps = fused["diverged_step"].sel(learning_rate=2e3)
    assert np.array_equal(fused["diverged_step"], plain["diverged_step"]) and steps.min() >= 1
    assert np.all(fused["diverged_step"].sel(learning_rate=0.01) == -1)
    healthy = {
        name: (fused[name].sel(learning_rate=0.01), plain[name].sel(learning_rate=0.01)) for name in plain.dataset
    }
    for own, expected in healthy.values():
        assert_allclose(own, expected, **TOLERANCE)
    for name in plain.dataset:  # a model that diverges is far away, so rounding is larger there
        assert_allclose(fused[name], plain[name], rtol=1e-4, atol=1e-5)
    assert np.isnan(fused["loss_history"].sel(learning_rate=2e3)).all()


@pytest.mark.optimized
def test_a_cell_alone_has_the_bytes_it_has_in_any_sweep_of_the_kernel(fused, one_device):
    """Beside others and beside copies of itself, whether it diverges or one of the others does."""
    for learning_rate in GRID["learning_rate"]:
        task = dataclasses.replace(TASK, feature_probability=0.3)
        config = dataclasses.replace(CONFIG, learning_rate=learning_rate)
        options = {"block_size": 4, "kernel": "fused", "progress": False}
        alone = sp.sweep(task, config, sp.Grid(seed=[5]), devices=one_device, **options)
        cell = fused.sel(feature_probability=0.3, learning_rate=learning_rate, seed=5)
        for name in alone.dataset:
            assert alone.sel(seed=5)[name].values.tobytes() == cell[name].values.tobytes(), name


@pytest.mark.slow
@pytest.mark.optimized
def test_devices_and_calls_change_no_bit_of_the_kernel(fused):
    options = {"block_size": 4, "kernel": "fused", "progress": False}
    several = sp.sweep(TASK, CONFIG, sp.Grid(**GRID), devices=jax.devices()[:2], blocks_per_device=2, **options)
    for name in fused.dataset:
        assert several[name].values.tobytes() == fused[name].values.tobytes(), name


TINY = {"steps": 4, "batch_size": 16, "history": 2, "evaluation_samples": 16}


@pytest.mark.slow
def test_a_store_keeps_its_kernel(tmp_path, one_device, monkeypatch):
    """It says which, is gone on with by none but it, and is taken finished by whoever asks for no other."""
    config, grid = sp.TrainConfig(**TINY), sp.Grid(seed=[0, 1])
    options = {"block_size": 1, "devices": one_device, "progress": False}

    def go(store, kernel, **more):
        return sp.sweep(TASK, config, grid, tmp_path / store, **options, kernel=kernel, **more)

    result = go("whole.zarr", "fused")
    assert result.attrs["kernel"] == "fused"
    assert sp.open(tmp_path / "whole.zarr").attrs["kernel"] == "fused"
    assert go("whole.zarr", "auto").dataset.identical(result.dataset)
    with pytest.raises(sp.ConfigError, match="kernel is fused there and plain here"):
        go("whole.zarr", "plain")

    part = go("part.zarr", "fused", worker=(0, 2))
    assert part.missing.sum() in (0, 1)
    for number in (tmp_path / "part.zarr" / "status").glob("c.*"):
        number.unlink()  # nothing is committed
    with pytest.raises(sp.ConfigError, match="kernel is fused there and plain here"):
        go("part.zarr", "auto")
    digest = resumable(tmp_path / "part.zarr").attributes["digest"]
    train_part(
        tmp_path / "part.zarr", digest, [0], {"devices": one_device}, 1, name="elsewhere"
    )  # which is told no kernel
    monkeypatch.setattr(sp.engines.Local, "train", None)  # nothing is left to do
    assert go("part.zarr", "fused").dataset.identical(result.dataset)
    monkeypatch.undo()

    plain = go("plain.zarr", "auto")
    assert "kernel" not in json.loads((tmp_path / "plain.zarr" / "zarr.json").read_text())["attributes"]
    with pytest.raises(sp.ConfigError, match="kernel is plain there and fused here"):
        go("plain.zarr", "fused")
    assert_allclose(result["W"], plain["W"], **TOLERANCE)


@pytest.mark.parametrize(
    ("task", "config", "reason"),
    [
        (dataclasses.replace(TASK, activation="gelu"), {}, "activation must be relu or identity"),
        (dataclasses.replace(TASK, loss_exponent=4), {}, "loss_exponent must be 2"),
        (dataclasses.replace(TASK, correlated_sets=((0, 1),)), {}, "correlated_sets must be ()"),
        (dataclasses.replace(TASK, magnitude="uniform", objective="expected"), {}, 'objective must be "sampled"'),
        (dataclasses.replace(TASK, n_features=20, n_hidden=6, importance=1.0), {}, "must be at most 120 .* got 140"),
        (sp.tasks.AdversarialToy(n_features=3, n_hidden=2), {}, "for a AdversarialToy|for AdversarialToy"),
        (TASK, {"optimizer": "muon"}, "optimizer must be one of adamw, adam, sgd, rmsprop, lion .* got 'muon'"),
    ],
    ids=lambda value: "",
)
def test_what_the_kernel_cannot_train_is_refused_by_name(task, config, reason):
    where = {"platform": "cpu", "block_size": 2}
    assert lay_out(task, sp.TrainConfig(**config), sp.Grid(seed=[0]), **where).kernel == "plain"
    with pytest.raises(sp.ConfigError, match=reason) as error:
        lay_out(task, sp.TrainConfig(**config), sp.Grid(seed=[0]), kernel="fused", **where)
    assert "kernel" in str(error.value) and str(error.value).count(". ") == 0


def test_devices_and_generators_without_the_kernel_are_refused(monkeypatch):
    def go(**where):
        return lay_out(TASK, sp.TrainConfig(), sp.Grid(seed=[0]), kernel="fused", **{"block_size": 2, **where})

    with pytest.raises(sp.ConfigError, match='kernel must be "plain" on a TPU'):
        go(platform="tpu")
    with pytest.raises(sp.ConfigError, match="kernel must be one of auto, plain, fused, tiled, got 'fast'"):
        lay_out(TASK, sp.TrainConfig(), sp.Grid(seed=[0]), kernel="fast")
    assert go(platform="cpu").kernel == "fused"
    with jax.threefry_partitionable(False), pytest.raises(sp.ConfigError, match="partitionable"):
        go()
    with jax.enable_x64(True), pytest.raises(sp.ConfigError, match="double precision"):
        go()


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["superpos", *arguments])
    main()


@pytest.mark.slow
def test_files_and_commands_name_the_kernel(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(
        '[task]\nn_features = 2\nn_hidden = 1\nmagnitude = "constant"\n'
        f"[train]\n{chr(10).join(f'{k} = {v}' for k, v in TINY.items())}\n"
        '[grid]\nseed = [0, 1]\n[sweep]\nblock_size = 1\nkernel = "fused"\n'
    )
    command(monkeypatch, "sweep", "mine.toml")
    assert sp.open("runs/mine.zarr").attrs["kernel"] == "fused"
    command(monkeypatch, "sweep", "mine.toml", "--kernel", "plain", "--dry-run", "--out", "other.zarr")
    assert "kernel            plain" in capsys.readouterr().out
