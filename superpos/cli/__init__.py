"""superpos: train thousands of toy models of superposition, and see what each one learned."""

import sys
from typing import NoReturn


def main() -> None:
    """Entry point of the `superpos` command. JAX is imported only once there is something to do."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from superpos import __version__

        print(f"superpos {__version__}")
        return
    import tyro

    from superpos.cli.demo import demo
    from superpos.cli.doctor import doctor
    from superpos.cli.geometry import geometry
    from superpos.cli.pack import export, pack
    from superpos.cli.phase import phase
    from superpos.cli.status import status
    from superpos.cli.sweep import sweep
    from superpos.errors import ConfigError, DivergedError, EngineError, Interrupted, StoreError

    app = tyro.extras.SubcommandApp()
    for command in (demo, sweep, status, geometry, phase, pack, export, doctor):
        app.command(command)
    try:
        app.cli(prog="superpos", description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    except ConfigError as error:
        _fail(str(error), 2)
    except (StoreError, DivergedError, EngineError) as error:
        _fail(str(error), 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader left, there is nobody to tell
        sys.exit(1)
    except Interrupted as error:
        _fail(str(error), 128 + error.signal)
    except KeyboardInterrupt:
        _fail("interrupted.", 130)


def _fail(message: str, code: int) -> NoReturn:
    print(f"superpos: {message}", file=sys.stderr)
    sys.exit(code)
