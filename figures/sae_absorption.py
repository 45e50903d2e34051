"""Absorption: where a child feature implies its parent, sparse dictionaries let the child's latent speak for both.

    python figures/sae_absorption.py [--full] [--quick]

Chanin et al. 2024, "A is for Absorption"; Bussmann et al. 2025, "Learning Multi-Level Features with Matryoshka SAEs".
"""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import superpos as sp
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.sae_absorption import NAMES, family_cosines, judge, over_sources
from superpos.plot.absorption import absorption_figure
from superpos.script import run

SHOWN, K = ("batch_topk", "matryoshka"), 1.0  # dictionaries that are drawn


def build(kind: str, tree: bool, full: bool, quick: bool) -> tuple:
    """Families of a parent and three children, at most one of them active; or features as frequent, but independent."""
    families = 16 if full else 2 if quick else 4
    parents = tuple(-1 if i % 4 == 0 else i - i % 4 for i in range(4 * families))
    p = np.tile([0.6, 0.16, 0.16, 0.16], families) / families
    task = sp.tasks.SparseAutoencoder(
        n_features=4 * families, n_hidden=12 * families, n_latents=8 * families, feature_probability=p,
        magnitude="constant", architecture=kind, parents=parents if tree else (), exclusive_children=tree,
        resample_every=500 if full else 200,
    )  # fmt: skip
    name = "sparsity_coefficient" if kind == "relu" else "k"
    values = {"relu": [0.005, 0.02, 0.05, 0.2, 0.6], "topk": [1, 2, 4, 8]}.get(kind, [0.5, 0.75, 1, 1.5, 2.5])
    values, sources = ([1], 1) if quick else (values if tree or full else values[::2], 6 if tree else 3)
    steps = 10_000 if full else 30 if quick else 2_000
    config = sp.TrainConfig(steps=steps, batch_size=1024 if full else 128)
    axes: dict[str, Any] = {name: values, "source": range(sources)}
    return task, config, sp.Grid(**axes), parents


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    found, shown, attrs, parents = {True: {}, False: {}}, {}, {}, ()
    for kind, tree in product(["batch_topk"] if quick else NAMES, [True] if quick else [False, True]):
        task, config, grid, parents = build(kind, tree, full, quick)
        path = results / f"sae_absorption_{kind}_{'tree' if tree else 'flat'}{suffix}.zarr"
        result = sp.sweep(task, config, grid, store=path)
        found[tree][kind] = sp.cached(
            path, sp.SweepResult.sae_scores, result, parents=parents, n_inputs=512 if quick else 4096
        )
        if tree and kind in SHOWN:
            cell, attrs = result.sel(k=K, source=0), result.attrs
            shown[kind] = family_cosines(cell.task(), cell.model())
    claims = Claims("Chanin et al. 2024, A is for Absorption; Bussmann et al. 2025", judged=not quick)
    judge(found[True], found[False], claims)
    true, n = float(found[True]["batch_topk"]["l0_true"].mean()), grid.axes["source"].values.size
    tree, flat = ({kind: over_sources(table) for kind, table in found[has].items()} for has in (True, False))
    with sp.plot.style():
        figure = absorption_figure(tree, flat, shown, parents, NAMES, true)
        text = (
            "Top: absorption of parents, and splitting, against active latents (of λ for ReLU, else of k); means over up to "
            f"{n} sets of random directions, with standard errors. Dashed: active features, {true:.2f}; dotted: independent "
            f"features, as frequent. Bottom: cosines of features (P: parents, c: children) and matched latents, k = {K:g}."
        )
        task = {name: value for name, value in attrs["task"].items() if name != "architecture"}
        caption = sp.plot.caption({**attrs, "task": task}, text)
        return publish(figure, caption, claims, path=out / f"sae_absorption{suffix}").status


if __name__ == "__main__":
    run(main)
