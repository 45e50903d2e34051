"""Compressed computation beside the naive baseline: squared and fourth-power loss, with and without label noise.

    python figures/compressed_computation.py [--full] [--quick]

Braun et al. 2025, "Interpretability in Parameter Space"; Bhagat et al. 2026, "Compressed Computation is (probably) not
Computation in Superposition"; FranciscoHS, "Compressed Computation under L⁴ Loss is likely Computation in Superposition".
"""

from pathlib import Path

import matplotlib.pyplot as plt

import superpos as sp
from superpos.claims import Claims
from superpos.claims.compressed_computation import judge, measure
from superpos.cli import run

NOISE = 0.03


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> None:
    """Load the sweep, or train it, draw the figure and judge it."""
    suffix = sp.plot.size_suffix(full, quick)
    n = 10 if quick else 100
    task = sp.tasks.ResidualMLP(n_features=n, n_hidden=n // 2, feature_probability=0.02, init_scale=0.5)
    steps = 30 if quick else 100_000 if full else 3_000
    config = sp.TrainConfig(steps=steps, batch_size=8_192 if full else 512)
    if quick:
        config = sp.TrainConfig(steps=steps, batch_size=64, evaluation_samples=1_024)
    seeds = range(10 if full else 1 if quick else 3)
    grid = sp.Grid(loss_exponent=[2, 4], label_noise=[0.0, NOISE], seed=seeds)
    path = results / f"compressed_computation{suffix}.zarr"
    result = sp.sweep(task, config, grid, store=path, block_size=1)
    table = sp.kept(path, measure, result)
    claims = Claims(
        "Bhagat et al. 2026, Compressed Computation is (probably) not Computation in Superposition", not quick
    )
    judge(table["relative"], table["linear"], claims)
    with sp.plot.style():
        figure, axes = plt.subplots(1, 3, figsize=(9.4, 3.0), layout="constrained")
        sp.plot.loss_over_naive(table["relative"], axes[0], linear=table["linear"])
        for q, ax in zip((2, 4), axes[1:], strict=True):
            sp.plot.responses(table["response"].sel(loss_exponent=q, label_noise=0).isel(seed=0), ax)
            ax.set_title(f"L{q}, clean labels")
        text = (
            "Left: loss over that of a neuron each for as many features as there are neurons, with the same labels, a dot "
            "per seed; linear control: half of every input passed on. "
            "Right: what the hidden layer adds to each output for its own input alone; dashed: ReLU."
        )
        sp.plot.publish(
            figure, sp.plot.caption(result.attrs, text), claims, path=out / f"compressed_computation{suffix}"
        )


if __name__ == "__main__":
    run(main)
