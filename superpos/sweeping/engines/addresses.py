"""Addresses that people give: HOST:PORT, and whether anybody listens there."""

import socket
import time
from contextlib import suppress

from superpos.errors import ConfigError, EngineError, one_line


def check_address(address: object, what: str) -> tuple[str, int]:
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


# What a client says first in HTTP/2, which gRPC speaks: its magic words, and settings, of which it has none.
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def speaks_grpc(address: str, seconds: float) -> bool:
    """Whether who listens at HOST:PORT answers as gRPC does, with a frame of settings (HTTP/2, RFC 9113 section 3.4)."""
    end, answer = time.monotonic() + seconds, b""
    with suppress(OSError), socket.create_connection(check_address(address, "address"), timeout=seconds) as connection:
        connection.sendall(HELLO)
        while len(answer) < 9 and (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            if not (more := connection.recv(9 - len(answer))):
                break
            answer += more
    return len(answer) == 9 and answer[3] == 4


def answers(host: str, port: int, seconds: float = 1.0) -> bool:
    """Whether anybody listens there."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except (OSError, UnicodeError):
        return False
    return True
