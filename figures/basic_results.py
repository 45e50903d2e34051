"""Linear against ReLU: what is represented and what is in superposition, as features get sparser.

    python figures/basic_results.py [--full] [--quick] [--width column]

Elhage et al. 2022, "Demonstrating Superposition", "Basic Results".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import basic_results as experiment
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
    sweeps = {
        name: sp.sweep(*planned, store=results / f"basic_results_{name}{suffix}.zarr")
        for name, planned in experiment.build(size).items()
    }
    audited = None
    if not quick:
        relu = sweeps["20_5"].best("seed").sel(activation="relu")
        audited = sp.cached(results / f"basic_results_20_5{suffix}.zarr", experiment.audit, relu)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(sweeps, audited, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(sweeps)
        return publish(figure, caption, claims, path=out / f"basic_results{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
