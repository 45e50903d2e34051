"""Few data points are memorised, many are generalised from, and in between the test loss is worst.

Henighan et al. 2023, "Superposition, Memorization, and Double Descent". The bump of the test loss is much higher at
n = 1,000, p = .01 than the paper's, at n = 10,000, p = .001: ten times as many fresh points share a feature with a memorised
one. Its height is not settled: the replication printed with the paper finds 5,000 at the paper's own size, where the paper
has 1.01.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.features import feature_dimensionality
from superpos.analysis.geometries import geometries
from superpos.analysis.points import point_dimensionality
from superpos.config import task_from_dict
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import DoubleDescent
from superpos.tasks.base import materialize
from superpos.training.train_config import TrainConfig

SOURCE = "Henighan et al. 2023, Superposition, Memorization, and Double Descent"
# A point of a polygon has m/T, within this share of it.
POLYGON_WITHIN = 0.1
# Vectors of a model that are looked at for a shape, the longest.
MAX_NAMED = 48
DIMS = ("weight_decay", "n_points")
# Sizes at which points must form polygons.
POLYGON_SIZES = (5, 10)
DRAWN_POINTS = (5, 8, 30, 200, 2_000, 20_000)
OUTLIER = 1.5  # × the test loss of the line: dots above are named in the caption


@dataclass(frozen=True)
class Size:
    """Features and their density, numbers of data points T by hidden dimensions (2 and 4), weight decays, seeds, steps.

    The paper's weight decay of 1 is of four hidden dimensions. Without `points_of_four` only two are trained, with both.
    """

    n_features: int = 1_000
    density: float = 0.01
    # A feature occurs T(1 − S) times in the data; from about ten on it is learned. The last of each has twenty.
    points: tuple[int, ...] = (3, 5, 6, 8, 10, 15, 30, 50, 100, 200, 500, 1_000, 2_000)
    points_of_four: tuple[int, ...] = (5, 10, 30, 100, 200, 500, 1_000, 2_000, 5_000)
    weight_decays: tuple[float, ...] = (0.01,)
    seeds: int = 3
    steps: int = 15_000
    evaluation_samples: int = 16_384


SIZES = Sizes(
    quick=Size(  # compiles for two hidden dimensions only
        n_features=100,
        density=0.05,
        points=(5, 8, 20),
        points_of_four=(),
        weight_decays=(0.01, 1.0),
        seeds=1,
        steps=100,
        evaluation_samples=1_024,
    ),
    laptop=Size(),
    full=Size(
        n_features=10_000,
        density=0.001,
        points=(3, 5, 6, 8, 10, 15, 30, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000),
        points_of_four=(5, 10, 30, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000),
        seeds=5,
        steps=50_000,
    ),
)


def build(size: Size) -> tuple[DoubleDescent, TrainConfig, Grid]:
    """Task, training and grid of two hidden dimensions."""
    grid = Grid(n_points=size.points, weight_decay=list(size.weight_decays), seed=range(size.seeds))
    return _task(size, 2, size.points), _config(size), grid


def build_four(size: Size) -> tuple[DoubleDescent, TrainConfig, Grid]:
    """Task, training and grid of four hidden dimensions."""
    grid = Grid(n_points=size.points_of_four, weight_decay=[0.01, 1.0], seed=range(2))
    return _task(size, 4, size.points_of_four), _config(size), grid


def _task(size: Size, n_hidden: int, points: Sequence[int]) -> DoubleDescent:
    return DoubleDescent(
        n_features=size.n_features, n_hidden=n_hidden, most_points=max(points), feature_probability=size.density
    )


def _config(size: Size) -> TrainConfig:
    """The paper's AdamW decays all parameters, biases too."""
    return TrainConfig(
        steps=size.steps,
        warmup_steps=size.steps // 20,
        decay_bias=True,
        evaluation_samples=size.evaluation_samples,
    )


def losses(result: SweepResult) -> xr.Dataset:
    """`test_loss` and `train_loss` of every seed, by `weight_decay` and `n_points`, and the place of the `best`."""
    history = result["loss_history"]
    inner = [d for d in history.dims if d not in result.sizes]
    train = history.isel({inner[0]: -1}).transpose(*DIMS, "seed")
    test = result["loss"].transpose(*DIMS, "seed")
    variables = {"train_loss": ((*DIMS, "seed"), train.values), "test_loss": ((*DIMS, "seed"), test.values)}
    best = train.fillna(np.inf).argmin("seed").values
    coords = {name: result[name].values for name in (*DIMS, "seed")}
    return xr.Dataset(variables | {"best": (DIMS, best)}, coords, {"m": int(result.attrs["task"]["n_hidden"])})


