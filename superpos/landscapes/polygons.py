r"""One feature active at a time, two dimensions: the polygons that minimise the loss, and how degenerate each is.

Of n features k lie on a regular polygon; the others have no length. A *biased* one (⁺) has the bias 1/(2n) and answers with
the best constant; a *dead* one (⁻) has a bias below 0 and answers with nothing. Chen et al. 2023, "Dynamical versus Bayesian
Phase Transitions in a Toy Model of Superposition", [arXiv:2310.06301](https://arxiv.org/abs/2310.06301).

**Learning coefficients.** From five sides on the loss is smooth at the minimum, and λ is half the rank of its Hessian:
$(3k - 1)/2$ for the polygon (3k parameters, less one rotation), and 3/2 more for every biased feature. A dead feature moves
freely, so it adds nothing. Biased *and* dead features beside one polygon are a saddle: the loss falls where the two move
apart.

A square stands at kinks, so no Hessian describes it. Near it, what the loss is above its minimum is a function of degree 2.
It is positive but along the rotation and the biases of dead features, so it lies between two multiples of the squared
distance from these. So λ is half the number of the other directions: $(11 + 3 \cdot \text{biased} + 2 \cdot
\text{dead})/2$. A dead feature beside a square costs two directions, since outputs of bias 0 answer to it. (Chen et al. count
the rank on each side of the kinks apart, 4 to 5.5. The side on which an output is 0 has less rank, but it is not all of the
neighbourhood.)

Below four sides, k = 0, 1 or 2 features of length 1 at right angles or more cost 0 themselves, and dead ones move freely in a
cone: λ = k. (Three would leave dead features no room: more than 5, at a loss that does not pay for it.)
"""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from superpos import check
from superpos.landscapes.curvature import DEAD, NO_MINIMUM, judged, rank_at
from superpos.landscapes.tangents import dead_tangents, rotation_tangents
from superpos.theory.single_active import Level, at_level, polygon_levels
from superpos.theory.single_active_derivatives import single_active_derivatives

SQUARE = 4
NEWTON_STEPS = 4
THRESHOLDS = 10.0 ** -np.arange(4, 10)  # of the rank, relative to the largest curvature


class Point(NamedTuple):
    """Weights and biases of a level, as exact as double precision allows."""

    level: Level
    W: np.ndarray  # (2, n_features)
    b: np.ndarray  # (n_features,)


def polygon_minima(n_features: int) -> xr.Dataset:
    r"""The polygons of `n_features` features in two dimensions over `minimum`, from the lowest loss.

    Coordinate `name` ("5⁺⁻" is a pentagon, a biased and a dead feature). `loss` is the paper's, the sum over features;
    `superpos.expected_loss` is 1/n of it. `learning_coefficient` is λ, NaN at a saddle. `sides`, `biased` and `dead` count
    features, `length` is $\|W_i\|$ on the polygon and `bias` is $b_i$ there; `rank`, `index` (negative curvatures) and
    `kinks` say what the Hessian is; `W` (minimum, hidden, feature) and `b` are the point itself.

    >>> table = sp.landscapes.polygon_minima(6)
    >>> table["name"].values[:3].tolist(), table["learning_coefficient"].values[:3].tolist()
    (['6', '5⁺', '5⁻'], [8.5, 8.5, 7.0])

    Raises:
        ConfigError: `n_features` is no whole number from 4 to 8.
    """
    check.integer("n_features", n_features, at_least=4, at_most=8)
    points = [*_few(n_features), *(exact_point(level) for level in polygon_levels(n_features))]
    rows = sorted((_row(point) for point in points), key=lambda row: row["loss"])
    names = [row.pop("name") for row in rows]
    dims: dict[str, tuple[str, ...]] = {"W": ("minimum", "hidden", "feature"), "b": ("minimum", "feature")}
    columns = {key: (dims.get(key, ("minimum",)), np.array([row[key] for row in rows])) for key in rows[0]}
    attrs = {"n_features": int(n_features), "loss": "sum over features"}
    return xr.Dataset(columns, {"name": ("minimum", np.array(names, object))}, attrs)


def exact_point(level: Level) -> Point:
    """The point of a level, its length and bias improved by Newton's method on the exact derivatives."""
    for _ in range(NEWTON_STEPS if level.sides > SQUARE else 0):
        W, b = at_level(level)
        moved = [
            at_level(level._replace(length=level.length + dl, bias=level.bias + db)) for dl, db in ((1, 0), (0, 1))
        ]
        ways = np.array([np.concatenate([(V - W).ravel(), c - b]) for V, c in moved])  # W and b are linear in both
        at = single_active_derivatives(W, b)
        length, bias = np.linalg.solve(ways @ at.hessian @ ways.T, ways @ at.gradient)
        level = level._replace(length=level.length - length, bias=level.bias - bias)
    W, b = at_level(level)
    return Point(level._replace(loss=single_active_derivatives(W, b).loss), W, b)


def rank_by_threshold(W: Any, b: Any, thresholds: Any = THRESHOLDS) -> list[int]:
    """Rank of the Hessian at W, b for every threshold, each relative to the largest curvature."""
    curvatures = np.linalg.eigvalsh(single_active_derivatives(W, b).hessian)
    return [rank_at(curvatures, float(threshold)) for threshold in thresholds]


def _few(n: int) -> list[Point]:
    """None, one or two features of length 1, those that are left out dead, and out of their way."""
    points = []
    for sides in range(3):
        level = Level(sides, 0, n - sides, float(sides > 0), 0.0, (n - sides) / (3 * n))
        W, b = np.zeros((2, n)), np.repeat([0.0, -1.0], [sides, n - sides])
        W[:, :sides] = np.array([[1.0, -0.5], [0.0, np.sqrt(0.75)]])[:, :sides]  # 120° apart
        W[:, sides:] = -0.1 * W[:, :sides].sum(axis=1, keepdims=True)
        points.append(Point(level, W, b))
    return points


def _row(point: Point) -> dict[str, Any]:
    level, W, b = point
    at = single_active_derivatives(W, b)
    flat = np.concatenate([W.ravel(), b])
    bend = judged(flat, at.gradient, at.hessian, rotation_tangents(W, b), dead_tangents(W, b), kinked=at.kinks > 0)
    if level.sides < SQUARE:
        coefficient = float(level.sides)
    elif level.sides == SQUARE:
        coefficient = (11 + 3 * level.biased + 2 * level.dead) / 2
    else:
        coefficient = bend.rank / 2 if set(bend.flags) <= {DEAD} else np.nan
    numbers = {key: getattr(level, key) for key in ("loss", "sides", "biased", "dead", "length", "bias")}
    return {
        "name": level.name,
        **numbers,
        "learning_coefficient": coefficient,
        "saddle": level.sides > SQUARE and NO_MINIMUM in bend.flags,
        "rank": bend.rank,
        "index": bend.index,
        "gap": bend.gap,
        "kinks": at.kinks,
        "W": W,
        "b": b,
    }
