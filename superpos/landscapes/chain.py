"""One chain around one point. `superpos.landscapes.blocks` runs many at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos.landscapes import hamiltonian, langevin

# Draws after the last one in which a chain only descends, to see how far the floor is below its point.
DESCENT = 40


class Target(NamedTuple):
    """What a chain samples: the loss, with what it needs, and the numbers of the localised posterior."""

    loss: Callable[[Any, Any], Any]  # (w, key) -> L(w), or of the batch that the key draws
    point: Float[Array, " d"]
    nbeta: Any
    gamma: Any
    step_size: Any  # NaN: chosen in the warm-up

    def energy(self, w: Any, loss: Any) -> Any:
        """nβ L + γ/2 ‖w − w*‖²."""
        return self.nbeta * loss + 0.5 * self.gamma * jnp.sum((w - self.point) ** 2)

    def slope(self, w: Any, slope_of_loss: Any) -> Any:
        """Its gradient."""
        return self.nbeta * slope_of_loss + self.gamma * (w - self.point)


class Trace(NamedTuple):
    """What a chain did. Losses are differences to that of its point."""

    excess: Float[Array, " draws"]  # L(w) − L(w*), NaN from where it diverged
    acceptance: Float[Array, ""]  # mean over the draws; NaN where nothing is rejected
    step_size: Float[Array, ""]
    floor: Float[Array, ""]  # the lowest L(w) − L(w*) of the descent after the last draw; NaN for uncorrected methods
    diverged_draw: Any  # the first draw that was refused, -1 for a healthy chain
    loss_at_point: Float[Array, ""]  # L(w*), of batches their mean
    end: Float[Array, " d"]  # where the chain was after the last draw


def run_chain(target: Target, key: PRNGKeyArray, *, method: str, draws: int, warmup: int, steps: int) -> Trace:
    """Warm up, draw, and for HMC descend: one loop, in which the k-th draw has the key `fold_in(key, k)`.

    A chain that stops being finite is frozen where it was.
    """
    corrected = method == "hmc"
    kernel = hamiltonian.kernel(target, steps) if corrected else langevin.kernel(target, steps, method)
    total = warmup + draws + (DESCENT if corrected else 0)

    def step(carry: Any, k: Any) -> Any:
        state, diverged_draw, last = carry
        new, draw = kernel.step(state, jax.random.fold_in(key, k), k, k < warmup, k >= warmup + draws)
        healthy = (diverged_draw < 0) & draw.finite
        state = jax.tree.map(lambda a, b: jnp.where(healthy, a, b), new, state)
        diverged_draw = jnp.where((diverged_draw < 0) & ~draw.finite, jnp.maximum(k - warmup, 0), diverged_draw)
        last = jnp.where(k < warmup + draws, state.w, last)
        excess = jnp.where(healthy, draw.excess, jnp.nan)
        return (state, diverged_draw, last), (excess, draw.acceptance, draw.loss_at_point, draw.step_size)

    start = (kernel.start(), jnp.int32(-1), target.point)
    (_, diverged_draw, last), rows = jax.lax.scan(step, start, jnp.arange(total))
    excess, acceptance, loss_at_point, step_size = rows
    drawn = slice(warmup, warmup + draws)
    return Trace(
        excess=excess[drawn],
        acceptance=jnp.mean(acceptance[drawn]),
        step_size=step_size[-1],
        floor=jnp.min(excess[warmup + draws :]) if corrected else jnp.full((), jnp.nan),
        diverged_draw=diverged_draw,
        loss_at_point=jnp.mean(loss_at_point),
        end=last,
    )
