"""How much memory a sweep may take, and how it is said."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from superpos import check
from superpos.errors import ConfigError
from superpos.process import address_space_left

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def parse_bytes(given: int | str) -> int:
    """4_000_000, "500MB" or "4GiB" as a number of bytes."""
    if isinstance(given, str):
        match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{0,15})?)\s*([kMGT]?)(i?)B?\s*", given)
        if not match:
            raise ConfigError(f'memory_budget must be a number of bytes such as 4000000 or "4GiB", got {given!r}.')
        number, prefix, binary = match.groups()
        given = int(float(number) * (1024 if binary else 1000) ** " kMGT".index(prefix or " "))
    check.integer("memory_budget", given, at_least=1, at_most=2**62)
    return int(given)


def show_bytes(n: float) -> str:
    """1536 as "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.3g} {unit}"
        n /= 1024
    return f"{n:.3g} TiB"


def cpu_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_threads() -> int:
    """Threads that XLA shares an operation of the CPU out to: the variables PJRT_NPROC or NPROC, or all cores.

    Large matrix products and sums are cut into as many parts, so their last bits depend on it. Cutting them alike for every
    number would cost too much: compiler options that do, but for batched products, take 1.40, 1.31, 1.14, 1.07 and .92 of the
    processor's time at the five sizes of the benchmarks; one number for all machines takes 1.1 to 2.4 on two cores if it is
    8, and half of the cores idle if it is 1 (`tests/benchmarks/thread_independence.py`). So a result states the number.
    """
    for name in ("PJRT_NPROC", "NPROC"):
        setting = os.environ.get(name, "")
        if setting.isdecimal() and int(setting) > 0:
            return int(setting)
    return cpu_cores()


def default_budget(device: Any) -> int:
    """Half of the memory this process may use, or four fifths of the accelerator's."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(0.8 * stats["bytes_limit"])
    return _memory() // 2


def _memory() -> int:
    """Bytes of the machine, or of the container or job this process is in, if that is less."""
    n_bytes = 8 * 2**30
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        n_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if (left := address_space_left()) is not None:
        n_bytes = min(n_bytes, left)
    with suppress(OSError, ValueError):  # "max", or no control groups here
        n_bytes = min(n_bytes, int(CGROUP_LIMIT.read_text()))
    return n_bytes
