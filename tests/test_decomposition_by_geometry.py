"""Decompositions of toy models of several shapes: what counts as taken apart, and claims that fail where they should."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.experiments import Claims, decomposing
from superpos.experiments import decomposition_by_geometry as experiment
from superpos.tasks.base import materialize

REPRESENTED = (8, 7, 6)


def targets(shapes=experiment.SHAPES, loss=(1.0, 1.01, 1.04)):
    return experiment.Targets(np.zeros((3, 3, 8)), np.zeros((3, 8)), np.array(loss), list(shapes))


def measured(n=16):
    """Every model taken apart at the second coefficient, none at the others."""
    dims, shape = ("source", "minimality_coefficient", "seed"), (3, 3, n)
    live = np.broadcast_to(np.reshape(REPRESENTED, (3, 1, 1)), shape).astype(float)
    apart = np.zeros(shape)
    apart[:, 1] = 1.0
    coords = {"source": [0, 1, 2], "minimality_coefficient": [1e-3, 2e-3, 4e-3], "seed": np.arange(n)}
    return xr.Dataset({"taken_apart": (dims, apart), "live": (dims, live)}, coords)


def failed(table, of):
    claims = Claims("")
    experiment.evaluate(table, of, claims)
    assert len(claims.claims) == 5
    return [claims.claims.index(claim) for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    table, of = measured(), targets()
    assert experiment.best_coefficient(table["taken_apart"] > 0, 2) == 2e-3
    assert failed(table, of) == []
    assert failed(table, targets(loss=(1.0, 1.01, 1.06))) == [0]
    assert failed(table, targets(shapes=("irregular", *experiment.SHAPES[1:]))) == [0, 1, 2, 3, 4]
    shared = table.copy(deep=True)
    shared["taken_apart"][2, 1, :2] = 0
    assert failed(shared, of) == [3]
    shared["taken_apart"][2] = 0
    assert failed(shared, of) == [3, 4]


def test_need_tells_opposite_columns_from_a_trace_and_from_a_shared_subcomponent():
    W = np.array(
        [[1.0, -1.0, 0.0, 0.2], [0.0, 0.0, 1.0, 0.0]]
    )  # a pair, a column of its own, and one too short to count
    U, V = (
        np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]),
        np.array([[0.95, -0.05, 0, 0], [-0.05, 0.95, 0, 0], [0, 0, 1, 0]]),
    )
    importances = np.eye(3, 4)
    recovery = sp.analysis.subcomponent_recovery(W, U, V, above=0.5)
    assert list(recovery.best[:2]) == [0, 0] and recovery.ml2r == pytest.approx(
        (0.95 + 0.05 + 1) / 3
    )  # takes the trace
    assert decomposing.by_need(W, U, V, importances) == pytest.approx((0, 1, (0.95 + 0.95 + 1) / 3, 3))
    shared = np.array([[1.0, -1.0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]])
    need = decomposing.by_need(W, U, shared, np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]))
    assert need == pytest.approx((2, 1, 1, 3))  # right columns, but two inputs need one subcomponent
    assert decomposing.by_need(W, U[:, :2], V[:2], importances[:2]).need_error == 3
    assert decomposing.by_need(0 * W, U, V, importances).n_represented == 0


def pair(V, U, signs):
    """A decomposition of W = (1, −1) whose subcomponents have importance 1 where h > 0, or also below 0, and else 0."""
    k, n = 1e3, len(V)  # GELU(kh − 10) − GELU(kh − 11) is 0 up to h = 0 and then 1
    gate_in = np.broadcast_to(k * np.array([1, 1, -1, -1.0]), (2, n, 4))
    bias = np.broadcast_to(np.array([-10, -11, -10, -11.0]), (2, n, 4))
    out = np.array([[[1, -1, *(1, -1) * both, *(0, 0) * (not both)] for both in signs]] * 2, float)
    return sp.models.Decomposition(V, U, gate_in, bias, out, np.zeros((2, n)))


@pytest.mark.slow
def test_one_subcomponent_for_a_pair_is_as_exact_and_its_loss_is_lower(unchecked):
    """By β p²: inputs of both features need one subcomponent of W instead of two; in the transpose ReLU needs one only."""
    p = 0.05
    task = sp.tasks.ParameterDecomposition(
        n_features=2, n_hidden=1, n_subcomponents=2, target_W=np.array([[1.0, -1.0]])
    )
    task = materialize(task.broadcast())
    x, weights = (
        np.array([[0, 0.75, 0, 0.75], [0, 0, 0.5, 0.5]]),
        np.array([(1 - p) ** 2, p * (1 - p), p * (1 - p), p**2]),
    )
    each = pair(np.eye(2), np.array([[1.0, -1.0]]), (False, False))
    shared = pair(np.array([[1.0, -1.0], [0, 0]]), np.array([[1.0, 0.0]]), (True, True))
    r = np.random.default_rng(0).uniform(size=(2, 2, 4)).astype(np.float32)
    of_each, of_shared = (
        task.terms(model, jnp.asarray(x, jnp.float32), jnp.asarray(r), jnp.asarray(weights, jnp.float32))
        for model in (each, shared)
    )
    for terms in (of_each, of_shared):
        np.testing.assert_allclose([terms.faithfulness, terms.stochastic, terms.layerwise], 0, atol=1e-7)
    np.testing.assert_allclose([of_each.minimality, of_shared.minimality], [4 * p - p**2, 4 * p - 2 * p**2], rtol=1e-3)


@pytest.mark.slow
def test_sources_are_the_toy_models_of_least_loss_of_each_shape():
    size = experiment.SIZES.quick
    toys = sp.sweep(*experiment.build_toys(size), progress=False)
    of = experiment.targets(toys)
    assert of.W.shape == (3, 3, 8) and of.b.shape == (3, 8)
    names, losses = toys.geometry()["shape"].values, toys["loss"].values
    for k, shape in enumerate(experiment.SHAPES):
        expected = losses[names == shape].min() if (names == shape).any() else losses.min()
        assert of.loss[k] == expected
    task, _, grid = experiment.build(size, of)
    task.check()
    assert set(grid.axes) == {"source", "minimality_coefficient", "seed"} and task.stratified
