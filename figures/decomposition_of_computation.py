"""Compressed computation taken apart: one part of W_in for every function, and W_out as one block?

python figures/decomposition_of_computation.py [--full] [--quick] [--width column]
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, compressed_computation, publish
from superpos.experiments import decomposition_of_computation as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    name = f"decomposition_of_computation{suffix}"
    networks = results / f"{name}_networks.zarr"
    targets = sp.sweep(*experiment.build_targets(size), store=networks)
    swept, tables, block = [], [], len(size.coefficients)
    task, config, grid, start = experiment.build_from_block(size, targets)
    for path, plan, init in (
        (results / f"{name}.zarr", experiment.build(size, targets), None),
        (results / f"{name}_controls.zarr", experiment.build_controls(size, targets), None),
        (results / f"{name}_from_block.zarr", (task, config, grid), start),
    ):
        swept.append(sp.sweep(*plan, store=path, block_size=block, init=init))
        tables.append(sp.cached(path, experiment.measure, swept[-1], size.n_inputs))
    table, controls, from_block = tables
    claims = Claims(experiment.SOURCE, judged=not quick)
    of_networks = sp.cached(networks, compressed_computation.measure, targets)
    experiment.evaluate(of_networks, table, controls, from_block, size, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(swept[0], table, controls, from_block)
        return publish(figure, caption, claims, path=out / name, width=width).status


if __name__ == "__main__":
    run(main)
