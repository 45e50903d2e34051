"""Ready-made grids."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from superpos import check
from superpos.models.sae import ARCHITECTURES
from superpos.sweep.grid import Grid
from superpos.tasks.sae import SPARSITY_FIELD


def sparsity_grid(settings: Mapping[str, Any], *, seed: Any = (0,), **axes: Any) -> Grid:
    """Sparse autoencoders of several architectures, each over values of what makes its own latents sparse.

    `sparsity_grid({"relu": [0.1, 0.2], "topk": [1, 2, 3]}, seed=range(8))` sweeps `sparsity_coefficient` for `"relu"`,
    `"gated"` and `"jumprelu"`, `k` for the others, every value with every seed and every combination of further `axes`. One
    dimension, `cell`; the field that an architecture does not use is 0 or 1. An array of values is a coordinate as any:
    `result.sel(architecture="topk")`.

    Raises:
        ConfigError: an unknown architecture, or values that are no numbers.
    """
    points = []
    for architecture, values in settings.items():
        check.one_of("settings: architecture", architecture, ARCHITECTURES)
        check.numbers(f"settings of {architecture}", values)
        for value, *rest in product(np.asarray(values, float).tolist(), *axes.values(), seed):
            chosen = {"sparsity_coefficient": 0.0, "k": 1.0} | {SPARSITY_FIELD[architecture]: value}
            points.append({"architecture": architecture, **chosen, **dict(zip((*axes, "seed"), rest, strict=True))})
    return Grid.points(points)
