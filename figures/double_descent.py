"""Few data points are memorised, many are generalised from, and in between the test loss is worst.

    python figures/double_descent.py [--full] [--quick]

Henighan et al. 2023, "Superposition, Memorization, and Double Descent".
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.claims import Claims
from superpos.claims.double_descent import judge, measure
from superpos.cli import run
from superpos.plot.descent import double_descent
from superpos.tasks.base import ready

SIZES = (3, 5, 6, 8, 10, 15, 30, 50, 100, 200, 500, 1_000)
MORE_SIZES = (2_000, 5_000, 10_000, 20_000)
SHOWN = (5, 8, 30, 200, 1_000, 20_000)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> None:
    """Load the sweep, or train it, draw the figure and judge it."""
    suffix = sp.plot.size_suffix(full, quick)
    sizes = (5, 8, 20) if quick else (*SIZES, *MORE_SIZES) if full else SIZES
    n, p = (10_000, 0.001) if full else (100, 0.05) if quick else (1_000, 0.01)
    task = sp.tasks.DoubleDescent(n_features=n, n_hidden=2, most_points=max(sizes), feature_probability=p)
    steps = 50_000 if full else 100 if quick else 15_000
    # The paper's AdamW decays all parameters, biases too.
    config = sp.TrainConfig(
        steps=steps, warmup_steps=steps // 20, decay_bias=True, evaluation_samples=1_024 if quick else 16_384
    )
    grid = sp.Grid(n_points=sizes, weight_decay=[0.01, 1.0], seed=range(5 if full else 1 if quick else 3))
    path = results / f"double_descent{suffix}.zarr"
    result = sp.sweep(task, config, grid, store=path, block_size=1)
    table = sp.kept(path, measure, result)
    claims = Claims("Henighan et al. 2023, Superposition, Memorization, and Double Descent", judged=not quick)
    judge(table, claims, full=full)
    points = np.asarray(ready(task).points).T
    shown = []
    for T in (size for size in SHOWN if size in sizes):
        place = {"weight_decay": 0, "n_points": sizes.index(T)}
        W = result.isel(**place, seed=int(table["best"].isel(place)))["W"].transpose("hidden", "feature").values
        shown.append((T, W, W @ points[:, :T]))
    with sp.plot.style():
        figure, caption = double_descent(result, table, shown)
        sp.plot.publish(figure, caption, claims, path=out / f"double_descent{suffix}")


if __name__ == "__main__":
    run(main)
