"""Scripts and commands: their arguments from the command line, and errors as one sentence."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

from superpos import console

_BEGIN: ContextVar[float] = ContextVar("begin of the script")


def run(script: Callable[..., Any]) -> None:
    """Call a script's function with the arguments of its command line. An integer that it returns is the exit status."""
    import tyro

    program = Path(sys.argv[0]).stem
    token = _BEGIN.set(time.perf_counter())
    try:
        with console.outputs(program), one_sentence(program):
            status = tyro.cli(console.command(script))
            if isinstance(status, int) and status:
                sys.exit(status)
    finally:
        _BEGIN.reset(token)


def seconds() -> float | None:
    """How long the running script has taken so far; None outside of `run`."""
    begin = _BEGIN.get(None)
    return None if begin is None else time.perf_counter() - begin


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
