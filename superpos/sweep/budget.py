"""How much memory a sweep may take, and how it is said."""

import os
import re
from typing import Any

from superpos import check
from superpos.errors import ConfigError


def parse_bytes(given: int | str) -> int:
    """4_000_000, "500MB" or "4GiB" as a number of bytes."""
    if isinstance(given, str):
        match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{0,15})?)\s*([kMGT]?)(i?)B?\s*", given)
        if not match:
            raise ConfigError(f'memory_budget must be a number of bytes such as 4000000 or "4GiB", got {given!r}.')
        number, prefix, binary = match.groups()
        given = int(float(number) * (1024 if binary else 1000) ** " kMGT".index(prefix or " "))
    check.whole("memory_budget", given, at_least=1, at_most=2**62)
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


def default_budget(device: Any) -> int:
    """Half of the machine's memory, or four fifths of the accelerator's."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(0.8 * stats["bytes_limit"])
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 * 2**30
