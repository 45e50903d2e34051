"""Shapes that features are known to form, as unit vectors.

Only shapes that do not split into orthogonal parts are listed: a square is two antipodal pairs, an octahedron three, a
triangular bipyramid a triangle and a pair (the paper's tegum products). Beside regular and uniform polytopes these are
Gosset's k_21 (`superpos.theory.gosset`) and the best placements of points in space (`superpos.theory.spherical_codes`).

A new shape is one line in `_special` here, a row of `TABLE` in `tests/test_geometry.py`, and an entry of `COLORS` if it shall
have a colour of its own: names, arrangements, legends and pages follow.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations, permutations, product

import numpy as np

from superpos import check
from superpos.errors import ConfigError
from superpos.theory import gosset, spherical_codes, symmetry

# Neighbours in a larger polygon are so close that any crowd of directions in a plane looks like one.
MAX_POLYGON = 24
SIMPLICES = {1: "dedicated", 2: "antipodal pair", 3: "triangle", 4: "tetrahedron"}
POLYGONS = {5: "pentagon", 6: "hexagon", 7: "heptagon", 8: "octagon"}
# The shapes whose D_i are the lines that features gather at (Elhage et al. 2022, "The Geometry of Superposition"), highest
# line first, each with its colour in figures: a word of the lab's palette. Others have that of their family
# (`superpos.plot.shape_look`).
COLORS = {
    "dedicated": "black",
    "tetrahedron": "purple",
    "triangle": "green",
    "antipodal pair": "blue",
    "pentagon": "orange",
    "square antiprism": "sky",
}


@dataclass(frozen=True)
class KnownShape:
    """A name and its vertices, the rows of a (k, d) array of unit vectors spanning d dimensions.

    Raises:
        ConfigError: all vertices see the same cosines, and still they are not alike.
    """

    name: str
    vertices: np.ndarray

    def __post_init__(self) -> None:
        # `superpos.analysis.shapes` lays any direction on the first vertex if all vertices see the same cosines.
        needs_alike = not self.is_simplex and not self.is_plane and len(self.views) == 1
        if needs_alike and not symmetry.looks_alike(self.gram):
            raise ConfigError(f"vertices of {self.name} see the same cosines, so they must be alike in everything.")

    @property
    def dimensions(self) -> int:
        """Dimensions the vertices span, d."""
        return self.vertices.shape[1]

    @property
    def dimensionality(self) -> float:
        """d / k: D_i of every vertex where the vertices fill their dimensions evenly, else an upper bound of its mean."""
        return self.dimensions / len(self.vertices)

    @property
    def color(self) -> str | None:
        """Its colour in figures, a word of the lab's palette; None where it has that of its family."""
        return COLORS.get(self.name)

    @property
    def is_plane(self) -> bool:
        """Whether its vertices lie in a plane and span it."""
        return self.dimensions == 2

    @cached_property
    def is_simplex(self) -> bool:
        """Whether all pairs of vertices have one cosine, so that any order of the vertices is as good as another."""
        pairs = self.gram[~np.eye(len(self.gram), dtype=bool)]
        return not len(pairs) or bool(np.ptp(pairs) < 1e-9)

    @cached_property
    def gram(self) -> np.ndarray:
        """Inner products of the vertices, (k, k)."""
        return self.vertices @ self.vertices.T

    @cached_property
    def views(self) -> np.ndarray:
        """Inner products with all others seen from one vertex of every kind, sorted, (kinds, k - 1).

        The first row is seen from the first vertex. Most shapes look the same from every vertex and have one row.
        """
        others = self.gram[~np.eye(len(self.gram), dtype=bool)].reshape(len(self.gram), -1)
        seen = np.sort(others, axis=1)
        kinds: list[np.ndarray] = []
        for view in seen:
            if not any(np.allclose(view, kind, atol=1e-4) for kind in kinds):
                kinds.append(view)
        return np.array(kinds)

    @cached_property
    def kinds(self) -> np.ndarray:
        """Number of the kind of every vertex, (k,): those of one kind are alike (`superpos.theory.symmetry`)."""
        return symmetry.kinds(self.gram)

    @cached_property
    def deformations(self) -> np.ndarray:
        """Free parameters: ways to move the vertices that keep the symmetry, (ways, k, d)."""
        return symmetry.deformations(self.vertices)


@lru_cache
def known_shapes(k: int) -> tuple[KnownShape, ...]:
    """All known shapes with k vertices: the simplex for any k, polygons up to 24, the special ones.

    Among these are Gosset's k_21 in four to eight dimensions and optimal codes of 7, 9, 10, 11 and 14 points in space.

    >>> [shape.name for shape in sp.theory.known_shapes(5)]
    ['4-simplex', 'pentagon', 'square pyramid']
    """
    if k == 1:
        return (KnownShape(SIMPLICES[1], np.ones((1, 1))),)
    shapes = [KnownShape(simplex_name(k), simplex(k))]
    if 5 <= k <= MAX_POLYGON:
        shapes.append(KnownShape(polygon_name(k), polygon(k)))
    return (*shapes, *(shape for shape in _special() if len(shape.vertices) == k))


def special_shapes() -> tuple[KnownShape, ...]:
    """The known shapes that are neither simplices nor polygons."""
    return _special()


