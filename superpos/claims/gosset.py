"""Gosset's polytopes: which structures win as features get sparser, and that training finds them.

Not in Elhage et al. 2022, whose "The Geometry of Superposition" ends with the square antiprism; the setting is theirs.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from superpos.experiments.claims import Claims
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


# Structures that win somewhere, and one of Gosset's that does not.
SETTINGS = {
    "pentagon": Setting(5, 2, (4.7, 10.0), 16),
    "square antiprism": Setting(8, 3, (5.1, 10.0), 16),
    "rectified 5-cell": Setting(10, 4, (6.0, 10.0), 16),
    "5-demicube": Setting(16, 5, (6.0, 8.0, 10.0), 16),
    "2_21": Setting(27, 6, (15.0, 20.0, 30.0), 8, 32),
    "3_21": Setting(56, 7, (40.0, 100.0), 4, 64, 400),
}
# More features than places: what is left over stays out, or joins.
SOLIDS = Setting(12, 3, (8.0, 12.0, 20.0), 16)
# (The 10-point code and the gyroelongated square bipyramid are close: their benefits differ by .03 % at 1/(1 − S) = 10.)
SOLID_NAMES = {8.0: "tricapped triangular prism", 12.0: "10-point code", 20.0: "10-point code"}
# Far more features than places, trained by sampling.
LARGE = Setting(200, 20, (5.1, 10.64, 20.0), 3, 16, 5_000)
CURVES = ("antipodal pair", "pentagon", "square antiprism", "triangular prism", "rectified 5-cell", "5-demicube")
CURVES += ("2_21", "3_21", "4_21", "icosahedron", "24-cell")
WINNERS = ("triangle", "square pyramid", "antipodal pair", "pentagon", "square antiprism", "5-demicube", "2_21", "3_21")
CROSSOVERS = (1.2496, 1.4930, 1.5625, 4.4469, 4.8973, 5.2771, 10.619, 31.479)  # 1/(1 − S) from which each of them wins
RARE = "3_21"  # what random starts seldom find
MAX_EXPECTED = 100  # features; with more, sampling is faster
CLOSE = 1e-3  # of the loss: a model that has the shape has its loss


def setup(setting: Setting, quick: bool) -> tuple[Toy, TrainConfig, Grid]:
    """What to train for one setting: on the population loss where features are few, by sampling where they are many."""
    few, n, d = setting.n_features <= MAX_EXPECTED, setting.n_features, setting.n_hidden
    if quick:
        n, d = min(n, 12), min(d, 3)
    series: dict[str, Any] = {"objective": "expected", "order": 8 if quick else setting.order} if few else {}
    task = Toy(n_features=n, n_hidden=d, **series)
    x, seeds = (setting.x[:1], 1) if quick else (setting.x, setting.seeds)
    config = TrainConfig(steps=20 if quick else setting.steps)
    return task, config, Grid(feature_probability=1 / np.array(x), seed=range(seeds))


def curves(x: Any, names: tuple[str, ...] = CURVES, *, order: int = 64) -> xr.Dataset:
    """Benefit per dimension, in units of v, of structures at their best: `benefit` over (structure, x)."""
    chosen = {shape.name: shape for shape in structures()}
    found = benefits(1 / np.asarray(x), [chosen[name] for name in names], order=order)
    over = {"structure": list(names), "x": np.asarray(x, float)}
    return xr.Dataset({"benefit": (("structure", "x"), np.array([s.benefit for s in found]))}, over)


def ranges(x_from: float, x_to: float) -> xr.Dataset:
    """The winner among all known shapes in every range of x: `start`, `stop` and `winner` over `range`."""
    found = winning_ranges(x_from, x_to, steps=12, order=32)
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


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score."""
    z, share = 1.96, hits / tries
    middle, half = share + z**2 / (2 * tries), z * np.sqrt(share * (1 - share) / tries + z**2 / (4 * tries**2))
    return (middle - half) / (1 + z**2 / tries), (middle + half) / (1 + z**2 / tries)


