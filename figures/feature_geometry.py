"""Where dimensionality sticks: D* and D_i against 1/(1 − S) for equally important features.

    python figures/feature_geometry.py [--full] [--quick]

Elhage et al. 2022, "The Geometry of Superposition".
"""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt

import superpos as sp
from superpos.claims.uniform import benefit_table, checked, judge, structures_in
from superpos.experiments import Claims, publish, size_suffix
from superpos.script import run

SWEEPS = Path(__file__).parents[1] / "sweeps"


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    build = runpy.run_path(str(SWEEPS / "uniform_geometry.py"))["build"]
    suffix = size_suffix(full, quick)
    path = results / f"uniform_geometry{suffix}.zarr"
    result = sp.sweep(*build(full=full, quick=quick), store=path)
    table, p = sp.cached(path, sp.SweepResult.geometry, result), result["feature_probability"].values
    known = structures_in(sp.cached(path, benefit_table, p[checked(p)]))
    claims = Claims("Elhage et al. 2022, The Geometry of Superposition", judged=not quick)
    judge(result, table, known, claims)
    with sp.plot.style():
        figure, (above, below) = plt.subplots(2, 1, figsize=(6.6, 5.6), sharex=True, height_ratios=(1, 1.9))
        for seed in table["seed"].values:
            sp.plot.d_star(table["d_star"].sel(seed=seed), above)
        above.set_xlabel("")
        sp.plot.dimensionality(table["dimensionality"], below)
        text = "Top: hidden dimensions per feature, a line per seed. Bottom: dimensionality of every feature of all "
        text += f"{len(table['seed'])} seeds, none left out; lines: known shapes."
        return publish(
            figure, sp.plot.caption(result.attrs, text), claims, path=out / f"feature_geometry{suffix}"
        ).status


if __name__ == "__main__":
    run(main)
