"""Induction heads: two layers learn to look up what followed last time, one layer cannot, and a fixed distance is a trap.

    python figures/induction_heads.py [--full] [--quick] [--width column]

Olsson et al. 2022, "In-context Learning and Induction Heads".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import induction_heads as experiment
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
    path = results / f"induction_heads{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path, block_size=1)
    trap_path = results / f"induction_heads_trap{suffix}.zarr"
    trap = sp.sweep(*experiment.build_trap(size), store=trap_path, block_size=1)
    options = {} if size.n_sequences is None else {"n_sequences": size.n_sequences}
    middle = size.middle_period
    periods = [round(middle * k / 6) for k in (2, 3, 4, 5, 6, 7, 8, 9, 10)]
    table = sp.cached(path, experiment.through_training, result, **options)
    tests = sp.cached(path, experiment.by_period, result, trap, periods, **options)
    ablated = experiment.without_heads_of(result, path, **options)
    best = result.sel(n_layers=2).best("seed"), trap.best("seed")
    patterns = sp.cached(path, experiment.drawn_patterns, *best, round(middle * 3 / 4), **options)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(result, table, tests, [*ablated.values()], claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table, tests, ablated, patterns)
        return publish(figure, caption, claims, path=out / f"induction_heads{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
