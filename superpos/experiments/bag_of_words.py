"""Features that travel together arrange themselves as the world does: rings, lines and spheres instead of polygons.

After Prieto, Stevinson, Barsbey, Birdal and Mediano 2026, "From Data Statistics to Feature Geometry: How Correlations Shape
Superposition", arXiv 2603.09972. Their words of internet text are here features with a known place in a world.
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import binomtest, spearmanr

from superpos.analysis.features import REPRESENTED_ABOVE, feature_norms
from superpos.analysis.rings import ring_order
from superpos.data.worlds import MANIFOLDS, places, similarity
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import WorldToy
from superpos.theory.linear import principal_losses
from superpos.training.train_config import TrainConfig

SOURCE = "Prieto et al. 2026, How Correlations Shape Superposition"
N_FEATURES = 12
SHARPNESS, LOG_ODDS = 5.0, -2.0
DECAYS = (0.0, 1.0)
PERMUTATIONS = 999
LEVEL = 0.01  # p-value from which a ring counts as found
DEAD = 0.1  # norm below which a feature has no direction
WORLD_NAMES = {"circle": "circle", "figure_eight": "figure-eight", "sphere": "sphere", "line": "line"}
DECAY_COLORS = {0.0: PALETTE["blue"], 1.0: PALETTE["orange"]}


@dataclass(frozen=True)
class Size:
    """Worlds, numbers of hidden dimensions, seeds of both sweeps, and training."""

    worlds: tuple[str, ...] = MANIFOLDS
    dimensions: tuple[int, ...] = tuple(range(1, N_FEATURES))
    seeds: int = 16
    control_seeds: int = 200
    steps: int = 2_000
    batch_size: int = 256
    evaluation_samples: int = 131_072

    @property
    def models_of_a_seed(self) -> int:
        """Models of one world and seed, which are one block."""
        return len(self.dimensions) * len(DECAYS)


SIZES = Sizes(
    quick=Size(
        worlds=("circle", "line"),
        dimensions=(2,),
        seeds=2,
        control_seeds=4,
        steps=50,
        batch_size=64,
        evaluation_samples=1_024,
    ),
    laptop=Size(),
    full=Size(seeds=64, control_seeds=1_000, steps=20_000, batch_size=1_024),
)


def build(size: Size) -> tuple[WorldToy, TrainConfig, Grid]:
    """Task, training and grid: worlds, dimensions and weight decay.

    Models of all sizes have the shape of the largest and use some of its dimensions, so each world compiles once.
    """
    settings = {"sharpness": SHARPNESS, "log_odds": LOG_ODDS, "magnitude": "constant"}
    task = WorldToy(n_features=N_FEATURES, n_hidden=max(size.dimensions), n_used=2, **settings)
    grid = Grid(
        world=list(size.worlds), n_used=list(size.dimensions), weight_decay=list(DECAYS), seed=range(size.seeds)
    )
    config = TrainConfig(steps=size.steps, batch_size=size.batch_size, evaluation_samples=size.evaluation_samples)
    return task, config, grid


def build_control(size: Size) -> tuple[WorldToy, TrainConfig, Grid]:
    """The same with independent features that are as frequent as those of the circle, in two dimensions."""
    task, config, _ = build(size)
    p = float(task.features.probabilities[0])
    settings = {"n_hidden": 2, "sharpness": 0.0, "log_odds": float(np.log(p / (1 - p)))}
    control = WorldToy(**{"n_features": N_FEATURES, "magnitude": "constant"} | settings)
    return control, config, Grid(weight_decay=[DECAYS[-1]], seed=range(size.control_seeds))


def measure(result: SweepResult) -> xr.Dataset:
    """Of every model, over the axes of `result`:

    * `p_value` and `statistic` of the circular order of its directions, against the order of the features along the curve
      (NaN for one dimension, or fewer than four features with a direction).
    * `dead`: how many features have a norm below .1.
    * `follows`: Spearman's rank correlation of the overlaps $W_i \\cdot W_j$, i < j, with the closeness of their places.
    """
    dims, shape = result["loss"].dims, result["loss"].shape
    rows = []
    for index in np.ndindex(shape):
        cell = result.isel(**dict(zip(map(str, dims), index, strict=True)))
        W = np.asarray(cell.model().W)
        W = W[W.any(axis=1)]  # without dimensions that are not used
        norms = np.linalg.norm(W, axis=0)
        statistic = p_value = np.nan
        if len(W) > 1 and np.sum(norms > DEAD) >= 4:
            ring = ring_order(W, permutations=PERMUTATIONS, above=DEAD)
            statistic, p_value = ring.statistic, ring.p_value
        task: Any = cell.task()
        pairs = np.triu_indices(task.n_features, 1)
        closeness = np.asarray(similarity(task.world, places(task.world, task.n_features), task.n_features))
        correlation: Any = spearmanr((W.T @ W)[pairs], closeness[pairs])
        rows.append((statistic, p_value, np.sum(norms < DEAD), correlation.statistic))
    names = ("statistic", "p_value", "dead", "follows")
    columns = zip(names, zip(*rows, strict=True), strict=True)
    data = {name: (dims, np.array(column, float).reshape(shape)) for name, column in columns}
    return xr.Dataset(data, {dim: result["loss"][dim].values for dim in dims})


def linear_losses(worlds: Any) -> xr.DataArray:
    """The least loss of a linear model over (world, n_used), n_used from 1 to 12: what principal components leave."""
    losses = [
        np.asarray(
            principal_losses(
                WorldToy(
                    n_features=N_FEATURES,
                    n_hidden=2,
                    world=str(world),
                    sharpness=SHARPNESS,
                    log_odds=LOG_ODDS,
                    magnitude="constant",
                ).features
            )
        )
        for world in worlds
    ]
    coordinates = {"world": list(worlds), "n_used": np.arange(1, N_FEATURES + 1)}
    return xr.DataArray(np.stack(losses), coordinates, ("world", "n_used"))


def evaluate(result: SweepResult, table: xr.Dataset, control: xr.Dataset, claims: Claims) -> None:
    """`table` and `control` are `measure`'s of both sweeps."""
    plane = table.sel(n_used=2)
    decayed = plane.sel(weight_decay=DECAYS[-1])
    for world in ("circle", "line"):
        if world in plane["world"]:
            rings = int((decayed["p_value"].sel(world=world) < LEVEL).sum())
            n = plane.sizes["seed"]
            claims.check(
                f"{world}, m = 2: directions lie in the order of the data",
                f"p < {LEVEL:g} in at least 90 % of seeds",
                f"{rings} of {n}",
                rings >= 0.9 * n,
            )
    false_alarms, n = int((control["p_value"] < LEVEL).sum()), int(control["p_value"].notnull().sum())
    chance = binomtest(false_alarms, n, LEVEL, alternative="greater").pvalue if n else np.nan
    claims.check(
        "control: independent features of the same frequency have no order",
        f"p < {LEVEL:g} no more often than chance",
        f"{false_alarms} of {n} seeds, which chance reaches with probability {chance:.2g}",
        bool(n) and chance > 0.01,
    )
    if "circle" in plane["world"]:
        dead = (plane["dead"].sel(world="circle") > 0).mean("seed")
        without, with_decay = (float(dead.sel(weight_decay=d)) for d in DECAYS)
        claims.check(
            "circle, m = 2: weight decay closes the ring",
            "fewer seeds leave a feature out",
            f"{100 * without:.0f} % without, {100 * with_decay:.0f} % with weight decay",
            with_decay < without,
        )
    follows = decayed["follows"].median("seed")
    measured = ", ".join(f"{WORLD_NAMES[str(w)]} {float(follows.sel(world=w)):.2f}" for w in follows["world"].values)
    claims.check(
        "m = 2: overlaps follow the closeness of places, so interference helps",
        "rank correlation above .5 in the median of seeds, every world",
        measured,
        bool((follows > 0.5).all()),
    )
    best = result["loss"].min(("seed", "weight_decay"))
    share = best / linear_losses(best["world"].values).sel(n_used=best["n_used"])
    measured = f"loss over the linear one: {float(share.min()):.2f} to {float(share.max()):.4f}"
    claims.check(
        "ReLU does better than any linear model", "best seed, every world and m", measured, bool((share < 1).all())
    )


