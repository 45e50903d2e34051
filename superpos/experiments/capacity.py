"""How dimensions are shared out among features of different importance, as they get sparser.

Scherlis et al. 2022, "Polysemanticity and Capacity in Neural Networks".
"""

from dataclasses import dataclass
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos import arrays, check
from superpos.analysis.features import feature_capacity, frame_defect
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.experiments.uniform import SMALL_BEST_UP_TO
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.sweeps import log_edges, plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.theory.capacity import allocation, capacity_losses
from superpos.theory.uniform import benefits, structures
from superpos.training.train_config import TrainConfig

SOURCE = "Scherlis et al. 2022, Polysemanticity and Capacity"
DRAWN_DENSITIES = (1.0, 0.3, 0.1, 0.02)
ALONE = 0.9  # capacities above this are a dimension of one's own, those below 1 − ALONE none
# No number is published for how equal the marginal benefit must be; these are ours.
REGRET = 0.05
TOLERANCE = 0.05  # of a falling capacity: members of one block differ a little


@dataclass(frozen=True)
class Size:
    """Features and hidden dimensions, how many densities and seeds, steps, and terms of the price's expected losses."""

    n_features: int = 16
    n_hidden: int = 4
    densities: int = 13
    seeds: int = 8
    steps: int | None = None
    order: int = 64


SIZES = Sizes(
    quick=Size(n_features=8, n_hidden=2, densities=5, seeds=2, steps=30, order=16),
    laptop=Size(),
    full=Size(densities=25, seeds=64, steps=1_000),
)


