"""What a function's code names: globals with the attributes taken from them, closed-over variables, imports."""

import dis
import importlib
import inspect
import os
import sys
import sysconfig
from collections import deque
from functools import lru_cache
from importlib import util
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

PACKAGE = __name__.partition(".")[0]

# Methods that add to a container, or empty it, and return nothing: who calls no others does not read it.
_ADDING = frozenset(("add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "update"))
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_CELLS = ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
_TAKES = ("LOAD_ATTR", "LOAD_METHOD")
_BETWEEN = ("EXTENDED_ARG", "CACHE", "NOP", "PUSH_NULL", "PRECALL")
_HAS_DOCSTRING = 0x4000000  # flag of Python 3.14 and later
_OF_A_FUNCTION = inspect.CO_OPTIMIZED | inspect.CO_NEWLOCALS

# What finds code or data by names that are known only when it runs, and what a process was started with.
RUN_TIME: tuple[Any, ...] = (
    eval, exec, compile, globals, __import__, importlib.import_module, sys._getframe, sys.modules, inspect.currentframe,
    inspect.stack, os.environ, os.getenv, getattr(os, "environb", os.environ),
)  # fmt: skip

Chain = tuple[str, ...]


class Missing:
    """What stands for a name that leads nowhere, and for a variable without a value."""


missing = Missing()


class Names(NamedTuple):
    """What a code object and the functions inside it name."""

    globals: dict[str, set[Chain]]  # each with the attributes that follow it
    free: dict[str, set[Chain]]
    imports: set[tuple[int, str, tuple[str, ...]]]  # level, module, names
    documented: bool  # the first constant is a docstring

    def imported(self, f: FunctionType, *, only_loaded: bool = False) -> list["End"]:
        """What the imports inside a function lead to, by name; modules of libraries are not loaded for that."""
        ends = []
        for level, name, taken in sorted(self.imports):
            package = f.__globals__.get("__package__") or ""
            full = util.resolve_name("." * level + name, package) if level and package else name
            module = _loaded(full, only_loaded)
            if module is missing or not taken:
                ends.append(End(full, module, None))
            for attribute in taken if module is not missing else ():
                end = getattr(module, attribute, missing)
                end = _loaded(f"{full}.{attribute}", only_loaded) if end is missing else end
                ends.append(End(f"{full}.{attribute}", end, module))
        return ends


def _loaded(name: str, only_loaded: bool) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    try:
        if only_loaded or (spec := util.find_spec(name.partition(".")[0])) is None or _installed(spec.origin or ""):
            return missing
        return importlib.import_module(name)
    except Exception:  # it will fail in the same way when it is called
        return missing


@lru_cache(maxsize=4096)
def names_in(code: CodeType) -> Names:
    """Read the code; nothing is run."""
    names = Names({}, {}, set(), _documented(code))
    steps = [step for step in dis.get_instructions(code) if step.opname not in _BETWEEN]
    for k, step in enumerate(steps):
        kinds = names.globals if step.opname in _LOADS else names.free if step.opname in _CELLS else None
        if kinds is not None:
            end = k + 1
            while end < len(steps) and steps[end].opname in _TAKES:
                end += 1
            kinds.setdefault(step.argval, set()).add(tuple(s.argval for s in steps[k + 1 : end]))
        elif step.opname == "IMPORT_NAME":
            level, taken = steps[k - 2].argval, steps[k - 1].argval
            names.imports.add((level if isinstance(level, int) else 0, step.argval, tuple(taken or ())))
    for const in code.co_consts:
        if isinstance(const, CodeType):
            inside = names_in(const)
            for outer, inner in ((names.globals, inside.globals), (names.free, inside.free)):
                for name, chains in inner.items():
                    outer.setdefault(name, set()).update(chains)
            names.imports.update(inside.imports)
    return names


def _documented(code: CodeType) -> bool:
    first = code.co_consts[0] if code.co_consts else None
    plain = code.co_flags & _OF_A_FUNCTION == _OF_A_FUNCTION and not code.co_name.startswith("<")
    if not plain or not isinstance(first, str) or "__doc__" in code.co_names:
        return False
    if sys.version_info >= (3, 14) and not code.co_flags & _HAS_DOCSTRING:
        return False
    return not any(s.opcode in dis.hasconst and s.arg == 0 for s in dis.get_instructions(code))  # used as a value, too


class End(NamedTuple):
    """Where a name and the attributes that follow it lead."""

    path: str
    value: Any
    holder: ModuleType | None  # the module that the last attribute was taken from


def resolved(value: Any, chain: Chain, name: str) -> End:
    """Follow attributes while they are taken from modules."""
    holder = None
    for taken in chain:
        if not isinstance(value, ModuleType):
            break
        name, holder = f"{name}.{taken}", value
        try:
            value = getattr(value, taken)
        except Exception:  # it will fail in the same way when it is called
            return End(name, missing, holder)
    return End(name, value, holder)


def write_only(value: Any, chains: Any) -> bool:
    """Whether all that is done with a container is to add to it."""
    adds = bool(chains) and all(len(chain) == 1 and chain[0] in _ADDING for chain in chains)
    return adds and type(value) in (list, set, dict, deque, bytearray)


def belongs_to(thing: Any) -> str:
    """Who wrote a module, class or function: "package" (superpos), "library" (installed, or Python's), or "user"."""
    if isinstance(thing, ModuleType):
        name = thing.__name__
    else:
        name = thing.__globals__.get("__name__") if isinstance(thing, FunctionType) else thing.__module__
    root = name.partition(".")[0] if isinstance(name, str) else ""
    if isinstance(thing, FunctionType) and not root.startswith("namedtuple_"):
        module = sys.modules.get(name) if isinstance(name, str) else None
        if module is None or vars(module) is not thing.__globals__:  # whatever name it was given by `exec`
            return "user"
    if root == PACKAGE:
        return "package" if name in sys.modules else "user"
    return "library" if root.startswith("namedtuple_") or _is_library(root) else "user"


def _is_library(root: str) -> bool:
    if root in sys.builtin_module_names:
        return True
    module = sys.modules.get(root)
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if root == "__main__" or not isinstance(file, str):
        return root in sys.stdlib_module_names
    return _installed(file)


@lru_cache(maxsize=4096)
def _installed(file: str) -> bool:
    if file in ("built-in", "frozen"):
        return True
    path = Path(file).resolve()
    standard = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or bool(standard & set(path.parents))


def as_bytes(text: str) -> bytes:
    """Any text, surrogates too."""
    return text.encode("utf-8", "surrogatepass")
