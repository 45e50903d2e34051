"""Run several scripts at a time, each in a process of its own."""

import multiprocessing
import os
import runpy
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple


class Finished(NamedTuple):
    """A script that has ended."""

    script: Path
    status: int
    seconds: float
    printed: str


def run_scripts(
    scripts: Sequence[Path], flags: Sequence[str], jobs: int, imported_once: Sequence[str] = ()
) -> Iterator[Finished]:
    """Run scripts as from the command line, `jobs` of them at a time; yield each when it ends, whatever its status.

    Where the system can fork, the modules named in `imported_once` are imported once for all. They are never used by the
    process that the others are forked from: JAX must not have looked for its devices by then.
    """
    if jobs > 1:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the first would take a GPU's whole memory
    os.environ.setdefault("COLUMNS", str(shutil.get_terminal_size().columns))  # what is printed goes through a file
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(list(imported_once))
    with TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:

        def finish(script: Path) -> Finished:
            begin, log = time.perf_counter(), Path(folder) / f"{script.stem}.log"
            log.touch()
            process = context.Process(target=_run, args=(script, list(flags), log))
            process.start()
            process.join()
            return Finished(
                script, process.exitcode, time.perf_counter() - begin, log.read_text(encoding="utf-8", errors="replace")
            )

        for done in as_completed([pool.submit(finish, script) for script in scripts]):
            yield done.result()


def _run(script: Path, flags: list[str], log: Path) -> None:
    with log.open("w", encoding="utf-8") as file:
        for stream in (1, 2):  # the process's own, so that a traceback is in the file as well
            os.dup2(file.fileno(), stream)
    output: Any
    for output in (sys.stdout, sys.stderr):
        if output is not None:
            output.reconfigure(encoding="utf-8")  # as the file is read, whatever the environment asks of a terminal
    sys.argv = [str(script), *flags]
    runpy.run_path(sys.argv[0], run_name="__main__")
