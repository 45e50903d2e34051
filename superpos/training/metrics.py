"""Numbers of one's own that are recorded while a model trains: functions (task, model) → scalar, by name."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos import check
from superpos.errors import ConfigError
from superpos.identity.registered import check_registered, function_of, register_function
from superpos.tasks.base import Metrics, Model, Task, materialize

Function = TypeVar("Function", bound=Callable[[Any, Any], Any])


def register(name: str) -> Callable[[Function], Function]:
    """Give a function (task, model) → scalar the name by which `TrainConfig.metrics` asks for it.

    The model is that of one cell after the step at which the record has a point, the task is broadcast and precomputed::

        @sp.metrics.register("largest_weight")
        def largest_weight(task, model):
            return jnp.max(jnp.abs(model.W[...]))


        sp.sweep(task, sp.TrainConfig(metrics=("largest_weight",)), grid)["largest_weight_history"]

    Another process must import the module that does this.

    Raises:
        ConfigError: the name is no plain word or taken, or this is no function.
    """

    def named(function: Function) -> Function:
        register_function("metrics", name, function, taken=("loss",))
        return function

    return named


def check_names(names: Any) -> None:
    """Raise `ConfigError` unless these are different names of registered metrics."""
    if not isinstance(names, tuple):
        raise ConfigError(f'metrics must be a tuple of names such as ("largest_weight",), got {check.short(names)}.')
    for name in names:
        check_registered("metrics", name, ())
    if len(set(names)) < len(names):
        raise ConfigError("metrics must not name one twice.")


def measured(names: tuple[str, ...], task: Task, model: Model, loss: Float[Array, ""]) -> Metrics:
    """The metrics of a model of a materialized task; NaN where its mean `loss` is: it was not trained.

    Raises:
        ConfigError: a metric is not registered, or is no real scalar.
    """
    check_names(names)
    values = {}
    for name in names:
        function: Any = function_of("metrics", name)
        value = jnp.asarray(function(task, model))
        if value.shape or jnp.iscomplexobj(value):
            raise ConfigError(f"metric {name!r} must be one real number, got {value.dtype} of shape {value.shape}.")
        values[name] = jnp.where(jnp.isnan(loss), jnp.nan, value.astype(loss.dtype))
    return values


def recorded(task: Task, config: Any) -> tuple[Any, Any]:
    """Shape and type of the loss, and those of everything that training records beside it, by name.

    Raises:
        ConfigError: a metric has the name of a number that the task records itself.
    """

    def one_step() -> tuple[Any, Metrics, Metrics]:  # traced: base values of what is swept are not looked at
        full, key = materialize(task), jax.random.key(0)
        model = full.init(key)
        loss, (metrics, _) = full.training_loss(model, key, config.batch_size)
        return loss, metrics, measured(config.metrics, full, model, loss)

    loss, metrics, own_metrics = jax.eval_shape(one_step)
    if taken := [name for name in own_metrics if name in metrics]:
        raise ConfigError(f"metric {taken[0]!r} has the name of a number that the task records itself.")
    return loss, metrics | own_metrics
