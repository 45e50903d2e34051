"""How features are learned: jumps between energy levels, geometric transformations, logistic growth.

    python figures/learning_dynamics.py [--full] [--quick]

Elhage et al. 2022, "Superposition and Learning Dynamics".
"""

from pathlib import Path
from typing import Any

import numpy as np

import superpos as sp
from superpos.analysis.dynamics import even_stages
from superpos.claims.learning_dynamics import growth, judge_growth, judge_levels, judge_transformation, trajectories
from superpos.experiments import Claims, publish, size_suffix
from superpos.plot.figures import learning_dynamics
from superpos.script import run

TRIPLES = ((0, 1, 2), (3, 4, 5))


def build(full: bool, quick: bool) -> dict[str, tuple]:
    """Task, training and grid of the three experiments, all on the population loss and with weights kept on the way."""

    def config(steps: int, points: int, log: bool = False, **settings) -> sp.TrainConfig:
        at = np.append(0, np.geomspace(1, steps, points)) if log else np.linspace(0, steps, points + 1)
        kept = tuple(np.unique(at.astype(int)).tolist())
        return sp.TrainConfig(steps=steps, snapshots=kept, history=1, schedule="constant", **settings)

    n, m, steps = (40, 6, 1_000) if full else (8, 2, 60) if quick else (20, 4, 1_000)
    exact: dict[str, Any] = {"objective": "expected", "feature_probability": 1 / 3, "init_scale": 0.02}
    many = sp.tasks.Toy(n_features=n, n_hidden=m, **exact)
    exact |= {"feature_probability": 0.03}
    if quick:  # features that are 0 or 1, sampled: the population loss of sets takes long to compile
        exact |= {"objective": "sampled", "magnitude": "constant"}
    triples = sp.tasks.Toy(n_features=6, n_hidden=3, correlated_sets=TRIPLES, **exact)
    exact |= {"feature_probability": 0.2, "objective": "expected"}
    lone = sp.tasks.Toy(n_features=1, n_hidden=1, activation="identity", **exact)

    def seeds(usual: int) -> sp.Grid:
        return sp.Grid(seed=range(1 if quick else 4 * usual if full else usual))

    each = sp.Grid(bias=[False, True], importance=[1.0, 0.5, 0.25], seed=[0])
    return {
        # Plain gradient descent rests on plateaus, which Adam hurries over; their lengths differ by orders of magnitude.
        "levels": (many, config(4 * steps, 200, log=True, learning_rate=3.0, optimizer="sgd"), seeds(8)),
        "triples": (triples, config(steps, 200, learning_rate=2e-3), seeds(16)),
        "growth": (lone, config(100 if quick else 2_000, 400, learning_rate=0.1, optimizer="sgd"), each),
    }


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix, found = size_suffix(full, quick), {}
    for name, how in build(full, quick).items():
        store = results / f"dynamics_{name}{suffix}.zarr"
        found[name] = sp.sweep(*how, store=store, block_size=3 if name == "growth" else 1)
    claims = Claims("Elhage et al. 2022, Superposition and Learning Dynamics", judged=not quick)
    levels = sp.cached(results / f"dynamics_levels{suffix}.zarr", trajectories, found["levels"])
    judge_levels(levels, claims)
    shown = levels.sel(seed=int(found["levels"].best("seed")["seed"]))
    judge_transformation(found["triples"], claims)
    judge_growth(grown := growth(found["growth"].isel(seed=0)), claims)
    way = found["triples"].best("seed")["W_snapshots"].transpose("snapshot", "hidden", "feature")
    with sp.plot.style():
        stages, frames = even_stages(way, 6), even_stages(way, 10 if quick else 48)
        figure, caption, animation = learning_dynamics(found, shown, grown, stages, frames)
        return publish(figure, caption, claims, path=out / f"learning_dynamics{suffix}", animation=animation).status


if __name__ == "__main__":
    run(main)
