"""The landscape of a task: all minima of its expected loss, at one setting or along several."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError
from superpos.landscapes.candidates import candidate_points
from superpos.landscapes.descent import descend, random_starts, task_training
from superpos.landscapes.merging import classes
from superpos.landscapes.problem import Problem, problem_of
from superpos.landscapes.search import Minima
from superpos.landscapes.table import branch_table, row_of, table_of
from superpos.landscapes.tracking import branches_of

AXES = ("feature_probability", "importance")


def landscape(
    task: Any,
    starts: int = 4_096,
    *,
    along: Mapping[str, Any] | None = None,
    seed: int = 0,
    order: int | None = None,
    candidates: bool = True,
) -> xr.Dataset:
    r"""All distinct minima of the expected loss of a `Toy` task that random starts and known shapes lead to.

    The loss is that of `superpos.expected_loss`: no sampling. From `starts` initial models, drawn with `seed` as training
    draws them, Adam descends as it does in training with `objective="expected"`; from every known arrangement that fits
    (`candidates`), quasi-Newton does. All go to the bottom of their valleys by Newton's method with analytic second
    derivatives, in double precision, and off saddles. Minima are one if a rotation or reflection of the hidden space and a
    permutation of features of equal density and importance takes one to the other.

    `along={"feature_probability": values}` or `{"importance": values}` does the same at many settings at once. `values` are
    (k,) numbers, or (k, n_features) with one row per setting. The same initial models start everywhere. Every minimum is
    also followed to the neighbouring settings, in both directions, so that minima that no start found are not lost, and so
    that a minimum keeps its number while it exists.

    Returns:
        From the lowest loss, over `minimum` (and the axis of `along`, NaN where a minimum does not exist):
        `loss` (mean over features); `name`, the shape; `dimensionality` $D_i$; `starts` and `share`, how many of the random
        starts end there, with its 95 % Wilson interval `share_low`, `share_high`; `eigenvalues` of the Hessian over `mode`,
        `rank`, `index` (negative ones), `zero_modes`, and how many of these `symmetry_modes` (rotations) and `dead_modes`
        (dead features) explain; `gap` (see `superpos.landscapes.Curvature`); `learning_coefficient` λ = rank / 2, NaN where
        `flags` say why; `gradient`, its length over the loss of W = 0; `W` and `b`. The attribute `lost` counts starts that
        ran away. The order of minima along an axis is that of their lowest loss.

    Raises:
        ConfigError: the task has no expected loss, or a number or axis is not allowed.
    """
    check.integer("starts", starts, at_least=1, at_most=10**7)
    check.integer("seed", seed, at_most=2**32 - 1)
    check.boolean("candidates", candidates)
    first = problem_of(task, order)
    axis, labels, cells = _cells(task, along)
    problems = [first if along is None else problem_of(cell, order) for cell in cells]
    use_compilation_cache()
    found = _minima(task, problems, starts, seed)
    if candidates:
        for cell, minima in zip(cells, found, strict=True):
            for point in candidate_points(cell):
                minima.add(point, "known shape")
    lost = [starts - sum(basin.starts for basin in minima.basins) for minima in found]
    attrs = {"starts": starts, "seed": seed, "order": first.order, "task": repr(task)}
    attrs |= {f"descent_{name}": value for name, value in task_training(task).items()}
    if axis is None:
        rows = [row_of(first, basin, starts) for basin in found[0].basins]
        return table_of(rows, attrs | {"lost": lost[0]})
    branches = branches_of(found)
    rows = [[row_of(minima.problem, basin, starts) for basin in minima.basins] for minima in found]
    return branch_table(rows, branches, axis, labels, attrs | {"lost": lost})


def _minima(task: Any, problems: list[Problem], starts: int, seed: int) -> list[Minima]:
    """The minima that random starts lead to, for every cell; all cells descend in one program."""
    points = random_starts(task, starts, seed)
    label = [classes(problem.task) for problem in problems]
    rows = {
        name: np.repeat([np.asarray(getattr(problem.task, name)) for problem in problems], starts, axis=0)
        for name in AXES
    }
    ends = descend(np.tile(points, (len(problems), 1)), task, rows)
    found = [Minima(problem, kinds) for problem, kinds in zip(problems, label, strict=True)]
    for k, minima in enumerate(found):
        part = slice(k * starts, (k + 1) * starts)
        minima.add_ends(type(ends)(ends.flat[part], ends.loss[part]))
    return found


def _cells(task: Any, along: Mapping[str, Any] | None) -> tuple[str | None, np.ndarray, list[Any]]:
    """The axis, its labels, and the task at every value."""
    if along is None:
        return None, np.array([]), [task]
    if not isinstance(along, Mapping) or len(along) != 1:
        raise ConfigError(f"along must name one axis and its values, got {check.short(along)}.")
    (axis, values), n = next(iter(along.items())), int(task.n_features)
    check.one_of("along", axis, AXES)
    numbers = arrays.as_numpy(axis, values).astype(np.float64)
    if numbers.ndim not in (1, 2) or (numbers.ndim == 2 and numbers.shape[1] != n):
        raise ConfigError(f"{axis} must be numbers, (k,), or rows, (k, {n}), got shape {numbers.shape}.")
    return axis, numbers, [replace(task, **{axis: value if np.ndim(value) else float(value)}) for value in numbers]
