r"""How far directions overlap, and how little they could: the floor of Welch."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.models.toy import FULL_PRECISION


def mean_squared_overlap(W: Any) -> Float[Array, ""]:
    r"""Mean of $(\hat W_i \cdot \hat W_j)^2$ over all pairs i ≠ j of columns of W (n_hidden, n_features).

    Columns of no length overlap with nothing. Differentiable and vmappable. See `welch_floor` for the least it can be.

    >>> round(float(sp.analysis.mean_squared_overlap(np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]))), 4)
    0.3333

    Raises:
        ConfigError: W is no matrix of two or more columns.
    """
    W = jnp.asarray(arrays.weights("W", W))
    check.integer("W: number of features", W.shape[1], at_least=2)
    squared = jnp.sum(W**2, axis=0)
    units = W / jnp.sqrt(jnp.where(squared > 0, squared, 1))[None]
    # The sum over all pairs is the squared Frobenius norm of U Uᵀ, too, which is the smaller matrix.
    frame = jnp.dot(units, units.T, precision=FULL_PRECISION)
    own = jnp.sum(jnp.where(squared > 0, 1.0, 0.0))  # of every column with itself
    n = W.shape[1]
    return (jnp.sum(frame**2) - own) / (n * (n - 1))


def welch_floor(n_features: int, n_hidden: int) -> float:
    r"""The least mean squared overlap of n unit vectors in m dimensions, $\frac{n - m}{m (n - 1)}$, or 0 where n ≤ m.

    It is reached where $\sum_i \hat W_i \hat W_i^\top$ is a multiple of the identity (a tight frame). In strong
    superposition losses fall as it does, about 1/m (Liu, Liu and Gore 2025, "Superposition yields robust neural scaling",
    arXiv 2505.10465). Welch 1974, "Lower bounds on the maximum cross correlation of signals".

    >>> sp.analysis.welch_floor(4, 2)
    0.3333333333333333

    Raises:
        ConfigError: n is below 2 or m below 1.
    """
    check.integer("n_features", n_features, at_least=2)
    check.integer("n_hidden", n_hidden, at_least=1)
    return max(0, n_features - n_hidden) / (n_hidden * (n_features - 1))
