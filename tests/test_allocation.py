"""How latents are shared among features: brute force, exponents of large worlds, losses of tilings, and what is refused."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad

import superpos as sp
from superpos.theory.allocation import allocation_exponents, optimal_allocation, power_law_allocation, tiling_losses


def least(p, curves, n):
    """The least loss of all ways to deal out n latents."""
    ways = (way for way in product(range(n + 1), repeat=len(p)) if sum(way) == n)
    return min(sum(q * curve[k] for q, curve, k in zip(p, curves, way, strict=True)) for way in ways)


@pytest.mark.parametrize("convex", [True, False])
def test_the_optimal_allocation_is_the_best_of_all(convex):
    rng = np.random.default_rng(0)
    for _ in range(40):
        n = int(rng.integers(0, 7))
        gains = rng.exponential(size=(3, n + 2))
        gains = -np.sort(-gains, axis=1) if convex else gains
        curves = 20 - np.concatenate([np.zeros((3, 1)), np.cumsum(gains, axis=1)], axis=1)
        p = rng.uniform(size=3)
        best = optimal_allocation(p, curves, n)
        assert best.latents.sum() == n and best.found == np.sum(best.latents > 0)
        assert_allclose(best.loss, least(p, curves, n))
        assert_allclose(best.loss, p @ curves[np.arange(3), best.latents])


def test_one_curve_is_for_all_features_and_a_useless_latent_goes_to_the_next():
    ray = np.array([1.0, 0, 0, 0, 0])  # a feature of one direction
    assert_array_equal(optimal_allocation([4.0, 2.0, 1.0, 0.5], ray, 3).latents, [1, 1, 1, 0])
    late = np.array([1.0, 1.0, 0.0, 0.0, 0.0])  # nothing before the second: no greedy way
    assert_array_equal(optimal_allocation([3.0, 2.0], [late, ray], 2).latents, [2, 0])
    assert_array_equal(optimal_allocation([3.0, 2.0], [late, ray], 1).latents, [0, 1])


def test_worlds_without_a_last_feature_are_those_of_very_many():
    for alpha, beta, n in ((0.5, 2.0, 40), (3.0, 1.0, 60)):
        world = power_law_allocation(alpha, beta, n)
        p = np.arange(1, 401.0) ** -(1 + alpha)
        best = optimal_allocation(p, (1 + np.arange(101.0)) ** -beta, int(world.latents))
        assert abs(world.latents - n) <= 2
        assert (world.found, world.common) == (best.found, best.latents[0])
        rest = sum(k ** -(1 + alpha) for k in range(401, 200_000))
        total = p.sum() + rest
        assert_allclose(world.loss, (best.loss + rest) / total, rtol=2e-2 if alpha < 1 else 1e-6)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 2.0), (0.25, 3.0), (3.0, 1.0), (3.0, 2 / 3), (4.0, 1.0)])
def test_exponents_are_those_of_large_worlds(alpha, beta):
    few, many = (power_law_allocation(alpha, beta, n) for n in (1e5, 1e6))
    law = allocation_exponents(alpha, beta)
    wide = np.log(many.latents / few.latents)
    for name, sign in (("found", 1), ("common", 1), ("loss", -1)):
        slope = sign * np.log(getattr(many, name) / getattr(few, name)) / wide
        assert abs(slope - getattr(law, name)) < 0.02, name


def test_exponents_meet_at_the_boundary_and_cross_it_as_said():
    assert allocation_exponents(2.0, 2.0) == (1, 1, 2)
    assert_allclose(allocation_exponents(1.0, 2.0), (1, 2 / 3, 1))
    assert_allclose(allocation_exponents(2.0, 1.0), (2 / 3, 1, 1))


def test_tilings_of_the_circle_are_integrals():
    circle = tiling_losses("circle", 8)
    assert_allclose(circle[:3], [1, 0.75, 0.5])
    for n in (2, 3, 8):
        assert_allclose(1 - circle[n], quad(lambda a: np.cos(a) ** 2, 0, np.pi / n)[0] * n / np.pi)


@pytest.mark.slow
def test_tilings_of_other_manifolds_fall_as_their_dimension_says():
    for kind, d in (("sphere", 2), ("torus", 2), ("hypersphere", 3)):
        losses = tiling_losses(kind, 64)
        D = 3 if kind == "sphere" else 4
        assert abs(losses[1] - (1 - 1 / (2 * D))) < 0.01  # half of the sphere is behind the only direction
        assert np.all(np.diff(losses) <= 0)
        assert abs(np.log(losses[16] / losses[64]) / np.log(4) - 2 / d) < 0.1, kind
    # Directions to the corners of a tetrahedron, an octahedron and an icosahedron.
    sphere = tiling_losses("sphere", 64)
    points = np.random.default_rng(5).normal(size=(100_000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    corners = {4: [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], 6: np.concatenate([np.eye(3), -np.eye(3)])}
    for n, book in corners.items():
        reads = points @ (np.array(book, float) / np.linalg.norm(book, axis=1, keepdims=True)).T
        assert abs(sphere[n] - (1 - np.mean(reads.max(axis=1) ** 2))) < 0.01, n


@pytest.mark.parametrize(("call", "words"), [
    (lambda: optimal_allocation([1.0], [1.0, 0.5], 2), "losses must be 3 numbers or more"),
    (lambda: optimal_allocation([1.0, 1.0], np.ones((3, 4)), 2), "or such a row for each of 2 features"),
    (lambda: optimal_allocation([1.0], [1.0, 0.5, 0.6], 2), "losses must not rise"),
    (lambda: optimal_allocation([-1.0], [1.0, 0.5], 1), "frequencies must be at least 0"),
    (lambda: optimal_allocation([], [1.0, 0.5], 1), "frequencies"),
    (lambda: optimal_allocation([1.0], [1.0, 0.5], -1), "n_latents must be"),
    (lambda: allocation_exponents(0.0, 1.0), "alpha must be above 0"),
    (lambda: allocation_exponents(1.0, -1.0), "beta must be above 0"),
    (lambda: power_law_allocation(1.0, 1.0, 0), "n_latents must be at least 1"),
    (lambda: tiling_losses("disc", 3), "manifold must be one of circle"),
    (lambda: tiling_losses("circle", 0), "n_latents must be"),
])  # fmt: skip
def test_what_cannot_be_is_refused_by_name(call, words):
    with pytest.raises(sp.ConfigError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)
