"""Grokking: a transformer memorises sums modulo p, and long afterwards computes them with a few frequencies.

    python figures/grokking.py [--full] [--quick]

Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability".
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import superpos as sp
from superpos.analysis import fourier
from superpos.analysis.grokking import circuits_of, progress_of, tests_of
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.grokking import judge
from superpos.plot.grokking import grokking
from superpos.script import run

SMALL = {"p": 59, "d_model": 64, "n_heads": 4, "d_mlp": 256, "train_fraction": 0.4}
TINY = {"p": 11, "d_model": 8, "n_heads": 2, "d_mlp": 16, "train_fraction": 0.4}


def setting(full: bool, quick: bool) -> tuple[sp.tasks.ModularAddition, sp.TrainConfig]:
    """The paper's model and training, a smaller one, and one for a quick look.

    The paper trains for 40,000 steps; its clean-up ends at 14,000, and the rate is constant, so nothing else differs.
    """
    steps, sizes = (20, TINY) if quick else (14_000, {}) if full else (6_000, SMALL)
    task = sp.tasks.ModularAddition(**sizes)
    task = replace(task, gradient_pairs=round(task.train_fraction * task.p**2), test_pairs=None if quick else 1_000)
    points = tuple(int(t) for t in np.linspace(0, steps, 5 if quick else 101))
    # As published, everything decays; with undecayed biases the small model takes longer.
    config = sp.TrainConfig(steps=steps, schedule="constant", warmup_steps=10, decay_bias=True, snapshots=points)
    return task, replace(config, learning_rate=1e-3 if full else 2e-3)


def draw(result: sp.SweepResult, path: str, out: Path, full: bool, quick: bool) -> int:
    """Analyse the models, and the one of lowest test loss closely; draw the figure and judge it."""
    decay, none = result["weight_decay"].values
    decayed, plain = result.sel(weight_decay=decay), result.sel(weight_decay=none)
    grokked = decayed.best("seed")  # a rule that looks at nothing that is claimed of the circuit
    task: Any = grokked.task()
    model, seed = grokked.model(), int(grokked["seed"])
    table, seeds = sp.cached(path, progress_of, grokked), sp.cached(path, circuits_of, decayed)
    control = tests_of(plain)
    claims = Claims("Nanda et al. 2023, Progress measures for grokking", judged=not quick)
    judge(table, control, claims, seeds, full=full)
    keys = table["key"].values
    best = [int(np.where(table["neuron_frequency"] == k, table["neuron_explained"], -1).argmax()) for k in keys]
    waves = np.asarray(task.neurons(model)).reshape(task.p, task.p, -1).mean(axis=1)[:, best].T
    logits = np.asarray(task.logits(model))[:, 0].reshape(task.p, task.p)
    strongest = int(keys[table["embedding_energy"].values[keys].argmax()])
    plane = fourier.key_plane(model.W_E[: task.p], strongest)
    with sp.plot.style():
        figure, text = grokking(table, control.sel(seed=seed), (waves, keys), logits, (plane, strongest))
        text += f" Weight decay {decay:g} ({none:g} for the dotted lines, means over {task.test_pairs or 'all'} test pairs); "
        text += f"seed {seed}, of lowest final test loss among {len(seeds['seed'])}. Settings:"
        return publish(figure, sp.plot.caption(grokked.attrs, text), claims, path=out / Path(path).name).status


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the models, or train them, draw the figure and judge it."""
    path = str(results / f"grokking{size_suffix(full, quick)}")
    task, config = setting(full, quick)
    grid = sp.Grid(weight_decay=[1.0, 0.0], seed=range(1 if quick else 4))
    return draw(sp.sweep(task, config, grid, f"{path}.zarr", block_size=1), path, out, full, quick)


if __name__ == "__main__":
    run(main)