def known_shape(name: str, *, argument: str = "name") -> KnownShape:
    """The shape of a name; of shapes that share one, the first.

    >>> sp.theory.known_shape("pentagon").dimensionality
    0.4

    Raises:
        ConfigError: no shape has that name; the message names the caller's `argument`.
    """
    if not isinstance(name, str):
        raise ConfigError(f"{argument} must be the name of a shape, got {check.short(name)}.")
    by_size = {word: k for k, word in (SIMPLICES | POLYGONS).items()}
    canonical, n_vertices = name, by_size.get(name, 0)
    if numbered := re.fullmatch(r"(\d{1,3})-(simplex|gon)", name):
        n_vertices = int(numbered[1])
        if numbered[2] == "simplex":
            n_vertices += 1
            canonical = simplex_name(n_vertices)
        else:
            canonical = polygon_name(n_vertices)
    candidates = known_shapes(n_vertices) if n_vertices else special_shapes()
    for shape in candidates:
        if shape.name == canonical:
            return shape
    names = [*SIMPLICES.values(), *POLYGONS.values(), *(shape.name for shape in special_shapes()), "square"]
    raise ConfigError(
        f"{argument}: {name!r} is no known shape.{check.suggestion(name, names)} superpos.theory.known_shapes(k) lists "
        "those with k vertices."
    )


def simplex_name(k: int) -> str:
    """The regular simplex on k vertices: antipodal pair, triangle, tetrahedron, 4-simplex, …"""
    return SIMPLICES.get(k, f"{k - 1}-simplex")


def polygon_name(k: int) -> str:
    """The regular polygon with k vertices: triangle, pentagon, …, 9-gon. (A square is two antipodal pairs.)"""
    return SIMPLICES[3] if k == 3 else POLYGONS.get(k, f"{k}-gon")


def simplex(k: int) -> np.ndarray:
    """k unit vectors in k - 1 dimensions with inner products -1 / (k - 1)."""
    centred = np.eye(k) - 1 / k
    return _unit(np.linalg.svd(centred)[0][:, : k - 1])


def polygon(k: int) -> np.ndarray:
    """k directions in the plane, 360°/k apart."""
    angle = 2 * np.pi * np.arange(k) / k
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def prism(k: int, height: float, *, twist: bool) -> np.ndarray:
    """Two parallel k-gons at ±`height` (the cosine to the axis); an antiprism if the second is twisted by half a step."""
    second = 2 * np.pi * (np.arange(k) + (0.5 if twist else 0)) / k
    flat = np.concatenate([polygon(k), np.stack([np.cos(second), np.sin(second)], axis=1)])
    heights = np.repeat([height, -height], k)[:, None]
    return np.concatenate([np.sqrt(1 - height**2) * flat, heights], axis=1)


def pyramid(k: int, height: float) -> np.ndarray:
    """A k-gon at the cosine `height` to the axis, and the axis as apex."""
    base = np.concatenate([np.sqrt(1 - height**2) * polygon(k), np.full((k, 1), height)], axis=1)
    return np.concatenate([[[0.0, 0.0, 1.0]], base])


TIGHT = 1 / np.sqrt(3)  # the height at which a prism's vertices fill three dimensions evenly
THOMSON_8 = 0.56060  # cosine to the axis in the lowest-energy placement of eight charges; D = .3744


@lru_cache
def _special() -> tuple[KnownShape, ...]:
    golden = (1 + np.sqrt(5)) / 2
    icosahedron = [p for a in (-1, 1) for b in (-golden, golden) for p in ((0, a, b), (a, b, 0), (b, 0, a))]
    dodecahedron = list(product((-1, 1), repeat=3)) + [
        p for a in (-1 / golden, 1 / golden) for b in (-golden, golden) for p in ((0, a, b), (a, b, 0), (b, 0, a))
    ]
    return (
        KnownShape("square pyramid", pyramid(4, -1 / np.sqrt(6))),  # five directions that fill three dimensions evenly
        KnownShape("triangular prism", prism(3, TIGHT, twist=False)),
        KnownShape("square antiprism", prism(4, TIGHT, twist=True)),
        KnownShape("square antiprism", prism(4, THOMSON_8, twist=True)),
        KnownShape("cube", prism(4, TIGHT, twist=False)),
        KnownShape("pentagonal antiprism", prism(5, TIGHT, twist=True)),
        KnownShape("pentagonal prism", prism(5, TIGHT, twist=False)),
        KnownShape("icosahedron", _unit(np.array(icosahedron))),
        KnownShape("cuboctahedron", _unit(_two_nonzero(3))),
        KnownShape("dodecahedron", _unit(np.array(dodecahedron))),
        KnownShape("tesseract", _unit(np.array(list(product((-1, 1), repeat=4))))),
        KnownShape("24-cell", _unit(_two_nonzero(4))),
        KnownShape("600-cell", _six_hundred_cell()),
        *(KnownShape(name, gosset.k21(d)) for d, name in gosset.NAMES.items()),
        *(KnownShape(name, vertices) for name, vertices in spherical_codes.codes()),
    )


def _six_hundred_cell() -> np.ndarray:
    """The 24-cell's dual in units, (±1, 0, 0, 0) and (±½)⁴, and the even permutations of (±φ, ±1, ±1/φ, 0)/2."""
    golden = (1 + np.sqrt(5)) / 2
    vertices = [*np.eye(4), *-np.eye(4), *(np.array(signs) / 2 for signs in product((-1, 1), repeat=4))]
    even = [p for p in permutations(range(4)) if np.linalg.det(np.eye(4)[list(p)]) > 0]
    for order, (a, b, c) in product(even, product((-1, 1), repeat=3)):
        vertices.append(np.array([a * golden, b, c / golden, 0])[list(order)] / 2)
    return np.array(vertices)


def _two_nonzero(d: int) -> np.ndarray:
    """All vectors of d numbers of which two are ±1 and the rest 0."""
    vectors = []
    for (i, j), (a, b) in product(combinations(range(d), 2), product((-1, 1), repeat=2)):
        vector = np.zeros(d)
        vector[[i, j]] = a, b
        vectors.append(vector)
    return np.array(vectors)


def _unit(vertices: np.ndarray) -> np.ndarray:
    return vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
