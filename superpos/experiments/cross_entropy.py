"""Superposition of classes under cross-entropy: any number of them on regular shapes. Nanda 2023, open problem 4.12."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.models.toy import ToyModel
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.features import feature_directions
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import OneHotClassifier
from superpos.theory.classes import ClassLoss, class_loss
from superpos.theory.polytopes import known_shape
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 4.12: superposition in a classifier"
# What the classes are expected to form in space, by their number: names of `superpos.geometry`.
IN_SPACE = {4: "tetrahedron", 6: "3 × antipodal pair", 8: "square antiprism", 12: "icosahedron"}
NAMED_AT = 0.03  # the penalty at which shapes are named
COLORS = (PALETTE["blue"], PALETTE["orange"], PALETTE["green"], PALETTE["red"])


@dataclass(frozen=True)
class Size:
    """Numbers of classes in the plane and in space, penalties, seeds and steps."""

    in_plane: tuple[int, ...] = (3, 5, 8, 12)
    in_space: tuple[int, ...] = tuple(IN_SPACE)
    penalties: tuple[float, ...] = (1.2, 0.9, 0.5, 0.1, NAMED_AT, 0.01, 0.003)
    seeds: int = 16
    steps: int = 2_000


SIZES = Sizes(
    quick=Size(in_plane=(5,), in_space=(4,), penalties=(1.2, NAMED_AT), seeds=2, steps=20),
    laptop=Size(),
    full=Size(in_plane=(3, 4, 5, 6, 8, 12, 16, 20), seeds=256, steps=8_000),
)


def build(size: Size, n_hidden: int) -> tuple[OneHotClassifier, TrainConfig, Grid]:
    """Task, training and grid in the plane or in space."""
    numbers = size.in_plane if n_hidden == 2 else size.in_space
    task = OneHotClassifier(n_features=numbers[0], n_hidden=n_hidden, weight_l2=NAMED_AT)
    grid = Grid(n_features=list(numbers), weight_l2=list(size.penalties), seed=range(size.seeds))
    return task, TrainConfig(steps=size.steps, history=1), grid


def measure(result: SweepResult) -> xr.Dataset:
    r"""Of every model: the `minimised` loss, with its penalty, and the mean `squared_length` of classes."""
    table: Any = result.map(_of_model)
    return table


def _of_model(model: ToyModel, task: OneHotClassifier) -> dict[str, Float[Array, ""]]:
    W = model.W[...]
    return {"minimised": task.loss(model, jax.random.key(0), 0)[0], "squared_length": (W**2).sum() / W.shape[1]}


def polygon(n: int) -> np.ndarray:
    """n directions on a regular polygon, (2, n)."""
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)])


def antiprism(height: float) -> np.ndarray:
    """Eight directions on two squares at ± this height, turned against each other by 45°, (3, 8)."""
    radius, half = np.sqrt(1 - height**2), polygon(8)
    return np.concatenate([radius * half, height * np.resize([1.0, -1.0], (1, 8))])


def directions_in_space(n: int) -> np.ndarray:
    """n directions on a shape of `IN_SPACE`, (3, n); the height of the antiprism is fixed."""
    return np.concatenate([np.eye(3), -np.eye(3)], axis=1) if n == 6 else known_shape(IN_SPACE[n]).vertices.T


@cache
def best_known(n_features: int, n_hidden: int, weight_l2: float) -> ClassLoss:
    """Theory for so many classes: a regular polygon, or a shape of `IN_SPACE`, the antiprism with the best height."""
    if n_hidden == 2:
        return class_loss(polygon(n_features), weight_l2)
    if n_features != 8:
        return class_loss(directions_in_space(n_features), weight_l2)
    from scipy.optimize import minimize_scalar  # here: its import takes as long as that of flax

    least: Any = minimize_scalar(
        lambda height: class_loss(antiprism(height), weight_l2).minimised, bounds=(0.4, 0.7), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    return class_loss(antiprism(float(least.x)), weight_l2)


def known(table: xr.Dataset, n_hidden: int) -> xr.Dataset:
    """`minimised` and `squared_length` of `best_known`, over the numbers of classes and penalties of a table."""
    n, penalties = (table[name].values for name in ("n_features", "weight_l2"))
    rows = [[best_known(int(k), n_hidden, float(x)) for x in penalties] for k in n]
    over = {"n_features": n, "weight_l2": penalties}
    names = ("minimised", "squared_length")
    return xr.Dataset(
        {name: (tuple(over), np.array([[getattr(cell, name) for cell in row] for row in rows])) for name in names}, over
    )


def expected_shape(n_features: int, n_hidden: int) -> str:
    """What `superpos.geometry` calls the shape of so many classes."""
    names = {3: "triangle", 4: "2 × antipodal pair", 5: "pentagon", 6: "hexagon", 7: "heptagon", 8: "octagon"}
    return names.get(n_features, f"{n_features}-gon") if n_hidden == 2 else IN_SPACE[n_features]


def shapes(result: SweepResult) -> xr.DataArray:
    """The name of every model's shape at the penalty `NAMED_AT`."""
    return result.sel(weight_l2=NAMED_AT).geometry()["shape"]


