"""Addresses that people give: HOST:PORT, and whether anybody listens there."""

import socket
import time

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
