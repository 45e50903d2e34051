"""Few data points are memorised, many are generalised from, and in between the test loss is worst.

    python figures/double_descent.py [--full] [--quick] [--width column]

`--full` is the paper's size: n = 10,000, T up to 20,000, 50,000 steps. It goes through 1.7e14 numbers, at 0.9 ns each on a
core (measured at n = 1,000) a day of two cores, and draws points anew every ten steps at T = 20,000, which makes it two to
three days; with 1.3 GB for each core (measured). On a GPU it is bound by memory, with 40 bytes a number about an hour at
2 TB/s, or by the start of its kernels, some three hours. (Times are estimates.)

Henighan et al. 2023, "Superposition, Memorization, and Double Descent".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import double_descent as experiment
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
    path = results / f"double_descent{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path, block_size=1)
    table = sp.cached(path, experiment.measure, result)
    four = table
    if size.points_of_four:
        path = results / f"double_descent_four{suffix}.zarr"
        four = experiment.losses(sp.sweep(*experiment.build_four(size), store=path, block_size=1))
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, four, claims, full=full)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table, four, experiment.drawn_models(result, table))
        return publish(figure, caption, claims, path=out / f"double_descent{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
