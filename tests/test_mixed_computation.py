"""Mixtures of absolute values: circuits made by hand, baselines, linear probes, what is left without neurons, and claims."""

from dataclasses import replace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.analysis import linear_probe_r2
from superpos.analysis.hidden_reading import left_without, reading_of
from superpos.errors import ConfigError
from superpos.experiments import Claims
from superpos.experiments import hidden_features as experiment
from superpos.tasks.base import materialize
from superpos.theory import absolute_variance, mixed_baseline

N, K = 6, 2
M = np.random.default_rng(0).normal(size=(K, N))
TASK = sp.tasks.MixedComputation(n_features=N, n_hidden=2 * N, n_outputs=K, matrix=M, feature_probability=0.5)
# Two neurons for every feature; one for each, and two for each output of what is linear.
TWO_EACH = np.concatenate([np.eye(N), -np.eye(N)]), np.concatenate([M, M], axis=1)
SHARED = np.concatenate([np.eye(N), M, -M]), np.concatenate([2 * M, -np.eye(K), np.eye(K)], axis=1)
X = experiment.inputs(0.5, N, 8_000)


def model_of(weights):
    W1, W2 = weights
    return sp.models.MixedModel(W1, W2, np.zeros(len(W2)))


@pytest.mark.parametrize("weights", [TWO_EACH, SHARED], ids=["two each", "shared lines"])
def test_both_circuits_compute_the_task_exactly(weights):
    assert_allclose(model_of(weights)(jnp.asarray(X)), M @ np.abs(X), atol=1e-5)


def test_a_model_is_what_its_equation_says():
    rng = np.random.default_rng(1)
    W1, W2, b = (rng.normal(size=s) for s in ((5, N), (K, 5), (K,)))
    model = sp.models.MixedModel(W1, W2, b)
    assert_allclose(model(jnp.asarray(X[:, :9])), W2 @ np.maximum(W1 @ X[:, :9], 0) + b[:, None], atol=1e-5)
    assert model(jnp.asarray(X[:, 0])).shape == (K,) and model.hidden(jnp.asarray(X[:, 0])).shape == (5,)


@pytest.mark.slow
def test_the_loss_of_a_circuit_with_features_left_out_is_the_baseline():
    """Four of six features by two neurons each, and the mean of the others as the bias."""
    task = replace(TASK, n_hidden=8)
    naive = task.baseline()
    solved = naive.solved
    assert solved.sum() == 4
    sizes = (M**2).sum(axis=0)
    assert sizes[solved].min() > sizes[~solved].max()
    W1 = np.concatenate([np.eye(N)[solved], -np.eye(N)[solved]])
    bias = M[:, ~solved] @ np.full(2, 0.5 / 2)
    model = sp.models.MixedModel(W1, np.concatenate([M[:, solved]] * 2, axis=1), bias)
    assert_allclose(float(task.loss(model, jax.random.key(0), 200_000)[0]), naive.loss, rtol=2e-2)


