"""What code and data are, as a digest: functions and classes with everything that they reach.

Two programs of one digest compute the same from the same arguments. Code counts as Python compiled it, so comments, blank
lines, line numbers and docstrings do not count, and code without a source file (a notebook's cell, `exec`) does.
"""

import builtins
import dataclasses
import enum
import functools
import hashlib
import random
import re
import sys
import types
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any, NamedTuple

from superpos.errors import ConfigError, one_line
from superpos.identity.data import data_parts, hides_code
from superpos.identity.names import RUN_TIME, End, Names, as_bytes, belongs_to, missing, names_in, resolved, write_only

# What a class has without its code saying so, or what decides no number.
_OF_EVERY_CLASS = frozenset((
    "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__",
    "__dataclass_params__", "__dict__", "__doc__", "__firstlineno__", "__match_args__", "__module__", "__orig_bases__",
    "__parameters__", "__qualname__", "__slotnames__", "__slots__", "__static_attributes__", "__weakref__", "_abc_impl",
    "_pytree__nodes",
))  # fmt: skip
# Methods of superpos's classes that draw numbers and decide none; through them every table would depend on the whole package.
_SHOWS = ("plot", "explore", "_repr_html_")
_CHECKS_TYPES = ("jaxtyping", "beartype", "typeguard")  # their wrappers compute nothing
_NAMED = (types.WrapperDescriptorType, types.MethodDescriptorType, types.MethodWrapperType, types.ClassMethodDescriptorType,
          types.GetSetDescriptorType, types.MemberDescriptorType)  # fmt: skip
_PLAIN = (types.NoneType, int, float, complex, str, bytes, tuple, random.Random)
_RUNNING = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.FrameType)
_CODE = (type, types.FunctionType, types.MethodType, property, staticmethod, classmethod, functools.partial,
         functools.cached_property)  # fmt: skip


class Identity(NamedTuple):
    """A digest, whether anything outside superpos and the installed libraries decided it, and what it reached."""

    digest: str
    foreign: bool
    libraries: dict[str, str]  # name: version
    modules: frozenset[str]  # of superpos, that hold code which was reached


class _Unknown(Exception):
    """Something without a known identity was reached."""


def identity_of(value: Any, name: str, *, as_input: bool = False) -> Identity:
    """The identity of a function, class or value with all that it reaches.

    These are the code of functions, their defaults, attributes and closures, the globals and imports that they name, bases
    and attributes of classes, and the state of objects, of random number generators, too. Of an installed library only its
    name counts, and of superpos only what was put into it from outside; their versions are the caller's to add. What a
    function only adds to (`calls.append(…)`) is no input.

    Files that a function reads by their names, and what answers it over a network, are not looked at.

    Raises:
        ConfigError: it reaches a running generator, an open file, a lock or the like, looks names up at run time (`eval`,
            `globals()`), or reads the environment; the message says by which way.
    """
    walk = _Walk(as_input)
    try:
        digest = walk.of(value, name)
    except _Unknown as unknown:
        way = " → ".join(walk.trail)
        raise ConfigError(
            f"{way} {unknown}; what it depends on cannot be known, so pass plain values instead."
        ) from None
    except RecursionError:
        raise ConfigError(f"{name} reaches too much for its identity to be known; pass plain values instead.") from None
    except Exception as error:  # whatever an object of somebody else's class raises when it is looked at
        way = " → ".join(walk.trail)
        raise ConfigError(
            f"{way} cannot be looked at ({one_line(error)[:80]}), so pass plain values instead."
        ) from None
    libraries = {name: _version(name) for name in sorted(walk.libraries)}
    return Identity(digest.hex(), walk.n_foreign > 0, libraries, frozenset(walk.modules))


@functools.cache
def _version(library: str) -> str:
    if library in sys.stdlib_module_names:
        return "{}.{}.{}".format(*sys.version_info)
    if isinstance(version := getattr(sys.modules.get(library), "__version__", None), str):
        return version
    try:
        return metadata.version(library)
    except (metadata.PackageNotFoundError, ValueError):
        return ""


