"""Which features of one model share dimensions, and which shape each such group is.

The algorithm, for one W:

1. Join every two represented features whose directions are not nearly orthogonal. The connected parts are the groups.
2. Give a group the name of the known shape that its cosines fit, if it is also nearly orthogonal to all other features
   and its features have the D and the lengths of that shape. Otherwise it is irregular.
3. Cut every irregular group again, joining only larger cosines: it may hang together by noise.
4. Keep the cut if it gives some part a name, and the named parts do not span more dimensions than the group.
5. Repeat 3 and 4 with the parts that are still irregular, until no larger cosine is left to try.
"""

from dataclasses import dataclass

import numpy as np

from superpos.analysis.shapes import IRREGULAR, Match, match_shape

# Two features share dimensions if |cos| exceeds the first value, low enough for a simplex of sixty. A group that is no
# known shape may hang together by noise, so it is cut again at the others.
JOIN_ABOVE = (0.015, 0.03, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3)
# A shape is named only if it is nearly orthogonal to everything else. A feature's leak is the root of its summed squared
# cosines to the features outside, relative to those inside (1 for a dedicated feature). The shape's root mean square leak
# may not exceed the first number per root of the number of features outside, within the two bounds, and no feature's leak
# twice that. (Weights with 2 % noise reach 0.028 per root; random directions in 100 dimensions have 0.1.) For single features
# the lower bound counts, since vertices of a large simplex would pass for dedicated.
LEAK_PER_ROOT, MIN_LEAK, MAX_LEAK = 0.035, 0.2, 0.3
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
    in_data_order: bool = False  # whether its features lie around a circle in the order in which the data has them

    def __str__(self) -> str:
        return f"{self.shape}, a ring in data order" if self.in_data_order else self.shape

    @property
    def shape(self) -> str:
        """The name in words, without what the data say."""
        if self.name != IRREGULAR:
            return self.name
        if len(self.features) == 1:
            return SHARED
        return f"irregular ({count(len(self.features), 'feature')}, {count(self.dimensions, 'dimension')})"


def components(
    W: np.ndarray, norms: np.ndarray, represented: np.ndarray, dimensionality: np.ndarray
) -> tuple[Component, ...]:
    """The components of one W, (n_hidden, n_features): named ones first, larger before smaller.

    The other arguments have one entry per feature: its length, whether it takes part, and its D.
    """
    model = _Directions.of(W, norms, represented, dimensionality)
    groups = [model.component(group) for group in model.connected(np.flatnonzero(represented), JOIN_ABOVE[0])]
    for above in JOIN_ABOVE[1:]:
        groups = [part for group in groups for part in _cut(model, group, above)]
    return tuple(sorted(groups, key=lambda c: (c.name == IRREGULAR, -len(c.features), c.features)))


def _cut(model: "_Directions", group: Component, above: float) -> list[Component]:
    """The parts of an irregular group, or the group itself where they are no better."""
    if group.name != IRREGULAR or len(group.features) == 1:
        return [group]
    features = np.array(group.features)
    connected = model.connected(features, above)
    if len(connected) == 1:
        return [group]
    parts = [model.component(part) for part in connected]
    named_dimensions = sum(part.dimensions for part in parts if part.name != IRREGULAR)
    # No part has a name, or they cannot all be right: the group stays whole.
    return parts if 0 < named_dimensions <= model.spanned(features) else [group]


@dataclass(frozen=True)
class _Directions:
    """What the algorithm reads of one model. Arrays have one entry per feature, of the model's n."""

    norms: np.ndarray
    dimensionality: np.ndarray
    n_represented: int
    cosines: np.ndarray  # (n, n); 0 with features that are not represented
    squared: np.ndarray  # (n, n): squared cosines
    total: np.ndarray  # summed squared cosines with all features

    @classmethod
    def of(cls, W: np.ndarray, norms: np.ndarray, represented: np.ndarray, dimensionality: np.ndarray) -> "_Directions":
        with np.errstate(divide="ignore", invalid="ignore"):
            unit = np.where(represented, W / norms, 0)
        cosines = np.clip(unit.T @ unit, -1, 1)
        cosines[represented, represented] = 1
        squared = cosines**2
        return cls(norms, dimensionality, int(represented.sum()), cosines, squared, squared.sum(axis=1))

    def connected(self, features: np.ndarray, above: float) -> list[np.ndarray]:
        """The connected parts of some features, with an edge where |cos| > `above`."""
        if len(features) < 2:
            return [features] if len(features) else []
        labels = connected_labels(self.squared[np.ix_(features, features)] > above**2)
        return [features[labels == label] for label in np.unique(labels)]

    def spanned(self, features: np.ndarray) -> int:
        """Dimensions that some features span, were they all of length 1."""
        return int(np.sum(np.linalg.eigvalsh(self.cosines[np.ix_(features, features)]) > SPANNED_ABOVE))

    def component(self, features: np.ndarray) -> Component:
        """A group of features with the name it has earned."""
        inside = self.cosines[np.ix_(features, features)]
        match = match_shape(inside)
        name = match.name if match.name == IRREGULAR or self._is_apart(features, inside, match) else IRREGULAR
        return Component(name, tuple(features.tolist()), match.dimensions, match.residual)

    def _is_apart(self, features: np.ndarray, inside: np.ndarray, match: Match) -> bool:
        """Whether nothing outside disturbs the shape that a group's cosines, `inside`, fit."""
        size = len(features)
        summed_inside = (inside**2).sum(axis=1)
        squared_leak = np.maximum(self.total[features] - summed_inside, 0) / summed_inside
        highest = MAX_LEAK if size > 1 else MIN_LEAK
        allowed = np.clip(LEAK_PER_ROOT * np.sqrt(self.n_represented - size), MIN_LEAK, highest) ** 2
        if squared_leak.mean() > allowed or squared_leak.max() > 4 * allowed:
            return False
        intrusion = self.squared[features].sum(axis=0)  # of every feature into the group
        intrusion[features] = 0
        if intrusion.max() > np.float64(INTRUSION * size / match.dimensions):
            return False
        lengths = self.norms[features]
        exact = lengths**2 / (match.ideal**2 * lengths**2).sum(axis=1)  # D of the exact shape
        if not np.abs(self.dimensionality[features] - exact).max() <= D_LIMIT:  # not for NaN either
            return False
        return bool(lengths.min() >= NORM_RATIO * lengths.max())


def connected_labels(joined: np.ndarray) -> np.ndarray:
    """The number of the first node connected with each node, (k,), from a symmetric matrix of edges with a full diagonal.

    (`scipy.sparse.csgraph` needs 0.3 ms for five nodes, most of it to check its argument; a sweep has millions of graphs.)
    """
    labels = np.arange(len(joined))
    while True:
        lowest = np.where(joined, labels, len(labels)).min(axis=1)  # of the neighbours
        lowest = lowest[lowest]  # and of the node that it names: a long chain takes few rounds
        if np.array_equal(lowest, labels):
            return labels
        labels = lowest


def count(n: int, noun: str) -> str:
    """A number of things in words: "1 feature", "3 features"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