def test_baselines_count_neurons():
    assert_allclose(absolute_variance(0.1), np.abs(experiment.inputs(0.1, 1, 400_000)).var(), rtol=2e-2)
    nothing = mixed_baseline(M, 0, 0.5).loss
    assert_allclose(nothing, absolute_variance(0.5) * (M**2).sum() / K)
    counts = [[int(mixed_baseline(M, m, 0.5, shared_lines=s).solved.sum()) for m in range(13)] for s in (False, True)]
    assert_array_equal(counts[0], np.minimum(np.arange(13) // 2, N))
    assert_array_equal(counts[1], [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 6, 6])  # n + 2K = 10 neurons for all
    groups = sp.tasks.MixedComputation(n_features=N, n_outputs=K, n_hidden=5, mixing="groups")
    assert groups.baseline(shared_lines=True).solved.sum() == 3  # one group of three: its line takes two neurons
    assert groups.baseline(shared_lines=True).loss == pytest.approx(absolute_variance(1.0) * 3 / K)


def test_matrices_are_fixed_by_their_seed():
    task = replace(TASK, matrix=None, mixing_seed=3)
    first, again = (np.asarray(materialize(task).matrix) for _ in range(2))
    assert_array_equal(first, again)
    assert_allclose(np.linalg.norm(first, axis=0), 1, rtol=1e-6)
    assert not np.allclose(first, np.asarray(materialize(replace(task, mixing_seed=4)).matrix))
    assert_array_equal(replace(task, mixing="groups").precompute().matrix, [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    assert_array_equal(TASK.precompute().matrix, M)
    assert_allclose(TASK.outputs(jnp.asarray(X[:, 0])), M @ np.abs(X[:, 0]), rtol=1e-5)


def test_a_linear_probe_is_least_squares_on_inputs_that_it_has_not_seen():
    rng = np.random.default_rng(2)
    h = rng.normal(size=(3, 400)) * np.array([[1.0], [1e-4], [1e3]]) + 5
    y = rng.normal(size=(2, 3)) @ h + rng.normal(size=(2, 400))
    design = np.concatenate([h, np.ones((1, 400))])
    w = np.linalg.lstsq(design[:, :200].T, y[:, :200].T, rcond=None)[0]
    missed = ((y - w.T @ design)[:, 200:] ** 2).mean(axis=1)
    assert_allclose(linear_probe_r2(h, y), 1 - missed / y[:, 200:].var(axis=1), rtol=1e-6)
    assert np.isnan(linear_probe_r2(h, np.ones((1, 400)))[0])
    noise = rng.normal(size=(150, 400))  # nearly as many readings as inputs: fitted, and worth nothing
    assert linear_probe_r2(noise, y).max() < 0.2
    for read, sentence in ((h[:, :9], "h and y must have as many inputs"), (h[0], "h must have shape")):
        with pytest.raises(ConfigError, match=sentence):
            linear_probe_r2(read, y)


def test_a_layer_holds_what_its_rank_allows():
    """All six features from two neurons each; from outputs two, however they are mixed; from the inputs none."""
    h = np.maximum(TWO_EACH[0] @ X, 0)
    assert experiment.held(h, np.abs(X)) > 5.99
    mixed = experiment.held(M @ np.abs(X), np.abs(X))
    assert 1.9 < mixed < 2.05
    assert experiment.held(X, np.abs(X)) < 0.02
    shared = np.maximum(SHARED[0] @ X, 0)
    assert experiment.held(shared, np.abs(X)) < 4.5  # ReLU(x) alone leaves the sign in
    assert experiment.held(np.concatenate([shared, X]), np.abs(X)) > 5.99
    hidden, both, at_random, outputs = experiment.computed(SHARED[0], SHARED[1], X, 0)
    assert both > 5.99 and outputs == pytest.approx(mixed, abs=1e-3) and at_random < hidden < 4.5


@pytest.mark.parametrize(("weights", "atol"), [(TWO_EACH, 1e-8), (SHARED, 0.1)], ids=["two each", "shared lines"])
def test_without_the_neurons_of_a_feature_it_alone_goes(weights, atol):
    """Lines go with the feature that they read most, and hold no |x|, but for what samples of x and |x| share by chance."""
    assert_allclose(left_without(weights[0], weights[1], M, X), 1 - np.eye(N), atol=atol)


def test_without_a_neuron_that_two_features_share_both_go():
    pair = np.array([[2.0, 1, 0, 0, 0, 0], [1.9, -1, 0, 0, 0, 0]])  # |2x + y| and |1.9x − y|: both are of x
    left = left_without(np.concatenate([pair, -pair]), np.ones((K, 4)), np.ones((K, N)), X)
    assert_allclose(left[0, :2], 0, atol=1e-8)  # nothing is left
    assert left[1, 0] > 0.5 and left[1, 1] > 0.1  # the second feature has no neurons to remove


def test_what_neurons_read_is_weighed_by_what_they_say():
    W1 = np.array([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 2, 0, 0], [1, 1, 1, 1, 1, 1]])
    silent = np.array([[1.0, 1, 0], [1, 1, 0]])
    group, spread = reading_of(W1, silent, K)
    assert group == 1 and spread == pytest.approx((3 * 3**0.5 + 1 * 2) / (3**0.5 + 2))
    assert reading_of(W1[2:], np.ones((2, 1)), K) == pytest.approx((0.5, 6.0))


def _failed(**changes: Any) -> list[str]:
    """Of perfect models over four densities and four seeds: which claims fail if a row is another."""
    size = experiment.Size()
    rows: dict[str, Any] = {
        "hidden": [6, 8, 10, 11], "double": [17, 20, 21, 22], "random": [0, 2, 4, 6], "both": [16, 19, 20, 21],
        "outputs": [2.9] * 4, "inputs": [0.0] * 4, "relative": [0.3, 0.1, 0.03, 0.01], "rare": 0.1, "held": 2.5, "few": 0.3,
        "inside": [1.0] * 4, "outside": [0.9, 0.85, 0.8, 0.7], "fewer": 0.9, "own": 0.0, "others": 1.0,
    } | changes  # fmt: skip
    noise = 1 + 0.001 * np.array([1, -1, 2, -2])
    over = {"feature_probability": list(size.densities), "seed": range(4)}

    def table(mixing: str, m: int) -> xr.Dataset:
        hidden = np.array(rows["double"] if m == 48 else rows["hidden"], float)
        relative = np.array(rows["relative"], float)
        if mixing == "groups":
            hidden = hidden * rows["fewer"] if m == 24 else np.full(4, rows["held"])
        if m == 6:
            relative = np.full(4, rows["rare"] if mixing == "groups" else rows["few"])
        readings = [hidden, rows["both"], np.array(rows["random"]) * min(m, 24) / 24, rows["outputs"]]
        computed = np.stack([np.outer(np.array(r, float), noise) for r in readings], axis=-1)
        left = np.full((24, 24), rows["others"]) + np.eye(24) * (rows["own"] - rows["others"])
        group = rows["inside" if mixing == "groups" else "outside"]
        return xr.Dataset(
            {
                "computed": ((*over, "reader"), np.minimum(computed, m)),
                "relative": (tuple(over), np.outer(relative, noise)),
                "left": ((*over, "removed", "feature"), np.tile(left, (4, 4, 1, 1))),
                "in_group": (tuple(over), np.outer(group, noise)),
                "features_per_neuron": (tuple(over), np.full((4, 4), 8.0)),
                **{name: ("feature_probability", np.full(4, 1 - min(m, 24) / 48)) for name in ("two_each", "shared_lines")},
                "inputs": ("feature_probability", rows["inputs"]),
            },
            over | {"reader": list(experiment.READERS)},
        )  # fmt: skip

    claims = Claims("")
    experiment.evaluate({case: table(*case) for case in size.cases()}, size, claims)
    return [claim.statement[:24] for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    assert _failed() == []
    assert _failed(inputs=[0, 0, 0, 3]) == _failed(outputs=[4.0] * 4) == ["a layer holds at most as"]
    assert _failed(hidden=[4, 8, 10, 11]) == ["one neuron for every fea"]
    assert _failed(double=[11, 20, 21, 22]) == ["two neurons for every fe"]
    assert _failed(random=[0, 2, 4, 12]) == ["training puts them there"]
    assert _failed(both=[11, 19, 20, 21]) == ["one neuron does for a fe"]
    assert _failed(relative=[0.6, 0.1, 0.03, 0.01]) == ["it beats two neurons for"]
    assert _failed(relative=[0.3, 0.6, 0.03, 0.01])[1:] == ["sparse: it beats one neu"]
    assert _failed(rare=0.2) == _failed(held=3.5) == _failed(few=0.15) == ["groups, sparse: sums of "]
    assert _failed(inside=[1, 1, 1, 0.8]) == _failed(outside=[0.9] * 4) == ["groups: what one neuron "]
    assert _failed(fewer=1.05) == _failed(fewer=0.7) == ["groups, with a neuron fo"]
    assert _failed(own=0.2) == _failed(others=0.8) == ["the outputs are made of "]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_features": 0}, "n_features must be at least 1"),
        ({"n_hidden": 0}, "n_hidden must be at least 1"),
        ({"n_outputs": 0}, "n_outputs must be at least 1"),
        (
            {"n_hidden": 1_000_000, "n_features": 10_000},
            "n_hidden × larger of n_features and n_outputs must be at most",
        ),
        ({"mixing": "sums"}, "mixing must be one of directions, groups"),
        ({"mixing": "groups", "n_features": 7}, "n_features must be a multiple of n_outputs = 2"),
        ({"matrix": M.T}, r"matrix must have shape \(n_outputs, n_features\) = \(2, 6\), got \(6, 2\)"),
        ({"matrix": M * np.nan}, "matrix must be finite"),
        ({"feature_probability": 0.0}, "feature_probability must be above 0 and at most 1"),
        ({"feature_probability": np.array([0.1, 0.2])}, "feature_probability must be one number"),
        ({"mixing_seed": 1.5}, "mixing_seed must be a whole number"),
        ({"mixing_seed": -1}, "mixing_seed must be at least 0"),
        ({"init_scale": -1.0}, "init_scale must be at least 0"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replace(TASK, **settings).check()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: absolute_variance(0.0), "p must be above 0"),
        (lambda: mixed_baseline(M[0], 4, 0.5), "M must have shape"),
        (lambda: mixed_baseline(M, -1, 0.5), "n_hidden must be at least 0"),
        (lambda: mixed_baseline(M, 4, 0.5, shared_lines=cast(Any, 2)), "shared_lines must be"),
        (lambda: replace(TASK, feature_probability=np.array([0.1, 0.2])).baseline(), "feature_probability must be one"),
        (lambda: sp.models.MixedModel(TWO_EACH[0], M, np.zeros(K)), "W2 must"),
        (lambda: sp.models.MixedModel(*TWO_EACH, np.zeros(3)), "b must"),
        (lambda: model_of(TWO_EACH)(jnp.ones(3)), "x must have 6 rows"),
        (lambda: sp.Grid(mixing_seed=[0, 1]).__class__ and sp.sweep(replace(TASK, matrix=None, mixing="groups"),
            sp.TrainConfig(steps=1), sp.Grid(mixing_seed=[0, 1])), "mixing_seed"),
    ],
)  # fmt: skip
def test_wrong_calls_are_refused_in_one_sentence(call, sentence):
    with pytest.raises(ConfigError, match=sentence):
        call()


@pytest.mark.slow
def test_seeds_of_directions_are_swept_beside_others():
    config = sp.TrainConfig(steps=3, batch_size=16, history=1, evaluation_samples=1_024)
    grid = sp.Grid.zipped(mixing_seed=[1, 2], seed=[1, 2])
    result = sp.sweep(replace(TASK, matrix=None, n_hidden=3), config, grid, progress=False)
    assert np.isfinite(result["loss"]).all() and result["W2"].dims == ("cell", "output", "hidden")
    single = sp.train(replace(TASK, matrix=None, n_hidden=3, mixing_seed=2), config, seed=2)
    assert float(single.loss) == pytest.approx(float(result["loss"][1]), rel=1e-5)
