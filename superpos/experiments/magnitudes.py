"""How large active features are decides how many share a plane: binary, discrete and bounded magnitudes.

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", 4.7 to 4.9, on the toy model of Elhage et al. 2022.
"""

from dataclasses import dataclass
from itertools import pairwise
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
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import WorldToy
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 4.7 to 4.9: other magnitudes"
N_FEATURES, N_HIDDEN = 8, 2
# Settings of each law, from the most to the least even. Loss and geometry do not depend on the unit of x.
LAWS: dict[str, dict[str, Any]] = {
    "1": {"magnitude": "discrete", "magnitude_values": np.array([1.0]), "magnitude_weights": np.array([1.0])},
    "½ to 1": {"magnitude": "uniform", "magnitude_low": 0.5, "magnitude_high": 1.0},
    "1, 2 or 3": {
        "magnitude": "discrete",
        "magnitude_values": np.arange(1.0, 4.0),
        "magnitude_weights": np.full(3, 1 / 3),
    },
    "0 to 1": {"magnitude": "uniform"},
}
COLORS = dict(zip(LAWS, (PALETTE["red"], PALETTE["orange"], PALETTE["green"], PALETTE["blue"]), strict=True))


@dataclass(frozen=True)
class Size:
    """Laws of magnitudes, densities between 1/2 and `sparsest`, seeds and steps."""

    laws: tuple[str, ...] = tuple(LAWS)
    densities: int = 7
    sparsest: float = 0.001
    seeds: int = 8
    steps: int = 400


SIZES = Sizes(
    quick=Size(laws=("1", "½ to 1"), densities=3, sparsest=0.1, seeds=1, steps=20),
    laptop=Size(),
    full=Size(densities=25, seeds=64, steps=2_000),
)


def build(size: Size, law: str) -> tuple[WorldToy, TrainConfig, Grid]:
    """Task, training and grid of one law of magnitudes, a key of `LAWS`."""
    task = WorldToy(n_features=N_FEATURES, n_hidden=N_HIDDEN, world=None, objective="expected", **LAWS[law])
    densities = np.geomspace(0.5, size.sparsest, size.densities)
    return task, TrainConfig(steps=size.steps), Grid(feature_probability=densities, seed=range(size.seeds))


def measure(result: SweepResult) -> xr.Dataset:
    r"""Over `feature_probability`, of the seed of least loss: its `loss`; `share`, the same over the loss of a model that
    answers the mean of x and represents nothing, $p\,E[x^2] - p^2 E[x]^2$ with moments of active features; `represented`,
    the number of features of norm above 1/2; and the name of its `shape`. `every_share` and `every_represented` are those
    of all seeds.
    """
    best = result["loss"].argmin("seed")
    densest = float(result["feature_probability"].max())
    task: Any = result.task(feature_probability=densest, seed=0)
    mean, square = (float(np.ravel(task.features.moment(k))[0]) / densest for k in (1, 2))
    p, geometry = result["feature_probability"], result.geometry()
    every = {
        "loss": result["loss"],
        "share": result["loss"] / (p * square - (p * mean) ** 2),
        "represented": geometry["n_represented"],
        "shape": geometry["shape"],
    }
    table = xr.Dataset({name: values.isel(seed=best) for name, values in every.items()}).drop_vars("seed")
    return table.assign({f"every_{name}": every[name] for name in ("share", "represented")})


def exponent(loss: xr.DataArray) -> float:
    """The slope of log loss against log density between the two sparsest densities, near the limit."""
    sparse = loss.sortby("feature_probability").isel(feature_probability=slice(0, 2))
    return float(np.polyfit(np.log(sparse["feature_probability"]), np.log(sparse), 1)[0])


def ring_threshold(n_features: int) -> float:
    r"""The least squared length at which a regular polygon of n binary features reconstructs every single one exactly.

    With $\|W_i\|^2 = a$ and $b = 1 - a$ an active feature comes back as 1, and its neighbours stay silent if
    $a \cos(2\pi/n) + 1 - a \le 0$, so $a \ge 1 / (1 - \cos(2\pi/n))$.
    """
    return float(1 / (1 - np.cos(2 * np.pi / n_features)))


