"""The kernel: from one point of the record to the next, for a few models of one seed at a time.

A step is written for one model. `jax.vmap` makes of it the few that share a program, so that what they share, the draws of
their seed, is made once; a batching rule lays the programs of a block side by side on the grid of one call.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Integer

from superpos.training.fused import draws, memory, rules
from superpos.training.fused.arithmetic import Arithmetic
from superpos.training.fused.blocks import of_one_model
from superpos.training.fused.gradient import Numbers, Problem, loss_and_gradient
from superpos.training.fused.step import proposed, settled
from superpos.training.optimizers import named_leaves


class Shape(NamedTuple):
    """How the kernel is cut for a training."""

    problem: Problem
    bias: bool
    warps: int  # of 32 threads, per program
    interpret: bool  # by plain JAX instead of a GPU's program

    @classmethod
    def of(cls, task: Any, config: Any, interpret: bool) -> "Shape":
        """The one that `superpos.training.fused.rules` chooses."""
        tile, warps = rules.tile_and_warps(config.batch_size)
        sizes = (task.n_features, task.n_hidden, config.batch_size, tile)
        return cls(Problem(*sizes, task.activation, task.magnitude), task.bias, warps, interpret)

    def together(self, block_size: int) -> int:
        """Models of one program, in a block of so many. A CPU gains nothing from several programs."""
        if self.interpret:
            return block_size
        return rules.models_together(self.problem.n_features, self.problem.n_hidden, self.bias, block_size)


def train_steps(
    task: Any,
    config: Any,
    key: Any,
    state: Any,
    start: Integer[Array, ""],
    stop: Integer[Array, ""],
    *,
    interpret: bool,
) -> Any:
    """Train one model of a `Toy` (materialized, as its configuration) from step `start` to `stop`: the state afterwards.

    `key` is that of the seed; `state` is a `superpos.training.loop.TrainState`. Vmapped over models of one seed it is one
    call of a kernel. `interpret` is for machines without a GPU: the same kernel as a plain JAX program.
    """
    shape = Shape.of(task, config, interpret)
    numbers = (task.feature_probability, task.importance, task.hidden_l1)
    carried = state._replace(snapshots=None)
    span = jnp.stack([start, stop]).astype(jnp.int32)
    trained = _of_shape(shape)((numbers, config, carried), jax.random.key_data(key), span)
    return trained._replace(snapshots=state.snapshots)


@cache
def _of_shape(shape: Shape) -> Callable[..., Any]:
    return of_one_model(partial(_block, shape), shape.interpret)


def _block(shape: Shape, models: Any, key: Any, span: Any) -> Any:
    """Train models whose leaves lead with one axis: so many programs on the grid.

    `models` are numbers of their tasks, configurations, and states.
    """
    state = models[2]
    n_models = len(state.diverged_step)
    leaves, structure = jax.tree.flatten(models)
    together = shape.together(n_models)
    outputs = jax.tree.leaves(state)
    arithmetic = Arithmetic.of(shape.interpret, together)
    step = partial(_step, shape.problem, arithmetic)
    # One model has no axis of models: with an axis of one, Triton's layouts went round in circles and 5→2 never compiled.
    alone = together == 1

    def program(key: Any, span: Any, *references: Any) -> None:
        given = jax.tree.unflatten(structure, references[: len(leaves)])
        (p, importance, hidden_l1), config, state = given
        features = range(shape.problem.n_features)
        penalty = None if hidden_l1 is None else hidden_l1[...]
        every = () if alone else (slice(None),)
        numbers = Numbers([p[(*every, i)] for i in features], [importance[(*every, i)] for i in features], penalty)
        config, state = jax.tree.map(memory.read, (config, state))
        words = (key[0], key[1])

        def step_of_all(t: Any, state: Any) -> Any:
            of_one = partial(step, words, t)
            return (of_one if alone else jax.vmap(of_one))(numbers, config, state)

        trained = jax.lax.fori_loop(span[0], span[1], step_of_all, state)
        for reference, leaf in zip(references[len(leaves) :], jax.tree.leaves(trained), strict=True):
            memory.write(reference, leaf)

    def of_models(leaf: Any) -> pl.BlockSpec:
        return pl.BlockSpec((None if alone else together, *leaf.shape[1:]), lambda k, n=leaf.ndim: (k, *[0] * (n - 1)))

    pair = pl.BlockSpec((2,), lambda k: (0,))
    first = 2 + len(leaves) - len(outputs)  # of the state among what goes in: it is trained in place
    trained = pl.pallas_call(
        program,
        grid=(n_models // together,),
        in_specs=[pair, pair, *map(of_models, leaves)],
        out_specs=[*map(of_models, outputs)],
        out_shape=[jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in outputs],
        compiler_params=None if shape.interpret else triton.CompilerParams(num_warps=shape.warps, num_stages=1),
        input_output_aliases={first + k: k for k in range(len(outputs))},
        interpret=shape.interpret,
        name="train_toy_models",
    )(key, span, *leaves)
    return jax.tree.unflatten(jax.tree.structure(state), trained)


def _step(
    problem: Problem, arithmetic: Arithmetic, key: draws.Words, t: Any, numbers: Numbers, config: Any, state: Any
) -> Any:
    """One step of one model."""
    number = (t + (config.first_step or 0)).astype(jnp.uint32)
    parameters = dict(named_leaves(state.model))
    loss, to_W, to_b = loss_and_gradient(
        problem, numbers, parameters["W"], parameters.get("b"), draws.fold_in(key, number), arithmetic
    )
    new = proposed(config, state, {"W": to_W, "b": to_b})
    healthy, state = settled(state, t, loss, new.n_outside, taken=None)
    model, opt_state = jax.tree.map(
        lambda new, old: jnp.where(healthy, new, old), (new.model, new.opt_state), (state.model, state.opt_state)
    )
    return state._replace(model=model, opt_state=opt_state)
