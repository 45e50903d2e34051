"""The linear model's population loss needs moments alone, so it is exact."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.data import FeatureDistribution
from superpos.errors import ConfigError
from superpos.models.toy import FULL_PRECISION


def linear_loss(W: Any, b: Any, features: FeatureDistribution, importance: Any = 1.0) -> Float[Array, ""]:
    r"""Expected loss of $x' = W^\top W x + b$: the mean over features of $I_i E(x_i - x'_i)^2$.

    >>> features = sp.FeatureDistribution(n_features=2, feature_probability=1.0)
    >>> round(float(sp.theory.linear_loss(np.eye(2)[:1], np.array([0.0, 0.5]), features)), 4)  # 1/12, the mean of two
    0.0417

    Raises:
        ConfigError: a number or shape is not allowed; `features` says how many features there are.
    """
    arrays.of_kind("features", features, FeatureDistribution)
    features.check()
    n = features.n_features
    W, b = arrays.weights_and_bias("W", W, b)
    W = jnp.asarray(arrays.weights("W", W, shape=(None, n)))
    b = jnp.asarray(arrays.as_array("b", b, shape=(n,), largest=arrays.MAX_WEIGHT))
    importance = checked_importance(importance, n)
    return jnp.mean(importance * linear_errors(W, b, features))


def checked_importance(importance: Any, n_features: int) -> Array:
    """Importances, one number or one per feature, as an array; `ConfigError` for any that are not allowed."""
    weights = arrays.as_array("importance", importance, largest=arrays.MAX_IMPORTANCE)
    check.vector("importance", weights, n_features)
    check.in_range("importance", weights, at_least=0)
    return jnp.asarray(weights)


def linear_errors(W: Array, b: Array, features: FeatureDistribution) -> Float[Array, " n_features"]:
    r"""$E(x_i - x'_i)^2$ of the linear model for every feature.

    With $A = 1 - W^\top W$, mean $\mu$ and $M = E[x x^\top]$: $E(x_i - x'_i)^2 = (A M A^\top)_{ii} - 2 b_i (A\mu)_i + b_i^2$.
    """
    A = jnp.eye(features.n_features, dtype=W.dtype) - jnp.dot(W.T, W, precision=FULL_PRECISION)
    spread = jnp.dot(A, features.second_moments().astype(W.dtype), precision=FULL_PRECISION)
    mean_error = jnp.dot(A, features.moment(1).astype(W.dtype), precision=FULL_PRECISION)
    return jnp.sum(spread * A, axis=1) - 2 * b * mean_error + b**2


def optimal_linear_loss(features: FeatureDistribution, importance: Any, n_hidden: int) -> Float[Array, ""]:
    r"""The least `linear_loss` any W and b reach, for independent features: $\frac1n \sum_{i \ge m} I_i v_i$.

    The m features of largest $I_i v_i$ are kept and the others replaced by their mean; $v_i = E x_i^2 - (E x_i)^2$ is
    $p/3 - p^2/4$ for uniform magnitudes.
    (The PCA bound of the √I-weighted inputs; the projector onto those m features attains it.)

    >>> features = sp.FeatureDistribution(n_features=5, feature_probability=1.0)
    >>> round(5 * float(sp.theory.optimal_linear_loss(features, 0.9 ** np.arange(5), 2)), 4)  # (0.9² + 0.9³ + 0.9⁴) / 12
    0.1829

    Raises:
        ConfigError: features depend on one another.
    """
    arrays.of_kind("features", features, FeatureDistribution)
    features.check()
    check.integer("n_hidden", n_hidden)
    if field := features.dependent_through:
        raise ConfigError(f"{field} must not be set: the optimal linear loss is known for independent features.")
    variance = features.moment(2) - features.moment(1) ** 2
    at_stake = jnp.sort(
        jnp.broadcast_to(checked_importance(importance, features.n_features), variance.shape) * variance
    )
    return jnp.sum(at_stake[: max(0, features.n_features - n_hidden)]) / features.n_features


def principal_losses(features: FeatureDistribution) -> Float[Array, " n_features"]:
    r"""The least loss of linear models with 1, 2, …, n hidden dimensions, for features that depend on one another.

    With equal importances W keeps the leading principal components of x and b answers the mean, so the loss of m
    dimensions is the sum of the n − m smallest eigenvalues of the covariance of x, over n. Shape (n_features,); entry
    m − 1 is that of m dimensions.

    >>> features = sp.FeatureDistribution(n_features=2, feature_probability=1.0)  # independent: one variance is lost
    >>> np.round(24 * sp.theory.principal_losses(features), 3).tolist()
    [1.0, 0.0]
    """
    arrays.of_kind("features", features, FeatureDistribution)
    features.check()
    mean = features.moment(1)
    covariance = features.second_moments() - mean[:, None] * mean[None, :]
    left = jnp.cumsum(jnp.linalg.eigvalsh(covariance))  # ascending
    return jnp.concatenate([left[:-1][::-1], jnp.zeros(1, left.dtype)]) / features.n_features
