r"""Cross-entropy of classes whose directions all see the same angles: the best length and the least loss, in closed form."""

from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError

# No squared length beyond this is needed for penalties that single precision can tell from 0.
LONGEST = 1e6


class ClassLoss(NamedTuple):
    """The least penalised cross-entropy of given directions."""

    minimised: float  # cross-entropy plus λ times the squared length, the mean over classes
    cross_entropy: float
    squared_length: float  # ‖W_i‖² of every class; 0 where the penalty leaves nothing


def class_loss(directions: Any, weight_l2: Any) -> ClassLoss:
    r"""The least loss of `superpos.tasks.OneHotClassifier` with columns along `directions`, all of one length √a.

    Where every class sees the same cosines $c_j$ to all classes, itself included,

    $$\min_{a \ge 0}\; \log \sum_j e^{a (c_j - 1)} + \lambda a,$$

    which is convex in a. With directions that add up to 0 its slope at a = 0 is λ − 1, whatever their number: from λ = 1 on
    nothing is represented, and just below $a \approx (1 - \lambda) / \overline{c^2}$, which is m (1 − λ) for a tight frame
    in m dimensions. Derived here.

    `directions` is (n_hidden, n_features), of any lengths; `weight_l2` = λ is above 0.

    >>> angle = 2 * np.pi * np.arange(5) / 5
    >>> round(sp.theory.class_loss(np.stack([np.cos(angle), np.sin(angle)]), 0.1).squared_length, 3)
    3.644

    Raises:
        ConfigError: a shape or number is not allowed, a direction has no length, or classes see different angles.
    """
    penalty = check.number("weight_l2", weight_l2, above=0)
    W = arrays.as_numpy("directions", directions, ndim=2).astype(np.float64)
    lengths = np.linalg.norm(W, axis=0)
    if not np.all(lengths > 0):
        raise ConfigError("directions must have a length each; a column is 0.")
    cosines = np.sort((W / lengths).T @ (W / lengths), axis=1)
    if np.max(np.ptp(cosines, axis=0)) > 1e-4:
        raise ConfigError("directions must see the same angles from each of them; these do not.")
    below = cosines[0] - 1  # of one class for all

    def slope(a: float) -> float:
        weights = np.exp(a * (below - below.max()))
        return float(np.sum(weights * below) / np.sum(weights)) + penalty

    squared_length = _root(slope)
    entropy = float(np.log(np.sum(np.exp(squared_length * below))))
    return ClassLoss(entropy + penalty * squared_length, entropy, squared_length)


def _root(slope: Any) -> float:
    """Where a growing function is 0; 0 if it begins above."""
    if slope(0.0) >= 0:
        return 0.0
    from scipy.optimize import brentq  # here: its import takes as long as that of flax

    root: Any = brentq(slope, 0.0, LONGEST, xtol=1e-12) if slope(LONGEST) > 0 else LONGEST
    return float(root)
