"""What a step does with loss and gradient: the optimiser, and whether the model is frozen. For one model, in any kernel."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from superpos.training.optimizers import named_leaves
from superpos.training.start import PARAMETER_BOUND


def moved(
    config: Any, state: Any, t: Any, loss: Float[Array, ""], gradient: dict[str, Any], taken: Bool[Array, ""] | None
) -> Any:
    """The state after step t, with what `superpos.training.loop` does where a step is refused or not taken.

    `gradient` has an array for every parameter by name, as long as the state's. `taken` is None where every step is.
    """
    by_leaf = jax.tree.unflatten(
        jax.tree.structure(state.model), [gradient[name] for name, _ in named_leaves(state.model)]
    )
    updates, new_opt_state = config.build_optimizer().update(by_leaf, state.opt_state, state.model)
    new_model = optax.apply_updates(state.model, updates)
    frozen = state.diverged_step >= 0
    if state.stopped_step is not None:
        frozen |= state.stopped_step >= 0
    if taken is not None:
        frozen |= ~taken
    healthy = ~frozen & (jnp.abs(loss) < np.inf)  # False for NaN, as below
    for leaf in jax.tree.leaves(new_model):
        healthy &= jnp.sum(jnp.where(jnp.abs(leaf) <= PARAMETER_BOUND, 0, 1)) == 0
    model, opt_state = jax.tree.map(
        lambda new, old: jnp.where(healthy, new, old), (new_model, new_opt_state), (state.model, state.opt_state)
    )
    total, metrics = state.total
    new_total = total + jnp.where(healthy, loss, jnp.nan)
    return state._replace(
        model=model,
        opt_state=opt_state,
        diverged_step=jnp.where(healthy | frozen, state.diverged_step, t),
        total=(new_total if taken is None else jnp.where(taken, new_total, total), metrics),
    )
