"""superpos: train thousands of toy models of superposition, and see what each one learned."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

from superpos import console


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


def run(script: Callable[..., Any]) -> None:
    """Call a script's function with the arguments of its command line."""
    import tyro

    program = Path(sys.argv[0]).stem
    with console.outputs(program), one_sentence(program):
        tyro.cli(console.command(script))


@contextmanager
def one_sentence(program: str) -> Iterator[None]:
    """End the program with one sentence and a status for errors that superpos raises on purpose: 2 for a wrong setting."""
    from superpos.errors import ConfigError, DivergedError, EngineError, Interrupted, StoreError

    try:
        yield
    except ConfigError as error:
        _fail(program, str(error), 2)
    except (StoreError, DivergedError, EngineError) as error:
        _fail(program, str(error), 1)
    except Interrupted as error:
        _fail(program, str(error), 128 + error.signal)
    except KeyboardInterrupt:
        _fail(program, "interrupted.", 130)


def _fail(program: str, message: str, code: int) -> NoReturn:
    console.say(f"{program}: {message}", error=True)
    sys.exit(code)
