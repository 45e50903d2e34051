"""Maxima and products of pairs: what whole neurons cost, exact networks, and claims that fail where they should."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.errors import ConfigError
from superpos.experiments import Claims
from superpos.experiments import maximum_of_pairs as experiment
from superpos.theory import pair_baseline, pair_error

rng = np.random.default_rng(7)
TASK = sp.tasks.PairComputation(n_pairs=2, n_hidden=4, feature_probability=0.4)
# ReLU(x − y) + ReLU(y) for each of two pairs.
EXACT = sp.models.PairModel(
    [[1.0, -1, 0, 0], [0, 1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]], [[1.0, 1, 0, 0], [0, 0, 1, 1]], [0.0, 0]
)


@pytest.mark.slow
def test_two_neurons_compute_a_maximum_exactly():
    assert float(TASK.loss(EXACT, jax.random.key(0), 1_000)[0]) < 1e-12
    single = jnp.array([0.2, 0.7, 0.5, 0.1])
    assert_allclose(EXACT(single), [0.7, 0.5], rtol=1e-6)
    assert_allclose(replace(TASK, target="product").outputs(single), [0.14, 0.05], rtol=1e-6)


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_a_pair_without_neurons_costs_the_variance(p):
    """Twins in closed form, from moments of max and product of uniform numbers: E max = 2/3, E max² = 1/2."""
    one, two = 2 * p * (1 - p), p**2
    mean, square = one / 2 + two * 2 / 3, one / 3 + two / 2
    assert_allclose(pair_error("max", p, 0), square - mean**2, rtol=1e-10)
    assert_allclose(pair_error("product", p, 0), p**2 / 9 - p**4 / 16, rtol=1e-10)


def test_one_neuron_is_no_better_than_any_line_in_the_sum_and_as_good_as_the_best():
    """Where p = 1 no ReLU of a positive sum bends: the best line leaves Var |x − y| / 4. At p = .3 it is an upper bound."""
    assert_allclose(pair_error("max", 1.0, 1), 1 / 72, rtol=1e-6)
    x, y = (rng.random((2, 200_000)) * (rng.random((2, 200_000)) < 0.3)).reshape(2, -1)
    line = np.stack([x + y, np.ones_like(x)])
    residual = np.maximum(x, y) - np.linalg.lstsq(line.T, np.maximum(x, y), rcond=None)[0] @ line
    assert pair_error("max", 0.3, 1) < np.mean(residual**2) + 4 * np.std(residual**2) / len(x) ** 0.5
    assert pair_error("max", 0.3, 1) < pair_error("max", 0.3, 0) / 5


def test_neurons_are_dealt_out_as_loses_least():
    """Twin: every way of giving 0, 1 or 2 neurons to each of three pairs."""
    costs = [pair_error("product", 0.5, k) for k in range(3)]
    assert costs[0] > costs[1] > costs[2] > 0
    for n_hidden in range(8):
        ways = [k for k in np.ndindex(3, 3, 3) if sum(k) <= n_hidden]
        least = min(sum(costs[k] for k in way) / 3 for way in ways)
        assert_allclose(pair_baseline("product", 0.5, 3, n_hidden).loss, least, rtol=1e-9)
    two_or_none = pair_baseline("max", 0.5, 3, 5, one_each=False)
    assert (two_or_none.with_two, two_or_none.with_one) == (2, 0)
    assert_allclose(two_or_none.loss, pair_error("max", 0.5, 0) / 3, rtol=1e-9)
    assert_allclose(replace(TASK, n_hidden=2).baseline(one_each=False).loss, pair_error("max", 0.4, 0) / 2, rtol=1e-9)


@pytest.mark.slow
def test_no_output_starts_silent():
    model = replace(TASK, n_pairs=30).init(jax.random.key(0))
    x = replace(TASK, n_pairs=30).features.sample(jax.random.key(1), 500)
    assert np.all(np.asarray(model(x)).max(axis=1) > 0)


@pytest.mark.slow
def test_one_step_is_that_of_numpy():
    """Gradient descent by hand, in double precision, on the batch of the first step."""
    run = sp.train(TASK, sp.TrainConfig(
        steps=1, batch_size=64, optimizer="sgd", learning_rate=0.1, schedule="constant", history=1, snapshots=(0,)
    ))  # fmt: skip
    W1, W2, b = (np.asarray(getattr(run.snapshots, name)[0], np.float64) for name in ("W1", "W2", "b"))
    x = np.asarray(TASK.features.sample(jax.random.fold_in(jax.random.key(0), 0), 64), np.float64)
    h = np.maximum(W1 @ x, 0)
    out = np.maximum(W2 @ h + b[:, None], 0)
    back = 2 * (out - np.maximum(x[0::2], x[1::2])) * (out > 0) / out.size
    inner = (W2.T @ back) * (h > 0)
    for name, old, slope in (("W1", W1, inner @ x.T), ("W2", W2, back @ h.T), ("b", b, back.sum(1))):
        assert_allclose(getattr(run.model, name), old - 0.1 * slope, atol=1e-5)


def _result() -> xr.Dataset:
    densities, size = [1.0, 0.1], replace(TASK, n_hidden=3)
    W1 = np.zeros((2, 1, 3, 4))
    W1[0, 0, 0] = [1, 1, 1, 1]
    W1[1, 0, 0], W1[1, 0, 1] = [1, -1, 1, 1], [0, 1, 0, 1]
    over = {"feature_probability": densities, "seed": [0]}
    result = xr.Dataset({"W1": ((*over, "hidden", "feature"), W1), "loss": (tuple(over), np.full((2, 1), 0.01))}, over)
    return result.assign_attrs(size=size)


class _Result:
    """What `measure` asks of a result."""

    def __init__(self, dataset: xr.Dataset):
        self.dataset = dataset

    def __getitem__(self, name):
        return self.dataset[name]

    def task(self, **axes):
        return self.dataset.attrs["size"]


def test_measures_are_losses_over_baselines_and_cosines_of_pairs():
    table = experiment.measure(_Result(_result()))  # type: ignore[arg-type]
    for p in (1.0, 0.1):
        naive = pair_baseline("max", p, 2, 3, one_each=False).loss
        cell = table.sel(feature_probability=p, seed=0)
        assert_allclose(cell["relative"], 0.01 / naive)
        assert_allclose(cell["dealt"], pair_baseline("max", p, 2, 3).loss / naive)
    assert_allclose(table["alike"].sel(feature_probability=1.0), 1)
    assert_allclose(table["alike"].sel(feature_probability=0.1), (-1 / 2**0.5 + 1 / 2**0.5) / 2, atol=1e-12)


def _failed(**changes) -> list[str]:
    over = {"feature_probability": [1.0, 0.3, 0.1], "seed": [0, 1]}

    def table(relative, dealt=0.5, alike=1.0):
        rows = np.broadcast_to(np.array(relative)[:, None], (3, 2))
        return xr.Dataset(
            {
                "relative": (tuple(over), rows),
                "dealt": ("feature_probability", np.full(3, dealt)),
                "alike": (tuple(over), np.full((3, 2), alike)),
            },
            over,
        )

    tables = {"max": table([0.5, 0.3, 0.1]), "product": table([0.5, 0.4, 0.9])}
    claims = Claims("")
    experiment.evaluate(tables | {name: table(**rows) for name, rows in changes.items()}, claims)
    return [claim.statement[:14] for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    assert _failed() == []
    assert _failed(max={"relative": [0.4, 0.3, 0.1]}) == ["max, dense: it"]
    assert _failed(max={"relative": [0.5, 0.6, 0.1]}) == ["max, sparse: i"]
    assert _failed(max={"relative": [1.5, 0.3, 0.1], "dealt": 1.5}) == ["max: training "]
    assert _failed(max={"relative": [0.5, 0.3, 0.1], "alike": 0.5}) == ["max: with fewe"]
    assert _failed(product={"relative": [0.5, 0.6, 0.9]}) == _failed(product={"relative": [0.5, 0.4, 0.4]})
    assert _failed(product={"relative": [0.5, 0.6, 0.9]}) == ["product: shari"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"target": "minimum"}, "target must be"),
        ({"n_pairs": 0}, "n_pairs must be at least 1"),
        ({"n_hidden": 0}, "n_hidden must be at least 1"),
        ({"feature_probability": 1.5}, "feature_probability must be at least 0 and at most 1"),
        ({"feature_probability": [0.1, 0.2]}, "feature_probability must be one number"),
        ({"init_scale": -1.0}, "init_scale must be at least 0"),
        ({"init_scale": np.inf}, "init_scale must be finite"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replace(TASK, **settings).check()


def test_wrong_calls_of_baselines_are_refused():
    with pytest.raises(ConfigError, match="p must be"):
        pair_error("max", 0.0, 1)
    with pytest.raises(ConfigError, match="n_neurons must be at most 2"):
        pair_error("max", 0.5, 3)
    with pytest.raises(ConfigError, match="feature_probability must be one number for a baseline"):
        replace(TASK, feature_probability=np.array([0.1])).baseline()
