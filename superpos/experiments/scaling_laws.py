r"""Loss against the number of dimensions, in weak and in strong superposition.

After Liu, Liu and Gore 2025, "Superposition Yields Robust Neural Scaling", arXiv 2505.10465. Feature i of n is active with a
probability in proportion to $i^{-(1 + \alpha)}$, one feature at a time in the mean. A pull of feature directions to length 1
represents them all (strong superposition); weight decay drops the rare ones (weak superposition). Their magnitudes are
uniform on [0, 2] and these on [0, 1]: all losses are a quarter of theirs, and the exponents are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from superpos.analysis.features import represented
from superpos.analysis.overlaps import mean_squared_overlap, welch_floor
from superpos.analysis.scaling import Exponent, scaling_exponent
from superpos.data.frequencies import zipf_probabilities
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.sweeping.axes import power_law
from superpos.tasks import Toy
from superpos.training.train_config import TrainConfig

SOURCE = "Liu, Liu and Gore 2025, Superposition Yields Robust Neural Scaling"
ACTIVE = 1.0  # features in the mean
STRENGTHS = {"strong": "unit_norm_pull", "weak": "weight_decay"}  # what is swept in each regime
OVERLAP_WITHIN = 0.1  # of the floor of Welch, where no feature is much more frequent than all others
EXPONENT_WITHIN = 0.1


@dataclass(frozen=True)
class Regime:
    """Features, dimensions, exponents α of the frequencies, strengths of pull or decay, and training of one regime."""

    n_features: int
    dimensions: tuple[int, ...]
    exponents: tuple[float, ...]  # −1: all features are equally frequent
    strengths: tuple[float, ...]  # the last one is judged
    steps: int
    learning_rate: float

    @property
    def models_of_a_block(self) -> int:
        """Models of one size and seed, which share their draws."""
        return len(self.exponents) * len(self.strengths)


@dataclass(frozen=True)
class Size:
    """Both regimes, and what they share: seeds, batches, warm-up and evaluation."""

    strong: Regime
    weak: Regime
    seeds: int = 2
    warmup_steps: int = 0
    batch_size: int = 512
    evaluation_samples: int = 32_768

    def __getitem__(self, regime: str) -> Regime:
        """The regime called "strong" or "weak"."""
        return {"strong": self.strong, "weak": self.weak}[regime]


PUBLISHED_FEATURES, PUBLISHED_DIMENSIONS = 1_000, (10, 15, 25, 39, 63, 100)
_published = Regime(
    n_features=PUBLISHED_FEATURES,
    dimensions=PUBLISHED_DIMENSIONS,
    exponents=tuple(k / 8 for k in range(9)),
    strengths=tuple(k / 9 for k in (1, 3, 5, 7, 9)),
    steps=20_000,
    learning_rate=0.01,
)
_quick = Regime(n_features=24, dimensions=(3, 6), exponents=(0.0, 1.0), strengths=(1.0,), steps=50, learning_rate=0.02)
SIZES = Sizes(
    quick=Size(strong=_quick, weak=_quick, seeds=1, batch_size=64, evaluation_samples=1_024),
    laptop=Size(
        # A pull of 50 at a learning rate of .02: one step takes a direction back to length 1.
        strong=Regime(
            n_features=PUBLISHED_FEATURES,
            dimensions=PUBLISHED_DIMENSIONS,
            exponents=(-1.0, 0.0, 0.5, 1.0),
            strengths=(1.0, 50.0),
            steps=1_000,
            learning_rate=0.02,
        ),
        weak=Regime(
            n_features=240,
            dimensions=(8, 14, 24, 40),
            exponents=(0.0, 0.5, 1.0),
            strengths=(0.25, 1.0),
            steps=1_500,
            learning_rate=0.01,
        ),
    ),
    # 9 exponents × 10 strengths × 6 sizes: the 540 models that were published
    full=Size(
        strong=_published, weak=_published, seeds=1, warmup_steps=2_000, batch_size=2_048, evaluation_samples=131_072
    ),
)


def build(size: Size, regime: str) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of one regime, "strong" or "weak": dimensions, strengths and exponents of frequencies."""
    of_regime = size[regime]
    n = of_regime.n_features
    task = Toy(n_features=n, n_hidden=of_regime.dimensions[0], feature_probability=ACTIVE / n)
    config = TrainConfig(
        steps=of_regime.steps,
        learning_rate=of_regime.learning_rate,
        batch_size=size.batch_size,
        warmup_steps=size.warmup_steps,
        evaluation_samples=size.evaluation_samples,
        epsilon=2.5e-9,  # a quarter of Adam's 1e-8, as the losses are
    )
    grid = Grid(
        **{STRENGTHS[regime]: of_regime.strengths},
        n_hidden=list(of_regime.dimensions),
        alpha=power_law("feature_probability", of_regime.exponents, total=ACTIVE),
        seed=range(size.seeds),
    )
    return task, config, grid


