"""Explained variance or the right features? Hundreds of sparse autoencoders on one toy model whose features are known.

    python figures/sae_pareto.py [--full] [--quick] [--width column]

Chanin and Garriga-Alonso 2025, "Sparse but Wrong", ask what reconstruction hides; here the truth is at hand.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import sae_pareto as experiment
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
    toys = sp.sweep(*experiment.build_toys(size), store=results / f"sae_toy{suffix}.zarr", block_size=1)
    best_toy = toys.best("seed")
    path = results / f"sae_pareto{suffix}.zarr"
    result = sp.sweep(*experiment.build(size, best_toy), store=path)
    W, p = best_toy["W"], experiment.DENSITY
    table = sp.cached(path, sp.SweepResult.sae_scores, result, n_inputs=size.n_inputs)
    optimised = sp.cached(path, experiment.pursued, result, n_inputs=size.pursuit_inputs)
    probes = sp.cached(path, experiment.probe_table, W, p=p, n_inputs=size.probe_inputs)
    controls = sp.cached(path, experiment.control_table, W, p=p, n_inputs=size.n_inputs)
    table, optimised = experiment.by_setting(table), experiment.by_setting(optimised)
    bound = experiment.most_f1_of_one_latent(p, W.sizes["feature"])
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, optimised, controls, probes["f1"].values, bound, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table, optimised, controls, float(probes["f1"].mean()))
        return publish(figure, caption, claims, path=out / f"sae_pareto{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
