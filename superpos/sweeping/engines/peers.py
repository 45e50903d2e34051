"""The processes of one JAX program, which train in step: when one goes, the others end with a sentence that says which.

Each process has a connection to process 0 (see `meeting`), which the system closes as soon as its other end is dead. JAX's
own signs of life find, much later, what no closed connection shows: a machine without power, a process that stands still.
"""

import atexit
import json
import os
import selectors
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from superpos.console import printable
from superpos.errors import ConfigError, Interrupted, one_line
from superpos.sweeping.engines.native import call_when_jax_aborts

LONGEST_LINE = 4_096  # bytes
# Seconds between a peer's end and that of this process, which may be ending by itself: after a death, and after a word.
DEATH_SECONDS, WORD_SECONDS = 1.0, 8.0
# Process 0 ends last, since JAX aborts the others with it: it waits for them at most so many seconds.
LAST_SECONDS = 10.0


class Peers:
    """The other processes, as this one knows them."""

    def __init__(self, process: int, connections: dict[int, socket.socket]):
        self.process, self._connections = process, connections
        self._who, self._known = "another process is gone", threading.Event()
        self._leaving, self._alone, self._status = threading.Event(), threading.Event(), None
        self._ending, self._words = threading.Lock(), None

    def begin(self) -> None:
        """From now on, end when a peer does, or when JAX's runtime aborts."""
        self._words = call_when_jax_aborts(self._aborted)
        atexit.register(self._exit)  # which comes before JAX's own, registered earlier
        threading.Thread(target=self._watch, name="superpos-peers", daemon=True).start()

    def sentence(self) -> str:
        """Why this process cannot go on. Who knows which peer is gone may need a moment."""
        self._known.wait(DEATH_SECONDS)
        return (
            f"engine distributed: {self._who}, so this one ends, too; what was committed is kept, and the same command in "
            "all processes goes on."
        )

    def leave(self, error: BaseException | None = None) -> None:
        """Take leave of the others, so that no end is taken for a death; with an error, they end, too, and say so."""
        if self._leaving.is_set():
            return
        self._leaving.set()
        if error is None:
            return self._tell({"bye": True})
        self._status = (
            2 if isinstance(error, ConfigError) else 128 + error.signal if isinstance(error, Interrupted) else 1
        )
        if self._known.is_set():  # it ends because another did
            return self._tell({"gone": self._who})
        why = one_line(error)[:300].removesuffix(".") or type(error).__name__
        how = "was interrupted" if isinstance(error, KeyboardInterrupt) else f"ended with an error ({why})"
        return self._tell({"gone": f"process {self.process} {how}"})

    def _tell(self, message: dict[str, Any]) -> None:
        for connection in self._connections.values():
            send(connection, message)

    def _watch(self) -> None:
        """In a thread: read what the others say, and what the runtime says to the terminal."""
        numbers = {connection: number for number, connection in self._connections.items()}
        end, unread = float("inf"), dict.fromkeys(numbers, b"")
        with selectors.DefaultSelector() as selector:
            for connection in numbers:
                selector.register(connection, selectors.EVENT_READ)
            while True:
                ready = selector.select(0.2) if numbers else []
                if not numbers:
                    time.sleep(0.2)
                for key, _ in ready:
                    connection: Any = key.fileobj
                    more, lost = b"", False
                    try:
                        more = connection.recv(LONGEST_LINE)
                    except ConnectionResetError:
                        pass
                    except OSError:
                        lost = True  # the network between, which JAX judges
                    unread[connection] += more
                    message = line_of(unread[connection]) or {}
                    if more and len(unread[connection]) < LONGEST_LINE and b"\n" not in unread[connection]:
                        continue
                    selector.unregister(connection)
                    number = numbers.pop(connection)
                    if message.get("bye") or lost or self._known.is_set():
                        continue
                    self._who = str(message.get("gone") or f"process {number} is gone")
                    self._known.set()
                    end = time.monotonic() + (WORD_SECONDS if "gone" in message else DEATH_SECONDS)
                if not numbers:
                    self._alone.set()
                if self._words is not None:
                    self._words.pass_on()
                if time.monotonic() > end and not self._leaving.is_set():
                    self._end(self.sentence())

    def _aborted(self, about_peers: bool) -> None:
        """JAX's runtime aborts this process."""
        if self._leaving.is_set():
            os._exit(self._status or 1)
        self._end(
            self.sentence()
            if about_peers
            else "engine distributed: JAX's runtime aborts; what was committed is kept, and the same command in all "
            "processes goes on."
        )

    def _end(self, sentence: str) -> None:
        """End the process at once: its main thread may be in compiled code that waits for ever."""
        if not self._ending.acquire(blocking=False):
            time.sleep(60)  # another thread does it
        self._tell({"gone": self._who})
        show_cursor = "\x1b[?25h" if os.isatty(2) else ""  # that a bar has hidden
        with suppress(OSError):
            os.write(2, f"{show_cursor}superpos: {printable(sentence)}\n".encode())
        os._exit(1)

    def _exit(self) -> None:
        """At the end of the interpreter. After an error nobody is left for JAX to say good-bye to, so it is left out."""
        self.leave()
        if self._status is None:
            return
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        if self.process == 0:
            self._alone.wait(LAST_SECONDS)
        os._exit(self._status)


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Say it in one line, if the other end is there."""
    with suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


def received(connection: socket.socket) -> bytes:
    """What has come from the other end; nothing if it is gone.

    Raises:
        TimeoutError: nothing has come within the socket's time.
    """
    try:
        return connection.recv(LONGEST_LINE)
    except TimeoutError:
        raise
    except OSError:
        return b""


def line_of(line: bytes) -> dict[str, Any] | None:
    """The first line, if it is one that `send` sent."""
    try:
        message = json.loads(line.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
