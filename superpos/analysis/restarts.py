"""How many restarts reached the best one."""

import numpy as np
import xarray as xr

from superpos import check

# A restart reached the best solution if its loss is at most this share above the best restart's.
REACHED_WITHIN = 0.01
# Losses of a perfect reconstruction are 0 up to rounding and the tail of a series.
ROUNDING = 1e-8
# Where fewer reached it, there may well be a lower one: it is the best found, not the best.
BEST_FOUND_BELOW = 0.1


def reached(loss: xr.DataArray, dim: str, *, within: float = REACHED_WITHIN) -> xr.DataArray:
    """Share of the restarts along `dim` whose loss is within a share of the lowest; a diverged one counts as a miss."""
    check.in_range("within", within, at_least=0)
    finite = loss.fillna(np.inf)
    lowest = finite.min(dim)
    return ((finite < np.inf) & (finite <= lowest + within * abs(lowest) + ROUNDING)).mean(dim)


def in_words(share: xr.DataArray, restarts: int, what: str) -> str:
    """ "best of 16 seeds (reached by 31 to 100 % of them)", or "best found" where less than a tenth did."""
    if restarts == 1:
        return f"one of the {what}"
    low, high = (f"{100 * float(x):.0f}" for x in (share.min(), share.max()))
    best = "best found" if float(share.min()) < BEST_FOUND_BELOW else "best"
    return f"{best} of {restarts} {what} (reached by {low if low == high else f'{low} to {high}'} % of them)"
