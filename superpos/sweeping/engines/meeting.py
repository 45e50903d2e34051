"""The processes of one program meet before JAX starts: all are there, each once, told the same; or a sentence says who not.

JAX's own start waits in compiled code that names nobody and aborts the process when it has waited long enough. So process 0
listens first where JAX's coordinator will, and the others come and say who they are, in one line of JSON. They hear
who is missing still, until nobody is, or what is wrong. The connections stay open: see `peers.watch`.
"""

import os
import selectors
import socket
import time
from contextlib import suppress
from typing import Any

from superpos import console
from superpos.errors import ConfigError, EngineError, one_line
from superpos.sweeping.engines.addresses import check_address
from superpos.sweeping.engines.peers import LONGEST_LINE, line_of, received, send

# Seconds before the first word about whom a process waits for, and between later ones, where it waits long enough for two.
WORD_SECONDS = 10.0
# Seconds for which whoever listens hangs up before he is taken for another.
STRANGE_SECONDS = 2.0
# Seconds between two looks, and between two words to those that wait.
TURN_SECONDS = 0.2
TOGETHER = "start all processes at about the same time, or raise wait_seconds"


def meet(address: str, process: int, n_processes: int, seconds: float) -> dict[int, socket.socket]:
    """Wait until every process has come to HOST:PORT, at most so many seconds. The connections by number of process.

    Process 0 has one to every other; the others have one to process 0.

    Raises:
        ConfigError: two say that they are the same process, or were told another number of processes; or no address.
        EngineError: some do not come, or something else is there.
    """
    waiting = _Waiting(seconds, address)
    return _gather(n_processes, waiting) if process == 0 else {0: _come(process, n_processes, waiting)}


class _Waiting:
    """How long a process waits still, and a word about it now and then."""

    def __init__(self, seconds: float, address: str):
        self.begin, self.seconds, self.address, self.next = time.monotonic(), seconds, address, WORD_SECONDS
        self.where = check_address(address, "coordinator_address")

    @property
    def left(self) -> float:
        """Seconds, at least 0."""
        return max(0.0, self.begin + self.seconds - time.monotonic())

    def say(self, words: str) -> None:
        """Say it if it is time."""
        if self.seconds >= 2 * WORD_SECONDS and self.left and (passed := self.seconds - self.left) >= self.next:
            self.next += WORD_SECONDS
            limit = f"{passed:.0f} of at most {self.seconds:.0f} s"
            console.say(f"superpos: engine distributed: {words} at {self.address}, {limit}.", error=True)

    def in_vain(self, missing: str) -> EngineError:
        """The error of one that waited for others."""
        return EngineError(
            f"num_processes: {missing} did not come to {self.address} within {self.seconds:.0f} s; {TOGETHER}."
        )

    def of_another(self, process: int) -> EngineError:
        """The error of one that met somebody else."""
        return EngineError(
            f"coordinator_address: who answers at {self.address} does not wait for process {process}: it is another program, "
            "or a sweep that has begun, with another process of that process_id."
        )


def _gather(n_processes: int, waiting: _Waiting) -> dict[int, socket.socket]:
    """Process 0: wait for the others."""
    meeting = _Meeting(n_processes)
    try:
        with _listener(waiting) as listener, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while missing := _named(meeting.missing, n_processes):
                if not waiting.left:
                    raise waiting.in_vain(missing)
                waiting.say(f"process 0 waits for {missing}")
                meeting.tell({"missing": missing})
                end = time.monotonic() + TURN_SECONDS
                while (ready := selector.select(max(0.0, end - time.monotonic()))) and time.monotonic() < end:
                    for key, _ in ready:
                        connection = key.fileobj
                        assert isinstance(connection, socket.socket)
                        if connection is listener:
                            with suppress(OSError):
                                new = listener.accept()[0]
                                meeting.strangers[new] = b""
                                selector.register(new, selectors.EVENT_READ)
                        elif not meeting.listen_to(connection):
                            selector.unregister(connection)
                            connection.close()
                    if not meeting.missing:
                        break
        meeting.tell({"missing": ""})
        return meeting.connections
    except (ConfigError, EngineError) as error:
        meeting.tell({"wrong": str(error), "setting": isinstance(error, ConfigError)})
        for connection in meeting.connections.values():
            connection.close()
        raise
    finally:
        for connection in meeting.strangers:
            connection.close()


