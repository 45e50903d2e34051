"""ANDs and ORs of all pairs of bits in fewer neurons than gates, beside the naive baseline and a linear control.

    python figures/boolean_superposition.py [--full] [--quick]

Hänni, Mendel, Vaintrob and Chan 2024, "Mathematical Models of Computation in Superposition"; Newgas 2025, arXiv 2507.09816.
"""

from pathlib import Path

import matplotlib.pyplot as plt

import superpos as sp
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.boolean_superposition import judge, measure
from superpos.script import run

DENSITIES = (0.5, 0.3, 0.2, 0.1, 0.05)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    task = sp.tasks.BooleanPairs(n_features=4 if quick else 8, n_hidden=4 if quick else 12)
    steps = 30 if quick else 20_000 if full else 6_000
    config = sp.TrainConfig(steps=steps, batch_size=32 if quick else 1_024 if full else 256, learning_rate=0.01)
    densities = DENSITIES[:2] if quick else DENSITIES
    seeds = range(16 if full else 1 if quick else 3)
    grid = sp.Grid(
        operation=["and"] if quick else ["and", "or"], loss_exponent=[2, 4], feature_probability=densities, seed=seeds
    )
    path = results / f"boolean_superposition{suffix}.zarr"
    result = sp.sweep(task, config, grid, store=path, block_size=len(densities))
    table = sp.cached(path, measure, result)
    claims = Claims("Hänni et al. 2024, Mathematical Models of Computation in Superposition", judged=not quick)
    judge(table, claims)
    with sp.plot.style():
        figure, axes = plt.subplots(1, 3, figsize=(9.8, 3.1), layout="constrained")
        for q, ax in zip((2, 4), axes, strict=False):
            at = table.sel(loss_exponent=q)
            bound = at["bound"].isel(seed=0) if q == 2 else None
            sp.plot.gate_losses(at["relative"], at["linear"].isel(seed=0), bound, ax)
            ax.set_title(f"L{q}")
        sp.plot.gates_per_neuron(table["gates_per_neuron"], axes[2])
        text = (
            f"All {len(task.pairs())} pairs. Naive baseline: a neuron each for as many gates as there are neurons, the best "
            "constant for the others. Linear control: neurons may also pass features on, and gates are read off these. "
            "Dotted: the least squared error of so many hidden values. "
            "Losses are exact; a dot per seed. Right: quartiles over neurons and seeds."
        )
        return publish(
            figure, sp.plot.caption(result.attrs, text), claims, path=out / f"boolean_superposition{suffix}"
        ).status


if __name__ == "__main__":
    run(main)
