"""The kernels of a step, and how a training is made of them.

A step is written for one model; a batching rule lays the programs of a block side by side on the grids of two calls.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Integer

from superpos.training.chunks import train_through
from superpos.training.kernels.blocks import of_one_model
from superpos.training.kernels.call import call
from superpos.training.kernels.draw import uniform_numbers
from superpos.training.optimizers import named_leaves
from superpos.training.tiled.cut import Cut
from superpos.training.tiled.gradient import Given, Parts, add_up
from superpos.training.tiled.move import Gradient, move


class Shape(NamedTuple):
    """What shapes the code of the kernels."""

    cut: Cut
    activation: str
    magnitude: str
    interpret: bool  # by plain JAX instead of a GPU's program


def train_steps(
    task: Any,
    config: Any,
    key: Any,
    state: Any,
    start: Integer[Array, ""],
    stop: Integer[Array, ""],
    *,
    chunk: int | None,
    interpret: bool,
) -> Any:
    """Train one model of a `Toy` (materialized, as its configuration) from step `start` to `stop`: the state afterwards.

    `key` is that of the seed; `state` is a `superpos.training.loop.TrainState`. `chunk` is the number of steps between two
    looks at whether the interval is over (`superpos.training.chunks`). `interpret` is for machines without a GPU.
    """
    cut = Cut.of(task.n_features, task.n_hidden, config.batch_size)
    shape = Shape(cut, task.activation, task.magnitude, interpret)
    numbers = (task.feature_probability, task.importance, task.hidden_l1)
    words = jax.random.key_data(key)

    def step(t: Any, state: Any, taken: Any) -> Any:
        when = jnp.stack([t, jnp.int32(1) if taken is None else taken.astype(jnp.int32)])
        sizes = (1, cut.n_features, cut.batch_size)
        (u,) = uniform_numbers(words, when, config.first_step or 0, sizes, interpret=interpret)
        return _step(shape)((numbers, config, state), u, when)

    trained = train_through(step, start, stop, state._replace(snapshots=None), chunk)
    return trained._replace(snapshots=state.snapshots)


@cache
def _step(shape: Shape) -> Callable[..., Any]:
    return of_one_model(partial(_block, shape), shape.interpret)


def _block(shape: Shape, models: Any, u: Any, when: Any) -> Any:
    """A step of models whose leaves lead with one axis: of numbers of their tasks, configurations, and states."""
    numbers, config, state = models
    cut, n_models = shape.cut, len(state.diverged_step)
    parameters = dict(named_leaves(state.model))
    like = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in parameters.items()}
    barrier = (lambda: None) if shape.interpret else triton.debug_barrier
    grid = (n_models, cut.parts)

    def part_of(leaf: Any) -> Any:
        return None if leaf is None else jax.ShapeDtypeStruct((*grid, *leaf.shape[1:]), leaf.dtype)

    def add_up_part(u: Any, given: Any, parts: Parts) -> None:
        add_up(cut, shape.activation, shape.magnitude, pl.program_id(1), Given(u, *given), parts, barrier)

    def move_model(when: Any, parts: Parts, config: Any, state: Any, new_state: Any, gradient: Gradient) -> None:
        move(cut, when, parts, config, state, new_state, gradient, barrier)

    of_model = (*numbers, parameters["W"], parameters.get("b"))
    sums = Parts(jax.ShapeDtypeStruct(grid, jnp.float32), part_of(like.get("b")), part_of(like["W"]))
    kernel = partial(call, interpret=shape.interpret)
    parts = kernel("tile_gradients", add_up_part, grid, [(u, 0), (of_model, 1)], [(sums, 2)], warps=8)
    new = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    gradient = Gradient(like["W"], like.get("b"))
    given, results = [(when, 0), (parts, 1), (config, 1), (state, 1)], [(new, 1), (gradient, 1)]
    state, _ = kernel("move_weights", move_model, grid[:1], given, results, warps=16, in_place=3)
    return state
