"""Ready-made grids."""

from collections.abc import Mapping
from itertools import product
from typing import Any

from superpos import check
from superpos.errors import ConfigError
from superpos.models.sae import ARCHITECTURES, architecture_of
from superpos.sweeping.axes import Axis
from superpos.sweeping.grid import Grid


def sparsity_grid(settings: Mapping[str, Any], *, seed: Any = (0,), **axes: Any) -> Grid:
    """Sparse autoencoders of several architectures, each over values of what makes its own latents sparse.

    `sparsity_grid({"relu": [0.1, 0.2], "topk": [1, 2, 3]}, seed=range(8))` sweeps `sparsity_coefficient` for `"relu"`,
    `"gated"` and `"jumprelu"`, `k` for the others, every value with every seed and every combination of further `axes`, such
    as `source=range(4)`. The result has one dimension, `cell`; `result.sel(architecture="topk")` chooses along it. The field
    that an architecture does not use is 0 (`sparsity_coefficient`) or 1 (`k`).

    Raises:
        ConfigError: an unknown architecture, an axis that is set already, or values that are no flat list of numbers.
    """
    if not isinstance(settings, Mapping) or not settings:
        raise ConfigError(f"settings must map architectures to values, got {check.short(settings)}.")
    for name in ("architecture", "sparsity_coefficient", "k"):
        if name in axes:
            raise ConfigError(f"{name} is set by settings already and cannot be a further axis.")
    further = {name: _listed(name, values) for name, values in {**axes, "seed": seed}.items()}
    points = []
    for architecture, values in settings.items():
        check.one_of("settings: architecture", architecture, tuple(ARCHITECTURES))
        for value, *rest in product(map(float, _listed(architecture, values)), *further.values()):
            chosen = {"sparsity_coefficient": 0.0, "k": 1.0} | {architecture_of(architecture).sparsity_field: value}
            points.append({"architecture": architecture, **chosen, **dict(zip(further, rest, strict=True))})
    return Grid.points(points)


def _listed(name: str, values: Any) -> list[Any]:
    """The values of one axis, checked as those of any grid."""
    if isinstance(values, Axis):
        raise ConfigError(f"{name} must be a list of values here; entry(...) and decay(...) need a Grid.")
    axis = Grid(**{name: values}).axes[name]
    return (axis.values if axis.vectors is None else axis.vectors[axis.values]).tolist()