def _hash(*parts: str | bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        raw = as_bytes(part) if isinstance(part, str) else part
        digest.update(f"{len(raw)} ".encode() + raw)
    return digest.digest()


class _Walk:
    """One walk over everything that a value reaches. Each object is described once; a circle ends where it began."""

    def __init__(self, as_input: bool):
        self.trail: list[str] = []
        self.libraries: set[str] = set()
        self.modules: set[str] = set()
        self.n_foreign = 0
        self._as_input, self._in_code = as_input, 0
        self._open: dict[int, int] = {}
        self._done: dict[int, tuple[Any, bytes, bool]] = {}  # the object too, so that its id stays its own

    def of(self, value: Any, name: str = "") -> bytes:
        """The digest of a value; `name` is what led to it, for messages."""
        kind = type(value)
        if value is None or kind in (bool, int, float, complex, str) or value is ... or value is NotImplemented:
            return _hash(kind.__name__, value if isinstance(value, str) else repr(value))
        if kind in (bytes, bytearray):
            return _hash(kind.__name__, bytes(value))
        if id(value) in self._open:
            return _hash("circle", str(self._open[id(value)]))
        if id(value) in self._done:
            _, digest, foreign = self._done[id(value)]
            self.n_foreign += foreign
            return digest
        self._open[id(value)] = len(self._open)
        before = self.n_foreign
        if name:
            self.trail.append(name)
        digest = self._described(value)
        if name:  # kept where an error ends the walk: the message says how it got there
            self.trail.pop()
        del self._open[id(value)]
        self._done[id(value)] = (value, digest, self.n_foreign > before)
        return digest

    def _all(self, values: Iterable[Any]) -> bytes:
        return _hash(*[self.of(value) for value in values])

    def _named(self, items: Mapping[str, Any]) -> bytes:
        return _hash(*[part for key in sorted(items) for part in (key, self.of(items[key], key))])

    def _described(self, value: Any) -> bytes:
        match value:
            case types.ModuleType():
                return self._module(value)
            case type() | types.FunctionType():
                self._in_code += 1
                digest = self._class(value) if isinstance(value, type) else self._function(value)
                self._in_code -= 1
                return digest
            case types.MethodType():
                return _hash("method", self.of(value.__func__, value.__name__), self.of(value.__self__))
            case types.CodeType():
                return self._code(value)
            case types.CellType():
                return _hash("cell", self.of(_content(value)))
            case staticmethod() | classmethod():
                return _hash(type(value).__name__, self.of(value.__func__))
            case property():
                return _hash("property", self._all((value.fget, value.fset, value.fdel)))
            case functools.cached_property():
                return _hash("cached", self.of(value.func))
            case functools.partial():
                return _hash("partial", self.of(value.func, "partial"), self.of(value.args), self.of(value.keywords))
            case types.BuiltinFunctionType():
                owner = value.__self__
                bound = [] if owner is None or isinstance(owner, types.ModuleType) else [self.of(owner)]
                return _hash("built in", str(value.__module__), value.__qualname__, *bound)
            case enum.Enum():
                return _hash("enum", self.of(type(value)), value.name)
            case dataclasses.Field():
                settings = (value.name, value.default, value.default_factory, value.metadata, repr(value._field_type))  # pyright: ignore[reportAttributeAccessIssue]
                return _hash("field", self._all(settings))
            case re.Pattern():
                return _hash("pattern", self.of(value.pattern), str(value.flags))
            case range() | slice():
                return _hash(type(value).__name__, self._all((value.start, value.stop, value.step)))
            case random.Random() if type(value) is random.Random:
                return _hash("random", self.of(value.getstate()))
        if isinstance(value, _NAMED):
            bound = [self.of(value.__self__)] if isinstance(value, types.MethodWrapperType) else []
            return _hash("descriptor", value.__qualname__, *bound)
        if isinstance(value, _RUNNING):
            raise _Unknown(f"is a running {type(value).__name__}")
        if type(value).__module__ == "typing" or isinstance(value, types.GenericAlias | types.UnionType):
            return _hash("typing", repr(value))
        if hides_code(value):
            raise _Unknown("is a ufunc of a Python function, which cannot be read from it")
        if (parts := data_parts(value)) is not None:
            return _hash(*[part if isinstance(part, bytes) else self.of(part) for part in parts])
        if (place := _place(value)) is not None:
            self.libraries.add(place.partition(".")[0])
            return _hash("library", place)
        return self._object(value)

    def _items(self, value: Any) -> bytes | None:
        """What a container holds, for one of a class that is or extends one of Python's."""
        if isinstance(value, dict | types.MappingProxyType):
            return self._all(part for item in value.items() for part in item)
        if isinstance(value, set | frozenset):
            return _hash(*sorted(self.of(item) for item in value))
        return self._all(value) if isinstance(value, list | tuple) else None

    def _object(self, value: Any) -> bytes:
        cls = type(value)
        items = self._items(value)
        if cls in (dict, list, tuple, set, frozenset, types.MappingProxyType):
            return _hash(cls.__name__, items or b"")
        if cls is object:
            if self._as_input and not self._in_code:  # in code it marks something, and has no state
                raise _Unknown("is a bare object")
            return _hash("object")
        parts = ["object", self.of(cls, cls.__name__), items or b""]
        if belongs_to(cls) != "library":
            return _hash(*parts, self._state(value))
        if hasattr(value, "__wrapped__"):  # a compiled or caching function, or one with a derivative of its own
            rest = {name: held for name, held in getattr(value, "__dict__", {}).items() if not name.startswith("_")}
            return _hash(*parts, self.of(value.__wrapped__, "wrapped"), self._named(rest))
        if hasattr(value, "pyfunc"):  # numpy.vectorize, whose other state changes as it is used
            return _hash(*parts, self._all((value.pyfunc, value.otypes, value.signature, value.excluded)))
        try:
            recipe = value.__reduce_ex__(4)  # constructor and state: what copies are made of
        except Exception:
            raise _Unknown(f"is of type {cls.__name__}, whose state cannot be read") from None
        if isinstance(recipe, str):
            return _hash(*parts, recipe)
        rest = [list(part) if k > 2 and part is not None else part for k, part in enumerate(recipe)]
        if len(rest) > 2 and isinstance(rest[2], dict):
            rest[2] = {key: part for key, part in rest[2].items() if not str(key).startswith("__")}
        return _hash(*parts, self._all(rest))

    def _state(self, value: Any) -> bytes:
        """What an instance holds; what it computed once from that is left out."""
        slots = [n for c in type(value).__mro__ for n in _slots(c)]
        state = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        for name, held in getattr(value, "__dict__", {}).items():
            computed = isinstance(getattr(type(value), name, None), functools.cached_property)
            if not computed and not name.startswith("_pytree__"):
                state[name] = held
        return self._named(state)

    def _module(self, module: types.ModuleType) -> bytes:
        match belongs_to(module):
            case "package":
                self.modules.add(module.__name__)
                return _hash("package", module.__name__)
            case "library":
                self.libraries.add(module.__name__.partition(".")[0])
                return _hash("library", module.__name__)
        self.n_foreign += 1
        return _hash("module", self._named({n: v for n, v in vars(module).items() if not n.startswith("__")}))

    def _class(self, cls: type) -> bytes:
        match belongs_to(cls):
            case "library":
                self.libraries.add(cls.__module__.partition(".")[0])
                return _hash("library", cls.__module__, cls.__qualname__)
            case "package":
                bases = [base for base in cls.__mro__ if belongs_to(base) == "package"]
                inside = [v for base in bases for name, v in vars(base).items() if name not in _SHOWS]
                return self._of_package(cls, inside)
        self.n_foreign += 1
        attributes = {n: v for n, v in vars(cls).items() if n not in _OF_EVERY_CLASS}
        bases = [self.of(base, base.__name__) for base in (*cls.__bases__, type(cls)) if base not in (object, type)]
        return _hash("class", cls.__name__, *bases, self._named(attributes))

    def _function(self, f: types.FunctionType) -> bytes:
        owner = belongs_to(f)
        if hasattr(f, "registry") and hasattr(f, "dispatch"):  # functools.singledispatch: the rest are its caches
            return _hash("dispatch", self.of(dict(f.registry)))  # pyright: ignore[reportFunctionMemberAccess]
        if hasattr(f, "__wrapped__") and f.__globals__.get("__name__", "").partition(".")[0] in _CHECKS_TYPES:
            return self.of(f.__wrapped__, f.__name__)  # pyright: ignore[reportFunctionMemberAccess]
        cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))
        if owner == "package":
            return self._of_package(f, [*self._reached(f), *(_content(cell) for cell in cells.values())])
        if owner == "library":
            self.libraries.add(f.__globals__.get("__name__", "").partition(".")[0])
            if _place(f) is not None:
                return _hash("library", f.__module__, f.__qualname__)
            return _hash(
                "library", self._code(f.__code__), self._all((f.__defaults__, f.__kwdefaults__)), self._named(cells)
            )
        self.n_foreign += 1
        names = names_in(f.__code__)
        cells = {n: c for n, c in cells.items() if not write_only(_content(c), names.free.get(n, ()))}
        attributes = {n: v for n, v in vars(f).items() if n not in ("__wrapped__", "pytestmark")}
        parts = [self._code(f.__code__), self._all((f.__defaults__, f.__kwdefaults__)), self._named(attributes)]
        closed = [part for n in sorted(cells) for part in (n, self.of(_content(cells[n]), n))]
        return _hash("function", *parts, *closed, *self._outside(f, names))

    def _outside(self, f: types.FunctionType, names: Names) -> list[bytes]:
        """The globals and imports that a function names."""
        ends = {end.path: end for end in names.imported(f)}
        for name, chains in names.globals.items():
            value = f.__globals__.get(name, getattr(builtins, name, missing))
            if not write_only(value, chains):
                ends |= {end.path: end for end in (resolved(value, chain, name) for chain in chains)}
        return [part for path in sorted(ends) for part in (as_bytes(path), self._end(ends[path]))]

    def _end(self, end: End) -> bytes:
        """What a name leads to. Settings that a library's module holds are its own; its generators of numbers are not."""
        if any(end.value is banned for banned in RUN_TIME):
            raise _Unknown(f"uses {end.path}")
        if end.holder is not None and belongs_to(end.holder) == "library" and _is_theirs(end.value):
            self.libraries.add(end.holder.__name__.partition(".")[0])
            return _hash("library", end.holder.__name__)
        return self.of(end.value, end.path)

    def _reached(self, f: types.FunctionType) -> list[Any]:
        names = names_in(f.__code__)
        ends = [
            resolved(f.__globals__[n], c, n)
            for n, chains in names.globals.items()
            if n in f.__globals__
            for c in chains
        ]
        return [end.value for end in (*ends, *names.imported(f, only_loaded=True))]

    def _of_package(self, value: Any, inside: Iterable[Any]) -> bytes:
        """Of superpos itself the name counts, and whatever code was put into it from outside."""
        self.modules.add(value.__module__)
        before, foreign_digests = self.n_foreign, []
        for part in _flat(inside):
            if isinstance(part, _CODE) or hasattr(part, "__wrapped__"):
                count = self.n_foreign
                digest = self.of(part)
                if self.n_foreign > count:
                    foreign_digests.append(digest)
        if self.n_foreign == before:
            foreign_digests = []
        return _hash("package", value.__module__, value.__qualname__, *foreign_digests)

    def _code(self, code: types.CodeType) -> bytes:
        """What a code object does, without where it stands and what it says of itself."""
        consts = list(code.co_consts)
        if names_in(code).documented:
            consts[0] = None
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0xFFF)
        tables = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, counts)
        handlers = getattr(code, "co_exceptiontable", b"")
        return _hash("code", code.co_code, handlers, repr(tables), *[self.of(const) for const in consts])


