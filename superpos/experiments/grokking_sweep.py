"""When grokking comes: seeds × weight decays, and shares of the pairs that train, in two sweeps.

Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability", appendix D; Power et al. 2022.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.generalisation import steps_to
from superpos.errors import ConfigError
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ModularAddition
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda et al. 2023, appendix D; Power et al. 2022"
DRAWN_DECAY = 1.0  # the weight decay whose curves are drawn, and that of the second sweep
# A model that generalises at once did not grok: this many steps must lie between memorising and generalising.
DELAY = 1_000
# The paper's number of seeds in its appendix on other settings, and the share of the logits that its formula explains.
SEEDS, EXPLAINED = 10, 0.95
# Weight decays from the least on: black for none, as in the other pictures of grokking.
DECAY_COLORS = [PALETTE[name] for name in ("black", "sky", "blue", "green", "orange", "red")]


@dataclass(frozen=True)
class Size:
    """The model, weight decays, shares of pairs that train, seeds of each sweep, and steps.

    The paper's model is too much work for so many of them. With `all_pairs` the gradient runs over all pairs: a quick look.
    """

    p: int = 31
    d_model: int = 48
    n_heads: int = 4
    d_mlp: int = 128
    train_fraction: float = 0.5
    weight_decays: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5)
    fractions: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    seeds: int = 32
    fraction_seeds: int = 4
    steps: int = 4_000
    block_size: int = 2
    all_pairs: bool = False


SIZES = Sizes(
    quick=Size(
        p=11,
        d_model=8,
        n_heads=2,
        d_mlp=16,
        weight_decays=(0.0, 1.0),
        fractions=(0.2, 0.5, 0.8),
        seeds=2,
        fraction_seeds=2,
        steps=20,
        block_size=1,
        all_pairs=True,
    ),
    laptop=Size(),
    full=Size(p=59, d_model=64, d_mlp=256, train_fraction=0.4, steps=20_000),
)


def build(size: Size) -> tuple[ModularAddition, TrainConfig, Grid]:
    """Task, training and grid of the sweep over weight decays."""
    task = _task(size, size.train_fraction)
    return task, _config(size), Grid(weight_decay=list(size.weight_decays), seed=range(size.seeds))


def build_fractions(size: Size) -> tuple[ModularAddition, TrainConfig, Grid]:
    """Task, training and grid of the sweep over shares of the pairs that train."""
    config = replace(_config(size), weight_decay=DRAWN_DECAY)
    grid = Grid(train_fraction=list(size.fractions), seed=range(size.fraction_seeds))
    return _task(size, max(size.fractions)), config, grid


def _task(size: Size, largest_fraction: float) -> ModularAddition:
    return ModularAddition(
        p=size.p,
        d_model=size.d_model,
        n_heads=size.n_heads,
        d_mlp=size.d_mlp,
        train_fraction=size.train_fraction,
        gradient_pairs=None if size.all_pairs else round(largest_fraction * size.p**2),
    )


def _config(size: Size) -> TrainConfig:
    return TrainConfig(steps=size.steps, learning_rate=2e-3, schedule="constant", warmup_steps=10, decay_bias=True)


def milestones(result: SweepResult, level: float = 0.99) -> xr.Dataset:
    """Steps until the training accuracy (`memorised`) and the test accuracy (`generalised`) first reach `level`.

    Labelled like `result`, whose models must have the history of both, as those of `superpos.tasks.ModularAddition`. A
    point of the history is the mean since the point before. NaN: not in the steps of the training, which are no time of
    generalisation but a bound of it. `test_accuracy` is the last point of the history.
    """
    dims = result["loss"].dims
    steps = result.dataset["record_step"].values
    variables = {}
    for name, history in (("memorised", "accuracy_history"), ("generalised", "test_accuracy_history")):
        if history not in result.dataset:
            raise ConfigError(f"result must hold models with an {history}, such as those of modular addition.")
        values = result[history].transpose(*dims, "record").values
        variables[name] = (dims, steps_to(steps, values, level))
    final = result["test_accuracy_history"].isel(record=-1).transpose(*dims).values
    attributes = {"level": level, "steps": int(steps[-1])}
    coords = {d: result.dataset[d].values for d in dims}
    return xr.Dataset(variables | {"test_accuracy": (dims, final)}, coords, attributes)


def drawn_seeds(result: SweepResult) -> SweepResult:
    """The first seeds, as many as the paper has, at the weight decay that is drawn."""
    return result.sel(weight_decay=DRAWN_DECAY, method="nearest").isel(seed=slice(SEEDS))


def evaluate(times: xr.Dataset, fractions: xr.Dataset, circuits: xr.Dataset, claims: Claims) -> None:
    """All claims: of both `milestones`, and of what the models of `drawn_seeds` are made of, their `circuits_of`."""
    evaluate_times(times, fractions, claims)
    of_drawn = times["generalised"].sel(weight_decay=DRAWN_DECAY, method="nearest").isel(seed=slice(SEEDS))
    evaluate_circuits(circuits, of_drawn, claims)


def evaluate_times(times: xr.Dataset, fractions: xr.Dataset, claims: Claims) -> None:
    """Claims about `milestones` by weight decay (the least is 0) and by the share of pairs that train.

    Nothing is said about the order of times across weight decays, which is reported inconsistently.
    """
    first = float(times["weight_decay"][0])
    none, decayed = times.isel(weight_decay=0), times.isel(weight_decay=slice(1, None))
    n, best = none["generalised"].size, float(none["test_accuracy"].max())
    k = int(none["generalised"].notnull().sum())
    measured = f"{k} of {n} seeds; best test accuracy {100 * best:.1f} %"
    claims.check(
        f"weight decay {first:g}: no seed generalises", "none in the same steps", measured, first == 0 and k == 0
    )
    memorised = int(none["memorised"].notnull().sum())
    claims.check(f"weight decay {first:g}: every seed memorises", "all seeds", f"{memorised} of {n}", memorised == n)
    counts = decayed["generalised"].notnull().sum("seed")
    measured = ", ".join(
        f"{int(c)} of {n} at {d:g}" for d, c in zip(decayed["weight_decay"].values, counts.values, strict=True)
    )
    most = int(counts.max())
    claims.check(
        "with weight decay most seeds generalise", "more than half, at one weight decay", measured, most > n / 2
    )
    gap = (decayed["generalised"] - decayed["memorised"]).values
    late, n_generalised = int((gap > DELAY).sum()), int(np.isfinite(gap).sum())
    measured = "none generalises"
    if n_generalised:
        measured = f"{late} of {n_generalised} that generalise; median {np.nanmedian(gap):,.0f} steps"
    expected, holds = f"more than {DELAY:,} steps later for most", late > n_generalised / 2
    claims.check("they do long after memorising", expected, measured, holds)
    least_data = fractions.isel(train_fraction=0)
    share, k = float(least_data["train_fraction"]), int(least_data["generalised"].notnull().sum())
    measured = f"{k} of {least_data['generalised'].size} seeds at {100 * share:.0f} %"
    claims.check("too little data: no grokking", "≤ 20 % of the pairs: none", measured, share <= 0.2 and k == 0)
    medians = fractions["generalised"].fillna(np.inf).median("seed")
    least, most = float(medians.min()), medians["train_fraction"].values[int(np.argmin(medians.values))]
    finite, measured, slow = medians.where(np.isfinite(medians), drop=True), "no half of the seeds generalises", np.nan
    if len(finite):
        slow = float(finite[0])
        measured = (
            f"median over seeds {slow:,.0f} steps at {100 * float(finite['train_fraction'][0]):.0f} % of the pairs, "
        )
        measured += f"least, {least:,.0f}, at {100 * most:.0f} %"
    claims.check(
        "more data, sooner",
        "shortest at more data than where half of the seeds first generalise",
        measured,
        least < slow,
    )


def evaluate_circuits(table: xr.Dataset, generalised: xr.DataArray, claims: Claims) -> None:
    """The logits of seeds that generalised are the trigonometric formula; `table` is of `circuits_of`.

    `generalised` holds the steps until the seeds of `table` did, NaN for those that did not. They stand beside: a network
    that only memorises has key frequencies, too, by their definition. The median is asked for, since at 99 % of test
    accuracy the clean-up of some is not over, and at so small a modulus what they memorised is a larger part.
    """
    generalises = np.isfinite(generalised.values)
    share, keys = table["trig_explained"].values, table["n_keys"].values
    measured, holds = "none generalises", False
    if generalises.any():
        median, highest_other = float(np.median(share[generalises])), float(share[~generalises].max(initial=0))
        measured = f"median {100 * median:.1f} %, " + ", ".join(f"{100 * v:.1f}" for v in share[generalises])
        measured += f" % with {keys[generalises].min()} to {keys[generalises].max()} frequencies"
        if (~generalises).any():
            measured += f"; the others at most {100 * highest_other:.1f} %"
        holds = median >= EXPLAINED and highest_other < float(share[generalises].min())
    n = len(generalises)
    expected = f"of those of {n} seeds that generalise: median ≥ {100 * EXPLAINED:.0f} %, every one above all others"

    claims.check("logits are Σ α_k cos w_k(a + b − c) of key frequencies", expected, measured, holds)


def draw(result: SweepResult, times: xr.Dataset, fractions: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption; `result` is the sweep over weight decays, `times` its `milestones`, `fractions` the other's."""
    curves = histories(result.sel(weight_decay=DRAWN_DECAY, method="nearest"))
    figure, text = panels(times, fractions, curves, DRAWN_DECAY)
    return figure, caption(result.attrs, f"{text} {result.sizes['seed']} seeds at the top and left. Settings:")


