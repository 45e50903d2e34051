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

from superpos import console
from superpos.errors import ConfigError, EngineError, one_line
from superpos.sweep.engines.addresses import check_address
from superpos.sweep.engines.peers import LONGEST_LINE, line_of, received, send

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
    here: dict[int, socket.socket] = {}
    strangers: dict[socket.socket, bytes] = {}  # who has not said who it is, and what it said so far
    try:
        with _listener(waiting) as listener, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while missing := _named([k for k in range(1, n_processes) if k not in here], n_processes):
                if not waiting.left:
                    raise waiting.in_vain(missing)
                waiting.say(f"process 0 waits for {missing}")
                for one in here.values():
                    send(one, {"missing": missing})
                end = time.monotonic() + TURN_SECONDS
                while (ready := selector.select(max(0.0, end - time.monotonic()))) and time.monotonic() < end:
                    for key, _ in ready:
                        one = key.fileobj
                        assert isinstance(one, socket.socket)
                        if one is listener:
                            with suppress(OSError):
                                new = listener.accept()[0]
                                strangers[new] = b""
                                selector.register(new, selectors.EVENT_READ)
                        elif not _heard(one, here, strangers, n_processes):
                            selector.unregister(one)
                            one.close()
                    if len(here) == n_processes - 1:
                        break
        for one in here.values():
            send(one, {"missing": ""})
        return here
    except (ConfigError, EngineError) as error:
        for one in here.values():
            send(one, {"wrong": str(error), "setting": isinstance(error, ConfigError)})
            one.close()
        raise
    finally:
        for one in strangers:
            one.close()


def _heard(
    one: socket.socket, here: dict[int, socket.socket], strangers: dict[socket.socket, bytes], n_processes: int
) -> bool:
    """Note what one says, or that it left. False if it has left or is none of ours.

    Raises:
        ConfigError: it is one of ours and should not be; it is told, too.
    """
    more = received(one)
    if one not in strangers:  # such a one says nothing before all are there, so it has left; it may come again
        del here[next(number for number, other in here.items() if other is one)]
        return False
    said = strangers.pop(one) + more
    if more and b"\n" not in said and len(said) < LONGEST_LINE:
        strangers[one] = said  # more will come
        return True
    found = line_of(said) or {}
    number, told = found.get("process_id"), found.get("num_processes")
    if type(number) is not int or type(told) is not int or number < 1:
        return False
    wrong = ""
    if told != n_processes:
        wrong = f"num_processes: process {number} was told {told}, and process 0 {n_processes}; tell all the same."
    elif number in here:
        wrong = f"process_id: two processes say that they are process {number} of {n_processes}; give each its own."
    if wrong:
        send(one, {"wrong": wrong, "setting": True})
        one.close()
        raise ConfigError(wrong)
    here[number] = one
    return True


def _come(process: int, n_processes: int, waiting: _Waiting) -> socket.socket:
    """The others: go to process 0, and wait for its word."""
    why, missing, strange = "", "", float("inf")
    while waiting.left:
        waiting.say(f"process {process} waits for process 0")
        try:
            one = socket.create_connection(waiting.where, timeout=max(0.1, waiting.left))
        except (OSError, UnicodeError) as error:
            why, strange = f" ({one_line(error)})", float("inf")
            time.sleep(TURN_SECONDS)
            continue
        send(one, {"process_id": process, "num_processes": n_processes})
        said, more = b"", b"-"
        one.settimeout(TURN_SECONDS)
        while waiting.left and more and len(said) < LONGEST_LINE:
            with suppress(TimeoutError):
                more = received(one)
                said += more
            *lines, said = said.split(b"\n")
            for line in lines:
                found = line_of(line) or {}
                if isinstance(found.get("wrong"), str):
                    one.close()
                    raise (ConfigError if found.get("setting") is True else EngineError)(found["wrong"])
                if not isinstance(found.get("missing"), str):
                    one.close()
                    raise waiting.of_another(process)
                missing = found["missing"]
                if not missing:
                    one.settimeout(None)
                    return one
            if missing:
                waiting.say(f"process {process} waits with process 0 for {missing}")
        one.close()
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
    shown = [str(n) for n in numbers[:8]] + [f"{len(numbers) - 8} others"] * (len(numbers) > 8)
    first, last = ", ".join(shown[:-1]), shown[-1]
    return f"processes {first} and {last} of {n_processes}" if first else f"process {last} of {n_processes}"
