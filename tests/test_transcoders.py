"""Transcoders: against the published equations in NumPy, and what they say of layers whose circuit is known."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.analysis import (
    Circuit,
    latent_pairs,
    neuron_counts,
    response_slopes,
    single_feature_slopes,
    slope_agreement,
    transcoder_circuit,
)
from superpos.models import Transcoder
from superpos.tasks import revival
from superpos.tasks.base import materialize

N, H, L, BATCH = 4, 5, 6, 40
rng = np.random.default_rng(3)
W1, W2, b = rng.standard_normal((H, N)), rng.standard_normal((N, H)), rng.standard_normal(N)
COMPUTATION = sp.tasks.Computation(n_features=N, n_hidden=H, feature_probability=0.6, tied=False)
LAYER = sp.models.ComputationModel(W1, W2, b)
TASK = sp.tasks.Transcoder.of_layer(
    COMPUTATION, LAYER, n_latents=L, skip=True, decoder_bias=True, k=2.0, sparsity_coefficient=0.3, dead_below=0.3
)
SHORT = sp.TrainConfig(steps=6, batch_size=BATCH, evaluation_samples=8, history=2)
NAMES = ("W_dec", "W_enc", "b_enc", "b_dec", "W_skip")
# |x| of three features with two neurons each, and what reads it exactly: W_dec has columns of length 1.
ABSOLUTE = np.concatenate([np.eye(3), -np.eye(3)])


@pytest.fixture
def eager(unchecked):
    with jax.disable_jit(), jax.enable_x64(True), jax.default_prng_impl("unsafe_rbg"):
        yield


def key(seed):
    return jax.random.key(seed, impl="unsafe_rbg")


def model_of(task, rng):
    """Random weights with columns of length 1."""
    W_dec = rng.standard_normal((N, L))
    arrays = [W_dec / np.linalg.norm(W_dec, axis=0), rng.standard_normal((L, N)), rng.standard_normal(L)]
    arrays = [jnp.asarray(x) for x in (*arrays, rng.standard_normal(N))]
    skip = jnp.asarray(rng.standard_normal((N, N))) if task.skip else None
    if task.architecture == "topk":
        arrays[2] = None
    return Transcoder(*arrays, W_skip=skip, architecture=task.architecture, k=task.k, unit_columns=True)


def twin(p, x, architecture, k):
    """What a transcoder makes of inputs x: nothing is subtracted from them, and the skip is added."""
    z = np.maximum(p["W_enc"] @ x + p.get("b_enc", np.zeros(L))[:, None], 0)
    if architecture == "topk":
        z = z * (z >= -np.sort(-z, axis=0)[int(k) - 1])
    if architecture == "batch_topk":
        z = z * (z >= np.sort(z, axis=None)[-int(k * x.shape[1])])
    columns = p["W_dec"] / np.linalg.norm(p["W_dec"], axis=0)
    return z, columns @ z + p["b_dec"][:, None] + p.get("W_skip", np.zeros((N, N))) @ x


def squared(r):
    return np.mean(np.sum(r**2, axis=0))


@pytest.mark.parametrize(
    ("architecture", "skip"), [("relu", True), ("relu", False), ("batch_topk", True), ("topk", True)]
)
def test_training_loss_and_gradient_are_those_of_the_published_equations(architecture, skip, rng, eager):
    task = dataclasses.replace(TASK, architecture=architecture, skip=skip)
    task.check()
    model, prepared = model_of(task, rng), materialize(task)
    p = {name: np.asarray(leaf[...]) for name in NAMES if (leaf := getattr(model, name)) is not None}
    x, h = (np.asarray(array) for array in prepared.sample(key(0), BATCH))
    assert_array_equal(h, x)
    y = W2 @ np.maximum(W1 @ x, 0)  # the layer, in plain NumPy
    assert_allclose(prepared.target(jnp.asarray(h)), y, rtol=1e-5, atol=1e-6)

    def loss_of(p):
        z, made = twin(p, x, architecture, task.k)
        return squared(y - made) + (0.3 * np.mean(z.sum(axis=0)) if architecture == "relu" else 0)

    (loss, (metrics, seen)), gradient = jax.value_and_grad(prepared.training_loss, has_aux=True)(model, key(0), BATCH)
    z, made = twin(p, x, architecture, task.k)
    assert_allclose(
        [loss, metrics["error"], metrics["l0"]], [loss_of(p), squared(y - made), np.mean((z > 0).sum(0))], rtol=1e-6
    )
    assert_array_equal(seen.inputs.rows, h)
    if architecture != "batch_topk":  # which has a threshold after training
        assert_allclose(model(jnp.asarray(x)), made, rtol=1e-6, atol=1e-7)
        assert_allclose(prepared.loss(model, key(0), BATCH)[1]["error"], squared(y - made), rtol=1e-6)
    direction = {name: rng.standard_normal(value.shape) for name, value in p.items()}

    def along(t):
        return loss_of({name: value + t * direction[name] for name, value in p.items()})

    slope = sum(np.sum(np.asarray(getattr(gradient, name)[...]) * d) for name, d in direction.items())
    assert_allclose(slope, (along(1e-6) - along(-1e-6)) / 2e-6, rtol=1e-5)


@pytest.mark.slow
def test_the_layer_is_what_the_model_computes_before_its_last_steps(rng):
    x = rng.standard_normal((N, 9)).astype(np.float32)
    y = np.asarray(materialize(TASK).target(jnp.asarray(x)))
    assert_allclose(LAYER(jnp.asarray(x)), np.maximum(y + b[:, None], 0), rtol=1e-5, atol=1e-5)
    stream = sp.tasks.ResidualMLP(n_features=N, n_hidden=2, n_residual=3)
    trained = stream.broadcast().init(jax.random.key(0))
    task = materialize(sp.tasks.Transcoder.of_layer(stream, trained, n_latents=3))
    W_E = np.asarray(trained.embedding())
    h = np.asarray(task.sample(jax.random.key(1), 5)[1])
    x = np.asarray(task.sample(jax.random.key(1), 5)[0])
    assert_allclose(h, W_E @ x, rtol=1e-5, atol=1e-6)
    assert_allclose(
        trained(jnp.asarray(x)), W_E.T @ (h + np.asarray(task.target(jnp.asarray(h)))), rtol=1e-4, atol=1e-5
    )
    tied = sp.models.ComputationModel(W1)
    several = sp.tasks.Transcoder.of_layer(
        dataclasses.replace(COMPUTATION, tied=True), [LAYER, tied], n_latents=3, source=1
    )
    several.check()
    assert "source" not in several.unread() and "source" in TASK.unread()
    assert_allclose(materialize(several).W_out, W1.T, rtol=1e-6)


@pytest.mark.slow
def test_dead_latents_are_pointed_at_inputs_and_write_residuals(eager):
    model = model_of(TASK, np.random.default_rng(0))
    model.frequency[...] = jnp.ones(L).at[2].set(0)
    residuals, rows = np.eye(N, 3), 2 * np.eye(N, 3, k=-1)
    inputs = revival.Inputs(jnp.asarray(residuals), jnp.ones(3), jnp.asarray(rows))
    after: Any = revival.resample(model, (), inputs, key(0), dead_below=0.5, scale=0.5, initial_threshold=0.1)[0]
    column, row = np.asarray(after.W_dec[...])[:, 2], np.asarray(after.W_enc[...])[2]
    j = int(np.argmax(column))
    assert_allclose(column, residuals[:, j])
    assert_allclose(row / np.linalg.norm(row), rows[:, j] / 2)
    assert_array_equal(after.W_skip[...], model.W_skip[...])


# --- readings --------------------------------------------------------------------------------------------------------


def exact(**more):
    """The transcoder of |x| with a latent for every side of every feature."""
    model = Transcoder(ABSOLUTE.T.__abs__(), ABSOLUTE, **more)
    model.frequency[...] = jnp.ones(6)
    return model


@pytest.mark.slow
def test_the_transcoder_of_absolute_values_is_their_circuit():
    slopes = single_feature_slopes(ABSOLUTE, np.abs(ABSOLUTE.T))
    assert_allclose(slopes, np.stack([np.eye(3)] * 2))
    read = transcoder_circuit(exact(), np.eye(3))
    assert_allclose(read.W1, ABSOLUTE)
    assert neuron_counts(read) == (6, 0, 0) and latent_pairs(read).paired.all()
    assert_allclose(response_slopes(exact(), np.eye(3)), slopes, atol=1e-6)
    assert_allclose(slope_agreement(response_slopes(exact(), np.eye(3)), slopes), 1, rtol=1e-6)
    # |x| = 2 ReLU(x) − x: with a skip one latent is enough, and the circuit alone does not say so.
    skip = Transcoder(np.eye(3), 2 * np.eye(3), W_skip=-np.eye(3))
    skip.frequency[...] = jnp.ones(3)
    assert_allclose(response_slopes(skip, np.eye(3)), slopes, atol=1e-6)
    assert latent_pairs(transcoder_circuit(skip, np.eye(3))).positive.tolist() == [1, 1, 1]
    assert not latent_pairs(transcoder_circuit(skip, np.eye(3))).paired.any()


def test_readings_follow_a_rotation_of_the_stream_and_leave_out_what_is_dead():
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    turned = Transcoder(turn @ np.abs(ABSOLUTE.T), ABSOLUTE @ turn.T)
    turned.frequency[...] = jnp.ones(6).at[0].set(0)
    pairs = latent_pairs(transcoder_circuit(turned, turn))
    assert pairs.positive.tolist() == [0, 1, 1] and pairs.negative.tolist() == [1, 1, 1]
    assert_allclose(response_slopes(turned, turn), np.stack([np.eye(3)] * 2), atol=1e-6)


def test_agreement_is_a_cosine():
    E = rng.standard_normal((2, 3, 3))
    assert_allclose([slope_agreement(E, 3 * E), slope_agreement(E, -E)], [1, -1])
    assert slope_agreement(np.stack([np.eye(3)] * 2), np.stack([1 - np.eye(3)] * 2)) == 0
    assert np.isnan(slope_agreement(E, 0 * E))
    two_read_one = Circuit(np.eye(3)[[0, 0, 1]], np.eye(3)[:, [0, 0, 2]], np.zeros(3))
    assert latent_pairs(two_read_one).positive.tolist() == [2, 0, 0]  # the third writes to another feature


# --- what is refused -------------------------------------------------------------------------------------------------

BAD = [
    ({"tied": True}, "tied must be false for transcoders"),
    ({"skip": 1}, "skip must be true or false"),
    ({"output_bias": np.zeros(N)}, "output_bias must be None for transcoders"),
    ({"directions": None}, "directions must be given, (n_hidden, n_features)"),
    ({"directions": np.ones((2, N, N))}, "directions must be given"),
    ({"directions": np.ones((N, 3))}, "directions must have shape (n_hidden, n_features) = (4, 4)"),
    ({"W_in": None}, "W_in must be given: the weights of the layer, of shape (5, 4)"),
    ({"W_in": W1.T}, "W_in must have shape (5, 4)"),
    ({"W_in": W1 * np.nan}, "W_in must be finite"),
    ({"W_out": np.stack([W2, W2])}, "W_out must have shape (4, 5), or several such, as many as W_in"),
    ({"W_out": "all"}, "W_out must be a number"),
    ({"n_neurons": 0}, "n_neurons must be at least 1"),
    ({"n_neurons": 2.5}, "n_neurons must be a whole number"),
    ({"source": 1}, "source must be below 1, the number of layers"),
]


@pytest.mark.parametrize(("settings", "words"), BAD, ids=[f"{k}-{next(iter(s[0]))}" for k, s in enumerate(BAD)])
def test_wrong_settings_are_refused_by_name(settings, words, unchecked):
    with pytest.raises(sp.ConfigError) as error:
        sp.train(dataclasses.replace(TASK, **settings), SHORT)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_wrong_layers_and_readings_are_refused_by_name(unchecked):
    of_layer = sp.tasks.Transcoder.of_layer
    linear = dataclasses.replace(COMPUTATION, hidden_activation="identity")
    calls = {
        "task must be of type Computation or ResidualMLP": lambda: of_layer(
            sp.tasks.Toy(n_features=N, n_hidden=H), LAYER
        ),
        "task must have a hidden layer of ReLU": lambda: of_layer(linear, LAYER),
        "models: a model must be of type ComputationModel": lambda: of_layer(COMPUTATION, W1),
        "models must be one model, or a list of them": lambda: of_layer(COMPUTATION, []),
        "models: a model must have weights of shape (5, 4), got (2, 4)": lambda: of_layer(
            COMPUTATION, sp.models.ComputationModel(np.ones((2, N)))
        ),
        "W_enc must be given": lambda: Transcoder(W2, None),
        "W_skip must have shape": lambda: Transcoder(W2, W1, W_skip=np.ones((2, 2))),
        "directions must have 3 rows": lambda: transcoder_circuit(exact(), np.eye(2)),
        "model must be of type Transcoder": lambda: response_slopes(LAYER, np.eye(3)),
        "others must have shape": lambda: slope_agreement(np.ones((2, 3, 3)), np.ones((2, 2, 2))),
        "task must be a SparseAutoencoder": lambda: sp.analysis.score_autoencoder(TASK, exact()),
    }
    for sentence, call in calls.items():
        with pytest.raises(sp.ConfigError) as error:
            call()
        assert sentence in str(error.value), sentence


# --- sweeps ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.optimized
def test_a_cell_alone_has_the_bytes_it_has_in_a_sweep_and_a_result_holds_transcoders(tmp_path, one_device):
    task = sp.tasks.Transcoder.of_layer(
        COMPUTATION, [LAYER, sp.models.ComputationModel(W1)], n_latents=L, skip=True, resample_every=4, dead_below=0.9
    )
    config = sp.TrainConfig(steps=20, batch_size=33, evaluation_samples=33, history=4)
    options = {"block_size": 4, "blocks_per_device": 2, "devices": one_device, "progress": False}
    alone = sp.sweep(dataclasses.replace(task, source=1), config, sp.Grid(seed=[7]), **options)
    many = sp.sweep(task, config, sp.Grid(source=[0, 1], seed=[3, 7]), **options)
    for name in ("W_dec", "W_enc", "b_enc", "W_skip", "frequency", "loss", "loss_history"):
        assert many.sel(source=1, seed=7)[name].values.tobytes() == alone.sel(seed=7)[name].values.tobytes(), name
    many.save(tmp_path / "r.zarr")
    again = sp.open(tmp_path / "r.zarr")
    assert type(again.model(source=1, seed=7)) is Transcoder
    assert again["W_skip"].dims == ("source", "seed", "hidden", "read")
    with pytest.raises(sp.ConfigError, match="needs sparse autoencoders; this result holds transcoder models"):
        again.sae_scores()


@pytest.mark.long
@pytest.mark.trained
def test_training_finds_a_pair_of_latents_for_every_feature_of_absolute_values(one_device):
    task = sp.tasks.Computation(
        n_features=3, n_hidden=6, target="absolute", tied=False, magnitude="signed_uniform", feature_probability=0.1
    )
    layer = sp.models.ComputationModel(ABSOLUTE, np.abs(ABSOLUTE.T))
    config = sp.TrainConfig(steps=1_000, batch_size=64, evaluation_samples=64, learning_rate=0.01)
    read = sp.tasks.Transcoder.of_layer(task, layer, n_latents=6, architecture="batch_topk", k=0.3)
    result = sp.sweep(read, config, sp.Grid(seed=range(8)), devices=one_device, progress=False)
    slopes = single_feature_slopes(ABSOLUTE, np.abs(ABSOLUTE.T))
    best = result.best("seed").model()  # others may leave one side of a feature without a latent
    assert latent_pairs(transcoder_circuit(best, np.eye(3))).paired.all()
    assert slope_agreement(response_slopes(best, np.eye(3)), slopes) > 0.99
