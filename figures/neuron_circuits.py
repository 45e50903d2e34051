"""The asymmetric superposition motif in a trained model, the neuron that inhibits its interference, and what they are worth.

    python figures/neuron_circuits.py [--full] [--quick]

Elhage et al. 2022, "Computation in Superposition", "The Asymmetric Superposition Motif".
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.analysis import ablation, asymmetric_motifs, circuit, naive_loss, relative_loss
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.absolute_value import judge_motif, judge_motifs_of_all, motifs_by_seed, shuffled_motifs
from superpos.plot.circuits import ablations, circuit_keys
from superpos.plot.circuits import circuit as circuit_picture
from superpos.script import run

TASK = sp.tasks.Computation(
    n_features=10,
    n_hidden=6,
    importance=0.8 ** np.arange(10),
    feature_probability=0.1,
    target="absolute",
    tied=False,
    magnitude="signed_uniform",
)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    config = (
        sp.TrainConfig(batch_size=64, steps=20, evaluation_samples=1_024) if quick else sp.TrainConfig(batch_size=512)
    )
    seeds = range(2 if quick else 256 if full else 64)
    grid, path = sp.Grid(seed=seeds), results / f"neuron_circuits{suffix}.zarr"
    result = sp.sweep(TASK, config, grid, path, block_size=2 if quick else 16)
    best = result.best("seed")
    found = circuit(best.model())
    motifs = asymmetric_motifs(found)
    pair = [motifs[0].neuron, motifs[0].inhibitor] if motifs else []
    alone = [[k] for k in range(TASK.n_hidden)]
    loss, rise = ablation(TASK, best.model(), [*alone, pair], batches=1 if quick else 16)
    claims = Claims("Elhage et al. 2022, Computation in Superposition", judged=not quick)
    parts = zip(("neuron", "inhibitor", "motif"), [*pair, TASK.n_hidden], strict=False)
    rises = {name: float(rise[k]) for name, k in parts} if pair else {}
    relative = float(relative_loss(float(best["loss"]), naive_loss(TASK)))
    judge_motif(motifs, shuffled_motifs(found), relative, rises, loss, claims)
    judge_motifs_of_all(sp.cached(path, motifs_by_seed, result), claims)
    with sp.plot.style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.9), width_ratios=(1.6, 1), layout="constrained")
        features = [motifs[0].primary, motifs[0].secondary] if motifs else []
        circuit_picture(found.W1, found.W2, left, marked=pair, features=features)
        figure.legend(handles=circuit_keys(), loc="outside lower left", ncols=3)
        names = [f"neuron {k + 1}" for k in range(TASK.n_hidden)] + ["the motif"] * bool(pair)
        ablations(names, rise[: len(names)], right, loss=loss, marked=[*pair, TASK.n_hidden])
        best_of = result.best_of(what="models")
        text = f"Left: the {best_of}; width: |weight|, every neuron's largest input weight is 1. "
        if motifs:
            m = motifs[0]
            text += (
                f"Neuron {m.neuron + 1} serves features {m.primary + 1} and {m.secondary + 1} (slopes {m.slopes[0]:.2f} and "
                f"{m.slopes[1]:.2f}); neuron {m.inhibitor + 1} inhibits output {m.secondary + 1}. "
            )
        text += "Right: the same inputs without single neurons, and without both of the motif."
        return publish(figure, sp.plot.caption(best.attrs, text), claims, path=out / f"neuron_circuits{suffix}").status


if __name__ == "__main__":
    run(main)
