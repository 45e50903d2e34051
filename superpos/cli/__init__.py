"""superpos: train thousands of toy models of superposition, and see what each one learned."""

import atexit
import gc
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from superpos import console
from superpos.script import one_sentence

# The order in which `superpos --help` lists commands; those that are not named here follow.
FIRST = (
    "demo",
    "sweep",
    "status",
    "geometry",
    "explore",
    "phase",
    "sae",
    "decompose",
    "pack",
    "export",
    "problems",
    "doctor",
)
# Modules here that are no commands.
HELPERS = {"one_cell", "decomposition_report", "report", "sweepfile"}

# Python looks for cycles of dead objects after every 700 new ones, which while JAX is imported and traces is a tenth of
# the time. A command's cycles are few.
NEW_OBJECTS_PER_COLLECTION = 50_000


def main() -> None:
    """Entry point of the `superpos` command. JAX is imported only once there is something to do."""
    gc.set_threshold(NEW_OBJECTS_PER_COLLECTION)
    atexit.register(gc.freeze)  # as it ends, Python would look through all of JAX for cycles: another tenth of a second
    with console.outputs("superpos"), one_sentence("superpos"):
        if sys.argv[1:] in (["--version"], ["-V"]):
            from superpos import __version__

            console.say(f"superpos {__version__}")
        else:
            _call_command()


def _call_command() -> None:
    import tyro

    app = tyro.extras.SubcommandApp()
    for command in commands():
        app.command(console.command(_checked(command)))
    app.cli(prog="superpos", description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))


def commands() -> list[Callable[..., Any]]:
    """All commands: a module of this folder that has a function of its own name is one, and its docstring is the help.

    A new command is one file: its arguments are the function's, which imports what it needs when it is called.
    """
    names = {module.name for module in iter_modules(__path__)} - HELPERS
    ordered = sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return [getattr(import_module(f"superpos.cli.{name}"), name) for name in ordered]


def _checked(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, refused where JAX would abort as soon as it is imported."""
    from superpos.process import check_process

    @wraps(command)
    def called(*arguments: Any, **named: Any) -> Any:
        check_process()
        return command(*arguments, **named)

    return called
