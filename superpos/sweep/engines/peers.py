"""The end of a process whose peers are gone: JAX's runtime then aborts, and here it says why, in one sentence."""

import ctypes
import os
import signal
import socket
import sys
import threading
import time

from superpos.errors import ConfigError, EngineError, one_line

_handlers = []  # the system calls it for as long as the process lives, so it must not be collected


def say_when_jax_aborts(sentence: str) -> None:
    """From now on, end with a sentence and status 1 where JAX's runtime would abort the process (SIGABRT).

    The runtime aborts from a thread of its own as soon as a peer is known to be gone, and offers no other end: handlers
    written with Python's `signal` run only later, in the main thread, which is too late. So the C library is asked.
    """
    if os.name != "posix" or _handlers or threading.current_thread() is not threading.main_thread():
        return
    message = f"{sentence}\n".encode()

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def aborting(number: int) -> None:
        try:
            os.write(2, message)
        finally:
            os._exit(1)

    _handlers.append(aborting)
    if sys.stderr is not None:
        sys.stderr.flush()
    ctypes.CDLL(None).signal(int(signal.SIGABRT), aborting)


def check_address(address: str, what: str) -> tuple[str, int]:
    """Host and port of HOST:PORT.

    Raises:
        ConfigError: the address is none.
    """
    host, _, port = str(address).rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port[:9]) < 2**16:
        raise ConfigError(f"{what} must be HOST:PORT, got {address!r}.")
    return host.strip("[]"), int(port)


def reach(address: str, seconds: float, what: str) -> None:
    """Wait until somebody listens at HOST:PORT, at most so many seconds.

    Raises:
        ConfigError: the address is none.
        EngineError: nobody does.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(check_address(address, what), timeout=max(0.1, end - time.monotonic())).close()
            return
        except (OSError, UnicodeError) as error:
            if time.monotonic() + 0.2 > end:
                raise EngineError(f"{what}: nobody answers at {address}: {one_line(error)}.") from None
        time.sleep(0.2)
