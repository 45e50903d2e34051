"""Whether neurons serve one feature can hang on where biases start, and on the kind of noise in the hidden layer.

    python figures/bias_and_noise.py [--full] [--quick] [--width column]

Jermyn et al. 2022, "Engineering Monosemanticity in Toy Models"; Lecomte et al. 2023, "What Causes Polysemanticity?".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import bias_and_noise as experiment
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
    paths = [results / f"bias_and_noise{suffix}.zarr", results / f"bias_and_noise{suffix}_noise.zarr"]
    decoders = sp.sweep(*experiment.build(size), store=paths[0], block_size=len(size.biases))
    noisy = sp.sweep(*experiment.build_noise(size), store=paths[1], block_size=1)
    table = sp.cached(paths[0], experiment.measure, decoders)
    spread = sp.cached(paths[1], experiment.measure_noise, noisy)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(decoders, table, spread, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(decoders, table, spread)
        return publish(figure, caption, claims, path=out / f"bias_and_noise{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
