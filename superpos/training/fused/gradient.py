r"""Loss of the toy model on a fresh batch, and its gradient, written out: drawn and summed tile by tile.

With $h = Wx$, $a = W^\top h + b$, $x' = f(a)$ and $e = x' - x$, f = ReLU or identity, the loss of n features and a batch is

$$L = \frac{1}{n\,\text{batch}} \sum_\text{samples} \Big(\sum_i I_i e_i^2 + \lambda \sum_k |h_k|\Big).$$

With $d_i = I_i e_i f'(a_i)$ and $g_k = \sum_i W_{ki} d_i + \tfrac\lambda2 \operatorname{sign} h_k$ its gradient is, up to
twice that factor, $\partial L / \partial b_i = \sum d_i$ and, since W both encodes and decodes,
$\partial L / \partial W_{ki} = \sum (h_k d_i + g_k x_i)$.

Features and hidden units are few, and each is a vector of its own along the samples of a tile: products of matrices this
small are sums of vectors, which stay in registers, and no size needs padding but the tile's.
"""

from functools import reduce
from operator import add
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from superpos.training.fused import draws


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


class Sums(NamedTuple):
    """Over samples: of the loss, and of its derivatives by b, one per feature, and W, first by hidden unit."""

    loss: Any
    to_b: list[Any]
    to_W: list[list[Any]]


def loss_and_gradient(
    problem: Problem, numbers: Numbers, W: Any, b: Any, key: draws.Words
) -> tuple[Float[Array, ""], Any, Any]:
    """Loss, gradient by W and gradient by b (None without one) on the batch of a step's key.

    Arrays may be longer than there are hidden units and features; gradients are 0 there.
    """
    hidden, features = range(problem.n_hidden), range(problem.n_features)
    decoder = [[_entry(W, k, i) for i in features] for k in hidden]
    bias = None if b is None else [_entry(b, i) for i in features]
    p, importance = numbers.feature_probability, numbers.importance

    def of_tile(number: Any, sums: Sums) -> Sums:
        sample = number.astype(jnp.uint32) * jnp.uint32(problem.tile) + _iota(problem.tile)
        x = draws.features(key, sample, p, batch_size=problem.batch_size, magnitude=problem.magnitude)
        counted = None if problem.batch_size % problem.tile == 0 else sample < jnp.uint32(problem.batch_size)
        more = sums_of(problem, decoder, bias, importance, numbers.hidden_l1, x, counted)
        return jax.tree.map(add, sums, more)

    zero = jnp.zeros(problem.tile, W.dtype)
    none = Sums(zero, [zero for _ in features] if bias else [], [[zero for _ in features] for _ in hidden])
    sums = jax.lax.fori_loop(0, -(-problem.batch_size // problem.tile), of_tile, none)
    loss, to_b, to_W = jax.tree.map(jnp.sum, sums)
    scale = 1 / (problem.n_features * problem.batch_size)
    gradient_W = 2 * scale * _gathered({(k, i): to_W[k][i] for k in hidden for i in features}, W.shape, W.dtype)
    if b is None:
        return scale * loss, gradient_W, None
    return scale * loss, gradient_W, 2 * scale * _gathered({(i,): to_b[i] for i in features}, b.shape, b.dtype)


def sums_of(
    problem: Problem, W: list[list[Any]], b: Any, importance: list[Any], hidden_l1: Any, x: list[Any], counted: Any
) -> Sums:
    """What some samples add: `x` has a vector of them for each feature. Those that are not `counted` add nothing."""
    hidden, features = range(problem.n_hidden), range(problem.n_features)
    h = [_total(W[k][i] * x[i] for i in features) for k in hidden]
    a = [_total(W[k][i] * h[k] for k in hidden) for i in features]
    a = a if b is None else [a[i] + b[i] for i in features]
    relu = problem.activation == "relu"
    error = [(jnp.maximum(a[i], 0) if relu else a[i]) - x[i] for i in features]
    if counted is not None:
        h = [jnp.where(counted, unit, 0) for unit in h]
        error = [jnp.where(counted, e, 0) for e in error]
    weighted = [importance[i] * error[i] for i in features]
    loss = _total(weighted[i] * error[i] for i in features)
    d = [jnp.where(a[i] > 0, weighted[i], 0) if relu else weighted[i] for i in features]
    g = [_total(W[k][i] * d[i] for i in features) for k in hidden]
    if hidden_l1 is not None:
        loss += hidden_l1 * _total(jnp.abs(unit) for unit in h)
        g = [g[k] + hidden_l1 / 2 * jnp.sign(h[k]) for k in hidden]
    to_W = [[h[k] * d[i] + g[k] * x[i] for i in features] for k in hidden]
    return Sums(loss, d if b is not None else [], to_W)


def _total(vectors: Any) -> Any:
    return reduce(add, vectors)


def _iota(length: int) -> UInt32[Array, " tile"]:
    return jax.lax.iota(jnp.uint32, length)


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
