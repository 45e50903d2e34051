"""Training rests on a few levels of loss: Chen et al. 2023, "Dynamical versus Bayesian Phase Transitions in a Toy Model"."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.features import feature_directions
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.theory.single_active import Level, at_level, polygon_levels
from superpos.training.train_config import TrainConfig

SOURCE = "Chen et al. 2023, Dynamical versus Bayesian Phase Transitions"
N = 6  # features
LEVEL_COLORS = ("blue", "green", "sky", "orange", "red", "purple")
# Losses for six features in two dimensions as the paper prints them, by its names: sides, biased and dead features.
PUBLISHED = {"6": 0.04819, "5⁺": 0.06180, "5⁻": 0.06874, "4⁺⁺": 0.09722, "4⁺⁻": 0.10417, "4⁻⁻": 0.11111}
NEAR = 1e-3  # relative; neighbouring levels are 7 % apart or more
REPRESENTED = 0.5


@dataclass(frozen=True)
class Size:
    """Models begun beside each level, and as many from random weights; steps; terms of the series of the expected loss."""

    repeats: int = 4
    steps: int = 2_000
    order: int = 16


SIZES = Sizes(quick=Size(repeats=1, steps=20, order=8), laptop=Size(), full=Size(repeats=16))


def build(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid, of both sweeps: from random weights, and from `starts`."""
    # An anticorrelated set of all features whose densities add up to 1: exactly one is active.
    task = Toy(
        n_features=N,
        n_hidden=2,
        feature_probability=1 / N,
        anticorrelated_sets=(tuple(range(N)),),
        objective="expected",
        order=size.order,
    )
    config = TrainConfig(steps=size.steps, learning_rate=2.0, optimizer="sgd", schedule="constant", history=size.steps)
    return task, config, Grid(seed=range(size.repeats * len(polygon_levels(N))))


def nearest(loss: float, levels: list[Level]) -> Level | None:
    """The level whose loss this is, to one in a thousand; None if there is none."""
    closest = min(levels, key=lambda level: abs(level.loss - loss))
    return closest if abs(loss / closest.loss - 1) <= NEAR else None


def starts(levels: list[Level], repeats: int, noise: float = 0.02, seed: int = 0) -> dict[str, np.ndarray]:
    """W and b of models that start at each of the levels in turn, `repeats` times, with normal noise added to W."""
    rng = np.random.default_rng(seed)
    at = [at_level(level) for level in levels for _ in range(repeats)]
    W = np.stack([w for w, _ in at])
    return {"W": W + noise * rng.normal(size=W.shape), "b": np.stack([b for _, b in at])}


def landed(loss: Any, W: Any, b: Any, levels: list[Level]) -> xr.Dataset:
    """Where models end: `loss` (sum over features), its `level`, and `sides`, `length` and `bias`, over `seed`.

    `loss` is (n_models,), `W` (n_models, 2, n_features), `b` (n_models, n_features). `level` is "" off all levels; `sides`
    counts represented features, `length` and `bias` are means over these.
    """
    loss, W, b = np.asarray(loss, float), np.asarray(W, float), np.asarray(b, float)
    norms = np.linalg.norm(W, axis=1)
    on = norms > REPRESENTED
    sides = on.sum(axis=1)
    ends = [nearest(value, levels) for value in loss]
    columns = {
        "loss": loss,
        "level": ["" if level is None else level.name for level in ends],
        "sides": sides,
        "length": np.sum(on * norms, axis=1) / np.maximum(sides, 1),
        "bias": np.sum(on * b, axis=1) / np.maximum(sides, 1),
    }
    return xr.Dataset({name: ("seed", values) for name, values in columns.items()})


def landed_of(result: SweepResult, levels: list[Level]) -> xr.Dataset:
    """Where the models of a sweep over `seed` end, as `landed` says it."""
    dims = ("seed", "hidden", "feature")
    loss, W, b = (result[name].transpose(*dims, missing_dims="ignore").values for name in ("loss", "W", "b"))
    return landed(N * loss, W, b, levels)


