"""What tasks with one hidden layer share: sizes and numbers that are allowed, full shapes, first weights, and the error."""

from dataclasses import fields, replace
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos import check
from superpos.data import MAGNITUDES, MAX_FEATURES, FeatureDistribution, magnitudes
from superpos.tasks.base import numeric_fields

MAX_WEIGHTS = 10**9


def check_settings(task: Any) -> None:
    """Raise `ConfigError`, naming the field, for sizes, shapes and the exponent of a task that are not allowed."""
    check.integer("n_features", task.n_features, at_least=1, at_most=MAX_FEATURES)
    check.integer("n_hidden", task.n_hidden, at_least=1, at_most=MAX_FEATURES)
    check.integer("n_features × n_hidden", int(task.n_features) * int(task.n_hidden), at_most=MAX_WEIGHTS)
    check.vector("feature_probability", task.feature_probability, task.n_features)
    check.vector("importance", task.importance, task.n_features)
    check.scalar("init_scale", task.init_scale)
    check.boolean("bias", getattr(task, "bias", False))  # some tasks have none to choose
    check.integer("loss_exponent", task.loss_exponent, at_least=1, at_most=8)


def check_numbers(task: Any) -> None:
    """Raise `ConfigError` for numeric values that are not allowed; leaves may have a leading axis of cells."""
    task.features.check()
    check.in_range("importance", task.importance, at_least=0)
    check.in_range("init_scale", task.init_scale, at_least=0, at_most=100)


def broadcast(task: Any) -> Any:
    """The task with densities and importances one per feature, and other numbers as arrays."""
    full = {n: jnp.asarray(v, float) for n in numeric_fields(task) if (v := getattr(task, n)) is not None}
    return replace(task, **full | per_feature(task))


def per_feature(task: Any) -> dict[str, Array]:
    """Numbers of a task that may be one for all features or one for each, for each; discrete magnitudes in rows."""
    n, full = task.n_features, {}
    for name in ("feature_probability", "importance", "correlation", *magnitudes.ALL_NUMBERS):
        if (value := getattr(task, name, None)) is not None:
            array = jnp.asarray(value, float)
            shape = (n, *array.shape[-1:]) if name in magnitudes.TABLES else (n,)
            full[name] = jnp.broadcast_to(array, shape)
    return full


def features_of(task: Any, **more: Any) -> FeatureDistribution:
    """Where the inputs of a task come from: a distribution with the fields that the two share, and those in `more`."""
    if hasattr(task, "magnitude") and not hasattr(task, "magnitude_low"):  # it has no numbers of laws
        check.one_of("magnitude", task.magnitude, MAGNITUDES)
    names = {f.name for f in fields(FeatureDistribution)} & {f.name for f in fields(task)}
    return FeatureDistribution(**{name: getattr(task, name) for name in names}, **more)


def initial_std(task: Any) -> Array:
    """Xavier's standard deviation of one model, √(2 / (n + m)), times `init_scale`."""
    return task.init_scale * jnp.sqrt(2.0 / (task.n_features + task.n_hidden))


def power(error: Float[Array, "..."], exponent: int) -> Float[Array, "..."]:
    """|error| to a whole power, as products."""
    return (jnp.abs(error) if exponent % 2 else error) ** exponent


def weighted_error(task: Any, error: Float[Array, "n_features batch"]) -> Float[Array, ""]:
    """The mean over batch and features of importance times |error| to the task's exponent."""
    return jnp.mean(task.importance * jnp.mean(power(error, task.loss_exponent), axis=1))
