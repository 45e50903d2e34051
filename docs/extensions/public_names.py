"""The public names of superpos: which there are, what they are, and under which names one finds them."""

import inspect
from dataclasses import dataclass, field
from operator import attrgetter
from types import ModuleType
from typing import Any

import superpos

# Public modules in the order of the reference, as a reader writes them after `sp.`.
MODULES = (
    "tasks", "models", "models.sae", "data", "analysis", "theory", "plot", "engines", "metrics", "optimizers", "experiments",
    "explorer", "demos", "landscapes",
)  # fmt: skip


@dataclass
class PublicName:
    """An object under the name that its page has, `sp.` left out, and under the others that find it."""

    name: str
    target: Any
    module: str  # that of its page; "" for superpos itself
    aliases: list[str] = field(default_factory=list)

    @property
    def full(self) -> str:
        """Its name from superpos on."""
        return f"superpos.{self.name}"

    @property
    def kind(self) -> str:
        """The directive of autodoc that documents it."""
        if inspect.isclass(self.target):
            return "exception" if issubclass(self.target, BaseException) else "class"
        return "function" if callable(self.target) else "data"


def loaded_module(name: str) -> ModuleType:
    """A public module by its name after `sp.`."""
    return attrgetter(name)(superpos)


def of_module(module: ModuleType) -> list[str]:
    """What a module offers: what `__all__` says, what a package takes from its modules, or what a single file defines."""
    if hasattr(module, "__all__"):
        names = list(module.__all__)
    else:
        names = [name for name in vars(module) if not name.startswith("_")]
        if not hasattr(module, "__path__"):
            names = [name for name in names if getattr(vars(module)[name], "__module__", None) == module.__name__]
    return [name for name in names if not inspect.ismodule(getattr(module, name))]


def public_names() -> list[PublicName]:
    """Every public name once, those of superpos itself first. An object that is offered twice is found under both names."""
    entries: dict[str, PublicName] = {}
    places: dict[int, PublicName] = {}

    def add(name: str, target: Any, module: str) -> None:
        known = places.get(id(target))
        if known is not None and (callable(target) or known.name.rpartition(".")[2] == name.rpartition(".")[2]):
            known.aliases.append(f"superpos.{name}")
        elif name not in entries:
            entries[name] = places[id(target)] = PublicName(name, target, module)

    for name in superpos.__all__:
        target = getattr(superpos, name)
        if not inspect.ismodule(target) and name != "__version__":
            add(name, target, "")
    for module in MODULES:
        loaded = loaded_module(module)
        for name in of_module(loaded):
            target = getattr(loaded, name)
            if getattr(target, "__module__", "").partition(".")[0] not in ("superpos", "builtins", ""):
                continue  # imported from elsewhere
            add(f"{module}.{name}", target, module)
    return list(entries.values())


def file_names(names: list[PublicName]) -> dict[str, str]:
    """The page of every name; two names that differ in their capitals alone are one file on some systems."""
    pages: dict[str, str] = {}
    taken: set[str] = set()
    for entry in sorted(names, key=lambda entry: entry.kind == "class"):
        page = entry.full if entry.full.lower() not in taken else f"{entry.full}-class"
        taken.add(page.lower())
        pages[entry.name] = page
    return pages
