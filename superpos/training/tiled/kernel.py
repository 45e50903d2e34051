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
from superpos.training.fused.blocks import of_one_model
from superpos.training.optimizers import named_leaves
from superpos.training.tiled import draw
from superpos.training.tiled.cut import Cut
from superpos.training.tiled.gradient import Given, Parts, add_up
from superpos.training.tiled.move import Gradient, move


class Shape(NamedTuple):
    """What shapes the code of the kernels."""

    cut: Cut
    activation: str
    magnitude: str
    first_step: int
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
    shape = Shape(cut, task.activation, task.magnitude, config.first_step or 0, interpret)
    numbers = (task.feature_probability, task.importance, task.hidden_l1)
    words = jax.random.key_data(key)

    def step(t: Any, state: Any, taken: Any) -> Any:
        when = jnp.stack([t, jnp.int32(1) if taken is None else taken.astype(jnp.int32)])
        return _step(shape)((numbers, config, state), _drawn(shape, words, when), when)

    trained = train_through(step, start, stop, state._replace(snapshots=None), chunk)
    return trained._replace(snapshots=state.snapshots)


@cache
def _step(shape: Shape) -> Callable[..., Any]:
    return of_one_model(partial(_block, shape), shape.interpret)


def _drawn(shape: Shape, words: Any, when: Any) -> Any:
    n, batch_size = shape.cut.n_features, shape.cut.batch_size
    u = jax.ShapeDtypeStruct((n * batch_size,), jnp.float32)

    def program(words: Any, when: Any, u: Any) -> None:
        draw.draw(pl.program_id(0), words, when[0] + shape.first_step, u)

    given = [(words, 0), (when, 0)]
    return _call("draw_inputs", program, shape, (-(-u.size // draw.TOGETHER),), given, [(u, 0)], 4).reshape(
        n, batch_size
    )


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
    parts = _call("tile_gradients", add_up_part, shape, grid, [(u, 0), (of_model, 1)], [(sums, 2)], 8)
    new = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    gradient = Gradient(like["W"], like.get("b"))
    given, results = [(when, 0), (parts, 1), (config, 1), (state, 1)], [(new, 1), (gradient, 1)]
    state, _ = _call("move_weights", move_model, shape, grid[:1], given, results, 16, in_place=3)
    return state


def _call(
    name: str,
    program: Callable[..., None],
    shape: Shape,
    grid: tuple[int, ...],
    given: list[tuple[Any, int]],
    results: list[tuple[Any, int]],
    warps: int,
    in_place: int | None = None,
) -> Any:
    """A kernel by the programs of a grid. Trees of what it reads and writes are given with how many axes of the grid lead.

    `in_place` numbers the tree among the given whose arrays become those of the first result.
    """
    trees = [tree for tree, _ in given], [tree for tree, _ in results]
    (inputs, of_inputs), (outputs, of_outputs) = map(jax.tree.flatten, trees)

    def spec(leaf: Any, lead: int) -> pl.BlockSpec:
        rest = leaf.shape[lead:]
        return pl.BlockSpec((*[None] * lead, *rest), lambda *place: (*place[:lead], *[0] * len(rest)))

    def of_references(*references: Any) -> None:
        read, written = references[: len(inputs)], references[len(inputs) :]
        program(*jax.tree.unflatten(of_inputs, read), *jax.tree.unflatten(of_outputs, written))

    aliases = {}
    if in_place is not None:
        first = len(jax.tree.leaves(trees[0][:in_place]))
        aliases = {first + k: k for k in range(len(jax.tree.leaves(trees[0][in_place])))}
    result = pl.pallas_call(
        of_references,
        grid=grid,
        in_specs=[spec(leaf, lead) for tree, lead in given for leaf in jax.tree.leaves(tree)],
        out_specs=[spec(leaf, lead) for tree, lead in results for leaf in jax.tree.leaves(tree)],
        out_shape=outputs,
        compiler_params=None if shape.interpret else triton.CompilerParams(num_warps=warps, num_stages=1),
        input_output_aliases=aliases,
        interpret=shape.interpret,
        name=name,
    )(*inputs)
    trees = jax.tree.unflatten(of_outputs, result)
    return trees[0] if len(trees) == 1 else trees
