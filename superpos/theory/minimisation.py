"""The least population loss a model can have: exact minimisation from given starts."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.data import FeatureDistribution
from superpos.errors import ConfigError
from superpos.theory import series
from superpos.theory.expectation import MAX_PARAMETER, expected_errors

# Problems solved as one program, a few times over; more would not run faster (measured on two cores). Few problems fill
# fewer blocks: half as many, or a quarter.
BLOCK = 64
BLOCKS_PER_CALL = (2, 4, 8)


class Minimum(NamedTuple):
    """Where a minimisation ended."""

    W: Any  # (n_hidden, n_features)
    b: Any  # (n_features,)
    loss: Any  # mean over features


def minimise(
    W: Any,
    b: Any,
    feature_probability: Any,
    importance: Any,
    *,
    steps: int = 400,
    learning_rate: float = 0.03,
    order: int | None = None,
) -> Minimum:
    """Descend from one start: Adam with a cosine schedule on the expected loss of the ReLU model.

    `W` is (n_hidden, n_features), `b` (n_features,), densities and importances are numbers or (n_features,).
    The loss returned is that of the end point with 128 terms or more, NaN where it is far from what was minimised (see
    `superpos.theory.series`; `order` is chosen by n). Vmappable over everything. Adam's first steps are as long as the
    learning rate, so it may leave a shallow valley: `superpos.theory.follow` does not.

    Raises:
        ConfigError: a shape or number is not allowed, or `order` was too short.
    """
    W, b = arrays.weights_and_bias("W", W, b, "relu")
    W = jnp.asarray(arrays.weights("W", W, largest=MAX_PARAMETER))
    n = W.shape[1]
    b = jnp.asarray(arrays.as_array("b", b, shape=(n,), largest=MAX_PARAMETER))
    feature_probability = arrays.as_array("feature_probability", feature_probability)
    importance = arrays.as_array("importance", importance)
    for name, value in (("feature_probability", feature_probability), ("importance", importance)):
        check.vector(name, value, n)
    check.in_range("feature_probability", feature_probability, above=0, at_most=1)
    check.in_range("importance", importance, at_least=0)
    check.integer("steps", steps, at_least=1)
    order = series.check_order(order, n, len(W))
    check.number("learning_rate", learning_rate, above=0)
    settings = (jnp.asarray(feature_probability), jnp.asarray(importance), learning_rate)
    end = _minimise(W, b, *settings, steps=steps, order=order)
    if not arrays.is_traced(end.loss) and np.isnan(end.loss):
        raise ConfigError(f"order led the descent astray: {series.too_short(order, n, len(W))}")
    return end


@partial(jax.jit, static_argnames=("steps", "order"))
def _minimise(
    W: Float[Array, "n_hidden n_features"],
    b: Float[Array, " n_features"],
    feature_probability: Any,
    importance: Any,
    learning_rate: Any = 0.03,
    *,
    steps: int,
    order: int,
) -> Minimum:
    features = FeatureDistribution(n_features=W.shape[1], feature_probability=feature_probability)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps), b1=0.7, b2=0.9)

    def loss(parameters: Any, terms: int) -> Array:
        return jnp.mean(importance * expected_errors(*parameters, features, order=terms))

    def step(carry: Any, _: Any) -> Any:
        parameters, state = carry
        updates, state = optimizer.update(jax.grad(loss)(parameters, order), state)
        return (optax.apply_updates(parameters, updates), state), None

    (parameters, _), _ = jax.lax.scan(step, ((W, b), optimizer.init((W, b))), length=steps)
    final = loss(parameters, max(order, series.FINAL_ORDER))
    if series.doubtful(W.shape[1], order):
        final_loss, more = loss(parameters, order), loss(parameters, series.longer(order))
        untrained = jnp.mean(importance * features.moment(2))
        misled = series.below_zero(final_loss, untrained) | series.far(final_loss, more, untrained)
        final = jnp.where(misled, jnp.nan, final)
    return Minimum(*parameters, final)


@partial(jax.jit, static_argnames=("steps", "order"))
def _minimise_blocks(starts: Any, *, steps: int, order: int) -> Minimum:
    each = jax.vmap(partial(_minimise, steps=steps, order=order))  # problems, not models of an experiment
    return jax.lax.map(lambda block: each(*block), starts)


def lowest_minima(
    W: Any, b: Any, feature_probability: Any, importance: Any, *, steps: int = 400, order: int | None = None
) -> Minimum:
    """The best end point over many starts, for every one of many problems.

    Shapes: `W` (starts, problems, n_hidden, n_features), `b` (starts, problems, n_features), `feature_probability` and
    `importance` (problems, n_features). Returns `Minimum` with leading axis problems, in single precision.

    Raises:
        ConfigError: `steps` or `order` is not a positive whole number, a density or importance is out of range, or `order`
            was too short for a problem from every start.
    """
    check.integer("steps", steps, at_least=1)
    order = series.check_order(order, np.shape(W)[-1], np.shape(W)[-2])
    check.in_range("feature_probability", feature_probability, above=0, at_most=1)
    check.in_range("importance", importance, at_least=0)
    n_starts, n_problems = np.shape(W)[:2]
    settings = [np.broadcast_to(np.asarray(x), np.shape(b)) for x in (feature_probability, importance)]
    flat = [np.asarray(x, np.float32).reshape(n_starts * n_problems, *np.shape(x)[2:]) for x in (W, b, *settings)]
    blocks = next((few for few in BLOCKS_PER_CALL if len(flat[0]) <= few * BLOCK), max(BLOCKS_PER_CALL))
    per_call = BLOCK * blocks
    missing = -len(flat[0]) % per_call
    flat = [np.concatenate([x, x[:1].repeat(missing, axis=0)]) for x in flat]  # padded with copies of the first
    calls = [
        tuple(x[k : k + per_call].reshape(blocks, BLOCK, *x.shape[1:]) for x in flat)
        for k in range(0, len(flat[0]), per_call)
    ]
    use_compilation_cache()
    solve = partial(_minimise_blocks, steps=steps, order=order)
    first = jax.tree.map(np.asarray, solve(calls[0]))  # compiles once, before several threads ask for it
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # one small program keeps one core busy
        rest = list(pool.map(lambda call: jax.tree.map(np.asarray, solve(call)), calls[1:]))
    ends = jax.tree.map(lambda *x: np.concatenate([y.reshape(-1, *y.shape[2:]) for y in x]), first, *rest)
    ends = jax.tree.map(lambda x: x[: n_starts * n_problems].reshape(n_starts, n_problems, *x.shape[1:]), ends)
    if series.doubtful(np.shape(W)[-1], order) and np.isnan(ends.loss).all(axis=0).any():
        raise ConfigError(
            f"order led every descent astray: {series.too_short(order, np.shape(W)[-1], np.shape(W)[-2])}"
        )
    best = np.argmin(np.where(np.isfinite(ends.loss), ends.loss, np.inf), axis=0)
    return jax.tree.map(lambda x: x[best, np.arange(n_problems)], ends)