def evaluate(levels: list[Level], free: xr.Dataset, placed: xr.Dataset, begun: list[str], claims: Claims) -> None:
    """The levels are those of the paper; random starts end on them; models begun beside each of them stay there.

    `free` and `placed` are of `landed`, from random weights and from beside the levels named in `begun`.
    """
    by_name = {level.name: level for level in levels}
    off = max(abs(by_name[name].loss - value) if name in by_name else np.inf for name, value in PUBLISHED.items())
    measured = ", ".join(f"{level.name} {level.loss:.5f}" for level in levels)
    claims.identity("closed forms of the critical points' losses", "the published ones, to 1e-5", measured, off <= 1e-5)
    counts = Counter(free["level"].values.tolist())
    inside = sum(count for name, count in counts.items() if name)
    measured = f"{inside} of {len(free['seed'])} seeds: " + ", ".join(
        f"{c} × {n or 'off'}" for n, c in counts.most_common()
    )
    holds = inside == len(free["seed"])
    claims.check(
        "training from random weights ends on a published level", "every seed, loss within .1 %", measured, holds
    )
    worst, measured = 0.0, "none"
    for table in (free, placed):
        for k, level_name in enumerate(table["level"].values.tolist()):
            if level_name and (level := by_name[level_name]):
                wrong = [abs(float(table[name][k]) / value - 1) for name, value in _of(level)]
                worst = max(worst, *wrong, float(int(table["sides"][k]) != level.sides))
                measured = f"off by {100 * worst:.2g} % at most"
    expected = "as many sides as the level's name says; mean length (and bias of 5 and 6 sides) within 1 %"
    holds = measured != "none" and worst <= 0.01
    claims.check("they are the polygons of theory, not only of their loss", expected, measured, holds)
    stayed = [now == then for now, then in zip(placed["level"].values.tolist(), begun, strict=True)]
    left = sorted({then for then, same in zip(begun, stayed, strict=True) if not same})
    measured = f"{sum(stayed)} of {len(stayed)}"
    if left:
        measured += f"; not all of {', '.join(left)}"
    claims.check("begun beside a level, training rests on it", "all models, all six levels", measured, all(stayed))
    dead = [name for name in free["level"].values.tolist() if "⁻" in name]
    expected = "fewer seeds with one than without, although such levels hold what is put there"
    measured = f"{len(dead)} of {inside}"
    claims.check(
        "random starts seldom end with a dead feature", expected, measured, inside > 0 and len(dead) < inside / 2
    )


def _of(level: Level) -> list[tuple[str, float]]:
    """What is compared with theory; a square's bias is 0 and has no relative error."""
    if level.sides > 4:
        return [("length", level.length), ("bias", level.bias)]
    return [("length", level.length)]


def draw(
    levels: list[Level],
    free: SweepResult,
    placed: SweepResult,
    tables: Sequence[xr.Dataset],
    repeats: int,
) -> tuple[Figure, str]:
    """Figure and caption: losses of both sweeps through training, and what models begun beside each level end with.

    `tables` are of `landed`, of `free` and of `placed`.
    """
    names = [level.name for level in levels]
    figure = plt.figure(figsize=(9.4, 5.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.5, 1))  # type: ignore[misc]
    titles = ("from random weights", "begun beside each level")
    for ax, result, table, title in zip(above.subplots(1, 2), (free, placed), tables, titles, strict=True):
        loss = N * result["loss_history"].transpose("seed", "record").values
        numbers = [names.index(name) if name else -1 for name in table["level"].values.tolist()]
        loss_on_levels(loss, result["record_step"].values, [x.loss for x in levels], names, ax, chosen=numbers)
        ax.set_title(title)
    for k, (ax, level) in enumerate(zip(below.subplots(1, len(levels)), levels, strict=True)):
        feature_directions(placed.isel(seed=k * repeats)["W"].values, ax, limit=1.6)
        ax.set_title(f"{level.name}: {level.loss:.5f}")
    text = (
        f"Top: loss of {free.sizes['seed']} models each, a line per seed, in the colour of the level it ends on (black: "
        "none); dashed: losses of the critical points, in closed form. Their names: sides of the polygon, ⁺ for a feature "
        "without length whose bias is the best constant, ⁻ for a dead one. Right: W starts from a critical point with "
        f"normal noise of .02. Bottom: what the first of the {repeats} models begun beside each level ends with."
    )
    return figure, caption(free.attrs, text)


def loss_on_levels(
    loss: Any, steps: Any, levels: Any, names: Sequence[str], ax: Axes | None = None, *, chosen: Any = None
) -> Axes:
    """Losses (n_models, n_points) at `steps`, and the values `levels` with their `names`, dashed, one colour each.

    A line has the colour of the level whose number `chosen` (n_models,) holds, and is black where that is -1 or not given.
    """
    ax, loss = current_axes(ax), np.asarray(loss)
    shades = [PALETTE[LEVEL_COLORS[k % len(LEVEL_COLORS)]] for k in range(len(names))]
    for value, name, color in zip(levels, names, shades, strict=True):
        ax.axhline(float(value), color=color, ls="--", lw=0.8, zorder=0)
        place: Any = {
            "xycoords": ("axes fraction", "data"),
            "textcoords": "offset points",
            "ha": "right",
            "va": "bottom",
        }
        ax.annotate(name, (1.0, float(value)), (-1, 0.5), fontsize=6.5, color=color, **place)
    for k, line in enumerate(loss):
        level = -1 if chosen is None else int(chosen[k])
        ax.plot(steps, line, color="black" if level < 0 else shades[level], lw=0.8, alpha=0.7)
    ax.set(
        xlabel="step", ylabel="loss (sum over features)", xscale="log", yscale="log", xlim=(None, 2.5 * np.max(steps))
    )
    plain_ticks(ax, y=True)
    plain_ticks(ax, subs=(1,))
    return ax
