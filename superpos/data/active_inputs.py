r"""Inputs in which some feature is active, without those that are all zero.

Sparse inputs are often zero altogether: with probability $q = \prod_i (1 - p_i)$, .77 for five features at p = .05. What
a loss says of the zero input needs no draw, so a mean over inputs is

$$E\,f(x) = (1 - q)\, E[f(x) \mid x \neq 0] + q\, f(0),$$

and a batch drawn from the first part alone says as much as one $1 / (1 - q)$ times as large: stratified sampling.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos.data.distribution import FeatureDistribution, unit_uniform
from superpos.data.magnitudes import drawn
from superpos.errors import ConfigError


def check_independent(features: FeatureDistribution) -> None:
    """Raise `ConfigError`, naming the field, where features depend on one another: the draw knows no such inputs."""
    if (field := features.dependent_through) is not None:
        raise ConfigError(f"{field} must be left out where stratified is true: features are drawn independently there.")


def probability_of_any(features: FeatureDistribution) -> Float[Array, ""]:
    r"""$1 - q = 1 - \prod_i (1 - p_i)$: how often some of independent features is active."""
    return -jnp.expm1(jnp.sum(jnp.log1p(-features.probabilities)))


def draw_active(features: FeatureDistribution, key: PRNGKeyArray, batch_size: int) -> Float[Array, "n_features batch"]:
    r"""Draw inputs as columns, given that some feature is active; features are independent before that is given.

    The first active feature is i with probability $p_i \prod_{j < i} (1 - p_j) / (1 - q)$. Those before it are not active;
    those after it are with their own probabilities, independently. As in `FeatureDistribution.sample`, one uniform number
    per feature decides its activity and magnitude (that of the first active one has another in addition).
    """
    p = features.probabilities
    u = unit_uniform(key, (features.n_features + 1, batch_size))
    up_to = -jnp.expm1(jnp.cumsum(jnp.log1p(-p)))  # P(some feature up to this one is active)
    first = jnp.sum(u[-1:] * up_to[-1] >= up_to[:-1, None], axis=0)
    order, u = jnp.arange(features.n_features)[:, None], u[:-1]
    later = (order > first[None]) & (u < p[:, None])
    x = drawn(features, jnp.where(later, u / p[:, None], u))
    return jnp.where((order == first[None]) | later, x, 0.0)
