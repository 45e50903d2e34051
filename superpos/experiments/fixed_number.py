"""Features that must be active together: a fixed number of them in every input. Nanda 2023, open problem 4.16."""

from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit, logit

from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.analysis.intervals import mean_interval, share_interval
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import WorldToy
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 4.16: simultaneous interference"
N_FEATURES, N_HIDDEN = 20, 5
FIRST_SEED = 100  # thresholds were set on seeds 0 to 7
SPARSE, DENSE = 0.2, 0.3  # densities up to and from which the claims speak
FIXED, INDEPENDENT, ACCOMPANIED = "fixed number", "independent", "independent, as accompanied"
COLORS: dict[str, str] = dict(
    zip((FIXED, INDEPENDENT, ACCOMPANIED), (PALETTE["red"], PALETTE["blue"], PALETTE["green"]), strict=True)
)


@dataclass(frozen=True)
class Size:
    """Numbers of active features, seeds and training."""

    numbers: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 10)
    seeds: int = 16
    steps: int = 3_000
    batch_size: int = 512
    evaluation_samples: int = 65_536

    @property
    def densities(self) -> list[float]:
        """Those of independent features: k/n, as frequent, and (k − 1)/(n − 1), with as many others beside one of them."""
        return sorted({k / N_FEATURES for k in self.numbers} | {company(k) for k in self.numbers if k > 1})


SIZES = Sizes(
    quick=Size(numbers=(1, 6), seeds=2, steps=10, batch_size=32, evaluation_samples=1_024),
    laptop=Size(),
    full=Size(numbers=tuple(range(1, 13)), seeds=64, steps=10_000, evaluation_samples=262_144),
)


def company(k: Any) -> Any:
    """P(another given feature is active | one is) where exactly k are: (k − 1)/(n − 1). For independent ones it is p."""
    return (k - 1) / (N_FEATURES - 1)


def build(size: Size) -> tuple[WorldToy, TrainConfig, Grid]:
    """Task, training and grid of a fixed number of active features."""
    task = WorldToy(n_features=N_FEATURES, n_hidden=N_HIDDEN, world="fixed_number", n_active=1)
    config = TrainConfig(
        steps=size.steps, batch_size=size.batch_size, history=1, evaluation_samples=size.evaluation_samples
    )
    return task, config, Grid(n_active=list(size.numbers), seed=_seeds(size))


def build_independent(size: Size) -> tuple[WorldToy, TrainConfig, Grid]:
    """The same of independent features: those of a world in which the position does not matter."""
    task, config, _ = build(size)
    task = replace(task, world="sphere", n_active=None, sharpness=0.0, log_odds=0.0)
    return task, config, Grid(log_odds=list(logit(size.densities)), seed=_seeds(size))


def _seeds(size: Size) -> range:
    return range(FIRST_SEED, FIRST_SEED + size.seeds)


def measure(fixed: SweepResult, independent: SweepResult) -> xr.Dataset:
    r"""Over `features` (the three kinds), `n_active` and `seed`:

    * `superposition`: $\|W\|_F^2 / m$, features per dimension.
    * `represented`: features of norm above 1/2.
    * `relative`: the loss over that of answering the mean of x, $p/3 - p^2/4$ with p = k/n or the density.
    * `shape`: the name of the geometry.
    """
    numbers = fixed["n_active"].values
    independent = SweepResult(
        independent.dataset.assign_coords(log_odds=expit(independent["log_odds"])).rename(
            log_odds="feature_probability"
        )
    )
    rows = {FIXED: _of(fixed, numbers / N_FEATURES)}
    for kind, densities in ((INDEPENDENT, numbers / N_FEATURES), (ACCOMPANIED, company(numbers))):
        # The least number has no company where it is 1: no independent features are like that.
        at = np.maximum(densities, independent["feature_probability"].values.min())
        row = _of(independent.sel(feature_probability=at, method="nearest"), at)
        rows[kind] = row.where(xr.DataArray(densities > 0, dims="n_active"))
    parts = [row.assign_coords(n_active=numbers, features=kind) for kind, row in rows.items()]
    return xr.concat(parts, dim="features")


