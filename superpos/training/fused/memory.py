"""What passes between a kernel and memory: arrays whose sizes are powers of two, of which a part may lie outside."""

from functools import reduce
from operator import and_
from typing import Any

import jax
from jax.experimental.pallas import triton


def next_power(n: int) -> int:
    """The least power of two that is at least n.

    >>> [next_power(n) for n in (1, 2, 30, 400)]
    [1, 2, 32, 512]
    """
    return 1 << (n - 1).bit_length()


def read(reference: Any) -> Any:
    """An array from memory, with 0 appended where its sizes are no powers of two, as a kernel needs."""
    if (mask := _inside(reference)) is None:
        return reference[...]
    return triton.load(reference.at[_indices(reference)], mask=mask, other=0)


def write(reference: Any, array: Any) -> None:
    """The inverse: what was appended is left out."""
    if (mask := _inside(reference)) is None:
        reference[...] = array
    else:
        triton.store(reference.at[_indices(reference)], array, mask=mask)


def _indices(reference: Any) -> tuple[Any, ...]:
    longer = tuple(map(next_power, reference.shape))
    return tuple(jax.lax.broadcasted_iota("int32", longer, axis) for axis in range(len(longer)))


def _inside(reference: Any) -> Any:
    """Which entries of the longer array there are; None for all."""
    sizes = reference.shape
    if all(n & (n - 1) == 0 for n in sizes):
        return None
    return reduce(and_, (index < n for index, n in zip(_indices(reference), sizes, strict=True)))
