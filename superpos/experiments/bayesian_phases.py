"""What a Bayesian learner holds, and where training ends: Chen et al. 2023, "Dynamical versus Bayesian Phase Transitions"."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.data import one_active
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.landscapes import free_energy, llc, polygon_minima, posterior_shares, preferred, transition
from superpos.landscapes.posterior import half_way, one_active_loss
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.training.train_config import TrainConfig

SOURCE = "Chen et al. 2023, Dynamical versus Bayesian Phase Transitions"
N = 6  # features of the transition that the paper times
PUBLISHED_CHANGE, PUBLISHED_CONSTANT = (
    601,
    2.7535,
)  # from five to six sides, and how much larger F of six is apart from n
PUBLISHED_COEFFICIENTS = {5: 7.0, 6: 8.5, 7: 10.0, 8: 11.5}  # (3k − 1)/2
LINES = ("2⁻⁻⁻⁻", "4⁻⁻", "5⁻", "5⁺", "6")
REPRESENTED = 0.5  # length
NEAR = 0.02  # of the loss
ONE_CORNER = np.deg2rad(10)
COLORS = {0: "pale", 1: "silver", 2: "grey", 3: "black", 4: "sky", 5: "green", 6: "orange", 7: "purple", 8: "red"}
DATA_RANGE = (20.0, 3_000.0)


@dataclass(frozen=True)
class Size:
    """Numbers of features; seeds and steps of training; chains of λ; data, ladders and steps of the sampled posterior."""

    features: tuple[int, ...] = (5, 6, 7, 8)
    seeds: int = 64
    steps: int = 4_000
    chains: int = 16
    rungs: int = 18
    ladders: int = 32
    walk: int = 8_000
    draws: int = 400  # of a chain
    warmup: int = 200


SIZES = Sizes(
    quick=Size(features=(6,), seeds=8, steps=40, chains=2, rungs=4, ladders=4, walk=200, draws=40, warmup=40),
    laptop=Size(),
    full=Size(seeds=512, steps=10_000, rungs=24, ladders=128, walk=20_000),
)


def build(size: Size) -> dict[int, tuple[Toy, TrainConfig, Grid]]:
    """Task, training and grid for every number of features: stochastic gradient descent, from random weights."""
    config = TrainConfig(steps=size.steps, batch_size=256, learning_rate=2.0, optimizer="sgd", schedule="cosine")
    grid = Grid(seed=range(size.seeds))
    return {n: (Toy(n_features=n, n_hidden=2, **one_active(n)), config, grid) for n in size.features}


def sampled(size: Size) -> xr.Dataset:
    """The posterior of six features, sampled at numbers of data from 40 to 1,000."""
    return posterior_shares(N, np.geomspace(40, 1_000, size.rungs), ladders=size.ladders, steps=size.walk)


def coefficients(size: Size) -> xr.Dataset:
    """λ by sampling beside the exact one, of full polygons, and of six features the others named: over `minimum`."""
    rows = []
    for n in size.features:
        table = polygon_minima(n).set_index(minimum="name")
        loss = partial(one_active_loss, shape=(2, n))  # one program for every point
        for name in (str(n), *(("5⁻", "5⁺", "4⁻⁻") if n == N else ())):
            row = table.sel(minimum=name)
            point = np.concatenate([row["W"].values.ravel(), row["b"].values])
            chains = llc(loss, point, nbeta=1e5, chains=size.chains, draws=size.draws, warmup=size.warmup, refuse=False)
            error = float(chains["standard_error"])
            rows.append((n, name, float(row["learning_coefficient"]), float(chains["estimate"]), error))
    features, names, exact, estimate, error = zip(*rows, strict=True)
    columns = {"features": features, "exact": exact, "estimate": estimate, "error": error}
    variables = {key: ("minimum", np.array(values)) for key, values in columns.items()}
    return xr.Dataset(variables, {"minimum": np.array(names)})


def learned(result: SweepResult | xr.Dataset, minima: xr.Dataset) -> list[str]:
    """The polygon that every seed of a sweep ends on, by name; "other" where its loss is not within 2 % of it.

    Sides are features longer than 1/2; of the others, one with a bias above 0 is biased, and one without dead. "6*" is a
    hexagon of which some corner is shared by two features or more: a minimum that the paper does not list.
    """
    n = minima.attrs["n_features"]
    W, b = result["W"].transpose("seed", "hidden", "feature").values, result["b"].transpose("seed", "feature").values
    levels = dict(zip(minima["name"].values.tolist(), minima["loss"].values.tolist(), strict=True))
    names = []
    for w, c, loss in zip(W, b, n * result["loss"].values.astype(float), strict=True):
        on = np.linalg.norm(w, axis=0) > REPRESENTED
        name = f"{on.sum()}{'⁺' * int(np.sum(~on & (c > 0)))}{'⁻' * int(np.sum(~on & (c <= 0)))}"
        n_corners = corners(w[:, on])
        if n_corners < on.sum():
            name = f"{n_corners}*"
        elif name not in levels or abs(loss - levels[name]) > NEAR * levels[name]:
            name = "other"
        names.append(name)
    return names


def corners(W: np.ndarray) -> int:
    """Directions in the plane that columns of W (2, k) have, those less than 10° apart counted once."""
    angles = np.sort(np.arctan2(W[1], W[0]))
    gaps = np.diff(np.concatenate([angles, angles[:1] + 2 * np.pi]))
    return int(np.sum(gaps > ONE_CORNER)) if len(angles) > 1 else len(angles)


def changes(minima: xr.Dataset, most: float = 1e6) -> list[tuple[float, str]]:
    """What is held, by number of data: (from, name), the first from 1 on, of leading order; solved exactly."""
    loss, coefficient, names = (minima[key].values for key in ("loss", "learning_coefficient", "name"))
    known = np.flatnonzero(np.isfinite(coefficient))
    n = np.geomspace(10, most, 2_001)
    order = list(dict.fromkeys(preferred(loss[known], coefficient[known], n).tolist()))
    steps = [(1.0, str(names[known[order[0]]]))]
    for before, after in pairwise(order):
        pair = known[[before, after]]
        steps.append((float(transition(loss[pair], coefficient[pair])), str(names[pair[1]])))
    return steps


def evaluate(
    minima: Mapping[int, xr.Dataset],
    ends: Mapping[int, Sequence[str]],
    posterior: xr.Dataset,
    by_sampling: xr.Dataset,
    claims: Claims,
) -> None:
    """Learning coefficients and the published transition; the sampled posterior; and where training disagrees with it.

    `minima` and `ends` are by number of features, `posterior` is of `sampled`, and `by_sampling` of `coefficients`.
    """
    six = minima[N].set_index(minimum="name")
    by_rank = {
        n: float(t.set_index(minimum="name")["learning_coefficient"].sel(minimum=str(n))) for n, t in minima.items()
    }
    measured = ", ".join(f"{n}: {value:g}" for n, value in by_rank.items())
    off = [n for n, value in by_rank.items() if value != PUBLISHED_COEFFICIENTS.get(n)]
    claims.identity(
        "full polygons: λ = (3k − 1)/2 by the rank of the Hessian", "7, 8.5, 10, 11.5 for 5 to 8", measured, not off
    )
    beside = [float(six["learning_coefficient"].sel(minimum=name)) for name in ("5⁻", "5⁺")]
    expected = "7 with a dead feature, 8.5 with a biased one"
    claims.identity("pentagon of six features", expected, f"{beside[0]:g} and {beside[1]:g}", beside == [7.0, 8.5])
    pair = six.sel(minimum=["5⁻", "6"])
    loss, coefficient = pair["loss"].values, pair["learning_coefficient"].values
    plain, published = (float(transition(loss, coefficient, constant=(0.0, c))) for c in (0.0, PUBLISHED_CONSTANT))
    claims.identity(
        "from five to six sides, by free energy",
        f"{PUBLISHED_CHANGE} data with the paper's constants",
        f"{published:.1f}; {plain:.1f} with no constants",
        abs(published - PUBLISHED_CHANGE) <= 1,
    )
    off_by = np.abs(by_sampling["estimate"] - by_sampling["exact"]) / by_sampling["error"]
    columns = (by_sampling[key].values.tolist() for key in ("features", "minimum", "exact", "estimate", "error"))
    measured = ", ".join(
        f"{name}{'' if str(n) in name else f' of {n}'}: {value:.2f} ± {error:.2f} ({exact:g})"
        for n, name, exact, value, error in zip(*columns, strict=True)
    )
    claims.check("λ by sampling", "the exact one within three standard errors", measured, float(off_by.max()) <= 3)
    change, shares = half_way(posterior, N), posterior["share"]
    claims.check(
        "from five to six features, in the sampled posterior",
        f"within a factor of 2 of {plain:.0f}, what constants leave open",
        f"{change:.0f} data",
        plain / 2 <= change <= 2 * plain,
    )
    early, late = (shares.sel(n_data=n, method="nearest") for n in (150.0, 700.0))
    claims.check(
        "the sampled posterior holds five features first, then six",
        "most of it at 150 data, and above 99 % at 700",
        f"{100 * float(early[5]):.0f} % and {100 * float(late[6]):.1f} %",
        int(np.argmax(early.values)) == 5 and float(late[6]) > 0.99,
    )
    named = {n: sum(name != "other" for name in names) / len(names) for n, names in ends.items()}
    measured = ", ".join(f"{n}: {100 * share:.0f} %" for n, share in named.items())
    claims.check(
        "training ends on the paper's polygons, or on ones with a shared corner",
        "95 % of the seeds or more",
        measured,
        min(named.values()) >= 0.95,
    )
    holds = {name for _, name in changes(minima[N])}
    (most, count), n_seeds = Counter(ends[N]).most_common(1)[0], len(ends[N])
    claims.check(
        "six features: where training ends most often, no posterior is",
        "5⁺ (the λ of the hexagon, at a higher loss)",
        f"{most}, {count} of {n_seeds} seeds",
        most == "5⁺" and most not in holds,
    )
    last = {n: changes(table)[-1][1] for n, table in minima.items()}
    counts = {n: sum(name == last[n] for name in names) for n, names in ends.items()}
    measured = ", ".join(f"{n}: {counts[n]} of {len(ends[n])} in {last[n]}" for n in ends)
    claims.check(
        "training seldom ends where a Bayesian with any number of data does",
        "fewer than one seed in five, with six features",
        measured,
        counts[N] < n_seeds / 5,
    )


def draw(
    minima: Mapping[int, xr.Dataset], ends: Mapping[int, Sequence[str]], posterior: xr.Dataset, attrs: dict[str, Any]
) -> tuple[Figure, str]:
    """Figure and caption: free energies, the sampled posterior, what is held by data and features, where training ends."""
    figure, axes = plt.subplots(2, 2, figsize=(8.8, 6.0), layout="constrained", height_ratios=(1.25, 1))
    (energies, shares), (held, ended) = axes
    free_energies(minima[N], energies)
    posterior_area(posterior, shares)
    phase_bars({n: changes(table) for n, table in minima.items()}, held)
    end_bars(ends, ended)
    titles = (
        f"free energy, {N} features",
        f"how many of {N} a posterior represents",
        "held, by data",
        "where training ends",
    )
    for ax, title in zip(axes.flat, titles, strict=True):
        ax.set_title(title)
    change = half_way(posterior, N)
    n_seeds = len(next(iter(ends.values())))
    text = (
        f"Free energies: nL + λ log n of polygons of {N} features above that of the hexagon; L is the sum over features of "
        "the squared error, exact. The hexagon is held where all lines are above 0. The dot is where the pentagon gives way, "
        f"and the bar from it ends where the paper's constants put that ({PUBLISHED_CHANGE}). Posterior: sampled with the "
        "exact loss and a standard normal prior, its share with so many features represented; half has six at "
        f"{change:.0f} data; dashed: the dot. Held: the polygon of least free energy, of leading order; features that are "
        "not on it are dead, but for one ⁺. Training: where stochastic gradient descent ends, share of "
        f"{n_seeds} seeds. Numbers are sides; ⁺ (hatched) is a feature without length but with the best constant, ⁻ a dead "
        "one, * a polygon of which features share a corner."
    )
    return figure, caption(attrs, text)


def free_energies(minima: xr.Dataset, ax: Axes | None = None, *, mark: bool = True) -> Axes:
    """Free energy of leading order above that of the full polygon, against the number of data; with `mark`, its change."""
    ax, table, full = current_axes(ax), minima.set_index(minimum="name"), str(minima.attrs["n_features"])
    n = np.geomspace(*DATA_RANGE, 400)

    def energy(name: str) -> np.ndarray:
        row = table.sel(minimum=name)
        return free_energy(float(row["loss"]), float(row["learning_coefficient"]), n)

    for name in LINES:
        row = table.sel(minimum=name)
        dashes = "--" if int(row["biased"]) else "-"
        ax.plot(n, energy(name) - energy(full), color=PALETTE[COLORS[int(row["sides"])]], ls=dashes, label=name)
    if mark:
        pair = table.sel(minimum=["5⁻", full])
        at = float(transition(pair["loss"].values, pair["learning_coefficient"].values))
        ax.plot([at, PUBLISHED_CHANGE], [0, 0], color="black", lw=3, solid_capstyle="butt")
        ax.plot(at, 0, "ko", ms=5)
        ax.annotate(f"{at:.0f} … {PUBLISHED_CHANGE}", (at, 0), (10, -13), textcoords="offset points", fontsize=8)
    ax.set(
        xscale="log", xlim=DATA_RANGE, ylim=(-12, 22), xlabel="number of data n", ylabel="nats above the full polygon"
    )
    ax.legend(loc="upper left", ncols=2)
    plain_ticks(ax)
    return ax


def posterior_area(posterior: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of the posterior with so many features represented, stacked, against the number of data."""
    ax = current_axes(ax)
    n, shares = posterior["n_data"].values, posterior["share"].values
    rows = [shares[:, :4].sum(axis=1), *shares[:, 4:].T]
    names = ["≤ 3", *(str(k) for k in posterior["represented"].values[4:])]
    shades = [PALETTE["silver"], *(PALETTE[COLORS[int(k)]] for k in posterior["represented"].values[4:])]
    ax.stackplot(n, rows, colors=shades)
    heights = np.cumsum(rows, axis=0)
    for k, (name, row) in enumerate(zip(names, rows, strict=True)):
        at = int(np.clip(np.argmax(row), 1, len(n) - 2))
        if row[at] > 0.12:
            _name(ax, n[at], heights[k][at] - row[at] / 2, name)
    pair = polygon_minima(posterior.attrs["n_features"]).set_index(minimum="name").sel(minimum=["5⁻", str(N)])
    ax.axvline(float(transition(pair["loss"].values, pair["learning_coefficient"].values)), color="black", ls="--")
    ax.set(
        xscale="log",
        xlim=(n[0], n[-1]),
        ylim=(0, 1),
        xlabel="number of data n",
        ylabel="share of the posterior",
    )
    plain_ticks(ax)
    return ax


