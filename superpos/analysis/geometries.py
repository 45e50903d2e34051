"""What one model learned: which features share dimensions, and in which shape."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from superpos import arrays, check
from superpos.analysis import features
from superpos.analysis.components import SHARED, Component, components, count
from superpos.analysis.features import DEAD_BELOW, REPRESENTED_ABOVE
from superpos.analysis.rings import LEVEL, rings_in_data_order
from superpos.analysis.shapes import IRREGULAR
from superpos.data.worlds import ORDERED

FILLED = 0.99  # packing from which no dimension is left


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
        listed = ", ".join(values[:6])
        if len(values) > 6:
            listed += f", … ({len(values) - 6} more values)"
        m, inside = len(self.polysemanticity), self.dimensionality[self.dimensionality >= 0.005]
        fill = ""
        if any(word in self.name for word in (IRREGULAR, SHARED)) and self.packing > FILLED:
            values_of_d = f"D from {inside.min():.2f} to {inside.max():.2f}"
            fill = (
                f"\n  {count(len(inside), 'feature')} fill {count(m, 'dimension')} in no regular shape: {values_of_d}"
            )
        return (
            f"{self.name}, D = {listed or 'none'}\n"
            f"  {int(self.represented.sum())} of {count(len(self.norms), 'feature')} represented in "
            f"{count(m, 'hidden dimension')}{fill}\n"
            f"  ΣD_i/m = {self.packing:.2f}, D* = {self.d_star:.2f}, largest residual {self.residual:.3f}"
        )


def geometry(W: Any, *, represented_above: float = REPRESENTED_ABOVE, positions: Any = None) -> Any:
    """Name the shapes that the features of one model form, and measure every feature.

    Features longer than `represented_above` are joined if the cosine of their directions is not near 0; each connected
    component is compared with the known shapes (`superpos.theory.polytopes`) and named after the one it fits, or called
    irregular. A wrong name is worse than no name: a component must also be nearly orthogonal to all others.

    >>> sp.geometry(np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])).name
    'antipodal pair + dedicated'

    Args:
        W: weights of shape (n_hidden, n_features), feature directions in columns; or a model, a run or a result of one
            cell that has such a W. A result of many cells gives the table of `SweepResult.geometry`, and no `Geometry`.
        represented_above: features of smaller norm take no part in shapes.
        positions: where the data has the features along a closed curve or a line, one number per feature, NaN for none. A
            component whose features lie around a circle in that order is called a ring in data order beside its shape
            (`superpos.analysis.ring_order`, p < .01 over all components that could be one). A run, or a result of one cell,
            of a world with such an order knows it by itself.

    Raises:
        ConfigError: W is not a finite matrix, or positions are not one number per feature.
    """
    sizes = getattr(W, "sizes", None) if type(W).__module__.startswith("superpos.") else None
    if isinstance(sizes, dict) and any(n > 1 for n in sizes.values()):  # a result of many cells
        return W.geometry(
            represented_above=represented_above, **({} if positions is None else {"positions": positions})
        )
    matrix = arrays.as_numpy("W", arrays.weights_of("W", W), ndim=2, largest=arrays.MAX_WEIGHT)
    if positions is None:
        positions = positions_of(W, matrix.shape[1])
    if positions is not None:
        positions = arrays.as_numpy("positions", positions, shape=(matrix.shape[1],), finite=False)[None]
    return geometries(matrix[None], represented_above=represented_above, positions=positions)[0]


def positions_of(W: Any, n_features: int) -> np.ndarray | None:
    """Where the data of a run, or of a result of one cell, has its features along a curve; None where it has no order."""
    task = getattr(W, "task", None) if type(W).__module__.startswith("superpos.") else None
    task = task() if callable(task) else task
    return np.arange(n_features) if getattr(task, "world", None) in ORDERED else None


def geometries(
    Ws: np.ndarray,
    n_hidden: np.ndarray | None = None,
    *,
    represented_above: float = REPRESENTED_ABOVE,
    positions: np.ndarray | None = None,
) -> list[Geometry]:
    """The geometry of many models of one shape, (N, n_hidden, n_features): the same as one by one, but faster.

    `n_hidden` gives the true number of hidden dimensions of models filled up with zero rows; `positions` are where the data
    have the features, (N, n_features), if anywhere.
    """
    check.number("represented_above", represented_above, at_least=0, at_most=arrays.MAX_WEIGHT)
    Ws = np.asarray(Ws)
    per_call = int(np.clip(2e7 / Ws.shape[2] ** 2, 1, 50_000))  # bounds the memory for inner products
    sizes = np.full(len(Ws), Ws.shape[1]) if n_hidden is None else np.asarray(n_hidden)
    results = []
    for start in range(0, len(Ws), per_call):
        chunk = Ws[start : start + per_call]
        measurements = _measure_all(chunk)
        for k, W in enumerate(chunk):
            measured = {name: values[k] for name, values in measurements.items()}
            one = _geometry(W, sizes[start + k], measured, represented_above)
            results.append(one if positions is None else _with_rings(one, W, positions[start + k]))
    return results


def _with_rings(geometry: Geometry, W: np.ndarray, positions: np.ndarray) -> Geometry:
    """The geometry with rings in data order named as such."""
    p_values = rings_in_data_order(W, [c.features for c in geometry.components], positions)
    level = LEVEL / max(1, sum(p is not None for p in p_values))
    rings = [p is not None and p < level for p in p_values]
    named = [replace(c, in_data_order=ring) for c, ring in zip(geometry.components, rings, strict=True)]
    return replace(geometry, components=tuple(named))


def _geometry(W: np.ndarray, n_hidden: Any, measured: dict[str, Any], represented_above: float) -> Geometry:
    """The geometry of one model, from its numbers; `n_hidden` may be less than the rows of W, which are then 0."""
    norms = measured["norms"]
    represented = norms > represented_above
    # A model whose longest feature is a speck has learned nothing, whatever the specks' angles are.
    dimensionality = np.where(norms > DEAD_BELOW, measured["dimensionality"], 0)
    return Geometry(
        norms=norms,
        represented=represented,
        interference=measured["interference"],
        dimensionality=dimensionality,
        polysemanticity=measured["polysemanticity"][:n_hidden],
        d_star=float(measured["d_star"] * n_hidden),
        packing=float(dimensionality.sum() / n_hidden),
        components=components(W, norms, represented, dimensionality),
    )


def _measure(W: Any) -> dict[str, Any]:
    """The numbers of one model in JAX."""
    return {
        "norms": features.feature_norms(W),
        "interference": features.interference(W),
        "dimensionality": features.feature_dimensionality(W),
        "polysemanticity": features.polysemanticity(W),
        "d_star": features.d_star(W),
    }


_measure_each = jax.jit(jax.vmap(_measure))


def _measure_all(Ws: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers of every model; `d_star` per hidden dimension.

    Models are filled up with zeros, which change no number, to sizes that repeat: otherwise every new shape would wait
    for a compilation.
    """
    n_models, m, n = Ws.shape
    sizes = [2 ** int(np.ceil(np.log2(n_models))), math.ceil(m / 4) * 4, math.ceil(n / 8) * 8]
    filled = np.zeros(sizes, np.float64 if jax.dtypes.canonicalize_dtype(float) == np.float64 else np.float32)
    filled[:n_models, :m, :n] = Ws
    measured = {name: np.asarray(values)[:n_models] for name, values in _measure_each(filled).items()}
    measured["d_star"] = measured["d_star"] / sizes[1]
    measured["polysemanticity"] = measured["polysemanticity"][:, :m]
    return measured | {name: measured[name][:, :n] for name in ("norms", "interference", "dimensionality")}
