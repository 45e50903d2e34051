"""Two hidden layers: a written network, what one layer cannot avoid, what neurons serve, and claims that can fail."""

from dataclasses import replace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.errors import ConfigError
from superpos.experiments import Claims
from superpos.experiments import two_hidden_layers as experiment
from superpos.theory import missing_error, one_layer_floor

TASK = sp.tasks.DeepPairs(n_pairs=2, n_hidden=4, feature_probability=0.5)
# ReLU(x) and ReLU(x − y) of each of two pairs, and the second taken from the first.
W1 = np.array([[1.0, 0, 0, 0], [1, -1, 0, 0], [0, 0, 1, 0], [0, 0, 1, -1]])
W2 = np.array([[1.0, -1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 0], [0, 0, 0, 0]])
W_OUT = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]])
EXACT = sp.models.DeepPairModel(W1, W2, W_OUT, np.zeros(2))


def truth(x):
    return np.minimum(np.maximum(x[0::2], 0), np.maximum(x[1::2], 0))


@pytest.mark.slow
def test_three_neurons_compute_a_pair_exactly():
    assert float(TASK.loss(EXACT, jax.random.key(0), 1_000)[0]) < 1e-12
    single = jnp.array([0.2, 0.7, 0.5, -0.1])
    assert_allclose(EXACT(single), [0.2, 0], atol=1e-6)
    assert [len(h) for h in EXACT.hidden(single)] == [4, 4]
    assert_allclose(TASK.outputs(single), [0.2, 0], atol=1e-7)


def test_a_model_is_what_its_equation_says():
    rng = np.random.default_rng(0)
    W1, W2, W_out, b, x = (rng.normal(size=s) for s in ((5, 4), (3, 5), (2, 3), (2,), (4, 6)))
    y = W_out @ np.maximum(W2 @ np.maximum(W1 @ x, 0), 0) + b[:, None]
    inputs = jnp.asarray(x)
    assert_allclose(sp.models.DeepPairModel(W1, W2, W_out, b)(inputs), y, rtol=1e-5, atol=1e-6)
    one = sp.models.DeepPairModel(W1, None, W_out @ W2, b)
    assert_allclose(one(inputs), W_out @ W2 @ np.maximum(W1 @ x, 0) + b[:, None], rtol=1e-5, atol=1e-6)
    assert one.W2 is None and len(one.hidden(inputs)) == 1


