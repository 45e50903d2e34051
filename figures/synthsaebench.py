"""SynthSAEBench: which architecture finds the features of a realistic world, at its published size or as a miniature.

    python figures/synthsaebench.py [--full] [--quick] [--width column]

Chanin and Garriga-Alonso 2026, "SynthSAEBench: Evaluating Sparse Autoencoders on Scalable Realistic Synthetic Data",
arXiv:2602.14687.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import synthsaebench as experiment
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
    path = results / f"synthsaebench{suffix}.zarr"
    world = experiment.world_of(size)
    result = sp.sweep(*experiment.build(size, world), store=path)
    table = sp.cached(path, experiment.measure, result, size.n_inputs, size.k)
    probes = sp.cached(path, experiment.probe, world, size.n_latents, size.probe_inputs)
    probe_f1 = float(probes["f1"].mean())
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, probe_f1, size, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table, world, probe_f1, size)
        return publish(figure, caption, claims, path=out / f"synthsaebench{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
