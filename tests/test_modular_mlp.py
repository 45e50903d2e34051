"""One hidden layer that adds modulo p: the written solution, a NumPy twin, and readings of known weights."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.special import erf, logsumexp

import superpos as sp
from superpos.analysis.fourier import key_frequencies, neuron_frequencies, trig_logits
from superpos.experiments.modular_mlp import start_readings, waves_of, written_accuracy
from superpos.experiments.over_seeds import mean_and_half_width
from superpos.models import PairMLP
from superpos.theory import fourier_mlp

TASK = sp.tasks.ModularMLP(p=7, n_hidden=12, train_fraction=0.4)
PAIRS = np.divmod(np.arange(49), 7)


@pytest.mark.parametrize(("p", "frequencies"), [(5, [1]), (7, [2, 3]), (13, [1, 4, 6])])
def test_six_written_neurons_for_a_frequency_make_the_cosine_of_the_algorithm(p, frequencies):
    A, B, W_out = fourier_mlp(p, frequencies)
    assert A.shape == B.shape == W_out.T.shape == (6 * len(frequencies), p)
    a, b = np.divmod(np.arange(p * p), p)
    logits = (A.T[a] + B.T[b]) ** 2 @ W_out.T
    np.testing.assert_allclose(logits, 3 * trig_logits(p, frequencies), atol=1e-12)
    assert (logits.argmax(axis=1) == (a + b) % p).all()
    without = (A.T[a] + B.T[b])[:, 1:] ** 2 @ W_out[:, 1:].T  # each of the six is needed
    assert np.abs(without - 3 * trig_logits(p, frequencies)).max() > 0.1


def test_a_frequency_that_divides_p_is_not_enough():
    A, B, W_out = fourier_mlp(9, [3])
    a, b = np.divmod(np.arange(81), 9)
    right = ((A.T[a] + B.T[b]) ** 2 @ W_out.T).argmax(axis=1) == (a + b) % 9
    assert right.mean() < 0.5
    assert written_accuracy(11) == (1.0, pytest.approx(0, abs=1e-5))


@pytest.mark.parametrize("activation", ["square", "relu", "gelu"])
def test_the_task_is_what_numpy_makes_of_its_weights(activation):
    task = replace(TASK, hidden_activation=activation, init_scale=0.7).broadcast().precompute()
    model = task.init(jax.random.key(1))
    A, B, W_out = (np.asarray(getattr(model, name), np.float64) for name in ("A", "B", "W_out"))
    pre = A.T[PAIRS[0]] + B.T[PAIRS[1]]
    tanh = 0.5 * pre * (1 + np.tanh((2 / np.pi) ** 0.5 * (pre + 0.044715 * pre**3)))  # jax.nn.gelu by default
    post = {"square": pre**2, "relu": np.maximum(pre, 0), "gelu": tanh}[activation]
    assert activation != "gelu" or np.abs(tanh - 0.5 * pre * (1 + erf(pre / 2**0.5))).max() < 2e-3
    logits = post @ W_out.T
    np.testing.assert_allclose(task.logits(model), logits, atol=3e-6)
    np.testing.assert_allclose(model(*PAIRS), logits, atol=3e-6)
    np.testing.assert_allclose(task.neurons(model), post, atol=3e-6)
    error = logsumexp(logits, axis=1) - logits[np.arange(49), sum(PAIRS) % 7]
    train = np.asarray(task.training_pairs())
    loss, metrics = task.loss(model, jax.random.key(0), 1)
    np.testing.assert_allclose([loss, metrics["test_loss"]], [error[train].mean(), error[~train].mean()], rtol=1e-5)
    assert np.std(pre) == pytest.approx(0.7, rel=0.25)


def test_readings_of_the_written_solution():
    model = PairMLP(*fourier_mlp(11, [2, 5]))
    assert key_frequencies(model.W_out[...].T).tolist() == [2, 5]
    frequency, explained = neuron_frequencies(jax.jit(sp.tasks.ModularMLP(p=11, n_hidden=12).neurons)(model))
    assert set(frequency) <= {2, 5, 4, 1} and explained.min() > 0.3  # a square turns with twice its frequency, too
    a, b, c = waves_of(model)
    at = np.arange(12), np.repeat([1, 4], 6)
    np.testing.assert_allclose(np.exp(1j * (np.angle(c) - np.angle(a) - np.angle(b)))[at], 1, atol=1e-5)
    for readings in start_readings(model).values():
        assert (
            readings.shape == (5,)
            and np.allclose(readings[[1, 4]], 6 * 5.5**3)
            and np.allclose(readings[[0, 2, 3]], 0, atol=1e-3)
        )
    turned = PairMLP(model.A[...], model.B[...], -model.W_out[...])  # phases that do not fit
    assert np.allclose(start_readings(turned)["aligned"], 0, atol=1e-3)


def test_intervals_are_those_of_students_t():
    assert mean_and_half_width(np.array([1.0, 3.0])) == (2.0, pytest.approx(12.706, abs=1e-3))


@pytest.mark.slow
def test_a_transformer_with_gelu_is_the_transformer():
    task = sp.tasks.ModularAddition(p=7, d_model=8, n_heads=2, d_mlp=16, hidden_activation="gelu")
    model = task.init(jax.random.key(3))
    assert model.activation == "gelu"
    tokens = np.array([[a, b, 7] for a, b in zip(*PAIRS, strict=True)])
    slow = jax.jit(jax.vmap(lambda t: model(t, last_only=True)))(tokens)
    np.testing.assert_allclose(jax.jit(task.logits)(model), slow[:, :7], atol=3e-6)


@pytest.mark.slow
def test_a_cell_alone_has_the_same_bytes():
    config = sp.TrainConfig(steps=5, history=5)
    grid = sp.Grid(weight_decay=[0.1, 1.0], train_fraction=[0.3, 0.4], seed=range(2))
    several = sp.sweep(TASK, config, grid, block_size=2, progress=False)
    one = sp.Grid(weight_decay=[1.0], train_fraction=[0.4], seed=[1])
    alone = sp.sweep(TASK, config, one, block_size=2, progress=False)
    for name in ("A", "B", "W_out", "loss"):
        assert (
            alone[name].values.tobytes()
            == several.sel(weight_decay=[1.0], train_fraction=[0.4], seed=[1])[name].values.tobytes()
        )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"p": 1}, "p must"),
        ({"n_hidden": 0}, "n_hidden must"),
        ({"hidden_activation": "tanh"}, "hidden_activation must be one of square, relu, gelu"),
        ({"operation": "division"}, "operation must"),
        ({"train_fraction": 1.0}, "train_fraction must"),
        ({"init_scale": -1.0}, "init_scale must"),
        ({"gradient_pairs": 50}, "gradient_pairs must"),
    ],
)
def test_wrong_settings_are_refused(wrong, sentence):
    with pytest.raises(sp.ConfigError, match=sentence):
        sp.train(replace(TASK, **wrong), sp.TrainConfig(steps=1))


def test_wrong_weights_and_frequencies_are_refused():
    with pytest.raises(sp.ConfigError, match="hidden_activation must be one of"):
        PairMLP(np.ones((2, 3)), np.ones((2, 3)), np.ones((3, 2)), hidden_activation="cube")
    with pytest.raises(sp.ConfigError, match="W_out must"):
        PairMLP(np.ones((2, 3)), np.ones((2, 3)), np.ones((3, 4)))
    for frequencies in ([0], [4], [], [1.5]):
        with pytest.raises(sp.ConfigError, match="frequencies must be whole numbers from 1 to"):
            fourier_mlp(7, frequencies)
    with pytest.raises(sp.ConfigError, match="p must"):
        fourier_mlp(2, [1])
    with pytest.raises(sp.ConfigError, match="hidden_activation must be one of relu, gelu"):
        sp.train(sp.tasks.ModularAddition(p=7, hidden_activation="tanh"), sp.TrainConfig(steps=1))