def histories(result: SweepResult) -> list[xr.DataArray]:
    """Test and training accuracies of some seeds over (seed, step)."""
    named = [result[f"{name}_history"].rename(record="step") for name in ("test_accuracy", "accuracy")]
    return [h.assign_coords(step=result.dataset["record_step"].values) for h in named]


def panels(
    times: xr.Dataset, fractions: xr.Dataset, curves: Sequence[xr.DataArray], decay: float
) -> tuple[Figure, str]:
    """Curves of one weight decay, distribution of times by weight decay, and times by the share of pairs that train.

    `times` and `fractions` are of `milestones`; `curves` are test and training accuracies over
    (seed, step) of the models with weight decay `decay`. After Nanda et al. 2023, appendix D; Power et al. 2022, figure 1.
    """
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 6.2), layout="constrained")
    accuracy_curves(curves[0], curves[1], axes[0, 0], color=_color_of(times, decay))
    axes[0, 0].set_title(f"weight decay {decay:g}")
    generalised_by(times, axes[0, 1])
    times_by_seed(times, axes[1, 0])
    times_by_fraction(fractions, axes[1, 1])
    level, last = times.attrs["level"], times.attrs["steps"]
    text = (
        f"Top left: test accuracy of every seed at weight decay {decay:g}. Top right: share of the seeds whose test "
        f"accuracy has reached {level:.0%} by a step; in the legend how many have in the end. Bottom: steps until the "
        f"training accuracy (grey) and the test accuracy (colour) first reach {level:.0%}, a dot per seed; triangles, with "
        f"their number above, are seeds that did not generalise in {last:,} steps. Left by weight decay, right by the "
        f"share of all pairs that train, at weight decay {fractions.attrs['weight_decay']:g}."
    )
    return figure, text.replace("%", " %")


