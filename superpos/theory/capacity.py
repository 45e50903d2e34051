r"""Capacity as a resource with a price: how much of a dimension each feature should get.

A feature in the best place of a structure of k directions in d dimensions has capacity $C = d/k$ and an error $\ell$ known
from `superpos.theory.uniform`; left out it has C = 0 and $\ell = v = p/3 - p^2/4$, alone C = 1 and $\ell = 0$. Between these
points structures can be mixed, so the error that a capacity buys is their lower convex hull $\ell(C)$, and

$$\min_C \sum_i I_i\,\ell(C_i) \quad \text{with} \quad \sum_i C_i = m$$

equalises the marginal benefit $-I_i\,\ell'(C_i) = \lambda$ of all features that share: more important ones than those have
C = 1, less important ones 0. Scherlis et al. 2022, "Polysemanticity and Capacity in Neural Networks", whose one-layer
model has an $\ell$ of its own. What is left out here: members of one structure differ in importance, and structures have a
whole number of features. So the allocation is what the trained one is compared with, not a bound.
"""

from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.theory.uniform import Structure, unlearned_loss


class CapacityLoss(NamedTuple):
    """Error of one feature of importance 1 against its capacity: the corners of a convex, falling curve."""

    capacity: np.ndarray  # (k,), from 0 to 1
    loss: np.ndarray  # (k,)

    @property
    def benefit(self) -> np.ndarray:
        """What capacity buys between neighbouring corners, $-\\ell'$, (k − 1,), falling."""
        return -np.diff(self.loss) / np.diff(self.capacity)


class Allocation(NamedTuple):
    """Who gets how much."""

    capacity: np.ndarray  # (n_features,)
    loss: float  # the sum over features
    price: float  # what the last bit of capacity bought, per unit


def capacity_losses(feature_probability: Any, structures: list[Structure]) -> list[CapacityLoss]:
    """$\\ell(C)$ at every density of a vector, from the structures that `superpos.theory.uniform.benefits` found there.

    At density 1 nothing gains from sharing and $\\ell$ is a straight line; `structures` then hold numbers for the other
    densities, in their order.
    """
    p = arrays.as_numpy("feature_probability", feature_probability, ndim=1)
    check.in_range("feature_probability", p, above=0, at_most=1)
    inner = np.flatnonzero(p < 1)
    for s in structures:
        if len(s.loss) != len(inner):
            raise ConfigError(f"structures must hold one loss for each of {len(inner)} densities, got {len(s.loss)}.")
    sharing = [s for s in structures if len(s.shape.vertices) > 1]
    C = np.array([0, *(s.shape.dimensions / len(s.shape.vertices) for s in sharing), 1])
    allocations = []
    for k, density in enumerate(p):
        left_out = unlearned_loss(density)
        if density < 1:
            at = int(np.searchsorted(inner, k))
            loss = np.array([left_out, *(s.loss[at] for s in sharing), 0])
        else:
            loss = left_out * (1 - C)
        allocations.append(_hull(C, loss))
    return allocations


def allocation(curve: CapacityLoss, importance: Any, capacity: float) -> Allocation:
    """Share `capacity` dimensions among features so that the marginal benefit is the same for all that share.

    The curve is convex, so handing out the most valuable bit first is exact.

    Raises:
        ConfigError: an importance or the capacity is out of range.
    """
    weights = arrays.as_numpy("importance", importance, ndim=1)
    check.in_range("importance", weights, at_least=0)
    check.in_range("capacity", capacity, at_least=0)
    value = weights[:, None] * curve.benefit  # (n_features, pieces)
    width = np.broadcast_to(np.diff(curve.capacity), value.shape)
    order = np.argsort(-value, axis=None, kind="stable")
    given = np.diff(np.minimum(np.cumsum(width.ravel()[order]), capacity), prepend=0)
    got = np.zeros(value.size)
    got[order] = given
    shares = got.reshape(value.shape).sum(axis=1)
    bought = np.flatnonzero(given > 1e-12)
    price = float(value.ravel()[order][bought[-1]]) if len(bought) else np.inf
    return Allocation(shares, float(np.sum(weights * np.interp(shares, curve.capacity, curve.loss))), price)


def _hull(x: np.ndarray, y: np.ndarray) -> CapacityLoss:
    """Lower convex hull of points, by their left-most chain of falling slopes."""
    order = np.lexsort((y, x))
    corners: list[tuple[float, float]] = []
    for a, b in zip(x[order], y[order], strict=True):
        if corners and a == corners[-1][0]:
            continue
        while len(corners) > 1:
            (x0, y0), (x1, y1) = corners[-2:]
            if (y1 - y0) * (a - x0) < (b - y0) * (x1 - x0):
                break
            corners.pop()
        corners.append((a, b))
    return CapacityLoss(*np.array(corners).T)