def build(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid."""
    importance = 0.8 ** np.arange(size.n_features)
    task = Toy(n_features=size.n_features, n_hidden=size.n_hidden, importance=importance, objective="expected")
    grid = Grid(feature_probability=np.geomspace(1, 0.01, size.densities), seed=range(size.seeds))
    return task, TrainConfig(steps=size.steps), grid


def measure(result: SweepResult) -> xr.Dataset:
    """`capacity` and `defect` of every feature of every model; dims of the result's grid, then `feature`."""
    W = result["W"].transpose(..., "hidden", "feature")
    capacity_and_defect = jax.jit(lambda w: (feature_capacity(w), frame_defect(w)))
    values = [np.array(x) for x in zip(*map(capacity_and_defect, W.values.reshape(-1, *W.shape[-2:])), strict=True)]
    dims = (*W.dims[:-2], "feature")
    sizes = (*W.shape[:-2], W.shape[-1])
    variables = {name: (dims, x.reshape(sizes)) for name, x in zip(("capacity", "defect"), values, strict=True)}
    return xr.Dataset(variables, {d: W.coords[d] for d in dims if d in W.coords})


def priced(best: SweepResult, *, order: int = 64) -> xr.Dataset:
    """What equal marginal benefit predicts at every density of a result over `feature_probability`, and how good it is.

    Structures that compete have no more dimensions and features than there are.
    `capacity` over (feature_probability, feature); `loss`, the sum over features; `price` per unit of capacity; and
    `regret`: what the trained allocation, valued on the same curve, costs above the best allocation of as much capacity;
    `even_regret`: the same for equal shares, as a control.
    """
    task, p = best.attrs["task"], best["feature_probability"].values
    n, m = task["n_features"], task["n_hidden"]
    importance = np.broadcast_to(np.asarray(task["importance"], float), (n,))
    fitting = [shape for shape in structures() if shape.dimensions <= m and len(shape.vertices) <= n]
    curves = capacity_losses(p, benefits(p[p < 1], fitting, order=order))
    trained = measure(best)["capacity"].transpose("feature_probability", "feature").values.astype(float)
    allocations, regrets = [allocation(curve, importance, m) for curve in curves], []
    for curve, C in zip(curves, trained, strict=True):
        costs = [importance @ np.interp(shares, curve.capacity, curve.loss) for shares in (C, np.full(n, C.sum() / n))]
        regrets.append(np.array(costs) / allocation(curve, importance, C.sum()).loss - 1)
    over = "feature_probability"
    variables = {
        "capacity": ((over, "feature"), np.array([allocated.capacity for allocated in allocations])),
        "loss": (over, np.array([allocated.loss for allocated in allocations])),
        "price": (over, np.array([allocated.price for allocated in allocations])),
        "regret": (over, np.array(regrets)[:, 0]),
        "even_regret": (over, np.array(regrets)[:, 1]),
    }
    return xr.Dataset(variables, {over: p})


def evaluate(result: SweepResult, table: xr.Dataset, price: xr.Dataset, claims: Claims) -> None:
    """All claims: of every model, from `measure`'s table, and of the best ones, from `priced`."""
    evaluate_bound(table, result.attrs["task"]["n_hidden"], claims)
    evaluate_allocation(result.best("seed"), table.isel(seed=result.best_index("seed")), price, claims)


def evaluate_bound(table: xr.Dataset, n_hidden: int, claims: Claims) -> None:
    """Capacities lie in [0, 1] and add up to at most m, and to m exactly where W is block-semi-orthogonal: of any W."""
    C, total = table["capacity"].values, table["capacity"].sum("feature").values.ravel()
    measured = f"{C.min():.3f} … {C.max():.5f} in {total.size} models"
    inside = C.min() >= 0 and C.max() <= 1 + 1e-5
    claims.identity("a feature has between no and one dimension", "0 ≤ C ≤ 1", measured, inside)
    expected, measured = "ΣC ≤ m", f"m − ΣC at least {(n_hidden - total).min():.1e}"
    claims.identity("capacities add up to at most m", expected, measured, (n_hidden - total).min() >= -1e-4)
    defect = table["defect"].max("feature").values.ravel()
    tight, loose = defect < 1e-4, defect > 1e-2
    most, least = (n_hidden - total[tight]).max(initial=-np.inf), (n_hidden - total[loose]).min(initial=np.inf)
    expected = "m − ΣC is 0 if all Wᵢ are eigenvectors of WWᵀ (sin² < 1e-4), above 0 if not (sin² > .01)"
    measured = f"at most {most:.4f} in {tight.sum()} models, at least {least:.4f} in {loose.sum()}"
    holds = most <= 0.01 and least > 0
    claims.identity("equality iff W is block-semi-orthogonal", expected, measured, holds)


def evaluate_allocation(best: SweepResult, table: xr.Dataset, price: xr.Dataset, claims: Claims) -> None:
    """Who gets how much at every density; `table` and `price` belong to `best`, which is over `feature_probability`."""
    task, p = best.attrs["task"], best["feature_probability"].values
    m, n = task["n_hidden"], task["n_features"]
    C = table["capacity"].transpose("feature_probability", "feature").values
    deviation = np.abs(C[p.argmax()] - (np.arange(n) < m)).max()
    claims.check(
        "dense: the m most important features have C = 1, others 0", "± .02", f"{deviation:.4f}", deviation <= 0.02
    )
    alone, sharing = (C > ALONE).sum(axis=1), ((C > 1 - ALONE) & (C <= ALONE)).sum(axis=1)
    staged = [k for k in range(len(p)) if alone[k] and sharing[k] and alone[k] + sharing[k] < n]
    ordered = all(np.all(np.diff(np.digitize(C[k], [1 - ALONE, ALONE])) <= 0) for k in staged)
    measured = f"{'in order' if ordered else 'out of order'} at " + ", ".join(f"{p[k]:.2g}" for k in staged)
    expected = "C = 1, then 0 < C < 1, then 0, at the densities 1 − S that have all three"
    claims.check("between: the most important alone, the next share", expected, measured, staged and ordered)
    rises = np.maximum(np.diff(C, axis=1), 0).max(axis=1)
    measured = f"largest rise {rises.max():.3f}, at 1 − S = {p[rises.argmax()]:.2g}"
    expected, holds = f"no rise above {TOLERANCE:g}", rises.max() <= TOLERANCE
    claims.check("capacity falls with importance", expected, measured, holds)
    order = np.argsort(-p)
    expected = "with C > .1 never fewer, with C > .9 never more"
    measured = (
        f"sharing or alone {', '.join(map(str, (alone + sharing)[order]))}; alone {', '.join(map(str, alone[order]))}"
    )
    holds = np.all(np.diff((alone + sharing)[order]) >= 0) and np.all(np.diff(alone[order]) <= 0)
    claims.check("sparser: more features share", expected, measured, holds)
    # The curve is right where the best structures of all are on it. Which those are is known of n ≫ m, without training;
    # to choose the densities by how well training does on the curve would be to choose by what is claimed.
    on_curve = 1 / p <= SMALL_BEST_UP_TO
    regret, control = (100 * price[name].values for name in ("regret", "even_regret"))
    distance = np.abs(C - price["capacity"].values)[on_curve].mean()
    measured = (
        f"at most {regret[on_curve].max():.1f} % (equal shares: {control[on_curve].min():.0f} % or more) at 1 − S ≥ "
    )
    measured += f"{p[on_curve].min():.2g}; mean |C − predicted| {distance:.3f}"
    less = 100 * float((1 - n * best["loss"].values / price["loss"].values).max())
    if less > 1:
        measured += f"; sparser, with structures that are not on the curve, up to {less:.0f} % cheaper"
    expected = f"at most {100 * REGRET:.0f} % dearer than the best allocation, at 1/(1 − S) ≤ {SMALL_BEST_UP_TO:g}"
    claims.check("marginal benefit is equalised", expected, measured, regret[on_curve].max() <= 100 * REGRET)


def draw(result: SweepResult, table: xr.Dataset, price: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: capacities, trained and as equal marginal benefit predicts, the bound, and some densities.

    `table` is `measure`'s, `price` that of `priced`.
    """
    task, best = result.attrs["task"], table.isel(seed=result.best_index("seed"))
    importance = np.broadcast_to(np.asarray(task["importance"], float), (task["n_features"],))
    figure = plt.figure(figsize=(8.2, 5), layout="constrained")
    rows: Any = figure.subfigures(2, 1, height_ratios=(1.2, 1))
    left, middle, right = rows[0].subplots(1, 3, width_ratios=(1, 1, 1))
    capacity_map(best["capacity"], left)
    image = capacity_map(price["capacity"], middle)
    left.set_title(f"trained, best of {result.sizes['seed']}")
    middle.set(title="equal marginal benefit", ylabel="")
    rows[0].colorbar(image, ax=middle, label="capacity $C_i$")
    missing = task["n_hidden"] - table["capacity"].sum("feature")
    capacity_bound(missing.values.ravel(), table["defect"].max("feature").values.ravel(), right)
    right.set_title("all models")
    axes = rows[1].subplots(1, len(DRAWN_DENSITIES), sharey=True)
    for ax, p in zip(axes, DRAWN_DENSITIES, strict=True):
        trained, predicted = (
            capacity.sel(feature_probability=p, method="nearest") for capacity in (best["capacity"], price["capacity"])
        )
        capacity_by_importance(importance, trained, ax, expected=predicted)
        ax.set_title(f"1 − S = {float(trained['feature_probability']):.2g}")
        ax.set_ylabel(ax.get_ylabel() if ax is axes[0] else "")
    axes[-1].legend(loc="upper right")
    text = (
        "Capacity: the share of a dimension that every feature has. Trained; as equal marginal benefit predicts from "
        "known shapes that fit; and m − ΣC against the squared sine by which a feature is no eigenvector of "
        f"WWᵀ, one dot per model. Bottom: some densities against importance. Trained ones: {result.best_of()}."
    )
    return figure, caption(result.attrs, text)


def capacity_map(capacity: xr.DataArray, ax: Axes | None = None) -> Any:
    """C_i over 1/(1 − S) and features, first feature on top; dims (feature_probability, feature). Returns the image."""
    ax = current_axes(ax)
    values = capacity.sortby("feature_probability", ascending=False).transpose("feature", "feature_probability")
    n = values.sizes["feature"]
    mesh = ax.pcolormesh(
        log_edges(1 / values.feature_probability.values),
        np.arange(n + 1) - 0.5,
        values.values,
        vmin=0,
        vmax=1,
        cmap="viridis",
        rasterized=True,
    )
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="feature i", ylim=(n - 0.5, -0.5))
    plain_ticks(ax)
    return mesh


def capacity_by_importance(importance: Any, capacity: Any, ax: Axes | None = None, *, expected: Any = None) -> Axes:
    """C_i of one model against importance, most important first; `expected` capacities as a staircase behind."""
    ax = current_axes(ax)
    importance = arrays.as_numpy("importance", importance, ndim=1)
    check.in_range("importance", importance, above=0)
    capacity = arrays.as_numpy("capacity", capacity, shape=importance.shape)
    if expected is not None:
        expected = arrays.as_numpy("expected", expected, shape=importance.shape)
        ax.step(importance, expected, where="mid", color=PALETTE["orange"], lw=1.4, label="equal marginal benefit")
    ax.plot(importance, capacity, "o", color="black", ms=3.5, label="trained")
    ax.set(xscale="log", xlim=(1.15 * importance.max(), importance.min() / 1.15), ylim=(-0.05, 1.08))
    ax.set(xlabel="importance $I_i$", ylabel="capacity $C_i$", yticks=[0, 0.5, 1])
    return ax


def capacity_bound(missing: Any, defect: Any, ax: Axes | None = None, *, color: Any = "black", label: str = "") -> Axes:
    """Capacity missing from m against the largest frame defect, one dot per model; equality is the lower left corner."""
    ax = current_axes(ax)
    missing, defect = arrays.as_numpy("missing", missing, ndim=1), arrays.as_numpy("defect", defect, ndim=1)
    ax.plot(defect, missing, "o", color=color, ms=2.5, mec="none", alpha=0.6, label=label)
    ax.set(xlabel="largest frame defect", ylabel="$m - \\Sigma C_i$")
    ax.locator_params(nbins=4)  # numbers of three digits: more would run into each other
    return ax
