"""The best restarts of every cell, taken to the bottom of their valleys, beside planted solutions."""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from superpos import check
from superpos.errors import ConfigError
from superpos.sweeping.result import SweepResult
from superpos.theory.planted import planted_start
from superpos.theory.polishing import polish

# A restart, which was not polished, found the polished solution if its loss is at most this share above: what 300 steps
# leave, and less than what tells solutions apart.
RESTART_WITHIN = 2e-3


def polish_best(
    result: SweepResult, dim: str = "seed", *, n_best: int = 2, planted: str | Sequence[Any] = ()
) -> xr.Dataset:
    r"""The best solution found for every cell: its best restarts and planted arrangements, all polished.

    Of a sweep of `Toy` tasks whose exact loss is known. Along `dim` the `n_best` restarts of lowest loss descend to their
    minimum (`superpos.theory.polish`), and so does every entry of `planted` (`superpos.theory.planted_start`): a sum of known
    shapes, such as `["pentagon", "antipodal pair"]`, whose first shape goes to the most important features; a W; or a pair of
    W and b. The lowest end counts.

    Returns:
        Over the other dimensions: `loss` (exact, mean over features), `W`, `b`, `found_by` ("training", the planted
        shapes, or "planted weights")
        and `share`, that of all restarts along `dim` within .2 % of `loss`. Below a tenth it is the best *found*: another
        search may well find a lower one.

    Raises:
        ConfigError: the sweep has no such dimension or no toy models, more restarts are asked for than there are, a shape is
            unknown or does not fit, or the exact loss is unknown.
    """
    if not isinstance(result, SweepResult) or "W" not in result.dataset or dim not in result.sizes:
        raise ConfigError(f"result must hold toy models over {dim!r} to polish the best of them.")
    check.integer("n_best", n_best, at_least=1, at_most=result.sizes[dim])
    planted = [planted] if isinstance(planted, str) else planted
    others = [d for d in map(str, result["loss"].dims) if d != dim]
    rows = []
    for index in product(*(range(result.sizes[d]) for d in others)):
        cell = result.isel(**dict(zip(others, index, strict=True)))
        rows.append(_best_of_cell(cell, dim, n_best, planted))
    shape = tuple(result.sizes[d] for d in others)
    coordinates = {d: result.dataset.coords[d] for d in others if d in result.dataset.coords}
    inner = {"W": ("hidden", "feature"), "b": ("feature",)}
    for row in rows:  # smaller models are filled up with NaN, as in the sweep
        row["W"] = _filled(row["W"], result.dataset["W"].isel(dict.fromkeys(result.sizes, 0)).shape)
        row["b"] = _filled(row["b"], row["W"].shape[1:])
    variables = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        variables[name] = ((*others, *inner.get(name, ())), values.reshape((*shape, *values.shape[1:])))
    return xr.Dataset(variables, coordinates, {"n_best": n_best, "restarts": result.sizes[dim]})


def _best_of_cell(cell: SweepResult, dim: str, n_best: int, planted: Sequence[Any]) -> dict[str, Any]:
    losses = cell["loss"].fillna(np.inf).values
    order = np.argsort(losses, kind="stable")[:n_best]
    restarts = [cell.isel(**{dim: int(k)}).cell() for k in order]
    task = restarts[0].task
    best = lowest_end(
        task, [(run.model.W[...], None if run.model.b is None else run.model.b[...]) for run in restarts], planted
    )
    share = float(np.mean(losses <= best.loss * (1 + RESTART_WITHIN) + negligible_loss(task)))
    b = np.zeros(int(task.n_features)) if best.b is None else best.b
    return {"loss": best.loss, "W": best.W, "b": b, "found_by": best.found_by, "share": share}


class End(NamedTuple):
    """Where a descent ended, and where it began."""

    loss: float  # exact, mean over features
    W: np.ndarray
    b: np.ndarray | None
    found_by: str


def lowest_end(task: Any, trained: Sequence[tuple[Any, Any]], planted: Sequence[Any]) -> End:
    """The lowest of the minima below trained models, pairs of W and b, and below planted solutions of a `Toy` task.

    Training has it where a planted solution ends there, too: within a millionth.
    """
    ends = []
    for start in trained:
        minimum = polish(*start, task)
        ends.append(End(float(minimum.loss), minimum.W, minimum.b, "training"))
    for solution in planted:
        minimum = polish(*planted_start(solution, task), task)
        ends.append(End(float(minimum.loss), minimum.W, minimum.b, _name(solution)))
    return min(ends, key=lambda end: end.loss * (1 - 1e-6 * (end.found_by == "training")))


def negligible_loss(task: Any) -> float:
    """A millionth of what W = 0 costs: losses of a perfect reconstruction, which are 0 but for rounding and a cut series."""
    return 1e-6 * float(np.mean(np.asarray(task.importance) * np.asarray(task.features.moment(2))))


def _name(solution: Any) -> str:
    names = [solution] if isinstance(solution, str) else solution
    return " + ".join(names) if all(isinstance(name, str) for name in names) else "planted weights"


def _filled(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    full = np.full(shape, np.nan)
    full[tuple(slice(n) for n in values.shape)] = values
    return full