def measure(result: SweepResult) -> xr.Dataset:
    """What the model of least training loss learned, beside the `losses`.

    Variables: of that model `norm` ‖W‖_F, `bias` ‖b‖, mean `point_share` and `least_point_share` (D_X), largest
    `feature_share` (D_f), `n_features_learned` (longer than half of the longest), their `shape` in words, that of the
    points' hidden vectors (`point_shape`), and `rings`: whether hidden vectors lie on circles of two radii. Of every seed
    `every_point_share` and `every_feature_share`.
    """
    table = losses(result)
    points = np.asarray(materialize(task_from_dict(result.attrs["task"])).points).T
    every_W = result["W"].transpose(*DIMS, "seed", "hidden", "feature").values
    biases = result["b"].isel(seed=table["best"]).transpose(*DIMS, ...)
    counts = [int(T) for T in table["n_points"].values]
    # Points beyond T count as 0, which changes no number, so all sizes are of one shape and measured at once.
    every_H = every_W @ points * (np.arange(points.shape[1]) < np.array(counts)[:, None, None, None])
    every_share = _of_all(feature_dimensionality, every_W), _of_all(point_dimensionality, every_H)
    at = np.ix_(*map(np.arange, every_W.shape[:2]))
    Ws, Hs, feature_shares, point_shares = (x[(*at, table["best"].values)] for x in (every_W, every_H, *every_share))
    lengths = np.linalg.norm(Ws, axis=-2)
    variables: dict[str, Any] = {
        "norm": np.linalg.norm(Ws, axis=(-2, -1)),
        "bias": np.linalg.norm(biases.values, axis=-1),
        "point_share": point_shares.sum(axis=-1) / counts,
        "least_point_share": np.stack([point_shares[:, k, :T].min(axis=-1) for k, T in enumerate(counts)], axis=-1),
        "feature_share": feature_shares.max(axis=-1),
        "n_features_learned": np.sum(lengths > lengths.max(axis=-1, keepdims=True) / 2, axis=-1).astype(float),
        "rings": np.zeros(Ws.shape[:2]),
    }
    for name, vectors in (("shape", Ws), ("point_shape", Hs)):
        longest = np.stack([_longest(model_vectors) for model_vectors in vectors.reshape(-1, *vectors.shape[2:])])
        variables[name] = np.reshape([shape.name for shape in geometries(longest)], Ws.shape[:2])
    for i, j in np.ndindex(Ws.shape[:2]):
        variables["rings"][i, j] = two_radii(np.linalg.norm(Hs[i, j, :, : counts[j]], axis=0))
    table = table.assign({name: (DIMS, values) for name, values in variables.items()})
    every = {"feature": every_share[0].max(axis=-1), "point": every_share[1].sum(axis=-1) / np.array(counts)[:, None]}
    return table.assign({f"every_{name}_share": ((*DIMS, "seed"), values) for name, values in every.items()})


def _of_all(analyser: Any, vectors: np.ndarray) -> np.ndarray:
    """What an analyser of one matrix says of the matrices in the last two axes."""
    each = jax.jit(jax.vmap(analyser))(vectors.reshape(-1, *vectors.shape[-2:]))
    return np.asarray(each).reshape(*vectors.shape[:-2], -1)


def of_best(table: xr.Dataset) -> xr.DataArray:
    """Test loss of the seed of least training loss, as in the paper."""
    return table["test_loss"].isel(seed=table["best"])


def _longest(vectors: np.ndarray) -> np.ndarray:
    """The longest columns, in units of the longest of all, and zeros up to a fixed number."""
    norms = np.linalg.norm(vectors, axis=0)
    first = vectors[:, np.argsort(-norms, kind="stable")[:MAX_NAMED]] / (norms.max() or 1)
    return np.pad(first, ((0, 0), (0, MAX_NAMED - first.shape[1])))


