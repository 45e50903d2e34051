"""Every figure, its claims, and one page that shows them all.

    python figures/all.py [--full] [--quick] [--only five_features …] [--jobs 2]

Each script runs in a process of its own, so one that fails does not stop the others; where the system can fork, libraries are
imported once for all of them. Two run side by side unless `--jobs` says otherwise: most of a small figure is compilation,
which uses one core. Status 1 if a claim failed somewhere.
"""

import multiprocessing
import os
import runpy
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from superpos import check
from superpos.cli import run
from superpos.plot.gallery import index, size_suffix

HERE = Path(__file__).parent
SCRIPTS = sorted(file.stem for file in HERE.glob("*.py") if file.stem != "all")
# Imported, never used, by the process that others are forked from: JAX must not have looked for its devices by then.
IMPORTED_ONCE = ["superpos.sweep", "superpos.theory", "superpos.claims.uniform_levels", "superpos.plot.figures", "tyro"]


def draw(name: str, flags: list[str], log: Path) -> None:
    """Run one script as from the command line; what it prints goes to a file."""
    with log.open("w") as file:
        for stream in (1, 2):  # the process's own, so that a traceback is in the file as well
            os.dup2(file.fileno(), stream)
    sys.argv = [str(HERE / f"{name}.py"), *flags]
    runpy.run_path(sys.argv[0], run_name="__main__")


def main(
    full: bool = False,
    quick: bool = False,
    only: tuple[str, ...] = (),
    jobs: int = 2,
    results: Path = Path("results"),
    out: Path = Path("results/gallery"),
) -> None:
    """Build all figures into one folder with an index page."""
    if unknown := [name for name in only if name not in SCRIPTS]:
        sys.exit(f"figures: there is no {unknown[0]!r}; there are {', '.join(SCRIPTS)}.")
    check.whole("jobs", jobs, at_least=1, at_most=64)
    out.mkdir(parents=True, exist_ok=True)
    flags = ["--full"] * full + ["--quick"] * quick + ["--results", str(results), "--out", str(out)]
    if jobs > 1:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the first would take a GPU's whole memory
    os.environ.setdefault("COLUMNS", str(shutil.get_terminal_size().columns))  # for the tables in the logs
    methods = multiprocessing.get_all_start_methods()
    processes: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    processes.set_forkserver_preload(IMPORTED_ONCE)
    names = list(only or SCRIPTS)

    def build(name: str) -> tuple[str, int, float]:
        (out / f"{name}{size_suffix(full, quick)}.json").unlink(missing_ok=True)  # an old one would hide a failure
        begin = time.perf_counter()
        process = processes.Process(target=draw, args=(name, flags, out / f"{name}.log"))
        process.start()
        process.join()
        return name, process.exitcode, time.perf_counter() - begin

    begin, seconds, failed, page = time.perf_counter(), {}, [], out
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(build, name) for name in names]):
            name, status, took = done.result()
            log = out / f"{name}.log"
            print(f"— {name}, {took:.0f} s\n{log.read_text() if log.exists() else ''}", flush=True)
            log.unlink(missing_ok=True)
            failed += [name] * bool(status)
            seconds[name] = took
            entries = [(f"{n}{size_suffix(full, quick)}", seconds[n]) for n in names if n in seconds]
            page = index(out, entries)  # after every figure: a look at what is there already
    print(f"{page}: {len(names)} figures in {(time.perf_counter() - begin) / 60:.1f} minutes")
    if failed:
        sys.exit(f"figures: failed: {', '.join(sorted(failed))}")


if __name__ == "__main__":
    run(main)
