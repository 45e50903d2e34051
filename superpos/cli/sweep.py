"""`superpos sweep`: train what a sweep file describes."""

import time
from pathlib import Path
from typing import Annotated

import tyro


def sweep(
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="a sweep file (TOML)")],
    overrides: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(
            metavar="[FIELD=VALUE …]",
            help="settings that replace the file's: task.n_hidden=3 train.steps=500 grid.seed={range=4}",
        ),
    ] = (),
    out: Annotated[Path | None, tyro.conf.arg(help="where to write the result; results/NAME.zarr if not given")] = None,
    overwrite: Annotated[bool, tyro.conf.arg(help="replace an earlier result")] = False,
    dry_run: Annotated[
        bool, tyro.conf.arg(help="say what would be trained and how long it would take, then stop")
    ] = False,
) -> None:
    """Train every model a sweep file describes, and write the result."""
    from superpos.cli import sweepfile
    from superpos.sweep import run, store

    given = sweepfile.read(file, overrides)
    target = store.writable(out or Path("results") / f"{file.stem}.zarr", overwrite=overwrite)
    work = run.prepare(given.task, given.config, given.grid, **given.options)
    if dry_run:
        from superpos.sweep.estimate import seconds

        padded = sum(s * -(-c // work.blocks_per_call) * work.blocks_per_call for s, c in work.counts())
        print(f"models            {work.n_cells:,} ({given.grid.design} of {', '.join(given.grid.axes)})")
        print(f"compile families  {len(work.families)}")
        print(f"blocks            {work.n_blocks:,} of {_listed(work.block_sizes)} models ({padded:,} with padding)")
        print(
            f"memory            {run.show_bytes(work.bytes)} on {work.mesh.size} device(s), {work.lanes} call(s) at a time"
        )
        print(f"estimated time    {_duration(seconds(work))}, from timing a few steps")
        print(f"output            {target}")
        return
    begin = time.perf_counter()
    result = run.run(work, given.task, given.config, given.grid)
    result.save(target, overwrite=overwrite)
    print(result)
    print(f"result    {target}  ({_duration(time.perf_counter() - begin)})")


def _listed(numbers: list[int]) -> str:
    return " or ".join(str(n) for n in sorted(set(numbers)))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
