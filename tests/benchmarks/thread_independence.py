"""What it would cost if bytes did not depend on XLA's number of threads, as ratios in one run, at the five sizes of the benchmarks.

python tests/benchmarks/thread_independence.py

Two ways are measured against the threads that a process has by itself. "compiler": options under which sums and most matrix
products are cut alike for every number of threads (batched products with a transposed left operand are still not).
"threads": one fixed number for every machine. Each way runs in a process of its own, in turns; a length is timed twice and the
shorter taken, in seconds of the processor. "side by side" counts programs running at once: fewer than cores is lost time.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import tyro

# Features, hidden, density, models, block size, steps.
SIZES: dict[str, tuple[Any, ...]] = {
    "2-1": (2, 1, 0.1, 400, None, 3_000),
    "5-2": (5, 2, 0.05, 64, None, 2_000),
    "20-5": (20, 5, 0.05, 64, None, 500),
    "100-20": (100, 20, 0.05, 10, 5, 300),
    "400-30": (400, 30, 0.05, 10, 5, 60),
}
OPTIONS = {
    "xla_disable_hlo_passes": "transpose-folding",
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
}
WAYS: dict[str, dict[str, Any]] = {"as it is": {}, "compiler": {"options": OPTIONS}}
WAYS |= {f"threads {n}": {"threads": n} for n in (1, 4, 8)}


def running() -> int:
    """Threads of this process that are running or wait for a core, but the one that asks."""
    count = 0
    for thread in Path("/proc/self/task").iterdir():
        try:
            state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it ended meanwhile
            continue
        count += state == "R" and int(thread.name) != threading.get_native_id()
    return count


def child(name: str, options: dict[str, str]) -> None:
    """Print seconds of the processor and the median number of threads at work while one size is swept."""
    import jax

    import superpos as sp

    if options:
        plain = jax.stages.Lowered.compile
        jax.stages.Lowered.compile = lambda self, _=None, **more: plain(self, options, **more)  # type: ignore[assignment]
    n, m, p, models, block_size, steps = SIZES[name]
    task = sp.tasks.Toy(n_features=n, n_hidden=m, feature_probability=p)
    grid = sp.Grid(feature_probability=np.geomspace(p, 2 * p, models), seed=[0])
    seconds, counts, done = [], [], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            counts.append(running())

    for k in range(3):  # the first compiles
        if k == 1:
            watcher = threading.Thread(target=watch)
            watcher.start()
        begin = time.process_time()
        sp.sweep(task, sp.TrainConfig(steps=steps, history=3), grid, block_size=block_size, progress=False)
        seconds.append(time.process_time() - begin)
    done.set()
    watcher.join()
    print(json.dumps([min(seconds[1:]), float(np.median(counts))]))


def main(only: tuple[str, ...] = tuple(SIZES), repeats: int = 3) -> None:
    """Measure and print, for every size in `only`, each way `repeats` times."""
    for name in only:
        found: dict[str, list[Any]] = {way: [] for way in WAYS}
        for _ in range(repeats):
            for way, how in WAYS.items():
                environment = os.environ | {"SUPERPOS_CACHE": "off"}
                environment |= {"NPROC": str(how["threads"])} if "threads" in how else {}
                command = [sys.executable, __file__, "child", name, json.dumps(how.get("options", {}))]
                said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
                found[way].append(json.loads(said))
        base = np.array(found["as it is"])[:, 0]
        for way, rows in found.items():
            cost, at_once = np.array(rows).T
            print(
                f"{name:7} {way:10} ×{np.median(cost / base):.2f} of {base.min():.2f} s; side by side {np.median(at_once):g}",
                flush=True,
            )


if __name__ == "__main__":
    child(sys.argv[2], json.loads(sys.argv[3])) if sys.argv[1:2] == ["child"] else tyro.cli(main)
