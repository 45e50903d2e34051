"""An L1 penalty on the hidden layer removes superposition, at a price.

    python figures/solving_superposition.py [--full] [--quick]

Elhage et al. 2022, "Approaches to Solving Superposition".
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.analysis.regimes import regimes
from superpos.claims.solving_superposition import alignment, judge, mean_interference, penalised_loss
from superpos.experiments import Claims, publish, size_suffix
from superpos.script import run


def build(full: bool, quick: bool) -> tuple:
    """Task, training and grid: densities and weights of the penalty, none among them.

    At lower densities a pair costs so little more than two dedicated features (order p²) that noise chooses between them.
    """
    task = sp.tasks.Toy(n_features=8, n_hidden=3, importance=0.6 ** np.arange(8))
    weights = [0, *np.geomspace(0.02, 0.8, 3 if quick else 24 if full else 12).round(4)]
    densities = np.geomspace(1, 0.05, 3 if quick else 16 if full else 6)
    grid = sp.Grid(feature_probability=densities, hidden_l1=weights, seed=range(32 if full else 1 if quick else 16))
    return task, sp.TrainConfig(steps=5_000 if full else 50 if quick else 2_500, batch_size=512), grid


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    path = results / f"solving_superposition{suffix}.zarr"
    result = sp.sweep(*build(full, quick), store=path)
    best, settings = penalised_loss(result).fillna(np.inf).argmin("seed"), result.attrs["task"]
    chosen, m = result.dataset.isel(seed=best), settings["n_hidden"]
    table = sp.cached(path, sp.SweepResult.geometry, result).isel(seed=best)
    regime, along = regimes(table), alignment(chosen["W"], table["represented"])
    claims = Claims("Elhage et al. 2022, Approaches to Solving Superposition", judged=not quick)
    judge(chosen["loss"], table, regime, along, m, claims)
    p = float(table.feature_probability.sel(feature_probability=0.1, method="nearest"))
    ends = sp.theory.vanishing_penalty(np.asarray(settings["importance"])[[0, m]])
    with sp.plot.style():
        figure, axes = plt.subplots(2, 2, figsize=(9.2, 6.2), layout="constrained")
        at = table.sel(feature_probability=p)
        sp.plot.represented_by_penalty(at["n_represented"], mean_interference(at), m, axes[0, 0])
        axes[0, 0].set_title(f"1 − S = {p:.2g}")
        sp.plot.loss_by_penalty(chosen["loss"], axes[0, 1])
        sp.plot.regime_map(regime, axes[1, 0], ends=ends)
        axes[1, 0].legend(handles=sp.plot.phase_keys(), loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
        weights = table.hidden_l1.values
        kinds = [0, weights[len(weights) // 4], weights[2 * len(weights) // 3]]  # none, some, and enough of it
        models = [chosen["W"].sel(feature_probability=p).sel(hidden_l1=k, method="nearest") for k in kinds]
        sp.plot.hidden_weights(models, axes[1, 1], names=[f"λ = {float(W.hidden_l1):.2g}" for W in models])
        text = (
            "Restarts of least penalised loss. Top left: represented features and their mean interference. Top right: "
            "what it costs. Bottom left: phase of the whole model; dashed: where the (m + 1)th and the first feature vanish "
            "in the sparse limit. Bottom right: weights W, a row per hidden unit; blue is negative."
        )
        caption = sp.plot.caption(result.attrs, text)
        return publish(figure, caption, claims, path=out / f"solving_superposition{suffix}").status


if __name__ == "__main__":
    run(main)
