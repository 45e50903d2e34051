"""Lines fitted to examples in context: layers of attention beside steps of gradient descent.

    python figures/in_context_regression.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 3.13; von Oswald et al. 2022, "Transformers
learn in-context by gradient descent".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import in_context_regression as experiment
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
    paths = [results / f"in_context_regression{suffix}{kind}.zarr" for kind in ("", "_deep", "_softmax")]
    n_cells = len(size.examples) * len(size.noises)  # of one seed, which share a block
    result = sp.sweep(*experiment.build(size), store=paths[0], block_size=n_cells)
    deep = sp.sweep(*experiment.build_deep(size), store=paths[1], block_size=1)
    softmax = sp.sweep(*experiment.build_softmax(size), store=paths[2], block_size=1)
    table = sp.cached(paths[0], experiment.measure, result, n_sequences=size.sequences)
    of_deep = sp.cached(paths[1], experiment.measure_deep, deep, n_sequences=size.sequences)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, of_deep, softmax["loss"], experiment.opposite_heads(softmax), claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table, of_deep, softmax["loss"])
        return publish(figure, caption, claims, path=out / f"in_context_regression{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