def phase_bars(held: Mapping[int, Sequence[tuple[float, str]]], ax: Axes | None = None) -> Axes:
    """What is held, as a bar per number of features along the number of data."""
    ax = current_axes(ax)
    for k, steps in enumerate(held.values()):
        stops = [*(at for at, _ in steps[1:]), 1e6]
        for (start, name), stop in zip(steps, stops, strict=True):
            left, right = max(start, 10.0), min(stop, 1e5)
            if right > left:
                ax.barh(k, right - left, left=left, height=0.8, lw=0.5, **_look(name))
            if right > 1.6 * left:
                _name(ax, np.sqrt(left * right), k, name.replace("⁻", ""))
    ax.set(xscale="log", xlim=(10, 1e5), xlabel="number of data n", ylabel="features", yticks=range(len(held)))
    ax.set_yticklabels([str(n) for n in held])
    return ax


def end_bars(ends: Mapping[int, Sequence[str]], ax: Axes | None = None) -> Axes:
    """Where training ends, as a bar per number of features along the share of seeds."""
    ax = current_axes(ax)
    for k, names in enumerate(ends.values()):
        left = 0.0
        for name, count in sorted(Counter(names).items(), key=lambda item: _rank(item[0])):
            share = count / len(names)
            ax.barh(k, share, left=left, height=0.8, lw=0.5, **_look(name))
            if share > 0.09:
                _name(ax, left + share / 2, k, name)
            left += share
    ax.set(xlim=(0, 1), xlabel="share of seeds", ylabel="features", yticks=range(len(ends)))
    ax.set_yticklabels([str(n) for n in ends])
    return ax


def _rank(name: str) -> tuple[int, int]:
    return (9, 0) if name == "other" else (int(name[0]), name.count("⁻") + 9 * name.count("*"))


def _look(name: str) -> dict[str, Any]:
    """Fill by sides, hatched where there are biased features."""
    if name == "other":
        return {"fc": "white", "ec": PALETTE["grey"], "hatch": "..."}
    return {
        "fc": PALETTE[COLORS[int(name[0])]],
        "ec": "white",
        "hatch": "///" if "⁺" in name else "xx" if "*" in name else None,
    }


def _name(ax: Axes, x: float, y: float, name: str) -> None:
    ax.text(
        x, y, name, ha="center", va="center", fontsize=8, bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1}
    )
