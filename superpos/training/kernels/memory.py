"""What passes between a kernel and memory: arrays whose sizes are powers of two, of which a part may lie outside."""

from functools import reduce
from operator import and_
from typing import Any, NamedTuple

import jax
from jax.experimental.pallas import triton

from superpos.training.kernels.powers import next_power


class Columns(NamedTuple):
    """A part of an array's last axis."""

    first: Any
    length: int  # a power of two; it may reach beyond the end


def read(reference: Any, *at: int, columns: Columns | None = None) -> Any:
    """An array from memory, with 0 appended where its sizes are no powers of two, as a kernel needs.

    Of an array of arrays, that of the indices `at`. A number has no columns.
    """
    sizes = reference.shape[len(at) :]
    if (mask := _inside(sizes, columns)) is None and not (columns and sizes):
        return reference[(*at, ...)]
    return triton.load(reference.at[(*at, *_indices(sizes, columns))], mask=mask, other=None if mask is None else 0)


def write(reference: Any, array: Any, *at: int, columns: Columns | None = None) -> None:
    """The inverse: what was appended is left out."""
    sizes = reference.shape[len(at) :]
    if (mask := _inside(sizes, columns)) is None and not (columns and sizes):
        reference[(*at, ...)] = array
    else:
        triton.store(reference.at[(*at, *_indices(sizes, columns))], array, mask=mask)


def _indices(sizes: tuple[int, ...], columns: Columns | None) -> tuple[Any, ...]:
    longer = tuple(map(next_power, sizes))
    if columns is None or not sizes:
        return tuple(jax.lax.broadcasted_iota("int32", longer, axis) for axis in range(len(longer)))
    *others, last = _indices((*sizes[:-1], columns.length), None)
    return (*others, columns.first + last)


def _inside(sizes: tuple[int, ...], columns: Columns | None) -> Any:
    """Which entries of the longer array there are; None for all."""
    lengths = [*map(next_power, sizes)]
    if columns and sizes:
        lengths[-1] = columns.length
    there = [
        index < size
        for index, size, length in zip(_indices(sizes, columns), sizes, lengths, strict=True)
        if size % length
    ]
    return reduce(and_, there) if there else None