def draw(result: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: directions in the plane for every world, and losses against the number of dimensions."""
    worlds = [str(world) for world in result["world"].values]
    figure, axes = plt.subplots(2, len(worlds), figsize=(2.3 * len(worlds), 4.9), layout="constrained", squeeze=False)
    linear = linear_losses(worlds)
    for k, world in enumerate(worlds):
        cells = result.sel(world=world, n_used=2, weight_decay=DECAYS[-1])
        best = cells.best("seed")
        in_order(np.asarray(best.model().W)[:2], axes[0, k], world)
        at = {"world": world, "n_used": 2, "weight_decay": DECAYS[-1], "seed": best["seed"].item()}
        axes[0, k].set_title(f"{WORLD_NAMES[world]}\nrank correlation {float(table['follows'].sel(at)):.2f}")
        if k:
            axes[1, k].sharey(axes[1, 0])
        losses_by_dimension(result["loss"].sel(world=world), linear.sel(world=world), axes[1, k])
        axes[1, k].set_title(WORLD_NAMES[world])
    axes[1, 0].set_ylabel("loss (mean over features)")
    axes[1, -1].legend(loc="lower left")
    text = (
        f"Top: {result.best_of(what='directions')}, two dimensions, weight decay {DECAYS[-1]:g}; color and line follow the "
        "order of the features in the world (on the sphere color is the height), and the number is the rank correlation of "
        "overlap and closeness. Bottom: loss "
        "by the number of dimensions, median and range of seeds, beside what the principal components leave, the best "
        "that a linear model can do."
    )
    return figure, caption(result.attrs, text)


def in_order(W: np.ndarray, ax: Axes | None = None, world: str = "circle") -> Axes:
    """Feature directions in the plane, joined and colored in the order of the data: hues go round once on closed curves.

    On the sphere, where there is no such order, color is the height and nothing is joined.
    """
    ax = current_axes(ax)
    n, closed = W.shape[1], world in ("circle", "figure_eight")
    if world != "sphere":
        ax.plot(*W[:, np.r_[np.arange(n), 0] if closed else np.arange(n)], "-", color="#BBBBBB", lw=0.8, zorder=1)
    colors = plt.get_cmap("twilight" if closed else "viridis")(np.arange(n) / (n if closed else n - 1))
    for direction, color in zip(W.T, colors, strict=True):
        ax.plot([0, direction[0]], [0, direction[1]], "-", color=color, lw=1.2, zorder=2)
    ax.scatter(*W, c=colors, s=26, zorder=3, edgecolors="black", linewidths=0.4)
    limit = 1.15 * max(float(np.max(feature_norms(W))), REPRESENTED_ABOVE)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
    ax.axis("off")
    return ax


def losses_by_dimension(losses: xr.DataArray, linear: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Median and range of seeds over (n_used, weight_decay, seed), and the linear model's over n_used, dashed."""
    ax = current_axes(ax)
    m = losses["n_used"].values
    for decay in losses["weight_decay"].values:
        values = losses.sel(weight_decay=decay).transpose("n_used", "seed").values
        color = DECAY_COLORS[float(decay)]
        ax.fill_between(m, values.min(axis=1), values.max(axis=1), color=color, alpha=0.2, lw=0)
        ax.plot(m, np.median(values, axis=1), "o-", ms=3, color=color, label=f"ReLU, weight decay {decay:g}")
    ax.plot(m, linear.sel(n_used=m), "--", color="black", lw=1, label="linear")
    ax.set(xlabel="hidden dimensions", yscale="log")
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    return ax
