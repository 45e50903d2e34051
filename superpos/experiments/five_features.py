"""Five features in two dimensions, from dense to sparse: Elhage et al. 2022, opening figure."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpos.analysis.features import angle_gaps
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import caption
from superpos.plot.sweeps import directions_by_density, plain_ticks, shape_shares
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, opening figure"
BLOCK_SIZE = 24
DRAWN_DENSITIES = (1.0, 0.45, 0.2, 0.1, 0.05, 0.01)


@dataclass(frozen=True)
class Size:
    """How many densities between 1 and .01, seeds, and steps; the objective of `Toy`."""

    densities: int = 48
    seeds: int = 16
    steps: int = 10_000
    objective: str = "sampled"


SIZES = Sizes(quick=Size(densities=6, seeds=4, steps=200), laptop=Size(), full=Size())
DEMO = Size(steps=300, objective="expected")  # what `superpos demo` trains


def build(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid."""
    task = Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5), objective=size.objective)
    grid = Grid(feature_probability=np.geomspace(1, 0.01, size.densities), seed=range(size.seeds))
    return task, TrainConfig(steps=size.steps), grid


def evaluate(result: SweepResult, geometry: xr.Dataset, claims: Claims) -> None:
    """Two directions, two antipodal pairs, a pentagon: at the densities of the paper's three panels.

    `geometry` is the result's own.
    """
    best = result.best("seed")
    dense, middle = (best.sel(feature_probability=p, method="nearest") for p in (1.0, 0.2))
    norms = np.linalg.norm(dense["W"], axis=0)
    claims.check(
        "dense: the two most important features alone",
        "norms 1 1 0 0 0 ± .05",
        " ".join(f"{v:.2f}" for v in norms),
        np.all(np.abs(norms - [1, 1, 0, 0, 0]) <= 0.05),
    )
    loss = 5 * float(dense["loss"])
    claims.check("dense: loss, sum over features", ".1829 ± 1 %", f"{loss:.4f}", abs(loss / 0.1829 - 1) < 0.01)

    W = middle["W"].values
    largest_four = np.argsort(np.linalg.norm(W, axis=0))[1:]
    smallest_norm, gaps = float(np.linalg.norm(W, axis=0).min()), np.asarray(angle_gaps(W[:, largest_four]))
    claims.check(
        "1 − S ≈ .2: two orthogonal pairs",
        "gaps 90 ± 3°, the fifth below .1",
        f"gaps {gaps.min():.1f}…{gaps.max():.1f}°, the fifth {smallest_norm:.2f}",
        np.all(np.abs(gaps - 90) <= 3) and smallest_norm < 0.1,
    )

    worst_gaps, holds = [], True
    for cell in (best.isel(feature_probability=k) for k in range(best.sizes["feature_probability"])):
        if float(cell["feature_probability"]) <= 0.1:
            norms, gaps = np.linalg.norm(cell["W"], axis=0), np.asarray(angle_gaps(cell["W"].values))
            even = np.ptp(norms) / norms.mean() <= 0.2
            holds &= even and np.all(np.abs(gaps - 72) <= 8) and np.all(cell["b"] < 0)
            worst_gaps.append(np.abs(gaps - 72).max())
    measured = "no such density"
    if worst_gaps:
        measured = f"at {len(worst_gaps)} densities, worst gap {max(worst_gaps):.1f}° from 72°"
    claims.check(
        "1 − S ≤ .1: a pentagon", "gaps 72 ± 8°, norms within 10 %, b < 0", measured, holds and bool(worst_gaps)
    )

    shapes = geometry["shape"].isel(seed=result.best_index("seed"))
    names = [str(shapes.sel(feature_probability=p, method="nearest").item()) for p in (1.0, 0.2, 0.05)]
    expected = ["2 × dedicated", "2 × antipodal pair", "pentagon"]
    claims.check("the analyser names all three", ", ".join(expected), ", ".join(names), names == expected)


def draw(result: SweepResult, geometry: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: feature directions by density, and below the share of seeds that found each geometry.

    `result` has dims (feature_probability, seed) and two hidden dimensions. Elhage et al. 2022, opening figure and
    "Demonstrating Superposition".
    """
    best = result.best("seed")
    best_shapes = geometry["shape"].isel(seed=result.best_index("seed"))
    figure = plt.figure(figsize=(8.4, 3.9))
    top = figure.add_gridspec(1, len(DRAWN_DENSITIES), left=0.02, right=0.87, bottom=0.6, top=0.95, wspace=0.06)
    panels = [figure.add_subplot(top[0, k]) for k in range(len(DRAWN_DENSITIES))]
    directions_by_density(best, panels, DRAWN_DENSITIES, best_shapes)
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1.02, 0.5), handlelength=1)
    bottom = figure.add_gridspec(1, 1, left=0.07, right=0.72, bottom=0.1, top=0.44)
    plain_ticks(shape_shares(geometry["shape"], figure.add_subplot(bottom[0, 0])))
    text = (
        f"Top: directions of the features (columns of W) in the {result.best_of()} at several densities 1 − S. "
        "Bottom: share of the seeds that ended in each geometry."
    )
    return figure, caption(result.attrs, text)
