"""The asymmetric superposition motif in a trained model, the neuron that inhibits its interference, and what they are worth.

    python figures/neuron_circuits.py [--full] [--quick] [--width column]

Elhage et al. 2022, "Computation in Superposition", "The Asymmetric Superposition Motif".
"""

from pathlib import Path

import superpos as sp
from superpos.analysis import asymmetric_motifs, circuit
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import neuron_circuits as experiment
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
    path = results / f"neuron_circuits{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path, block_size=size.block_size)
    best = result.best("seed")
    silenced = experiment.silence(best, asymmetric_motifs(circuit(best.model())), size.ablation_batches)
    by_seed = sp.cached(path, experiment.motifs_by_seed, result)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(best, silenced, by_seed, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, silenced)
        return publish(figure, caption, claims, path=out / f"neuron_circuits{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
