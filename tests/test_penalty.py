"""The L1 penalty on the hidden layer: closed forms, its gradient, what is reported, and which basis it likes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

import superpos as sp
from superpos.analysis.regimes import regimes
from superpos.analysis.table import geometry_table
from superpos.experiments.solving_superposition import alignment, regime_map
from superpos.plot.phases import PHASE_COLORS
from superpos.theory import vanishing_penalty
from superpos.training.loop import evaluate, init

TASK = sp.tasks.Toy(n_features=6, n_hidden=3, feature_probability=0.4)


def test_the_penalty_and_its_gradient_are_those_of_numpy(rng):
    task = dataclasses.replace(TASK, hidden_l1=0.7).broadcast()
    plain, key = dataclasses.replace(task, hidden_l1=None), jax.random.key(3)
    W = jnp.asarray(rng.normal(size=(3, 6)), jnp.float32)
    x = np.asarray(task.features.sample(key, 50), np.float64)
    h = np.asarray(W, np.float64) @ x

    def added(W):
        net = sp.ToyModel(W)
        return task.loss(net, key, 50)[0] - plain.loss(net, key, 50)[0]

    value, gradient = jax.value_and_grad(added)(W)
    assert float(value) == pytest.approx(0.7 / 6 * np.abs(h).sum(axis=0).mean(), rel=1e-5)
    assert_allclose(gradient, 0.7 / 6 * np.sign(h) @ x.T / 50, rtol=1e-4, atol=1e-6)


def test_one_feature_shrinks_as_the_closed_form_says():
    """w(1 − w²) = 3λ/8, larger root; the reported loss is (1 − w²)²/3, which has no penalty in it."""
    penalty = 0.4
    task = sp.tasks.Toy(n_features=1, n_hidden=1, bias=False, activation="identity", hidden_l1=penalty)
    run = sp.train(task, sp.TrainConfig(steps=600, batch_size=256, history=1), seed=1)
    w = abs(float(run.model.W[0, 0]))
    roots = np.roots([-1, 0, 1, -3 * penalty / 8])
    assert w == pytest.approx(max(roots.real), abs=0.01)
    assert float(run.loss) == pytest.approx((1 - w**2) ** 2 / 3, rel=1e-4)
    assert float(run.history.loss[0]) > float(run.loss) + 0.9 * penalty * w / 2


def test_a_feature_vanishes_where_leaving_it_out_is_as_cheap():
    w = np.linspace(1e-4, 1.2, 20_001)
    for importance in (1.0, 0.3):
        at = float(vanishing_penalty(importance))
        for penalty, kept in ((0.995 * at, True), (1.005 * at, False)):
            costs = importance / 3 * (1 - w**2) ** 2 + penalty / 2 * w
            assert (costs.min() < importance / 3) == kept
            if kept:
                assert w[costs.argmin()] ** 2 == pytest.approx(2 / 3, rel=0.01)
    with pytest.raises(sp.ConfigError, match="importance"):
        vanishing_penalty(-1.0)


@pytest.mark.slow
def test_the_loss_knows_no_basis_and_the_penalty_does(rng):
    task = dataclasses.replace(TASK, hidden_l1=0.5).broadcast()
    plain = task.evaluation_task()
    W = jnp.asarray(np.eye(6)[:3] - np.eye(6)[3:], jnp.float32)  # antipodal pairs along the axes
    Q = jnp.asarray(np.linalg.qr(rng.normal(size=(3, 3)))[0], jnp.float32)
    key = jax.random.key(0)
    losses = [[float(t.loss(sp.ToyModel(V), key, 2_000)[0]) for V in (W, Q @ W)] for t in (plain, task)]
    assert losses[0][0] == pytest.approx(losses[0][1], rel=1e-4)
    assert losses[1][1] - losses[0][1] > 1.1 * (losses[1][0] - losses[0][0])


def test_what_is_reported_has_no_penalty_where_inputs_estimate_it():
    task = dataclasses.replace(TASK, loss_exponent=4, hidden_l1=2.0).broadcast()
    config = sp.TrainConfig(steps=1, learning_rate=0.1, beta1=0.9, beta2=0.9, evaluation_samples=64).broadcast()
    state = init(task, config, jnp.uint32(0))
    plain = evaluate(dataclasses.replace(TASK, loss_exponent=4), config, state)
    assert float(evaluate(task, config, state)) == float(plain)
    assert task.expected_loss(state.model) is None


def test_a_model_is_in_the_phase_of_its_represented_features():
    """Nothing, three axes, a pair among them, and a pair that is too short to count."""
    models = [np.zeros((3, 5)), np.eye(3, 5), np.eye(3, 5), np.eye(3, 5)]
    models[2][0, 4] = -0.9
    models[3][0, 4] = -0.4
    table = geometry_table(xr.DataArray(np.array(models), dims=("model", "hidden", "feature")), 3)
    assert regimes(table).values.tolist() == ["ignored", "dedicated", "in superposition", "dedicated"]
    along = alignment(
        xr.DataArray(np.array(models[1:3]), dims=("model", "hidden", "feature")), table["represented"][1:3]
    )
    assert_allclose(along, 1)


def test_the_map_colours_the_phases_and_shows_no_penalty_as_0():
    regime = xr.DataArray(
        [["dedicated", "ignored"], ["in superposition", "dedicated"]],
        coords={"feature_probability": [1.0, 0.1], "hidden_l1": [0.0, 0.5]},
        dims=("feature_probability", "hidden_l1"),
    )
    ax = regime_map(regime, ends=[0.3])
    colors = [to_hex(c).upper() for c in ax.collections[0].get_array().reshape(-1, 3)]
    expected = [PHASE_COLORS[name] for name in ("dedicated", "in superposition", "ignored", "dedicated")]
    assert colors == [to_hex(c).upper() for c in expected]
    assert ax.get_yticklabels()[0].get_text() == "0" and ax.lines[0].get_ydata()[0] == 0.3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden_l1": 0.1, "objective": "expected"}, 'hidden_l1 must be 0 unless objective="sampled"'),
        ({"hidden_l1": 0.1, "objective": "auto"}, 'hidden_l1 must be 0 unless objective="sampled"'),
        ({"hidden_l1": -0.1}, "hidden_l1 must be at least 0, got -0.1."),
        ({"hidden_l1": np.ones(6)}, "hidden_l1 must be one number"),
        ({"hidden_l1": float("nan")}, "hidden_l1 must be finite"),
    ],
)
def test_penalties_that_cannot_be_are_refused_by_name(settings, words):
    with pytest.raises(sp.ConfigError) as error:
        sp.train(dataclasses.replace(TASK, **settings))
    assert words in str(error.value)


@pytest.mark.slow
def test_a_swept_penalty_is_the_penalty_of_one_model_and_none_is_zero():
    """The field is None unless it is set or swept; a cell is what `train` gives, and 0 is what None gives."""
    config, cells = sp.TrainConfig(steps=20, batch_size=16, evaluation_samples=16), [0.0, 0.3]
    task = dataclasses.replace(TASK, magnitude="constant")
    result = sp.sweep(task, config, sp.Grid(hidden_l1=cells, seed=[0]), block_size=2)
    assert result.task(hidden_l1=0.3).hidden_l1 == pytest.approx(0.3)
    for value, said in zip(cells, (None, 0.3), strict=True):
        alone = sp.train(dataclasses.replace(task, hidden_l1=said), config)
        assert_allclose(result.model(hidden_l1=value).W[...], alone.model.W[...], rtol=1e-4, atol=1e-6)
    assert not np.allclose(*result["W"].values[:, 0])


def test_a_swept_penalty_is_refused_with_the_expected_loss():
    grid = sp.Grid(hidden_l1=[0.0, 0.1], objective=["sampled", "expected"])
    with pytest.raises(sp.ConfigError, match="hidden_l1 must be 0 unless"):
        sp.sweep(TASK, sp.TrainConfig(steps=1), grid)


@pytest.mark.slow
def test_results_from_before_the_penalty_are_found_again_and_described(tmp_path):
    grid, config = sp.Grid(seed=range(2)), sp.TrainConfig(steps=5, learning_rate=0.01, history=1)
    task = sp.tasks.Toy(n_features=2, n_hidden=1, magnitude="constant")
    result = sp.sweep(task, config, grid, block_size=2)
    assert result.attrs["task"]["hidden_l1"] is None and "L1" not in sp.plot.caption(result.attrs)
    del result.dataset.attrs["task"]["hidden_l1"]
    result.save(tmp_path / "old.zarr")
    again = sp.sweep(task, config, grid, tmp_path / "old.zarr")
    assert again["W"].equals(result["W"]) and again.task(seed=0).hidden_l1 is None
    assert "L1" not in sp.plot.caption(again.attrs)
    said = again.attrs | {"task": again.attrs["task"] | {"hidden_l1": 0.2}}
    assert "hidden L1 penalty 0.2" in sp.plot.caption(said)
