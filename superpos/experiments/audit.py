"""Published solutions beside the best ones found, all by exact loss: the solution, or a local minimum?

Elhage et al. 2022, "Toy Models of Superposition", and what other figures of superpos show.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.geometries import geometry
from superpos.analysis.restarts import BEST_FOUND_BELOW
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, current_axes
from superpos.sweeping import Grid, polish_best, sweep
from superpos.sweeping.polished import RESTART_WITHIN, lowest_end, negligible_loss
from superpos.tasks.toy import Toy
from superpos.theory.planted import planted_start
from superpos.theory.polishing import polish
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, Toy Models of Superposition"

# Published solutions that are a minimum and not the best: by how much more than the best they cost, in %, and what is better.
# Five pairs hold ten features; a pentagon and three pairs hold eleven in the same five dimensions.
LOCAL_MINIMA = {"20→5, .7ⁱ, p = .03: five pairs": (4.0, 5.0, "pentagon + 3 × antipodal pair")}

PAIR, LARGE = "antipodal pair", 40


@dataclass(frozen=True)
class Size:
    """How many of the `cases` (all if None), whether those of 80 features are among them, seeds, and steps of training."""

    n_cases: int | None = None
    large: bool = False
    seeds: int = 16
    steps: int | None = None  # None: the task's own


SIZES = Sizes(quick=Size(n_cases=1, seeds=2, steps=20), laptop=Size(), full=Size(large=True, seeds=64))


class Case(NamedTuple):
    """A task, the solution that is published for it, and others to compare with: each a list of shapes, or a W."""

    name: str
    task: Any
    published: Any
    rivals: Sequence[Any] = ()


def build(size: Size) -> list[Case]:
    """The cases that are audited."""
    return cases(large=size.large)[: size.n_cases]


def cases(*, large: bool = False) -> list[Case]:
    """What papers and figures of superpos show as the solution; `large` adds n = 80."""

    def toy(n: int, m: int, p: Any, I: Any = 1.0, **more: Any) -> Toy:
        return Toy(n_features=n, n_hidden=m, feature_probability=p, importance=I, **more)

    i, apart = np.arange(20), ((0, 1), (2, 3))
    split = np.array([[1.0, -1, 0, 0], [0, 0, 1, -1]])
    crossed = split[:, [0, 2, 1, 3]]
    turn = np.arange(6) * np.pi / 3
    hexagon = np.array([np.cos(turn), np.sin(turn)])
    triples = np.array([[1.0, 0, 0, -1, 0, 0], [0, 1, 0, 0, -1, 0], [0, 0, 1, 0, 0, -1]])
    decay, steep = 0.9 ** np.arange(5), 0.7**i
    one_apart = [np.append(rho * 0.05, [0.05] * 4) for rho in (0.5, 0.2)]
    bent = np.roll(np.array([[1.0, 0.31, -0.81, -0.81, 0.31], [0, 0.95, 0.59, -0.59, -0.95]]), 0, axis=1)
    pairs_without_first = np.hstack([np.zeros((2, 1)), np.array([[1.0, -1, 0, 0], [0, 0, 1, -1]])])
    mixed = [[PAIR] * k + ["pentagon"] * j for k, j in ((3, 1), (1, 2))]
    audited = [
        Case("2→1, p = .1: a pair", toy(2, 1, 0.1), [PAIR], [["dedicated"]]),
        Case("2→1, p = .5, r = .3: the extra one ignored", toy(2, 1, 0.5, [1, 0.3]), ["dedicated"], [[PAIR]]),
        Case(
            "3→2, p = .1: a pair and one alone", toy(3, 2, 0.1), [PAIR, "dedicated"], [["triangle"], ["dedicated"] * 2]
        ),
        Case("5→2, .9ⁱ, p = 1: two alone", toy(5, 2, 1.0, decay), ["dedicated"] * 2, [[PAIR] * 2, ["pentagon"]]),
        Case("5→2, .9ⁱ, p = .2: two pairs", toy(5, 2, 0.2, decay), [PAIR] * 2, [["dedicated"] * 2, ["pentagon"]]),
        Case("5→2, .9ⁱ, p = .05: pentagon", toy(5, 2, 0.05, decay), ["pentagon"], [[PAIR] * 2]),
        Case("5→2, one feature 2 times sparser: pentagon", toy(5, 2, one_apart[0]), bent, [pairs_without_first]),
        Case("5→2, one feature 5 times sparser: two pairs", toy(5, 2, one_apart[1]), pairs_without_first, [bent]),
        Case("4→2, correlated pairs, p = .1", toy(4, 2, 0.1, correlated_sets=apart), crossed, [split]),
        Case("4→2, anticorrelated pairs, p = .05", toy(4, 2, 0.05, anticorrelated_sets=apart), split, [crossed]),
        Case(
            "6→2, three correlated pairs, p = .02: hexagon",
            toy(6, 2, 0.02, correlated_sets=((0, 1), (2, 3), (4, 5))),
            hexagon,
            [hexagon[:, [0, 2, 4, 1, 3, 5]]],
        ),
        Case(
            "6→3, two correlated triples, p = .03: octahedron",
            toy(6, 3, 0.03, correlated_sets=((0, 1, 2), (3, 4, 5))),
            triples,
        ),
        Case("20→5 linear, .7ⁱ, p = .1", toy(20, 5, 0.1, steep, activation="identity"), ["dedicated"] * 5),
        Case("20→5, .7ⁱ, p = 1: five alone", toy(20, 5, 1.0, steep), ["dedicated"] * 5, [[PAIR] * 5]),
        Case("20→5, .7ⁱ, p = .03: five pairs", toy(20, 5, 0.03, steep), [PAIR] * 5, mixed),
    ]
    if large:
        slow = 0.7 ** (np.arange(80) / 4)
        many = [[PAIR] * k + ["pentagon"] * ((20 - k) // 2) for k in (18, 16, 14, 12)]
        linear = toy(80, 20, 0.03, slow, activation="identity")
        audited.append(Case("80→20 linear, .7ⁱᐟ⁴, p = .03", linear, ["dedicated"] * 20))
        audited.append(Case("80→20, .7ⁱᐟ⁴, p = .03: twenty pairs", toy(80, 20, 0.03, slow), [PAIR] * 20, many))
    return audited


def audit(chosen: Sequence[Case], *, seeds: int = 16, steps: int | None = None) -> xr.Dataset:
    """Exact losses, over `case`: of the published solution and of the best that was found, both polished.

    `steps` of exact training from `seeds` random starts; their two lowest and all rivals are polished. (Of more than 40
    features no restart is trained.) Variables: `published` and `best`, sums over features; `excess`, the first above the
    second, in %; `shown`, `published_is` and `best_is`, shapes as `geometry` names them: of the published solution before and
    after, for a solution that is no minimum descends to another, and of the best; `share` of the restarts within .2 % of the
    best, NaN without restarts; `found_by` "training" or "a planted start".

    Raises:
        ConfigError: a number or a case is not allowed.
    """
    rows = [_row(case, seeds, steps) for case in chosen]
    names = ("published", "best", "excess", "share", "shown", "published_is", "best_is", "found_by")
    columns = {name: ("case", list(column)) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return xr.Dataset(columns, coords={"case": [case.name for case in chosen]}, attrs={"seeds": seeds})


def _row(case: Case, seeds: int, steps: int | None) -> tuple[Any, ...]:
    task, planted = case.task, [case.published, *case.rivals]
    if task.n_features <= LARGE:
        exact = replace(task, objective="expected")
        restarts = sweep(exact, TrainConfig(steps=steps), Grid(seed=range(seeds)), progress=False)
        task = restarts.cell(seed=0).task  # its numbers in the precision of training, as the best one's are
        best = polish_best(restarts, planted=planted)
        loss, W, share, found_by = (best[name].values[()] for name in ("loss", "W", "share", "found_by"))
    else:
        loss, W, _, found_by = lowest_end(task, (), planted)
        share = np.nan
    published = polish(*planted_start(case.published, task), task)
    excess = 100 * (published.loss - loss) / max(loss, negligible_loss(task))
    shapes = (_shapes(weights) for weights in (planted_start(case.published, task, noise=0.0)[0], published.W, W))
    origin = "training" if found_by == "training" else "a planted start"
    return (task.n_features * published.loss, task.n_features * loss, excess, float(share), *shapes, origin)


def _shapes(W: np.ndarray) -> str:
    return str(geometry(W)).split(", D")[0].split("\n")[0]


def standing(share: float) -> str:
    """ "best", or "best found" where less than a tenth of the restarts reached it, or none was made."""
    return "best" if share >= BEST_FOUND_BELOW else "best found"


def evaluate(table: xr.Dataset, claims: Claims) -> None:
    """For every case: is the published solution the best one, within .2 %, or the local minimum that it is known to be?"""
    for name in map(str, table["case"].values):
        row = table.sel(case=name)
        share = float(row["share"])
        reached = "no restarts" if np.isnan(share) else f"{100 * share:.0f} % of restarts"
        excess = float(row["excess"])
        measured = f"{float(row['published']):.6g}, {excess:.2f} % above the {standing(share)}"
        if excess > 100 * RESTART_WITHIN:
            measured += f", {row['best_is'].item()}"
        stays = row["published_is"].item() == row["shown"].item()
        if not stays:
            measured += f"; no minimum: it descends to {row['published_is'].item()}"
        measured = f"{measured} ({reached})"
        if name in LOCAL_MINIMA:
            least, most, better = LOCAL_MINIMA[name]
            expected = f"a minimum, {least:g} to {most:g} % above {better}"
            holds = stays and least <= excess <= most and row["best_is"].item() == better
            claims.check(f"{name} are a local minimum", expected, measured, holds)
        else:
            claims.check(
                name, "a minimum, and the best within .2 %", measured, stays and excess <= 100 * RESTART_WITHIN
            )


def draw(table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption of the table of `audit`: a bar per case."""
    figure, ax = plt.subplots(figsize=(8.2, 0.7 + 0.26 * table.sizes["case"]), layout="constrained")
    audit_bars(table, ax)
    text = (
        "Exact loss of published solutions, polished to their minimum, above the best that was found: the lowest of "
        f"{table.attrs['seeds']} exact trainings and of shapes placed by importance, polished as well. On the right the "
        "share of the trainings within .2 % of it: below a tenth it is the best found, and there may be a better one."
    )
    return figure, text


def audit_bars(table: xr.Dataset, ax: Axes | None = None, *, same_within: float = 0.2) -> Axes:
    """How far every published solution is above the best, in %, and the share of restarts that reached the best.

    `table` is over `case` with `excess`, `share`, `shown` and `published_is`. Bars are orange where the solution is more than
    `same_within` % above, or no minimum.
    """
    ax = current_axes(ax)
    excess, share = table["excess"].values, table["share"].values
    worse = (excess > same_within) | (table["shown"] != table["published_is"]).values
    at = np.arange(len(excess))
    ax.barh(at, np.maximum(excess, 0), color=np.where(worse, PALETTE["orange"], PALETTE["blue"]), height=0.6)
    right = max(1.0, 1.25 * float(excess.max()))
    for y, part in zip(at, share, strict=True):
        label = "no restarts" if np.isnan(part) else f"{100 * part:.0f} % of restarts"
        ax.text(right, float(y), label, ha="right", va="center", fontsize="small")
    ax.set(xlim=(0, right), ylim=(len(at) - 0.5, -0.5), xlabel="loss above the best found (%)")
    ax.set_yticks(at, table["case"].values.tolist())
    return ax
