"""Readings of directions and curves: circular order, overlap against Welch's floor, scaling exponents."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import superpos as sp
from superpos.errors import ConfigError


def _circle(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)])


@pytest.mark.slow
@given(
    k=st.integers(7, 12),
    start=st.floats(0, 6),
    mirrored=st.booleans(),
    seed=st.integers(0, 100),
)
@settings(max_examples=25, deadline=None)
def test_a_ring_in_data_order_is_one_wherever_it_begins_and_whichever_way_it_runs(k, start, mirrored, seed):
    rng = np.random.default_rng(seed)
    positions = rng.permutation(k)  # feature i stands at place positions[i] of the data
    angles = start + (-1) ** mirrored * 2 * np.pi * (positions + rng.uniform(-0.2, 0.2, k)) / k
    # Also as a plane in five dimensions, with features of other lengths.
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0][:, :2]
    ring = sp.analysis.ring_order(basis @ _circle(angles) * rng.uniform(0.9, 1.1, k), positions, permutations=999)
    assert_allclose(ring.statistic, 1, atol=1e-12)
    assert ring.p_value < 0.01


def test_p_values_of_the_circular_order_are_those_of_all_orders():
    """Five features: of the 120 orders the exact share that does as well, against the permutations drawn."""
    import itertools

    place = np.array([0, 1, 3, 2, 4])
    W = _circle(2 * np.pi * place / 5)
    ring = sp.analysis.ring_order(W, permutations=20_000)
    scores = np.exp(2j * np.pi * np.arange(5) / 5)

    def statistic(order: np.ndarray) -> float:
        return max(abs(np.mean(scores[order] * scores.conj())), abs(np.mean(scores[order].conj() * scores.conj())))

    observed = statistic(place)
    exact = np.mean([statistic(np.array(o)) >= observed - 1e-9 for o in itertools.permutations(range(5))])
    assert_allclose(ring.statistic, observed, atol=1e-12)
    assert abs(ring.p_value - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000)


def test_directions_without_order_are_called_a_ring_no_more_often_than_the_level_says():
    rng = np.random.default_rng(0)
    p_values = [sp.analysis.ring_order(rng.normal(size=(2, 12)), permutations=299, above=0).p_value for _ in range(200)]
    assert np.mean(np.array(p_values) <= 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.001


def test_features_without_length_are_left_out_of_a_ring():
    W = np.concatenate([_circle(2 * np.pi * np.arange(8) / 8), 0.1 * _circle(np.array([1.0, 5.0, 3.0]))], axis=1)
    ring = sp.analysis.ring_order(W, permutations=999)
    assert_allclose(ring.statistic, 1, atol=1e-12)
    assert np.isnan(ring.angles).tolist() == [False] * 8 + [True] * 3
    assert ring.p_value == sp.analysis.ring_order(W, permutations=999).p_value


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "m"), [(2, 1), (9, 2), (6, 6), (4, 6)])
def test_overlaps_are_those_of_a_double_loop_and_never_below_the_floor_of_welch(n, m, seed):
    W = np.random.default_rng(seed).normal(size=(m, n))
    units = W / np.linalg.norm(W, axis=0)
    pairs = [(units[:, i] @ units[:, j]) ** 2 for i in range(n) for j in range(n) if i != j]
    assert_allclose(sp.analysis.mean_squared_overlap(W), np.mean(pairs), rtol=2e-5, atol=1e-6)
    assert sp.analysis.welch_floor(n, m) <= np.mean(pairs) + 1e-9


@pytest.mark.parametrize("k", [3, 5, 8])
def test_regular_polygons_and_bases_reach_the_floor_of_welch(k):
    polygon = _circle(2 * np.pi * np.arange(k) / k)
    assert_allclose(sp.analysis.mean_squared_overlap(polygon), sp.analysis.welch_floor(k, 2), rtol=1e-5)
    assert_allclose(sp.analysis.mean_squared_overlap(np.eye(k)), sp.analysis.welch_floor(k, k), atol=1e-6)
    assert float(sp.analysis.mean_squared_overlap(np.zeros((2, k)))) == 0


def test_exponents_of_power_laws_are_found_with_intervals_that_hold_as_often_as_they_say():
    sizes = np.array([10, 20, 40, 80])
    exact = sp.analysis.scaling_exponent(sizes, 5 * sizes**-0.7)
    assert_allclose([exact.value, exact.low, exact.high, exact.r_squared], [0.7, 0.7, 0.7, 1], rtol=1e-9)
    rng = np.random.default_rng(0)
    held = {1: 0, 5: 0}
    for seeds in held:
        for _ in range(400):
            noise = np.exp(0.1 * rng.normal(size=(4, seeds)))
            fit = sp.analysis.scaling_exponent(sizes, sizes[:, None] ** -1.0 * noise)
            held[seeds] += fit.low <= 1 <= fit.high
    for count in held.values():
        assert abs(count / 400 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 400)
    twice = sp.analysis.scaling_exponent([1, 2], [1.0, 0.5])
    assert_allclose(twice.value, 1) and np.isnan(twice.low)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("W must have two or more rows", lambda: sp.analysis.ring_order(np.ones((1, 5)))),
        ("four|4 or more features", lambda: sp.analysis.ring_order(np.ones((2, 3)))),
        ("positions must differ", lambda: sp.analysis.ring_order(np.ones((2, 5)), [0, 1, 1, 2, 3])),
        ("positions", lambda: sp.analysis.ring_order(np.ones((2, 5)), [0, 1])),
        ("permutations must be at least 99", lambda: sp.analysis.ring_order(np.ones((2, 5)), permutations=3)),
        ("W", lambda: sp.analysis.ring_order(np.full((2, 5), np.nan))),
        ("W: number of features must be at least 2", lambda: sp.analysis.mean_squared_overlap(np.ones((2, 1)))),
        ("n_hidden must be at least 1", lambda: sp.analysis.welch_floor(4, 0)),
        ("sizes must hold two", lambda: sp.analysis.scaling_exponent([3, 3], [1, 2])),
        ("losses must be above 0", lambda: sp.analysis.scaling_exponent([3, 4], [1, 0])),
        ("losses must be one per size", lambda: sp.analysis.scaling_exponent([3, 4], [1, 2, 3])),
        ("confidence must be above 0 and below 1", lambda: sp.analysis.scaling_exponent([3, 4], [1, 2], confidence=1)),
    ],
)
def test_readings_refuse_what_they_cannot_read(words, call):
    with pytest.raises(ConfigError, match=words):
        call()
