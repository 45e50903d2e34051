"""Numbers about single data points of a fixed set: the share of the hidden layer each has to itself."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos import arrays
from superpos.analysis.features import feature_dimensionality
from superpos.models.toy import FULL_PRECISION


def point_dimensionality(H: Any) -> Float[Array, " points"]:
    r"""$D_{X,j} = \|h_j\|^2 / \sum_k (\hat h_j \cdot h_k)^2$, the share of a hidden dimension of each data point.

    `H` is (n_hidden, points), the hidden vectors h = Wx as columns; a regular T-gon has m/T. It is the dimensionality of a
    feature with hidden vectors in place of columns of W, and vectors of almost no length have 0 as there.

    Henighan et al. 2023, "Superposition, Memorization, and Double Descent".
    """
    return feature_dimensionality(_hidden(H))


def point_leverage(H: Any) -> Float[Array, " points"]:
    r"""$\sup_v (v \cdot h_j)^2 / \sum_k (v \cdot h_k)^2 = h_j^\top (H H^\top)^+ h_j$, the leverage score of each point.

    The largest dimensionality that any one direction v could give point j; $D_{X,j}$ is its value at v = h_j, so at most
    this. Leverages add up to rank H. `H` is (n_hidden, points). Derived; a Cauchy–Schwarz inequality.
    """
    H = jnp.asarray(_hidden(H))
    scale = jnp.max(jnp.abs(H), initial=0.0)
    H = H / jnp.where(scale > 0, scale, 1)
    inverse = jnp.linalg.pinv(jnp.dot(H, H.T, precision=FULL_PRECISION), hermitian=True)
    return jnp.sum(H * jnp.dot(inverse, H, precision=FULL_PRECISION), axis=0)


def _hidden(H: Any) -> Any:
    return arrays.as_array("H", H, ndim=2, largest=arrays.MAX_WEIGHT)
