"""GELU and SoLU in the hidden layer: the functions, which features a neuron serves, and squares that only GELU computes."""

from math import erf, sqrt

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from superpos.analysis import neuron_contributions, neuron_has_feature, served_features
from superpos.errors import ConfigError
from superpos.experiments import Claims
from superpos.experiments import smooth_neurons as experiment
from superpos.models import ComputationModel

rng = np.random.default_rng(11)
W1, W2, B = rng.normal(size=(3, 4)), rng.normal(size=(4, 3)), rng.normal(size=4)


def _twin(name: str, a: np.ndarray) -> np.ndarray:
    """In double precision, column by column."""
    if name == "gelu":
        return a * np.vectorize(lambda x: (1 + erf(x / sqrt(2))) / 2)(a)
    if name == "solu":
        return np.stack([column * np.exp(column) / np.exp(column).sum() for column in a.T], axis=1)
    return np.maximum(a, 0)


@pytest.mark.parametrize(("name", "tolerance"), [("relu", 1e-5), ("gelu", 2e-3), ("solu", 1e-5)])
def test_the_hidden_layer_is_what_its_name_says(name, tolerance):
    """GELU is the approximation by tanh, within .001 of the exact one."""
    model, x = ComputationModel(W1, W2, B, hidden_activation=name), rng.normal(size=(4, 5))
    hidden = _twin(name, W1 @ x)
    assert_allclose(model.hidden(jnp.asarray(x, jnp.float32)), hidden, atol=tolerance)
    assert_allclose(model(jnp.asarray(x, jnp.float32)), np.maximum(W2 @ hidden + B[:, None], 0), atol=8 * tolerance)
    one = jnp.asarray(x[:, 0], jnp.float32)  # a single input is a batch of one
    assert_allclose(model(one), model(one[:, None])[:, 0], atol=1e-6)


@pytest.mark.slow
def test_a_tied_relu_neuron_serves_what_it_has():
    W = rng.normal(size=(5, 8))
    model = ComputationModel(W)
    assert_allclose(neuron_contributions(model), W * np.maximum(W, 0), rtol=1e-5)
    for above in (0.1, 0.3, 0.7):
        assert np.array_equal(served_features(model, above=above), neuron_has_feature(W, above=above))


@pytest.mark.parametrize("name", ["gelu", "solu"])
def test_contributions_are_what_single_features_bring_to_their_outputs(name):
    """Twin: one feature and one neuron at a time."""
    model = ComputationModel(W1, W2, B, hidden_activation=name)
    added = np.asarray(neuron_contributions(model, -0.5))
    for i in range(4):
        hidden = _twin(name, W1 @ (-0.5 * np.eye(4)[:, [i]]))[:, 0]
        assert_allclose(added[:, i], W2[i] * hidden, atol=3e-3)


@pytest.mark.slow
def test_a_small_pair_of_gelu_neurons_is_a_square():
    """c (GELU(ax) + GELU(−ax)) → x² with c = √(π/2) / a²: the error falls with a, in a model of one feature."""
    x, errors = jnp.linspace(-1, 1, 21)[None], []
    for a in (1.0, 0.3, 0.1):
        scale = sqrt(np.pi / 2) / a**2
        model = ComputationModel([[a], [-a]], [[scale, scale]], [0.0], hidden_activation="gelu")
        errors.append(float(jnp.max(jnp.abs(model(x) - x**2))))
    assert errors[0] > 8 * errors[1] > 8 * 5 * errors[2]
    assert experiment.gelu_error(0.3) < 1e-6


def test_measures_of_one_model():
    model = ComputationModel([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    numbers = experiment._of_model(model, None)
    assert int(numbers["served"]) == 2
    assert_allclose(float(numbers["features_per_neuron"]), 1.5)
    assert_allclose(float(numbers["neurons_per_feature"]), 1.5, rtol=1e-6)


def _tables(**changes) -> tuple[xr.DataArray, xr.Dataset, xr.DataArray]:
    """Perfect models: (ReLU, GELU, SoLU) × (dense, sparse) × 3 seeds; and squares, × 2 starts."""
    over = {"hidden_activation": list(experiment.ACTIVATIONS), "feature_probability": [0.5, 0.05], "seed": range(3)}
    rows = {
        "losses": [[1, 1], [1.1, 0.8], [1.3, 1.2]], "features_per_neuron": [[1, 4], [2, 9], [3, 5]],
        "neurons_per_feature": [[1, 2], [2, 4], [3, 3]], "squares": [[1, 1], [0.1, 0.1], [0.3, 0.3]],
    } | changes  # fmt: skip
    full = {
        name: xr.DataArray(np.repeat(np.array(row, float)[..., None], 3, -1), over, tuple(over))
        for name, row in rows.items()
    }
    starts = xr.DataArray([5.0, 1.0], {"dedicated_features": [0, 4]}, ("dedicated_features",))
    return full["losses"], xr.Dataset({n: full[n] for n in rows if "per" in n}), full["squares"] * starts


def _failed(**changes) -> list[str]:
    claims = Claims("")
    experiment.evaluate(*_tables(**changes), claims)
    return [claim.statement[:15] for claim in claims.failed]


@pytest.mark.slow
def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    assert _failed() == []
    assert _failed(features_per_neuron=[[1, 4], [2, 1], [3, 5]]) == ["every activatio"]
    assert _failed(neurons_per_feature=[[1, 2], [2, 2], [3, 3]]) == ["GELU: a feature"]
    assert _failed(losses=[[1, 1], [1.1, 0.95], [1.3, 1.2]]) == ["GELU loses less"]
    assert _failed(losses=[[1, 1], [0.9, 0.8], [1.3, 1.2]]) == ["GELU loses less"]
    assert _failed(losses=[[1, 1], [1.1, 0.8], [0.9, 1.2]]) == ["SoLU loses more"]
    assert _failed(squares=[[1, 0.5], [0.1, 0.1], [0.3, 0.3]]) == ["squares, ReLU: "]
    assert _failed(squares=[[1, 1], [0.1, 0.3], [0.3, 0.3]]) == ["squares, GELU: "]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ComputationModel(W1, W2, hidden_activation="tanh"), "hidden_activation must be one of relu, identity, gelu, solu"),
        (lambda: neuron_contributions(ComputationModel(W1), np.nan), "magnitude must be finite"),
        (lambda: neuron_contributions(ComputationModel(W1), [1.0, 2.0]), "magnitude must be one number"),
        (lambda: served_features(ComputationModel(W1), above=-1), "above must be at least 0"),
    ],
)  # fmt: skip
def test_wrong_calls_are_refused_in_one_sentence(call, sentence):
    with pytest.raises(ConfigError, match=sentence):
        call()
