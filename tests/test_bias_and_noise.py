"""Decoders whose biases start anywhere, noise in the hidden layer of one feature at a time, and the figure of both."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.analysis import neuron_contributions, served_features
from superpos.data.hidden_noise import NOISES, unit_noise
from superpos.errors import ConfigError
from superpos.experiments import Claims
from superpos.experiments import bias_and_noise as experiment
from superpos.models import DecoderMLP

rng = np.random.default_rng(11)
TASK = sp.tasks.FeatureDecoder(n_features=5, n_hidden=4, n_inputs=3, feature_probability=0.4, init_hidden_bias=-0.25)
NOISY = sp.tasks.OneHotToy(n_features=4, n_hidden=6, hidden_noise=0.3)
W_IN, B_IN, W_OUT = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=(5, 4))
MODEL = DecoderMLP(W_IN, B_IN, W_OUT, projection_seed=2)


def test_the_decoder_is_that_of_numpy():
    P, x = np.asarray(MODEL.projection(), float), rng.random((5, 7), np.float32)
    assert_allclose(np.linalg.norm(P, axis=0), 1, rtol=1e-6)
    outputs = W_OUT @ np.maximum(W_IN @ P @ x + B_IN[:, None], 0)
    assert_allclose(MODEL(jnp.asarray(x)), outputs, rtol=1e-4, atol=1e-5)
    assert_allclose(MODEL(jnp.asarray(x[:, 0])), outputs[:, 0], rtol=1e-4, atol=1e-5)
    assert not np.array_equal(P, DecoderMLP(W_IN, B_IN, W_OUT).projection())


def test_the_loss_is_the_weighted_error_of_a_batch():
    task, key = replace(TASK, importance=np.arange(5.0)).broadcast(), jax.random.key(4)
    x = np.asarray(task.features.sample(key, 32))
    wanted = np.mean(np.arange(5)[:, None] * (np.asarray(MODEL(jnp.asarray(x))) - x) ** 2)
    assert_allclose(task.loss(MODEL, key, 32)[0], wanted, rtol=1e-5)


def test_biases_start_where_they_are_told_and_weights_do_not_know():
    models = [replace(TASK, init_hidden_bias=bias).init(jax.random.key(1)) for bias in (0.0, -0.25)]
    assert np.all(np.asarray(models[1].b_in[...]) == -0.25) and not np.any(np.asarray(models[0].b_in[...]))
    assert np.array_equal(models[0].W_in[...], models[1].W_in[...])
    wide = replace(TASK, n_features=200, n_hidden=200, n_inputs=50, init_scale=2.0).init(jax.random.key(0))
    for W, inputs in ((wide.W_in, 50), (wide.W_out, 200)):
        assert abs(np.mean(np.asarray(W[...]) ** 2) * inputs / 4 - 1) < 4 * (2 / W[...].size) ** 0.5


def test_what_a_neuron_adds_is_what_a_feature_changes():
    P = np.asarray(MODEL.projection(), float)
    for i in range(5):
        change = np.maximum(W_IN @ P[:, i] + B_IN, 0) - np.maximum(B_IN, 0)
        assert_allclose(neuron_contributions(MODEL)[:, i], W_OUT[i] * change, rtol=1e-4, atol=1e-6)
    assert served_features(MODEL).shape == (4, 5)


@pytest.mark.parametrize(("name", "kurtosis"), [("normal", 0), ("bipolar", -2), ("laplace", 3)])
def test_noise_has_variance_one_and_the_kurtosis_of_its_name(name, kurtosis):
    """Four standard errors: of a mean 1/√N, of squares √(κ + 2)/√N; of fourth powers by their own spread."""
    x = np.asarray(unit_noise(jax.random.key(0), (400, 500), name), float)
    for values, mean in ((x, 0), (x**2, 1), (x**4, 3 + kurtosis)):
        assert abs(values.mean() - mean) <= 4 * values.std() / x.size**0.5 + 1e-12


def test_the_loss_under_bipolar_noise_is_the_mean_over_all_signs():
    """Twin: one feature's 2⁶ signs by themselves; the mean over features and inputs."""
    W = rng.normal(size=(6, 4)) * 0.5
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1)
    errors = [
        np.mean((np.maximum(W.T @ (W[:, [i]] + 0.3 * signs), 0) - np.eye(4)[:, [i]]) ** 2) for i in range(4)
    ]  # fmt: skip
    task, model = replace(NOISY, noise_distribution="bipolar"), sp.ToyModel(W)
    losses = np.asarray(jax.vmap(lambda key: task.loss(model, key, 1)[0])(jax.random.split(jax.random.key(0), 4_000)))
    assert abs(losses.mean() - np.mean(errors)) < 4 * losses.std() / 4_000**0.5
    quiet = float(task.expected_loss(model))
    assert_allclose(quiet, np.mean((np.maximum(W.T @ W, 0) - np.eye(4)) ** 2), rtol=1e-5)
    assert abs(losses.mean() - quiet) > 4 * losses.std() / 4_000**0.5