def accuracy_curves(test: xr.DataArray, train: xr.DataArray, ax: Axes | None = None, *, color: Any = None) -> Axes:
    """Test accuracies over (seed, step), a line per seed, and the median of the training accuracies, dashed."""
    ax = current_axes(ax)
    steps = test["step"].values
    ax.plot(steps, test.transpose("step", "seed"), "-", color=color or PALETTE["red"], lw=0.6, alpha=0.6)
    ax.plot(steps, train.median("seed"), "--", color="black", lw=1, label="train, median")
    ax.plot([], [], "-", color=color or PALETTE["red"], label="test, each seed")
    ax.set(xlabel="step", ylabel="accuracy", xlim=(0, steps[-1]), ylim=(-0.02, 1.03))
    ax.legend(loc="upper left", bbox_to_anchor=(0.06, 0.95))
    return ax


def generalised_by(times: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of seeds that have generalised by a step, a stair per `weight_decay`, of `milestones`.

    A stair ends below 1 where seeds did not generalise in the steps of the training; their number is written at its end.
    """
    ax, last = current_axes(ax), times.attrs["steps"]
    for decay, color in zip(times["weight_decay"].values, DECAY_COLORS, strict=False):
        t = times["generalised"].sel(weight_decay=decay).values
        reached = np.sort(t[np.isfinite(t)])
        share = np.arange(len(reached) + 1) / len(t)
        label = f"{decay:g}: {len(reached)} of {len(t)}"
        ax.step([0, *reached, last], [*share, share[-1]], where="post", color=color, label=label)
    ax.set(xlabel="step", ylabel="share of seeds that have generalised", xlim=(0, last), ylim=(-0.02, 1.03))
    ax.legend(title="weight decay", loc="upper left")
    return ax


def times_by_seed(times: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Steps to memorise (small, grey) and to generalise of every seed, by `weight_decay`; triangles: not in the training."""
    ax, rng = current_axes(ax), np.random.default_rng(0)
    for k, (decay, color) in enumerate(zip(times["weight_decay"].values, DECAY_COLORS, strict=False)):
        cells = times.sel(weight_decay=decay)
        _column(ax, k, cells, color, rng)
    return _columns(ax, "weight decay", [f"{d:g}" for d in times["weight_decay"].values])


def times_by_fraction(times: xr.Dataset, ax: Axes | None = None) -> Axes:
    """The same by `train_fraction`, the share of all pairs that train."""
    ax, rng = current_axes(ax), np.random.default_rng(0)
    fractions = times["train_fraction"].values
    for k, fraction in enumerate(fractions):
        _column(ax, k, times.sel(train_fraction=fraction), PALETTE["blue"], rng)
    return _columns(ax, "training share of all pairs", [f"{100 * f:.0f} %" for f in fractions])


def _columns(ax: Axes, label: str, names: list[str]) -> Axes:
    ax.set(xlabel=label, ylabel="steps", yscale="log", xlim=(-0.5, len(names) - 0.5))
    plain_ticks(ax, y=True)
    ax.set_xticks(range(len(names)), names)
    return ax


def _column(ax: Axes, x: float, cells: xr.Dataset, color: Any, rng: np.random.Generator) -> None:
    """One column of dots, a little beside one another so that equal ones are seen."""
    t, last = cells["generalised"].values, cells.attrs["steps"]
    place = x + rng.uniform(-0.28, 0.28, t.shape)
    ax.plot(place, cells["memorised"].values, ".", color="#AAAAAA", ms=3)
    ax.plot(place, t, "o", color=color, ms=3.5, mec="none", alpha=0.8)
    censored = np.isnan(t)
    ax.plot(place[censored], np.full(censored.sum(), 1.25 * last), "^", color=color, ms=3.5, mfc="none", mew=0.7)
    if censored.any():
        ax.text(x, 1.5 * last, f"{censored.sum()}", ha="center", va="bottom", fontsize=7, color=color)


def _color_of(times: xr.Dataset, decay: float) -> str:
    return DECAY_COLORS[int(np.argmin(np.abs(times["weight_decay"].values - decay)))]
