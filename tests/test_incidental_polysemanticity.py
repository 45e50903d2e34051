"""One feature at a time with neurons for all: the loss against NumPy, pairs on one neuron, and what chance says of them."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.analysis import collisions, neurons_of_features, neurons_per_feature
from superpos.errors import ConfigError
from superpos.experiments import Claims
from superpos.experiments import incidental_polysemanticity as experiment

rng = np.random.default_rng(3)
TASK = sp.tasks.OneHotToy(n_features=4, n_hidden=6, hidden_l1=0.1)


def _trained(W: np.ndarray, steps: int, rate: float, penalty: float) -> np.ndarray:
    """Twin: gradient descent by hand on the paper's loss, in double precision."""
    for _ in range(steps):
        gram = W.T @ W
        slope = 2 * (np.maximum(gram, 0) - np.eye(len(gram))) * (gram > 0)
        W = W - rate * (W @ (slope + slope.T) + penalty * np.sign(W))
    return W


def test_training_follows_the_gradient_of_the_papers_loss():
    config = sp.TrainConfig(
        steps=20, optimizer="sgd", learning_rate=0.05 * 16, schedule="constant", history=1, snapshots=(0,)
    )
    run = sp.train(TASK, config)
    start = np.asarray(run.snapshots.W[0], np.float64)
    assert_allclose(run.model.W, _trained(start, 20, 0.05, 0.1), atol=1e-5)
    outputs = np.maximum(np.asarray(run.model.W).T @ np.asarray(run.model.W), 0)
    assert_allclose(run.loss, np.mean((outputs - np.eye(4)) ** 2), rtol=1e-5)  # without penalty


def test_features_start_with_length_one():
    W = np.asarray(replace(TASK, n_hidden=64, n_features=64).init(jax.random.key(0)).W)
    assert abs(np.sum(W**2) / 64 - 1) < 4 * (2 / 64**2) ** 0.5


def test_no_penalty_is_the_loss_alone():
    model = TASK.init(jax.random.key(1))
    plain, priced = (replace(TASK, hidden_l1=price).loss(model, jax.random.key(0), 1)[0] for price in (None, 0.5))
    assert_allclose(priced - plain, 0.5 * np.abs(np.asarray(model.W)).sum() / 16, rtol=1e-5)
    assert_allclose(replace(TASK, hidden_l1=0.0).loss(model, jax.random.key(0), 1)[0], plain, rtol=1e-6)


SHARED = np.array([[1.0, -1.0, 0.9, 0.0], [0.0, 0.0, 0.1, 1.0], [0.0, 0.0, 0.0, 0.2]])


def test_pairs_on_one_neuron_are_told_apart_by_sign():
    assert [int(x) for x in collisions(SHARED)] == [1, 2, 1]
    assert [int(x) for x in collisions(SHARED, above=0.95)] == [0, 1, 1]
    assert neurons_of_features(SHARED).tolist() == [0, 0, 0, 1]
    assert_allclose(neurons_per_feature([[1.0, 0.5], [0.0, 0.5]]), [1, 2], rtol=1e-6)


def test_pairs_are_the_same_in_any_order_and_with_any_sign_of_a_neuron():
    W = rng.normal(size=(5, 12))
    turned = rng.choice([-1, 1], size=(5, 1)) * W[rng.permutation(5)][:, rng.permutation(12)]
    assert [int(x) for x in collisions(W)] == [int(x) for x in collisions(turned)]
    double_loop = sum(abs(W[k, i]) > 0.5 < abs(W[k, j]) for k in range(5) for i in range(12) for j in range(i))
    assert int(collisions(W).same + collisions(W).opposite) == double_loop


