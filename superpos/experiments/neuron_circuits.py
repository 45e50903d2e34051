"""The asymmetric superposition motif in a trained model, the neuron that inhibits its interference, and what they are worth.

Elhage et al. 2022, "Computation in Superposition", "The Asymmetric Superposition Motif".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpos.analysis import ablation, naive_loss, relative_loss
from superpos.analysis.circuits import Circuit, circuit
from superpos.analysis.motifs import Motif, asymmetric_motifs
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import caption
from superpos.plot.circuits import ablations, circuit_keys
from superpos.plot.circuits import circuit as circuit_picture
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Computation
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, Computation in Superposition"


@dataclass(frozen=True)
class Size:
    """Seeds, so many of them trained at once, training, and batches of inputs on which neurons are silenced."""

    seeds: int = 64
    block_size: int = 16
    steps: int | None = None
    batch_size: int = 512
    evaluation_samples: int = 131_072
    ablation_batches: int = 16


SIZES = Sizes(
    quick=Size(seeds=2, block_size=2, steps=20, batch_size=64, evaluation_samples=1_024, ablation_batches=1),
    laptop=Size(),
    full=Size(seeds=256),
)


class Silenced(NamedTuple):
    """The loss of a model, and by how much it rises without each neuron alone and, last, without all of `motif`.

    `motif` are the neuron and its inhibitor, empty where the model has no motif: then the last rise is 0.
    """

    loss: float
    rises: Any  # (n_hidden + 1,)
    motif: list[int]


def build(size: Size) -> tuple[Computation, TrainConfig, Grid]:
    """Task, training and grid."""
    task = Computation(
        n_features=10,
        n_hidden=6,
        importance=0.8 ** np.arange(10),
        feature_probability=0.1,
        target="absolute",
        tied=False,
        magnitude="signed_uniform",
    )
    config = TrainConfig(steps=size.steps, batch_size=size.batch_size, evaluation_samples=size.evaluation_samples)
    return task, config, Grid(seed=range(size.seeds))


def silence(best: SweepResult, motifs: Sequence[Motif], batches: int) -> Silenced:
    """What silencing neurons of one model costs; `motifs` are its own, the first counts."""
    task: Any = best.task()
    motif = [motifs[0].neuron, motifs[0].inhibitor] if motifs else []
    alone = [[k] for k in range(task.n_hidden)]
    loss, rises = ablation(task, best.model(), [*alone, motif], batches=batches)
    return Silenced(loss, rises, motif)


def motifs_by_seed(result: SweepResult) -> xr.Dataset:
    """`motifs`, how many asymmetric motifs every model has, and `shuffled`, the mean if outputs are dealt; over `seed`."""
    circuits = [circuit(result.model(seed=int(seed))) for seed in result["seed"].values]
    counts = {
        "motifs": ("seed", [len(asymmetric_motifs(network)) for network in circuits]),
        "shuffled": ("seed", [shuffled_motifs(network, repeats=20) for network in circuits]),
        "loss": ("seed", result["loss"].values),
    }
    return xr.Dataset(counts, {"seed": result["seed"].values})


def evaluate(best: SweepResult, silenced: Silenced, by_seed: xr.Dataset, claims: Claims) -> None:
    """All claims: of the best model, and of all of them, `by_seed` being the table of `motifs_by_seed`."""
    network = circuit(best.model())
    rises = {}
    if silenced.motif:
        names = ("neuron", "inhibitor", "motif")
        rises = {name: float(silenced.rises[k]) for name, k in zip(names, [*silenced.motif, -1], strict=True)}
    task: Any = best.task()
    relative = float(relative_loss(float(best["loss"]), naive_loss(task)))
    evaluate_motif(asymmetric_motifs(network), shuffled_motifs(network), relative, rises, silenced.loss, claims)
    evaluate_all_seeds(by_seed, claims)


def evaluate_motif(
    motifs: list[Motif], shuffled: float, relative: float, rises: dict[str, float], loss: float, claims: Claims
) -> None:
    """The motif in the best model; `rises` of the loss without "neuron", "inhibitor" and "motif"."""
    claims.check(
        "the model computes in superposition", "loss below the naive baseline", f"{relative:.2f} of it", relative < 1
    )
    number = f"{len(motifs)}; {shuffled:.2g} if outputs are shuffled"
    claims.check(
        "asymmetric motifs found", "at least 1, fewer by chance", number, len(motifs) > 0 and shuffled < len(motifs)
    )
    if not motifs:
        return
    m = motifs[0]
    ratios = f"W1 {m.input_ratio:.1f}, W2 {m.output_ratio:.1f}"
    claims.check(
        "weights of its two features", "ratios of 2 or more (paper 4)", ratios, min(m.input_ratio, m.output_ratio) >= 2
    )
    claims.check(
        "the second neuron inhibits the interfered output",
        "half of the interference or more",
        f"{100 * m.cancelled:.0f} % of slope {m.interference:.1f}",
        m.cancelled >= 0.5,
    )
    factors = ", ".join(f"{name} {1 + rise / loss:.1f}" for name, rise in rises.items())
    claims.check("loss without it, over loss", "above 1", factors, all(rise > 0 for rise in rises.values()))


def evaluate_all_seeds(table: xr.Dataset, claims: Claims) -> None:
    """The motif is no accident of one model: over all seeds, and the quarter of least loss; of `motifs_by_seed`."""
    order = np.argsort(table["loss"].values)
    best = order[: max(1, len(order) // 4)]
    motifs, shuffled = table["motifs"].values, table["shuffled"].values
    measured = (
        f"{int(np.sum(motifs > 0))} of {len(motifs)} models have one or more, {int(np.sum(motifs[best] > 0))} of the "
    )
    measured += f"{len(best)} of least loss; {motifs.mean():.2f} a model, {shuffled.mean():.2f} if outputs are shuffled"
    holds = np.mean(motifs[best] > 0) >= 0.5 and motifs.mean() > 2 * shuffled.mean()
    claims.check("motifs in all models", "in half of the best quarter, and twice as many as by chance", measured, holds)


def shuffled_motifs(network: Circuit, repeats: int = 50, seed: int = 0) -> float:
    """Mean number of motifs when every neuron's output weights are dealt to outputs at random: what chance finds."""
    rng: Any = np.random.default_rng(seed)
    dealt = (network._replace(W2=rng.permuted(network.W2, axis=0)) for _ in range(repeats))
    return float(np.mean([len(asymmetric_motifs(shuffled)) for shuffled in dealt]))


