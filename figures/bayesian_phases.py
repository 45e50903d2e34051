"""Bayesian phases: which polygon a posterior holds, by number of data, and where training ends instead.

    python figures/bayesian_phases.py [--full] [--quick] [--width column]

Chen et al. 2023, "Dynamical versus Bayesian Phase Transitions in a Toy Model of Superposition".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import bayesian_phases as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Train or load the models, sample the posterior, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    minima = {n: sp.landscapes.polygon_minima(n) for n in size.features}
    sweeps = {
        n: sp.sweep(*planned, store=results / f"bayesian_phases_{n}{suffix}.zarr")
        for n, planned in experiment.build(size).items()
    }
    ends = {n: experiment.learned(result, minima[n]) for n, result in sweeps.items()}
    posterior = sp.cached(results / f"bayesian_phases{suffix}", experiment.sampled, size)
    by_sampling = sp.cached(results / f"bayesian_phases{suffix}", experiment.coefficients, size)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(minima, ends, posterior, by_sampling, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(minima, ends, posterior, sweeps[experiment.N].attrs)
        return publish(figure, caption, claims, path=out / f"bayesian_phases{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
