"""Gosset's polytopes: which structures win as features get sparser, and that training finds them.

Not in Elhage et al. 2022, whose "The Geometry of Superposition" ends with the square antiprism; the setting is theirs.
"""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from superpos.sweep import Grid, SweepResult
from superpos.tasks import Toy
from superpos.theory.one_output import exact_errors
from superpos.theory.uniform import benefits, structures, unlearned_loss, winning_ranges
from superpos.train_config import TrainConfig


class Setting(NamedTuple):
    """Models in which one structure would use all features and fill all dimensions."""

    n_features: int
    n_hidden: int
    x: tuple[float, ...]  # 1/(1 − S)
    seeds: int
    order: int = 24
    steps: int = 600


# Structures that win somewhere, and those of Gosset's that do not.
SETTINGS = {
    "pentagon": Setting(5, 2, (4.7, 10.0), 16),
    "triangular prism": Setting(6, 3, (5.0, 10.0), 16),
    "square antiprism": Setting(8, 3, (5.1, 10.0), 16),
    "rectified 5-cell": Setting(10, 4, (6.0, 10.0), 16),
    "5-demicube": Setting(16, 5, (6.0, 8.0, 10.0), 16),
    "2_21": Setting(27, 6, (12.0, 20.0, 30.0), 8, 16),
    "3_21": Setting(56, 7, (40.0, 60.0, 100.0), 4, 32),
}
# More features than places: what is left over stays out, or joins.
SOLIDS = Setting(12, 3, (8.0, 12.0, 20.0), 16)
SOLID_NAMES = {8.0: "tricapped triangular prism", 12.0: "gyroelongated square bipyramid"}
SOLID_NAMES |= {20.0: "gyroelongated square bipyramid"}
CURVES = ("antipodal pair", "pentagon", "square antiprism", "triangular prism", "rectified 5-cell", "5-demicube")
CURVES += ("2_21", "3_21", "4_21", "icosahedron", "24-cell")
WINNERS = ("triangle", "antipodal pair", "pentagon", "square antiprism", "5-demicube", "2_21", "3_21")
CROSSOVERS = (1.2496, 1.5522, 4.4469, 4.8973, 5.2771, 10.619, 31.479)  # 1/(1 − S) from which each of `WINNERS` wins
CLOSE = 1e-3  # of the loss: a model that has the shape has its loss


def setup(setting: Setting, quick: bool) -> tuple[Toy, TrainConfig, Grid]:
    """What to train for one setting."""
    task = Toy(
        n_features=setting.n_features,
        n_hidden=setting.n_hidden,
        objective="expected",
        order=8 if quick else setting.order,
    )
    x, seeds = (setting.x[:1], 1) if quick else (setting.x, setting.seeds)
    return (
        task,
        TrainConfig(steps=20 if quick else setting.steps),
        Grid(feature_probability=1 / np.array(x), seed=range(seeds)),
    )


def curves(x: Any, names: tuple[str, ...] = CURVES, *, order: int = 64) -> xr.Dataset:
    """Benefit per dimension, in units of v, of structures at their best: `benefit` over (structure, x)."""
    chosen = {shape.name: shape for shape in structures()}
    found = benefits(1 / np.asarray(x), [chosen[name] for name in names], order=order)
    over = {"structure": list(names), "x": np.asarray(x, float)}
    return xr.Dataset({"benefit": (("structure", "x"), np.array([s.benefit for s in found]))}, over)


def ranges(x_from: float, x_to: float) -> xr.Dataset:
    """The winner among all known shapes in every range of x: `start`, `stop` and `winner` over `range`."""
    found = winning_ranges(x_from, x_to)
    columns = {"start": [r.start for r in found], "stop": [r.stop for r in found], "winner": [r.name for r in found]}
    return xr.Dataset({name: ("range", np.array(values)) for name, values in columns.items()})


def measured(result: SweepResult, *, order: int = 64) -> xr.Dataset:
    """`shape` and `benefit` per dimension, in units of v, of every model of a sweep over feature_probability and seed.

    The loss behind the benefit is exact, and in double precision.
    """
    n, d = result.attrs["task"]["n_features"], result.attrs["task"]["n_hidden"]
    W, b = (result[v].transpose("feature_probability", "seed", ...).values for v in ("W", "b"))
    p = result["feature_probability"].values
    loss = [
        [exact_errors(w, c, float(q), order=order).sum() for w, c in zip(*wc, strict=True)]
        for *wc, q in zip(W, b, p, strict=True)
    ]
    benefit = (n - np.array(loss) / unlearned_loss(p)[:, None]) / d
    found = result.geometry()["shape"].transpose("feature_probability", "seed")
    over = {"x": 1 / p, "seed": result["seed"].values}
    return xr.Dataset({"benefit": (("x", "seed"), benefit), "shape": (("x", "seed"), found.values)}, over)
