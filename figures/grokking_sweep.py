"""When grokking comes: seeds × weight decays, and shares of the pairs that train, in two sweeps.

    python figures/grokking_sweep.py [--full] [--quick]

Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability", appendix D; Power et al. 2022.
"""

from dataclasses import replace
from pathlib import Path

import superpos as sp
from superpos.analysis.generalisation import milestones
from superpos.analysis.grokking import circuits_of
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.grokking_sweep import SEEDS, judge, judge_circuits
from superpos.plot.generalisation import grokking_sweep
from superpos.script import run

DECAYS = (0.0, 0.5, 1.0, 1.5)
FRACTIONS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SIZES = {"p": 31, "d_model": 48, "d_mlp": 128, "train_fraction": 0.5}
LARGE = {"p": 59, "d_model": 64, "d_mlp": 256, "train_fraction": 0.4}
TINY = {"p": 11, "d_model": 8, "n_heads": 2, "d_mlp": 16, "train_fraction": 0.5}
SHOWN = 1.0  # the weight decay whose curves are drawn, and that of the second sweep


def histories(result: sp.SweepResult) -> list:
    """Test and training accuracies of some seeds over (seed, step)."""
    named = [result[f"{name}_history"].rename(record="step") for name in ("test_accuracy", "accuracy")]
    return [h.assign_coords(step=result.dataset["record_step"].values) for h in named]


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the two sweeps, or train them, draw the figure and judge it."""
    suffix, steps = size_suffix(full, quick), 20 if quick else 20_000 if full else 4_000
    # The paper's model is too much work for so many of them.
    task = sp.tasks.ModularAddition(**(TINY if quick else LARGE if full else SIZES))
    config = sp.TrainConfig(steps=steps, learning_rate=2e-3, schedule="constant", warmup_steps=10, decay_bias=True)
    seeds = range(2 if quick else 32)
    path, data_path = (results / f"grokking_{name}{suffix}.zarr" for name in ("sweep", "data"))
    shares, block_size = FRACTIONS[:: 3 if quick else 1], 1 if quick else 2
    few, many = (
        task if quick else replace(task, gradient_pairs=round(x * task.p**2))
        for x in (task.train_fraction, max(shares))
    )
    grid = sp.Grid(weight_decay=DECAYS[:: 2 if quick else 1], seed=seeds)
    decays = sp.sweep(few, config, grid, path, block_size=block_size)
    grid = sp.Grid(train_fraction=shares, seed=seeds[: 2 if quick else 4])
    data = sp.sweep(many, replace(config, weight_decay=SHOWN), grid, data_path, block_size=1)
    times, fractions = milestones(decays), milestones(data).assign_attrs(weight_decay=SHOWN)
    claims = Claims("Nanda et al. 2023, appendix D; Power et al. 2022", judged=not quick)
    judge(times, fractions, claims)
    ten = decays.sel(weight_decay=SHOWN, method="nearest").isel(seed=slice(SEEDS))
    of_ten = times["generalised"].sel(weight_decay=SHOWN, method="nearest").isel(seed=slice(SEEDS))
    judge_circuits(sp.cached(path, circuits_of, ten), of_ten, claims)
    with sp.plot.style():
        curves = histories(decays.sel(weight_decay=SHOWN, method="nearest"))
        figure, text = grokking_sweep(times, fractions, curves, SHOWN)
        text = sp.plot.caption(decays.attrs, f"{text} {len(seeds)} seeds at the top and left. Settings:")
        return publish(figure, text, claims, path=out / f"grokking_sweep{suffix}").status


if __name__ == "__main__":
    run(main)
