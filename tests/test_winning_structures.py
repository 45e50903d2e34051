"""Which structure wins: the exact loss of one output, crossovers and winners, against an independent integral."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import superpos as sp
from superpos.experiments.uniform_levels import CROSSOVERS
from superpos.theory.one_output import exact_errors, outputs
from superpos.theory.polytopes import polygon, prism, simplex, special_shapes
from superpos.theory.symmetry import deformations, kinds
from superpos.theory.uniform import benefits, crossover, optimum, structures, unlearned_loss, winning_ranges

BY_NAME = {shape.name: shape for shape in structures()}


def twin(own, others, p, most=2e4):
    r"""E x(y − τ)₊ and E (y − τ)₊² at τ, by inverting Laplace transforms: $y_+^r = \frac{r!}{2\pi i}\int e^{sy} s^{-r-1} ds$.

    On a line to the right of 0 the integrand is analytic, so the midpoint rule converges faster than any power; what is
    cut off falls like 1/s³. No series, nothing is taken out: it shares no step with the code.
    """
    s = 2 + 1j * np.arange(0.1, most, 0.2)
    active = 0.2 / np.pi / s**2
    for g in others:
        if g:
            active = active * (1 - p + p * np.expm1(s * g) / (s * g))
    z = s * own
    with_x, every = p * (np.exp(z) * (z - 1) + 1) / z**2 * active, 2 * (1 - p + p * np.expm1(z) / z) * active / s

    def both(tau):
        shift = np.exp(-s * tau)
        return np.sum((with_x * shift).real), np.sum((every * shift).real)

    return both


@pytest.mark.slow
def test_one_output_is_the_laplace_integral_of_its_row(rng):
    """Lengths, signs, multiplicities, coefficients of 0, several outputs at once, and densities from .9 to .01."""
    rows = [(1.0, [-1.0]), (1.0, [0.309, 0.309, -0.809, -0.809]), (0.7, [*rng.normal(size=6) * 0.5, 0.0])]
    for own, others in rows:
        for p in (0.9, 0.2, 0.01):
            exact = twin(own, others, p)
            for tau in (-0.4, 0.0, 0.25):
                got = outputs(own, others, np.ones(len(others)), p).both(tau)
                np.testing.assert_allclose(got, exact(tau), rtol=2e-6, atol=1e-9)
    many = outputs(1.0, [0.25, -0.5], [16, 10], 0.1).both(0.2)
    np.testing.assert_allclose(many, twin(1.0, [0.25] * 16 + [-0.5] * 10, 0.1)(0.2), rtol=2e-6)
    both = outputs([1.0, 0.7], [[0.3, -0.8], [0.2, 0.0]], [1, 1], 0.2).both([0.1, -0.2])
    np.testing.assert_allclose(np.transpose(both)[0], twin(1.0, [0.3, -0.8], 0.2)(0.1), rtol=2e-6)
    np.testing.assert_allclose(np.transpose(both)[1], twin(0.7, [0.2], 0.2)(-0.2), rtol=2e-6)


def test_the_series_is_converged():
    """Twice the terms change no benefit by more than 1e-7 of it: small, deformed and large shapes, dense and sparse."""
    shapes = [BY_NAME[name] for name in ("pentagon", "square antiprism", "2_21", "4_21")]
    for once, twice in zip(*(benefits([0.3, 0.02], shapes, order=order) for order in (64, 128)), strict=True):
        np.testing.assert_allclose(once.benefit, twice.benefit, rtol=1e-7)


def hand_made(name, height):
    return {
        "tetrahedron": lambda: simplex(4),
        "triangle": lambda: simplex(3),
        "antipodal pair": lambda: simplex(2),
        "pentagon": lambda: polygon(5),
        "square antiprism": lambda: prism(4, height, twist=True),
    }[name]()


def twin_benefit(name, p):
    """Benefit per dimension by the twin, at the best length, threshold and height."""

    def cost(height):
        vertices = hand_made(name, height)
        both = twin(1.0, np.round(vertices[1:] @ vertices[0], 12), p, most=4e3)

        def loss(tau):
            a, b = both(tau)
            return p / 3 - a**2 / b  # at the best length

        return minimize_scalar(loss, bounds=(-0.7, 0.5), method="bounded", options={"xatol": 1e-4}).fun

    least = cost(0.5)
    if name == "square antiprism":
        least = minimize_scalar(cost, bounds=(0.4, 0.7), method="bounded", options={"xatol": 2e-4}).fun
    k, d = hand_made(name, 0.5).shape
    return k * (1 - least / unlearned_loss(p)) / d


@pytest.mark.slow
@pytest.mark.parametrize("pair", CROSSOVERS, ids=" | ".join)
def test_crossovers_to_four_digits_against_the_twin(pair):
    """Half a unit of the fourth digit to both sides, the twin prefers one and the other; ours lies between, and is claimed."""
    first, second = (BY_NAME[name] for name in pair)
    claimed = CROSSOVERS[pair]
    at = crossover(first, second, (0.98 * claimed, 1.02 * claimed))
    assert at == pytest.approx(claimed, abs=6e-5)
    above, below = (twin_benefit(pair[0], p) - twin_benefit(pair[1], p) for p in (at + 5e-5, at - 5e-5))
    assert above > 0 > below


def test_antiprisms_have_a_free_height_capped_solids_more_and_regular_ones_nothing():
    """A pentagon's vertices are alike; a bicapped square has two kinds; deformed shapes keep the cosines of their kinds."""
    free = {name: (len(np.unique(BY_NAME[name].kinds)), len(BY_NAME[name].deformations)) for name in (
        "pentagon", "2_21", "square antiprism", "tricapped triangular prism", "capped octahedron", "14-point code",
    )}  # fmt: skip
    assert list(free.values()) == [(1, 0), (1, 0), (1, 1), (2, 1), (3, 2), (3, 3)]
    low, high = prism(4, 0.5, twist=True), prism(4, 0.6, twist=True)
    (way,) = deformations(low)
    moved = low + way * np.sum(way * (high - low)) / np.sum(way**2)
    np.testing.assert_allclose(moved / np.linalg.norm(moved, axis=1, keepdims=True), high, atol=1e-3)
    for shape in special_shapes():
        for way in shape.deformations:
            moved = shape.vertices + 0.05 * way
            moved /= np.linalg.norm(moved, axis=1, keepdims=True)
            np.testing.assert_array_equal(kinds(moved @ moved.T), shape.kinds)


