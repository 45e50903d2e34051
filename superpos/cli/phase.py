"""`superpos phase`: a phase diagram, trained and compared with the true optimum."""

import time
from pathlib import Path
from typing import Annotated

import tyro


def phase(
    hidden: Annotated[int, tyro.conf.arg(help="1 for 2 features in 1 dimension, 2 for 3 features in 2")] = 1,
    cells: Annotated[int, tyro.conf.arg(help="densities, and importances")] = 64,
    seeds: Annotated[int, tyro.conf.arg(help="restarts per cell")] = 8,
    steps: Annotated[int, tyro.conf.arg(help="training steps on the expected loss")] = 200,
    out: Annotated[
        Path, tyro.conf.arg(aliases=["-o"], help="folder for the figure and the result, read again if there")
    ] = Path("superpos-phase"),
    overwrite: Annotated[bool, tyro.conf.arg(help="train again, and replace what is there")] = False,
) -> None:
    """Train a phase diagram of superposition: density against relative importance.

    Trains cells × cells × seeds models on the exact population loss and compares the best restart of every cell with the
    true optimum: the least loss found from every candidate solution and random starts (diagrams of more than 64 cells a
    side are compared on 64). Draws trained, theory, difference and how many restarts found the best. A second run with the
    same settings reads the trained models and the optimum from the folder; other settings need another folder.
    """
    begin = time.perf_counter()
    from superpos import check
    from superpos.errors import ConfigError
    from superpos.sweeping import store

    check.integer("hidden", hidden, at_least=1, at_most=2)
    check.integer("cells", cells, at_least=2, at_most=4_096)
    check.integer("seeds", seeds, at_least=1, at_most=10_000)
    check.integer("steps", steps, at_least=1)
    n = hidden + 1
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out must be a folder, and {out} is a file.")
    target = store.writable(out / f"phase_{n}_{hidden}.zarr", overwrite=overwrite, resume=True)

    import superpos as sp
    from superpos.analysis import against_optimum
    from superpos.analysis.restarts import BEST_FOUND_BELOW
    from superpos.experiments import phase_diagram
    from superpos.plot.written import free_figure

    free_figure(out / f"phase_{n}_{hidden}", overwrite=overwrite)
    task, config, grid = phase_diagram.build(phase_diagram.Size((hidden,), cells, seeds, steps))[hidden]
    doing = "Reading" if target.exists() and not overwrite else "Training"
    print(f"{doing} {grid.n_cells:,} models of {n} features in {hidden}, {steps:,} exact steps each …", flush=True)
    training_begins = time.perf_counter()
    block_size = min(phase_diagram.BLOCK_SIZE, cells)
    result = sp.sweep(task, config, grid, store=target, overwrite=overwrite, block_size=block_size)
    seconds = time.perf_counter() - training_begins
    print(f"Looking for the true optimum of {min(cells, 64) ** 2:,} cells …", flush=True)
    table = result.phases()
    compared = sp.cached(target, against_optimum, table, steps=200, order=16)
    near, same = (100 * float(x.mean()) for x in (compared["excess"] <= 0.01, compared["agrees"]))
    with sp.plot.style():
        figure, caption = phase_diagram.draw([(result, table, compared, sp.theory.boundaries(n))])
        files = sp.plot.save(figure, caption, path=out / f"phase_{n}_{hidden}", overwrite=overwrite)
    print(f"optimum {near:.2f} % of the cells are within 1 % of the least possible loss")
    print(f"phase   {same:.2f} % have the phase of the true optimum")
    print(
        f"basins  {100 * float(table['basin_probability'].mean()):.0f} % of the restarts reached the best of their cell"
    )
    if few := int((table["basin_probability"] < BEST_FOUND_BELOW).sum()):
        print(f"        in {few:,} cells less than a tenth did: there it is the best found")
    print(f"figure  {files[0]} and {files[1].name}")
    print(f"result  {target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target}")
    print(f"next    superpos explore {target}")
    print(f"time    {seconds:.1f} s for training and compilation, {time.perf_counter() - begin:.1f} s in all")
