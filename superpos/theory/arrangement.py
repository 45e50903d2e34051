"""Weights in which features lie as known shapes do: to start training from, or to compare with."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.theory import polytopes
from superpos.theory.polytopes import KnownShape, known_shapes


def arrangement(
    shapes: str | Sequence[str],
    n_features: int,
    n_hidden: int,
    *,
    importance: Any = None,
    length: float = 1.0,
    noise: float = 0.0,
    seed: Any = 0,
) -> xr.DataArray:
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
    found = [part for name in names for part in _parts(name)]
    vertices, dimensions = sum(len(s.vertices) for s in found), sum(s.dimensions for s in found)
    for what, needed, there in (("features", vertices, n_features), ("dimensions", dimensions, n_hidden)):
        if needed > there:
            raise ConfigError(f"shapes {', '.join(map(str, names))} need {needed} {what}, and there are {there}.")
    W, row, column = np.zeros((n_hidden, n_features)), 0, 0
    for shape in found:
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
    if not several:
        return xr.DataArray(drawn[0], dims=("hidden", "feature"))
    return xr.DataArray(drawn, {"seed": seeds}, ("seed", "hidden", "feature"))


def _parts(name: str) -> list[KnownShape]:
    """The shapes of a name; a square is two antipodal pairs."""
    if name in ("square", "4-gon"):
        return 2 * [known_shapes(2)[0]]
    name = "triangle" if name == "3-gon" else name
    size = {polytopes.simplex_name(k): k for k in (2, 3, 4)} | {"dedicated": 1}
    size |= {word: k for k, word in polytopes.POLYGONS.items()}
    if match := re.fullmatch(r"(\d{1,3})-(simplex|gon)", str(name)):
        k = int(match[1]) + (match[2] == "simplex")
        kind = polytopes.simplex_name(k) if match[2] == "simplex" else polytopes.POLYGONS.get(k, f"{k}-gon")
        there = known_shapes(k) if k > 1 else ()
    else:
        kind, there = name, known_shapes(size[name]) if name in size else polytopes.special_shapes()
    found = [shape for shape in there if shape.name == kind]
    if not found:
        known = [*size, *(shape.name for shape in polytopes.special_shapes()), "square"]
        raise ConfigError(
            f"shapes: {name!r} is no known shape.{check.suggestion(str(name), known)} superpos.theory.known_shapes(k) lists "
            "those with k vertices."
        )
    return found[:1]
