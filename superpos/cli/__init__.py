"""superpos: train thousands of toy models of superposition, and see what each one learned."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from superpos import console
from superpos.script import one_sentence


def main() -> None:
    """Entry point of the `superpos` command. JAX is imported only once there is something to do."""
    with console.outputs("superpos"), one_sentence("superpos"):
        if sys.argv[1:] in (["--version"], ["-V"]):
            from superpos import __version__

            console.say(f"superpos {__version__}")
        else:
            _call_command()


def _call_command() -> None:
    import tyro

    from superpos.cli.demo import demo
    from superpos.cli.doctor import doctor
    from superpos.cli.explore import explore
    from superpos.cli.geometry import geometry
    from superpos.cli.pack import export, pack
    from superpos.cli.phase import phase
    from superpos.cli.sae import sae
    from superpos.cli.status import status
    from superpos.cli.sweep import sweep

    app = tyro.extras.SubcommandApp()
    for command in (demo, sweep, status, geometry, explore, phase, sae, pack, export, doctor):
        app.command(console.command(_checked(command)))
    app.cli(prog="superpos", description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))


def _checked(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, refused where JAX would abort as soon as it is imported."""
    from superpos.process import check_process

    @wraps(command)
    def called(*arguments: Any, **named: Any) -> Any:
        check_process()
        return command(*arguments, **named)

    return called
