"""Grokking: a transformer memorises sums modulo p, and long afterwards computes them with a few frequencies.

    python figures/grokking.py [--full] [--quick]

Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability".
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import superpos as sp
from superpos.analysis import fourier
from superpos.analysis.grokking import progress_of
from superpos.claims import Claims
from superpos.claims.grokking import judge
from superpos.cli import run
from superpos.plot.grokking import grokking

SMALL = {"p": 59, "d_model": 64, "n_heads": 4, "d_mlp": 256, "train_fraction": 0.4}
TINY = {"p": 11, "d_model": 8, "n_heads": 2, "d_mlp": 16, "train_fraction": 0.4}


def setting(full: bool, quick: bool) -> tuple[sp.tasks.ModularAddition, sp.TrainConfig]:
    """The paper's model and training, a smaller one, and one for a quick look."""
    steps, sizes = (20, TINY) if quick else (40_000, {}) if full else (10_000, SMALL)
    task = sp.tasks.ModularAddition(**sizes)
    task = replace(task, gradient_pairs=round(task.train_fraction * task.p**2))
    points = tuple(int(t) for t in np.linspace(0, steps, 5 if quick else 101))
    # As published, everything decays; with undecayed biases the small model takes longer.
    config = sp.TrainConfig(steps=steps, schedule="constant", warmup_steps=10, decay_bias=True, snapshots=points)
    return task, replace(config, learning_rate=1e-3 if full else 2e-3)


def draw(task: Any, grokked: sp.SweepResult, plain: sp.SweepResult, path: str, out: Path, quick: bool) -> None:
    """Analyse a model and its twin without weight decay, draw the figure and judge it."""
    table, model = sp.kept(path, progress_of, grokked), grokked.model()
    record = {name: ("step", plain[f"{name}_history"].values) for name in ("test_loss", "test_accuracy")}
    control = xr.Dataset(record, {"step": plain.config().boundaries()})
    claims = Claims("Nanda et al. 2023, Progress measures for grokking", judged=not quick)
    judge(table, control, claims)
    keys = table["key"].values
    best = [int(np.where(table["neuron_frequency"] == k, table["neuron_explained"], -1).argmax()) for k in keys]
    waves = np.asarray(task.neurons(model)).reshape(task.p, task.p, -1).mean(axis=1)[:, best].T
    logits = np.asarray(task.logits(model))[:, 0].reshape(task.p, task.p)
    strongest = int(keys[table["embedding_energy"].values[keys].argmax()])
    plane = fourier.key_plane(model.W_E[: task.p], strongest)
    with sp.plot.style():
        figure, text = grokking(table, control, (waves, keys), logits, (plane, strongest))
        text += " Weight decay 1 (0 for the dotted lines), one seed. Settings:"
        sp.plot.publish(figure, sp.plot.caption(grokked.attrs, text), claims, path=out / Path(path).name)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> None:
    """Load the two models, or train them, draw the figure and judge it."""
    path = str(results / f"grokking{sp.plot.size_suffix(full, quick)}")
    task, config = setting(full, quick)
    result = sp.sweep(task, config, sp.Grid(weight_decay=[1.0, 0.0], seed=[0]), f"{path}.zarr", block_size=1)
    grokked, plain = (result.sel(weight_decay=decay, seed=0) for decay in (1.0, 0.0))
    draw(task, grokked, plain, path, out, quick)


if __name__ == "__main__":
    run(main)
