"""What a step does with loss and gradient: the optimiser, and whether the model is frozen. For one model, in any kernel."""

from functools import reduce
from operator import add
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Integer

from superpos.training.optimizers import named_leaves
from superpos.training.start import PARAMETER_BOUND


class Proposed(NamedTuple):
    """What the optimiser makes of a gradient, before anyone has looked at it."""

    model: Any
    opt_state: Any
    n_outside: Integer[Array, ""]  # parameters that are not finite or exceed `PARAMETER_BOUND`


def proposed(config: Any, state: Any, gradient: dict[str, Any]) -> Proposed:
    """The model after a step. `gradient` has an array for every parameter by name, as long as the state's.

    All arrays may be parts of the model's along the features.
    """
    by_leaf = jax.tree.unflatten(
        jax.tree.structure(state.model), [gradient[name] for name, _ in named_leaves(state.model)]
    )
    updates, opt_state = config.build_optimizer().update(by_leaf, state.opt_state, state.model)
    model = optax.apply_updates(state.model, updates)
    outside = [jnp.sum(jnp.where(jnp.abs(leaf) <= PARAMETER_BOUND, 0, 1)) for leaf in jax.tree.leaves(model)]
    return Proposed(model, opt_state, reduce(add, outside))  # NaN is outside


def settled(state: Any, t: Any, loss: Float[Array, ""], n_outside: Any, taken: Any) -> tuple[Bool[Array, ""], Any]:
    """Whether step t is made, and the state with what is said of it, as in `superpos.training.loop`.

    `taken` is False in a step beyond the end of an interval, and None where there is none.
    """
    frozen = state.diverged_step >= 0
    if state.stopped_step is not None:
        frozen |= state.stopped_step >= 0
    if taken is not None:
        frozen |= ~taken
    healthy = ~frozen & (jnp.abs(loss) < np.inf) & (n_outside == 0)  # False for NaN
    old, metrics = state.total
    total = old + jnp.where(healthy, loss, jnp.nan)
    total = total if taken is None else jnp.where(taken, total, old)
    diverged_step = jnp.where(healthy | frozen, state.diverged_step, t)
    return healthy, state._replace(diverged_step=diverged_step, total=(total, metrics))