def evaluate(tables: dict[int, xr.Dataset], named: dict[int, xr.DataArray], claims: Claims) -> None:
    """`tables` are `measure`'s by number of dimensions, 2 and 3, `named` what `shapes` gives."""
    for m, where, what in (
        (2, "in the plane", "a regular polygon of any number of them"),
        (3, "in space", "one known shape each"),
    ):
        n = [int(k) for k in named[m]["n_features"]]
        right = np.stack([named[m].sel(n_features=k).values == expected_shape(k, m) for k in n])
        claims.check(
            f"{where} all classes are represented, on {what}",
            f"in 95 % of models or more at λ = {NAMED_AT:g}",
            f"{100 * right.mean():.1f} % of {right.size}: " + ", ".join(expected_shape(k, m) for k in n),
            right.mean() >= 0.95,
        )
    theory = {m: known(table, m) for m, table in tables.items()}
    over = {m: table["minimised"] / theory[m]["minimised"] - 1 for m, table in tables.items()}
    worst = max(float(abs(x.min("seed")).max()) for x in over.values())
    claims.check(
        "the loss is that of these shapes in closed form, at every penalty",
        "best seed within 1e-4 of it, for every number of classes",
        f"{worst:.1e} at most",
        worst < 1e-4,
    )
    near = np.concatenate([(abs(x) < 1e-3).values.ravel() for x in over.values()])
    claims.check(
        "hardly any training ends elsewhere",
        "99 % of all models within 1e-3 of the closed form",
        f"{near.sum()} of {near.size}",
        near.mean() >= 0.99,
    )
    lengths = {m: table["squared_length"].mean("seed") for m, table in tables.items()}
    gone = max(float(x.where(x["weight_l2"] >= 1).max()) for x in lengths.values())
    last = {m: float(x["weight_l2"].where(x["weight_l2"] < 1).max()) for m, x in lengths.items()}
    just = {m: float(lengths[m].sel(weight_l2=last[m]).mean()) / (m * (1 - last[m])) for m in lengths}
    claims.check(
        "from λ = 1 on no class is represented, and just below the squared length is m(1 − λ), in any dimension",
        f"below 1e-3; within 5 % at λ = {last[2]:g}, the mean over numbers of classes",
        f"{gone:.1e}; {', '.join(f'm = {m}: {100 * (x - 1):+.1f} %' for m, x in just.items())}",
        gone < 1e-3 and all(abs(x - 1) < 0.05 for x in just.values()),
    )


def draw(results: dict[int, SweepResult], tables: dict[int, xr.Dataset]) -> tuple[Figure, str]:
    """Figure and caption: directions in the plane, and loss and length against the penalty beside the closed form."""
    figure = plt.figure(figsize=(8.8, 5.0), layout="constrained")
    numbers = [int(k) for k in tables[2]["n_features"].values[:4]]
    axes = figure.subplot_mosaic([[f"n{k}" for k in range(4)], ["loss", "loss", "length", "length"]])
    plane = results[2].sel(weight_l2=NAMED_AT)
    for k in range(4):
        if k < len(numbers):
            W = np.asarray(plane.sel(n_features=numbers[k]).isel(seed=0)["W"])[:, : numbers[k]]
            feature_directions(W, axes[f"n{k}"])
            axes[f"n{k}"].set_title(f"{numbers[k]} classes")
        else:
            axes[f"n{k}"].set_axis_off()
    for name, panel, label in (
        ("minimised", "loss", "loss with penalty"), ("squared_length", "length", "squared length of a class"),
    ):  # fmt: skip
        for m, table in tables.items():
            by_penalty(table[name], known(table, m)[name], axes[panel], space=m == 3)
        axes[panel].set_ylabel(label)
    axes["loss"].set_yscale("log")
    axes["loss"].legend(title="classes (▲: in space)", ncols=2, loc="lower right")
    first = results[2]
    text = (
        "Linear classifiers of one-hot inputs through a bottleneck, trained with cross-entropy and an L2 penalty λ. "
        f"Top: directions of classes in the plane at λ = {NAMED_AT:g}, seed 0. Bottom: minimised loss and squared "
        "length of a class against λ, median of seeds, in the plane (circles) and in space (triangles), bars from the "
        "least to the most of them; lines are the closed form for regular polygons, and for tetrahedron, octahedron, "
        "square antiprism and icosahedron."
    )
    return figure, caption(first.attrs, text)


def by_penalty(values: xr.DataArray, theory: xr.DataArray, ax: Axes | None = None, *, space: bool = False) -> Axes:
    """A number of models against the penalty by number of classes, medians and range of seeds, and what theory says."""
    ax = current_axes(ax)
    order = theory.sortby("weight_l2")
    for k, n in enumerate(values["n_features"].values):
        color = COLORS[k % len(COLORS)]
        ax.plot(order["weight_l2"], order.sel(n_features=n), "--" if space else "-", color=color, lw=1)
        every = values.sel(n_features=n)
        row = every.median("seed")
        ax.vlines(row["weight_l2"], every.min("seed"), every.max("seed"), color=color, lw=3, alpha=0.35)
        ax.plot(row["weight_l2"], row, "^" if space else "o", color=color, mfc="white", ms=4, label=f"{n}")
    ax.set(xscale="log", xlabel="penalty λ")
    plain_ticks(ax, subs=(1,))
    return ax
