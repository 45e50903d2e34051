"""Named axes over fields of a task and its training, and the designs that combine them into cells."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from superpos import check, views
from superpos.console import printable_lines
from superpos.errors import ConfigError
from superpos.sweeping.axes import LAWS, Axis, axis_of, is_single
from superpos.sweeping.sorting import firsts

# Names that results use for something else.
RESERVED = frozenset((
    "cell", "row", "hidden", "feature", "latent", "record", "snapshot", "record_step", "snapshot_step",
    "loss", "diverged_step", "stopped_step",
    "shape", "residual", "n_represented", "packing", "d_star", "norm", "represented", "interference",
    "dimensionality", "component", "component_shape", "polysemanticity",
    "phase", "basin_probability", "optimal_loss", "optimal_phase", "optimal_norm", "optimal_interference",
    "excess", "agrees",
))  # fmt: skip
MAX_CELLS = 10**8


class Grid:
    """Which models a sweep trains: named axes, each a list of values, and a design that combines them.

    An axis is named after a field of the task or of `TrainConfig`, or `seed`; or it has a name of its own and is made by
    `entry`, `decay`, `vectors`, `power_law` or `exponential_law`. `Grid(**axes)` is the full product, `Grid.zipped` takes
    the i-th value of every axis together, `Grid.random` draws cells, `Grid.points` lists them.

    >>> grid = sp.Grid(feature_probability=[0.1, 0.3, 1.0], seed=range(4))
    >>> grid.n_cells, grid.sizes
    (12, {'feature_probability': 3, 'seed': 4})

    Raises:
        ConfigError: an axis is empty, repeats a value, is not finite, or lengths do not fit the design.
    """

    def __init__(self, /, **axes: Any):
        self.design, self.axes = "product", _checked_axes("product", axes)
        for name, axis in self.axes.items():
            ordered = np.sort(axis.values)
            if np.any(repeated := ~firsts(ordered)):
                value = ordered[repeated][0]
                label = value if axis.vectors is None else f"the vector {axis.vectors[value].tolist()}"
                raise ConfigError(f"grid axis {name} holds {label} twice.")

    @classmethod
    def _of(cls, design: str, axes: dict[str, Axis]) -> "Grid":
        """A grid of axes that are checked."""
        grid = cls.__new__(cls)
        grid.design, grid.axes = design, axes
        return grid

    @classmethod
    def zipped(cls, /, **axes: Any) -> "Grid":
        """Cell i takes the i-th value of every axis.

        >>> sp.Grid.zipped(feature_probability=[0.1, 0.3], learning_rate=[0.01, 0.02]).sizes
        {'cell': 2}
        """
        checked = _checked_axes("zipped", axes)
        lengths = {name: len(axis.values) for name, axis in checked.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ConfigError(f"grid axes of a zipped design must have equal lengths, got {listed}.")
        return cls._of("zipped", checked)

    @classmethod
    def random(cls, n_cells: int, /, *, random_seed: int = 0, **axes: Any) -> "Grid":
        """Draw `n_cells` cells: uniformly from a list of values, or from a distribution with `.rvs` (scipy.stats).

        `Grid.random(500, feature_probability=scipy.stats.loguniform(0.01, 1), seed=range(8))`
        """
        check.integer("grid: n_cells", n_cells, at_least=1, at_most=MAX_CELLS)
        check.integer("grid: random_seed", random_seed)
        rng = np.random.default_rng(random_seed)
        drawn = {}
        for name, axis in _checked_axes("random", axes).items():
            if hasattr(axis.values, "rvs"):
                try:
                    values = np.asarray(axis.values.rvs(size=n_cells, random_state=rng))
                except TypeError:
                    raise ConfigError(
                        f"grid axis {name} must be a frozen distribution, such as loguniform(0.1, 1)."
                    ) from None
                check.finite_array(f"grid axis {name}", values)
                if values.shape != (n_cells,):
                    raise ConfigError(f"grid axis {name} must draw one number per cell, got shape {values.shape}.")
            else:
                values = axis.values[rng.integers(len(axis.values), size=n_cells)]
            drawn[name] = replace(axis, values=values)
        return cls._of("random", drawn)

    @classmethod
    def points(cls, points: Any) -> "Grid":
        """List the cells one by one: `Grid.points([{"feature_probability": 0.1, "seed": 3}, …])`."""
        many = isinstance(points, Iterable) and not isinstance(points, memoryview) and not is_single(points)
        listed: list[Any] = list(points) if many else [points]
        if not listed:
            raise ConfigError("grid: points must list at least one cell.")
        if not all(isinstance(point, Mapping) for point in listed):
            raise ConfigError("grid: points must be a list of mappings from field to value.")
        names = list(listed[0])
        for k, point in enumerate(listed):
            if list(point) != names and set(point) != set(names):
                raise ConfigError(
                    f"grid: point {k} must set {', '.join(names)}, as point 0 does; got {', '.join(point)}."
                )
        return cls._of("points", _checked_axes("points", {name: [point[name] for point in listed] for name in names}))

    @classmethod
    def restored(cls, description: Mapping[str, Any], dims: Mapping[str, int], columns: Mapping[str, Any]) -> "Grid":
        """The grid that `describe` and `columns` are of."""
        design: str = description["design"]
        axes: dict[str, Axis] = {}
        for axis in description["axes"]:
            name = axis["name"]
            values = columns[name]
            if design == "product":  # the axis itself: the values along its dimension, at the start of all others
                at = tuple(slice(None) if dim == name else 0 for dim in dims)
                values = values.reshape(tuple(dims.values()))[at]
            axes[name] = replace(Axis.described(axis), values=values)
        return cls._of(design, axes)

    @property
    def sizes(self) -> dict[str, int]:
        """Dimensions of the results: one per axis for the full product, else `cell`."""
        lengths = {name: len(axis.values) for name, axis in self.axes.items()}
        return lengths if self.design == "product" else {"cell": next(iter(lengths.values()))}

    @property
    def n_cells(self) -> int:
        """How many models the grid holds."""
        return math.prod(self.sizes.values())

    def columns(self) -> dict[str, np.ndarray]:
        """Every axis's value in every cell, each of shape (n_cells,); cells of a product run through the last axis first."""
        if self.design != "product":
            return {name: axis.values for name, axis in self.axes.items()}
        shape, columns = tuple(self.sizes.values()), {}
        for k, (name, axis) in enumerate(self.axes.items()):
            along = axis.values.reshape([-1 if k == other else 1 for other in range(len(shape))])
            columns[name] = np.array(np.broadcast_to(along, shape), order="C").reshape(-1)
        return columns

    def describe(self) -> dict[str, Any]:
        """Design and axes without their values, for a result's attributes."""
        axes: list[dict[str, Any]] = []
        for name, axis in self.axes.items():
            axes.append({"name": name, "field": axis.field, "rule": axis.rule.value, "index": axis.index})
            if axis.vectors is not None:
                axes[-1]["vectors"] = axis.vectors.tolist()
            if axis.rule in LAWS:
                axes[-1]["total"] = axis.total
        return {"design": self.design, "axes": axes}

    def _repr_html_(self) -> str:
        return views.draw("html", self)

    def __repr__(self) -> str:
        lines = []
        for name, axis in self.axes.items():
            v = axis.values
            ends = str(v[0]) if len(v) == 1 else f"{v[0]}, {v[1]}" if len(v) == 2 else f"{v[0]} … {v[-1]}"
            lines.append(f"  {name}: {len(v)} values, {ends}")
        return printable_lines("\n".join([f"Grid of {self.n_cells:,} models ({self.design})", *lines]))


