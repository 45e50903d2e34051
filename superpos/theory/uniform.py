r"""Which structure wins when many equally important, equally dense features share few dimensions.

Orthogonal parts add their losses, so where features abound the structure with the largest benefit per dimension fills the
space. A structure of k directions in d dimensions that cost $\ell_1 … \ell_k$ where features left out cost
$v = p/3 - p^2/4$ each has the benefit per dimension $\sum_i (v - \ell_i)/d$, counted here in units of v. Every known shape
competes, each at its best: lengths and biases are free, one of each for every kind of vertices, and so are the angles that
its symmetry leaves open, such as the height of an antiprism (`superpos.theory.symmetry`). Elhage et al. 2022, "The Geometry
of Superposition", where structures are found by training.

The loss is exact (`superpos.theory.one_output`): at `order` 64 the benefits are converged to about 1e-7 of themselves.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from superpos import check
from superpos.errors import ConfigError
from superpos.theory.one_output import Outputs, outputs
from superpos.theory.polytopes import MAX_POLYGON, KnownShape, known_shapes, special_shapes

# Simplices of more vertices differ from these by less than they gain: all lie within 2 % where features are dense, and far
# below the best where they are not.
MAX_SIMPLEX = 8
THRESHOLDS = np.linspace(-0.95, 0.85, 37)  # −b/‖W‖ that are tried before the search begins
LOWEST, HIGHEST = -1.0, 0.95  # within which it is searched for
STEP = 1e-4  # of the difference quotients in the search
NEAR = 0.1  # shapes this far below the best at two points may be the best between them
NARROWEST = 1e-3  # ranges of log x narrower than this are not split further


class Structure(NamedTuple):
    """The best a structure can do at every density: arrays over densities."""

    shape: KnownShape
    squared_norm: np.ndarray  # ‖W_i‖², the mean over its features
    bias: np.ndarray  # the mean over its features
    loss: np.ndarray  # per feature of the structure
    benefit: np.ndarray  # per dimension, in units of v


class Optimum(NamedTuple):
    """A structure at its best at one density."""

    W: np.ndarray  # (d, k)
    b: np.ndarray  # (k,)
    loss: float  # the mean over its features


class Range(NamedTuple):
    """Where one structure wins: x = 1/(1 − S) from `start` to `stop`."""

    start: float
    stop: float
    name: str


def unlearned_loss(feature_probability: Any) -> Any:
    """$v = p/3 - p^2/4$: what a feature left out costs at its best bias, p/2."""
    return feature_probability / 3 - feature_probability**2 / 4


def structures() -> list[KnownShape]:
    """All that compete: a feature alone, simplices of up to eight vertices, polygons of up to 24, and every special shape.

    Of shapes with one name, which differ by an angle that is free here, the first counts.
    """
    few = [shape for k in range(1, MAX_POLYGON + 1) for shape in known_shapes(k)]
    few = [shape for shape in few if not (shape.name.endswith("-simplex") and len(shape.vertices) > MAX_SIMPLEX)]
    return list({shape.name: shape for shape in reversed([*few, *special_shapes()])}.values())[::-1]


def benefits(
    feature_probability: Any, shapes: Sequence[KnownShape] | None = None, *, order: int = 64
) -> list[Structure]:
    """What every structure gains per dimension at its best; all that `structures` lists if none are given.

    `feature_probability` is a vector of densities, below 1 each: at 1 nothing distinguishes the structures. `order` is the
    number of terms of the series for every unit that an output can reach.

    Raises:
        ConfigError: a density is out of range, or they are no vector.
    """
    check.in_range("feature_probability", feature_probability, above=0, below=1)
    check.integer("order", order, at_least=1)
    densities = np.asarray(feature_probability, float)
    if densities.ndim != 1 or not len(densities):
        raise ConfigError(f"feature_probability must be a vector of densities, got shape {densities.shape}.")
    return [_structure(shape, densities, order) for shape in shapes or structures()]


def winners(feature_probability: Any, *, order: int = 64) -> list[str]:
    """Name of the structure with the largest benefit per dimension at every density of a vector."""
    structures_at_best = benefits(feature_probability, order=order)
    best = np.argmax([structure.benefit for structure in structures_at_best], axis=0)
    return [structures_at_best[k].shape.name for k in best]


def optimum(shape: KnownShape, feature_probability: float, *, order: int = 64) -> Optimum:
    """Weights and biases of one structure at its best at one density, in double precision.

    Raises:
        ConfigError: the density is not a number between 0 and 1.
    """
    check.number("feature_probability", feature_probability, above=0, below=1)
    check.integer("order", order, at_least=1)
    return _Family(shape, order).optimum(feature_probability)


def crossover(first: KnownShape, second: KnownShape, between: tuple[float, float], *, order: int = 64) -> float:
    """Density between two others at which two structures have the same benefit per dimension.

    Raises:
        ConfigError: the same one of the two is better at both ends.
    """

    def difference(p: float) -> float:
        a, b = benefits([p], [first, second], order=order)
        return float(a.benefit[0] - b.benefit[0])

    if difference(between[0]) * difference(between[1]) > 0:
        raise ConfigError(f"between must have a crossover of {first.name} and {second.name} inside, got {between}.")
    from scipy.optimize import brentq  # late, as in `superpos.theory.naive`

    density: Any = brentq(difference, *between, xtol=1e-7)
    return float(density)


def winning_ranges(
    x_from: float, x_to: float, shapes: Sequence[KnownShape] | None = None, *, steps: int = 24, order: int = 64
) -> list[Range]:
    """The best structure of every range of x = 1/(1 − S), with the crossovers as ends.

    Winners at `steps` points, equal ratios apart, are found first. Between two that differ, all compete again where their
    benefits cross, so that one which wins only in between is not missed.

    Raises:
        ConfigError: x does not rise from above 1.
    """
    check.number("x_from", x_from, above=1)
    check.number("x_to", x_to, above=x_from)
    check.integer("steps", steps, at_least=2)
    every = list(shapes or structures())
    x = np.geomspace(x_from, x_to, steps)
    gained = np.array([s.benefit for s in benefits(1 / x, every, order=order)])
    won, best = gained.argmax(axis=0), gained.max(axis=0)

    def split(left: float, right: float, a: int, b: int, near: list[int]) -> list[tuple[float, int]]:
        """Where the winner changes between two points with winners a and b: (x, the next winner)."""
        if a == b:
            return []
        at = 1 / crossover(every[a], every[b], (1 / right, 1 / left), order=order)
        benefits_at = [s.benefit[0] for s in benefits([1 / at], [every[k] for k in near], order=order)]
        c = near[int(np.argmax(benefits_at))]
        if c in (a, b) or np.log(right / left) < NARROWEST:
            return [(at, b)]
        return split(left, at, a, c, near) + split(at, right, c, b, near)

    changes: list[tuple[float, int]] = []
    for k in range(steps - 1):
        ends = gained[:, k : k + 2] >= (1 - NEAR) * best[k : k + 2]
        near = np.flatnonzero(ends.any(axis=1)).tolist()
        changes += split(x[k], x[k + 1], int(won[k]), int(won[k + 1]), near)
    starts, names = [x_from, *(at for at, _ in changes)], [every[k].name for k in (won[0], *(k for _, k in changes))]
    return [Range(float(a), float(b), name) for a, b, name in zip(starts, [*starts[1:], x_to], names, strict=True)]


def _structure(shape: KnownShape, densities: np.ndarray, order: int) -> Structure:
    k, d = shape.vertices.shape
    family, rows = _Family(shape, order), []
    for p in densities.tolist():
        best = family.optimum(p)
        gain = k * (1 - best.loss / unlearned_loss(p)) / d
        rows.append((np.sum(best.W**2) / k, best.b.mean(), best.loss, gain))
    return Structure(shape, *np.array(rows).T)


class _Family:
    """A shape with everything that is free: z holds a threshold per kind of vertices, ratios of lengths, and deformations."""

    def __init__(self, shape: KnownShape, order: int) -> None:
        self.shape, self.order = shape, order
        self.kind, self.ways = shape.kinds, shape.deformations
        self.first = np.unique(self.kind, return_index=True)[1]  # a vertex of every kind
        self.counts = np.bincount(self.kind)
        self.rigid = len(self.counts) == 1 and not len(self.ways)  # no shape but thresholds and a scale

    def laid_out(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (…, k, d), and lengths relative to the first kind's, (…, k), for z (…, numbers)."""
        q = len(self.counts)
        moved = self.shape.vertices + np.einsum("...w,wkd->...kd", z[..., 2 * q - 1 :], self.ways)
        lengths = np.concatenate([np.ones((*z.shape[:-1], 1)), np.exp(z[..., q : 2 * q - 1])], axis=-1)
        return moved / np.linalg.norm(moved, axis=-1, keepdims=True), lengths[..., self.kind]

    def outputs(self, z: np.ndarray, p: float, order: int) -> Outputs:
        """One output of every kind, (…, kinds)."""
        vertices, lengths = self.laid_out(z)
        cosines = vertices[..., self.first, :] @ np.swapaxes(vertices, -1, -2) * lengths[..., None, :]
        others = np.stack([np.delete(cosines[..., o, :], i, -1) for o, i in enumerate(self.first)], axis=-2)
        counts = np.ones(others.shape[-1])
        if self.rigid:  # few cosines, each many times
            _, at, counts = np.unique(others.round(9), return_index=True, return_counts=True)
            others = others.reshape(-1)[at].reshape(*others.shape[:-1], -1)
        return outputs(lengths[..., self.first], others, counts, p, order=order)

    def explained(self, seen: Outputs, z: np.ndarray) -> tuple[Any, Any]:
        """p/3 less the mean loss at the best common scale, and that scale, squared."""
        A, B = seen.both(z[..., : len(self.counts)])
        linear, square = np.sum(self.counts * seen.own * A, axis=-1), np.sum(self.counts * seen.own**2 * B, axis=-1)
        return linear**2 / square / self.counts.sum(), linear / square

    def optimum(self, p: float) -> Optimum:
        """The best at one density that is reached from the shape as it is listed, with one threshold for all."""
        q = len(self.counts)
        z = np.zeros(2 * q - 1 + len(self.ways))
        tried = np.broadcast_to(THRESHOLDS[:, None], (len(THRESHOLDS), q))
        z[:q] = THRESHOLDS[self.explained(self.outputs(z, p, self.order), tried)[0].argmax()]
        if not self.rigid:  # many numbers: searched with a short series first
            z = self.search(z, p, max(1, self.order // 4)).x
        best = self.search(z, p, self.order)
        vertices, lengths = self.laid_out(best.x)
        squared = float(self.explained(self.outputs(best.x, p, self.order), best.x)[1])
        W = np.sqrt(squared) * lengths * vertices.T
        return Optimum(W, -squared * lengths * best.x[self.kind], best.fun * unlearned_loss(p))

    def search(self, z: np.ndarray, p: float, order: int) -> Any:
        """The nearest minimum of the mean loss in units of v, as SciPy returns it."""
        q, steps, v = len(self.counts), STEP * np.eye(len(z)), unlearned_loss(p)
        fixed = self.outputs(z, p, order)

        def cost(z: np.ndarray) -> tuple[float, np.ndarray]:
            near = np.concatenate([z[None], z + steps, z - steps])
            values = (p / 3 - self.explained(fixed if self.rigid else self.outputs(near, p, order), near)[0]) / v
            above, below = values[1:].reshape(2, -1)
            return float(values[0]), (above - below) / (2 * STEP)

        bounds = [(LOWEST, HIGHEST)] * q + [(-1, 1)] * (q - 1) + [(-0.7, 0.7)] * len(self.ways)
        from scipy.optimize import minimize

        return minimize(cost, z, jac=True, method="SLSQP", bounds=bounds, options={"ftol": 1e-11})
