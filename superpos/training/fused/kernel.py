"""The kernel: some steps of one model, whose random numbers were drawn before, for all models of a seed at once."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.pallas import triton
from jaxtyping import Array, Integer

from superpos.models.sums_over_samples import plain_multiply_add
from superpos.training.fused.arithmetic import multiply_add
from superpos.training.fused.cut import ELSEWHERE, Cut, steps_at_once
from superpos.training.fused.gradient import Numbers, Problem, loss_and_gradient
from superpos.training.kernels import memory
from superpos.training.kernels.blocks import of_one_model
from superpos.training.kernels.call import call
from superpos.training.kernels.draw import uniform_numbers
from superpos.training.kernels.step import proposed, settled
from superpos.training.optimizers import named_leaves


class Shape(NamedTuple):
    """What shapes the code of the kernel, but for the number of models."""

    n_features: int
    n_hidden: int
    batch_size: int
    activation: str
    magnitude: str
    interpret: bool  # by plain JAX instead of a GPU's program

    def cut(self, block_size: int) -> Cut:
        """How a program is cut, where so many stand side by side."""
        if self.interpret:
            return ELSEWHERE
        return Cut.of(self.n_features, self.n_hidden, self.batch_size, block_size)


def train_steps(
    task: Any,
    config: Any,
    key: Any,
    state: Any,
    start: Integer[Array, ""],
    stop: Integer[Array, ""],
    *,
    interval: int | None,
    interpret: bool,
) -> Any:
    """Train one model of a `Toy` (materialized, as its configuration) from step `start` to `stop`: the state afterwards.

    `key` is that of the seed; `state` is a `superpos.training.loop.TrainState`. There are at most `interval` steps, if that
    is given. Vmapped over models of one seed it is two kernels for some steps: one draws the numbers of all of them, the
    other trains. `interpret` is for machines without a GPU: the same kernels as plain JAX programs.
    """
    sizes = task.n_features, task.n_hidden, config.batch_size
    shape = Shape(*sizes, task.activation, task.magnitude, interpret)
    n_steps = steps_at_once(task.n_features, config.batch_size, interval)
    numbers = (task.feature_probability, task.importance, task.hidden_l1)
    words = jax.random.key_data(key)

    def some_steps(k: Any, carried: Any) -> Any:
        first = start + k * n_steps
        span = jnp.stack([first, jnp.clip(stop, first, first + n_steps)]).astype(jnp.int32)
        drawn = (n_steps, task.n_features, config.batch_size)
        u = uniform_numbers(words, span, config.first_step or 0, drawn, interpret=interpret)
        return _of_shape(shape)((numbers, config, carried), u, span)

    # Where the number of calls is known, a GPU's host need not look whether there is another.
    n_calls = -(-interval // n_steps) if interval else (stop - start + n_steps - 1) // n_steps
    carried = state._replace(snapshots=None)
    trained = some_steps(0, carried) if interval == n_steps else jax.lax.fori_loop(0, n_calls, some_steps, carried)
    return trained._replace(snapshots=state.snapshots)


@cache
def _of_shape(shape: Shape) -> Callable[..., Any]:
    return of_one_model(partial(_block, shape), shape.interpret)


def _block(shape: Shape, models: Any, u: Any, span: Any) -> Any:
    """Train models whose leaves lead with one axis: so many programs on the grid.

    `models` are numbers of their tasks, configurations, and states.
    """
    numbers, config, state = models
    n_models = len(state.diverged_step)
    cut = shape.cut(n_models)
    problem = Problem(shape.n_features, shape.n_hidden, shape.batch_size, cut.tile, shape.activation, shape.magnitude)

    def program(u: Any, span: Any, numbers: Any, config: Any, state: Any, trained: Any) -> None:
        p, importance, hidden_l1 = numbers
        features = range(shape.n_features)
        penalty = None if hidden_l1 is None else hidden_l1[...]
        numbers = Numbers([p[i] for i in features], [importance[i] for i in features], penalty)
        config, state = jax.tree.map(memory.read, (config, state))
        product = plain_multiply_add if shape.interpret else multiply_add

        def step(t: Any, state: Any) -> Any:
            def uniform(feature: int, sample: Any) -> Any:
                mask = None if shape.batch_size % cut.tile == 0 else sample < shape.batch_size
                return triton.load(u.at[t - span[0], feature, sample], mask=mask, other=None if mask is None else 0)

            parameters = dict(named_leaves(state.model))
            loss, to_W, to_b = loss_and_gradient(
                problem, numbers, parameters["W"], parameters.get("b"), uniform, product
            )
            new = proposed(config, state, {"W": to_W, "b": to_b})
            healthy, state = settled(state, t, loss, new.n_outside, taken=None)
            model, opt_state = jax.tree.map(
                lambda new, old: jnp.where(healthy, new, old),
                (new.model, new.opt_state),
                (state.model, state.opt_state),
            )
            return state._replace(model=model, opt_state=opt_state)

        state = jax.lax.fori_loop(span[0], span[1], step, state)
        jax.tree.map(memory.write, trained, state)

    new = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    given = [(u, 0), (span, 0), (numbers, 1), (config, 1), (state, 1)]
    how = {"warps": cut.warps, "interpret": shape.interpret, "in_place": 4}
    return call("train_toy_models", program, (n_models,), given, [(new, 1)], **how)
