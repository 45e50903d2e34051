"""Which structure wins: the exact loss of one output, crossovers and winners, against an independent integral."""

import numpy as np
import pytest
from scipy.optimize import minimize

from superpos.claims.uniform_levels import CROSSOVERS
from superpos.theory.one_output import outputs
from superpos.theory.polytopes import polygon, prism, simplex
from superpos.theory.uniform import benefits, crossover, structures, unlearned_loss

BY_NAME = {shape.name: shape for shape in structures()}


def twin(own, others, p, tau):
    r"""E x(y − τ)₊ and E (y − τ)₊² by inverting Laplace transforms: $(y)_+^r = \frac{r!}{2\pi i}\int e^{sy} s^{-r-1} ds$.

    On a line to the right of 0 the integrand is analytic, so the midpoint rule converges faster than any power; what is
    cut off falls like 1/s³. No series, nothing is taken out: it shares no step with the code.
    """
    s = 2 + 1j * np.arange(0.1, 2e4, 0.2)
    active = 1.0
    for g in others:
        if g:
            active = active * (1 - p + p * np.expm1(s * g) / (s * g))
    z = s * own
    with_x = p * (np.exp(z) * (z - 1) + 1) / z**2
    every = (1 - p + p * np.expm1(z) / z) * active * np.exp(-s * tau)
    weight = 0.2 / np.pi
    return weight * np.sum((with_x * active * np.exp(-s * tau) / s**2).real), 2 * weight * np.sum((every / s**3).real)


def test_one_output_is_the_laplace_integral_of_its_row(rng):
    """Lengths, signs, multiplicities, coefficients of 0, several outputs at once, and densities from .9 to .01."""
    rows = [(1.0, [-1.0]), (1.0, [0.309, 0.309, -0.809, -0.809]), (0.7, [*rng.normal(size=6) * 0.5, 0.0])]
    for own, others in rows:
        for p in (0.9, 0.2, 0.01):
            for tau in (-0.4, 0.0, 0.25):
                got = outputs(own, others, np.ones(len(others)), p).both(tau)
                np.testing.assert_allclose(got, twin(own, others, p, tau), rtol=2e-6, atol=1e-9)
    many = outputs(1.0, [0.25, -0.5], [16, 10], 0.1).both(0.2)
    np.testing.assert_allclose(many, twin(1.0, [0.25] * 16 + [-0.5] * 10, 0.1, 0.2), rtol=2e-6)
    both = outputs([1.0, 0.7], [[0.3, -0.8], [0.2, 0.0]], [1, 1], 0.2).both([0.1, -0.2])
    np.testing.assert_allclose(np.transpose(both)[0], twin(1.0, [0.3, -0.8], 0.2, 0.1), rtol=2e-6)
    np.testing.assert_allclose(np.transpose(both)[1], twin(0.7, [0.2], 0.2, -0.2), rtol=2e-6)


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
    """Benefit per dimension by the twin; length and threshold, and the antiprism's height, by a simplex search."""

    def cost(z):
        vertices = hand_made(name, z[1] if len(z) > 1 else 0.5)
        row = np.round(vertices @ vertices[0], 12)
        a, b = twin(1.0, row[1:], p, z[0])
        return p / 3 - a**2 / b

    start = [{True: -0.5, False: 0.05}[p > 0.5]] + [0.55] * (name == "square antiprism")
    found = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-10})
    k, d = hand_made(name, 0.5).shape
    return k * (1 - found.fun / unlearned_loss(p)) / d


@pytest.mark.parametrize("pair", CROSSOVERS, ids=" | ".join)
def test_crossovers_to_four_digits_against_the_twin(pair):
    """Half a unit of the fourth digit to both sides, the twin prefers one and the other; ours lies between, and is claimed."""
    first, second = (BY_NAME[name] for name in pair)
    claimed = CROSSOVERS[pair]
    at = crossover(first, second, (0.98 * claimed, 1.02 * claimed))
    assert at == pytest.approx(claimed, abs=6e-5)
    above, below = (twin_benefit(pair[0], p) - twin_benefit(pair[1], p) for p in (at + 5e-5, at - 5e-5))
    assert above > 0 > below