def measure(result: SweepResult) -> xr.Dataset:
    r"""Of every model, over the axes of `result`, with its `loss`:

    * `overlap`: mean squared overlap of unit columns over the floor of Welch.
    * `n_represented`: features with a norm above 1/2.
    * `lost`: what the other features carry, $\frac1n \sum_{\|W_i\| \le 1/2} E x_i^2$: the loss of a model that
      answers them with 0 and all others without error.
    """
    dims, shape = result["loss"].dims, result["loss"].shape
    rows = []
    for index in np.ndindex(shape):
        cell = result.isel(**dict(zip(map(str, dims), index, strict=True)))
        W = np.asarray(cell.model().W)
        task: Any = cell.task()
        second_moments = np.asarray(task.features.moment(2), float)
        shown = np.asarray(represented(W))
        floor = welch_floor(W.shape[1], len(W))
        rows.append((
            float(mean_squared_overlap(W)) / floor,
            shown.sum(),
            second_moments[~shown].sum() / len(shown),
        ))  # fmt: skip
    names = ("overlap", "n_represented", "lost")
    columns = zip(names, zip(*rows, strict=True), strict=True)
    data = {name: (dims, np.array(column, float).reshape(shape)) for name, column in columns}
    table = xr.Dataset(data, {dim: result["loss"][dim].values for dim in dims})
    return table.assign(loss=(dims, np.asarray(result["loss"].values, float)))


def tail_losses(n_features: int, alpha: float, dimensions: Any) -> np.ndarray:
    r"""$\frac1n \sum_{i > m} E x_i^2$ for every m: the loss of a model that has the m most frequent features and no other."""
    second_moments = zipf_probabilities(n_features, 1 + float(alpha), ACTIVE) / 3
    return np.array([second_moments[m:].sum() for m in np.asarray(dimensions)]) / n_features


def exponent(losses: xr.DataArray) -> Exponent:
    """The exponent a of loss ∝ m^(−a) with its interval: over seeds, or of the line where there is one seed."""
    return scaling_exponent(losses["n_hidden"].values, losses.transpose("n_hidden", "seed").values)


def exponents(losses: xr.DataArray) -> xr.DataArray:
    """The exponent a of loss ∝ m^(−a), the mean of seeds, over the other axes of losses with `n_hidden` and `seed`."""

    def fit(values: np.ndarray) -> float:
        return scaling_exponent(losses["n_hidden"].values, values).value

    return xr.apply_ufunc(fit, losses, input_core_dims=[["n_hidden", "seed"]], vectorize=True)