def grid(p):
    """Points (x, y) and their weights: Gauss–Legendre of four quarters and four half-axes, and both silent."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    side = np.concatenate([(nodes - 1) / 2, (nodes + 1) / 2])
    along = np.concatenate([weights, weights]) / 4
    points = np.concatenate([np.stack(np.meshgrid(side, side, indexing="ij")).reshape(2, -1),
                             np.stack([side, 0 * side]), np.stack([0 * side, side]), np.zeros((2, 1))], axis=1)  # fmt: skip
    chance = [p * p * np.outer(along, along).ravel(), p * (1 - p) * along, p * (1 - p) * along, [(1 - p) ** 2]]
    return points, np.concatenate(chance)


@pytest.mark.parametrize("p", [1.0, 0.1])
def test_the_floor_is_what_many_neurons_of_one_layer_come_down_to(p):
    """Least squares of a readout over 60 directions around the circle."""
    points, weight = grid(p)
    y = truth(points)[0]
    assert_allclose(weight @ y**2 - (weight @ y) ** 2, missing_error(p), rtol=1e-2)
    angle = 2 * np.pi * np.arange(60) / 60
    hidden = np.maximum(np.stack([np.cos(angle), np.sin(angle)]).T @ points, 0)
    design = np.concatenate([hidden, np.ones((1, len(y)))]).T
    readout = np.linalg.lstsq(np.sqrt(weight)[:, None] * design, np.sqrt(weight) * y, rcond=1e-10)[0]
    left = weight @ (design @ readout - y) ** 2
    assert_allclose(left, one_layer_floor(p), rtol=2e-2)


def test_errors_grow_where_a_neuron_that_serves_a_pair_is_removed():
    x = experiment.inputs(0.8, 4, 4_000)
    assert abs(np.mean(x != 0) - 0.8) < 0.02 and abs(x.mean()) < 0.02
    growth, left = experiment.removed(W1, W2, W_OUT, np.zeros(2), x, missing_error(0.8))
    assert growth.shape == (2, 4, 2) and np.all(left < 1e-12)
    serves = growth > experiment.SERVED_ABOVE
    np.testing.assert_array_equal(serves[0], [[True, False], [True, False], [False, True], [False, True]])
    np.testing.assert_array_equal(serves[1], [[True, False], [False, True], [False, False], [False, False]])
    assert_allclose(growth[1, 0, 0], 1, rtol=0.1)  # without its last neuron a pair has its whole variance left


def _failed(**changes) -> list[str]:
    """Of perfect models over five densities and four seeds: which claims fail if a row is another."""
    rows: dict[str, Any] = {
        "one": [0.3, 0.6, 0.7, 0.8, 0.9], "two": [0.5, 0.65, 0.6, 0.6, 0.6], "first": [1, 1, 1, 2, 3],
        "second": [1, 1, 1, 1, 1], "solved": [0, 0, 4, 4, 4],
    } | changes  # fmt: skip
    densities, noise = [1.0, 0.55, 0.3, 0.1, 0.06], 1 + 0.001 * np.array([1, -1, 2, -2])
    full = {name: np.repeat(np.array(row, float)[:, None], 4, 1) for name, row in rows.items()}
    over = {"feature_probability": densities, "seed": range(4)}
    both = np.stack([full["first"], full["second"]], axis=-1)
    table = xr.Dataset(
        {
            "relative": (("layers", *over), np.stack([full["one"], full["two"] * noise])),
            "floor": ("feature_probability", np.full(5, 0.2)),
            "pairs_per_neuron": ((*over, "layer"), both),
            "solved": (tuple(over), full["solved"]),
        },
        over | {"layers": [1, 2], "layer": ["first", "second"]},
    )
    claims = Claims("")
    experiment.evaluate(table, experiment.Size(), claims)
    return [claim.statement[:19] for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    assert _failed() == []
    assert _failed(one=[0.3, 0.6, 0.7, 0.8, 0.5]) == ["sparse: two layers "]
    assert _failed(one=[0.6, 0.6, 0.7, 0.8, 0.9]) == ["dense: one layer lo"]
    assert _failed(one=[0.1, 0.6, 0.7, 0.8, 0.9]) == ["one layer loses at "]
    assert _failed(solved=[0, 0, 3, 4, 4]) == _failed(first=[1, 1, 1.3, 2, 3]) == ["in between: pairs a"]
    assert _failed(first=[1, 1, 1, 1.4, 3]) == ["sparse: neurons of "]
    assert _failed(second=[1, 1, 1, 1, 1.3]) == ["neurons of the seco"]
    assert _failed(two=[0.5, 0.65, 0.6, 0.6, 0.67]) == ["sparse: sharing pay"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_pairs": 0}, "n_pairs must be at least 1"),
        ({"n_hidden": 0}, "n_hidden must be at least 1"),
        ({"n_hidden": 100_000}, "n_hidden × the wider of n_hidden and 2 n_pairs must be at most"),
        ({"n_layers": 3}, "n_layers must be at most 2"),
        ({"n_layers": 0}, "n_layers must be at least 1"),
        ({"feature_probability": 0.0}, "feature_probability must be above 0 and at most 1"),
        ({"feature_probability": np.array([0.1, 0.2])}, "feature_probability must be one number"),
        ({"init_scale": -1.0}, "init_scale must be at least 0"),
        ({"init_scale": np.nan}, "init_scale must be finite"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replace(TASK, **settings).check()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: missing_error(0.0), "p must be above 0"),
        (lambda: one_layer_floor(cast(Any, [0.1, 0.2])), "p must be one number"),
        (lambda: sp.models.DeepPairModel(W1, W2[:, :3], W_OUT, np.zeros(2)), "W2 must"),
        (lambda: sp.models.DeepPairModel(W1, None, W_OUT[:, :3], np.zeros(2)), "W_out must"),
        (lambda: sp.models.DeepPairModel(W1, None, W_OUT, np.zeros(3)), "b must"),
        (lambda: EXACT(jnp.ones(3)), "x must have 4 rows"),
    ],
)
def test_wrong_calls_are_refused_in_one_sentence(call, sentence):
    with pytest.raises(ConfigError, match=sentence):
        call()


@pytest.mark.slow
def test_both_kinds_are_trained_with_labels():
    config = sp.TrainConfig(steps=3, batch_size=16, history=1, evaluation_samples=1_024)
    for n_layers in (1, 2):
        run = sp.train(replace(TASK, n_layers=n_layers), config, seed=0)
        assert np.isfinite(run.loss) and (run.model.W2 is None) == (n_layers == 1)
