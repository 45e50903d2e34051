"""Correlated features lie orthogonally, or collapse into principal components; anticorrelated ones lie oppositely.

    python figures/correlated_features.py [--full] [--quick]

Elhage et al. 2022, "Correlated and Anticorrelated Features".
"""

from pathlib import Path
from typing import Any

import numpy as np

import superpos as sp
from superpos.claims.correlated_features import (
    collapse,
    follow_collapse,
    judge_local_bases,
    judge_pairs,
    judge_three,
)
from superpos.experiments import Claims, publish, size_suffix
from superpos.plot.figures import correlated_features
from superpos.script import run

PAIRS, THREE = ((0, 1), (2, 3)), ((0, 1), (2, 3), (4, 5))
TENS = (tuple(range(10)), tuple(range(10, 20)))  # two large sets, n = 20 and m = 10
PANELS = (0.02, 0.1, 0.2, 0.4, 0.7)  # densities that are drawn


def build(full: bool, quick: bool) -> dict[str, tuple]:
    """Task and grid of every case. In an anticorrelated pair each feature has half the density of the pair."""
    # Not up to density 1, where the members of a correlated set, always active together, are independent.
    p = np.array(PANELS) if quick else np.unique([*PANELS, *np.geomspace(0.01, 0.9, 48 if full else 14)])
    seeds = range(4 if quick else 64 if full else 24)
    # A quick look samples features that are 0 or 1: the population loss of sets takes long to compile.
    how: dict[str, Any] = {"magnitude": "constant"} if quick else {"objective": "expected"}
    one: dict[str, Any] = {"n_hidden": 2, **how}
    return {
        "pairs": (sp.tasks.Toy(n_features=4, correlated_sets=PAIRS, **one), p, seeds),
        "opposite": (
            sp.tasks.Toy(n_features=4, feature_probability=0.5, anticorrelated_sets=PAIRS, **one), p / 2, seeds
        ),
        "three": (sp.tasks.Toy(n_features=6, correlated_sets=THREE, **one), p, seeds),
        "bases": (
            sp.tasks.Toy(n_features=20, n_hidden=10, correlated_sets=TENS, **how),
            np.array([0.05]),
            range(1 if quick else 16),
        ),
    }  # fmt: skip


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix, found = size_suffix(full, quick), {}
    config = sp.TrainConfig(steps=100, batch_size=64, evaluation_samples=1) if quick else sp.TrainConfig(steps=400)
    for name, (task, p, seeds) in build(full, quick).items():
        grid, path = sp.Grid(feature_probability=p, seed=seeds), results / f"correlated_{name}{suffix}.zarr"
        found[name] = sp.sweep(task, config, grid, store=path, block_size=len(p))
    claims = Claims("Elhage et al. 2022, Correlated and Anticorrelated Features", judged=not quick)
    judge_pairs(found["pairs"], found["opposite"], claims)
    path = results / f"correlated_three{suffix}.zarr"
    followed = None if quick else sp.cached(path, follow_collapse, found["three"])
    judge_three(found["three"], followed, claims)
    judge_local_bases(found["bases"].isel(feature_probability=0), claims)
    with sp.plot.style():
        figure, caption = correlated_features(found, collapse(found["three"]), PANELS)
        return publish(figure, caption, claims, path=out / f"correlated_features{suffix}").status


if __name__ == "__main__":
    run(main)
