"""The kernels of a step, and how a training is made of them.

A step is written for one model; a batching rule lays the programs of a block side by side on the grids of two calls.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Integer

from superpos.data.distribution import unit_uniform_of
from superpos.training.chunks import train_through
from superpos.training.fused import draws, memory
from superpos.training.fused.step import moved
from superpos.training.optimizers import named_leaves
from superpos.training.tiled.cut import Cut
from superpos.training.tiled.gradient import Given, Parts, add_up


class Shape(NamedTuple):
    """What shapes the code of the kernels."""

    cut: Cut
    activation: str
    magnitude: str
    bias: bool
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
    step_of_block = _of_shape(Shape(cut, task.activation, task.magnitude, task.bias, interpret))
    numbers = (task.feature_probability, task.importance, task.hidden_l1)
    words = tuple(jax.random.key_data(key))
    element = jnp.arange(cut.n_features * cut.batch_size, dtype=jnp.uint32).reshape(cut.n_features, cut.batch_size)

    def step(t: Any, state: Any, taken: Any) -> Any:
        number = (t + (config.first_step or 0)).astype(jnp.uint32)
        u = unit_uniform_of(draws.bits(draws.fold_in(words, number), element))
        when = jnp.stack([t, jnp.int32(1) if taken is None else taken.astype(jnp.int32)])
        return step_of_block(numbers, config, u, when, state)

    trained = train_through(step, start, stop, state._replace(snapshots=None), chunk)
    return trained._replace(snapshots=state.snapshots)


@cache
def _of_shape(shape: Shape) -> Callable[..., Any]:
    @jax.custom_batching.custom_vmap
    def step(numbers: Any, config: Any, u: Any, when: Any, state: Any) -> Any:
        one = jax.tree.map(lambda leaf: leaf[None], (numbers, config, state))
        return jax.tree.map(lambda leaf: leaf[0], _block(shape, one, u, when))

    @step.def_vmap
    def _(axis_size: int, batched: Any, numbers: Any, config: Any, u: Any, when: Any, state: Any) -> Any:
        if batched[2] or batched[3]:
            raise NotImplementedError("models of one block have one seed, and their steps are the same")

        def lead(leaf: Any, is_batched: bool) -> Any:
            return leaf if is_batched else jnp.broadcast_to(leaf, (axis_size, *leaf.shape))

        models = jax.tree.map(lead, (numbers, config, state), (batched[0], batched[1], batched[4]))
        return _block(shape, models, u, when), jax.tree.map(lambda _: True, state)

    return step


def _block(shape: Shape, models: Any, u: Any, when: Any) -> Any:
    numbers, config, state = models
    n_models = len(state.diverged_step)
    parts = _sums(shape, numbers, u, dict(named_leaves(state.model)), n_models)
    return _move(shape, config, state, parts, when, n_models)


def _sums(shape: Shape, numbers: Any, u: Any, parameters: dict[str, Any], n_models: int) -> Parts:
    cut = shape.cut
    given = Given(u, *numbers, parameters["W"], parameters.get("b"))
    leaves, structure = jax.tree.flatten(given)
    lead = (n_models, cut.parts)
    like = Parts(lead, (*lead, cut.n_features) if shape.bias else None, (*lead, cut.n_hidden, cut.n_features))
    shapes = Parts(*[None if size is None else jax.ShapeDtypeStruct(size, jnp.float32) for size in like])
    outputs, of_outputs = jax.tree.flatten(shapes)

    def program(*references: Any) -> None:
        n = len(leaves)
        barrier = (lambda: None) if shape.interpret else triton.debug_barrier
        read, written = jax.tree.unflatten(structure, references[:n]), jax.tree.unflatten(of_outputs, references[n:])
        add_up(cut, shape.activation, shape.magnitude, pl.program_id(1), read, written, barrier)

    def of_model(leaf: Any) -> pl.BlockSpec:
        return pl.BlockSpec((None, *leaf.shape[1:]), lambda k, part, n=leaf.ndim: (k, *[0] * (n - 1)))

    def of_part(leaf: Any) -> pl.BlockSpec:
        return pl.BlockSpec((None, None, *leaf.shape[2:]), lambda k, part, n=leaf.ndim: (k, part, *[0] * (n - 2)))

    shared = pl.BlockSpec(u.shape, lambda k, part: (0, 0))
    sums = pl.pallas_call(
        program,
        grid=lead,
        in_specs=[shared, *map(of_model, leaves[1:])],
        out_specs=[*map(of_part, outputs)],
        out_shape=outputs,
        compiler_params=None if shape.interpret else triton.CompilerParams(num_warps=8, num_stages=1),
        interpret=shape.interpret,
        name="tile_gradients",
    )(*leaves)
    return jax.tree.unflatten(of_outputs, sums)


def _move(shape: Shape, config: Any, state: Any, parts: Parts, when: Any, n_models: int) -> Any:
    cut = shape.cut
    leaves, structure = jax.tree.flatten((parts, config, state))
    outputs, of_state = jax.tree.flatten(state)
    scale = 1 / (cut.n_features * cut.batch_size)

    def program(when: Any, *references: Any) -> None:
        n = len(leaves)
        parts, config, state = jax.tree.unflatten(structure, references[:n])
        config, state = jax.tree.map(memory.read, (config, state))
        loss = scale * jnp.sum(memory.read(parts.loss))
        gradient = {"W": 2 * scale * _summed(parts.to_W)}
        if shape.bias:
            gradient["b"] = 2 * scale * _summed(parts.to_b)
        new = moved(config, state, when[0], loss, gradient, when[1] > 0)
        for reference, leaf in zip(references[n:], jax.tree.leaves(new), strict=True):
            memory.write(reference, leaf)

    def of_model(leaf: Any) -> pl.BlockSpec:
        return pl.BlockSpec((None, *leaf.shape[1:]), lambda k, n=leaf.ndim: (k, *[0] * (n - 1)))

    first = 1 + len(leaves) - len(outputs)  # of the state among what goes in: it is trained in place
    new = pl.pallas_call(
        program,
        grid=(n_models,),
        in_specs=[pl.BlockSpec((2,), lambda k: (0,)), *map(of_model, leaves)],
        out_specs=[*map(of_model, outputs)],
        out_shape=[jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in outputs],
        compiler_params=None if shape.interpret else triton.CompilerParams(num_warps=16, num_stages=1),
        input_output_aliases={first + k: k for k in range(len(outputs))},
        interpret=shape.interpret,
        name="move_weights",
    )(when, *leaves)
    return jax.tree.unflatten(of_state, new)


def _summed(parts: Any) -> Any:
    """The sum of an array's parts, from the first to the last."""
    total = memory.read(parts.at[0])
    for part in range(1, parts.shape[0]):
        total += memory.read(parts.at[part])
    return total