def evaluate(tables: Mapping[str, xr.Dataset], size: Size, claims: Claims) -> None:
    """`tables` are `measure`'s by regime; the strongest pull and decay are judged."""
    strong, weak = (tables[regime].isel({STRENGTHS[regime]: -1}) for regime in ("strong", "weak"))
    m, n_features = strong["n_hidden"].values, size.strong.n_features
    shown = int(strong["n_represented"].min())
    claims.check(
        "strong: every feature is represented", "norms above ½ in all models", f"at least {shown} of {n_features}",
        shown == n_features,
    )  # fmt: skip
    for alpha in strong["alpha"].values[strong["alpha"].values <= 0]:
        ratio = strong["overlap"].sel(alpha=alpha)
        claims.check(
            f"strong, α = {alpha:g}: directions overlap as little as they can",
            f"mean square within {100 * OVERLAP_WITHIN:g} % of (n − m) / (m (n − 1)), every m",
            f"{100 * (float(ratio.min()) - 1):.1f} to {100 * (float(ratio.max()) - 1):.1f} % above",
            float(ratio.max()) <= 1 + OVERLAP_WITHIN,
        )
    floor = xr.DataArray([welch_floor(n_features, int(k)) for k in m], dims="n_hidden", coords={"n_hidden": m})
    falls = exponents(strong["overlap"] * floor)
    floor_falls = scaling_exponent(m, floor.values).value
    claims.check(
        "strong, every α: squared overlaps fall with m as their floor does",
        f"exponent {floor_falls:.2f} ± {EXPONENT_WITHIN:g}",
        f"{float(falls.min()):.2f} to {float(falls.max()):.2f}",
        bool((abs(falls - floor_falls) <= EXPONENT_WITHIN).all()),
    )
    for alpha in strong["alpha"].values[strong["alpha"].values <= 0]:
        losses = strong["loss"].sel(alpha=alpha)
        of_loss = exponent(losses)
        slopes = -np.diff(np.log(losses.mean("seed"))) / np.diff(np.log(m))
        claims.check(
            f"strong, α = {alpha:g}: the loss falls as 1/m",
            f"exponent 1 ± {EXPONENT_WITHIN:g}",
            f"{_said(of_loss)}; the slope goes from {slopes[0]:.2f} to {slopes[-1]:.2f}",
            abs(of_loss.value - 1) <= EXPONENT_WITHIN,
        )
    for alpha in weak["alpha"].values[weak["alpha"].values >= 0.5]:
        rows = weak.sel(alpha=alpha)
        share = rows["loss"] / rows["lost"]
        claims.check(
            f"weak, α = {alpha:g}: the loss is what the features carry that are not represented",
            "1 to 1.3 times their second moments, every m",
            f"{float(share.min()):.2f} to {float(share.max()):.2f}",
            float(share.min()) >= 1 and float(share.max()) <= 1.3,
        )
        of_loss, of_lost = (exponent(rows[name]) for name in ("loss", "lost"))
        claims.check(
            f"weak, α = {alpha:g}: the exponent is that of what is lost",
            f"within {EXPONENT_WITHIN:g}",
            f"{_said(of_loss)} of the loss, {of_lost.value:.2f} of the lost second moments",
            abs(of_loss.value - of_lost.value) <= EXPONENT_WITHIN,
        )
    steepest, m = weak.isel(alpha=-1), weak["n_hidden"].values
    theory = scaling_exponent(m, tail_losses(size.weak.n_features, float(steepest["alpha"]), m)).value
    steepness = exponent(steepest["loss"])
    claims.check(
        f"weak, α = {float(steepest['alpha']):g}: the data set the exponent",
        f"within {EXPONENT_WITHIN:g} of that of the sum over features beyond the m-th, {theory:.2f}",
        _said(steepness),
        abs(steepness.value - theory) <= EXPONENT_WITHIN,
    )


def _said(fit: Exponent) -> str:
    """An exponent with its 95 % interval, where there is one."""
    return f"{fit.value:.2f}" + (f" (95 % interval {fit.low:.2f} to {fit.high:.2f})" if np.isfinite(fit.low) else "")


def draw(results: Mapping[str, SweepResult], tables: Mapping[str, xr.Dataset]) -> tuple[Figure, str]:
    """Figure and caption: losses by dimensions in both regimes, overlaps, and a map of exponents."""
    figure, axes = plt.subplots(2, 2, figsize=(7.4, 6.2), layout="constrained")
    n = {regime: int(result.attrs["task"]["n_features"]) for regime, result in results.items()}
    for regime, ax in zip(STRENGTHS, axes[0], strict=True):
        name = STRENGTHS[regime]
        strength = float(tables[regime][name].values[-1])
        losses_by_dimension(tables[regime]["loss"].isel({name: -1}), n[regime], ax, tails=regime == "weak")
        ax.set_title(f"{regime}: {name.replace('_', ' ')} {strength:g}, {n[regime]:,} features")
    overlaps_by_dimension(tables["strong"]["overlap"].isel(unit_norm_pull=-1), n["strong"], axes[1, 0])
    exponent_map(tables, axes[1, 1])
    text = (
        "Features are active with probabilities in proportion to i^−(1 + α), one at a time in the mean; α = −1: all "
        "alike. Top: loss by hidden dimensions, mean of seeds and, shaded, their range; the grey line falls as 1/m, and "
        "dashed lines are what the features beyond the m-th carry. Bottom left: mean squared overlap of unit feature "
        "directions, likewise; the black line is the floor of Welch. Bottom right: exponents of the loss; pulls above, "
        "decays below."
    )
    weak = results["weak"].attrs["train"]
    text += f" Weak superposition: {weak['steps']:,} steps at a learning rate of {weak['learning_rate']:g}. Strong:"
    return figure, caption(results["strong"].attrs, text)


