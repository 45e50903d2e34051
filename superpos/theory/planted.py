"""Weights in which features lie as known shapes do: to start training from, or to compare with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.theory.polytopes import KnownShape, known_shape

if TYPE_CHECKING:
    import xarray as xr

NOISE = 0.01  # on planted weights
LEFT_OUT_BELOW = 0.1  # norm of a column, beside 1 for a feature that has a vertex


def arrangement(
    shapes: str | Sequence[str],
    n_features: int,
    n_hidden: int,
    *,
    importance: Any = None,
    length: float = 1.0,
    noise: float = 0.0,
    seed: Any = 0,
) -> "xr.DataArray":
    r"""W of shape (n_hidden, n_features) whose columns are the vertices of known shapes, each in dimensions of its own.

    Features take the vertices in order; those that are left over are 0. `shapes` is a name or several, as
    `superpos.geometry` prints them: `"pentagon"`, `["triangle", "antipodal pair"]`; `"square"` is two antipodal pairs, and
    "9-gon" or "5-simplex" say k. With `importance` (n_features,) the most important feature takes the first vertex, the
    next the second, and so on: the first shape goes to the most important ones. Columns have norm `length`; `noise` ·
    N(0, 1) is added to every entry, from `seed`. With several seeds the result leads with them and is labelled, so that
    `init={"W": arrangement(…, seed=range(8))}` starts the cells of a seed from theirs.

    >>> sp.theory.arrangement("pentagon", 6, 2).values[0].round(2)
    array([ 1.  ,  0.31, -0.81, -0.81,  0.31,  0.  ])

    Raises:
        ConfigError: an unknown shape, or too few features or dimensions for the shapes.
    """
    check.integer("n_features", n_features, at_least=1)
    check.integer("n_hidden", n_hidden, at_least=1)
    for name, value in (("length", length), ("noise", noise)):
        check.number(name, value, at_least=0)
    names: list[Any] = (
        [shapes] if isinstance(shapes, str) else list(shapes) if isinstance(shapes, list | tuple) else [None]
    )
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"shapes must be a name or a list of names, got {' '.join(repr(shapes).split())[:60]}.")
    parts = [part for name in names for part in _parts(name)]
    n_vertices, dimensions = sum(len(shape.vertices) for shape in parts), sum(shape.dimensions for shape in parts)
    for what, needed, available in (("features", n_vertices, n_features), ("dimensions", dimensions, n_hidden)):
        if needed > available:
            raise ConfigError(f"shapes {', '.join(map(str, names))} need {needed} {what}, and there are {available}.")
    W, row, column = np.zeros((n_hidden, n_features)), 0, 0
    for shape in parts:
        k, d = shape.vertices.shape
        W[row : row + d, column : column + k] = length * shape.vertices.T
        row, column = row + d, column + k
    if importance is not None:
        weights = arrays.as_numpy("importance", importance)
        check.vector("importance", weights, n_features)
        ranked, placed = np.argsort(-np.broadcast_to(weights, (n_features,)), kind="stable"), W
        W = np.zeros_like(placed)
        W[:, ranked] = placed
    several = isinstance(seed, range | list | tuple) or (isinstance(seed, np.ndarray) and seed.ndim == 1)
    for one in (listed := list(seed) if several else [seed]):
        check.integer("seed", one, at_most=2**32 - 1)
    if not listed:
        raise ConfigError("seed must be a whole number or several, got none.")
    seeds = np.array(listed, np.int64)
    drawn = W + noise * np.stack([np.random.default_rng(one).normal(size=W.shape) for one in seeds.tolist()])
    import xarray as xr  # late: it brings pandas

    if not several:
        return xr.DataArray(drawn[0], dims=("hidden", "feature"))
    return xr.DataArray(drawn, {"seed": seeds}, ("seed", "hidden", "feature"))


def planted_start(solution: Any, task: Any, *, noise: float = NOISE) -> tuple[np.ndarray, np.ndarray | None]:
    """W and b of a solution for a task (a `Toy`): where descent may begin from, or what to compare with.

    `solution` is a shape, a list of shapes for an `arrangement` by importance, a W (n_hidden, n_features), or a pair of W and
    b. `noise` moves W a little off its symmetry, so that no saddle holds it. Features of short columns are left out: their
    bias is their mean, E x. Of a task without biases b is None.

    Raises:
        ConfigError: a shape is unknown or does not fit, or arrays have another shape than the task says.
    """
    if not hasattr(task, "n_hidden") or not hasattr(task, "features"):
        raise ConfigError(f"task must be a superpos.tasks.Toy, got {type(task).__name__}.")
    task.check()
    noise = check.number("noise", noise, at_least=0)
    n, m, b = int(task.n_features), int(task.n_hidden), None
    if isinstance(solution, str) or (
        isinstance(solution, list | tuple) and solution and all(isinstance(name, str) for name in solution)
    ):
        importance = np.broadcast_to(np.asarray(task.importance, float), (n,))
        W = arrangement(solution, n, m, importance=importance).values
    elif isinstance(solution, tuple) and len(solution) == 2:
        W, b = arrays.as_numpy("planted W", solution[0], ndim=2), arrays.as_numpy("planted b", solution[1], ndim=1)
    else:
        W = arrays.as_numpy("planted W", solution, ndim=2)
    for name, array, shape in (("W", W, (m, n)), ("b", b, (n,))):
        if array is not None and array.shape != shape:
            raise ConfigError(f"planted {name} must have shape {shape}, as the task says, got {array.shape}.")
    if b is None:
        left_out = np.linalg.norm(W, axis=0) < LEFT_OUT_BELOW
        b = np.where(left_out, np.asarray(task.features.moment(1)), 0.0)
    return W + noise * np.random.default_rng(0).normal(size=W.shape), b if task.bias else None


def _parts(name: str) -> list[KnownShape]:
    """The shapes of a name; a square is two antipodal pairs."""
    if name in ("square", "4-gon"):
        return 2 * [known_shape("antipodal pair")]
    return [known_shape(name, argument="shapes")]
