"""Absorption: where a child feature implies its parent, sparse dictionaries let the child's latent speak for both.

    python figures/sae_absorption.py [--full] [--quick] [--width column]

Chanin et al. 2024, "A is for Absorption"; Bussmann et al. 2025, "Learning Multi-Level Features with Matryoshka SAEs".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import sae_absorption as experiment
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
    options = {"parents": experiment.parents_of(size), "n_inputs": size.n_inputs}

    def train(kind: str, tree: bool) -> tuple:
        path = results / f"sae_absorption_{kind}_{'tree' if tree else 'flat'}{suffix}.zarr"
        result = sp.sweep(*experiment.build(size, kind, tree=tree), store=path)
        return result, sp.cached(path, sp.SweepResult.sae_scores, result, **options)

    flat = {kind: train(kind, tree=False)[1] for kind in size.flat_sparsities}
    swept = {kind: train(kind, tree=True) for kind in size.tree_sparsities}
    trees = {kind: scores for kind, (_, scores) in swept.items()}
    drawn = {kind: swept[kind][0] for kind in experiment.DRAWN if kind in swept}
    maps = {kind: experiment.family_map_of(result) for kind, result in drawn.items()}
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(trees, flat, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(list(drawn.values())[-1], trees, flat, maps, size)
        return publish(figure, caption, claims, path=out / f"sae_absorption{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