def _of(result: SweepResult, densities: np.ndarray) -> xr.Dataset:
    axis = next(str(dim) for dim in result["loss"].dims if dim != "seed")
    W, geometry = result["W"], result.geometry()
    norms = (W**2).sum("hidden") ** 0.5
    table = {
        "superposition": (W**2).sum(("hidden", "feature")) / N_HIDDEN,
        "represented": (norms > REPRESENTED_ABOVE).sum("feature"),
        "relative": result["loss"] / xr.DataArray(densities / 3 - densities**2 / 4, dims=axis),
        "shape": geometry["shape"],
    }
    return xr.Dataset(table).reset_coords(drop=True).drop_vars(axis).rename({axis: "n_active"})


def differences(table: xr.Dataset, name: str, kind: str) -> dict[int, Any]:
    """Intervals of one number of a fixed number's models minus those of another kind, over paired seeds, by n_active."""
    less = table[name].sel(features=FIXED) - table[name].sel(features=kind)
    return {
        int(k): mean_interval(less.sel(n_active=k).values)
        for k in table["n_active"]
        if less.sel(n_active=k).notnull().all()
    }


def evaluate(table: xr.Dataset, claims: Claims) -> None:
    """`table` is `measure`'s."""
    frequent = differences(table, "superposition", INDEPENDENT)
    accompanied = differences(table, "superposition", ACCOMPANIED)
    sparse, dense = (
        [k for k in frequent if is_so(k / N_FEATURES)] for is_so in (lambda p: p <= SPARSE, lambda p: p >= DENSE)
    )
    claims.check(
        "sparse: a fixed number makes more superposition than independent features that are as frequent",
        f"‖W‖²/m higher by an interval above 0, at every density ≤ {SPARSE:g} (95 %, paired seeds)",
        _intervals(frequent, sparse),
        all(frequent[k].low > 0 for k in sparse),
    )
    shapes = {kind: _best_shapes(table, kind, dense) for kind in (FIXED, INDEPENDENT)}
    claims.check(
        "dense: the best models have the same shape",
        f"that of independent features as frequent, at every density ≥ {DENSE:g}",
        ", ".join(sorted({*shapes[FIXED], *shapes[INDEPENDENT]})),
        shapes[FIXED] == shapes[INDEPENDENT],
    )
    claims.check(
        "… and the mean over seeds is the same",
        f"‖W‖²/m within ± .05 by its interval (95 %, paired seeds), at every density ≥ {DENSE:g}",
        f"{_intervals(frequent, dense)}; seeds with more than {2 * N_HIDDEN} features {_more(table, dense)}",
        all(max(abs(frequent[k].low), abs(frequent[k].high)) < 0.05 for k in dense),
    )
    few = [k for k in accompanied if k <= 3]
    claims.check(
        "few at a time: what counts is how many others are there beside an active feature",
        "at most a third as far in ‖W‖²/m from independent features of density (k − 1)/(n − 1) as of k/n, k = 2, 3",
        "; ".join(f"k = {k}: {abs(accompanied[k].estimate):.2f} and {abs(frequent[k].estimate):.2f}" for k in few),
        all(abs(accompanied[k].estimate) <= abs(frequent[k].estimate) / 3 for k in few),
    )
    represented = table["represented"].sel(features=FIXED)
    n = table.sizes["seed"]
    if 1 in frequent:
        everyone = share_interval(int((represented.sel(n_active=1) == N_FEATURES).sum()), n)
        claims.check(
            "one at a time: every feature is represented",
            "in more than half of the seeds (95 % interval)",
            f"{everyone.estimate:.0%} of {n} seeds ({everyone.low:.0%} to {everyone.high:.0%})",
            everyone.low > 0.5,
        )
    together = represented.sel(n_active=[k for k in table["n_active"].values if 2 <= k <= 3])
    claims.check(
        "two or three at a time: no feature is ever active alone, and superposition stays",
        f"at least {3 * N_HIDDEN} represented in {N_HIDDEN} dimensions in every seed",
        f"{float(together.min()):g} or more" if together.size else "not trained",
        bool((together >= 3 * N_HIDDEN).all()),
    )
    relative = differences(np.log(table[["relative"]]), "relative", INDEPENDENT)
    claims.check(
        "a fixed number loses less at every density, relative to answering the mean",
        "ratio of losses below 1 by its interval (95 %, paired seeds)",
        ", ".join(
            f"{k / N_FEATURES:g}: {np.exp(v.estimate):.3f} (at most {np.exp(v.high):.3f})" for k, v in relative.items()
        ),
        all(v.high < 0 for v in relative.values()),
    )


