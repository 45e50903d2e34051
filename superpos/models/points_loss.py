"""The loss of a model on the first T of a fixed set of points, with its gradient: a kernel for blocks of models.

The one place besides `sweeping/mesh.py` that knows of many models. Two batching rules say what vmapping makes of it: each
model of a block goes through its own number of points, one after another. Without them all would wait for the largest set.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos.models.toy import FULL_PRECISION

# Points of one step of the loops over a data set, the most first: many, for the products, and few for what is left after
# them, so that a small set does not pay for a large tile. On a CPU three arrays of a tile's size must stay in the cache of
# its core; elsewhere a tile must keep thousands of cores busy.
TILES = {"cpu": (32, 8)}
TILES_ELSEWHERE = (4_096, 256, 16)
MAX_NUMBERS = {"cpu": 2**15}
MAX_NUMBERS_ELSEWHERE = 2**26
# Points that are drawn together, a multiple of the smallest tile.
DRAWN = 16
# Rows that are multiplied one by one.
FEW = 8

Points = Float[Array, "points n_features"]  # in rows: a tile of them is then contiguous


@jax.custom_batching.custom_vmap
def largest_in_block(size: Any) -> Any:
    """The size, or the largest of a block: the number of points to draw is one for all, so that the loop is a plain one."""
    return size


@largest_in_block.def_vmap
def _(axis_size: int, batched: list[bool], size: Any) -> tuple[Any, bool]:
    return jnp.max(size), False


@jax.custom_vjp
def points_loss(
    W: Float[Array, "n_hidden n_features"], b: Float[Array, " n_features"], points: Points, n_points: Float[Array, ""]
) -> Float[Array, ""]:
    r"""$\frac1T \sum_{j \le T} \|\mathrm{ReLU}(W^\top W x_j + b) - x_j\|_2^2$ for the first T = `n_points` rows.

    The number of rows is a multiple of `DRAWN`. Only tiles that hold one of the T points are gone through, in the forward
    pass, which finds the gradient for W and b as well (as reverse mode could not, the length of the loops being data).
    `points` and `n_points` have no gradient: it is 0.
    """
    return _loss_and_gradient(W, b, points, n_points)[0]


@jax.custom_batching.custom_vmap
def _loss_and_gradient(W: Any, b: Any, points: Any, n_points: Any) -> tuple[Any, Any, Any]:
    return _of_one(W, b, points[None], jnp.int32(0), n_points)


# In a block one model follows another, each to its own T, in the program of one: together all would wait for the largest.
@_loss_and_gradient.def_vmap
def _(axis_size: int, batched: list[bool], *arguments: Any) -> tuple[Any, Any]:
    W, b, points, n_points = (
        leaf if is_batched else jnp.broadcast_to(leaf, (axis_size, *leaf.shape))
        for leaf, is_batched in zip(arguments, batched, strict=True)
    )
    # Points are looked up in the loop over tiles: a loop over models would copy the whole set of each at every step.
    each = (W, b, jnp.arange(axis_size, dtype=jnp.int32), n_points)
    losses_and_gradients = jax.lax.map(lambda model: _of_one(model[0], model[1], points, model[2], model[3]), each)
    return losses_and_gradients, (True, True, True)


def _of_one(W: Any, b: Any, sets: Any, which: Any, n_points: Any) -> tuple[Any, Any, Any]:
    count = n_points.astype(jnp.int32)
    decoder = jnp.concatenate([b[None], W])  # the bias is a hidden unit that is always 1

    def add(start: Any, size: int, sums: Any) -> Any:
        loss, decoding, encoding = sums
        counted = start + jnp.arange(size) < count
        x = jax.lax.dynamic_slice(sets, (which, start, jnp.zeros_like(start)), (1, size, len(b)))[0]
        x = jnp.where(counted[:, None], x, 0)
        h = jnp.concatenate([counted[None].astype(W.dtype), _rows_times(W, x.T)])
        a = _combinations(h, decoder)  # 0 beyond T, and so is the error
        error = jnp.maximum(a, 0) - x
        to_a = jnp.where(a > 0, error, 0)  # half of dL/da
        to_h = _rows_times(W, to_a.T)
        return (
            loss + jnp.vdot(error, error, precision=FULL_PRECISION),
            decoding + _rows_times(h, to_a),
            encoding + _rows_times(to_h, x),
        )

    sums: Any = (jnp.zeros((), W.dtype), jnp.zeros_like(decoder), jnp.zeros_like(W))
    done: Any = 0
    for size in (sizes := _tiles(*sets.shape[1:])):
        first, stop = done // size, (count if size > sizes[-1] else count + size - 1) // size
        sums = jax.lax.fori_loop(first, stop, lambda k, sums, size=size: add(k * size, size, sums), sums)
        done = stop * size
    loss, decoding, encoding = sums
    return loss / n_points, 2 * (decoding[1:] + encoding) / n_points, 2 * decoding[0] / n_points


def _tiles(most_points: int, n_features: int) -> list[int]:
    platform = jax.default_backend()
    *large, least = TILES.get(platform, TILES_ELSEWHERE)
    most = min(most_points, MAX_NUMBERS.get(platform, MAX_NUMBERS_ELSEWHERE) // n_features)
    return [*(size for size in large if size <= most), least]


def _rows_times(rows: Any, matrix: Any) -> Any:
    """A product of matrices, one row of the first at a time if they are few: XLA is three times as fast at vectors then."""
    dot = partial(jnp.dot, precision=FULL_PRECISION)
    return jnp.stack([dot(row, matrix) for row in rows]) if len(rows) <= FEW else dot(rows, matrix)


def _combinations(coefficients: Any, rows: Any) -> Any:
    """The product of the first transposed and the second; of few rows an elementwise sum, which fuses with what follows."""
    if len(rows) > FEW:
        return jnp.dot(coefficients.T, rows, precision=FULL_PRECISION)
    return sum(jnp.outer(*pair) for pair in zip(coefficients, rows, strict=True))


def _forward(W: Any, b: Any, points: Any, n_points: Any) -> tuple[Any, Any]:
    loss, to_W, to_b = _loss_and_gradient(W, b, points, n_points)
    return loss, (to_W, to_b, points, n_points)


def _backward(residuals: Any, scale: Any) -> tuple[Any, Any, Any, Any]:
    to_W, to_b, points, n_points = residuals
    return scale * to_W, scale * to_b, jnp.zeros_like(points), jnp.zeros_like(n_points)


points_loss.defvjp(_forward, _backward)