def _checked_axes(design: str, given_axes: Mapping[str, Any]) -> dict[str, Axis]:
    """The axes of a design, checked: names and limits first, for values may be many.

    Raises:
        ConfigError: there are none, a name is not allowed, two set the same, or the grid is too large.
    """
    if not given_axes:
        raise ConfigError("grid must have at least one axis, such as seed=range(8).")
    for name in given_axes:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)):
            raise ConfigError(f"grid axis {name!r} must have a name of letters, digits and underscores.")
        if name in RESERVED or name.endswith(("_history", "_snapshots", "_start")):
            raise ConfigError(f"grid axis may not be called {name}: results use the name for something else.")
    lengths = [_length(given) for given in given_axes.values()]
    _check_size(math.prod(lengths) if design == "product" else max(lengths))
    axes: dict[str, Axis] = {}
    targets: dict[str, str] = {}
    for name, given in given_axes.items():
        axis = given if isinstance(given, Axis) else axis_of(name, given)
        if hasattr(axis.values, "rvs") and design != "random":
            raise ConfigError(f"grid axis {name} is a distribution; only Grid.random draws from distributions.")
        if axis.target in targets:
            raise ConfigError(f"grid axes {targets[axis.target]} and {name} both set {axis.target}.")
        targets[axis.target] = name
        axes[name] = axis
    if design == "product":  # again: some axes do not tell their length before they are read
        _check_size(math.prod(len(axis.values) for axis in axes.values()))
    return axes


def _check_size(n_cells: int) -> None:
    if n_cells > MAX_CELLS:
        raise ConfigError(f"grid of {n_cells:.3g} models is too large; at most {MAX_CELLS:,} fit.")


def _length(given: Any) -> int:
    """How many values an axis is given; 1 where that shows only when they are read."""
    values = given.values if isinstance(given, Axis) else given
    if isinstance(values, range):  # len() of a range ends at the machine's word
        return max(0, -(-(values.stop - values.start) // values.step))
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return len(values)
    return values.shape[0] if isinstance(values, np.ndarray) and values.ndim else 1
