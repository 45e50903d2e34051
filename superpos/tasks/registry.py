"""Names of tasks: how classes of one's own get one, and classes are found by it."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from superpos import check
from superpos.errors import ConfigError
from superpos.tasks.base import DEFINED, Task, full_name, numeric_fields, static_fields

Class = TypeVar("Class")

# Tasks by the name that sweep files and results use.
REGISTRY: dict[str, type[Task]] = {}


def register(kind: Any) -> Callable[[Class], Class]:
    """Give a class of tasks a name, by which sweep files, results and other processes know it; above `@dataclass`.

    The dataclass becomes a pytree here, unless it is one. Another process must import the module that does this, and the
    command line is told by `superpos sweep FILE --import MODULE`. The same class may be defined anew, as in a notebook.

    Raises:
        ConfigError: the name is no plain word or taken, or this is no dataclass derived from `Task`.
    """
    if not isinstance(kind, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", kind):
        raise ConfigError(f'kind must be a lower-case word such as "my_task", got {kind!r}.')

    def named(cls: Any) -> Any:
        if not (isinstance(cls, type) and issubclass(cls, Task) and "__dataclass_fields__" in vars(cls)):
            raise ConfigError(f"kind {kind!r} must be given to a dataclass that derives from superpos.tasks.Task.")
        if (other := REGISTRY.get(kind)) is not None and full_name(other) != full_name(cls):
            raise ConfigError(f"kind {kind!r} is taken by {full_name(other)}.")
        try:
            jax.tree_util.register_dataclass(cls, numeric_fields(cls), static_fields(cls))
        except ValueError as error:  # it is one
            if "uplicate" not in str(error):
                raise
        REGISTRY[kind] = cls
        return cls

    return named


def kind_of(task: Task) -> str:
    """The name of a task's class: the one it was registered by, else module and class."""
    return next((kind for kind, cls in REGISTRY.items() if cls is type(task)), full_name(type(task)))


def is_known(kind: Any) -> bool:
    """Whether this process has the class of tasks of this kind."""
    return kind in REGISTRY or kind in DEFINED


def described_as(kind: Any) -> type[Task]:
    """The class of tasks of this kind, for what it says of them; `Task` with its defaults where this process has none."""
    return task_class(kind) if is_known(kind) else Task


def task_class(kind: Any) -> type[Task]:
    """The class of tasks of this kind.

    Raises:
        ConfigError: this process does not have it; the message says what to do.
    """
    if is_known(kind):
        return REGISTRY[kind] if kind in REGISTRY else DEFINED[kind]
    if isinstance(kind, str) and "." in kind:
        raise ConfigError(
            f"task.kind {kind!r} is a class of its author's, which is not here; import the module that defines it first."
        )
    hint = check.nearest(str(kind), REGISTRY)
    raise ConfigError(
        f"task.kind must be one of {', '.join(REGISTRY)}, got {kind!r}.{hint} A task of one's own is known once the module "
        "that registers it is imported (superpos sweep FILE --import MODULE)."
    )
