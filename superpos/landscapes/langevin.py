r"""Langevin steps without correction: of the exact loss, or of a fresh batch at every step (SGLD), or scaled (RMSprop-SGLD).

$\Delta w = -\tfrac\varepsilon2 G\,(n\beta\nabla L + \gamma(w - w^*)) + \sqrt{\varepsilon G}\,\xi$ with ξ ~ N(0, 1) and G = 1,
or for RMSprop-SGLD the diagonal $G_i \propto 1/(\sqrt{V_i} + \delta)$, V the mean square of the gradients of the warm-up. In
a direction of curvature $a = n\beta h + \gamma$ a step of ε makes the variance $1/(1 - \varepsilon a/4)$ times what it should
be, and noise of the gradients widens it, too. Welling & Teh 2011; Lau et al. 2023, appendix.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos.landscapes.kernels import Draw, Kernel, is_bounded

MEMORY = 0.99  # of the mean square of the gradients
DAMPING = 0.1  # δ, relative to the largest √V: no parameter is faster than the slowest by more than a factor of 11


class State(NamedTuple):
    """Where a chain is."""

    w: Float[Array, " d"]
    square: Float[Array, " d"]  # mean square of the gradients


def kernel(target: Any, steps: Any, method: str) -> Kernel:
    """The draws of a `Target`, `steps` Langevin steps each; losses are means over them.

    On batches the loss of the point on the same batch is subtracted, step by step: most of the noise goes with it.
    """
    scaled = method == "rmsprop_sgld"

    def start() -> State:
        return State(target.point, jnp.zeros_like(target.point))

    def step(state: State, key: Any, k: Any, warming: Any, descending: Any) -> tuple[State, Draw]:
        del k, descending

        def move(i: Any, carry: Any) -> Any:
            state, excess, at_points = carry
            batch_key, noise_key = jax.random.split(jax.random.fold_in(key, i))
            loss, slope = jax.value_and_grad(target.loss)(state.w, batch_key)
            at_point = target.loss(target.point, batch_key)
            square = MEMORY * state.square + (1 - MEMORY) * slope**2
            square = jnp.where(warming, square, state.square) if scaled else state.square
            gain = _gain(square) if scaled else 1.0
            noise = jax.random.normal(noise_key, state.w.shape, state.w.dtype)
            epsilon = target.step_size * gain
            w = state.w - 0.5 * epsilon * target.slope(state.w, slope) + jnp.sqrt(epsilon) * noise
            return State(w, square), excess + (loss - at_point), at_points + at_point

        zero = jnp.zeros((), state.w.dtype)
        new, excess, at_points = jax.lax.fori_loop(0, steps, move, (state, zero, zero))
        finite = is_bounded(new.w) & jnp.isfinite(excess)
        return new, Draw(excess / steps, zero + jnp.nan, at_points / steps, finite)

    return Kernel(start, step, lambda state: target.step_size)


def _gain(square: Any) -> Any:
    """G, 1 for the parameter of the largest gradients and at most 1 + 1/δ for the others."""
    size = jnp.sqrt(square)
    largest = jnp.max(size)
    safe = jnp.where(largest > 0, largest, 1.0)
    return jnp.where(largest > 0, (1 + DAMPING) * safe / (size + DAMPING * safe), 1.0)