def _is_theirs(value: Any) -> bool:
    """Whether what a library's module holds is the library's: not put there from outside, and no numbers of any kind."""
    while hasattr(value, "__wrapped__"):
        value = value.__wrapped__
    if isinstance(value, types.FunctionType | type | types.ModuleType):
        return belongs_to(value) == "library"
    holder = getattr(value, "__self__", value)
    return not isinstance(holder, _PLAIN) and (callable(holder) or data_parts(holder) is None)


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if value is sys.modules:  # of code that looks whether something is imported: no code of its own
            continue
        if type(value) in (dict, list, tuple):
            yield from list(value.values() if isinstance(value, dict) else value)
        else:
            yield value


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return missing  # not filled yet


def _slots(cls: type) -> list[str]:
    slots = vars(cls).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    private = [n.startswith("__") and not n.endswith("__") for n in names]  # kept under another name
    mangled = [f"_{cls.__name__.lstrip('_')}{n}" if hidden else n for n, hidden in zip(names, private, strict=True)]
    return [n for n in mangled if n not in ("__dict__", "__weakref__")]


def _place(value: Any) -> str | None:
    """Where a library keeps an object under the name that it says; None if it does not."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", getattr(value, "__name__", None))
    if not isinstance(module, str) or not isinstance(name, str) or module not in sys.modules:
        return None
    holder: Any = sys.modules[module]
    for part in name.split("."):
        holder = getattr(holder, part, None)
    return f"{module}.{name}" if holder is value and belongs_to(sys.modules[module]) == "library" else None