def _color(alpha: float) -> Any:
    return plt.get_cmap("viridis")(0.1 + 0.4 * (float(alpha) + 1))


def _dimension_axis(ax: Axes, m: np.ndarray) -> None:
    ax.set(xscale="log", yscale="log", xlabel="hidden dimensions m")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(m)
    ax.xaxis.set_major_formatter(ScalarFormatter())


def losses_by_dimension(losses: xr.DataArray, n_features: int, ax: Axes | None = None, *, tails: bool = False) -> Axes:
    """Loss, the sum over features, against m for every α; mean and range of seeds over (n_hidden, alpha, seed).

    With `tails`, dashed, what the features beyond the m-th carry; else a line that falls as 1/m.
    """
    ax = current_axes(ax)
    m = losses["n_hidden"].values
    for alpha in losses["alpha"].values:
        every = n_features * losses.sel(alpha=alpha).transpose("n_hidden", "seed")
        ax.fill_between(m, every.min("seed"), every.max("seed"), color=_color(alpha), alpha=0.25, lw=0)
        ax.plot(m, every.mean("seed"), "o-", ms=3, color=_color(alpha), label=f"α = {alpha:g}")
        if tails:
            ax.plot(m, n_features * tail_losses(n_features, alpha, m), "--", lw=1, color=_color(alpha))
    if not tails:
        top = n_features * float(losses.isel(alpha=0, n_hidden=0).mean("seed"))
        ax.plot(m, 1.4 * top * m[0] / m, "-", lw=1, color="#999999", zorder=0)
        end = (m[-1], 1.4 * top * m[0] / m[-1])
        ax.annotate("1/m", end, (0, 6), textcoords="offset points", color="#777777", ha="right", fontsize=8)
    ax.set_ylabel("loss (sum over features)")
    _dimension_axis(ax, m)
    ax.legend()
    return ax


def overlaps_by_dimension(overlap: xr.DataArray, n_features: int, ax: Axes | None = None) -> Axes:
    """Mean squared overlap against m for every α, mean and range of seeds, and the floor of Welch.

    `overlap` holds ratios to the floor over (n_hidden, alpha, seed).
    """
    ax = current_axes(ax)
    m = overlap["n_hidden"].values
    floor = np.array([welch_floor(n_features, int(k)) for k in m])
    for alpha in overlap["alpha"].values:
        every = overlap.sel(alpha=alpha).transpose("n_hidden", "seed") * floor[:, None]
        ax.fill_between(m, every.min("seed"), every.max("seed"), color=_color(alpha), alpha=0.25, lw=0)
        ax.plot(m, every.mean("seed"), "o-", ms=3, color=_color(alpha), label=f"α = {alpha:g}")
    ax.plot(m, floor, "-", lw=1, color="black", label="floor of Welch")
    ax.set_ylabel("mean squared overlap")
    _dimension_axis(ax, m)
    ax.legend()
    return ax


def exponent_map(tables: Mapping[str, xr.Dataset], ax: Axes | None = None) -> Axes:
    """Exponents of the loss in m by α and strength, as colors and numbers: pulls above, the strongest first, then decays."""
    ax = current_axes(ax)
    maps = [
        exponents(tables[regime]["loss"]).rename({name: "strength"}).transpose("strength", "alpha")
        for regime, name in STRENGTHS.items()
    ]
    alphas = np.unique(np.concatenate([one["alpha"].values for one in maps]))
    upper, lower = (one.reindex(alpha=alphas) for one in maps)
    numbers = np.concatenate([upper.values[::-1], lower.values])
    ax.imshow(numbers, cmap="viridis", vmin=0, vmax=2, aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(numbers):
        if len(alphas) <= 5 and np.isfinite(value):
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value < 1.2 else "black")
    labels = [f"pull {v:.3g}" for v in upper["strength"].values[::-1]]
    labels += [f"decay {v:.3g}" for v in lower["strength"].values]
    ax.set_yticks(range(len(labels)), labels)
    ax.set_xticks(range(len(alphas)), [f"{alpha:.3g}" for alpha in alphas])
    ax.set(xlabel="α", title="exponent of the loss in m")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return ax
