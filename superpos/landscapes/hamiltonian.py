r"""Hamiltonian Monte Carlo: proposals along trajectories of the exact loss, accepted or rejected.

A draw gives w a momentum p ~ N(0, 1), follows $\dot w = p$, $\dot p = -\nabla U$ for some leapfrog steps of length ε, and
accepts the end with probability $\min(1, e^{H - H'})$, $H = U + \|p\|^2/2$. What the steps do wrong is thereby put right: the
chain has the posterior itself as its law, whatever ε. Neal 2011, [arXiv:1206.1901](https://arxiv.org/abs/1206.1901).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos.landscapes.kernels import Draw, Kernel, is_bounded

ACCEPTANCE = 0.8  # that the warm-up aims at
JITTER = 0.2  # of the step from draw to draw, so that no trajectory is a whole period
# Dual averaging, with the constants of Hoffman & Gelman 2014.
SHRINKAGE, FIRST_STEPS, FORGETTING = 0.05, 10.0, 0.75


class Tuning(NamedTuple):
    """Dual averaging of log ε towards the acceptance."""

    mean_error: Any
    log_step: Any
    log_mean: Any  # what is used after the warm-up

    def updated(self, acceptance: Any, k: Any, middle: Any) -> "Tuning":
        """After the k-th draw of the warm-up, counted from 1; `middle` is the log of the step to shrink to."""
        share = 1 / (k + FIRST_STEPS)
        mean_error = (1 - share) * self.mean_error + share * (ACCEPTANCE - acceptance)
        log_step = middle - jnp.sqrt(k) / SHRINKAGE * mean_error
        weight = k**-FORGETTING
        return Tuning(mean_error, log_step, weight * log_step + (1 - weight) * self.log_mean)


class State(NamedTuple):
    """Where a chain is."""

    w: Float[Array, " d"]
    loss: Any
    slope: Float[Array, " d"]  # of the loss
    loss_at_point: Any
    tuning: Tuning


def kernel(target: Any, steps: Any) -> Kernel:
    """The draws of a `Target` with `steps` leapfrog steps each.

    The first draw has a step of length 0: it ends at the point, and learns the loss and the slope there.
    """
    value_and_slope = jax.value_and_grad(lambda w: target.loss(w, None))
    chosen = jnp.isnan(target.step_size)
    # A curvature of 1 would make this the longest stable step but for a factor of two.
    begin = jnp.log(jnp.where(chosen, 1 / jnp.sqrt(target.nbeta + target.gamma), target.step_size))

    def start() -> State:
        zero = jnp.zeros_like(begin)
        tuning = Tuning(zero, begin, begin)
        return State(target.point, zero, jnp.zeros_like(target.point), zero, tuning)

    def step(state: State, key: Any, k: Any, warming: Any, descending: Any) -> tuple[State, Draw]:
        first = k == 0
        momentum_key, jitter_key, accept_key = jax.random.split(key, 3)
        length = jnp.exp(jnp.where(warming, state.tuning.log_step, state.tuning.log_mean))
        jitter = 1 + JITTER * jax.random.uniform(jitter_key, (), minval=-1.0, maxval=1.0)
        epsilon = jnp.where(first, 0.0, length * jitter)
        momentum = jax.random.normal(momentum_key, state.w.shape, state.w.dtype)
        momentum = jnp.where(descending, 0.0, momentum)  # from rest, a trajectory cannot end higher than it began

        def leap(_: Any, at: Any) -> Any:
            w, p, slope, _ = at
            p = p - 0.5 * epsilon * target.slope(w, slope)
            w = w + epsilon * p
            loss, slope = value_and_slope(w)
            return w, p - 0.5 * epsilon * target.slope(w, slope), slope, loss

        w, p, slope, loss = jax.lax.fori_loop(0, steps, leap, (state.w, momentum, state.slope, state.loss))
        gain = target.energy(state.w, state.loss) - target.energy(w, loss)
        change = gain + 0.5 * (jnp.sum(momentum**2) - jnp.sum(p**2))
        usable = jnp.isfinite(change) & jnp.isfinite(loss) & is_bounded(w)
        acceptance = jnp.where(usable, jnp.minimum(1.0, jnp.exp(jnp.minimum(change, 0.0))), 0.0)
        lucky = jax.random.uniform(accept_key) < acceptance
        accepted = jnp.where(descending, usable & (gain >= 0), lucky) | first
        w, loss_here, slope = (
            jnp.where(accepted, a, b) for a, b in ((w, state.w), (loss, state.loss), (slope, state.slope))
        )
        tuned = state.tuning.updated(acceptance, jnp.maximum(k, 1).astype(w.dtype), begin + jnp.log(10.0))
        tuning = jax.tree.map(lambda a, b: jnp.where(warming & chosen & ~first, a, b), tuned, state.tuning)
        loss_at_point = jnp.where(first, loss, state.loss_at_point)
        new = State(w, loss_here, slope, loss_at_point, tuning)
        # The point itself must be finite; any other proposal that is not was rejected.
        draw = Draw(new.loss - loss_at_point, acceptance, loss_at_point, jnp.isfinite(new.loss))
        return new, draw

    return Kernel(start, step, lambda state: jnp.exp(state.tuning.log_mean))
