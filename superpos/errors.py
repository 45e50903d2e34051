"""The errors superpos raises on purpose. Each message is one sentence that names the field.

Messages quote names and words from files, so each is one line of printable characters.
"""

from superpos.console import printable


class ConfigError(ValueError):
    """A setting is outside what it may be. The command line prints the message and exits with code 2."""

    def __init__(self, message: str):
        super().__init__(printable(message))


class MissingKeyError(ConfigError, KeyError):
    """A name or label that a result does not have: a `KeyError`, too, as xarray and pandas raise."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would quote it


def one_line(error: BaseException) -> str:
    """An error's text without line breaks, to stand inside a sentence."""
    return printable(" ".join(str(error).split()))


def shortened(text: str, most: int = 60) -> str:
    """A value's text as it stands in a sentence: one line of at most so many characters.

    >>> from superpos.errors import shortened
    >>> shortened("a  long   word", most=6)
    'a lon…'
    """
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


class DivergedError(ArithmeticError):
    """One model's loss or parameters stopped being finite or bounded, or what was minimised was not its loss.

    Attributes:
        step: the optimiser step (counted from 0) whose update was refused; the number of steps if the end showed it.
    """

    def __init__(self, step: int, remedy: str, reason: str = "the loss or a parameter was no longer finite or bounded"):
        super().__init__(f"training diverged at step {step}: {reason}; {remedy}")
        self.step = step


class Interrupted(KeyboardInterrupt):
    """A signal ended a sweep at a safe point; what was committed to its store is kept, and the message says how to go on.

    Attributes:
        signal: its number.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(printable(message))
        self.signal = signal


class EngineError(RuntimeError):
    """Whoever was to train a part of a sweep could not; what was committed to its store is kept."""

    def __init__(self, message: str):
        super().__init__(printable(message))


class StoreError(OSError):
    """A result on disk is missing, damaged or not ours."""

    def __init__(self, message: str):
        super().__init__(printable(message))
