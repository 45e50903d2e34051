"""From many random weights downhill, as training does it: which starts end near which minimum.

Adam is also the cheapest way down for many small models at once. Of 5→2 at density .1, 512 starts in blocks of 64 on one
core, milliseconds per start and starts that reach the lowest loss within half a percent: 300 steps with the rate and memories
of training 4.0 and 400, the 400 of `superpos.theory.minimise` 5.6 and 345, 60 of optax.lbfgs 9.6 and 342, 60 of jax.scipy's
BFGS 30 and 166. Line searches wait for the slowest model of a block. The bottom is the business of
`superpos.landscapes.bottoms`.

A third of training's steps, with half the terms of its series, take 96 to 98 of 100 starts as near to a minimum as it
matters, in a quarter of the time. Those that are still on their way take another leg, and another, with smaller steps.
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

from superpos.landscapes.problem import UNSEEN, exact_loss
from superpos.theory.series import ORDER, chosen_order

# Problems solved as one program (as in `superpos.theory.minimisation`); always so many, so that it compiles once.
BLOCK = 64
# Terms of the series for models that training takes its smallest number of terms for.
TERMS = 16
# Of the steps of training, those of a leg; and of its learning rate, that of each leg.
SHARE = 1 / 3
LEGS = (1.0, 0.5, 0.25)


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


def descend(flat: np.ndarray, task: Any, settings: dict[str, Any], *, rate: float = 1.0) -> Ends:
    """The ends of one leg down from the rows of `flat`, (k, d): Adam as `descent_of` says, `rate` times as fast.

    `settings` holds `feature_probability` and `importance`, (k, n_features) each: rows of different cells go through one
    program.
    """
    n, m = int(task.n_features), int(task.n_hidden)
    tuning = descent_of(task)
    tuning["learning_rate"] *= rate
    rows = [np.asarray(x, np.float32) for x in (flat, settings["feature_probability"], settings["importance"])]
    count = len(flat)
    rows = [np.concatenate([x, x[:1].repeat(-count % BLOCK, axis=0)]) for x in rows]
    calls = [tuple(x[k : k + BLOCK] for x in rows) for k in range(0, len(rows[0]), BLOCK)]
    solve = partial(_descend_block, task=replace(task, **UNSEEN), shape=(m, n), **tuning)
    first = jax.tree.map(np.asarray, solve(calls[0]))  # compiles once, before several threads ask for it
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        rest = list(pool.map(lambda call: jax.tree.map(np.asarray, solve(call)), calls[1:]))
    ends, losses = zip(first, *rest, strict=True)
    d = flat.shape[1]
    return Ends(np.concatenate([x.reshape(-1, d) for x in ends])[:count], np.concatenate(losses).ravel()[:count])


def descent_of(task: Any) -> dict[str, Any]:
    """Of one leg: rate and memories of Adam as the task is trained on the expected loss, a share of the steps, terms."""
    defaults = replace(task, objective="expected").training_defaults()
    tuning = {name: defaults[name] for name in ("learning_rate", "beta1", "beta2")}
    order = chosen_order(task.n_features, task.n_hidden)
    order = TERMS if order <= ORDER else order
    order = order if task.order is None else min(order, task.order)
    return {"steps": -int(-SHARE * defaults["steps"] // 1), **tuning, "order": int(order)}


@partial(jax.jit, static_argnames=("shape", "order", "steps"))
def _descend_block(
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

    return jax.vmap(one)(*rows)
