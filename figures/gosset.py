"""Gosset's polytopes: what every structure gains per hidden dimension as features get sparser, and what training finds.

    python figures/gosset.py [--full] [--quick]

Elhage et al. 2022, "The Geometry of Superposition", carried on past the square antiprism.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.claims import gosset as g
from superpos.experiments import Claims, publish, size_suffix
from superpos.script import run


def trained(setting: g.Setting, path: Path, quick: bool, order: int = 64) -> tuple:
    """A sweep, and what was measured of it."""
    result = sp.sweep(*g.setup(setting, quick), store=path)
    return result, sp.cached(path, g.measured, result, order=8 if quick else order)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Train or load all models, compute all curves, draw the figure and judge it."""
    suffix, more = size_suffix(full, quick), {"seeds": 64} if full else {}
    path = results / f"gosset{suffix}"
    settings = {name: setting._replace(**more) for name, setting in (*g.SETTINGS.items(), ("solids", g.SOLIDS))}
    if quick:
        settings = {name: settings[name] for name in ("pentagon", "solids")}
    tables = {
        name: trained(setting, results / f"gosset_{name.replace(' ', '_')}{suffix}.zarr", quick)[1]
        for name, setting in settings.items()
    }
    solids = tables.pop("solids")
    result, large = trained(g.LARGE, results / f"gosset_large{suffix}.zarr", quick, order=16)
    x = np.geomspace(1.05, 100, 5 if quick else 61)
    lines = sp.cached(path, g.curves, x, order=8 if quick else 64)
    at = np.unique(np.concatenate([t["x"].values for t in (*tables.values(), large)]).round(6))
    exact = None if quick else sp.cached(results / f"gosset_exact{suffix}", g.curves, at)
    found = None if quick else sp.cached(path, g.ranges, 1.05, 100.0)
    claims = Claims("Beyond Elhage et al. 2022, The Geometry of Superposition", judged=not quick)
    g.judge(tables, exact, solids, large, found, claims)
    with sp.plot.style():
        layout = {"height_ratios": (0.09, 1), "sharex": True, "layout": "constrained"}
        figure, (band, ax) = plt.subplots(2, 1, figsize=(7.6, 5.4), **layout)
        columns = [] if found is None else [found[c].values.tolist() for c in ("start", "stop", "winner")]
        sp.plot.winners_band(list(zip(*columns, strict=True)), band)
        sp.plot.benefits_by_sparsity(x, {n: lines["benefit"].sel(structure=n).values for n in g.CURVES}, ax)
        for name, table in tables.items():
            share, benefit = g.on_curve(name, table)
            sp.plot.trained_on_curves(name, table["x"].values, benefit, share, ax)
        there = np.repeat(large["x"].values, large.sizes["seed"])
        ax.plot(there, large["benefit"].values.ravel(), "k^", ms=4, mfc="none", label="trained, 200 → 20")
        ax.set(xlim=(1.05, 100), ylim=(0.9, 5.4))
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        sizes = [f"{settings[n].n_features}→{settings[n].n_hidden} ({t.sizes['seed']})" for n, t in tables.items()]
        narrow = [name for start, stop, name in zip(*columns, strict=True) if stop < 1.4 * start]
        text = (
            "Lines: what each structure gains per hidden dimension at its best, exactly; v is what a feature left out costs. "
            "Discs: models trained on the population loss; their area is the share of the seeds that found the structure. "
            f"Sizes (seeds): {', '.join(sizes)}. Triangles: {large.sizes['seed']} trained models of the size below. Above: "
            f"the winner among all known structures; without a name, from the left: {', '.join(narrow)}."
        )
        return publish(figure, sp.plot.caption(result.attrs, text), claims, path=out / f"gosset{suffix}").status


if __name__ == "__main__":
    run(main)
