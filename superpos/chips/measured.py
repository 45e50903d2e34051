"""What this machine's device can do, measured in a second and kept among the compiled programs."""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from superpos.cache import cache_folder
from superpos.chips.known import chip_of
from superpos.chips.model import Chip

FORMAT = 1
ROUNDS = 100  # of the loop whose kernels are counted
PER_ROUND = 4  # kernels


def measure(device: Any, seconds: float = 0.16) -> Chip:
    """Launch time, bandwidth and peaks of a device; three small programs, each timed again and again for so long in all.

    The least time counts: whatever else the machine does can only add to it.
    """
    on_cpu = device.platform == "cpu"
    programs = _programs(on_cpu)
    times = {}
    for name, (program, *inputs) in programs.items():
        inputs = [jax.device_put(array, device) for array in inputs]
        jax.block_until_ready(program(*inputs))
        times[name] = _least(lambda program=program, inputs=inputs: program(*inputs), seconds / len(programs))
    size = programs["matrix"][1].shape
    assumed = chip_of(device.platform, device.device_kind)
    stats = device.memory_stats() or {}
    n_numbers = programs["vector"][1].size
    return replace(
        assumed,
        name=name_of(device),
        launch=times["launch"] / (ROUNDS * PER_ROUND),
        matrix_peak=2 * size[0] * size[1] * programs["matrix"][2].shape[1] / times["matrix"],
        vector_peak=60 * n_numbers / times["vector"],
        bandwidth=2 * 4 * programs["bandwidth"][1].size / times["bandwidth"],
        memory=float(stats.get("bytes_limit", assumed.memory)),
        source="measured here",
    )


def _programs(on_cpu: bool) -> dict[str, Any]:
    """Programs by what they are bound by, each with its inputs."""
    n = 256 if on_cpu else 4_096
    numbers = 2**15 if on_cpu else 2**24

    @jax.jit
    def launch(x: Any, a: Any) -> Any:
        def one_round(_: Any, x: Any) -> Any:
            for _ in range(PER_ROUND // 2):  # a product and what follows it
                x = jnp.tanh(jnp.dot(a, x, precision="highest")) + 1e-3 * jnp.sum(x)
            return x

        return jax.lax.fori_loop(0, ROUNDS, one_round, x)

    return {
        "launch": (launch, jnp.ones((8, 128)), jnp.eye(8)),
        "matrix": (jax.jit(partial(jnp.dot, precision="highest")), jnp.ones((n, n)), jnp.ones((n, n))),
        "vector": (
            jax.jit(lambda bits: jax.random.bits(jax.random.key(bits[0]), bits.shape)),
            jnp.zeros(numbers, "uint32"),
        ),
        "bandwidth": (jax.jit(lambda x: x + 1), jnp.ones(2**20 if on_cpu else 2**26)),
    }


def _least(run: Any, seconds: float) -> float:
    best, stop = float("inf"), time.perf_counter() + seconds
    while True:
        begin = time.perf_counter()
        jax.block_until_ready(run())
        now = time.perf_counter()
        best = min(best, now - begin)
        if now > stop:
            return best


def speeds(chip: Chip) -> str:
    """What it can do, in words."""
    core = " of one core" if "cores" in chip.name else ""
    return (
        f"{chip.matrix_peak / 1e9:,.0f} GFLOP/s in float32 products{core}, {chip.bandwidth / 1e9:,.0f} GB/s, "
        f"{chip.launch * 1e6:.2g} µs to start an operation"
    )


def name_of(device: Any) -> str:
    """What the device is called; a CPU by its model and cores, which JAX does not tell."""
    if device.platform != "cpu":
        return device.device_kind
    model = "CPU"
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {_cores()} cores"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _file(device: Any) -> Path | None:
    """Where the measurement of a device is kept, or None where nothing is."""
    folder = cache_folder()
    if not folder or not Path(folder).is_dir():
        return None
    letters = "".join(c if c.isalnum() else "-" for c in name_of(device).lower())
    return Path(folder) / f"superpos-{letters}.json"


def write(device: Any, chip: Chip) -> Path | None:
    """Write a measurement into the cache folder, whole or not at all; where it lies, or None where there is no place."""
    if (file := _file(device)) is None:
        return None
    about = {"format": FORMAT, "jax": jax.__version__, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(about | asdict(chip), indent=1) + "\n", "utf-8")
        os.replace(beside, file)
    except OSError:  # a full disk; it works without
        with suppress(OSError):
            beside.unlink()
        return None
    return file


def read(device: Any) -> Chip | None:
    """The measurement that was kept of a device by this version of JAX, or None."""
    if (file := _file(device)) is None:
        return None
    try:
        stored = json.loads(file.read_text("utf-8"))
        if (stored.pop("format"), stored.pop("jax")) != (FORMAT, jax.__version__):
            return None
        del stored["date"]
        chip = Chip(**stored)
        numbers = (chip.launch, chip.bandwidth, chip.matrix_peak, chip.vector_peak, chip.memory)
        return chip if all(isinstance(x, float) and 0 < x < float("inf") for x in numbers) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none yet, or damaged
        return None


def measured(device: Any) -> Chip:
    """What is kept of a device; else it is measured now, and kept."""
    if (chip := read(device)) is None:
        chip = measure(device)
        write(device, chip)
    return chip
