"""Linear against ReLU: what is represented and what is in superposition, as features get sparser.

    python figures/basic_results.py [--full] [--quick]

Elhage et al. 2022, "Demonstrating Superposition", "Basic Results".
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

import superpos as sp
from superpos.claims.basic_results import audit, judge_audit, judge_linear, judge_relu, judge_scaling
from superpos.experiments import Claims, publish, size_suffix
from superpos.script import run

DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
SIZES = ((20, 5, 0.7), (80, 20, 0.7**0.25))  # n_features, n_hidden, importance decay


def build(n_features: int, n_hidden: int, decay: float, quick: bool) -> tuple:
    """Task, training and grid of one size: linear and ReLU models at every density."""
    task = sp.tasks.Toy(n_features=n_features, n_hidden=n_hidden, importance=decay ** np.arange(n_features))
    seeds = range(1 if quick else 4)
    grid = sp.Grid(activation=["identity", "relu"], feature_probability=DENSITIES, seed=seeds)
    return task, sp.TrainConfig(steps=300 if quick else 10_000), grid


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    claims = Claims("Elhage et al. 2022, Demonstrating Superposition, Basic Results", judged=not quick)
    captions, relu = [], {}
    with sp.plot.style():
        figure, axes = plt.subplots(4, 8, figsize=(10, 7.2), height_ratios=(1, 0.9, 1, 0.9), layout="constrained")
        for (n, m, decay), (above, below) in zip(SIZES, (axes[:2], axes[2:]), strict=True):
            path = results / f"basic_results_{n}_{m}{suffix}.zarr"
            result = sp.sweep(*build(n, m, decay, quick), store=path)
            best = result.best("seed")
            relu[n] = best.sel(activation="relu")
            if n == 20:
                judge_linear(best.sel(activation="identity"), claims)
                judge_relu(relu[n], claims)
                if not quick:
                    judge_audit(relu[n], sp.cached(path, audit, relu[n]), claims)
            captions.append(sp.plot.caption(result.attrs, f"{n} → {m}, {result.best_of()}:"))
            for k, (activation, p) in enumerate([("identity", 1.0), *(("relu", p) for p in DENSITIES)]):
                model = result.sel(activation=activation, feature_probability=p).best("seed").model()
                geometry = sp.geometry(model.W)
                sp.plot.gram(model, above[k])
                sp.plot.feature_norms(geometry.norms, geometry.interference, below[k])
                above[k].set_title("linear" if activation == "identity" else f"ReLU\n1 − S = {p:g}")
            above[0].set_ylabel(f"$W^\\top W$\nn = {n}, m = {m}")
            below[0].set_ylabel("features")
            below[0].set_xlabel("$\\|W_i\\|$")
        bar = figure.colorbar(axes[0, 0].images[0], ax=axes[::2, -1], shrink=0.6, ticks=[-1, 0, 1])
        bar.set_label("entry of $W^\\top W$")
        keys = [Patch(color=c) for c in ("black", sp.plot.PALETTE["orange"])]
        words = ["no other feature interferes", "others can speak along its direction"]
        figure.legend(keys, words, loc="outside lower center", ncols=2)
        text = "Bars: norm of each feature, black where no other feature interferes, orange where others do. "
        judge_scaling(relu[20], relu[80], claims)
        return publish(figure, text + " ".join(captions), claims, path=out / f"basic_results{suffix}").status


if __name__ == "__main__":
    run(main)
