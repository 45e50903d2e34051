"""How many groups are active, against every subset of them counted; and the waves of magnitudes, against quadrature."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpos.theory import characteristic, number_active
from superpos.theory.characteristic import Complex

ROWS, GROUPS, FREQUENCIES = 2, 4, 3
TOGETHER = np.array([False, False, False, True])


@pytest.fixture(scope="module")
def groups():
    """Probabilities, the last of them 0 in one row, and what groups send while they are active."""
    rng = np.random.default_rng(0)
    active = rng.uniform(0.01, 0.99, (ROWS, GROUPS))
    active[1, 2] = 0
    waves = rng.normal(size=(ROWS, GROUPS, FREQUENCIES)) + 1j * rng.normal(size=(ROWS, GROUPS, FREQUENCIES))
    return active, active[..., None] * waves


def as_complex(wave):
    return np.asarray(wave.re) + 1j * np.asarray(wave.im)


def subsets():
    """Every set of active groups, and how many members are active at least: a group of `TOGETHER` counts as two."""
    for chosen in itertools.product((False, True), repeat=GROUPS):
        yield np.array(chosen), sum(1 + both for is_active, both in zip(chosen, TOGETHER, strict=True) if is_active)


def test_probabilities_are_those_of_all_subsets(groups):
    """None, any, several, no other and any other: sums over the sixteen subsets."""
    active, _ = groups
    with jax.enable_x64(True):
        likely = number_active.probabilities(jnp.asarray(active), TOGETHER)
    counted = {name: np.zeros_like(np.asarray(getattr(likely, name))) for name in likely._fields}
    for chosen, members in subsets():
        each = np.where(chosen, active, 1 - active)
        mass = each.prod(1)
        counted["none"] += mass * (members == 0)
        counted["any"] += mass * (members > 0)
        counted["several"] += mass * (members > 1)
        for g in range(GROUPS):
            others = np.delete(chosen, g).any()
            counted["any_other" if others else "no_other"][:, g] += mass
    for name, expected in counted.items():
        np.testing.assert_allclose(getattr(likely, name), expected, rtol=1e-12, atol=1e-15, err_msg=name)


def test_waves_are_those_of_all_subsets(groups):
    """A subset sends the product of what its groups send."""
    active, sent = groups
    any_, several = np.zeros((2, ROWS, FREQUENCIES), complex)
    for chosen, members in subsets():
        term = np.where(chosen[None, :, None], sent, (1 - active)[..., None]).prod(1)
        any_, several = any_ + term * (members > 0), several + term * (members > 1)
    with jax.enable_x64(True):
        lone, both = (np.where(blank[None, :, None], 0, sent) for blank in (TOGETHER, ~TOGETHER))
        pairs = [Complex(jnp.asarray(np.real(x)), jnp.asarray(np.imag(x))) for x in (lone, both)]
        computed = number_active.waves(jnp.asarray(active), *pairs)
        alone = number_active.waves(jnp.asarray(active[:, :3]), pairs[0].at(slice(None), slice(3)), None)
        with_none = number_active.waves(jnp.asarray(active[:, :3]), *(x.at(slice(None), slice(3)) for x in pairs))
    for wave, expected in zip(computed, (any_, several), strict=True):
        np.testing.assert_allclose(as_complex(wave), expected, rtol=1e-12)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(with_none), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_rare_events_keep_their_precision():
    """Two of three groups of probability 1e-4 in single precision: 3e-8 to six digits, which 1 − P(none) − P(one) loses."""
    likely = number_active.probabilities(jnp.full((1, 3), 1e-4), np.zeros(3, bool))
    p = 1e-4
    np.testing.assert_allclose(likely.several[0], 3 * p**2 - 2 * p**3, rtol=1e-6)
    np.testing.assert_allclose(likely.any_other[0], 2 * p - p**2, rtol=1e-6)


@pytest.mark.parametrize("magnitude", ["uniform", "signed_uniform"])
def test_waves_and_their_derivatives_are_integrals(magnitude):
    r"""$E u^r e^{isu}$ by Gauss–Legendre: the values, and their changes with every slope and offset, once and twice."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    u, w = ((nodes + 1) / 2, weights / 2) if magnitude == "uniform" else (nodes, weights / 2)
    order, k = 5, np.arange(1, 6)
    slope, offset = np.array([[0.15, -0.9], [1e-3, -0.07]]), np.array([0.2, -0.7])  # on both sides of the power series

    def moment(power, g):
        return np.sum(w * u**power * np.exp(1j * np.pi * np.multiply.outer(np.multiply.outer(g, k), u)), axis=-1)

    with jax.enable_x64(True):
        arguments = jnp.asarray(slope), jnp.asarray(offset)
        tangents = jnp.asarray([[0.3, -2.0], [1.0, 0.7]]), jnp.asarray([1.0, -0.4])

        def of_line(t):
            moved = (x + t * d for x, d in zip(arguments, tangents, strict=True))
            return characteristic.waves(*moved, order, magnitude)

        once = jax.jacfwd(of_line)
        value, first, second = of_line(0.0), once(0.0), jax.jacfwd(once)(0.0)
    to_slope, to_offset = (np.asarray(x) for x in tangents)
    own, d, d_own = np.diag(slope), to_slope[..., None], np.diag(to_slope)[:, None]
    turn = to_offset[:, None]
    s = 1j * np.pi * k
    phase = np.exp(s * offset[:, None])
    expected = [
        (moment(0, slope), moment(1, own), phase),
        (s * d * moment(1, slope), s * d_own * moment(2, own), s * turn * phase),
        ((s * d) ** 2 * moment(2, slope), (s * d_own) ** 2 * moment(3, own), (s * turn) ** 2 * phase),
    ]
    for computed, exact in zip((value, first, second), expected, strict=True):
        for wave, integral in zip(computed, exact, strict=True):
            np.testing.assert_allclose(as_complex(wave), integral, rtol=1e-9, atol=1e-10)
