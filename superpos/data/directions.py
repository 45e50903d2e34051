"""The directions that features are written in, where none were learned."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.data.frequencies import MAX_FEATURES
from superpos.data.manifolds import COORDINATES, check_dimensions, slices

MAX_STEPS = 1_000_000


def random_directions(key: PRNGKeyArray, n_hidden: int, n_features: int) -> Float[Array, "n_hidden n_features"]:
    """Independent directions, uniform on the unit sphere: the columns of an (n_hidden, n_features) array.

    Normalised Gaussians. They interfere by about 1 / √n_hidden.
    """
    check.integer("n_hidden", n_hidden, at_least=1)
    check.integer("n_features", n_features, at_least=1, at_most=MAX_FEATURES)
    directions = jax.random.normal(key, (n_hidden, n_features), float)
    lengths = jnp.linalg.norm(directions, axis=0, keepdims=True)
    # In one dimension a Gaussian is exactly 0 once in some ten million draws; any direction will do.
    return jnp.where(
        lengths > 0, directions / jnp.where(lengths > 0, lengths, 1), jnp.ones_like(lengths) / n_hidden**0.5
    )


def spread_directions(
    key: PRNGKeyArray, n_hidden: int, n_features: int, *, steps: int = 100, learning_rate: float = 3e-4
) -> Float[Array, "n_hidden n_features"]:
    r"""Unit directions that were moved apart a little from random ones, shape (n_hidden, n_features).

    From `random_directions` d on, `steps` steps of Adam on

    $$\sum_{i \ne j} (d_i \cdot d_j)^2 + n \sum_i (\|d_i\|^2 - 1)^2,$$

    and columns of length 1 at the end. The first sum is $\|D D^\top\|_F^2 - \sum_i \|d_i\|^4$, so that no matrix of all pairs
    is made. SynthSAEBench writes its features in such directions (Chanin and Garriga-Alonso 2026, arXiv:2602.14687), and the
    defaults are its own.

    Raises:
        ConfigError: a number is not allowed.
    """
    check.integer("steps", steps, at_most=MAX_STEPS)
    learning_rate = check.number("learning_rate", learning_rate, above=0, at_most=1)
    optimizer = optax.adam(learning_rate)

    def interference(D: Array) -> Array:
        squared = jnp.sum(jnp.square(D), axis=0)
        among = jnp.dot(D, D.T, precision="highest")
        return jnp.sum(jnp.square(among)) - jnp.sum(squared**2) + n_features * jnp.sum(jnp.square(squared - 1))

    def step(_: Any, state: tuple[Array, Any]) -> tuple[Array, Any]:
        D, memory = state
        moved, memory = optimizer.update(jax.grad(interference)(D), memory)
        return jnp.asarray(optax.apply_updates(D, moved)), memory

    D = random_directions(key, n_hidden, n_features)
    D = jax.lax.fori_loop(0, steps, step, (D, optimizer.init(D)))[0]
    return D / jnp.linalg.norm(D, axis=0, keepdims=True)


def random_subspaces(
    key: PRNGKeyArray, n_hidden: int, manifolds: tuple[str, ...]
) -> Float[Array, "n_hidden n_features"]:
    """Independent subspaces in uniformly random orientation, one for every manifold, as columns of an orthonormal basis.

    The columns of `random_directions`, those of each manifold made orthonormal by Gram and Schmidt, so that a circle stays a
    circle. Not by LAPACK: programs that call it run one after another on a CPU, and a training has this in it.

    Raises:
        ConfigError: a name is no manifold's, or one has more coordinates than `n_hidden`.
    """
    check.integer("n_hidden", n_hidden, at_least=1)
    check_dimensions(manifolds, n_hidden)
    D = random_directions(key, n_hidden, slices(manifolds)[-1].stop)
    starts = np.array([part.start for part in slices(manifolds)])
    sizes = np.array([COORDINATES[name] for name in manifolds])
    for k in range(1, max(sizes)):  # the columns of all manifolds that have so many, at once
        before = [D[:, starts[sizes > k] + j] for j in range(k)]
        column = D[:, starts[sizes > k] + k]
        for _ in range(2):  # once leaves what rounding adds to a short remainder
            column = _unit_remainder(column, before)
        D = D.at[:, starts[sizes > k] + k].set(column)
    return D


def _unit_remainder(columns: Float[Array, "n_hidden m"], before: list[Array]) -> Float[Array, "n_hidden m"]:
    """What is left of each column beside those before it, which are orthonormal, at length 1."""
    for basis in before:
        columns = columns - basis * jnp.sum(basis * columns, axis=0, keepdims=True)
    lengths = jnp.linalg.norm(columns, axis=0, keepdims=True)
    # Two directions in a plane are equal once in some ten million draws; then the axis that is furthest from those before.
    furthest = jnp.argmin(sum(jnp.square(basis) for basis in before), axis=0)
    other = (jnp.arange(len(columns))[:, None] == furthest[None, :]).astype(columns.dtype)
    return jnp.where(lengths > 0, columns / jnp.where(lengths > 0, lengths, 1), other)
