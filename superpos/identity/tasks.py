"""The code that a task of one's own brings along: part of the identity of what it trained."""

import hashlib
import sys
from collections.abc import Iterable
from typing import Any

from superpos.errors import ConfigError
from superpos.identity.code import identity_of
from superpos.identity.names import belongs_to


def code_of(*parts: Any, named_by: Iterable[Any] = ()) -> dict[str, str] | None:
    """The code from outside superpos that tasks and configurations bring along, as a result states it; None without any.

    It is that of their classes with everything that these reach, of methods that were put into superpos's own, of fields
    that hold functions or objects of foreign classes, and of the functions and classes that fields name by a word
    (`named_code`). `named_by` are the tasks and configurations that a grid makes of the first, whose fields may name others.
    Numbers are stated elsewhere.

    Raises:
        ConfigError: see `identity_of`.
    """
    values = [value for part in parts for value in (type(part), *_fields_with_code(part))]
    identities = [identity_of(value, getattr(value, "__name__", type(value).__name__)) for value in values]
    named = {name: code for part in (*parts, *named_by) for name, code in part.named_code().items()}
    identities_of_named = {name: identity_of(named[name], name) for name in sorted(named)}
    outside = [i for name, i in identities_of_named.items() if i.foreign or belongs_to(named[name]) != "package"]
    if not outside and not any(identity.foreign for identity in identities):
        return None
    identities += outside
    digest = hashlib.sha256("".join(identity.digest for identity in identities).encode()).hexdigest()
    return {"digest": digest, "python": "{}.{}".format(*sys.version_info)}  # another Python compiles otherwise


def code_token(*parts: Any) -> str | None:
    """A word that changes when the code of tasks from outside superpos does, for programs kept in memory; None without any.

    Of classes that are superpos's own only their methods are looked at, so it costs little.
    """
    named = {name: code for part in parts for name, code in part.named_code().items()}
    classes = [*map(type, parts), *(code for code in named.values() if isinstance(code, type))]
    functions = {name: code for name, code in named.items() if not isinstance(code, type)}
    values = [value for cls in classes for base in cls.__mro__ for value in (base, *vars(base).values())]
    values += [value for part in parts for value in _fields_with_code(part)]
    inner = [getattr(value, "__func__", getattr(value, "fget", value)) for value in values]
    with_code = [value for value in inner if hasattr(value, "__globals__") or isinstance(value, type)]
    if not functions and all(belongs_to(value) != "user" for value in with_code):
        return None
    try:
        code = code_of(*parts)
    except ConfigError:  # then a class defined anew is another one, and more cannot be told
        words = [f"{cls.__qualname__} {id(cls)}" for cls in classes]
        return " ".join([*words, *(f"{name} {id(function)}" for name, function in functions.items())])
    return None if code is None else code["digest"]


def code_difference(stored: Any, current: dict[str, str] | None) -> str | None:
    """What differs between the code that a result says trained it and the code that would go on, in words."""
    if stored == current:
        return None
    if current is None:
        return "its task had code from outside superpos, which is not there now"
    if not isinstance(stored, dict):
        return "it does not say which code of the task trained it"
    if stored.get("python") != current["python"]:
        return f"the task's code was compiled by Python {stored.get('python')} there and {current['python']} here"
    return "the task's code changed"


def _fields_with_code(part: Any) -> list[Any]:
    values = getattr(part, "__dict__", {}).values()
    return [value for value in values if callable(value) or belongs_to(type(value)) == "user"]
