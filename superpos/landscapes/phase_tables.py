"""Which minimum of a landscape a Bayesian learner holds, by number of data: a table of minima in, a labelled table out."""

from typing import Any

import numpy as np
import xarray as xr

from superpos import check
from superpos.errors import ConfigError
from superpos.landscapes.free_energies import FEWEST, preferred

COLUMNS = ("loss", "learning_coefficient", "name")
LABEL = "label"  # a table that has one is named by it: two minima may have the same shape
SUM = "sum over features"  # what the attribute "loss" of a table says whose loss needs no factor


def bayesian_phases(table: xr.Dataset, n_data: Any, *, beta: float = 1.0) -> xr.Dataset:
    r"""The minimum of least free energy $n \beta L + \lambda \log n$, for every number of data n and setting of a table.

    `table` is what `sp.landscape` returns, for one setting or along an axis, or `polygon_minima`: `loss`,
    `learning_coefficient` and `name` over `minimum`. L is the sum over features: a loss that is a mean over them is
    multiplied by their number. `n_data` is a vector. See `superpos.landscapes.free_energy` for β.

    Returns over the axis of the table, if it has one, and `n_data`: `preferred`, the number of the minimum along `minimum`
    (−1: none is known), its `name` (its `label`, where the table has labels), and `lead`, by how many nats the next one is
    behind (NaN where there is no other).
    A minimum of unknown λ (NaN: kinks, say) does not compete. λ from `sp.llc` can be put in its place:
    `table.assign(learning_coefficient=…)`.

    >>> table = sp.landscapes.bayesian_phases(sp.landscapes.polygon_minima(6), [50, 300, 1_000])
    >>> table["name"].values.tolist()
    ['0⁻⁻⁻⁻⁻⁻', '5⁻', '6']

    Raises:
        ConfigError: `table` has no such columns, or `n_data` is no vector of numbers from 1 on.
    """
    if not isinstance(table, xr.Dataset) or any(name not in table for name in COLUMNS) or "minimum" not in table.dims:
        raise ConfigError(
            f"table must be a Dataset with {', '.join(COLUMNS)} over minimum, as sp.landscape returns it."
        )
    check.in_range("n_data", n_data, at_least=FEWEST)
    check.number("beta", beta, above=0)
    n = np.asarray(n_data, float)
    if n.ndim != 1:
        raise ConfigError(f"n_data must be a vector, got shape {n.shape}.")
    factor = 1 if table.attrs.get("loss") == SUM else table.sizes.get("feature")
    if factor is None:
        raise ConfigError("table must have W or b over feature: a loss that is a mean needs the number of features.")
    axes = [str(name) for name in table["loss"].dims if name != "minimum"]
    loss, coefficient, names = (
        table[key].transpose(*[a for a in axes if a in table[key].dims], "minimum").values
        for key in (*COLUMNS[:2], LABEL if LABEL in table else COLUMNS[2])
    )
    shape = loss.shape[:-1]
    rows = [np.broadcast_to(x, loss.shape).reshape(-1, loss.shape[-1]) for x in (factor * loss, coefficient, names)]
    best, lead = (
        np.array(part)
        for part in zip(*(_best(row[0], row[1], n, beta) for row in zip(*rows, strict=True)), strict=True)
    )
    words = np.where(best >= 0, np.take_along_axis(rows[2], np.maximum(best, 0), axis=1).astype(object), "")
    dims = (*axes, "n_data")
    columns = {"preferred": best, "name": words, "lead": lead}
    variables = {name: (dims, values.reshape(*shape, len(n))) for name, values in columns.items()}
    coordinates = {name: table[name] for name in axes if name in table.coords}
    return xr.Dataset(variables, coordinates | {"n_data": n}, {"beta": float(beta)})


def _best(loss: np.ndarray, coefficient: np.ndarray, n: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """The number of the minimum of least free energy for every n, and how far the next one is behind."""
    order = preferred(loss, coefficient, n, beta=beta)
    energy = beta * n[:, None] * loss + coefficient * np.log(n)[:, None]
    ranked = np.sort(energy, axis=1)  # NaN last
    lead = ranked[:, 1] - ranked[:, 0] if ranked.shape[1] > 1 else np.full(len(n), np.nan)
    return order, lead
