r"""Gosset's semiregular polytopes k_21, from the 240 roots of E₈ down.

Each is the vertex figure of the next: the neighbours of one vertex, seen from it. 4_21 has 240 vertices in 8 dimensions,
3_21 has 56 in 7, 2_21 has 27 in 6 (the lines on a cubic surface), 1_21 is the 5-demicube, 0_21 the rectified 5-cell and
−1_21 the triangular prism. No placement of as many points as any of these but the prism keeps them further apart; those in
five dimensions and more are sharp codes and minimise every completely monotonic energy. Gosset 1900, "On the regular and
semi-regular figures in space of n dimensions"; Cohn and Kumar 2007, "Universally optimal distribution of points on
spheres", table 1; for 0_21 Bachoc and Vallentin 2009, "Optimality and uniqueness of the (4, 10, 1/6) spherical code".
"""

from functools import lru_cache
from itertools import combinations, product

import numpy as np

# Names by the number of dimensions.
NAMES = {4: "rectified 5-cell", 5: "5-demicube", 6: "2_21", 7: "3_21", 8: "4_21"}


@lru_cache
def k21(dimensions: int) -> np.ndarray:
    """Vertices of k_21 in k + 4 dimensions, unit vectors in rows: 240, 56, 27, 16, 10, 6 of them in 8, 7, …, 3 dimensions."""
    return _e8_roots() if dimensions == 8 else vertex_figure(k21(dimensions + 1))


def vertex_figure(vertices: np.ndarray) -> np.ndarray:
    """The nearest neighbours of the first vertex, projected along it and scaled to length 1, in one dimension less."""
    cosines = vertices @ vertices[0]
    nearest = np.isclose(cosines, np.max(cosines[1:]))
    flat = vertices[nearest] - np.outer(cosines[nearest], vertices[0])
    basis = np.linalg.svd(flat, full_matrices=False)[2][: vertices.shape[1] - 1]
    return _unit(flat @ basis.T)


def _e8_roots() -> np.ndarray:
    """(±1, ±1, 0⁶) in all places and (±½)⁸ with an even number of minus signs."""
    roots = []
    for (i, j), signs in product(combinations(range(8), 2), product((-1, 1), repeat=2)):
        root = np.zeros(8)
        root[[i, j]] = signs
        roots.append(root)
    roots += [np.array(signs) / 2 for signs in product((-1, 1), repeat=8) if np.prod(signs) > 0]
    return _unit(np.array(roots))


def _unit(vertices: np.ndarray) -> np.ndarray:
    return vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
