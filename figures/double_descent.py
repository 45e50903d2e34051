"""Few data points are memorised, many are generalised from, and in between the test loss is worst.

    python figures/double_descent.py [--full] [--quick]

`--full` is the paper's size: n = 10,000, T up to 20,000, 50,000 steps. It goes through 1.7e14 numbers, at 0.9 ns each on a
core (measured at n = 1,000) a day of two cores, and draws points anew every ten steps at T = 20,000, which makes it two to
three days; with 1.3 GB for each core (measured). On a GPU it is bound by memory, with 40 bytes a number about an hour at
2 TB/s, or by the start of its kernels, some three hours. (Times are estimates.)

Henighan et al. 2023, "Superposition, Memorization, and Double Descent".
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

import superpos as sp
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.double_descent import judge, losses, measure
from superpos.plot.descent import double_descent
from superpos.script import run
from superpos.tasks.base import materialize

# A feature occurs T(1 − S) times in the data; from about ten on it is learned. The last of each has twenty.
SIZES = (3, 5, 6, 8, 10, 15, 30, 50, 100, 200, 500, 1_000, 2_000)
MORE_SIZES = (5_000, 10_000, 20_000)
SIZES_OF_FOUR = (5, 10, 30, 100, 200, 500, 1_000, 2_000, 5_000)
SHOWN = (5, 8, 30, 200, 2_000, 20_000)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    sizes = (5, 8, 20) if quick else (*SIZES, *MORE_SIZES) if full else SIZES
    n, p = (10_000, 0.001) if full else (100, 0.05) if quick else (1_000, 0.01)
    task = sp.tasks.DoubleDescent(n_features=n, n_hidden=2, most_points=max(sizes), feature_probability=p)
    steps = 50_000 if full else 100 if quick else 15_000
    # The paper's AdamW decays all parameters, biases too.
    config = sp.TrainConfig(
        steps=steps, warmup_steps=steps // 20, decay_bias=True, evaluation_samples=1_024 if quick else 16_384
    )
    grid = sp.Grid(n_points=sizes, weight_decay=[0.01, 1.0][: 1 + quick], seed=range(5 if full else 1 if quick else 3))
    path = results / f"double_descent{suffix}.zarr"
    result = sp.sweep(task, config, grid, store=path, block_size=1)
    table = sp.cached(path, measure, result)
    four = table  # a quick look compiles for two hidden dimensions only
    if not quick:  # the paper's weight decay of 1 is of four
        fewer = (*SIZES_OF_FOUR, *MORE_SIZES[1:]) if full else SIZES_OF_FOUR
        task_of_four = replace(task, n_hidden=4, most_points=max(fewer))
        grid = sp.Grid(n_points=fewer, weight_decay=[0.01, 1.0], seed=range(2))
        path = results / f"double_descent_four{suffix}.zarr"
        four = losses(sp.sweep(task_of_four, config, grid, store=path, block_size=1))
    claims = Claims("Henighan et al. 2023, Superposition, Memorization, and Double Descent", judged=not quick)
    judge(table, four, claims, full=full)
    points = np.asarray(materialize(task).points).T
    shown = []
    for T in (size for size in SHOWN if size in sizes):
        place = {"weight_decay": 0, "n_points": sizes.index(T)}
        W = result.isel(**place, seed=int(table["best"].isel(place)))["W"].transpose("hidden", "feature").values
        shown.append((T, W, W @ points[:, :T]))
    with sp.plot.style():
        figure, caption = double_descent(result, table, four, shown)
        return publish(figure, caption, claims, path=out / f"double_descent{suffix}").status


if __name__ == "__main__":
    run(main)
