"""Arrangements of known shapes that fit a task: where minima are likely, whether random starts find them or not."""

from typing import Any

import numpy as np

from superpos.theory.planted import planted_start
from superpos.theory.polytopes import known_shapes

MOST = 64


def arrangements(n_features: int, n_hidden: int) -> list[list[str]]:
    """Lists of shapes that fit into `n_hidden` dimensions with `n_features` features, those of most features first."""
    every = [s for k in range(1, n_features + 1) for s in known_shapes(k)]
    shapes = [(s.name, len(s.vertices), s.dimensions) for s in every if s.dimensions <= n_hidden]
    shapes.sort(key=lambda s: (-s[1], s[0]))
    results: list[tuple[int, list[str]]] = []

    def extend(names: list[str], first: int, features: int, dimensions: int) -> None:
        if names:
            results.append((n_features - features, names))
        for k, (name, size, space) in enumerate(shapes[first:], start=first):
            if size <= features and space <= dimensions and len(results) < 100 * MOST:
                extend([*names, name], k, features - size, dimensions - space)

    extend([], 0, n_features, n_hidden)
    results.sort(key=lambda r: (-r[0], len(r[1]), r[1]))
    return [names for _, names in results[:MOST]]


def candidate_points(task: Any) -> list[np.ndarray]:
    """The arrangements as flat vectors of W and b, each a little off its symmetry."""
    points = []
    for names in arrangements(int(task.n_features), int(task.n_hidden)):
        W, b = planted_start(names, task)
        points.append(np.concatenate([W.ravel()] if b is None else [W.ravel(), b]))
    return points