def two_radii(lengths: Any) -> bool:
    """Whether vectors lie on two circles: lengths in two tight groups of two or more, far apart (a failed optimum)."""
    ordered = np.sort(np.asarray(lengths, float))
    if len(ordered) < 4:
        return False
    cut = int(np.argmax(np.diff(ordered))) + 1
    inner, outer = ordered[:cut], ordered[cut:]
    gap = outer[0] - inner[-1]
    return bool(min(cut, len(outer)) >= 2 and gap > 2 * max(np.ptp(inner), np.ptp(outer)) and gap > 0.2 * ordered[-1])


def bump(loss: Any) -> tuple[int, float]:
    """Where a curve rises and falls again the most, and by how much: above the higher of the lowest values on both sides.

    The ends are no bumps, however high.
    """
    loss = np.asarray(loss, float)
    before, after = np.minimum.accumulate(loss), np.minimum.accumulate(loss[::-1])[::-1]
    height = loss - np.maximum(before, after)
    top = int(np.argmax(height))
    return top, float(height[top])


def evaluate(table: xr.Dataset, four: xr.Dataset, claims: Claims, *, full: bool = False) -> None:
    """Polygons of points, a bump of the test loss and features at large T, from the least weight decay of `table`.

    What a larger weight decay does was published for four hidden dimensions, of which `four` has the `losses`: it removes
    the bump entirely. That is judged at the paper's size, `full`. With n = 1,000 and p = .01 ten times as many fresh points
    share a feature with a memorised one, the bump without decay is far higher than the paper's, and a rest of it, some 4 %,
    is above what seeds differ by.
    """
    weak = table.isel(weight_decay=0)
    few_points = weak.sel(n_points=slice(None, POLYGON_SIZES[1]))
    sizes = [int(T) for T in few_points["n_points"].values]
    # The mean says little: it is m/T for every tight frame, also one of a few long vectors. The least does not hide them.
    least = {T: float(weak["least_point_share"].sel(n_points=T)) for T in sizes if POLYGON_SIZES[0] <= T}
    deviations = {T: abs(least[T] * T / 2 - 1) for T in least}
    claims.check(
        "few points: each has m/T of the hidden layer, as on a regular polygon",
        f"least D_X within {POLYGON_WITHIN:.0%} of 2/T",
        ", ".join(f"T = {T}: {least[T]:.3f}" for T in least),
        bool(deviations) and max(deviations.values()) <= POLYGON_WITHIN,
    )
    # A bound such as 0.1 would refuse the polygon itself. With the shortest W that puts orthonormal points at h_j,
    # W = Σ_j h_j x_jᵀ, feature i of point j alone has D_f = (m/T) x_ij²: of T = 3 points with some ten features each, up to
    # 2/3 × 0.26 for x² = 0.4, at n = 10,000 and p = .001 as here. It is small beside the m/T of the point.
    largest, smallest = few_points["feature_share"].values, few_points["least_point_share"].values
    claims.check(
        "few points: features have little beside the points",
        f"largest D_f below the least D_X at every T up to {POLYGON_SIZES[1]}",
        ", ".join(f"T = {T}: {D_f:.2f} and {D_X:.2f}" for T, D_f, D_X in zip(sizes, largest, smallest, strict=True)),
        np.all(largest < smallest),
    )
    loss = of_best(weak).values
    top = int(np.argmax(loss))
    spread = float(weak["test_loss"].std("seed").isel(n_points=[0, top, -1]).max())
    claims.check(
        "the test loss has a bump in between",
        "largest inside, above 1 and above both ends by more than the seeds' spread",
        f"{loss[top]:.4f} at T = {int(weak['n_points'][top])}; ends {loss[0]:.4f} and {loss[-1]:.4f}; spread {spread:.4f}",
        0 < top < len(loss) - 1 and loss[top] > 1 and loss[top] > max(loss[0], loss[-1]) + spread,
    )
    last = weak.isel(n_points=-1)
    shape, norm = str(last["shape"].values), float(last["norm"])
    claims.check(
        f"T = {int(last['n_points']):,}: features form a pentagon, points have no share",
        "pentagon, ‖W‖_F within 10 % of √5",
        f"{shape}, largest D_f {float(last['feature_share']):.2f}, D_X {float(last['point_share']):.4f}, ‖W‖ {norm:.2f}",
        shape == "pentagon" and abs(norm / np.sqrt(5) - 1) < 0.1,
    )
    # "Removes the bump entirely", said of m = 4: at full size nothing may be left above what seeds differ by.
    heights = []
    for k in (0, -1):
        losses = four.isel(weight_decay=k)
        top, height = bump(of_best(losses))
        heights.append((height, int(losses["n_points"][top]), float(losses["test_loss"].std("seed")[top])))
    (high, at, noise), (rest, rest_at, rest_noise) = heights
    first, decay = four["weight_decay"].values[[0, -1]]
    measured = f"{high:.4f} high at T = {at}, spread {noise:.4f}; {rest:.4f} at T = {rest_at}, spread {rest_noise:.4f}"
    statement = f"m = {four.attrs['m']}: weight decay {decay:g} takes away nearly all of the bump"
    expected = f"higher than the seeds' spread at {first:g}, less than a tenth of it left at {decay:g}"
    claims.check(statement, expected, measured, high > noise and rest <= high / 10)
    statement, expected = (
        f"m = {four.attrs['m']}: weight decay {decay:g} removes it entirely",
        "nothing above the seeds' spread",
    )
    if full:
        claims.check(statement, expected, measured, high > noise and rest <= rest_noise)
    else:
        claims.needs_full(statement, expected, f"{100 * rest / high:.0f} % is left at this size" if high else "no bump")
    norms = weak["norm"]
    peak = int(np.argmax(norms.values))
    claims.check(
        "‖W‖_F rises with T, peaks and falls",
        "largest inside",
        f"{float(norms[0]):.2f}, {float(norms[peak]):.2f} at T = {int(norms['n_points'][peak])}, {float(norms[-1]):.2f}",
        0 < peak < len(norms) - 1,
    )