def test_chance_is_the_mean_of_random_neurons():
    counts = np.array([np.bincount(rng.integers(8, size=6), minlength=8) for _ in range(20_000)])
    pairs = (counts * (counts - 1) // 2).sum(1)
    assert abs(pairs.mean() - experiment.chance(6, 8)) < 4 * pairs.std() / 20_000**0.5


def test_the_ratio_pairs_the_cells_of_a_seed():
    counts = xr.DataArray([[2, 0], [1, 1]], {"n_hidden": [4, 8], "seed": [0, 1]}, ("n_hidden", "seed"))
    assert_allclose(experiment.ratio([counts], [np.array([1.0, 1.0])]), (1.0, 0.5))


@pytest.mark.slow
def test_two_features_of_one_sign_part_and_of_opposite_signs_stay():
    """The mechanism, on two features that start on one neuron."""
    start = {sign: np.array([[0.9, sign * 0.8], [0.1, 0.05], [-0.05, 0.1]]) for sign in (1, -1)}
    ended = {sign: collisions(_trained(W, 4_000, 0.02, 0.05)) for sign, W in start.items()}
    assert int(ended[1].neurons) == 0 and int(ended[-1].opposite) == 1


def _failed(tables, control) -> list[str]:
    claims = Claims("")
    experiment.evaluate(tables, control, claims)
    return [claim.statement[:22] for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    over = {"n_hidden": [16, 64], "seed": range(400)}
    before = rng.poisson(experiment.chance(16, np.array([16, 64]))[:, None], (2, 400))
    opposite = rng.binomial(before, np.array([[0.4], [0.5]]))
    rows = {
        "before": before,
        "opposite": opposite,
        "same": 0 * before,
        "kept": 0.7 + 0 * before,
        "spread": 1 + 0 * before,
    }
    table = xr.Dataset({name: (tuple(over), row) for name, row in rows.items()}, over)
    control = xr.Dataset({"spread": ("seed", np.full(4, 20.0))})
    assert _failed({16: table}, control) == []
    assert _failed({16: table.assign(before=table["before"] + 1)}, control) == ["before training: the l"]
    assert _failed({16: table.assign(same=table["before"])}, control) == ["after training: featur"]
    assert _failed({16: table.assign(opposite=table["before"])}, control) == [
        "after training, m ≥ 4n", "after training, m ≤ 2n",
    ]  # fmt: skip
    assert _failed({16: table}, control / 5) == ["the penalty puts each "]


def test_what_is_measured_is_that_of_each_model():
    """Smaller models lie in larger arrays; the neurons that they do not have are NaN."""
    W = rng.normal(size=(2, 3, 1, 5, 4))
    W[0, :, :, 3:] = np.nan
    over = {"n_hidden": [3, 5], "seed": [0, 1, 2]}
    result = xr.Dataset(
        {
            "W": ((*over, "hidden", "feature"), W[:, :, 0]),
            "W_snapshots": ((*over, "snapshot", "hidden", "feature"), W[::, ::-1]),
            "loss": (tuple(over), np.zeros((2, 3))),
        },
        over,
    )
    table: xr.Dataset = experiment.measure(result)  # type: ignore[arg-type]
    for k, m in enumerate(over["n_hidden"]):
        own, start = W[k, 0, 0, :m], W[k, 2, 0, :m]
        cell, shared = table.sel(n_hidden=m, seed=0), collisions(own)
        assert [int(cell[name]) for name in ("same", "opposite")] == [int(shared.same), int(shared.opposite)]
        first, last = (np.abs(x).argmax(0) for x in (start, own))
        assert_allclose(float(cell["kept"]), np.mean(first == last), rtol=1e-6)
        assert int(cell["before"]) == sum(first[i] == first[j] for i in range(4) for j in range(i))
        assert_allclose(float(cell["spread"]), float(neurons_per_feature(own).mean()), rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"hidden_l1": -0.1}, "hidden_l1 must be at least 0"),
        ({"hidden_l1": np.nan}, "hidden_l1 must be finite"),
        ({"hidden_l1": [0.1, 0.2]}, "hidden_l1 must be one number"),
        ({"init_scale": -1.0}, "init_scale must be at least 0"),
        ({"init_scale": "wide"}, "init_scale"),
        ({"n_features": 0}, "n_features must be at least 1"),
        ({"n_features": 60_000, "n_hidden": 2}, "n_features × n_features must be"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replace(TASK, **settings).check()
