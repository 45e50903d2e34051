r"""Numbers about single features: norms, interference, dimensionality.

All take one W of shape (n_hidden, n_features), whose columns $W_i$ are feature directions, and are differentiable and
vmappable; a model, a run or a result of one cell stands for its W.
$\hat W_i = W_i / \|W_i\|$. A feature of (almost) no length has no direction: its numbers are 0, never NaN.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from superpos import arrays, check
from superpos.models.toy import FULL_PRECISION

Weights = Any  # anything `superpos.arrays.weights` takes, of shape (n_hidden, n_features)

# A feature counts as represented from this norm on (Elhage et al. 2022 count norms above 1/2).
REPRESENTED_ABOVE = 0.5
# A feature this much shorter than the longest one is dead: what is left of it is noise without a direction.
DEAD_BELOW = 0.05


def feature_norms(W: Weights) -> Float[Array, " n_features"]:
    r"""$\|W_i\|$. The gradient at a zero column is 0."""
    return _norms(_matrix(W))


def _norms(W: Float[Array, "n_hidden n_features"]) -> Float[Array, " n_features"]:
    squared = jnp.sum(W**2, axis=0)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)


def represented(W: Weights, *, above: float = REPRESENTED_ABOVE) -> Bool[Array, " n_features"]:
    r"""Whether $\|W_i\|$ > `above`."""
    return feature_norms(W) > check.number("above", above, at_least=0)


def interference(W: Weights, *, dead_below: float = DEAD_BELOW) -> Float[Array, " n_features"]:
    r"""$\sum_{j \neq i} (\hat W_i \cdot W_j)^2$: how strongly the other features can speak along this one's direction.

    0: orthogonal to all others; 1 or more: the others can fully activate it. Dead features have 0.
    Elhage et al. 2022, "Demonstrating Superposition".
    """
    W = _matrix(W)
    gram, squared_norm, alive = _gram(W, dead_below)
    others = jnp.sum(jnp.fill_diagonal(gram, jnp.zeros_like(squared_norm), inplace=False) ** 2, axis=1)
    return jnp.where(alive, others / jnp.where(alive, squared_norm, 1), 0) * _scale(W) ** 2


def feature_dimensionality(W: Weights, *, dead_below: float = DEAD_BELOW) -> Float[Array, " n_features"]:
    r"""Share of a hidden dimension that each feature has to itself, between 0 and 1.

    $D_i = \|W_i\|^2 / \sum_j (\hat W_i \cdot W_j)^2$, the sum including j = i. An antipodal pair has 1/2 each, a regular
    pentagon 2/5. D does not change when W is rotated or rescaled, and $\sum_i D_i \le$ rank W. A feature shorter than
    `dead_below` times the longest one is dead and has 0 by convention (left alone in an unused dimension, a speck of
    noise would score a perfect 1).

    Elhage et al. 2022, "The Geometry of Superposition".

    >>> sp.feature_dimensionality(np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])).tolist()
    [0.5, 0.5, 1.0]
    """
    dead_below = check.number("dead_below", dead_below, at_least=0, at_most=1)
    W = _matrix(W)
    W = W / _scale(W)
    squared_norm = jnp.sum(W**2, axis=0)
    alive = squared_norm > dead_below**2
    # The sum over j of (W_i · W_j)² is W_i · M W_i with M = W Wᵀ: no table of all pairs, which many features would fill.
    moment = jnp.dot(W, W.T, precision=FULL_PRECISION)
    total = jnp.sum(W * jnp.dot(moment, W, precision=FULL_PRECISION), axis=0)
    return jnp.where(alive, squared_norm**2 / jnp.where(alive, total, 1), 0)


def feature_capacity(W: Weights, *, dead_below: float = DEAD_BELOW) -> Float[Array, " n_features"]:
    r"""$C_i = (W_i \cdot W_i)^2 / \sum_j (W_i \cdot W_j)^2$ of Scherlis et al. 2022: the same number as $D_i$."""
    return feature_dimensionality(W, dead_below=dead_below)


def frame_defect(W: Weights, *, dead_below: float = DEAD_BELOW) -> Float[Array, " n_features"]:
    r"""$1 - \cos^2(W_i, M W_i)$ with $M = W W^\top$: 0 for all i iff W is an orthogonal sum of tight frames.

    $\sum_i C_i = $ rank W iff every $W_i$ is an eigenvector of M ("block-semi-orthogonal" in Scherlis et al. 2022), and
    this is the squared sine of the angle by which it is not. Dead features have 0.
    """
    gram, squared_norm, alive = _gram(_matrix(W), dead_below)
    squares = jnp.dot(gram, gram, precision=FULL_PRECISION)
    along, length = jnp.diagonal(squares), jnp.sum(gram * squares, axis=1)  # W_i · M W_i and ‖M W_i‖²
    return jnp.where(alive, jnp.maximum(1 - along**2 / jnp.where(alive, squared_norm * length, 1), 0), 0)


def d_star(W: Weights) -> Float[Array, ""]:
    r"""$D^* = m / \|W\|_F^2$, hidden dimensions per feature; infinite for W = 0. Unlike $D_i$ it depends on scale."""
    W = _matrix(W)
    squared = jnp.sum(W**2)
    return jnp.where(squared > 0, W.shape[0] / jnp.where(squared > 0, squared, 1), jnp.inf)


def packing(W: Weights, *, dead_below: float = DEAD_BELOW) -> Float[Array, ""]:
    r"""Packing efficiency $\sum_i D_i / m$, at most 1; 1 iff W is an orthogonal sum of tight frames that fill the space."""
    W = _matrix(W)
    return jnp.sum(feature_dimensionality(W, dead_below=dead_below)) / W.shape[0]


def polysemanticity(W: Weights) -> Float[Array, " n_hidden"]:
    r"""Effective number of features of each hidden unit, $(\sum_i W_{ki}^2)^2 / \sum_i W_{ki}^4$; 0 for a dead unit.

    1: the unit serves one feature. The hidden basis of the linear bottleneck is arbitrary, so there this number changes
    with rotation; it means most for models with a nonlinearity on the hidden layer.
    """
    W = _matrix(W)
    W = W / _scale(W)
    second, fourth = jnp.sum(W**2, axis=1), jnp.sum(W**4, axis=1)
    return jnp.where(fourth > 0, second**2 / jnp.where(fourth > 0, fourth, 1), 0)


def angle_gaps(W: Weights) -> Float[Array, " n_features"]:
    """Angles between neighbouring directions in two dimensions, in degrees, all the way round. W is (2, n_features)."""
    x, y = jnp.asarray(arrays.weights("W", W, shape=(2, None)))
    angles = jnp.sort(jnp.degrees(jnp.arctan2(y, x)))
    return jnp.diff(jnp.append(angles, angles[0] + 360))


def _matrix(W: Weights) -> Float[Array, "n_hidden n_features"]:
    return jnp.asarray(arrays.weights("W", W))


def _scale(W: Float[Array, "n_hidden n_features"]) -> Float[Array, ""]:
    """Length of the longest feature, 1 if all are zero; fourth powers of tiny weights would underflow without it."""
    longest = jax.lax.stop_gradient(jnp.max(_norms(W), initial=0.0))
    return jnp.where(longest > 0, longest, 1)


def _gram(
    W: Float[Array, "n_hidden n_features"], dead_below: float
) -> tuple[Float[Array, "n_features n_features"], Float[Array, " n_features"], Bool[Array, " n_features"]]:
    """Gram matrix of the columns in units of the longest one, its diagonal, and which features are alive."""
    dead_below = check.number("dead_below", dead_below, at_least=0, at_most=1)
    W = W / _scale(W)
    gram = jnp.dot(W.T, W, precision=FULL_PRECISION)
    squared_norm = jnp.diagonal(gram)
    return gram, squared_norm, squared_norm > dead_below**2
