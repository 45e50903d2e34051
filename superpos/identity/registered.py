"""Functions of one's own that a field names: activations, optimisers, metrics.

The field of a task or configuration holds the name, which results state. The function is part of the identity of what was
trained with it (`code_of`).
"""

import re
from collections.abc import Callable, Collection
from typing import Any

from superpos import check
from superpos.errors import ConfigError


class Functions(dict[str, Callable[..., Any]]):
    """Functions by name. Code that looks one up does not depend on the others: `code_of` counts what a field names."""


class NotRegistered(ConfigError):
    """A name that is not known in this process, and may be in another."""


# By the field that names them.
_FUNCTIONS = {field: Functions() for field in ("activation", "optimizer", "metrics")}


def register_function(field: str, name: Any, function: Any, taken: Collection[str]) -> None:
    """Give a function the name that `field` may hold. The same function may be defined anew, as in a notebook.

    Raises:
        ConfigError: the name is no plain word or taken, or this is no function.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ConfigError(f'{field}: a name must be a lower-case word such as "my_own", got {check.short(name)}.')
    if not callable(function):
        raise ConfigError(f"{field} {name!r} must be a function, got {check.short(function)}.")
    other = _FUNCTIONS[field].get(name)
    if name in taken or (other is not None and _full_name(other) != _full_name(function)):
        raise ConfigError(f"{field} {name!r} is taken by {'superpos' if other is None else _full_name(other)}.")
    _FUNCTIONS[field][name] = function


def check_registered(field: str, name: Any, built_in: Collection[str]) -> None:
    """Raise `NotRegistered` unless `name` is built in or registered; the message says how it would be."""
    allowed = [*built_in, *_FUNCTIONS[field]]
    if isinstance(name, str) and name in allowed:
        return
    hint = check.nearest(name, allowed) if isinstance(name, str) else ""
    requirement = f"must be one of {', '.join(allowed)}" if allowed else "must be registered"
    raise NotRegistered(
        f"{field} {requirement}, got {check.short(name)}.{hint} One of one's own is known once the module that registers it "
        "is imported (superpos sweep FILE --import MODULE)."
    )


def function_of(field: str, name: str) -> Callable[..., Any] | None:
    """The function that was registered under a name; None if none was."""
    return _FUNCTIONS[field].get(name)


def functions_of(part: Any) -> dict[str, Callable[..., Any]]:
    """The registered functions that a task or configuration names, as {"activation softsign": function}."""
    functions = {}
    for field, registered in _FUNCTIONS.items():
        value = getattr(part, field, None)
        for name in value if isinstance(value, tuple) else (value,):
            if isinstance(name, str) and name in registered:
                functions[f"{field} {name}"] = registered[name]
    return functions


def _full_name(function: Any) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__name__)}"
