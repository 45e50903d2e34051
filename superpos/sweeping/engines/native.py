"""What JAX's runtime, which is compiled code, says when a peer is gone: kept from the terminal, where a sentence says it.

The runtime aborts a process from a thread of its own as soon as it knows that a peer is gone, after pages about its insides,
and offers no other end. (Its callback for this ends in std::bad_cast, jaxlib 0.10.) Handlers written with Python's `signal`
run later, in the main thread, which is too late. So the C library is asked: to call us for SIGABRT, and to write what
compiled code says on its `stderr` to a file of ours, from which all that is not about peers is passed on. Python's
own output, and descriptor 2, stay as they are.
"""

import ctypes
import os
import platform
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# How lines about peers begin. What follows such a line, until the next that begins a message, belongs to it.
ABOUT_PEERS = re.compile(
    rb"coordination_(service|client)|preemption_sync|client\.h:\d+\] Terminating process because the JAX"
)
MESSAGE = re.compile(rb"[IWEF]\d{4} \d\d:\d\d:\d\d|\*\*\* ")

_kept: list[Any] = []  # the system uses these for as long as the process lives, so they must not be collected


class Words:
    """What compiled code has said since this was made. Where the C library is another than GNU's, it is not overheard."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # to be written to as long as the process lives
        self._at, self._begun, self._hidden = 0, b"", False
        self._lock = threading.Lock()
        if platform.libc_ver()[0] != "glibc":
            return
        library = ctypes.CDLL(None)
        library.fdopen.restype = ctypes.c_void_p
        stream = library.fdopen(os.dup(self._file.fileno()), b"a")
        if stream:
            library.setvbuf(ctypes.c_void_p(stream), None, 2, ctypes.c_size_t(0))  # 2: no buffer (_IONBF)
            ctypes.c_void_p.in_dll(library, "stderr").value = stream

    def pass_on(self) -> None:
        """Write to the error output what is not about peers. A line that has no end yet waits."""
        with self._lock:
            output = os.pread(self._file.fileno(), 2**20, self._at)
            self._at += len(output)
            *lines, self._begun = (self._begun + output).split(b"\n")
            for line in lines:
                if MESSAGE.match(line):
                    self._hidden = bool(ABOUT_PEERS.search(line)) or (self._hidden and line.startswith(b"*** "))
                if not self._hidden:
                    with suppress(OSError):
                        os.write(2, line + b"\n")

    def last_is_about_peers(self) -> bool:
        """Whether the last message, with which the runtime aborts, is about a peer."""
        return self._hidden


def call_when_jax_aborts(end: Callable[[bool], None]) -> Words | None:
    """From now on, call `end` where the process would abort (SIGABRT), from whichever thread does. It must not return.

    It is told whether the runtime's last message was about a peer. None, and nothing is done, where that is not possible.
    """
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        return None
    words = Words()

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def aborting(number: int) -> None:
        try:
            with suppress(Exception):
                words.pass_on()
            end(words.last_is_about_peers())
        finally:
            os._exit(1)

    _kept.extend((aborting, words))
    if sys.stderr is not None:
        sys.stderr.flush()
    ctypes.CDLL(None).signal(int(signal.SIGABRT), aborting)
    return words
