"""Where words leave for a terminal, a file or a pipe: no output is ever fatal, and words from files are made harmless.

Everything that commands and scripts print goes through `Output`. What the stream's encoding lacks is spelt in ASCII
(× as x), a stream that is closed, full or left by its reader is written to no more, and training goes on. Names and words
that come from files can hold anything, so whatever is no printable character (control characters, the escape sequences that
begin with one, directions and widths of text, lone surrogates) becomes �.
"""

import codecs
import logging
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any

READABLE = "superpos-readable"
SPELT = {
    **dict.fromkeys("−–—─━╌╸╺", "-"), **dict.fromkeys("│┃", "|"), "×": "x", "·": ".", "→": "->", "←": "<-", "≤": "<=",
    "≥": ">=", "≠": "!=", "≈": "~", "‖": "||", "√": "sqrt", "∈": "in", "Σ": "sum", "λ": "lambda", "σ": "sigma", "η": "eta",
    "θ": "theta", "π": "pi", "ε": "epsilon", "α": "alpha", "β": "beta", "‘": "'", "’": "'", "“": '"', "”": '"', "�": "?",
    "²": "^2", "³": "^3", "⁴": "^4",
}  # fmt: skip


def printable(text: str) -> str:
    """One line of printable characters: line breaks and tabs become spaces, other unprintable characters �.

    >>> from superpos.console import printable
    >>> printable("red" + chr(27) + "[31m, " + chr(0x202E) + "turned")
    'red�[31m, �turned'
    """
    return _harmless(text, {"\n": " ", "\r": " ", "\t": " "})


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay."""
    return _harmless(text, {"\n": "\n", "\t": "\t"})


def _harmless(text: str, allowed: dict[str, str]) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else allowed.get(c, "\N{REPLACEMENT CHARACTER}") for c in text)


def in_kernel() -> bool:
    """Whether a kernel of Jupyter runs this, with a front end that shows widgets and pictures."""
    shell = sys.modules.get("IPython")  # a kernel has imported it
    return hasattr(shell.get_ipython() if shell is not None else None, "kernel")  # type: ignore[attr-defined]


def _spell(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: ASCII for what an encoding lacks, as close as there is."""
    assert isinstance(error, UnicodeEncodeError)
    words = []
    for c in error.object[error.start : error.end]:
        plain = unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode()
        words.append(SPELT.get(c) or plain or "?")
    return "".join(words), error.end


codecs.register_error(READABLE, _spell)


class _Sink:
    """The stream below an `Output`, and what became of it: once it could not be written, it is left alone."""

    def __init__(self, stream: Any, lost: Exception | None = None):
        self.stream, self.lost = stream, lost  # None where the process has no such stream
        self.words_are_the_result = True  # until a command begins that leaves something else

    def attempt(self, do: Callable[[], Any]) -> None:
        if self.stream is None or self.lost is not None:
            return
        try:
            do()
        except (OSError, ValueError, RuntimeError) as error:  # full, left, closed, torn down
            self.lost = error

    def put(self, text: str) -> None:
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            encoding = self.stream.encoding
            self.stream.write(text.encode(encoding, READABLE).decode(encoding))


class Output:
    """A text stream that takes whatever is written and never raises.

    `formatted` writes to the same stream and lets escape sequences through: for tables and bars that are made of clean words.
    """

    def __init__(self, sink: _Sink, *, formatted: bool = False):
        self.sink, self._formatted = sink, formatted

    @property
    def formatted(self) -> "Output":
        """The same stream for text that holds colours of ours."""
        return Output(self.sink, formatted=True)

    @property
    def encoding(self) -> str:
        """The stream's encoding."""
        return getattr(self.sink.stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:
        """How the stream treats what its encoding lacks."""
        return READABLE

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        printed = text if self._formatted else printable_lines(text)
        self.sink.attempt(lambda: self.sink.put(printed))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, if that is possible."""
        self.sink.attempt(lambda: self.sink.stream.flush())

    def isatty(self) -> bool:
        """Whether it is a terminal that understands escape sequences, which IDLE's window does not."""
        stream = self.sink.stream
        if stream is None or type(stream).__module__.startswith("idlelib"):
            return False
        try:
            return bool(stream.isatty())
        except (OSError, ValueError, AttributeError):
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sink.stream, name)


def _output(stream: Any) -> Output:
    return stream if isinstance(stream, Output) else Output(_Sink(stream))


def say(text: Any = "", *, error: bool = False) -> None:
    """Print a text to the standard output, or error output, whatever state that is in."""
    output = _output(sys.stderr if error else sys.stdout)
    output.write(f"{text}\n")
    output.flush()


def terminal(*, error: bool = False, **settings: Any) -> Any:
    """A rich console on the standard output, or error output. Words from files must go in as `word(…)`."""
    from rich.console import Console

    return Console(file=_output(sys.stderr if error else sys.stdout).formatted, highlight=False, **settings)  # pyright: ignore[reportArgumentType]


def word(value: Any) -> Any:
    """A word from a file as rich shows it: printable, and without markup."""
    from rich.text import Text

    return Text(printable(str(value)))


def words_are_the_result() -> None:
    """Say that this command leaves nothing but what it prints, so that losing that is a failure."""
    if isinstance(sys.stdout, Output):
        sys.stdout.sink.words_are_the_result = True


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command or script's function: what it prints has no escape sequences, and losing that is no failure.

    (The parser, which colours its help, has written what it had to when the function begins.)
    """

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (Output(_output(stream).sink) for stream in before)  # type: ignore[assignment]
        sys.stdout.sink.words_are_the_result = False  # type: ignore[attr-defined]
        try:
            return function(*arguments, **named)
        finally:
            sys.stdout, sys.stderr = before

    return called


@contextmanager
def outputs(program: str) -> Iterator[None]:
    """For the time of a command, let nothing that is printed end it.

    At the end, output that was lost to an error is said in one sentence; the status is then 1 if the words were all that was
    asked for, and else what the work deserves. A reader that left a pipe, or a stream that was closed, is no error.
    """
    _occupy_closed_descriptors()
    before = sys.stdout, sys.stderr
    out, err = (Output(_Sink(stream), formatted=True) for stream in before)
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    failed = True
    try:
        yield
        failed = False
    except SystemExit as leaving:
        failed = leaving.code not in (None, 0)
        if isinstance(leaving.code, str):
            say(leaving.code, error=True)
            raise SystemExit(1) from None
        raise
    finally:
        out.flush()
        lost = out.sink.lost
        if isinstance(lost, BrokenPipeError) or getattr(out.sink.stream, "closed", False):
            lost = None
        if lost is not None:
            reason = getattr(lost, "strerror", None) or str(lost)
            err.write(f"{program}: what it printed could not be written: {reason}.\n")
        err.flush()
        for output in (out, err):
            _let_go(output.sink)
        sys.stdout, sys.stderr = before
        if lost is not None and not failed and out.sink.words_are_the_result:
            sys.exit(1)


def _let_go(sink: _Sink) -> None:
    """Point a stream that could not be written at nothing, so that the interpreter's own last flush succeeds."""
    if sink.lost is not None:
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sink.stream.fileno())
            os.close(nowhere)


def _occupy_closed_descriptors() -> None:
    """Open nothing in place of standard streams that are closed: else a result's file gets their number, and messages of
    compiled libraries end in it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)


def _clean_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), None
    return True


log = logging.getLogger("superpos")
log.addFilter(_clean_record)