def evaluate(tables: dict[str, xr.Dataset], claims: Claims) -> None:
    """`tables` are `measure`'s by law."""
    slopes = {law: exponent(table["loss"]) for law, table in tables.items()}
    claims.check(
        "binary: a ring of any number of features gives each one back, at a loss of order p²",
        "slope of log loss against log p 2 ± .1",
        f"{slopes['1']:.2f}",
        abs(slopes["1"] - 2) < 0.1,
    )
    others = [law for law in tables if law != "1"]
    claims.check(
        "other laws: the bias that silences neighbours changes magnitudes, at a loss of order p",
        "slope 1 ± .1",
        ", ".join(f"{law}: {slopes[law]:.2f}" for law in others),
        all(abs(slopes[law] - 1) < 0.1 for law in others),
    )
    last = {law: table.sortby("feature_probability").isel(feature_probability=0) for law, table in tables.items()}
    counts = {law: int(row["represented"]) for law, row in last.items()}
    claims.check(
        "binary, sparsest: all features are represented, in one polygon",
        f"{N_FEATURES}, octagon",
        f"{counts['1']}, {last['1']['shape'].item()}",
        counts["1"] == N_FEATURES and last["1"]["shape"].item() == "octagon",
    )
    claims.check(
        "sparsest: fewer of them are with any other law",
        f"below {N_FEATURES}",
        ", ".join(f"{law}: {counts[law]}" for law in others),
        all(counts[law] < N_FEATURES for law in others),
    )
    shares = {law: float(row["share"]) for law, row in last.items()}
    claims.check(
        "sparsest: a gap between silent and active helps",
        "from ½ to 1 less is lost than from 0 to 1, and of binary features least",
        ", ".join(f"{law}: {share:.3f} of ignoring all" for law, share in shares.items()),
        all(less < more for less, more in pairwise(shares[law] for law in ("1", "½ to 1", "0 to 1") if law in shares)),
    )


def draw(results: dict[str, SweepResult], tables: dict[str, xr.Dataset]) -> tuple[Figure, str]:
    """Figure and caption: directions where features are sparsest, what is lost, and how many are represented."""
    figure = plt.figure(figsize=(8.6, 5.0), layout="constrained")
    n = len(results)
    panels: list[Any] = [[str(k // 2) for k in range(2 * n)], ["share"] * n + ["count"] * n]
    axes = figure.subplot_mosaic(panels)
    for k, (law, result) in enumerate(results.items()):
        sparsest = result.sel(feature_probability=float(result["feature_probability"].min()))
        feature_directions(sparsest.best("seed"), axes[str(k)])
        axes[str(k)].set_title(f"magnitude {law}\n{tables[law].sortby('feature_probability')['shape'].values[0]}")
    by_density(tables, "share", axes["share"])
    axes["share"].set(ylabel="loss over that of ignoring all", yscale="log")
    axes["share"].legend(title="magnitude", loc="lower left")
    by_density(tables, "represented", axes["count"])
    axes["count"].set(ylabel="features represented", ylim=(0, N_FEATURES + 0.5))
    first = results[next(iter(results))]
    text = (
        "Equally important features in two dimensions that differ in how large they are while active. Top: "
        f"{N_FEATURES} features at the least density, model of least loss of {first['loss'].sizes['seed']} seeds. "
        "Bottom: that model's loss over the loss of answering the mean of x, and the number of features it "
        "represents, against density; dots: the other seeds."
    )
    return figure, caption(first.attrs, text)


def by_density(tables: dict[str, xr.Dataset], name: str, ax: Axes | None = None) -> Axes:
    """One number of every law's best models against density, sparse to the right; dots for the other seeds."""
    ax = current_axes(ax)
    for law, table in tables.items():
        every = table[f"every_{name}"].transpose("feature_probability", "seed")
        ax.plot(1 / every["feature_probability"], every, ".", ms=2.5, color=COLORS[law], alpha=0.4)
        ax.plot(1 / table["feature_probability"], table[name], "o-", ms=3, lw=1.2, color=COLORS[law], label=law)
    ax.set(xscale="log", xlabel="1 / (1 − S)")
    return ax
