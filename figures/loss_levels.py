"""Training rests on levels: six features of which one is active at a time, in two dimensions, and the known critical points.

    python figures/loss_levels.py [--full] [--quick]

Chen et al. 2023, "Dynamical versus Bayesian Phase Transitions in a Toy Model of Superposition".
"""

from pathlib import Path

import matplotlib.pyplot as plt

import superpos as sp
from superpos.claims.loss_levels import judge, landed, starts
from superpos.experiments import Claims, publish, size_suffix
from superpos.plot.loss_levels import loss_on_levels
from superpos.script import run
from superpos.theory.single_active import polygon_levels

N = 6


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    # An anticorrelated set of all features whose densities add up to 1: exactly one is active.
    task = sp.tasks.Toy(
        n_features=N, n_hidden=2, feature_probability=1 / N, anticorrelated_sets=(tuple(range(N)),),
        objective="expected", order=8 if quick else 16,
    )  # fmt: skip
    steps = 20 if quick else 2_000
    config = sp.TrainConfig(steps=steps, learning_rate=2.0, optimizer="sgd", schedule="constant", history=steps)
    levels = polygon_levels(N)
    repeats = 1 if quick else 16 if full else 4
    seeds = sp.Grid(seed=range(repeats * len(levels)))
    begun = [level.name for level in levels for _ in range(repeats)]
    paths = [results / f"loss_levels{name}{suffix}.zarr" for name in ("", "_placed")]
    free = sp.sweep(task, config, seeds, paths[0], block_size=len(levels))
    placed = sp.sweep(task, config, seeds, paths[1], block_size=len(levels), init=starts(levels, repeats))
    over = ("seed", "hidden", "feature")
    parts = [[r[x].transpose(*over, missing_dims="ignore").values for x in ("loss", "W", "b")] for r in (free, placed)]
    tables = [landed(N * loss, W, b, levels) for loss, W, b in parts]
    claims = Claims("Chen et al. 2023, Dynamical versus Bayesian Phase Transitions", judged=not quick)
    judge(levels, tables[0], tables[1], begun, claims)
    names = [level.name for level in levels]
    with sp.plot.style():
        figure = plt.figure(figsize=(9.4, 5.6), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=(1.5, 1))  # type: ignore[misc]
        titles = ("from random weights", "begun beside each level")
        for ax, result, table, title in zip(above.subplots(1, 2), (free, placed), tables, titles, strict=True):
            loss = N * result["loss_history"].transpose("seed", "record").values
            chosen = [names.index(name) if name else -1 for name in table["level"].values.tolist()]
            loss_on_levels(loss, result["record_step"].values, [x.loss for x in levels], names, ax, chosen=chosen)
            ax.set_title(title)
        for k, (ax, level) in enumerate(zip(below.subplots(1, len(levels)), levels, strict=True)):
            sp.plot.feature_directions(placed.isel(seed=k * repeats)["W"].values, ax, limit=1.6)
            ax.set_title(f"{level.name}: {level.loss:.5f}")
        text = (
            f"Top: loss of {len(begun)} models each, a line per seed, in the colour of the level it ends on (black: none); "
            "dashed: losses of the critical points, in closed form. Their names: sides of the polygon, ⁺ for a feature "
            "without length whose bias is the best constant, ⁻ for a dead one. Right: W starts from a critical point with "
            f"normal noise of .02. Bottom: what the first of the {repeats} models begun beside each level ends with."
        )
        return publish(figure, sp.plot.caption(free.attrs, text), claims, path=out / f"loss_levels{suffix}").status


if __name__ == "__main__":
    run(main)
