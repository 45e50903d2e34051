"""Sparse autoencoders take the true directions back out of a toy model: a pentagon, and a square antiprism.

python figures/sae_recovery.py [--full] [--quick] [--width column]
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import sae_recovery as experiment
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
    toys, toy_shapes, chance, scored = {}, {}, {}, {}
    for case in experiment.cases(size):
        m = case.n_hidden
        path = results / f"sae_recovery_toy{m}{suffix}.zarr"
        models = sp.sweep(*experiment.build_toys(size, case), store=path, block_size=1)
        toys[m] = experiment.examples(models, experiment.SHAPES[m], case.seeds)
        toy_shapes[m] = models.geometry()["shape"].values.tolist()
        chance[m] = experiment.random_scores(toys[m][0], experiment.N_FEATURES[m])
        scored[m] = {}
        for name in case.architectures:
            path = results / f"sae_recovery_{name}{m}{suffix}.zarr"
            result = sp.sweep(*experiment.build(size, case, name, toys[m]), store=path, block_size=1)
            scored[m][name] = experiment.Scored(result, sp.cached(path, sp.SweepResult.sae_scores, result))
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(scored, toy_shapes, chance, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(scored, toys, chance)
        return publish(figure, caption, claims, path=out / f"sae_recovery{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
