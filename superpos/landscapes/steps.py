r"""The step of uncorrected methods, from the loss at the point.

In a direction of curvature $a = n\beta h + \gamma$ a Langevin step ε widens the posterior: its variance is
$1/(1 - \varepsilon a / 4)$ times what it should be. Gradients of batches with covariance C add $\varepsilon (n\beta)^2 C/4$
of it. ε is the longest step that keeps both below `WIDENING` in the worst direction.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

WIDENING = 0.025  # of a variance, in the worst direction
GRADIENTS = 64  # of batches, that curvature and noise are estimated from
ITERATIONS = 30  # of the power method


def chosen(loss: Callable[[Any, Any], Any], w: Any, key: Any, nbeta: Any, gamma: Any) -> Any:
    """ε for a loss `loss(w, key)` at `w`; with `key` None it is the exact one, whose gradients have no noise."""
    curvature = _largest_curvature(loss, w, key)
    step = 4 * WIDENING / (nbeta * curvature + gamma + jnp.finfo(w.dtype).tiny)
    if key is None:
        return jnp.minimum(step, 1.0)
    gradients = jax.lax.map(lambda k: jax.grad(loss)(w, k), jax.random.split(key, GRADIENTS))
    noise = gradients - gradients.mean(0, keepdims=True)
    # The largest eigenvalue of the covariance, from the smaller of the two products.
    product = jnp.matmul(noise, noise.T, precision="highest") / (GRADIENTS - 1)
    variance = _power(lambda v: jnp.matmul(product, v, precision="highest"), GRADIENTS, w.dtype)
    return jnp.minimum(jnp.minimum(step, 4 * WIDENING / (nbeta**2 * variance + jnp.finfo(w.dtype).tiny)), 1.0)


def _largest_curvature(loss: Callable[[Any, Any], Any], w: Any, key: Any) -> Any:
    def bent(v: Any) -> Any:
        if key is None:
            return jax.jvp(jax.grad(lambda x: loss(x, None)), (w,), (v,))[1]
        keys = jax.random.split(jax.random.fold_in(key, 1), 8)
        return jax.lax.map(lambda k: jax.jvp(jax.grad(lambda x: loss(x, k)), (w,), (v,))[1], keys).mean(0)

    return _power(bent, w.shape[0], w.dtype)


def _power(product: Callable[[Any], Any], size: int, dtype: Any) -> Any:
    """The size of the largest eigenvalue of a symmetric matrix, given by its product with vectors."""
    start = jax.random.normal(jax.random.key(0), (size,), dtype)

    def again(carry: Any, _: Any) -> Any:
        v, _ = carry
        bent = product(v)
        length = jnp.sqrt(jnp.sum(bent**2))
        return (jnp.where(length > 0, bent / jnp.where(length > 0, length, 1.0), v), length), None

    begin = (start / jnp.sqrt(jnp.sum(start**2)), jnp.zeros((), dtype))
    (_, length), _ = jax.lax.scan(again, begin, length=ITERATIONS)
    return length