@pytest.mark.slow
def test_normal_noise_is_the_same_in_every_basis_and_bipolar_noise_is_not():
    """A feature along an axis beside the same turned by 45°, and its opposite: ReLU sees the tails of its noise."""
    angle = np.pi / 4
    Q = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    W = np.array([[1.0, -0.3], [0.0, 0.0]])
    keys = jax.random.split(jax.random.key(1), 40_000)

    def mean(name, W):
        task, model = replace(NOISY, n_features=2, n_hidden=2, noise_distribution=name), sp.ToyModel(W)
        losses = np.asarray(jax.vmap(lambda key: task.loss(model, key, 1)[0])(keys))
        return losses.mean(), losses.std() / len(keys) ** 0.5

    for name, differs in (("normal", False), ("bipolar", True)):
        (along, error), (turned, other) = mean(name, W), mean(name, Q @ W)
        assert (abs(along - turned) > 5 * np.hypot(error, other)) == differs


def test_noise_of_nothing_is_no_noise():
    model, key = NOISY.init(jax.random.key(0)), jax.random.key(1)
    losses = [replace(NOISY, hidden_noise=noise, hidden_l1=0.1).loss(model, key, 1)[0] for noise in (None, 0.0)]
    assert_allclose(*losses, rtol=1e-6)
    priced, free = (replace(NOISY, hidden_l1=price).loss(model, key, 1)[0] for price in (0.1, None))
    assert_allclose(
        priced - free, 0.1 * np.abs(np.asarray(model.W[...])).sum() / 16, rtol=1e-4
    )  # no price on the noise
    assert "noise_distribution" in replace(NOISY, hidden_noise=None).unread()
    assert "noise_distribution" not in NOISY.unread()


def test_what_is_measured_is_that_of_each_model():
    W = np.zeros((3, 4))
    W[0, :2], W[1, 2], W[2, 3] = (0.9, -0.4), -1.0, 1.0
    row = experiment._of_noisy(sp.ToyModel(W), None)
    assert [int(row[name]) for name in ("whole", "same", "opposite")] == [0, 0, 1]
    assert_allclose(row["spread"], 1, rtol=1e-6)
    one = DecoderMLP(np.linalg.pinv(np.asarray(MODEL.projection(), float))[:4], np.zeros(4), np.eye(5)[:, :4])
    row = experiment._of_decoder(one, None)
    assert int(row["monosemantic"]) <= int(row["used"]) <= 4 and float(row["bias"]) == 0
    assert abs(experiment.random_spread(16) - 6.45) < 0.05


