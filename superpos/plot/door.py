"""The door of the plot functions: arguments are looked at by one rule; what cannot be drawn is refused in one sentence."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import UnionType
from typing import Any, get_args, get_origin

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos import arrays, check
from superpos.errors import ConfigError, one_line

# What a function raises that meets data of another form than it draws.
_DOES_NOT_FIT = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function behind the door.

    Arguments that are said to be labelled must be, `ax` must be axes, and arrays of other libraries become NumPy's. Data that
    is of the right kind and still cannot be drawn, because a dimension is lacking or lengths differ, is a `ConfigError`, too,
    with the first error as its cause.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        before = plt.get_fignums()
        try:
            for name, value in bound.arguments.items():
                parameter = signature.parameters[name]
                if value is None and parameter.default is None:
                    continue
                if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                    continue
                bound.arguments[name] = _looked_at(name, value, parameter.annotation)
            with np.errstate(all="ignore"):  # what is not finite leaves a gap
                return function(*bound.args, **bound.kwargs)
        except ConfigError:
            _close_new(before)
            raise
        except _DOES_NOT_FIT as error:
            _close_new(before)
            given = " or ".join(name for name in bound.arguments if name != "ax")
            what = f"{type(error).__name__}: {one_line(error)}"[:200]
            raise ConfigError(f"plot.{function.__name__} cannot draw what {given} holds ({what}).") from error

    return checked


def _close_new(before: list[int]) -> None:
    """Close the figures that a call made before it was refused: nobody holds them."""
    for number in set(plt.get_fignums()) - set(before):
        plt.close(number)


def _looked_at(name: str, value: Any, annotation: Any) -> Any:
    text, kinds = str(annotation), [one for one in get_args(annotation) if one is not type(None)]
    if isinstance(annotation, UnionType) and len(kinds) == 1:  # a number or None
        annotation = kinds[0]
    if annotation is xr.DataArray or text.startswith("xarray.core.dataarray.DataArray"):
        arrays.of_kind(name, value, xr.DataArray)
    elif annotation is xr.Dataset:
        arrays.of_kind(name, value, xr.Dataset)
    elif annotation is float:
        check.number(name, value)
    elif annotation is int:
        check.integer(name, value)
    elif annotation is str:
        arrays.of_kind(name, value, str)
    elif name == "ax" and not isinstance(value, Axes):
        raise ConfigError(f"ax must be axes of matplotlib, got {type(value).__name__}.")
    elif annotation is Any or get_origin(annotation) is Sequence:
        return _ours(name, value)
    elif isinstance(value, Mapping):
        return {key: _ours(f"{name}[{key!r}]", one) for key, one in value.items()}
    return value


def _ours(name: str, value: Any) -> Any:
    """Arrays of other libraries as NumPy's, alone or in a list; anything else as it is."""
    if type(value) in (list, tuple):
        return type(value)(_ours(name, one) for one in value)
    if isinstance(value, xr.DataArray | xr.Dataset) or type(value).__module__.startswith(("superpos", "flax")):
        return value
    if isinstance(value, np.ndarray | np.generic | complex) and np.asarray(value).dtype.kind in "OU":
        return value  # names
    if isinstance(value, np.generic):
        arrays.plain(name, value)  # refuses dates and the like
        return value
    if arrays.is_foreign(value) or isinstance(value, np.ndarray | complex):
        value = arrays.plain(name, value)
        if 0 in value.shape:
            raise ConfigError(f"{name} must not be empty, got an array of shape {value.shape}.")
    return value
