"""A Ray cluster while it is used: whether it is still there, and what Ray prints meanwhile."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from superpos.errors import EngineError
from superpos.sweeping.engines.addresses import answers, check_address

log = logging.getLogger("superpos")

# Seconds for which a cluster may not answer.
LOST_SECONDS = 8
CALLING = "superpos-calling-ray"
KEPT = "what was committed is kept, and the same command goes on"


class Cluster:
    """The cluster that runs our tasks: whether it is still there. Ray itself would wait for it for minutes, or for ever."""

    def __init__(self, ray: Any, door: str | None):
        self._ray, self.lost = ray, False
        # Where to knock: the door of Ray's client, from outside; from inside, the control store's and those of the machines.
        self._doors = [check_address(door or ray.get_runtime_context().gcs_address, "address")]
        self._machines: list[tuple[str, int]] | None = None if door else []
        self._seen = self._asked = time.monotonic()

    def check(self) -> None:
        """Ask it, once a second.

        Raises:
            EngineError: it has not answered for some seconds.
        """
        if time.monotonic() < self._asked + 1:
            return
        alive = all(answers(*door) for door in self._doors) and self._has_machines()
        self._asked = time.monotonic()
        if alive:
            self._seen = self._asked
        elif self._asked > self._seen + LOST_SECONDS:
            self.lost = True
            raise EngineError(f"engine ray: the cluster has not answered for {LOST_SECONDS} seconds; {KEPT}.")

    def most(self, resource: str) -> float:
        """How much of "CPU" or "GPU" its largest machine has."""
        return max((node["Resources"].get(resource, 0) for node in self._ray.nodes() if node["Alive"]), default=0)

    def _has_machines(self) -> bool:
        """Whether one of its machines is there; they may come and go."""
        if self._machines is None or any(answers(*machine) for machine in self._machines[:1]):
            return True
        nodes = within(LOST_SECONDS, self._ray.nodes) or []
        machines = [(node["NodeManagerAddress"], node["NodeManagerPort"]) for node in nodes if node["Alive"]]
        self._machines = [machine for machine in machines if answers(*machine)]
        return bool(self._machines)


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """What a call returns; None if it fails or takes longer, and then it goes on in a thread that nobody waits for."""
    returned: list[Any] = []

    def calling() -> None:
        with suppress(Exception):
            returned.append(call())

    thread = threading.Thread(target=calling, name=CALLING, daemon=True)
    thread.start()
    thread.join(seconds)
    return returned[0] if returned else None


class _Without:
    """An output that logs what some threads write, for debugging, instead."""

    def __init__(self, output: Any, threads: set[str]):
        self._output, self._threads = output, threads

    def write(self, text: str) -> int:
        """Write it, or log it."""
        if threading.current_thread().name not in self._threads:
            return self._output.write(text)
        if text.strip():
            log.debug("%s", text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


@contextmanager
def errors_are_not_printed(*, ending: bool = False) -> Iterator[None]:
    """Keep the output free of what Ray prints there: workers that died, and logs of Ray's own processes.

    A thread of Ray prints it; in the end, when it has repeated itself, whoever ends Ray. Ray has no setting for it, and
    whatever ends a sweep is said in a sentence.
    """
    before = sys.stdout
    if before is None:
        yield
        return
    threads = {"ray_listen_error_messages"} | ({CALLING, threading.current_thread().name} if ending else set())
    sys.stdout = _Without(before, threads)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout = before
