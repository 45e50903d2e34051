r"""Which vertices of a shape are alike, and how it can change without losing its symmetry.

Vertices are alike if they see the same cosines to the same kinds of vertices. A shape of unit vectors can be deformed by
moving every vertex $v_i$ along $\sum_j T_m(v_i \cdot v_j)\, v_j$, summed over one kind of vertices: forces like these (here
with Chebyshev's $T_m$) commute with every symmetry. What they span across the sphere are the free parameters of the shape:
an antiprism's height is one; regular polytopes have none.
"""

import numpy as np

SAME = 1e-5  # cosines nearer to each other than this are one
HIGHEST = 12  # degree of the forces
INDEPENDENT = 1e-6  # singular values below this share of the number of vertices are rounding


def kinds(gram: np.ndarray) -> np.ndarray:
    """Number of the kind of every vertex, from 0 in the order of their first ones; `gram` are the cosines, (k, k)."""
    label = np.zeros(len(gram), int)
    while True:
        # Sorted by kind, then by cosine: the cosines lie in [-1, 1], the kinds 4 apart.
        seen = np.sort(gram + 4 * label[None], axis=1) + 4 * len(gram) * label[:, None]
        first_rows, refined = [], np.zeros_like(label)
        for i, row in enumerate(seen):
            same = [k for k, first in enumerate(first_rows) if np.abs(row - first).max() < SAME]
            refined[i] = same[0] if same else len(first_rows)
            first_rows += [] if same else [row]
        if refined.max() == label.max():
            return refined
        label = refined


def looks_alike(gram: np.ndarray) -> bool:
    """Whether the shape with the cosines `gram`, (k, k), looks the same from every vertex.

    Every cosine gets a weight, and from every vertex the closed walks of three, four and five steps are counted with the
    weights they pass. Vertices that a symmetry takes to each other have the same counts.
    """
    weights = np.exp(gram)
    walk = weights @ weights
    for _ in range(3):
        walk = walk @ weights
        counts = np.diag(walk)
        if np.ptp(counts) > SAME * counts.mean():
            return False
    return True


def deformations(vertices: np.ndarray) -> np.ndarray:
    """Independent ways to move the unit vectors in rows that keep the symmetry and the lengths, (ways, k, d)."""
    k, d = vertices.shape
    gram = vertices @ vertices.T
    kind = kinds(gram)
    forces = np.polynomial.chebyshev.chebvander(np.clip(gram, -1, 1), HIGHEST)  # (k, k, degrees)
    fields = [np.einsum("ijm,jd->mid", forces[:, kind == o], vertices[kind == o]) for o in range(kind.max() + 1)]
    moves = np.concatenate(fields)
    across = moves - np.einsum("mid,id->mi", moves, vertices)[..., None] * vertices
    _, size, ways = np.linalg.svd(across.reshape(len(across), -1), full_matrices=False)
    return np.sqrt(k) * ways[size > INDEPENDENT * k].reshape(-1, k, d)
