"""The best benefit per dimension at one density, from 1 to 20 dimensions, with more features than find a place.

    python figures/thermodynamic_limit.py [--full] [--quick]

Elhage et al. 2022, "The Geometry of Superposition" (n ≫ m).
"""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt

import superpos as sp
from superpos.claims.thermodynamic_limit import effort, judge, pieces, summary, trained
from superpos.experiments import Claims, publish, size_suffix
from superpos.script import run

DENSITY = 0.1
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Train every size, or load what is there, draw the figure and judge it."""
    suffix, factor = size_suffix(full, quick), 4 if full else 1
    config, found, tried = sp.TrainConfig(steps=20 if quick else 1_000 if full else 300), {}, []
    for m in (1, 2) if quick else SIZES:
        n = 6 * m  # about four features a dimension find a place at this density
        task = sp.tasks.Toy(n_features=n, n_hidden=m, feature_probability=DENSITY, objective="expected")
        # Enough at this density: half as many terms as the default changes no loss by .05 %.
        task = replace(task, order=8 if quick else max(32, 8 * -(-n // 20)))
        seeds = 2 if quick else factor * (32 if m <= 5 else 16 if m <= 8 else 8 if m <= 12 else 4)
        store = results / f"thermodynamic_limit{suffix}_{m}.zarr"
        result = sp.sweep(task, config, sp.Grid(seed=range(seeds)), store=store)
        found[m] = trained(result)
        tried.append((m, seeds))
    path = results / f"thermodynamic_limit{suffix}"
    known = sp.cached(path, pieces, DENSITY, largest=2 if quick else 8, order=8 if quick else 64)
    table, claims = summary(found, known), Claims("Elhage et al. 2022, The Geometry of Superposition", judged=not quick)
    judge(table, claims)
    with sp.plot.style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.4), width_ratios=(1.7, 1), layout="constrained")
        sp.plot.benefit_by_dimensions(table, left).legend(loc="lower right")
        sp.plot.share_by_dimensions(table, right)
        text = (
            f"Benefit per dimension B = (n v − L)/(m v), v = p/3 − p²/4, at 1/(1 − S) = {1 / DENSITY:g} with n = 6m equally "
            "important features, against m. Line: the best found, by a seed or by parts side by side, whose benefits add. "
            f"{effort(tried, config.steps)} Here the largest m:"
        )
        return publish(
            figure, sp.plot.caption(result.attrs, text), claims, path=out / f"thermodynamic_limit{suffix}"
        ).status


if __name__ == "__main__":
    run(main)
