"""Equally important features, trained at many densities, and what the figures of them share.

Elhage et al. 2022, "The Geometry of Superposition".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from superpos.experiments.sizes import Sizes
from superpos.sweeping import Grid
from superpos.tasks import Toy
from superpos.theory.uniform import Structure, benefits, structures
from superpos.training.train_config import TrainConfig

# 1/(1 − S) up to which the best structure for n ≫ m has eight directions or fewer. There the 5-demicube, 16 directions in
# five dimensions, overtakes the square antiprism (1.836 and 1.835 v per dimension at 5.3), and larger ones follow.
SMALL_BEST_UP_TO = 5.277

LINE = "10 or more features within .005, twice as many as beside it"


@dataclass(frozen=True)
class Size:
    """Features and hidden dimensions, densities with 1/(1 − S) between 1 and 20, seeds, steps, and terms of benefits.

    `competitors` names the structures whose benefits are compared, all that are known if it is empty.
    """

    n_features: int = 200  # as in the published notebook
    n_hidden: int = 20
    densities: int = 20
    seeds: int = 3
    steps: int = 5_000
    order: int = 64  # terms of the series of benefits
    competitors: tuple[str, ...] = ()


SIZES = Sizes(
    quick=Size(
        n_features=20, n_hidden=4, densities=8, seeds=1, steps=50, order=8, competitors=("pentagon", "triangle")
    ),
    laptop=Size(),
    full=Size(n_features=400, n_hidden=30, steps=10_000),  # as in the paper
)


def build(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid."""
    task = Toy(n_features=size.n_features, n_hidden=size.n_hidden)
    grid = Grid(feature_probability=1 / np.geomspace(1, 20, size.densities), seed=range(size.seeds))
    return task, TrainConfig(steps=size.steps, evaluation_samples=32_768), grid


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
    numbers = [next(k for k, s in enumerate(every) if s.name == name) for name in names] or [*range(len(every))]
    dims, p = ("structure", "feature_probability"), np.asarray(feature_probability, float)
    rows = benefits(p, [every[k] for k in numbers], order=order)
    variables = {name: (dims, np.array([getattr(row, name) for row in rows])) for name in Structure._fields[1:]}
    return xr.Dataset(variables, {"structure": numbers, "feature_probability": p})


def structures_in(table: xr.Dataset) -> list[Structure]:
    """The structures of a `benefit_table`, as `superpos.theory.uniform.benefits` returns them."""
    every = structures()
    rows = zip(*(table[name].values for name in Structure._fields[1:]), strict=True)
    return [Structure(every[int(k)], *row) for k, row in zip(table["structure"].values, rows, strict=True)]