def _best_shapes(table: xr.Dataset, kind: str, numbers: list[int]) -> list[str]:
    """Names of the geometries of least loss."""
    rows = table.sel(features=kind)
    return [
        str(row["shape"][int(row["relative"].argmin("seed"))].item()) for row in (rows.sel(n_active=k) for k in numbers)
    ]


def _more(table: xr.Dataset, numbers: list[int]) -> str:
    """How many seeds of a fixed number, and of features as frequent, represent more features than pairs hold."""
    more = (table["represented"] > 2 * N_HIDDEN).sum("seed")
    parts = ([int(more.sel(features=kind, n_active=k)) for kind in (FIXED, INDEPENDENT)] for k in numbers)
    return ", ".join(f"{k / N_FEATURES:g}: {one} and {other}" for k, (one, other) in zip(numbers, parts, strict=True))


def _intervals(values: dict[int, Any], numbers: list[int]) -> str:
    return ", ".join(f"{k / N_FEATURES:g}: {values[k].low:+.2f} to {values[k].high:+.2f}" for k in numbers)


def draw(table: xr.Dataset, attrs: dict[str, Any]) -> tuple[Figure, str]:
    """Figure and caption: superposition by density and by company, features represented, and what is lost."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.8), layout="constrained")
    numbers = table["n_active"].values
    density = numbers / N_FEATURES
    for kind in (FIXED, INDEPENDENT):
        over(density, table["superposition"].sel(features=kind), kind, axes[0])
        over(company(numbers) if kind == FIXED else density, table["superposition"].sel(features=kind), kind, axes[1])
        over(density, table["represented"].sel(features=kind), kind, axes[2])
        over(density, table["relative"].sel(features=kind), kind, axes[3])
    over(company(numbers), table["superposition"].sel(features=ACCOMPANIED), ACCOMPANIED, axes[1], INDEPENDENT)
    for ax in axes[:2]:
        ax.set(ylabel="features per dimension, $\\|W\\|_F^2/m$", ylim=(0, None))
    for ax in (axes[0], axes[2], axes[3]):
        ax.set_xlabel("density, k/n or p")
    axes[1].set_xlabel("P(j active | i active)")
    axes[2].set(ylabel="features represented", ylim=(0, N_FEATURES + 1), yticks=range(0, N_FEATURES + 1, N_HIDDEN))
    axes[3].set(ylabel="loss over that of the mean", ylim=(0, None))
    axes[2].legend(loc="lower left")
    text = (
        f"Exactly k of {N_FEATURES} features active in every input, against independent features. Left: features per "
        "dimension against density; beside it the same against the probability that another given feature is active where "
        "one is: (k − 1)/(n − 1) for a fixed number, p for independent ones. Right: features of norm above ½, and the loss "
        "over that of answering the mean of x. Dots are seeds, lines means."
    )
    return figure, caption(attrs, text)


def over(x: np.ndarray, values: xr.DataArray, kind: str, ax: Axes | None = None, color_of: str | None = None) -> Axes:
    """One number of every model against x, one per `n_active`, and the mean of seeds."""
    ax = current_axes(ax)
    values, color = values.transpose("n_active", "seed"), COLORS[color_of or kind]
    ax.plot(x, values, ".", color=color, ms=2.5, alpha=0.35)
    mean = values.mean("seed")
    if color_of is None:
        ax.plot(x, mean, "o-" if kind == FIXED else "s--", ms=3, lw=1.2, color=color, label=kind)
    else:
        ax.plot(x, mean, "s", ms=3, color=color)
    return ax
