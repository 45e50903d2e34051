"""Characteristic functions of magnitudes at many frequencies, and integrals of a rectified line: all in real numbers.

A complex array is a pair `Complex(re, im)`: XLA vectorises two real arrays, and not one array of pairs. Frequencies are
the last axis, which is the one a CPU vectorises over.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Real = Float[Array, "..."]

# Below this the quotients are replaced by their power series (9 terms: exact to rounding in double precision).
SERIES_BELOW = 0.25


class Complex(NamedTuple):
    """A complex array as its real and imaginary parts."""

    re: Any
    im: Any

    def times(self, other: "Complex") -> "Complex":
        """Complex product."""
        return Complex(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)

    def plus(self, other: "Complex") -> "Complex":
        """Complex sum."""
        return Complex(self.re + other.re, self.im + other.im)

    def scaled(self, factor: Any) -> "Complex":
        """Product with a real array."""
        return Complex(factor * self.re, factor * self.im)

    def total(self, axis: int) -> "Complex":
        """Sum along an axis."""
        return Complex(jnp.sum(self.re, axis), jnp.sum(self.im, axis))

    def at(self, *index: Any) -> "Complex":
        """Both parts indexed alike."""
        return Complex(self.re[index], self.im[index])


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def harmonics(angle: Real, order: int) -> Complex:
    r"""$e^{ik\theta}$ for k = 1 … order, on a new last axis.

    One sine and one cosine per angle, the others by doubling: $e^{i(k+l)\theta} = e^{ik\theta} e^{il\theta}$. Twice as
    fast as `order` sines and cosines, and small angles keep their relative precision.
    """
    powers = Complex(jnp.cos(angle)[..., None], jnp.sin(angle)[..., None])
    while powers.re.shape[-1] < order:
        higher = powers.times(powers.at(..., slice(-1, None)))
        powers = Complex(*(jnp.concatenate(pair, axis=-1) for pair in zip(powers, higher, strict=True)))
    return powers.at(..., slice(order))


@harmonics.defjvp
def _(order: int, primals: Any, tangents: Any) -> Any:
    # The derivative of every harmonic is known; nothing is differentiated through the doubling.
    powers = harmonics(primals[0], order)
    change = multiples(tangents[0], order)
    return powers, Complex(-powers.im * change, powers.re * change)


def multiples(x: Real, order: int) -> Real:
    """k x for k = 1 … order, on a new last axis."""
    return x[..., None] * jnp.arange(1, order + 1, dtype=x.dtype).reshape(*(1,) * x.ndim, order)


def sinc(h: Real, sine: Real) -> Real:
    r"""$\sin(h)/h$, given sin(h)."""
    small = jnp.abs(h) < SERIES_BELOW
    square = h * h
    series = 1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72)))
    return jnp.where(small, series, sine / jnp.where(small, 1, h))


def sinc_slope(h: Real, cosine: Real, quotient: Real) -> Real:
    r"""Derivative of sin(h)/h, $(\cos h - \sin(h)/h)/h$, given both."""
    small = jnp.abs(h) < SERIES_BELOW
    square = h * h
    series = -h / 3 * (1 - square / 10 * (1 - square / 28 * (1 - square / 54 * (1 - square / 88))))
    return jnp.where(small, series, (cosine - quotient) / jnp.where(small, 1, h))


def sinc_curvature(h: Real, quotient: Real, slope: Real) -> Real:
    r"""Second derivative of sin(h)/h, $-\sin(h)/h - 2\,(\sin(h)/h)'/h$, given both."""
    small = jnp.abs(h) < SERIES_BELOW
    square = h * h
    tail = 1 - square * (7 / 270) * (1 - square * (9 / 616) * (1 - square * (11 / 1170)))
    series = -(1 - square * 0.3 * (1 - square * (5 / 84) * tail)) / 3
    return jnp.where(small, series, -quotient - 2 * slope / jnp.where(small, 1, h))


class Waves(NamedTuple):
    r"""Of a magnitude u at the frequencies $s = k\pi g$, k = 1 … order, and of the bias at $k\pi$."""

    zeroth: Complex  # E e^{isu}, (n, n, order), g every slope
    own_first: Complex  # E u e^{isu}, (n, order), g the slopes on the diagonal
    phase: Complex  # e^{ikπβ}, (n, order)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def waves(slope: Real, offset: Real, order: int, magnitude: str) -> Waves:
    r"""Characteristic functions for the slopes g, (n, n), and the offsets β, (n,).

    With $h = k\pi g/2$: uniform on [0, 1] gives $e^{ih}\sin(h)/h$. Signed uniform, with $h = k\pi g$, gives $\sin(h)/h$.
    """
    i = np.arange(len(slope))
    zeroth, first, _, phase = _moments(slope, offset, order, magnitude)
    return Waves(zeroth, first.at(i, i), phase)


