"""Equally important features: Elhage et al. 2022, "The Geometry of Superposition"."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult
from superpos.theory.uniform import Structure, benefits, structures, unlearned_loss

# 1/(1 − S) up to which the best structure for n ≫ m has eight directions or fewer. There the 5-demicube, 16 directions in
# five dimensions, overtakes the square antiprism (1.836 and 1.835 v per dimension at 5.3), and larger ones follow.
SMALL_BEST_UP_TO = 5.277

LINE = "10 or more features within .005, twice as many as beside it"


def line(pool: np.ndarray, level: float) -> tuple[str, bool]:
    """Whether dimensionalities gather on a level, more than .0125 beside it: the numbers in words, and the answer."""
    at, below, above = (int(np.sum(np.abs(pool - f) <= 0.005)) for f in (level, level - 0.0125, level + 0.0125))
    return f"{at}, beside it {below} and {above}", at >= 10 and at >= 2 * max(below, above)


def benefit_table(feature_probability: Any, names: Sequence[str] = (), *, order: int = 64) -> xr.Dataset:
    """What `superpos.theory.uniform.benefits` finds for the structures of these names (all if none), as a table.

    Over (structure, feature_probability), where a structure is its number among `structures`; of two with one name the
    first counts.
    """
    every = structures()
    found = [next(k for k, s in enumerate(every) if s.name == name) for name in names] or [*range(len(every))]
    over, p = ("structure", "feature_probability"), np.asarray(feature_probability, float)
    rows = benefits(p, [every[k] for k in found], order=order)
    variables = {name: (over, np.array([getattr(row, name) for row in rows])) for name in Structure._fields[1:]}
    return xr.Dataset(variables, {"structure": found, "feature_probability": p})


def structures_in(table: xr.Dataset) -> list[Structure]:
    """The structures of a `benefit_table`, as `superpos.theory.uniform.benefits` returns them."""
    every = structures()
    rows = zip(*(table[name].values for name in Structure._fields[1:]), strict=True)
    return [Structure(every[int(k)], *row) for k, row in zip(table["structure"].values, rows, strict=True)]


def checked(feature_probability: Any) -> list[int]:
    """Where along a vector of densities the loss is compared with that of the best structure."""
    x = 1 / np.asarray(feature_probability)
    return [int(np.abs(np.log(x / level)).argmin()) for level in (1.6, 3, 5, 10)]


def judge(result: SweepResult, table: xr.Dataset, known: list[Structure], claims: Claims) -> None:
    """Plateau, lines, packing, and the loss that the best structure of every density predicts.

    D* and the loss are means over the seeds, features are pooled. `table` is the result's geometry, and `known` holds all
    structures at its `checked` densities.
    """
    x, d_star, D = 1 / table.feature_probability.values, table["d_star"].values.mean(1), table["dimensionality"].values
    flat = x[np.abs(d_star - 0.5) <= 0.03]
    wanted = "|D* − 1/2| ≤ .03 at 3 or more densities, all with 1/(1 − S) in 2.0…4.4"
    inside = len(flat) >= 3 and flat.min() >= 2.0 and flat.max() <= 4.4
    claims.add("D* sticks at 1/2", wanted, "at " + ", ".join(f"{v:.2f}" for v in flat), inside)
    pool = D[d_star < 0.95].ravel()
    for name, level in (("1/2 (antipodal pairs)", 1 / 2), ("2/5 (pentagons)", 2 / 5)):
        measured, holds = line(pool, level)
        claims.add(f"features gather on the line {name}", LINE, measured, holds)
    most = float(table["packing"].max())
    claims.identity("dimensionalities add up to at most m", "ΣD_i / m ≤ 1", f"at most {most:.4f}", most <= 1 + 1e-4)
    task, loss = result.attrs["task"], result["loss"].values.mean(axis=1)
    best = np.max([s.benefit for s in known], axis=0)
    for k, benefit in zip(checked(1 / x), best, strict=True):
        p, n, m = 1 / x[k], task["n_features"], task["n_hidden"]
        above = 100 * (loss[k] * n / (unlearned_loss(p) * (n - m * benefit)) - 1)
        sparse = x[k] > 5  # larger structures than the known ones may win there
        wanted = "0 to 5 % above" if not sparse else "at most 5 % above"
        holds = above <= 5 and (sparse or above >= -0.5)  # half a per cent: the loss is an estimate from samples
        claims.add(f"loss of the best structure, 1/(1 − S) = {x[k]:.2f}", wanted, f"{above:+.1f} %", holds)