def on_curve(name: str, table: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Of the seeds that found a structure: their share, (x,), and the best one's benefit, (x,), NaN where none did."""
    there = table["shape"] == name
    return there.mean("seed").values, table["benefit"].where(there).max("seed").values


def _shares(names: Any, hits: np.ndarray, x: np.ndarray) -> str:
    """ "3 of 16 (7–43 %) at x = 6" for every x."""
    told = []
    for value, found in zip(x, hits, strict=True):
        low, high = wilson(int(found.sum()), found.size)
        told.append(f"{int(found.sum())} of {found.size} ({100 * low:.0f}–{100 * high:.0f} %) at {value:g}")
    return ", ".join(told)


def judge(
    tables: Mapping[str, xr.Dataset],
    exact: xr.Dataset | None,
    solids: xr.Dataset,
    large: xr.Dataset,
    found: Any,
    claims: Claims,
) -> None:
    """Winners of theory, what training finds, how near its loss is, and what beats all structures.

    `tables` holds what was `measured` for every one of `SETTINGS`, `solids` and `large` likewise; `exact` are the `curves`
    at the x of all of them, and `found` the `ranges`; nothing is judged of theory without these two.
    """
    if found is not None:
        names, starts = found["winner"].values.tolist(), found["start"].values
        at = [float(starts[names.index(w)]) if w in names else np.nan for w in WINNERS]
        apart = np.abs(np.array(at) / CROSSOVERS - 1).max()
        told = ", ".join(f"{name} from {x:.4g}" for name, x in zip(WINNERS, at, strict=True))
        claims.add("theory: who wins from which 1/(1 − S) to 100", "crossovers ± .01 %", told, apart <= 1e-4)
    for name, table in tables.items():
        x, hits = table["x"].values, (table["shape"] == name).transpose("x", "seed").values
        told = _shares(name, hits, x)
        if name != RARE:
            claims.add(f"{name}: found by training", "some seeds at every density", told, hits.any(axis=1).all())
        if exact is None:
            continue
        n, d = SETTINGS[name].n_features, SETTINGS[name].n_hidden
        benefit = exact["benefit"].sel(structure=name).sel(x=x, method="nearest").values[:, None]
        gap = (n - d * table["benefit"].transpose("x", "seed").values) / (n - d * benefit) - 1
        if name == RARE:
            told += f"; loss {100 * gap.min():+.2f} to {100 * gap.max():+.2f} %"
            wanted = "no loss more than .1 % below the theory's"
            claims.add(f"{name}: random starts find it seldom, and nothing better", wanted, told, gap.min() >= -CLOSE)
        if hits.any():
            wanted, told = (
                "within .1 % of the theory's",
                f"{gap[hits].min():+.1e} to {gap[hits].max():+.1e} in {hits.sum()} models",
            )
            claims.add(f"{name}: loss of those that found it", wanted, told, np.abs(gap[hits]).max() <= CLOSE)
    x = solids["x"].values
    hits = np.array([(solids["shape"].sel(x=v).values == SOLID_NAMES[round(float(v), 6)]) for v in x])
    for name in dict.fromkeys(SOLID_NAMES.values()):
        here = [k for k, v in enumerate(x) if SOLID_NAMES[round(float(v), 6)] == name]
        told = _shares(name, hits[here], x[here]) if here else "not trained"
        claims.add(
            f"12 features in space: {name}",
            "some seeds at every density",
            told,
            bool(here) and hits[here].any(axis=1).all(),
        )
    if exact is not None:
        best = exact["benefit"].max("structure").sel(x=large["x"].values, method="nearest").values
        told = ", ".join(
            f"{row.min():.3f}…{row.max():.3f} against {value:.3f} at {v:.4g}"
            for row, value, v in zip(large["benefit"].values, best, large["x"].values, strict=True)
        )
        sparse = large["x"].values > 10
        holds = (large["benefit"].values[sparse].min(axis=1) > best[sparse]).all()
        claims.add(
            "200 features in 20 dimensions beat every known structure", "all seeds, at 1/(1 − S) > 10", told, holds
        )
