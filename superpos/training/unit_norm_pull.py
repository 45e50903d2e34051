r"""A pull of feature directions to length 1, beside or instead of weight decay."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


def unit_norm_pull(strength: Any, is_weight: Any) -> optax.GradientTransformation:
    r"""Add $\gamma\,(W_i - \hat W_i)$ to the update of every column $W_i$ of the weights, $\hat W_i = W_i / \|W_i\|$.

    A step then is $\theta \leftarrow \theta - \eta_t (u_t + \gamma (W_i - \hat W_i))$: decoupled, as weight decay is, and
    the gradient of $\frac\gamma2 \sum_i (\|W_i\| - 1)^2$. Columns grow or shrink to length 1, so all features stay
    represented: *strong superposition* (Liu, Liu and Gore 2025, "Superposition yields robust neural scaling",
    arXiv 2505.10465, who write it as weight decay of negative sign). Without a gradient the distance of a norm from 1
    shrinks by 1 − ηγ a step. Columns without length stay. Inputs are the columns of matrices here; where a model has them
    in rows (`INPUTS_IN_ROWS`), rows are pulled. `is_weight` says which parameters are weights.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        axis = -1 if getattr(params, "INPUTS_IN_ROWS", False) else -2

        def pulled(weight: bool, u: Array, W: Array) -> Array:
            return u + jnp.asarray(strength, W.dtype) * distance_from_unit(W, axis) if weight else u

        return jax.tree.map(pulled, is_weight(params), updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def distance_from_unit(W: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    r"""$W_i - W_i / \|W_i\|$ for vectors along `axis`; 0 where there is no length."""
    squared = jnp.sum(W**2, axis=axis, keepdims=True)
    return jnp.where(squared > 0, W - W / jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)
