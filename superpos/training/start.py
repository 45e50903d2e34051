"""Where training starts from: weights that are given, checked against the model they are for."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.training.optimizers import named_leaves

# Beyond this a model counts as one that blew up.
PARAMETER_BOUND = 1e4


def shapes_of(task: Any) -> dict[str, Any]:
    """Shape and type of every parameter of a task's models, by name."""
    return dict(named_leaves(jax.eval_shape(lambda: task.broadcast().init(jax.random.key(0)))))


def given_parameters(init: Any) -> dict[str, Any]:
    """What was given as `init`, as arrays by name: a mapping, a `Run`, a model, or an array, which is W.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(init, Mapping):
        if not init or not all(isinstance(name, str) for name in init):
            raise ConfigError('init must map names of parameters to arrays, such as {"W": W}.')
        return dict(init)
    if (model := arrays.model_of(init)) is not None:
        return dict(named_leaves(model))
    if isinstance(init, list | tuple) or (hasattr(init, "shape") and np.ndim(init)):
        return {"W": init}
    raise ConfigError(
        f"init must be a model, a run, a result, an array W or arrays by name, got {type(init).__name__}."
    )


def parameter_numbers(name: str, given: Any) -> Any:
    """One parameter's values as an array of finite numbers of a trained model's size; tracers pass."""
    if isinstance(given, jax.ShapeDtypeStruct):
        raise ConfigError(f"init: {name} must hold numbers, got a shape alone.")
    if arrays.is_traced(given):
        return given
    values = check.finite_array(f"init: {name}", arrays.plain(f"init: {name}", given))
    if values is None or np.any(np.abs(values) > PARAMETER_BOUND):
        raise ConfigError(f"init: {name} must hold numbers of at most {PARAMETER_BOUND:g}, as training allows.")
    return values


def known_names(names: Any, shapes: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for a name that none of the task's parameters has."""
    for name in names:
        if name not in shapes:
            hint = check.suggestion(name, list(shapes))
            raise ConfigError(f"init has {name}, which the models do not have.{hint} They have {', '.join(shapes)}.")


def wrong_shape(name: str, got: Any, shape: Any) -> ConfigError:
    """The error for a parameter of another shape."""
    return ConfigError(
        f"init: {name} must have shape {tuple(shape)}, as it has in the models to train, got {tuple(got)}."
    )


def starting_parameters(task: Any, init: Any) -> dict[str, Any]:
    """Weights to start one model of this task from, checked; parameters that are not named start as the task starts them.

    Raises:
        ConfigError: a name, a shape or a number does not fit.
    """
    shapes, parameters = shapes_of(task), {}
    given = given_parameters(init)
    known_names(given, shapes)
    for name, values in given.items():
        values = parameter_numbers(name, values)
        if np.shape(values) != (shape := shapes[name].shape):
            raise wrong_shape(name, np.shape(values), shape)
        parameters[name] = jnp.asarray(values, shapes[name].dtype)
    return parameters


def check_start(task: Any, given: Mapping[str, Any]) -> None:
    """Raise `ConfigError` unless the task can begin with given parameters, which may lead with an axis of cells.

    A task that begins with the same function in another form (`started`) says in `check_start` where there is none.
    """
    try:
        task.check_start(given)
    except ConfigError as error:
        raise ConfigError(f"init: {error}") from None


def begun(task: Any, model: Any, start: Mapping[str, Any]) -> Any:
    """A new model with some of its parameters replaced by given ones, in the form in which the task trains it."""
    from_task = getattr(model, "FROM_TASK", ())  # parameters that say what the task is
    leaves = [leaf if name in from_task else start.get(name, leaf) for name, leaf in named_leaves(model)]
    model = jax.tree.unflatten(jax.tree.structure(model), leaves)
    return task.started(model, start)


def steps_before(init: Any) -> int:
    """How many steps led to what is given: those of a run, or the most of a result's cells; 0 for arrays and models."""
    config = getattr(init, "config", None)
    if config is None:
        return 0
    if callable(config):  # a sweep's result
        attributes, dataset = init.attrs, init.dataset
        first = (
            dataset["first_step"].values if "first_step" in dataset else attributes.get("train", {}).get("first_step")
        )
        steps = int(dataset["record_step"].max()) if "record_step" in dataset else 0  # no sweep trained it
        return int(np.max(0 if first is None else first)) + steps
    return int(config.first_step or 0) + int(config.steps)
