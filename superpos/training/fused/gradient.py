"""Loss of the toy model on a fresh batch, and its gradient: drawn and summed tile by tile.

`superpos.models.sums_over_samples` has the formulas. Each feature and each hidden unit is a vector of its own along the
samples of a tile: products of matrices this small are sums of vectors, which stay in registers, and no size needs padding
but the tile's.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos.models.sums_over_samples import MultiplyAdd, Sums, plain_multiply_add, terms
from superpos.training.kernels import draws


class Problem(NamedTuple):
    """What shapes the code of one step: all of it known when the kernel is compiled."""

    n_features: int
    n_hidden: int
    batch_size: int
    tile: int  # samples at a time, a power of two
    activation: str
    magnitude: str


class Numbers(NamedTuple):
    """The numbers of a `Toy` that a step reads."""

    feature_probability: list[Any]  # one per feature, as the next
    importance: list[Any]
    hidden_l1: Float[Array, ""] | None


def loss_and_gradient(
    problem: Problem,
    numbers: Numbers,
    W: Any,
    b: Any,
    uniform: Callable[[int, Any], Any],
    multiply_add: MultiplyAdd = plain_multiply_add,
) -> tuple[Float[Array, ""], Any, Any]:
    """Loss, gradient by W and gradient by b (None without one) on a batch.

    `uniform(i, sample)` are the uniform numbers of feature i that samples of these numbers are made of; beyond the batch
    they are below 1 and otherwise of no account. Arrays may be longer than there are hidden units and features; gradients
    are 0 there.
    """
    hidden, features = range(problem.n_hidden), range(problem.n_features)
    decoder = [[_entry(W, k, i) for i in features] for k in hidden]
    bias = None if b is None else [_entry(b, i) for i in features]
    p, importance = numbers.feature_probability, numbers.importance

    def of_tile(number: Any, sums: Sums) -> Sums:
        sample = number * problem.tile + jax.lax.iota(jnp.int32, problem.tile)
        x = [draws.inputs(uniform(i, sample), p[i], problem.magnitude) for i in features]
        counted = None if problem.batch_size % problem.tile == 0 else sample < problem.batch_size
        return terms(
            decoder,
            bias,
            importance,
            numbers.hidden_l1,
            x,
            problem.activation,
            counted,
            multiply_add,
            before=sums,
        )

    zero = jnp.zeros(problem.tile, W.dtype)
    none = Sums(zero, [zero for _ in features] if bias else [], [[zero for _ in features] for _ in hidden])
    sums = jax.lax.fori_loop(0, -(-problem.batch_size // problem.tile), of_tile, none)
    loss, to_b, to_W = jax.tree.map(jnp.sum, sums)
    scale = 1 / (problem.n_features * problem.batch_size)
    gradient_W = 2 * scale * _gathered({(k, i): to_W[k][i] for k in hidden for i in features}, W.shape, W.dtype)
    if b is None:
        return scale * loss, gradient_W, None
    return scale * loss, gradient_W, 2 * scale * _gathered({(i,): to_b[i] for i in features}, b.shape, b.dtype)


def _is_entry(shape: tuple[int, ...], index: tuple[int, ...]) -> Any:
    """Where an array has the entry of an index: a kernel has no way to one entry of an array but to mask the others."""
    same = [jax.lax.broadcasted_iota(jnp.int32, shape, axis) == place for axis, place in enumerate(index)]
    return reduce(lambda a, b: a & b, same)


def _entry(array: Any, *index: int) -> Any:
    return jnp.sum(jnp.where(_is_entry(array.shape, index), array, 0))


def _gathered(entries: dict[tuple[int, ...], Any], shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of entries by index, 0 elsewhere."""
    array = jnp.zeros(shape, dtype)
    for index, entry in entries.items():
        array = jnp.where(_is_entry(shape, index), entry, array)
    return array
