"""Activation functions by name, and how one of one's own gets a name."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from superpos.errors import ConfigError, one_line
from superpos.identity.registered import Functions, check_registered, register_function

Function = TypeVar("Function", bound=Callable[[Any], Any])

ACTIVATIONS = Functions(relu=jax.nn.relu, identity=lambda a: a, gelu=jax.nn.gelu)
BUILT_IN = tuple(ACTIVATIONS)


def register_activation(name: str) -> Callable[[Function], Function]:
    """Give a function of an array the name by which models, tasks and results know it: an activation of one's own.

    It is applied to whole arrays and returns one of the same shape. It may be trained with on samples; what is known in
    closed form (the expected loss) is not known of it. It is part of a sweep's identity where a task's field `activation`
    names it. Another process must import the module that does this.

    >>> @sp.models.register_activation("shifted")
    ... def shifted(x):
    ...     return jax.nn.relu(x - 0.1)
    >>> sp.ToyModel(np.eye(2), activation="shifted")(np.ones(2)).round(1).tolist()
    [0.9, 0.9]

    Raises:
        ConfigError: the name is no plain word or taken, or this is no such function.
    """

    def named(function: Function) -> Function:
        if callable(function):
            _check_shape(name, function)
        register_function("activation", name, function, BUILT_IN)
        ACTIVATIONS[name] = function
        return function

    return named


def check_activation(name: Any) -> None:
    """Raise `ConfigError` unless this is the name of an activation."""
    check_registered("activation", name, BUILT_IN)


def _check_shape(name: str, function: Callable[[Any], Any]) -> None:
    try:
        shape = jax.eval_shape(function, jax.ShapeDtypeStruct((2, 3), jnp.float32)).shape
    except Exception as error:  # whatever a function of somebody else's raises
        raise ConfigError(f"activation {name!r} failed for an array of shape (2, 3): {one_line(error)[:200]}") from None
    if shape != (2, 3):
        raise ConfigError(f"activation {name!r} must return an array of the shape it is given, (2, 3), got {shape}.")
