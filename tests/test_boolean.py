"""Pairs of bits: the task and its gradient, both baselines, exact losses, and sweeps that keep their bits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.testing import assert_allclose
from scipy.optimize import minimize, minimize_scalar

import superpos as sp
from superpos.experiments.boolean_superposition import measure
from superpos.models import BooleanModel
from superpos.theory.boolean import affine_errors, best_constant, gate_rates, ignored_errors, least_error, rank_bound

SHORT = sp.TrainConfig(steps=20, batch_size=16, history=4)
SMALL = sp.tasks.BooleanPairs(n_features=4, n_hidden=3, feature_probability=0.3)
UNEQUAL = np.array([0.2, 0.5, 0.7, 0.9])
PAIRS = SMALL.pairs()


def key(k):
    """A key whose draws compile in no time."""
    return jax.random.key(k, impl="unsafe_rbg")


def twin(operation, exponent, W1, b1, W2, b2, x):
    """The loss on given bits in NumPy, gate by gate."""
    hidden = np.maximum(W1 @ x + b1[:, None], 0)
    total, gate = 0.0, 0
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            a, b = x[i] == 1, x[j] == 1
            wanted = (a & b) if operation == "and" else (a | b)
            total += np.mean(np.abs(wanted - W2[gate] @ hidden - b2[gate]) ** exponent)
            gate += 1
    return total / gate


@pytest.mark.parametrize(("operation", "exponent"), [("and", 2), ("or", 4)])
def test_loss_and_gradient_are_the_formula(operation, exponent, x64, rng):
    task = dataclasses.replace(SMALL, operation=operation, loss_exponent=exponent).broadcast()
    given = [rng.normal(size=shape) for shape in ((3, 4), (3,), (6, 3), (6,))]
    model = BooleanModel(*map(jnp.asarray, given))
    x = np.asarray(task.features.sample(key(1), 50))
    assert set(np.unique(x)) == {0, 1}
    assert float(task.loss(model, key(1), 50)[0]) == pytest.approx(twin(operation, exponent, *given, x), rel=1e-12)
    slopes = nnx.to_pure_dict(nnx.state(nnx.grad(lambda m: task.loss(m, key(1), 50)[0])(model)))
    for name, k, at in (("W1", 0, (1, 2)), ("b1", 1, (0,)), ("W2", 2, (4, 1)), ("b2", 3, (5,))):
        up, down = ([w.copy() for w in given] for _ in range(2))
        up[k][at] += 1e-6
        down[k][at] -= 1e-6
        wanted = (twin(operation, exponent, *up, x) - twin(operation, exponent, *down, x)) / 2e-6
        assert float(slopes[name][at]) == pytest.approx(wanted, rel=1e-5, abs=1e-8)


def test_bits_come_from_one_uniform_number_per_feature():
    """A bit that is 1 at one density is 1 at every higher one, and rates are right to four standard errors."""
    few, many = (dataclasses.replace(SMALL, feature_probability=p).features.sample(key(3), 4_000) for p in (0.2, 0.6))
    assert np.all(np.asarray(few) <= np.asarray(many))
    assert abs(float(many.mean()) - 0.6) < 4 * np.sqrt(0.24 / 16_000)


A, B = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])


def readout(v, sees_b, w, y, exponent):
    return np.sum(w * np.abs(y - v[0] - v[1] * A - sees_b * v[2] * B) ** exponent)


@pytest.mark.parametrize("exponent", [2, 3, 4])
def test_least_errors_are_those_that_a_minimiser_finds(exponent):
    """The best constant and the best affine readout, for unequal densities."""
    for operation in ("and", "or"):
        rate = gate_rates(PAIRS, UNEQUAL, operation)
        ignored = ignored_errors(PAIRS, UNEQUAL, operation, exponent)
        both = affine_errors(PAIRS, UNEQUAL, operation, exponent, np.ones(4, bool))
        first = affine_errors(PAIRS, UNEQUAL, operation, exponent, np.arange(4) == 0)
        assert_allclose(first[3:], ignored[3:])  # pairs without feature 0
        for g in (0, 4):
            i, j = PAIRS[g]
            found = minimize_scalar(
                lambda c, r: r * abs(1 - c) ** exponent + (1 - r) * abs(c) ** exponent, (0, 1), args=(rate[g],)
            )
            assert ignored[g] == pytest.approx(found.fun, rel=1e-6)
            assert best_constant(rate[g], exponent) == pytest.approx(found.x, abs=1e-4)
            w = np.where(A, UNEQUAL[i], 1 - UNEQUAL[i]) * np.where(B, UNEQUAL[j], 1 - UNEQUAL[j])
            y = (A & B) if operation == "and" else (A | B)
            for sees_b, wanted in ((1, both), (0, first)):
                if sees_b or i == 0:
                    found = minimize(readout, [0.2, 0.5, 0.5], args=(sees_b, w, y, exponent), method="BFGS")
                    assert wanted[g] == pytest.approx(found.fun, rel=1e-4)


def test_equal_densities_leave_the_known_squared_errors():
    for operation in ("and", "or"):
        assert_allclose(affine_errors(PAIRS, np.full(4, 0.3), operation, 2, np.ones(4, bool)), 0.3**2 * 0.7**2)
        r = gate_rates(PAIRS, np.full(4, 0.3), operation)
        assert_allclose(ignored_errors(PAIRS, np.full(4, 0.3), operation, 2), r * (1 - r))
    assert least_error([1.0, 0.0], 4) == 0 and least_error([0.7, 0.3], 1) == 0.3


@pytest.mark.parametrize(("operation", "exponent"), [("and", 4), ("or", 2)])
def test_the_naive_model_costs_its_closed_form(operation, exponent, x64):
    """Exactly over all states; and sampled inputs agree to four standard errors."""
    task = dataclasses.replace(
        SMALL, operation=operation, loss_exponent=exponent, feature_probability=UNEQUAL
    ).broadcast()
    naive, model = task.baseline(), task.naive()
    assert naive.solved.sum() == 3
    assert_allclose(task.error_per_gate(model), naive.per_feature, atol=1e-15)
    x = task.features.sample(key(0), 20_000)
    errors = np.mean(np.abs(np.asarray(model(x) - task.gates(x))) ** exponent, axis=0)
    assert abs(errors.mean() - naive.loss) < 4 * errors.std() / np.sqrt(20_000)


def test_the_linear_control_is_the_better_of_both_ways():
    task = dataclasses.replace(SMALL, n_features=8, n_hidden=12)
    sparse, dense = (dataclasses.replace(task, feature_probability=p) for p in (0.01, 0.5))
    assert sparse.linear_control().carried == 0 and sparse.linear_control().loss == sparse.baseline().loss
    # p = 1/2: eight neurons carry the features, four solve a gate; 1/16 is left of each of the other 24
    assert dense.linear_control().carried == 8 and dense.linear_control().loss == pytest.approx(24 / 28 / 16)
    # even a sparse OR is read off features: with as many neurons as features nothing is solved
    either = dataclasses.replace(task, n_hidden=8, operation="or", feature_probability=0.1).linear_control()
    assert either.carried == 8 and either.loss == pytest.approx(0.1**2 * 0.9**2)
    assert dataclasses.replace(task, n_hidden=28).linear_control().loss == 0


@pytest.mark.parametrize("operation", ["and", "or"])
def test_no_affine_readout_of_m_values_is_better_than_the_rank_bound(operation):
    """The bound is what principal components of the gates leave, all states weighed; it falls to 0 with all ranks."""
    states = (np.arange(16) >> np.arange(4)[:, None]) & 1
    weights = np.prod(np.where(states, UNEQUAL[:, None], 1 - UNEQUAL[:, None]), axis=0)
    a, b = states[PAIRS.T[0]], states[PAIRS.T[1]]
    y = a * b if operation == "and" else np.maximum(a, b)
    centred = (y - y @ weights[:, None]) * np.sqrt(weights)
    singular = np.linalg.svd(centred, compute_uv=False)
    for m in (1, 3, 5, 6):
        assert rank_bound(m, PAIRS, UNEQUAL, operation) == pytest.approx(np.sum(singular[m:] ** 2) / 6, abs=1e-12)
    task = dataclasses.replace(SMALL, operation=operation, feature_probability=0.01)
    if operation == "and":  # sparse: nothing but the naive baseline is left
        assert 0.95 < task.rank_bound() / task.baseline().loss < 1
    assert dataclasses.replace(task, loss_exponent=4).rank_bound() == 0


def test_and_and_or_start_alike():
    """Exchanging 0 and 1 in bits and gates turns a new model for AND at p into the one for OR at 1 − p."""
    both = [
        dataclasses.replace(SMALL, operation=operation, feature_probability=p).init(key(0))
        for operation, p in (("and", 0.3), ("or", 0.7))
    ]
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (4, 9)), float)
    W1, b1, W2, b2 = (np.asarray(w[...]) for w in (both[0].W1, both[0].b1, both[0].W2, both[0].b2))
    exchanged = BooleanModel(*map(jnp.asarray, (-W1, b1 + W1.sum(axis=1), -W2, 1 - b2)))
    assert_allclose(exchanged(x), 1 - both[0](1 - x), atol=1e-5)
    assert_allclose(exchanged.b1[...], -np.asarray(exchanged.W1[...]).sum(axis=1) / 2, atol=1e-6)
    assert_allclose(exchanged.b2[...], both[1].b2[...], atol=1e-6)


def test_some_of_the_pairs_are_a_fixed_random_choice():
    task = dataclasses.replace(SMALL, n_features=30, n_pairs=50, pair_seed=3)
    pairs = task.pairs()
    assert len(np.unique(pairs, axis=0)) == 50 and np.all(pairs[:, 0] < pairs[:, 1])
    assert np.array_equal(pairs, dataclasses.replace(task, n_pairs=60).pairs()[:50])
    assert not np.array_equal(pairs, dataclasses.replace(task, pair_seed=4).pairs())
    assert task.expected_loss(task.naive()) is None  # 2³⁰ states


@pytest.fixture(scope="module")
def result():
    return sp.sweep(SMALL, SHORT, sp.Grid(feature_probability=[0.2, 0.5], seed=[0, 1]), block_size=2)


@pytest.mark.slow
@pytest.mark.optimized
def test_a_cell_of_a_sweep_is_that_cell_alone_and_new_densities_do_not_recompile(result, compilations):
    alone = sp.sweep(SMALL, SHORT, sp.Grid(feature_probability=[0.5], seed=[0, 1]), block_size=2)
    sp.sweep(SMALL, SHORT, sp.Grid(feature_probability=[0.3, 0.4], seed=[0, 1]), block_size=2)
    assert not compilations
    for name in ("W1", "b1", "W2", "b2", "loss"):
        assert np.array_equal(result.sel(feature_probability=[0.5])[name].values, alone[name].values)
    assert result["W2"].dims == ("feature_probability", "seed", "pair", "hidden")
    cell = result.isel(feature_probability=0, seed=1)
    assert isinstance(cell.model(), BooleanModel)
    assert float(cell["loss"]) == pytest.approx(float(cell.task().expected_loss(cell.model())), rel=1e-5)


@pytest.mark.slow
def test_the_naive_network_measures_as_itself(result):
    """Relative loss 1, one gate per neuron, and as many gates computed as there are neurons."""
    changed = sp.SweepResult(result.dataset.isel(seed=[0]).copy(deep=True))
    for k, p in enumerate((0.2, 0.5)):
        task = dataclasses.replace(SMALL, feature_probability=p)
        for name in ("W1", "b1", "W2", "b2"):
            changed[name][k, 0] = np.asarray(getattr(task.naive(), name)[...])
        changed["loss"][k, 0] = task.baseline().loss
    found = measure(changed)
    for name in ("relative", "gates_per_neuron", "computed"):
        assert_allclose(found[name], 1, rtol=1e-6)
    assert float(found["linear"][1, 0]) == pytest.approx(task.linear_control().loss / task.baseline().loss)
    assert float(found["bound"][1, 0]) == pytest.approx(task.rank_bound() / task.baseline().loss)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_features": 1}, "n_features must be at least 2"),
        ({"n_pairs": 7}, "n_pairs must be at most 6, the pairs of 4 features, got 7"),
        ({"operation": "xor"}, "operation must be one of"),
        ({"loss_exponent": 1}, "loss_exponent must be at least 2"),
        ({"feature_probability": 0}, "feature_probability must be above 0"),
        ({"pair_seed": -1}, "pair_seed must be at least 0"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, words, unchecked):
    with pytest.raises(sp.ConfigError) as error:
        sp.train(dataclasses.replace(SMALL, **settings), SHORT)
    assert words in str(error.value)
