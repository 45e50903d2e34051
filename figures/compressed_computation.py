"""Compressed computation beside the naive baseline: squared and fourth-power loss, with and without label noise.

    python figures/compressed_computation.py [--full] [--quick]

Braun et al. 2025, "Interpretability in Parameter Space"; Bhagat et al. 2026, "Compressed Computation is (probably) not
Computation in Superposition"; FranciscoHS, "Compressed Computation under L⁴ Loss is likely Computation in Superposition".
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

import superpos as sp
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.compressed_computation import judge, judge_across, measure
from superpos.script import run

SOURCE = "Bhagat et al. 2026, Compressed Computation is (probably) not Computation in Superposition"
NOISE = 0.03
DENSITIES = (0.3, 0.1, 0.03, 0.01)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    path = str(results / f"compressed_computation{suffix}")
    n, few = (8, 8) if quick else (100, 40 if full else 20)  # few shapes in a quick look: every one is compiled
    task = sp.tasks.ResidualMLP(n_features=n, n_hidden=n // 2, feature_probability=0.02, init_scale=0.5)
    config = sp.TrainConfig(steps=100_000 if full else 3_000, batch_size=8_192 if full else 512)
    if quick:
        config = sp.TrainConfig(steps=30, batch_size=64, evaluation_samples=1_024)
    seeds, exponents = range(10 if full else 1 if quick else 3), [2, 4]
    densities = DENSITIES[::2] if quick else DENSITIES

    def measured(name: str, task: sp.tasks.ResidualMLP, config: sp.TrainConfig, block: int, **axes: Any) -> xr.Dataset:
        result = sp.sweep(task, config, sp.Grid(**axes), f"{path}{name}.zarr", block_size=block)
        return sp.cached(f"{path}{name}", measure, result).assign_attrs(result.attrs)

    table = measured("", task, config, 1, loss_exponent=exponents, label_noise=[0.0, NOISE], seed=seeds)
    # Random directions of a stream that is ten times as wide as there are features, as published.
    wide, some = replace(task, n_residual=10 * n), [2] if quick else exponents
    embedded = measured("_embedded", wide, config, 1, loss_exponent=some, seed=seeds[:2])["relative"]
    sizes = [few // 2] if quick else [few // 4, few // 2, 3 * few // 4]
    less = config if full or quick else replace(config, steps=2_000, batch_size=256)
    tasks = [replace(task, n_features=few, n_hidden=few // 2, n_residual=d) for d in (0, 10 * few)]
    how: Any = {"block": 1 if quick else len(densities), "feature_probability": densities}
    clean = measured("_sizes", tasks[0], less, loss_exponent=exponents, n_hidden=sizes, **how)
    noisy = measured("_sizes_embedded", tasks[1], less, loss_exponent=some, **how).expand_dims(n_hidden=[few // 2])
    parts = [t[["relative", "linear"]].expand_dims(n_residual=[d]) for t, d in ((clean, 0), (noisy, 10 * few))]
    across = xr.concat(parts, "n_residual", join="outer", combine_attrs="drop")
    claims = Claims(SOURCE, judged=not quick)
    judge(table["relative"], table["linear"], claims)
    judge_across(across, embedded, claims)
    with sp.plot.style():
        figure = sp.plot.compressed_computation(table, embedded, across)
        text = (
            "Top left: loss over that of a neuron each for as many features as there are neurons, with the same labels, a "
            "dot per seed; linear control: half of every input passed on; embedded: features are random directions of a "
            f"stream of {10 * n} dimensions. Top right: what the hidden layer adds to each output for its own input alone; "
            f"dashed: ReLU. Bottom: {few} features, one seed, by density and number of neurons, with clean labels and "
            f"embedded in {10 * few} dimensions ({less.steps:,} steps, batch {less.batch_size:,})."
        )
        caption = sp.plot.caption(table.attrs, text)
        return publish(figure, caption, claims, path=out / f"compressed_computation{suffix}").status


if __name__ == "__main__":
    run(main)
