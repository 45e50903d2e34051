"""Where along an axis two minima cost the same, and so which of them is the best changes."""

from itertools import combinations

import numpy as np
import xarray as xr

from superpos.errors import ConfigError
from superpos.theory.branches import crossings


def crossings_of(table: xr.Dataset) -> xr.Dataset:
    """Settings at which two minima of a `landscape` along an axis have the same loss.

    Between neighbouring settings at which both exist, losses are joined by straight lines over the logarithm of the setting.
    Returns over `crossing`, in the order of the axis: the setting, under its own name; `first` and `second`, the numbers of
    the minima, the one that is lower before first; `loss`; and `lowest`, whether no other minimum is lower there, so that the
    best solution changes at once from one shape to another (a first-order transition).

    Raises:
        ConfigError: the table has no axis of numbers above 0 beside `minimum`.
    """
    axes = [str(d) for d in table["loss"].dims if d != "minimum"]
    if len(axes) != 1 or not np.all(table[axes[0]].values > 0):
        raise ConfigError("table must be a landscape along an axis of numbers above 0 to have crossings.")
    values = np.log(table[axes[0]].values.astype(float))
    losses = table["loss"].transpose(axes[0], "minimum").values
    rows: list[tuple[float, int, int, float, bool]] = []
    for i, j in combinations(range(losses.shape[1]), 2):
        both = np.flatnonzero(np.isfinite(losses[:, i]) & np.isfinite(losses[:, j]))
        for k in both[:-1][np.diff(both) == 1]:
            pair = values[k : k + 2], losses[k : k + 2, i], losses[k : k + 2, j]
            for at in crossings(*pair):
                if at == values[k + 1] and k + 1 in both[:-1][np.diff(both) == 1]:
                    continue  # it is the next pair's
                share = (at - values[k]) / (values[k + 1] - values[k])
                there = (1 - share) * losses[k] + share * losses[k + 1]
                first, second = (i, j) if losses[k, i] <= losses[k, j] else (j, i)
                rows.append(
                    (float(at), first, second, float(there[i]), bool(there[i] <= np.nanmin(there) * (1 + 1e-9)))
                )
    rows.sort(key=lambda row: row[0], reverse=bool(values[0] > values[-1]))
    columns: dict[str, np.ndarray] = {
        name: np.array([row[k] for row in rows], kind)
        for k, (name, kind) in enumerate(
            {"at": float, "first": int, "second": int, "loss": float, "lowest": bool}.items()
        )
    }
    result = {name: ("crossing", values) for name, values in columns.items() if name != "at"}
    return xr.Dataset({axes[0]: ("crossing", np.exp(columns["at"])), **result})
