"""Every figure, its claims, and one page that shows them all.

    python figures/all.py [--full] [--quick] [--only five_features …]

Each script runs in a process of its own, so one that fails does not stop the others; where the system can fork, libraries are
imported once for all of them. Status 1 if a claim failed somewhere.
"""

import multiprocessing
import runpy
import sys
import time
from pathlib import Path
from typing import Any

from superpos.cli import run
from superpos.plot.gallery import index, size_suffix

HERE = Path(__file__).parent
SCRIPTS = sorted(file.stem for file in HERE.glob("*.py") if file.stem != "all")
# Imported, never used, by the process that others are forked from: JAX must not have looked for its devices by then.
IMPORTED_ONCE = ["superpos.sweep", "superpos.theory", "superpos.claims.uniform_levels", "superpos.plot.figures", "tyro"]


def draw(name: str, flags: list[str]) -> None:
    """Run one script as from the command line."""
    sys.argv = [str(HERE / f"{name}.py"), *flags]
    runpy.run_path(sys.argv[0], run_name="__main__")


def main(
    full: bool = False,
    quick: bool = False,
    only: tuple[str, ...] = (),
    results: Path = Path("results"),
    out: Path = Path("results/gallery"),
) -> None:
    """Build all figures into one folder with an index page."""
    if unknown := [name for name in only if name not in SCRIPTS]:
        sys.exit(f"figures: there is no {unknown[0]!r}; there are {', '.join(SCRIPTS)}.")
    out.mkdir(parents=True, exist_ok=True)
    flags = ["--full"] * full + ["--quick"] * quick + ["--results", str(results), "--out", str(out)]
    methods = multiprocessing.get_all_start_methods()
    processes: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    processes.set_forkserver_preload(IMPORTED_ONCE)
    entries, failed = [], []
    for name in only or SCRIPTS:
        print(f"— {name}", flush=True)
        (out / f"{name}{size_suffix(full, quick)}.json").unlink(missing_ok=True)  # an old one would hide a failure
        begin = time.perf_counter()
        process = processes.Process(target=draw, args=(name, flags))
        process.start()
        process.join()
        if process.exitcode:
            failed.append(name)
        entries.append((f"{name}{size_suffix(full, quick)}", time.perf_counter() - begin))
        page = index(out, entries)  # after every figure: a look at what is there already
    print(f"{page}: {len(entries)} figures in {sum(s for _, s in entries) / 60:.1f} minutes")
    if failed:
        sys.exit(f"figures: failed: {', '.join(failed)}")


if __name__ == "__main__":
    run(main)
