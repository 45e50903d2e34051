"""superpos: train thousands of toy models of superposition, and see what each one learned."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn


def main() -> None:
    """Entry point of the `superpos` command. JAX is imported only once there is something to do."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from superpos import __version__

        print(f"superpos {__version__}")
        return
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
        app.command(command)
    with one_sentence("superpos"):
        app.cli(prog="superpos", description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))


def run(script: Callable[..., Any]) -> None:
    """Call a script's function with the arguments of its command line."""
    import tyro

    with one_sentence(Path(sys.argv[0]).stem):
        tyro.cli(script)


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
    except BrokenPipeError:
        sys.stderr.close()  # the reader left, there is nobody to tell
        sys.exit(1)
    except Interrupted as error:
        _fail(program, str(error), 128 + error.signal)
    except KeyboardInterrupt:
        _fail(program, "interrupted.", 130)


def _fail(program: str, message: str, code: int) -> NoReturn:
    print(f"{program}: {message}", file=sys.stderr)
    sys.exit(code)
