"""An exact-loss audit: every solution that figures show, polished, beside the best one that was found.

    python figures/audit.py [--full] [--quick] [--width column]

Elhage et al. 2022, "Toy Models of Superposition".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import audit as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Audit all cases, or read the cached table, draw it and judge it. At full size also 80 features."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    cases = experiment.build(size)
    table = sp.cached(results / f"audit{suffix}", experiment.audit, cases, seeds=size.seeds, steps=size.steps)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(table)
        return publish(figure, caption, claims, path=out / f"audit{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
