"""Characteristic functions of magnitudes at many frequencies, and integrals of a rectified line: all in real numbers.

A complex array is a pair `Complex(re, im)`: XLA vectorises two real arrays, and not one array of pairs. Frequencies are
the last axis, which is the one a CPU vectorises over.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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


def characteristic(slope: Real, order: int, magnitude: str) -> tuple[Complex, Real, Complex, Real]:
    r"""$E\,e^{ik\pi g u}$ for a magnitude u, slopes g and k = 1 … order; also what `first_moment` needs.

    With $h = k\pi g/2$: uniform on [0, 1] gives $e^{ih}\sin(h)/h$. Signed uniform, with $h = k\pi g$, gives $\sin(h)/h$.
    """
    angle = jnp.pi * slope * (0.5 if magnitude == "uniform" else 1.0)
    powers = harmonics(angle, order)
    h = multiples(angle, order)
    quotient = sinc(h, powers.im)
    phi = powers.scaled(quotient) if magnitude == "uniform" else Complex(quotient, jnp.zeros_like(quotient))
    return phi, h, powers, quotient


def first_moment(h: Real, powers: Complex, quotient: Real, magnitude: str) -> Complex:
    r"""$E\,u\,e^{isu} = -i\,\frac{d}{ds} E\,e^{isu}$, from what `characteristic` returns."""
    slope = sinc_slope(h, powers.re, quotient)
    if magnitude == "uniform":
        return powers.times(Complex(quotient / 2, -slope / 2))
    return Complex(jnp.zeros_like(slope), -slope)


def count_active(inactive: Real, lone: Any, several: Any, product: Callable[[Any, Any], Any]) -> tuple[Real, Any, Any]:
    r"""Expectations over independent groups, by how many are active: none, exactly one, two or more.

    Group g along axis 1 is inactive with probability $a_g$ = `inactive`, shape (rows, groups, 1). What it contributes
    when active is `lone`$_g$ + `several`$_g$, trees of arrays (rows, groups, …); `several` is not counted as exactly one.
    `product` multiplies two such trees (characteristic functions by complex products, moments by convolution). Returns
    $\prod a_g$, $\sum_g$ `lone`$_g \prod_{l \neq g} a_l$, and the rest.

    No step subtracts, so the rest keeps its relative precision in single precision, be it ever so rare. Groups are halved
    again and again: no quotient is needed where a factor is 0, and the reverse pass costs as little as the forward one.
    """

    def over(function: Callable[..., Real], *trees: Any) -> Any:
        return jax.tree.map(function, *trees)

    while inactive.shape[1] > 1:
        half = inactive.shape[1] // 2
        (a1, e1, r1), (a2, e2, r2), odd = (
            over(lambda x, part=part: x[:, part], (inactive, lone, several))
            for part in (slice(half), slice(half, 2 * half), slice(2 * half, None))
        )
        integral = over(lambda x, y, a1=a1, a2=a2: a1 * y + x * a2, e1, e2)
        both = product(over(jnp.add, e1, r1), over(jnp.add, e2, r2))
        more = over(lambda x, y, z, a1=a1, a2=a2: a1 * y + x * a2 + z, r1, r2, both)
        inactive, lone, several = over(_join, (a1 * a2, integral, more), odd)
    return over(lambda x: x[:, 0], (inactive, lone, several))


def _join(new: Real, rest: Real) -> Real:
    return jnp.concatenate([new, rest], axis=1) if rest.shape[1] else new


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