def drawn_models(result: SweepResult, table: xr.Dataset) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """T, W and hidden vectors of the points of the models of least training loss that are drawn, at the first weight decay.

    `table` is `measure`'s.
    """
    points = np.asarray(materialize(task_from_dict(result.attrs["task"])).points).T
    models = []
    for k, T in enumerate(int(T) for T in table["n_points"].values):
        if T in DRAWN_POINTS:
            cell = {"weight_decay": 0, "n_points": k}
            W = result.isel(**cell, seed=int(table["best"].isel(cell)))["W"].transpose("hidden", "feature").values
            models.append((T, W, W @ points[:, :T]))
    return models


def outliers(losses: xr.Dataset) -> list[str]:
    """In words, seeds whose test loss is far above that of the seed of least training loss; `losses` are of one m."""
    words = []
    for (i, j, seed), loss in np.ndenumerate(losses["test_loss"].transpose(*DIMS, "seed").values):
        best = losses.isel(weight_decay=i, n_points=j, seed=int(losses["best"][i, j]))
        if loss > OUTLIER * float(best["test_loss"]):
            train = float(losses["train_loss"].transpose(*DIMS, "seed")[i, j, seed])
            words.append(
                f"m = {losses.attrs['m']}, T = {int(best['n_points'])}: test loss {loss:.2f}, training loss {train:.3f} "
                f"(line {float(best['train_loss']):.3f})"
            )
    return words


