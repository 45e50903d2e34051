r"""Codes of hidden activations under an L1 penalty, with a dictionary that is held fixed."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.toy import FULL_PRECISION

STEPS = 200


def fista(dictionary: Any, h: Any, coefficient: Any, *, steps: int = STEPS) -> Float[Array, "n_latents batch"]:
    r"""The codes $z \ge 0$ that minimise $\|h - Dz\|^2 + \lambda \sum_j z_j$ for every column of h, with D held fixed.

    What an encoder with an L1 penalty should say of every input, if it were no single linear step: an oracle for encoders. By
    the fast iterative shrinkage-thresholding algorithm with step $1 / 2 \|D\|_2^2$ (Beck and Teboulle 2009, "A Fast Iterative
    Shrinkage-Thresholding Algorithm for Linear Inverse Problems"), whose objective is above the least by at most
    $4 \|D\|_2^2 \|z^*\|^2 / (s + 1)^2$ after s steps from 0. Of orthonormal columns
    $z = \mathrm{ReLU}(D^\top h - \lambda / 2)$.

    Args:
        dictionary: D, (n_hidden, n_latents), columns of any length; one of no length has code 0.
        h: (n_hidden, batch).
        coefficient: λ, at least 0, as `sparsity_coefficient` of a `tasks.SparseAutoencoder`.
        steps: from 1 to 100,000.

    Raises:
        ConfigError: a shape or number is not allowed or not finite.
    """
    dictionary, h = (
        arrays.as_array(name, value, ndim=2, largest=arrays.MAX_WEIGHT)
        for name, value in (("dictionary", dictionary), ("h", h))
    )
    if np.shape(h)[0] != np.shape(dictionary)[0]:
        raise ConfigError(f"h must have {np.shape(dictionary)[0]} rows like the dictionary, got shape {np.shape(h)}.")
    check.scalar("coefficient", coefficient)
    check.number("coefficient", coefficient, at_least=0, at_most=arrays.MAX_WEIGHT)
    check.integer("steps", steps, at_least=1, at_most=100_000)
    return _fista(jnp.asarray(dictionary, float), jnp.asarray(h, float), jnp.asarray(coefficient, float), int(steps))


@partial(jax.jit, static_argnames="steps")
def _fista(
    D: Float[Array, "m k"], h: Float[Array, "m batch"], coefficient: Float[Array, ""], steps: int
) -> Float[Array, "k batch"]:
    """Columns of no length get code 0 in the first step, and stay there."""
    gram, projected = jnp.dot(D.T, D, precision=FULL_PRECISION), jnp.dot(D.T, h, precision=FULL_PRECISION)
    largest = jnp.maximum(jnp.linalg.norm(D, ord=2) ** 2, jnp.finfo(D.dtype).tiny)

    def step(carry: Any, _: None) -> Any:
        z, ahead, t = carry
        slope = jnp.dot(gram, ahead, precision=FULL_PRECISION) - projected + coefficient / 2
        after = jnp.maximum(ahead - slope / largest, 0.0)
        t_after = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        return (after, after + (t - 1) / t_after * (after - z), t_after), None

    start = jnp.zeros((D.shape[1], h.shape[1]), D.dtype)
    (z, _, _), _ = jax.lax.scan(step, (start, start, jnp.ones((), D.dtype)), length=steps)
    return jnp.where(jnp.any(D != 0, axis=0)[:, None], z, 0.0)
