"""Transcoders of a layer that computes |x|: a pair of latents for every feature, whatever the neurons share.

    python figures/transcoders.py [--full] [--quick] [--width column]

Dunefsky et al. 2024, "Transcoders Find Interpretable LLM Feature Circuits"; Paulo et al. 2025 (skip transcoders).
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import transcoders as experiment
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
    layers, read, tables = {}, {}, {}
    for n_neurons in size.layers:
        path = results / f"transcoders{suffix}_{n_neurons}.zarr"
        trained = results / f"transcoders{suffix}_{n_neurons}_layers.zarr"
        layers[n_neurons] = sp.sweep(*experiment.build_layers(size, n_neurons), store=trained, block_size=1)
        read[n_neurons] = sp.sweep(*experiment.build(size, layers[n_neurons]), store=path, block_size=1)
        tables[n_neurons] = sp.cached(path, experiment.measure, read[n_neurons])
    path = results / f"transcoders{suffix}_half.zarr"
    half_result = sp.sweep(*experiment.build_half(size, layers[experiment.ENOUGH]), store=path, block_size=1)
    half = sp.cached(path, experiment.measure, half_result)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(layers, tables, half, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(layers, read, tables, half)
        return publish(figure, caption, claims, path=out / f"transcoders{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
