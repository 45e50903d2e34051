"""From many random weights downhill, as training does it: which starts end near which minimum.

Adam is also the cheapest way down for many small models at once. Of 5→2 at density .1, 512 starts in blocks of 64 on one
core, milliseconds per start and starts that reach the lowest loss within half a percent: these 300 steps 4.0 and 400, the
400 of `superpos.theory.minimise` 5.6 and 345, 60 of optax.lbfgs 9.6 and 342, 60 of jax.scipy's BFGS 30 and 166. Line
searches wait for the slowest model of a block. The bottom is the business of `superpos.landscapes.bottoms`.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from superpos.landscapes.problem import exact_loss
from superpos.theory.series import chosen_order

# Problems solved as one program, a few times over (as in `superpos.theory.minimisation`).
BLOCK = 64
BLOCKS_PER_CALL = 8


class Ends(NamedTuple):
    """Where descents ended, in single precision."""

    flat: np.ndarray  # (starts, d)
    loss: np.ndarray  # (starts,)


def random_starts(task: Any, starts: int, seed: int) -> np.ndarray:
    """Initial weights and biases of the task as flat vectors, (starts, d), drawn as training draws them."""
    return np.asarray(_draw(jax.random.key(seed), task, starts=starts))


@partial(jax.jit, static_argnames="starts")
def _draw(key: Any, task: Any, *, starts: int) -> Any:
    def one(k: Any) -> Any:
        model = task.init(k)
        W, b = jnp.ravel(model.W[...]), None if model.b is None else model.b[...]
        return W if b is None else jnp.concatenate([W, b])

    return jax.vmap(one)(jax.random.split(key, starts))


def descend(flat: np.ndarray, task: Any, settings: dict[str, Any]) -> Ends:
    """The ends of descents from the rows of `flat`: Adam as a task with `objective="expected"` is trained by default.

    `settings` may hold `feature_probability` and `importance`, (starts, n_features) each: rows of different cells go
    through one program.
    """
    n, m = int(task.n_features), int(task.n_hidden)
    order = chosen_order(n, m) if task.order is None else task.order
    tuning = task_training(task)
    rows = [np.asarray(x, np.float32) for x in (flat, settings["feature_probability"], settings["importance"])]
    count, per_call = len(flat), BLOCK * BLOCKS_PER_CALL
    missing = -count % per_call if count > per_call else -count % BLOCK
    rows = [np.concatenate([x, x[:1].repeat(missing, axis=0)]) for x in rows]
    blocks = [x.reshape(-1, BLOCK, x.shape[1]) for x in rows]
    calls = [tuple(x[k : k + BLOCKS_PER_CALL] for x in blocks) for k in range(0, len(blocks[0]), BLOCKS_PER_CALL)]
    solve = partial(_descend_blocks, task=task, shape=(m, n), order=order, **tuning)
    first = jax.tree.map(np.asarray, solve(calls[0]))  # compiles once, before several threads ask for it
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        rest = list(pool.map(lambda call: jax.tree.map(np.asarray, solve(call)), calls[1:]))
    ends, losses = zip(first, *rest, strict=True)
    d = flat.shape[1]
    return Ends(np.concatenate([x.reshape(-1, d) for x in ends])[:count], np.concatenate(losses).ravel()[:count])


def task_training(task: Any) -> dict[str, Any]:
    """Steps, rate and memories of Adam: what the task says of its training on the expected loss."""
    defaults = replace(task, objective="expected").training_defaults()
    return {name: defaults[name] for name in ("steps", "learning_rate", "beta1", "beta2")}


@partial(jax.jit, static_argnames=("shape", "order", "steps"))
def _descend_blocks(
    rows: Any, task: Any, *, shape: tuple[int, int], order: int, steps: int, learning_rate: Any, beta1: Any, beta2: Any
) -> Any:
    def one(flat: Any, feature_probability: Any, importance: Any) -> Any:
        cell = replace(task, feature_probability=feature_probability, importance=importance)
        optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps), b1=beta1, b2=beta2)
        loss = partial(exact_loss, task=cell, frame=None, shape=shape, bias=bool(task.bias), order=order)

        def step(carry: Any, _: Any) -> Any:
            at, state = carry
            updates, state = optimizer.update(jax.grad(loss)(at), state)
            return (at + updates, state), None

        (end, _), _ = jax.lax.scan(step, (flat, optimizer.init(flat)), length=steps)
        return end, loss(end)

    return jax.lax.map(lambda block: jax.vmap(one)(*block), rows)