class _Meeting:
    """Who has come to process 0: the connections of processes by number, and those of whom it is not known yet."""

    def __init__(self, n_processes: int):
        self.n_processes = n_processes
        self.connections: dict[int, socket.socket] = {}
        self.strangers: dict[socket.socket, bytes] = {}  # with what each has said so far

    @property
    def missing(self) -> list[int]:
        """Numbers of the processes that have not come."""
        return [k for k in range(1, self.n_processes) if k not in self.connections]

    def tell(self, message: dict[str, Any]) -> None:
        """Send it to all that have come."""
        for connection in self.connections.values():
            send(connection, message)

    def listen_to(self, connection: socket.socket) -> bool:
        """Note what one says, or that it left. False if it has left or is none of ours.

        Raises:
            ConfigError: it is one of ours and should not be; it is told, too.
        """
        more = received(connection)
        if connection not in self.strangers:  # such a one says nothing before all have come, so it left; it may return
            del self.connections[next(number for number, other in self.connections.items() if other is connection)]
            return False
        line = self.strangers.pop(connection) + more
        if more and b"\n" not in line and len(line) < LONGEST_LINE:
            self.strangers[connection] = line  # more will come
            return True
        message = line_of(line) or {}
        number, its_count = message.get("process_id"), message.get("num_processes")
        if type(number) is not int or type(its_count) is not int or number < 1:
            return False
        wrong = ""
        if its_count != self.n_processes:
            counts = f"process {number} was told {its_count}, and process 0 {self.n_processes}"
            wrong = f"num_processes: {counts}; tell all the same."
        elif number in self.connections:
            wrong = f"process_id: two processes say that they are process {number} of {self.n_processes}; give each its own."
        if wrong:
            send(connection, {"wrong": wrong, "setting": True})
            connection.close()
            raise ConfigError(wrong)
        self.connections[number] = connection
        return True


def _come(process: int, n_processes: int, waiting: _Waiting) -> socket.socket:
    """The others: go to process 0, and wait for its word."""
    why, missing, strange = "", "", float("inf")
    while waiting.left:
        waiting.say(f"process {process} waits for process 0")
        try:
            connection = socket.create_connection(waiting.where, timeout=max(0.1, waiting.left))
        except (OSError, UnicodeError) as error:
            why, strange = f" ({one_line(error)})", float("inf")
            time.sleep(TURN_SECONDS)
            continue
        send(connection, {"process_id": process, "num_processes": n_processes})
        unread, more = b"", b"-"
        connection.settimeout(TURN_SECONDS)
        while waiting.left and more and len(unread) < LONGEST_LINE:
            with suppress(TimeoutError):
                more = received(connection)
                unread += more
            *lines, unread = unread.split(b"\n")
            for line in lines:
                message = line_of(line) or {}
                if isinstance(message.get("wrong"), str):
                    connection.close()
                    raise (ConfigError if message.get("setting") is True else EngineError)(message["wrong"])
                if not isinstance(message.get("missing"), str):
                    connection.close()
                    raise waiting.of_another(process)
                missing = message["missing"]
                if not missing:
                    connection.settimeout(None)
                    return connection
            if missing:
                waiting.say(f"process {process} waits with process 0 for {missing}")
        connection.close()
        time.sleep(TURN_SECONDS)
        why = " (who listens there says nothing)"
        if not more and time.monotonic() > (strange := min(strange, time.monotonic() + STRANGE_SECONDS)):
            raise waiting.of_another(process)  # JAX's coordinator, for one, hangs up
    if missing:
        raise waiting.in_vain(missing)
    raise EngineError(
        f"coordinator_address: process 0 did not answer at {waiting.address} within {waiting.seconds:.0f} s{why}; {TOGETHER}."
    )


def _listener(waiting: _Waiting) -> socket.socket:
    """Listen as JAX's coordinator will, on all addresses of this machine."""
    port = waiting.where[1]
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        reason = (os.strerror(error.errno) if error.errno else str(error)).lower()
        raise EngineError(
            f"coordinator_address: process 0 cannot listen at {waiting.address} ({reason}): another process 0 or another "
            "program may be there."
        ) from None


def _named(numbers: list[int], n_processes: int) -> str:
    """ "process 1 of 2", "processes 1, 2 and 3 of 4", "processes 1, 2, 3, 4, 5, 6, 7, 8 and 40 others of 64", or nothing."""
    if not numbers:
        return ""
    listed = [str(n) for n in numbers[:8]]
    if len(numbers) > 8:
        listed.append(f"{len(numbers) - 8} others")
    first, last = ", ".join(listed[:-1]), listed[-1]
    return f"processes {first} and {last} of {n_processes}" if first else f"process {last} of {n_processes}"