def draw(
    result: Any, table: xr.Dataset, four: xr.Dataset, models: Sequence[tuple[int, np.ndarray, np.ndarray]]
) -> tuple[Figure, str]:
    """Test loss and dimensionalities against T, and below the hidden vectors of features and points of some T.

    `table` is that of `measure` for two hidden dimensions, of which the first weight decay
    is drawn, and `four` has the `losses` for four; `models` holds (T, W, hidden vectors of the points). Henighan et al.
    2023, "Superposition, Memorization, and Double Descent".
    """
    figure = plt.figure(figsize=(8.4, 5.2))
    top = figure.add_gridspec(1, 3, left=0.07, right=0.98, bottom=0.58, top=0.94, wspace=0.32)
    panels = [figure.add_subplot(top[0, k]) for k in range(3)]
    for losses, ax in ((table.isel(weight_decay=[0]), panels[0]), (four, panels[1])):
        for k, color in zip(range(losses.sizes["weight_decay"]), ("black", PALETTE["red"]), strict=False):
            curve = losses.isel(weight_decay=k)
            label = f"weight decay {float(curve['weight_decay']):g}"
            loss_by_points(curve["test_loss"], curve["best"], ax, color=color, label=label)
        ax.set_title(f"test loss, m = {losses.attrs['m']}")
        ax.margins(y=0.2)  # room for the legend above the bump
        ax.legend(loc="upper left")
    shares_by_points(table.isel(weight_decay=0), panels[2]).set_title("dimensionality, m = 2")
    bottom = figure.add_gridspec(2, len(models), left=0.08, right=0.98, bottom=0.0, top=0.44, wspace=0.05, hspace=0.05)
    for k, (count, W, H) in enumerate(models):
        for row, (vectors, color) in enumerate(((W, PALETTE["orange"]), (H, PALETTE["blue"]))):
            ax = hidden_vectors(vectors, figure.add_subplot(bottom[row, k]), color=color)
            if row == 0:
                ax.set_title(f"T = {count:,}")
            if k == 0:
                ax.set_ylabel(("features", "points")[row])
    text = (
        "Top: loss on fresh points, of every seed (dots) and the one of least training loss (line), with m hidden "
        "dimensions; grey: predicting zero. Right: share of a hidden dimension, in the model of least training loss "
        "(dots: every seed). Bottom: hidden vectors of features (columns of W) and of the data points of such models, "
        "m = 2, each in units of the longest."
    )
    if far := [words for losses in (table.isel(weight_decay=[0]), four) for words in outliers(losses)]:
        text += f" Dots above {OUTLIER:g} times their line are seeds that fit their points less well: {'; '.join(far)}."
    train = result.attrs["train"]
    text += f" {train['warmup_steps']:,} steps of warm-up; biases {'decay' if train['decay_bias'] else 'do not decay'}."
    return figure, caption(result.attrs, text)


def loss_by_points(
    loss: xr.DataArray, best: xr.DataArray, ax: Axes | None = None, *, color: Any = "black", label: str = ""
) -> Axes:
    """`loss` over (n_points, seed): a dot per seed and a line through the `best` ones; 1 is the loss of predicting zero."""
    ax = current_axes(ax)
    loss = loss.transpose("n_points", "seed")
    x = loss["n_points"].values
    ax.plot(x, loss.isel(seed=best), "-", color=color, label=label)
    ax.plot(x, loss.values, "o", color=color, ms=2.5, mec="none", alpha=0.5)
    ax.axhline(1, color="#BBBBBB", lw=0.8, zorder=0)
    ax.set(xscale="log", xlabel="data points T", ylabel="test loss")
    plain_ticks(ax, subs=(1,))
    return ax


def shares_by_points(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Mean dimensionality of points and largest of features against T, with m/T of the polygon (m = 2) in grey.

    Where the table has those of every seed they are dots.
    """
    ax = current_axes(ax)
    x = table["n_points"].values
    ax.plot(x, np.minimum(2 / x, 1), color="#BBBBBB", lw=3, label="2/T", zorder=0)
    ax.plot(x, table["point_share"], "o-", color=PALETTE["blue"], ms=3, label="points, mean $D_X$")
    ax.plot(x, table["feature_share"], "s-", color=PALETTE["orange"], ms=3, label="features, largest $D_f$")
    for name, color in (("every_point_share", "blue"), ("every_feature_share", "orange")):
        if name in table:
            ax.plot(x, table[name].transpose("n_points", "seed"), ".", color=PALETTE[color], ms=2.5, alpha=0.5)
    ax.set(xscale="log", xlabel="data points T", ylabel="dimensionality", ylim=(0, None))
    ax.legend()
    plain_ticks(ax, subs=(1,))
    return ax


def hidden_vectors(vectors: Any, ax: Axes | None = None, *, color: Any = "black") -> Axes:
    """Vectors of two hidden dimensions, (2, count), as lines from the origin that end in dots, in units of the longest."""
    ax, vectors = current_axes(ax), np.asarray(vectors)
    vectors = vectors / np.linalg.norm(vectors, axis=0).max()
    lines = np.stack([0 * vectors, vectors, np.full_like(vectors, np.nan)], axis=-1).reshape(2, -1)
    ax.plot(*lines, color=color, lw=0.5, alpha=0.6)
    ax.plot(*vectors, "o", color=color, ms=2, mec="none")
    ax.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax
