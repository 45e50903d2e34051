"""Whether JAX can work in this process: said in a sentence beforehand where it would hang or abort."""

import os
import sys
import time
from pathlib import Path

from superpos.errors import EngineError

# Address space that JAX with its compiler and threads takes on a CPU, and for every core. Measured (Linux, JAX 0.10): a
# small sweep needs 1.90 GB with 2 cores, 1.98 with 8, 2.37 with 32; below, it ends in std::bad_alloc or a segmentation fault.
ADDRESS_BYTES, ADDRESS_BYTES_PER_CORE = 1_950_000_000, 16_000_000


def check_process() -> None:
    """Refuse a process in which JAX would hang or abort.

    Raises:
        EngineError: it was forked from one that had used JAX, or its address space (`ulimit -v`) is too small. Larger models
            may still exceed a limit that leaves room for JAX itself; how much JAX needs on an accelerator is not known.
    """
    if _state.forked_after_use:
        raise EngineError(
            "this process was forked from one that had used JAX, whose threads do not survive a fork: training would hang; "
            'fork before JAX is used, or start processes with multiprocessing.get_context("spawn").'
        )
    limit = address_space()
    if limit is None or _jax_is_used():
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if limit < (need := ADDRESS_BYTES + cores * ADDRESS_BYTES_PER_CORE):
        raise EngineError(
            f"the address space of this process is limited to {limit / 1e9:.2f} GB, and JAX needs {need / 1e9:.2f} GB on "
            f"{cores} cores; raise the limit (ulimit -v) to that and what the models take, or lift it."
        )


def address_space() -> int | None:
    """Bytes of address space that this process may take (`ulimit -v`); None without a limit."""
    try:
        import resource
    except ImportError:  # no such limits on this system
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def address_space_left() -> int | None:
    """What is left of `address_space`, where the system says how much is taken."""
    if (limit := address_space()) is None:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return limit
    return max(0, limit - pages * os.sysconf("SC_PAGE_SIZE"))


def _jax_is_used() -> bool:
    """Whether JAX has looked for its devices, and so started threads. Read without JAX's lock, which a fork may leave."""
    return bool(getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", None))


class _State:
    """What this process knows of its past: the one thing here that changes, and only when a child begins."""

    def __init__(self) -> None:
        # Imported in a child only: one with JAX's devices has many threads, unless a fork has ended them.
        self.forked_after_use = _jax_is_used() and _n_threads() == 1

    def child_begins(self) -> None:
        """After a fork, in the child."""
        self.forked_after_use = self.forked_after_use or _jax_is_used()


def age() -> float:
    """Seconds since this process began, imports and all; 0 where the system does not say."""
    try:
        began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def _n_threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0


_state = _State()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_state.child_begins)
