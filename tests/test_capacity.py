"""Capacity: the bound, when it is reached, and its price, against closed forms and an independent optimiser."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from scipy.optimize import linprog

import superpos as sp
from superpos.analysis import feature_capacity, frame_defect
from superpos.experiments import Claims
from superpos.experiments.capacity import (
    capacity_bound,
    capacity_by_importance,
    capacity_map,
    evaluate_allocation,
    evaluate_bound,
)
from superpos.theory.capacity import CapacityLoss, allocation, capacity_losses
from superpos.theory.polytopes import known_shapes, polygon, simplex
from superpos.theory.uniform import Structure, benefits


def blocks(*shapes):
    """Shapes in orthogonal dimensions, as one W."""
    W = np.zeros((sum(s.shape[1] for s in shapes), sum(s.shape[0] for s in shapes)))
    row = column = 0
    for s in shapes:
        W[row : row + s.shape[1], column : column + s.shape[0]] = s.T
        row, column = row + s.shape[1], column + s.shape[0]
    return W


def test_capacity_adds_up_to_m_exactly_where_blocks_are_semi_orthogonal(rng):
    """Pairs and pentagons of any size per block, in any rotation; not where one feature of a block is longer."""
    W = blocks(1.1 * simplex(2), 0.7 * polygon(5), 1.3 * np.ones((1, 1)), polygon(5))
    Q = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    np.testing.assert_allclose(np.sum(feature_capacity(Q @ W)), 6, rtol=1e-5)
    np.testing.assert_allclose(frame_defect(Q @ W), 0, atol=1e-5)
    W[:, 2] *= 1.2
    assert np.sum(feature_capacity(W)) < 6 - 1e-3 and frame_defect(W).max() > 1e-3
    for _ in range(50):
        W = rng.normal(size=(4, 9)) * rng.uniform(0.3, 2, 9)
        C = np.asarray(feature_capacity(W))
        assert np.all((C >= 0) & (C <= 1 + 1e-6)) and C.sum() < 4 and frame_defect(W).max() > 1e-3


def test_frame_defect_by_hand():
    """W_1 = (1, 0), W_2 = (1, 1)/√2: M = [[1.5, .5], [.5, .5]], M W_1 = (1.5, .5), cos² = 2.25/2.5."""
    W = np.array([[1.0, np.sqrt(0.5), 0.0], [0.0, np.sqrt(0.5), 0.0]])
    np.testing.assert_allclose(frame_defect(W), [0.1, 0.1, 0.0], atol=1e-6)


def digon(p):
    """The antipodal pair at norm 1 without bias, p²/6 each."""
    p = np.asarray(p, float)
    return Structure(known_shapes(2)[0], np.ones_like(p), np.zeros_like(p), p**2 / 6, np.full_like(p, np.nan))


def test_two_features_share_a_dimension_from_the_published_boundary_on():
    """r = 2p/(4 − 5p): the phase boundary of 2→1 is where half a dimension is worth the same to both."""
    for p in (0.1, 0.3, 0.5):
        (curve,) = capacity_losses([p], [digon([p])])
        r = 2 * p / (4 - 5 * p)
        np.testing.assert_allclose(curve.capacity, [0, 0.5, 1])
        np.testing.assert_allclose(allocation(curve, [1, 0.99 * r], 1).capacity, [1, 0])
        shared = allocation(curve, [1, 1.01 * r], 1)
        np.testing.assert_allclose(shared.capacity, [0.5, 0.5])
        assert shared.loss == pytest.approx((1 + 1.01 * r) * p**2 / 6)
        assert shared.price == pytest.approx(1.01 * r * curve.benefit[0])


def test_handing_out_the_most_valuable_first_is_optimal(rng):
    """Against a linear programme over the pieces of random convex curves."""
    for _ in range(20):
        capacity = np.concatenate([[0], np.sort(rng.uniform(0.1, 0.9, 3)), [1]])
        slopes = np.sort(rng.uniform(0, 1, 4))[::-1]
        loss = 1 + np.concatenate([[0], -np.cumsum(slopes * np.diff(capacity))])
        weights, m = rng.uniform(0, 1, 6), rng.uniform(0, 6)
        found = allocation(CapacityLoss(capacity, loss), weights, m)
        value = np.outer(weights, slopes).ravel()
        room = np.tile(np.diff(capacity), 6)
        exact = linprog(-value, np.ones((1, 24)), [m], bounds=np.stack([np.zeros(24), room], axis=1))
        assert found.loss == pytest.approx(weights.sum() + exact.fun, rel=1e-9)
        assert found.capacity.sum() == pytest.approx(m) and np.all(
            np.diff(found.capacity[np.argsort(-weights)]) <= 1e-12
        )


def test_the_curve_is_convex_falls_from_left_out_to_nothing_and_is_straight_when_dense():
    p = [1.0, 0.6, 0.1]
    found = benefits(p[1:], [known_shapes(k)[0] for k in (2, 3)] + [known_shapes(5)[1]], order=8)
    dense, middle, sparse = capacity_losses(p, found)
    np.testing.assert_allclose(dense.capacity, [0, 1])
    np.testing.assert_allclose(dense.loss, [1 / 12, 0])
    for curve, density in ((middle, 0.6), (sparse, 0.1)):
        assert curve.loss[0] == pytest.approx(density / 3 - density**2 / 4) and curve.loss[-1] == 0
        assert np.all(np.diff(curve.benefit) < 0) and np.all(curve.benefit > 0)
    assert 2 / 5 in sparse.capacity and 2 / 5 not in middle.capacity
    with pytest.raises(sp.ConfigError, match="one loss for each of 1 densities"):
        capacity_losses([0.5], found)
    for wrong in ({"importance": [-1.0], "capacity": 1}, {"importance": [1.0], "capacity": -1}):
        with pytest.raises(sp.ConfigError, match="must be at least 0"):
            allocation(middle, **wrong)


def test_pictures_show_what_they_are_given():
    p, C = np.array([0.1, 1.0, 0.3]), np.arange(6.0).reshape(3, 2) / 6
    figure, ax = plt.subplots()
    mesh = capacity_map(xr.DataArray(C, {"feature_probability": p}, ("feature_probability", "feature")), ax)
    np.testing.assert_allclose(mesh.get_array().reshape(2, 3), C[[1, 2, 0]].T)  # dense on the left, feature 0 on top
    assert ax.get_ylim() == (1.5, -0.5) and mesh.get_clim() == (0, 1)
    figure.canvas.draw()
    _, ax = plt.subplots()
    capacity_by_importance([1, 0.5], [0.9, 0.1], ax, expected=[1, 0])
    assert [line.get_label() for line in ax.lines] == ["equal marginal benefit", "trained"]
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[1, 0.9], [0.5, 0.1]])
    _, ax = plt.subplots()
    assert capacity_bound([0.1, 0.0], [0.2, 0.0], ax).lines[0].get_xydata().tolist() == [[0.2, 0.1], [0.0, 0.0]]


def table(C, p, **more):
    """A result's best models, cut down to what the judges look at."""
    n = np.shape(C)[1]
    over, dims = {"feature_probability": np.asarray(p, float)}, ("feature_probability", "feature")
    found = xr.Dataset({"capacity": (dims, np.asarray(C)), "defect": (dims, np.zeros(np.shape(C)))}, over)
    best = xr.Dataset({"loss": ("feature_probability", np.full(len(p), 1 / n))}, over)
    best.attrs["task"] = {"n_hidden": 2, "n_features": n}
    price = {"loss": 1.0, "regret": 0.01, "even_regret": 0.5} | more
    price = xr.Dataset({k: ("feature_probability", np.broadcast_to(v, len(p))) for k, v in price.items()}, over)
    return sp.SweepResult(best), found, price.assign(capacity=found["capacity"])


