"""What one model learned: which features share dimensions, and in which shape."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from superpos import arrays, check
from superpos.analysis import features
from superpos.analysis.features import DEAD_BELOW, REPRESENTED_ABOVE
from superpos.analysis.shapes import IRREGULAR, match_shapes

# Two features share dimensions if |cos| exceeds the first value, low enough for a simplex of sixty. A group that is no
# known shape may hang together by noise, so it is looked at again with the others.
JOIN_ABOVE = (0.015, 0.03, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3)
# A shape is named only if it is nearly orthogonal to everything else. A feature's leak is the root of its summed squared
# cosines to the features outside, relative to those inside (1 for a dedicated feature). The shape's root mean square leak
# may not exceed the first number per root of the number of features outside, within the two bounds, and no feature's leak
# twice that. (Weights with 2 % noise reach 0.028 per root; random directions in 100 dimensions have 0.1.) For single features
# the lower bound counts, since vertices of a large simplex would pass for dedicated.
LEAK_PER_ROOT, LEAK_LEAST, LEAK_MOST = 0.035, 0.2, 0.3
# Nor may any member's D differ by more than this from what the exact shape gives at the norms measured. D counts all
# features, also those too short to be represented.
D_LIMIT = 0.1
# No feature outside may have more than this share of its squared length in the dimensions of the shape: it would be a
# member that noise has cut off, and the shape what is left of a larger one.
INTRUSION = 0.06
# Orthogonal parts have as many dimensions together as the group they came from. In a group of unit vectors, an eigenvalue of
# the cosines below this is none: thirty almost orthogonal directions in 29 dimensions are not all dedicated.
SPANNED_ABOVE = 0.05
# A shape's shortest feature is at least this share of its longest.
NORM_RATIO = 0.5
# What a single feature without a shape is called: one whose direction others, each too weak to join it, use as well.
SHARED = "shared feature"


@dataclass(frozen=True)
class Component:
    """Features that share dimensions with each other and with no others."""

    name: str  # "pentagon", "antipodal pair", …, or "irregular"; in words a single irregular feature is a "shared feature"
    features: tuple[int, ...]
    dimensions: int
    residual: float  # relative error of the cosines against the exact shape; of the nearest one if irregular

    def __str__(self) -> str:
        if self.name != IRREGULAR:
            return self.name
        if len(self.features) == 1:
            return SHARED
        return f"irregular ({_count(len(self.features), 'feature')}, {_count(self.dimensions, 'dimension')})"


@dataclass(frozen=True)
class Geometry:
    """Result of `geometry`. Arrays have one entry per feature unless said otherwise."""

    norms: np.ndarray
    represented: np.ndarray
    interference: np.ndarray
    dimensionality: np.ndarray  # D_i
    polysemanticity: np.ndarray  # one entry per hidden unit
    d_star: float  # m / ‖W‖²
    packing: float  # ΣD_i / m
    components: tuple[Component, ...]  # largest first

    @property
    def capacity(self) -> np.ndarray:
        """C_i of Scherlis et al. 2022, the same number as D_i."""
        return self.dimensionality

    @property
    def name(self) -> str:
        """All components in words: "pentagon", "2 × antipodal pair", "triangle + dedicated"."""
        if not self.components:
            return "nothing represented"
        counts = Counter(str(c) for c in self.components)
        return " + ".join(name if n == 1 else f"{n} × {name}" for name, n in counts.items())

    @property
    def residual(self) -> float:
        """The largest residual of any component; 0 if there is none."""
        return max((c.residual for c in self.components), default=0.0)

    def __repr__(self) -> str:
        D = Counter(f"{d:.2f}" for d in -np.sort(-self.dimensionality[self.represented]))
        values = [value if n == 1 else f"{value} ×{n}" for value, n in D.items()]
        shown = ", ".join(values[:6]) + (f", … ({len(values) - 6} more values)" if len(values) > 6 else "")
        return (
            f"{self.name}, D = {shown or 'none'}\n"
            f"  {int(self.represented.sum())} of {_count(len(self.norms), 'feature')} represented in "
            f"{_count(len(self.polysemanticity), 'hidden dimension')}\n"
            f"  ΣD_i/m = {self.packing:.2f}, D* = {self.d_star:.2f}, largest residual {self.residual:.3f}"
        )


def geometry(W: Any, *, represented_above: float = REPRESENTED_ABOVE) -> Geometry:
    """Name the shapes that the features of one model form, and measure every feature.

    Features longer than `represented_above` are joined if the cosine of their directions is not near 0; each connected
    component is compared with the known shapes (`superpos.theory.polytopes`) and named after the one it fits, or called
    irregular. A wrong name is worse than no name: a component must also be nearly orthogonal to all others.

    >>> sp.geometry(np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])).name
    'antipodal pair + dedicated'

    Args:
        W: weights of shape (n_hidden, n_features), feature directions in columns; or a model, a run or a result of one
            cell that has such a W.
        represented_above: features of smaller norm take no part in shapes.

    Raises:
        ConfigError: W is not a finite matrix.
    """
    matrix = arrays.as_numpy("W", arrays.weights_of("W", W), ndim=2, largest=arrays.MAX_WEIGHT)
    return geometries(matrix[None], represented_above=represented_above)[0]


def geometries(
    Ws: np.ndarray, n_hidden: np.ndarray | None = None, *, represented_above: float = REPRESENTED_ABOVE
) -> list[Geometry]:
    """The geometry of many models of one shape, (N, n_hidden, n_features): the same as one by one, but faster.

    `n_hidden` gives the true number of hidden dimensions of models filled up with zero rows.
    """
    check.number("represented_above", represented_above, at_least=0, at_most=arrays.MAX_WEIGHT)
    Ws = np.asarray(Ws)
    per_call = int(np.clip(2e7 / Ws.shape[2] ** 2, 1, 50_000))  # bounds the memory for cosines and components
    found = []
    for start in range(0, len(Ws), per_call):
        some = slice(start, start + per_call)
        found += _geometries(Ws[some], None if n_hidden is None else n_hidden[some], represented_above)
    return found


@partial(jax.jit, static_argnames="dead_below")
@partial(jax.vmap, in_axes=(0, None))
def _measure(W: Any, dead_below: float) -> dict[str, Any]:
    return {
        "norms": features.feature_norms(W),
        "interference": features.interference(W, dead_below=dead_below),
        "dimensionality": features.feature_dimensionality(W, dead_below=dead_below),
        "polysemanticity": features.polysemanticity(W),
        "d_star": features.d_star(W),
    }


def _measured(Ws: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers of every model; `d_star` per hidden dimension.

    Models are filled up with zeros, which change no number, to sizes that repeat: otherwise every new shape would wait
    for a compilation.
    """
    n_models, m, n = Ws.shape
    sizes = [2 ** int(np.ceil(np.log2(n_models))), -(-m // 4) * 4, -(-n // 8) * 8]
    filled = np.zeros(sizes, np.float64 if jax.dtypes.canonicalize_dtype(float) == np.float64 else np.float32)
    filled[:n_models, :m, :n] = Ws
    numbers = {name: np.asarray(values)[:n_models] for name, values in _measure(filled, DEAD_BELOW).items()}
    numbers["d_star"] = numbers["d_star"] / sizes[1]
    numbers["polysemanticity"] = numbers["polysemanticity"][:, :m]
    return numbers | {name: numbers[name][:, :n] for name in ("norms", "interference", "dimensionality")}


def _geometries(Ws: np.ndarray, n_hidden: np.ndarray | None, represented_above: float) -> list[Geometry]:
    n_models, m, _ = Ws.shape
    numbers = _measured(Ws)
    # A model whose longest feature is a speck has learned nothing, whatever the specks' angles are.
    numbers["dimensionality"] = np.where(numbers["norms"] > DEAD_BELOW, numbers["dimensionality"], 0)
    m_true = np.full(n_models, m) if n_hidden is None else np.asarray(n_hidden)
    norms = numbers["norms"]
    components = _components(Ws, norms, norms > represented_above, numbers["dimensionality"])
    return [
        Geometry(
            norms=norms[k],
            represented=norms[k] > represented_above,
            interference=numbers["interference"][k],
            dimensionality=numbers["dimensionality"][k],
            polysemanticity=numbers["polysemanticity"][k][: m_true[k]],
            d_star=float(numbers["d_star"][k] * m_true[k]),
            packing=float(numbers["dimensionality"][k].sum() / m_true[k]),
            components=tuple(components[k]),
        )
        for k in range(n_models)
    ]


def _components(
    Ws: np.ndarray, norms: np.ndarray, represented: np.ndarray, dimensionality: np.ndarray
) -> list[list[Component]]:
    """Named components of every model. Features of all models are the nodes of one graph."""
    n_models, _, n = Ws.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.where(represented[:, None], Ws / norms[:, None], 0)
    cosines = np.clip(np.einsum("kmi,kmj->kij", unit, unit, optimize=True), -1, 1)
    k, i = np.nonzero(represented)
    cosines[k, i, i] = 1
    squared = cosines**2
    total = squared.sum(axis=2)
    n_represented = represented.sum(axis=1)

    def named(groups: list[np.ndarray]) -> list[Component]:
        """Match groups of equal size together; a group is an array of node numbers of one model."""
        found: list[Component | None] = [None] * len(groups)
        sizes = np.array([len(g) for g in groups])
        for size in np.unique(sizes):
            which = np.flatnonzero(sizes == size)
            nodes = np.stack([groups[w] for w in which])
            model, feature = nodes[:, 0] // n, nodes % n
            inside = cosines[model[:, None, None], feature[:, :, None], feature[:, None, :]]
            match = match_shapes(inside)
            own = (inside**2).sum(axis=2)
            leak = np.maximum(total[model[:, None], feature] - own, 0) / own  # squared
            outside = np.maximum(n_represented[model] - size, 0)
            lengths = norms[model[:, None], feature]
            most = LEAK_MOST if size > 1 else LEAK_LEAST
            allowed = np.clip(LEAK_PER_ROOT * np.sqrt(outside), LEAK_LEAST, most) ** 2
            pure = (leak.mean(axis=1) <= allowed) & (leak.max(axis=1) <= 4 * allowed)
            shared = squared[model[:, None], feature].sum(axis=1)  # (groups, n): of every feature with the group
            np.put_along_axis(shared, feature, 0, axis=1)
            pure &= shared.max(axis=1) <= INTRUSION * size / match.dimensions
            ideal = lengths**2 / (match.ideal**2 * lengths[:, None] ** 2).sum(axis=2)  # D of the exact shape
            pure &= np.abs(dimensionality[model[:, None], feature] - ideal).max(axis=1) <= D_LIMIT  # False for NaN
            pure &= lengths.min(axis=1) >= NORM_RATIO * lengths.max(axis=1)
            for row, w in enumerate(which):
                name = str(match.names[row]) if pure[row] else IRREGULAR
                members = tuple(int(f) for f in feature[row])
                found[w] = Component(name, members, int(match.dimensions[row]), float(match.residuals[row]))
        return [c for c in found if c is not None]

    def spanned(group: np.ndarray) -> int:
        """Dimensions of a group of unit vectors."""
        inside = cosines[group[0] // n][np.ix_(group % n, group % n)]
        return int(np.sum(np.linalg.eigvalsh(inside) > SPANNED_ABOVE))

    def split(groups: list[np.ndarray], above: float) -> list[list[np.ndarray]]:
        """The connected parts of each group, with an edge where |cos| > `above`."""
        nodes = np.concatenate(groups)
        owner = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
        owner_of = np.full(n_models * n, -1)
        owner_of[nodes] = owner
        model, a, b = np.nonzero(squared > above**2)
        a, b = model * n + a, model * n + b
        kept = (owner_of[a] >= 0) & (owner_of[a] == owner_of[b])
        graph = coo_array((np.ones(int(kept.sum()), bool), (a[kept], b[kept])), shape=(n_models * n, n_models * n))
        label = connected_components(graph, directed=False)[1][nodes]
        order = np.lexsort((nodes, label, owner))
        cuts = np.flatnonzero(np.diff(label[order]) | np.diff(owner[order])) + 1
        parts: list[list[np.ndarray]] = [[] for _ in groups]
        for part in np.split(order, cuts):
            parts[owner[part[0]]].append(nodes[part])
        return parts

    per_model: list[list[Component]] = [[] for _ in range(n_models)]
    whole = [np.flatnonzero(represented[k]) + k * n for k in range(n_models)]
    pending = [part for parts in split([w for w in whole if len(w)], JOIN_ABOVE[0]) for part in parts] if k.size else []
    fallback = named(pending) if pending else []
    for above in (*JOIN_ABOVE[1:], None):
        unnamed: list[tuple[np.ndarray, Component]] = []
        for group, component in zip(pending, fallback, strict=True):
            if component.name != IRREGULAR or above is None:
                per_model[group[0] // n].append(component)
            else:
                unnamed.append((group, component))
        if above is None or not unnamed:
            break
        pending, fallback = [], []
        for (group, component), parts in zip(unnamed, split([g for g, _ in unnamed], above), strict=True):
            pieces = named(parts) if len(parts) > 1 else []
            if 0 < sum(piece.dimensions for piece in pieces if piece.name != IRREGULAR) <= spanned(group):
                pending += parts
                fallback += pieces
            else:
                pending.append(group)  # no part has a name, or they cannot all be right: the group stays whole
                fallback.append(component)
    for found in per_model:
        found.sort(key=lambda c: (c.name == IRREGULAR, -len(c.features), c.features))
    return per_model


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
