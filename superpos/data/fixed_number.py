r"""A fixed number of active features: k = `n_active` of n features are active in every input, each set of k as often.

So every feature is active with probability k/n, and two of them are with probability

$$P(x_i \neq 0,\, x_j \neq 0) = \frac{k (k - 1)}{n (n - 1)},$$

which is less than $(k/n)^2$, that of independent features as frequent. Given one active feature, another is active with
probability (k − 1)/(n − 1). With k = 1 no two ever meet; from k = 2 on no feature is ever active alone.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from superpos import check
from superpos.errors import ConfigError

WORLD = "fixed_number"
COMPARED = 64  # features up to which all pairs of numbers are compared


def check_n_active(features: Any) -> None:
    """Raise `ConfigError`, naming the field, for a number of active features that cannot be; it may be stacked."""
    if features.n_active is None:
        raise ConfigError(f'n_active is missing where world is "{WORLD}": how many features are active in every input.')
    check.in_range("n_active", features.n_active, at_least=1, at_most=features.n_features)
    check.whole_numbers("n_active", features.n_active)


def draw(n_active: Float[Array, ""], uniform: Float[Array, "n batch"]) -> tuple[Bool[Array, "n batch"], Array]:
    """Which features are active, and numbers that are uniform on (0, 1) for those that are, (n, batch).

    Active are the k features of the smallest uniform numbers. Given the (k + 1)-th smallest, these are independent and
    uniform below it, so one number per feature is enough. The ranks do not depend on k: models that share a key see the same
    draws, and of two the one with more active features has those of the other among its own.
    """
    active = ranks(uniform) < n_active
    threshold = jnp.min(jnp.where(active, 1.0, uniform), axis=0, keepdims=True)
    below_one = 1 - jnp.finfo(uniform.dtype).epsneg  # two numbers may be equal in single precision
    return active, jnp.minimum(uniform / threshold, below_one)


def ranks(values: Float[Array, "n batch"]) -> Int[Array, "n batch"]:
    """How many values of the same column come before each in ascending order; of equal ones the first comes first.

    Sorting is slow where a column is short: comparing all pairs of 20 takes a fiftieth of it on a CPU.
    """
    if len(values) > COMPARED:
        return jnp.argsort(jnp.argsort(values, axis=0), axis=0)
    index = jnp.arange(len(values))
    earlier = (index[:, None] < index[None])[:, :, None]
    before = (values[:, None] < values[None]) | ((values[:, None] == values[None]) & earlier)
    return jnp.sum(before, axis=0, dtype=int)


def number_of(features: Any) -> Float[Array, ""]:
    """k as one number, which a stack of them is not."""
    check.scalar("n_active", features.n_active)
    return jnp.asarray(features.n_active, float)


def probabilities(features: Any) -> Float[Array, " n_features"]:
    """k/n for every feature."""
    return jnp.full(features.n_features, number_of(features) / features.n_features)


def co_activation(features: Any) -> Float[Array, "n_features n_features"]:
    """k(k − 1)/(n(n − 1)) for every pair; the diagonal is left to the caller."""
    n, k = features.n_features, number_of(features)
    return jnp.full((n, n), k * (k - 1) / (n * max(n - 1, 1)))
