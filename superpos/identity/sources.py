"""Which of superpos's own modules decide a number: those that hold the code, and all that these import, directly or not.

Their digest is of what Python reads: comments, blank lines, positions and docstrings do not count.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
# Rooms that decide no number: pictures, pages, and the command line. What experiments import from there is left out.
DECIDES_NO_NUMBER = ("plot", "explorer", "cli")
# A module that finds others at run time, by a name in a result, and those that it may find.
FINDS = {"tasks/registry.py": "tasks/__init__.py", "models/sae/registry.py": "models/sae/__init__.py"}


def digest_of_modules(modules: Iterable[str]) -> str:
    """SHA-256 over the import closure of some modules of superpos, within superpos, by name."""
    digest = hashlib.sha256()
    for path in sorted(closure(modules)):
        digest.update(f"{path} {_read(path).digest}\n".encode())
    return digest.hexdigest()


def closure(modules: Iterable[str]) -> set[str]:
    """Files below superpos that some modules import, directly or not, and their own. Imports inside functions count.

    A name that a package's face offers stands for the module that the face takes it from.
    """
    reached: set[str] = set()
    pending = {path for module in modules if (path := _file_of(module)) is not None}
    while pending:
        path = pending.pop()
        reached.add(path)
        pending |= _read(path).imported - reached
    return reached


class _Source(NamedTuple):
    """What one file says: the files that it imports, and the digest of its code."""

    imported: frozenset[str]
    digest: str


@cache
def _read(path: str) -> _Source:
    tree = ast.parse((PACKAGE / path).read_bytes())
    statements = list(_statements(tree))
    imported = _imported_by(path, tree, statements)
    for node in (tree, *statements):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                del node.body[0]
    return _Source(imported, hashlib.sha256(ast.dump(tree).encode("utf-8", "surrogatepass")).hexdigest())


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements inside a module or a statement, at any depth; a tenth of all nodes, for expressions hold none."""
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):
        for inner in getattr(node, block, ()):
            yield inner
            yield from _statements(inner)


def _imported_by(path: str, tree: ast.Module, statements: list[ast.AST]) -> frozenset[str]:
    imported: set[str] = {FINDS[path]} if path in FINDS else set()
    names_of_package: set[str] = set()
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "superpos" or (alias.name.startswith("superpos.") and not alias.asname):
                    names_of_package.add(alias.asname or "superpos")
                if (file := _file_of(alias.name)) is not None and alias.name != "superpos":
                    imported.add(file)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                imported |= _files_of_name(node.module, alias.name)
    if path != "__init__.py" and names_of_package:
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in names_of_package
            ):
                imported |= _files_of_name("superpos", node.attr)
    return frozenset(imported)


def _files_of_name(module: str, name: str) -> set[str]:
    """The file that a name imported from a module comes from; none where no number depends on it."""
    if (file := _file_of(f"{module}.{name}")) is not None:
        return {file}
    if (file := _file_of(module)) is None:
        return set()
    if not file.endswith("__init__.py"):
        return {file}
    origin = _face(file).get(name)
    if origin is not None and origin != (module, name):
        return _files_of_name(*origin)
    return set() if file == "__init__.py" else {file}  # of superpos itself: its version


@cache
def _face(file: str) -> dict[str, tuple[str, str]]:
    """What the face of a package offers: names, each with the module that it is taken from and its name there."""
    offered: dict[str, tuple[str, str]] = {}
    for node in ast.walk(ast.parse((PACKAGE / file).read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module:
            offered |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    return offered


def _file_of(module: str) -> str | None:
    """The file of a module of superpos, relative to the package; None if there is none, or it decides no number."""
    root, *parts = module.split(".")
    if root != "superpos" or (parts and parts[0] in DECIDES_NO_NUMBER):
        return None
    for file in ("/".join([*parts, "__init__.py"]), "/".join(parts) + ".py"):
        if (PACKAGE / file).is_file():
            return file
    return None