def _failed(decoders, table, noisy) -> list[str]:
    claims = Claims("")
    experiment.evaluate(decoders, table, noisy, claims)
    return [claim.statement for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    biases, jitter = [0.5, 0.0, -0.25, -1.0], 0.01 * rng.normal(size=8)
    over = {"init_hidden_bias": biases, "seed": range(8)}

    def by_bias(*means):
        return tuple(over), np.array(means)[:, None] + jitter

    decoders = xr.Dataset({"loss": by_bias(1.5, 1.0, 1.0, 9.0)}, over)
    table = xr.Dataset(
        {
            "used": by_bias(50.0, 50.0, 50.0, 10.0),
            "monosemantic": by_bias(5.0, 20.0, 30.0, 3.0),
            "bias": by_bias(0.2, 0.0, -0.1, -0.8) ,
        },
        over,
    )  # fmt: skip
    over = {"noise_distribution": list(experiment.NOISES), "seed": range(64)}
    chance = experiment.random_spread(experiment.N_NEURONS)
    spread = np.array([2.0, chance, 9.0])[:, None] + np.linspace(-0.5, 0.5, 64)
    ones = np.ones((3, 64))
    rows = {"spread": spread, "whole": ones, "same": 0 * ones, "opposite": ones}
    noisy = xr.Dataset({name: (tuple(over), row) for name, row in rows.items()}, over)
    assert _failed(decoders, table, noisy) == []
    assert [s[:8] for s in _failed(decoders, table.assign(monosemantic=table["used"]), noisy)] == ["biases t"]
    level = decoders.assign(loss=decoders["loss"].where(decoders["init_hidden_bias"] != -0.25, 1.3))
    assert [s[:10] for s in _failed(level, table, noisy)] == ["… and the "]
    assert [s[:17] for s in _failed(decoders, table.assign(bias=0 * table["bias"]), noisy)] == ["… and the biases "]
    near = decoders.assign(loss=decoders["loss"].clip(max=1.5))
    assert [s[:7] for s in _failed(near, table, noisy)] == ["biases "]
    normal = xr.zeros_like(noisy["spread"]) + noisy["spread"].sel(noise_distribution="normal", drop=True)
    assert [s[:7] for s in _failed(decoders, table, noisy.assign(spread=normal))] == ["bipolar", "Laplace"]
    assert [s[:7] for s in _failed(decoders, table, noisy.assign(spread=noisy["spread"] + 1))] == ["normal "]
    assert [s[:13] for s in _failed(decoders, table, noisy.assign(whole=0 * noisy["whole"]))] == ["bipolar noise"]
    assert [s[:13] for s in _failed(decoders, table, noisy.assign(same=noisy["opposite"]))] == ["… what shares"]


@pytest.mark.parametrize(
    ("task", "settings", "sentence"),
    [
        (TASK, {"init_hidden_bias": np.nan}, "init_hidden_bias must be finite"),
        (TASK, {"init_hidden_bias": -101.0}, "init_hidden_bias must be at least -100"),
        (TASK, {"init_hidden_bias": [0.1, 0.2]}, "init_hidden_bias must be one number"),
        (TASK, {"init_hidden_bias": "low"}, "init_hidden_bias"),
        (TASK, {"n_inputs": 0}, "n_inputs must be at least 1"),
        (TASK, {"n_inputs": 60_000, "n_hidden": 60_000}, "n_inputs × larger of n_features and n_hidden must be"),
        (TASK, {"projection_seed": -1}, "projection_seed must be"),
        (TASK, {"init_scale": -1.0}, "init_scale must be at least 0"),
        (TASK, {"magnitude": "loud"}, "magnitude must be"),
        (NOISY, {"hidden_noise": -0.1}, "hidden_noise must be at least 0"),
        (NOISY, {"hidden_noise": np.inf}, "hidden_noise must be finite"),
        (NOISY, {"hidden_noise": [0.1, 0.2]}, "hidden_noise must be one number"),
        (NOISY, {"hidden_noise": "loud"}, "hidden_noise"),
        (NOISY, {"noise_distribution": "cauchy"}, "noise_distribution must be"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(task, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replace(task, **settings).check()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((W_IN, B_IN[:3], W_OUT), "b_in"), ((W_IN, B_IN, W_OUT[:, :3]), "W_out"), ((W_IN[0], B_IN, W_OUT), "W_in")],
)
def test_wrong_weights_are_refused_by_name(arguments, name):
    with pytest.raises(ConfigError, match=name):
        DecoderMLP(*arguments)


@pytest.mark.slow
def test_a_cell_alone_has_the_bytes_it_has_in_a_sweep_of_biases():
    config = sp.TrainConfig(steps=3, batch_size=16, evaluation_samples=2_048)
    grids = [sp.Grid(init_hidden_bias=biases, seed=[1]) for biases in ([0.0, -0.5], [-0.5])]
    both, alone = (sp.sweep(TASK, config, grid, block_size=2, progress=False) for grid in grids)
    assert both["W_in"].values[1].tobytes() == alone["W_in"].values[0].tobytes()
    assert not np.array_equal(both["b_in"].values[0], both["b_in"].values[1])
    assert jnp.all(jnp.isfinite(both["loss"].values))


def test_every_kind_of_noise_has_a_name_in_the_figure():
    assert set(NOISES) == set(experiment.NOISES)
