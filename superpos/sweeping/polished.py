"""The best restarts of every cell, taken to the bottom of their valleys, beside planted solutions."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from superpos import check
from superpos.analysis.restarts import ROUNDING
from superpos.errors import ConfigError
from superpos.sweeping.result import SweepResult
from superpos.theory.planted import arrangement
from superpos.theory.polishing import polish

# Two losses are of one solution if they differ by a smaller share: more than short trainings leave.
SAME_WITHIN = 2e-3
NOISE = 0.01  # on planted weights, so that no saddle holds them


def polish_best(
    result: SweepResult, dim: str = "seed", *, n_best: int = 2, planted: str | Sequence[str | Sequence[str]] = ()
) -> xr.Dataset:
    r"""The best solution found for every cell: its best restarts and planted arrangements, all polished.

    Of a sweep of `Toy` tasks whose exact loss is known. Along `dim` the `n_best` restarts of lowest loss descend to their
    minimum (`superpos.theory.polish`), and so does every entry of `planted`: a sum of known shapes, such as
    `["pentagon", "antipodal pair"]`, whose first shape goes to the most important features
    (`superpos.theory.arrangement`). The lowest end counts.

    Returns:
        Over the other dimensions: `loss` (exact, mean over features), `W`, `b`, `found_by` ("training" or the planted shapes)
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
    ends = []
    for run in restarts:
        b = None if run.model.b is None else run.model.b[...]
        ends.append(("training", polish(run.model.W[...], b, task)))
    n, m = int(task.n_features), int(task.n_hidden)
    importance = np.broadcast_to(np.asarray(task.importance, float), (n,))
    for shapes in planted:
        W = arrangement(shapes, n, m, importance=importance, noise=NOISE).values
        left_out = np.linalg.norm(W, axis=0) < 0.1
        b = np.where(left_out, np.asarray(task.features.moment(1)), 0.0) if task.bias else None
        ends.append((shapes if isinstance(shapes, str) else " + ".join(shapes), polish(W, b, task)))
    found_by, end = min(ends, key=lambda pair: pair[1].loss)
    share = float(
        np.mean(losses <= float(end.loss) * (1 + SAME_WITHIN) + ROUNDING)
    )  # (a perfect one has a loss of about 0)
    b = np.zeros(n) if end.b is None else end.b
    return {"loss": float(end.loss), "W": end.W, "b": b, "found_by": found_by, "share": share}


def _filled(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    full = np.full(shape, np.nan)
    full[tuple(slice(n) for n in values.shape)] = values
    return full