@pytest.mark.slow
def test_nothing_is_left_to_gain_in_any_direction():
    """With kinds, lengths, biases and angles at their best, the loss is flat in every single weight and bias."""
    best = optimum(BY_NAME["tricapped triangular prism"], 0.15)
    with jax.enable_x64(True):
        n = len(best.b)
        slope = jax.grad(lambda W, b: sp.expected_loss(W, b, 0.15, order=128), argnums=(0, 1))(best.W, best.b)
        assert sp.expected_loss(best.W, best.b, 0.15, order=128) == pytest.approx(best.loss, rel=1e-6)
    assert max(float(np.abs(x).max()) for x in slope) < 1e-6 / n


# Winners where features abound, from below x = 1/(1 − S) to above.
LARGER = ("square antiprism", "5-demicube", "2_21", "3_21")


@pytest.mark.slow
def test_gossets_polytopes_follow_the_antiprism():
    """Three crossovers, among the largest benefits of all that compete: found by splitting ranges, and by each pair."""
    shapes = [BY_NAME[name] for name in ("antipodal pair", "pentagon", "cube", "rectified 5-cell", "4_21", *LARGER)]
    ranges = winning_ranges(4.0, 100.0, shapes, steps=4, order=32)
    assert [r.name for r in ranges] == ["antipodal pair", "pentagon", *LARGER]
    np.testing.assert_allclose([r.start for r in ranges], [4, 4.447, 4.897, 5.277, 10.619, 31.479], rtol=1e-4)
    assert [r.stop for r in ranges] == [*(r.start for r in ranges[1:]), 100.0]
    for x, r in zip((4.2, 4.7, 5.1, 8.0, 20.0, 60.0), ranges, strict=True):
        gained = [s.benefit[0] for s in benefits([1 / x], shapes, order=32)]
        assert shapes[int(np.argmax(gained))].name == r.name


def test_wrong_questions_are_refused():
    pair, triangle = BY_NAME["antipodal pair"], BY_NAME["triangle"]
    with pytest.raises(sp.ConfigError, match="must have a crossover of antipodal pair and triangle inside"):
        crossover(pair, triangle, (0.1, 0.2))
    with pytest.raises(sp.ConfigError, match="x_from must be"):
        winning_ranges(1.0, 5.0)
    with pytest.raises(sp.ConfigError, match="x_to must be"):
        winning_ranges(3.0, 2.0)
    with pytest.raises(sp.ConfigError, match="feature_probability must be"):
        optimum(pair, 1.5)


def test_errors_of_any_model_are_those_of_the_expected_loss(rng):
    """Random lengths and biases, a feature of no length with a bias above and one below 0, one that hardly speaks."""
    W, b = rng.normal(size=(2, 5)) * 0.7, rng.normal(size=5) * 0.3
    W[:, 1:3], b[1:4] = 0, (0.2, -0.2, -1.5)
    found = exact_errors(W, b, 0.3)
    np.testing.assert_allclose(found, sp.expected_loss(W, b, 0.3, order=64, per_feature=True), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[1:3], [0.1 - 0.06 + 0.04, 0.1])
