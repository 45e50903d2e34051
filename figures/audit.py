"""An exact-loss audit: every solution that figures show, polished, beside the best one that was found.

    python figures/audit.py [--full] [--quick]

Elhage et al. 2022, "Toy Models of Superposition".
"""

from pathlib import Path

import matplotlib.pyplot as plt

import superpos as sp
from superpos.claims.audit import audit, cases, judge
from superpos.experiments import Claims, publish, size_suffix
from superpos.script import run


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Audit all cases, or read the table that is kept, draw it and judge it. At full size also 80 features."""
    suffix = size_suffix(full, quick)
    chosen = cases(large=full)[: 1 if quick else None]
    settings = {"seeds": 2, "steps": 20} if quick else {"seeds": 64 if full else 16}
    table = sp.cached(results / f"audit{suffix}", audit, chosen, **settings)
    claims = Claims("Elhage et al. 2022, Toy Models of Superposition", judged=not quick)
    judge(table, claims)
    with sp.plot.style():
        figure, ax = plt.subplots(figsize=(8.2, 0.7 + 0.26 * len(chosen)), layout="constrained")
        sp.plot.audit_bars(table, ax)
        text = (
            "Exact loss of published solutions, polished to their minimum, above the best that was found: the lowest of "
            f"{table.attrs['seeds']} exact trainings and of shapes placed by importance, polished as well. On the right the "
            "share of the trainings within .2 % of it: below a tenth it is the best found, and there may be a better one."
        )
        return publish(figure, text, claims, path=out / f"audit{suffix}").status


if __name__ == "__main__":
    run(main)
