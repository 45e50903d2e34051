"""Superposition makes models vulnerable: attacks of a tenth of the input norm, and training on larger ones.

    python figures/adversarial.py [--full] [--quick]

Elhage et al. 2022, "Superposition and Adversarial Robustness".
"""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.claims.adversarial import judge_training, judge_vulnerability, measure
from superpos.experiments import Claims, publish, size_suffix
from superpos.script import run

SWEEPS = Path(__file__).parents[1] / "sweeps"
DENSITIES = {0.05: "black", 0.2: "green"}  # with the colours of their lines; claims are about the first


def build_training(full: bool, quick: bool) -> tuple:
    """Models trained on attacked inputs, from no attack to one as long as the input."""
    task = sp.tasks.AdversarialToy(n_features=6 if quick else 20, n_hidden=2 if quick else 5)
    norms = np.linspace(0, 1, 3) if quick else [0, 0.2, *np.linspace(0.4, 1.2, 9).round(2)]
    seeds = range(8 if full else 1 if quick else 4)
    grid = sp.Grid(feature_probability=list(DENSITIES), attack_norm=norms, seed=seeds)
    return task, sp.TrainConfig(steps=5_000 if full else 50 if quick else 1_500, batch_size=256), grid


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, attack the models, draw the figure and judge it."""
    build = runpy.run_path(str(SWEEPS / "uniform_geometry.py"))["build"]
    suffix = size_suffix(full, quick)
    paths = [results / f"{name}{suffix}.zarr" for name in ("uniform_geometry", "adversarial_training")]
    result = sp.sweep(*build(full=full, quick=quick), store=paths[0])
    trained = sp.sweep(*build_training(full, quick), store=paths[1])
    attacked = result.isel(feature_probability=slice(None, None, 4 if quick else 1))
    table = sp.cached(paths[0], measure, attacked, samples=64 if quick else 512)
    per_dimension = (
        sp.cached(paths[1], sp.SweepResult.geometry, trained)["n_represented"] / trained.attrs["task"]["n_hidden"]
    )
    claims = Claims("Elhage et al. 2022, Superposition and Adversarial Robustness", judged=not quick)
    judge_vulnerability(table, claims)
    judge_training(per_dimension.sel(feature_probability=next(iter(DENSITIES))).mean("seed"), claims)
    with sp.plot.style():
        figure, (left, middle, right) = plt.subplots(
            1, 3, figsize=(10.2, 3.3), width_ratios=(1.2, 0.8, 1.2), layout="constrained"
        )
        sp.plot.vulnerability_by_density(table["vulnerability"], table["features_per_dimension"], left)
        sp.plot.vulnerability_against_features(table["vulnerability"], table["features_per_dimension"], middle)
        for p, color in DENSITIES.items():
            chosen, line = per_dimension.sel(feature_probability=p), sp.plot.PALETTE[color]
            sp.plot.superposition_by_attack_norm(chosen, right, label=f"1 − S = {p:g}", color=line)
        right.legend()
        text = (
            "Left: what an attack of a tenth of the mean input norm adds to the loss, relative to a model without "
            f"superposition, and features per dimension; means and range of {result.sizes['seed']} seeds, none left out. "
            "Middle: the same, a dot per model; dotted: equality; dashed: the square, what theory gives if no output is off."
        )
        words = f"Right: represented features per dimension after training on attacks, {trained.sizes['seed']} seeds."
        parts = [sp.plot.caption(result.attrs, text), sp.plot.caption(trained.attrs, words)]
        return publish(figure, " ".join(parts), claims, path=out / f"adversarial{suffix}").status


if __name__ == "__main__":
    run(main)
