"""Where the data of a result's models have their features."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.data.worlds import ORDERED


def positions_in_data(result: Any) -> xr.DataArray | None:
    """Places 0, 1, … along the curve of every model's world, over (…, feature); NaN where the world has no such order.

    None where no world of the result has one.
    """
    world = result.dataset.coords.get("world", result.attrs["task"].get("world"))
    ordered = xr.DataArray(world).isin(ORDERED)
    if "feature" not in result.dataset.sizes or not bool(ordered.any()):
        return None
    return xr.DataArray(np.arange(result.dataset.sizes["feature"], dtype=float), dims="feature").where(ordered)
