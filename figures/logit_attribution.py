"""Direct logit attribution beside ablation: the head that it misses, and the way by which its effect goes.

    python figures/logit_attribution.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 3.27.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import logit_attribution as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path = results / f"logit_attribution{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path, block_size=1)
    table = sp.cached(path, experiment.measure, result, n_sequences=size.n_sequences)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table)
        return publish(figure, caption, claims, path=out / f"logit_attribution{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