@waves.defjvp
def _(order: int, magnitude: str, primals: Any, tangents: Any) -> Any:
    # d/ds E uʳ e^{isu} = i E uʳ⁺¹ e^{isu}, which has the sine and the cosine that are known already.
    slope, offset = primals
    i = np.arange(len(slope))
    zeroth, first, parts, phase = _moments(slope, offset, order, magnitude)
    h, powers, quotient, bend = jax.tree.map(lambda x: x[i, i], parts)
    curvature = sinc_curvature(h, quotient, bend)
    if magnitude == "uniform":
        own_second = powers.times(Complex((quotient - curvature) / 4, -bend / 2))
    else:
        own_second = Complex(-curvature, jnp.zeros_like(bend))
    change, turn = multiples(jnp.pi * tangents[0], order), multiples(jnp.pi * tangents[1], order)
    moved = Waves(_turned(first, change), _turned(own_second, change[i, i]), _turned(phase, turn))
    return Waves(zeroth, first.at(i, i), phase), moved


def _turned(wave: Complex, change: Real) -> Complex:
    """i·wave·change."""
    return Complex(-wave.im * change, wave.re * change)


def _moments(
    slope: Real, offset: Real, order: int, magnitude: str
) -> tuple[Complex, Complex, tuple[Any, ...], Complex]:
    r"""$E\,e^{isu}$ and $E\,u\,e^{isu}$ of all slopes, what they are made of, and the phase of the offsets."""
    half = 0.5 if magnitude == "uniform" else 1.0
    angle = jnp.pi * jnp.concatenate([half * slope, offset[:, None]], axis=1)
    both, h = harmonics(angle, order), multiples(angle[:, :-1], order)
    powers, phase = both.at(slice(None), slice(-1)), both.at(slice(None), -1)
    quotient = sinc(h, powers.im)
    bend = sinc_slope(h, powers.re, quotient)
    if magnitude == "uniform":
        zeroth, first = powers.scaled(quotient), powers.times(Complex(quotient / 2, -bend / 2))
    else:
        zeroth, first = Complex(quotient, jnp.zeros_like(quotient)), Complex(jnp.zeros_like(bend), -bend)
    return zeroth, first, (h, powers, quotient, bend), phase


def rectified(slope: Real, offset: Real, magnitude: str) -> Real:
    r"""$E\,\mathrm{ReLU}(g u + b)^2$ over a magnitude u."""
    if magnitude == "signed_uniform":
        return (rectified(slope, offset, "uniform") + rectified(-slope, offset, "uniform")) / 2
    low, high, positive = _positive_part(slope, offset)
    square = slope**2 * (high**3 - low**3) / 3 + slope * offset * (high**2 - low**2) + offset**2 * (high - low)
    return jnp.where(positive, square, 0)


def own_error(slope: Real, offset: Real, magnitude: str) -> Real:
    r"""$E\,(u - \mathrm{ReLU}(g u + b))^2$ over a magnitude u: a feature alone. No cancellation near g = 1, b = 0."""
    if magnitude == "signed_uniform":
        return (_own_error(slope, offset, 1) + _own_error(-slope, offset, -1)) / 2
    return _own_error(slope, offset, 1)


def _own_error(slope: Real, offset: Real, sign: int) -> Real:
    """∫₀¹ (sign·u − ReLU(slope·u + offset))² du: the line's error where it is positive, u² elsewhere."""
    low, high, positive = _positive_part(slope, offset)
    miss = sign - slope
    line = miss**2 * (high**3 - low**3) / 3 - miss * offset * (high**2 - low**2) + offset**2 * (high - low)
    silent = (low**3 + 1 - high**3) / 3
    return jnp.where(positive, line + silent, 1 / 3)


def line_error(low: Real, width: Real, slope: Real, offset: Real) -> Real:
    r"""$E\,(u - \mathrm{ReLU}(g u + b))^2$ over u uniform on [low, low + width]. No cancellation near g = 1, b = 0."""
    start, end, positive = _positive_part(slope * width, offset + slope * low)

    def integral(from_: Any, to: Any, steepness: Any, height: Any) -> Any:
        """∫ (steepness·t + height)² dt"""
        cubes, squares = to**3 - from_**3, to**2 - from_**2
        return steepness**2 * cubes / 3 + steepness * height * squares + height**2 * (to - from_)

    line = integral(start, end, (1 - slope) * width, (1 - slope) * low - offset)
    silent = integral(0.0, start, width, low) + integral(end, 1.0, width, low)
    return jnp.where(positive, line + silent, integral(0.0, 1.0, width, low))


def _positive_part(slope: Real, offset: Real) -> tuple[Real, Real, Bool[Array, "..."]]:
    """Where in [0, 1] slope·u + offset is positive: from, to, and whether anywhere."""
    crosses = jnp.abs(slope) > jnp.abs(offset)  # only then can a root lie inside, and only then is the quotient tame
    root = jnp.clip(-offset / jnp.where(crosses, slope, 1), 0, 1)
    low = jnp.where(crosses & (slope > 0), root, 0)
    high = jnp.where(crosses & (slope < 0), root, 1)
    return low, high, crosses | (offset > 0)
