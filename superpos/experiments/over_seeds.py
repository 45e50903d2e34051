"""One table of what is measured of every model of a sweep over seeds, and how a mean over them is written."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.intervals import mean_interval
from superpos.models.transformer import Transformer
from superpos.sweeping import SweepResult

Measured = Mapping[str, Any]


def over_seeds(
    result: SweepResult,
    measured: Callable[[Transformer, Any], Measured],
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[Any]],
) -> xr.Dataset:
    """Numbers and arrays that `measured(model, task)` has by name, of every model of a `result` over `seed` alone.

    Every variable leads with `seed`; `dims` names the axes of arrays after that, and `coords` what stands along them.
    """
    rows: dict[str, list[Any]] = {}
    for seed in result["seed"].values:
        cell = result.sel(seed=seed)
        for key, value in measured(cell.model(), cell.task()).items():
            rows.setdefault(key, []).append(np.asarray(value))
    variables = {key: (("seed", *dims.get(key, ())), np.stack(values)) for key, values in rows.items()}
    along = {name: list(values) for name, values in coords.items()}
    return xr.Dataset(variables, {"seed": result["seed"].values, **along})


def mean_and_half_width(values: Any) -> tuple[float, float]:
    """Mean over seeds, and half of its 95 % interval: `superpos.analysis.mean_interval` as it is written with ±."""
    mean, low, high = mean_interval(values)
    return mean, (high - low) / 2
