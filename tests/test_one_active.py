"""Exactly one feature active: the data, the exact loss and its derivatives, and the polygons that minimise it."""

import jax
import numpy as np
import pytest

import superpos as sp
from superpos.landscapes.curvature import CLEAR_GAP
from superpos.landscapes.polygons import rank_by_threshold
from superpos.theory.single_active import single_active_loss
from superpos.theory.single_active_derivatives import single_active_derivatives

MINIMA = {n: sp.landscapes.polygon_minima(n) for n in range(4, 9)}
# Chen et al. 2023 as printed: length and bias on the polygon, and the losses of six and of five features.
PUBLISHED_POINTS = {5: (1.17046, -0.28230), 6: (1.32053, -0.61814), 7: (1.44839, -0.96691), 8: (1.55045, -1.29119)}
PUBLISHED_LOSSES = {
    5: {"5": 0.01583, "4⁺": 0.05667, "4⁻": 0.06667},
    6: {"6": 0.04819, "5⁺": 0.06180, "5⁻": 0.06874, "4⁺⁻": 0.10417},
}


def row(n, name):
    return MINIMA[n].sel(minimum=MINIMA[n]["name"].values == name).squeeze("minimum")


def flat(W, b):
    return np.concatenate([np.ravel(W), b])


def loss_at(x, n):
    return single_active_loss(x[:-n].reshape(-1, n), x[-n:])


def test_exactly_one_feature_is_active_each_as_often_with_a_uniform_magnitude():
    n, draws = 6, 2**18
    features = sp.FeatureDistribution(n_features=n, **sp.data.one_active(n))
    x = np.asarray(features.sample(jax.random.key(0), draws))
    assert np.mean((x > 0).sum(axis=0) == 1) > 1 - 1e-4
    often = (x > 0).sum(axis=1)
    assert np.all(np.abs(often - draws / n) < 4 * np.sqrt(draws / n * (1 - 1 / n)))
    magnitudes = x.max(axis=0)
    for order, (mean, spread) in {1: (1 / 2, 1 / 12), 2: (1 / 3, 1 / 5 - 1 / 9)}.items():
        assert abs(np.mean(magnitudes**order) - mean) < 4 * np.sqrt(spread / draws)
        np.testing.assert_allclose(features.moment(order), mean / n, rtol=1e-6)
    off_diagonal = np.asarray(features.co_activation())[~np.eye(n, dtype=bool)]
    assert not off_diagonal.any()


@pytest.mark.slow
def test_the_expected_loss_is_exact_at_one_term_of_the_series(rng):
    W, b = 0.9 * rng.normal(size=(2, 4)), 0.3 * rng.normal(size=4)
    with jax.enable_x64(True):
        mean = float(sp.expected_loss(W, b, order=1, **sp.data.one_active(4)))
    assert 4 * mean == pytest.approx(single_active_loss(W, b), rel=1e-12)


def test_a_million_samples_agree_with_the_closed_form(rng):
    n, draws = 5, 1_000_000
    W, b = 0.8 * rng.normal(size=(2, n)), 0.3 * rng.normal(size=n)
    active, u = rng.integers(n, size=draws), rng.random(draws)
    output = np.maximum((W.T @ W)[:, active] * u + b[:, None], 0)
    output[active, np.arange(draws)] -= u
    errors = np.sum(output**2, axis=0)
    assert abs(errors.mean() - single_active_loss(W, b)) < 4 * errors.std() / np.sqrt(draws)


def test_slope_and_curvature_are_those_of_difference_quotients(rng):
    step = 1e-5
    for m, n in ((1, 2), (2, 5), (3, 4)):
        W, b = 0.9 * rng.normal(size=(m, n)), 0.4 * rng.normal(size=n)
        at, x = single_active_derivatives(W, b), flat(W, b)
        ways = step * np.eye(len(x))
        slope = [(loss_at(x + e, n) - loss_at(x - e, n)) / (2 * step) for e in ways]
        sides = [
            [single_active_derivatives((x + s * e)[:-n].reshape(m, n), (x + s * e)[-n:]) for s in (1, -1)] for e in ways
        ]
        bend = [(ahead.gradient - behind.gradient) / (2 * step) for ahead, behind in sides]
        assert at.loss == pytest.approx(single_active_loss(W, b), rel=1e-12)
        np.testing.assert_allclose(at.gradient, slope, atol=1e-9)
        np.testing.assert_allclose(at.hessian, bend, atol=1e-7)


