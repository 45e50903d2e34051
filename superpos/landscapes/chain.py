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


class _Sums(NamedTuple):
    """What is gathered on the way."""

    excess: Any  # (draws,)
    acceptance: Any
    loss_at_point: Any
    floor: Any
    diverged_draw: Any
    end: Any


def run_chain(target: Target, key: PRNGKeyArray, warmup: Any, steps: Any, *, method: str, draws: int) -> Trace:
    """Warm up, draw, and for HMC descend: one loop, in which the k-th draw has the key `fold_in(key, k)`.

    A chain that stops being finite is frozen where it was. `warmup` and `steps` may be traced: new numbers compile nothing.
    """
    corrected = method == "hmc"
    kernel = hamiltonian.kernel(target, steps) if corrected else langevin.kernel(target, steps, method)
    total = warmup + draws + (DESCENT if corrected else 0)
    zero = jnp.zeros((), target.point.dtype)

    def step(k: Any, carry: Any) -> Any:
        state, sums = carry
        warming, descending = k < warmup, k >= warmup + draws
        drawing = ~warming & ~descending
        new, draw = kernel.step(state, jax.random.fold_in(key, k), k, warming, descending)
        healthy = (sums.diverged_draw < 0) & draw.finite
        state = jax.tree.map(lambda a, b: jnp.where(healthy, a, b), new, state)
        stops = (sums.diverged_draw < 0) & ~draw.finite
        excess = jnp.where(healthy, draw.excess, jnp.nan)
        # A slot that does not exist, before the first draw and after the last, takes nothing.
        slot = jnp.where(drawing, k - warmup, draws)
        return state, _Sums(
            excess=sums.excess.at[slot].set(excess, mode="drop"),
            acceptance=sums.acceptance + jnp.where(drawing, draw.acceptance, 0.0),
            loss_at_point=sums.loss_at_point + draw.loss_at_point,
            floor=jnp.where(descending, jnp.minimum(sums.floor, excess), sums.floor),
            diverged_draw=jnp.where(stops, jnp.maximum(k - warmup, 0), sums.diverged_draw),
            end=jnp.where(descending, sums.end, state.w),
        )

    empty = _Sums(jnp.full(draws, jnp.nan, zero.dtype), zero, zero, jnp.inf + zero, jnp.int32(-1), target.point)
    state, sums = jax.lax.fori_loop(0, total, step, (kernel.start(), empty))
    return Trace(
        excess=sums.excess,
        acceptance=sums.acceptance / draws,
        step_size=kernel.step_size(state),
        floor=sums.floor if corrected else zero + jnp.nan,
        diverged_draw=sums.diverged_draw,
        loss_at_point=sums.loss_at_point / total,
        end=sums.end,
    )
