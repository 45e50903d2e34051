"""The landscape of a task: all minima of its expected loss, at one setting or along several."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError
from superpos.landscapes.candidates import candidate_points, moved_features, narrow_places
from superpos.landscapes.descent import LEGS, Ends, descend, descent_of, random_starts
from superpos.landscapes.merging import classes
from superpos.landscapes.problem import check_task, problem_of
from superpos.landscapes.search import Minima
from superpos.landscapes.table import branch_table, row_of, table_of
from superpos.landscapes.tracking import branches_of

AXES = ("feature_probability", "importance")
# Legs of descents from points that are near a minimum: smaller steps stay in a shallow valley.
NEARBY = (1 / 8, 1 / 8)
# So few of a cell go to the bottom one by one: another leg would cost more.
FEW = 8
ROUNDS = 6  # of moving features of minima that are new


def landscape(
    task: Any,
    starts: int = 4_096,
    *,
    along: Mapping[str, Any] | None = None,
    seed: int = 0,
    order: int | None = None,
    candidates: bool = True,
) -> xr.Dataset:
    r"""All distinct minima of the expected loss of a `Toy` task that random starts, shapes and their neighbours lead to.

    The loss is that of `superpos.expected_loss`: no sampling. From `starts` initial models, drawn with `seed` as training
    draws them, Adam descends in legs of a third of the steps of training with `objective="expected"`, until an end is near
    one minimum. With `candidates` so do all known arrangements that fit, and neighbours of every minimum, in which one
    feature is silenced, dead, or laid along another, until none is new; with smaller steps. One end of each valley goes
    to the bottom by quasi-Newton and Newton's method with analytic second derivatives, in double precision, and off saddles.
    Where features differ, minima with dead features are many, as each may be the dead one, and finding them takes minutes
    (5→2 with importances of .9^i at density .2: more than a hundred, where random starts end in a third of them).
    Minima are one if a rotation or reflection of the hidden space and a permutation of features of equal density and
    importance takes one to the other, but for what no output shows.

    `along={"feature_probability": values}` or `{"importance": values}` does the same at many settings at once. `values` are
    (k,) numbers, or (k, n_features) with one row per setting. The same initial models start everywhere. Every minimum is
    also followed to the neighbouring settings, in both directions, so that minima that no start found are not lost, and so
    that a minimum keeps its number while it exists.

    Returns:
        From the lowest loss, over `minimum` (and the axis of `along`, NaN where a minimum does not exist):
        `loss` (mean over features); `name`, the shape; `label`, the same with what the other features do, and with a letter
        where several minima would be called alike ("pentagon + 1 dead", "irregular (b)"); `dimensionality` $D_i$; `starts`
        and `share`, how many of the random starts end there, with its 95 % Wilson interval `share_low`, `share_high`;
        `eigenvalues` of the Hessian over `mode`, `rank`, `index` (negative ones), `zero_modes`, and how many of these
        `symmetry_modes` (rotations) and `dead_modes` (dead features) explain; `gap` (see `superpos.landscapes.Curvature`);
        `learning_coefficient` λ = rank / 2, NaN where `flags` say why; `gradient`, its length over the loss of W = 0; `W` and
        `b`. The attribute `lost` counts starts that ran away. The order of minima along an axis is that of their lowest loss.

    Raises:
        ConfigError: the task has no expected loss, or a number or axis is not allowed.
    """
    check.integer("starts", starts, at_least=1, at_most=10**7)
    check.integer("seed", seed, at_most=2**32 - 1)
    check.boolean("candidates", candidates)
    check_task(task)
    axis, labels, cells = _cells(task, along)
    problems = [problem_of(cell, order) for cell in cells]
    first = problems[0]
    use_compilation_cache()
    found = [Minima(problem, classes(problem.task)) for problem in problems]
    points = random_starts(task, starts, seed)
    _descend(task, found, [points] * len(found), "random start")
    if candidates:
        _try(task, found, [np.stack(candidate_points(cell)) for cell in cells])
    lost = [starts - sum(basin.starts for basin in minima.basins) for minima in found]
    attrs = {"starts": starts, "seed": seed, "order": first.order, "task": repr(task)}
    attrs |= {f"descent_{name}": value for name, value in descent_of(task).items()}
    if axis is None:
        if np.ptp(density := np.asarray(first.task.feature_probability)) == 0:
            attrs["density"] = float(density.flat[0])
        rows = [row_of(first, basin, starts) for basin in found[0].basins]
        return table_of(rows, attrs | {"lost": lost[0]})
    branches = branches_of(found)
    rows = [[row_of(minima.problem, basin, starts) for basin in minima.basins] for minima in found]
    return branch_table(rows, branches, axis, labels, attrs | {"lost": lost})


def _descend(
    task: Any,
    found: list[Minima],
    points: list[np.ndarray],
    source: str,
    *,
    rates: tuple[float, ...] = LEGS,
    count: bool = True,
) -> None:
    """From the points of every cell, (k, d), to minima; all cells descend in one program, leg by leg."""
    cell = np.repeat(np.arange(len(found)), [len(rows) for rows in points])
    settings = {name: np.stack([np.asarray(getattr(m.problem.task, name)) for m in found]) for name in AXES}
    flat = np.concatenate(points)
    for leg, rate in enumerate(rates, start=1):
        if not len(flat):
            return
        ends = descend(flat, task, {name: values[cell] for name, values in settings.items()}, rate=rate)
        for last in (False, True):
            each = [Ends(*(x[cell == k] for x in ends)) for k in range(len(found))]
            waiting = [m.settle(e, source, last=last, count=count) for m, e in zip(found, each, strict=True)]
            moving = np.concatenate(waiting)
            ends, cell = Ends(*(x[moving] for x in ends)), cell[moving]
            if len(cell) > FEW * len(found) and leg < len(rates):
                break
        flat = ends.flat


def _try(task: Any, found: list[Minima], points: list[np.ndarray]) -> None:
    """Add the minima below the points of every cell, then those that moving one feature of a known one leads to."""
    source, done = "known shape", [0] * len(found)
    for _ in range(ROUNDS):
        _descend(task, found, points, source, rates=NEARBY, count=False)
        source, points = "moved feature", []
        for k, minima in enumerate(found):
            fresh = minima.basins[done[k] :]
            done[k] = len(minima.basins)
            moved = [moved_features(minima.problem, basin.bottom.flat, minima.label) for basin in fresh]
            for place in (p for b in fresh for p in narrow_places(minima.problem, b.bottom.flat, minima.label)):
                minima.add_first(place, "narrow place")
            points.append(np.concatenate([np.zeros((0, minima.problem.size)), *moved]))
        if not sum(map(len, points)):
            return


def _cells(task: Any, along: Mapping[str, Any] | None) -> tuple[str | None, np.ndarray, list[Any]]:
    """The axis, its labels, and the task at every value."""
    if along is None:
        return None, np.array([]), [task]
    if not isinstance(along, Mapping) or len(along) != 1:
        raise ConfigError(f"along must name one axis and its values, got {check.short(along)}.")
    (axis, values), n = next(iter(along.items())), task.n_features
    check.one_of("along", axis, AXES)
    numbers = arrays.as_numpy(axis, values).astype(np.float64)
    if numbers.ndim not in (1, 2) or (numbers.ndim == 2 and numbers.shape[1] != n):
        raise ConfigError(f"{axis} must be numbers, (k,), or rows, (k, {n}), got shape {numbers.shape}.")
    return axis, numbers, [replace(task, **{axis: value if np.ndim(value) else float(value)}) for value in numbers]