@pytest.mark.slow
def test_the_curvature_is_that_of_the_expected_loss(rng):
    n = 4
    W, b = 0.9 * rng.normal(size=(2, n)), 0.3 * rng.normal(size=n)
    with jax.enable_x64(True):
        settings = sp.data.one_active(n)
        by_door = jax.hessian(lambda x: n * sp.expected_loss(x[:-n].reshape(2, n), x[-n:], order=1, **settings))(
            flat(W, b)
        )
    np.testing.assert_allclose(single_active_derivatives(W, b).hessian, by_door, atol=1e-12)


@pytest.mark.parametrize("n", PUBLISHED_POINTS)
def test_full_polygons_are_those_of_the_paper(n):
    at = row(n, str(n))
    assert (float(at["length"]), float(at["bias"])) == pytest.approx(PUBLISHED_POINTS[n], abs=6e-6)
    assert np.abs(single_active_derivatives(at["W"].values, at["b"].values).gradient).max() < 1e-13
    assert float(at["learning_coefficient"]) == (3 * n - 1) / 2
    assert int(at["index"]) == 0


@pytest.mark.parametrize("n", PUBLISHED_LOSSES)
def test_levels_have_the_published_losses(n):
    measured = dict(zip(MINIMA[n]["name"].values.tolist(), MINIMA[n]["loss"].values.tolist(), strict=True))
    for name, published in PUBLISHED_LOSSES[n].items():
        assert measured[name] == pytest.approx(published, abs=6e-6)
    assert measured["5⁺" if n == 6 else "4⁺"] < measured["5⁻" if n == 6 else "4⁻"]


def test_a_dead_feature_beside_a_pentagon_adds_no_learning_coefficient_a_biased_one_three_halves():
    assert [float(row(6, name)["learning_coefficient"]) for name in ("5⁻", "5⁺")] == [7.0, 8.5]


def test_smooth_ranks_stand_over_five_orders_of_the_threshold():
    for table in MINIMA.values():
        for k in np.flatnonzero((table["kinks"].values == 0) & (table["sides"].values > 0)):
            at = table.isel(minimum=int(k))
            assert float(at["gap"]) > 1e4 * CLEAR_GAP  # the least, at a saddle: 5e9
            assert set(rank_by_threshold(at["W"].values, at["b"].values)) == {int(at["rank"])}


def test_finite_differences_across_the_kinks_of_a_square_show_curvature_that_no_side_has():
    at, n, step = row(7, "4⁻⁻⁻"), 7, 1e-3
    x, ways = flat(at["W"].values, at["b"].values), step * np.eye(21)
    bend = [
        [
            (loss_at(x + e + f, n) - loss_at(x + e - f, n) - loss_at(x - e + f, n) + loss_at(x - e - f, n))
            / (4 * step**2)
            for f in ways
        ]
        for e in ways
    ]
    spurious = np.sum(np.abs(np.linalg.eigvalsh(bend)) > 1e-3)
    assert (int(at["rank"]), int(spurious), int(at["kinks"])) == (11, 17, 20)


