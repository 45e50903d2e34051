"""What noise in the hidden layer costs: dropout and Gaussian noise, without sampling them."""

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.data import FeatureDistribution
from superpos.errors import ConfigError
from superpos.models.toy import FULL_PRECISION
from superpos.theory.expectation import expected_errors
from superpos.theory.linear import checked_importance

# Hidden units up to which the masks of dropout are gone through one by one: 2^m of them.
MASKS_UP_TO = 6
# Far above any hidden layer, and its square is a number in single precision.
MAX_NOISE = 100


def dropout_penalty(
    W: Any, features: FeatureDistribution, dropout_rate: Any, importance: Any = 1.0
) -> Float[Array, ""]:
    r"""What inverted dropout of the hidden layer adds to the expected loss of a *linear* model $x' = W^\top h + b$, $h = Wx$.

    Every hidden unit is kept with probability r = 1 − `dropout_rate` and then divided by r, so the reconstruction is right
    on average and its variance is what is added:

    $$\frac{1-r}{r} \cdot \frac1n \sum_k E[h_k^2] \sum_i I_i W_{ki}^2.$$

    `W` is (n_hidden, n_features), importance a number or (n_features,). The sum depends on the basis of the hidden layer,
    which the loss without dropout does not. It is least where the hidden units share the load evenly.

    Derived here; inverted dropout is that of Srivastava et al. 2014, "Dropout", section 10.

    >>> features = sp.FeatureDistribution(n_features=2, feature_probability=1.0)  # E[x²] = 1/3
    >>> round(float(sp.theory.dropout_penalty(np.eye(2), features, 0.5)), 4)
    0.3333

    Raises:
        ConfigError: a number or shape is not allowed; the rate is below 0, or 1 and more.
    """
    W, importance = _checked(W, features, importance)
    rate = arrays.as_array("dropout_rate", dropout_rate, shape=())
    check_rate(rate)
    return added_by_dropout(W, features, rate, importance)


def noise_penalty(W: Any, hidden_noise: Any, importance: Any = 1.0) -> Float[Array, ""]:
    r"""What Gaussian noise of standard deviation σ = `hidden_noise` in every hidden unit adds to a *linear* model's loss.

    $$\sigma^2 \cdot \frac1n \sum_k \sum_i I_i W_{ki}^2.$$

    It is the same in every basis of the hidden layer. Derived here.

    >>> round(float(sp.theory.noise_penalty(np.eye(2), 0.1)), 4)
    0.01

    Raises:
        ConfigError: a number or shape is not allowed; the noise is below 0 or above 100.
    """
    W = jnp.asarray(arrays.weights("W", W))
    noise = arrays.as_array("hidden_noise", hidden_noise, shape=())
    check.in_range("hidden_noise", noise, at_least=0, at_most=MAX_NOISE)
    return added_by_noise(W, noise, _weights(importance, W.shape[1]))


def check_rate(rate: Any) -> None:
    """Raise `ConfigError` unless this is a share of units that dropout may drop; it may have a leading axis of cells."""
    check.in_range("dropout_rate", rate, at_least=0)
    if not arrays.is_traced(rate) and np.any(np.asarray(rate) >= 1):
        raise ConfigError(f"dropout_rate must be below 1, where nothing is kept; got {float(np.max(rate)):g}.")


def added_by_dropout(W: Array, features: FeatureDistribution, rate: Any, importance: Array) -> Float[Array, ""]:
    """`dropout_penalty` without checks."""
    hidden = jnp.sum(jnp.dot(W, features.second_moments().astype(W.dtype), precision=FULL_PRECISION) * W, axis=1)
    outputs = jnp.sum(importance[None] * W**2, axis=1)
    return rate / (1 - rate) * jnp.sum(hidden * outputs) / W.shape[1]


def added_by_noise(W: Array, noise: Any, importance: Array) -> Float[Array, ""]:
    """`noise_penalty` without checks."""
    return noise**2 * jnp.sum(importance[None] * W**2) / W.shape[1]


def dropout_loss(
    W: Array,
    b: Array | None,
    features: FeatureDistribution,
    rate: Any,
    importance: Array,
    *,
    activation: str,
    order: int,
) -> Float[Array, ""]:
    r"""The expected loss under dropout of a model of any known activation: the mean over the 2^m masks.

    Under the mask s ∈ {0, 1}^m the model is the tied one with weights $\sqrt{s_k/r}\,W_k$.
    """
    n_hidden = W.shape[0]
    masks = jnp.asarray(list(product((0.0, 1.0), repeat=n_hidden)), W.dtype)
    kept = 1 - jnp.asarray(rate, W.dtype)

    def of_mask(mask: Array) -> Array:
        masked = jnp.sqrt(mask / kept)[:, None] * W
        errors = expected_errors(masked, b, features, activation=activation, order=order)
        return jnp.prod(jnp.where(mask > 0, kept, 1 - kept)) * jnp.mean(importance * errors)

    return jnp.sum(jax.lax.map(of_mask, masks))


def _checked(W: Any, features: Any, importance: Any) -> tuple[Array, Array]:
    arrays.of_kind("features", features, FeatureDistribution)
    features.check()
    n = features.n_features
    return jnp.asarray(arrays.weights("W", W, shape=(None, n))), _weights(importance, n)


def _weights(importance: Any, n_features: int) -> Array:
    return jnp.broadcast_to(checked_importance(importance, n_features), (n_features,))
