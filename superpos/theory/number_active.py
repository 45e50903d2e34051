r"""Expectations over independent groups by how many of them are active: none, exactly one, or more.

Groups are added one at a time, in a loop that a compiler sees once. Everything is a sum of products of probabilities and of
what is sent, so what is rare keeps its relative precision in single precision. No quotient is needed where a factor is 0.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos.models.products import is_gpu
from superpos.theory.characteristic import Complex

Row = Float[Array, " rows"]
PerGroup = Float[Array, "rows groups"]

# On a GPU every pass through a loop is launches of its own; so many passes are written out as one.
UNROLLED = 8


class Probabilities(NamedTuple):
    """How likely some number of groups is active, in every row."""

    none: Row
    any: Row
    several: Row  # two or more members of any groups
    no_other: PerGroup  # no group but this one
    any_other: PerGroup


def probabilities(active: PerGroup, together: np.ndarray) -> Probabilities:
    """The probabilities, from those that some member of a group is `active`.

    The members of a group of `together`, (groups,), are active together, and then several are.
    """
    one, nothing = jnp.ones_like(active[:, 0]), jnp.zeros_like(active[:, 0])

    def add(carry: Any, group: Any) -> Any:
        none, any_, several = carry
        q, is_several = group
        several = (1 - q) * several + q * jnp.where(is_several, 1, any_)
        return ((1 - q) * none, any_ + q * none, several), (none, any_)

    groups = (active.T, jnp.asarray(together))
    (none, any_, several), before = _over_groups(add, (one, nothing, nothing), groups)
    _, after = _over_groups(add, (one, nothing, nothing), groups, reverse=True)
    no_other = before[0] * after[0]
    return Probabilities(none, any_, several, no_other.T, (before[1] + before[0] * after[1]).T)


def waves(active: PerGroup, lone: Complex, together: Complex | None) -> tuple[Complex, Complex]:
    r"""$E[e^{ita}; \text{some member active}]$ and the same of several members, (rows, frequencies).

    `lone` and `together` are what a group adds while it is active, $E[e^{ity}; \text{active}]$, (rows, groups, frequencies):
    one member of it, or several at once (None: never).
    """
    zero = jnp.zeros_like(lone.re[:, 0])

    def add(carry: Any, group: Any) -> Any:
        none, any_, several = carry
        q, one, more = group
        idle = 1 - q[:, None]
        beside = one.times(any_)
        any_, several = any_.scaled(idle).plus(beside).plus(one.scaled(none)), several.scaled(idle).plus(beside)
        if more is not None:
            with_more = more.times(Complex(none + carry[1].re, carry[1].im))
            any_, several = any_.plus(with_more), several.plus(with_more)
        return (none * idle, any_, several), None

    start = (jnp.ones_like(active[:, :1]), Complex(zero, zero), Complex(zero, zero))
    (_, any_, several), _ = _over_groups(add, start, (active.T, *_groups_first((lone, together))))
    return any_, several


def product(factors: Complex) -> Complex:
    """The product along axis 1."""
    first, others = factors.at(slice(None), 0), factors.at(slice(None), slice(1, None))
    return _over_groups(lambda x, factor: (x.times(factor), None), first, _groups_first(others))[0]


def _groups_first(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), tree)


def _over_groups(add: Any, start: Any, groups: Any, *, reverse: bool = False) -> Any:
    return jax.lax.scan(add, start, groups, reverse=reverse, unroll=UNROLLED if is_gpu() else 1)