@pytest.mark.parametrize(("n", "name"), [(4, "4"), (5, "4⁻"), (5, "4⁺"), (6, "4⁻⁻"), (6, "4⁺⁻"), (7, "4⁻⁻⁻")])
def test_around_a_square_the_loss_rises_by_the_square_of_the_distance_but_for_what_is_free(n, name, rng):
    at = row(n, name)
    W, b = at["W"].values, at["b"].values
    rotation = flat([-W[1], W[0]], np.zeros(n))
    biases = np.eye(3 * n)[2 * n + 4 + int(at["biased"]) :]  # of dead features
    free = np.concatenate([rotation[None] / np.linalg.norm(rotation), biases])
    assert 2 * float(at["learning_coefficient"]) == 3 * n - len(free)
    floor, x = loss_at(flat(W, b), n), flat(W, b)
    assert [loss_at(x + 1e-3 * way, n) for way in free] == pytest.approx([floor] * len(free), abs=1e-10)
    ways = rng.normal(size=(200, 3 * n))
    ways -= ways @ free.T @ free
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    near, nearer = ([(loss_at(x + t * way, n) - floor) / t**2 for way in ways] for t in (1e-4, 1e-5))
    assert min(near) > 0.01
    np.testing.assert_allclose(near, nearer, rtol=0.02)


def test_biased_and_dead_features_beside_a_pentagon_are_a_saddle():
    at = row(7, "5⁺⁻")
    x = flat(at["W"].values, at["b"].values)
    _, ways = np.linalg.eigh(single_active_derivatives(at["W"].values, at["b"].values).hessian)
    assert bool(at["saddle"]) and np.isnan(float(at["learning_coefficient"]))
    assert loss_at(x + 0.1 * ways[:, 0], 7) < float(at["loss"]) - 1e-6


def test_two_features_and_dead_ones_out_of_their_way_stand_on_a_floor_of_all_other_directions(rng):
    for k, name in enumerate(("0⁻⁻⁻⁻⁻⁻", "1⁻⁻⁻⁻⁻", "2⁻⁻⁻⁻")):
        at = row(6, name)
        assert (float(at["loss"]), float(at["learning_coefficient"])) == (pytest.approx((6 - k) / 18), k)
        assert (int(at["rank"]), int(at["kinks"])) == (2 * k, 0)


@pytest.mark.parametrize("n", [1, 2.0, True])
def test_one_active_wants_a_whole_number_of_features(n):
    with pytest.raises(sp.ConfigError, match="n_features"):
        sp.data.one_active(n)


@pytest.mark.parametrize("n", [3, 9, 5.5])
def test_polygons_are_of_four_to_eight_features(n):
    with pytest.raises(sp.ConfigError, match="n_features"):
        sp.landscapes.polygon_minima(n)


def test_derivatives_want_one_bias_per_feature():
    with pytest.raises(sp.ConfigError, match="b must have shape"):
        single_active_derivatives(np.ones((2, 3)), np.zeros(2))


def test_a_hexagon_of_which_two_features_share_a_corner_is_a_minimum_that_no_list_has():
    """Newton's method from a hexagon among seven features, its first corner taken twice."""
    n, angles = 7, np.pi / 3 * np.array([0, 0, 1, 2, 3, 4, 5])
    W = np.array([1.05, 1.05, 1.3, 1.3, 1.3, 1.3, 1.3]) * np.array([np.cos(angles), np.sin(angles)])
    x = flat(W, np.array([-0.48, -0.48, -0.55, -0.57, -0.57, -0.57, -0.55]))
    for _ in range(60):
        at = single_active_derivatives(x[:-n].reshape(2, n), x[-n:])
        sizes, ways = np.linalg.eigh(at.hessian)
        bent = np.abs(sizes) > 1e-6
        x = x - 0.5 * ways[:, bent] @ (ways[:, bent].T @ at.gradient / np.abs(sizes[bent]))
    at = single_active_derivatives(x[:-n].reshape(2, n), x[-n:])
    curvatures = np.linalg.eigvalsh(at.hessian)
    assert np.abs(at.gradient).max() < 1e-12 and at.kinks == 0
    assert at.loss == pytest.approx(0.090047, abs=1e-6)
    assert np.abs(MINIMA[7]["loss"].values - at.loss).min() > 1e-3
    assert curvatures[0] > -1e-12 and np.sum(curvatures > 1e-6) == 20  # λ = 10