def draw(result: SweepResult, silenced: Silenced) -> tuple[Figure, str]:
    """Figure and caption: the circuit of the best model with its motif, and the loss without neurons."""
    best = result.best("seed")
    network = circuit(best.model())
    motifs = asymmetric_motifs(network)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.9), width_ratios=(1.6, 1), layout="constrained")
    features = [motifs[0].primary, motifs[0].secondary] if motifs else []
    circuit_picture(network.W1, network.W2, left, marked=silenced.motif, features=features)
    figure.legend(handles=circuit_keys(), loc="outside lower left", ncols=3)
    n_hidden = len(network.W1)
    names = [f"neuron {k + 1}" for k in range(n_hidden)]
    if motifs:
        names.append("the motif")
    marked = [*silenced.motif, n_hidden]
    ablations(names, silenced.rises[: len(names)], right, loss=silenced.loss, marked=marked)
    text = f"Left: the {result.best_of(what='models')}; width: |weight|, every neuron's largest input weight is 1. "
    if motifs:
        m = motifs[0]
        text += (
            f"Neuron {m.neuron + 1} serves features {m.primary + 1} and {m.secondary + 1} (slopes {m.slopes[0]:.2f} and "
            f"{m.slopes[1]:.2f}); neuron {m.inhibitor + 1} inhibits output {m.secondary + 1}. "
        )
    text += "Right: the same inputs without single neurons, and without both of the motif."
    return figure, caption(best.attrs, text)
