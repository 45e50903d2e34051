"""What kind of code a whole model uses: nothing, features apart from each other, or superposition."""

import xarray as xr

from superpos.analysis.phases import PHASES, SHARED_ABOVE

NOTHING, APART, SHARED = PHASES


def regimes(table: xr.Dataset, *, shared_above: float = SHARED_ABOVE) -> xr.DataArray:
    r"""The phase of every model of a geometry table, by its represented features.

    "ignored" if there are none; "in superposition" if others speak along the direction of one of them with interference
    $\sum_{j \neq i} (\hat W_i \cdot W_j)^2$ above `shared_above`; else "dedicated". `table` is that of
    `SweepResult.geometry`. Elhage et al. 2022, "Superposition as a Phase Change", for models instead of single features.
    """
    worst = table["interference"].where(table["represented"], 0).max("feature")
    apart = xr.where(worst > shared_above, SHARED, APART)
    return xr.where(table["n_represented"] > 0, apart, NOTHING).astype(str)
