"""Two hidden layers compute what one cannot: sparse models share the neurons of the first layer, not of the second.

    python figures/two_hidden_layers.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 4.14.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import two_hidden_layers as experiment
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
    paths = [results / f"two_hidden_layers{suffix}.zarr", results / f"two_hidden_layers{suffix}_one.zarr"]
    two = sp.sweep(*experiment.build(size), store=paths[0], block_size=len(size.densities))
    one = sp.sweep(*experiment.build_one(size), store=paths[1], block_size=len(size.densities))
    table = experiment.measure(two, one, size.evaluation_samples)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, size, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(table, two.attrs, size)
        return publish(figure, caption, claims, path=out / f"two_hidden_layers{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
