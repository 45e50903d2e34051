"""How strongly to ask for sparsity: in a band of L1 coefficients, dictionaries that are large enough find all features.

    python figures/sae_goldilocks.py [--full] [--quick] [--width column]

Sharkey, Braun and Millidge 2022, "Taking features out of superposition with sparse autoencoders". They average the error over
the hidden layer and divide the L1 penalty by the size of the dictionary: their α is λ · n_latents / n_hidden.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import sae_goldilocks as experiment
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
    path = results / f"sae_goldilocks{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path)
    scores = sp.cached(path, experiment.scan, result, n_inputs=size.n_inputs)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(scores, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, scores)
        return publish(figure, caption, claims, path=out / f"sae_goldilocks{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
