"""A step of one model by the gradients of the parts of its batch: a program of a kernel.

The features go by twice, in tiles. A model is frozen by what all of its numbers would become, so they are computed, looked at
and forgotten first; only then are they computed again and written where the old ones were.
"""

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from superpos.training.kernels.memory import Columns, read, write
from superpos.training.kernels.step import proposed, settled
from superpos.training.tiled.cut import Cut
from superpos.training.tiled.gradient import Parts


class Gradient(NamedTuple):
    """References to room for the gradient of one model."""

    W: Any  # (n_hidden, n_features)
    b: Any  # (n_features,) or None


def move(
    cut: Cut,
    when: Any,
    parts: Parts,
    config: Any,
    state: Any,
    new_state: Any,
    gradient: Gradient,
    barrier: Callable[[], None],
) -> None:
    """Write the state after step `when[0]`, which is taken if `when[1]`, where the old one was.

    `barrier` as for `superpos.training.tiled.gradient.add_up`.
    """
    scale = 1 / (cut.n_features * cut.batch_size)
    config = jax.tree.map(read, config)
    scalars = jax.tree.map(lambda reference: None if reference.ndim else read(reference), state)

    def of_tile(tile: Any) -> tuple[Columns, Any]:
        columns = Columns(tile * cut.moved, cut.moved)
        old = jax.tree.map(
            lambda reference, scalar: read(reference, columns=columns) if reference.ndim else scalar,
            state,
            scalars,
        )
        return columns, old

    def look(tile: Any, n_outside: Any) -> Any:
        columns, old = of_tile(tile)
        sums = {"W": _summed(parts.to_W, columns)}
        if parts.to_b is not None:
            sums["b"] = _summed(parts.to_b, columns)
        slope = {name: 2 * scale * numbers for name, numbers in sums.items()}
        for name, numbers in slope.items():
            write(getattr(gradient, name), numbers, columns=columns)
        return n_outside + proposed(config, old, slope).n_outside

    n_outside = jax.lax.fori_loop(0, cut.moves, look, jnp.int32(0))
    loss = scale * jnp.sum(read(parts.loss))
    healthy, said = settled(scalars, when[0], loss, n_outside, when[1] > 0)
    barrier()

    def keep(tile: Any, scalars: Any) -> Any:
        columns, old = of_tile(tile)
        names = ["W"] if gradient.b is None else ["W", "b"]
        new = proposed(config, old, {name: read(getattr(gradient, name), columns=columns) for name in names})
        new, old = jax.tree.leaves((new.model, new.opt_state)), jax.tree.leaves((old.model, old.opt_state))
        places = jax.tree.leaves((new_state.model, new_state.opt_state))
        barrier()  # nothing is overwritten that a thread has yet to read
        for place, after, before in zip(places, new, old, strict=True):
            if place.ndim:
                write(place, jnp.where(healthy, after, before), columns=columns)
        return [after for place, after in zip(places, new, strict=True) if not place.ndim]

    counts = jax.tree.leaves((scalars.model, scalars.opt_state))
    after = jax.lax.fori_loop(0, cut.moves, keep, counts)
    places = [leaf for leaf in jax.tree.leaves((new_state.model, new_state.opt_state)) if not leaf.ndim]
    for place, new, old in zip(places, after, counts, strict=True):
        write(place, jnp.where(healthy, new, old))
    rest = [tree._replace(model=None, opt_state=None) for tree in (new_state, said)]
    for place, value in zip(*map(jax.tree.leaves, rest), strict=True):
        write(place, value)


def _summed(parts: Any, columns: Columns) -> Any:
    """The sum of an array's parts, from the first to the last."""
    return reduce(add, (read(parts, part, columns=columns) for part in range(parts.shape[0])))
