"""The pentagon bends, then breaks: one of five features made denser and sparser than the others.

    python figures/nonuniform_density.py [--full] [--quick]

Elhage et al. 2022, "The Geometry of Superposition", Non-Uniform Superposition.
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.claims.nonuniform_density import BASE, follow_both, judge, loop, nearest_angle, pointing_up
from superpos.experiments import Claims, publish, size_suffix
from superpos.script import run

PANELS = (4, 2, 1, 0.5, 0.3, 0.2)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Follow both solutions, train fresh ones, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    octaves = np.arange(-4, 12) / 3 if quick else np.arange(-48, 97) / 24 if full else np.arange(-24, 49) / 12
    path = results / f"nonuniform_density{suffix}.zarr"
    ways = loop(sp.cached(path, follow_both, 2.0**-octaves, order=16 if quick else 64))
    task = sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=BASE, objective="expected")
    factors = [2.0**k for k in (np.arange(2, -3, -2) if quick else np.arange(2, -3.6, -0.5))]
    densities = sp.entry("feature_probability", 0, BASE * np.array(sorted({*factors, *PANELS})[::-1]))
    grid = sp.Grid(density=densities, seed=range(64 if full else 2 if quick else 16))
    config = sp.TrainConfig(steps=100 if quick else None)
    result = sp.sweep(task, config, grid, store=path)
    best, claims = result.best("seed"), Claims("Elhage et al. 2022, Non-Uniform Superposition", judged=not quick)
    judge(ways, best, sp.cached(path, sp.SweepResult.geometry, best), claims)
    there, rho = slice(0, ways.last + 1), ways.factors
    with sp.plot.style():
        figure = plt.figure(figsize=(8.2, 4.6), layout="constrained")
        rows: Any = figure.subfigures(2, 1, height_ratios=(1, 1.75))
        for ax, factor in zip(rows[0].subplots(1, len(PANELS)), PANELS, strict=True):
            cell = best.sel(density=factor * BASE, method="nearest")
            sp.plot.one_feature_apart(pointing_up(cell["W"].values), ax, limit=1.35)
            ax.set_title(f"ρ = {float(cell['density']) / BASE:.2g}")
        left, middle, right = rows[1].subplots(1, 3)
        curves = {
            "pentagon": (rho[there], 5 * ways.down.loss[there]),
            "2 × antipodal pair": (rho[ways.first :], 5 * ways.pairs.loss[ways.first :]),
        }
        sp.plot.branches(curves, left, crossing=ways.crossing)
        left.plot(best["density"] / BASE, 5 * best["loss"], "o", color="black", mfc="none", ms=4, label="fresh fits")
        left.set(ylabel="loss (sum over features)", yscale="log")
        left.legend(loc="lower right")
        angles = np.array([nearest_angle(W) for W in ways.down.W[there]])
        sp.plot.branches({"pentagon": (rho[there], angles)}, middle, crossing=ways.crossing)
        middle.axhline(72, color="#BBBBBB", lw=0.8, zorder=0)
        middle.set(ylabel="angle to its two neighbours (°)")
        there_and_back = (("getting sparser", ways.down), ("getting denser", ways.up))
        lengths = {name: (way.values, np.linalg.norm(way.W[:, :, 0], axis=1)) for name, way in there_and_back}
        sp.plot.hysteresis(lengths, right, arrows=(0.7, 0.2))
        right.set_ylabel("norm of the varied feature")
        right.legend()
        for ax in (left, middle, right):
            ax.set_xlabel("ρ, its density over the others'")
        text = (
            f"One of five features (red) has ρ times the density {BASE:g} of the others. Top: "
            f"{result.best_of(what='fits')}, turned so that it points up. Bottom: both solutions, each followed with warm "
            "starts from one ρ to the next; dotted where their losses cross."
        )
        return publish(
            figure, sp.plot.caption(result.attrs, text), claims, path=out / f"nonuniform_density{suffix}"
        ).status


if __name__ == "__main__":
    run(main)