GOOD = ([[1, 1, 0, 0], [1, 0.5, 0.5, 0], [0.5, 0.5, 0.5, 0.5]], (1.0, 0.3, 0.1))


def test_an_ideal_allocation_meets_every_claim():
    claims = Claims("")
    evaluate_allocation(*table(*GOOD), claims)
    assert not claims.failed and len(claims.claims) == 5


@pytest.mark.parametrize(
    ("C", "words"),
    [
        ([[1, 0.9, 0.1, 0], [1, 0.5, 0.5, 0], [0.5] * 4], "dense"),
        ([[1, 1, 0, 0], [0.5, 1, 0.5, 0], [0.5] * 4], "between"),
        ([[1, 1, 0, 0], [1, 0.5, 0.5, 0], [0.4, 0.5, 0.5, 0.5]], "falls with importance"),
        ([[1, 1, 0, 0], [0.5] * 4, [1, 0.5, 0.5, 0]], "sparser"),
    ],
)
def test_another_allocation_fails_its_claim(C, words):
    claims = Claims("")
    evaluate_allocation(*table(C, GOOD[1]), claims)
    assert any(words in claim.statement for claim in claims.failed)


def test_costly_allocations_and_broken_bounds_fail():
    claims = Claims("")
    evaluate_allocation(*table(*GOOD, regret=0.2), claims)
    assert [claim.statement for claim in claims.failed] == ["marginal benefit is equalised"]
    claims = Claims("")
    evaluate_allocation(
        *table(*GOOD, regret=[0.01, 0.01, 0.2]), claims
    )  # at 1/(1 − S) = 10 the curve lacks the best structures
    assert not claims.failed
    for C in ([[1, 1, 0.1, 0]], [[1.2, 0.5, 0, 0]], [[1, 0.5, 0, 0]]):  # too much, above one, too little for a frame
        claims = Claims("")
        evaluate_bound(table(C, (0.5,))[1], 2, claims)
        assert claims.failed and all("identity" in claim.verdict for claim in claims.claims)
