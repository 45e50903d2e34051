r"""Which structure wins when many equally important, equally dense features share few dimensions.

Orthogonal parts add their losses, so where features abound the structure with the largest benefit per dimension fills the
space. A structure of k directions in d dimensions, $W_i = \sqrt{s}\,\hat v_i$ with one bias b, costs $k\,\ell(s, b)$ where k
features left out cost $k v$, $v = p/3 - p^2/4$: its benefit per dimension is $k (v - \min \ell)/d$, counted here in units of
v. Elhage et al. 2022, "The Geometry of Superposition", where structures are found by training.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from superpos import check
from superpos.cache import use_compilation_cache
from superpos.data import FeatureDistribution
from superpos.errors import ConfigError
from superpos.theory.expected_loss import expected_errors
from superpos.theory.polytopes import KnownShape, known_shapes

# Structures of up to eight directions: larger ones were not compared, so where the antiprism wins there may be better.
MOST_VERTICES = 8
STARTS = ((0.8, 0.4), (1.0, 0.0), (1.2, -0.2))  # squared norm and bias, as in dense, middling and sparse optima


class Structure(NamedTuple):
    """The best a structure can do at every density: arrays over densities."""

    shape: KnownShape
    squared_norm: np.ndarray  # ‖W_i‖²
    bias: np.ndarray
    loss: np.ndarray  # per feature of the structure
    benefit: np.ndarray  # per dimension, in units of v


def unlearned_loss(feature_probability: Any) -> Any:
    """$v = p/3 - p^2/4$: what a feature left out costs at its best bias, p/2."""
    return feature_probability / 3 - feature_probability**2 / 4


def structures() -> list[KnownShape]:
    """Simplices, polygons and solids of two to eight directions, and a feature alone.

    All vertices of each are alike, so that they share one norm and one bias.
    """
    alike = [shape for k in range(1, MOST_VERTICES + 1) for shape in known_shapes(k) if len(shape.views) == 1]
    return [shape for shape in alike if not (shape.name.endswith("-simplex") and len(shape.vertices) > 6)]


def benefits(feature_probability: Any, shapes: list[KnownShape] | None = None, *, order: int = 64) -> list[Structure]:
    """What every structure gains per dimension at its best scale and bias; all that `structures` lists if none are given.

    `feature_probability` is a vector of densities, below 1 each: at 1 nothing distinguishes the structures.

    Raises:
        ConfigError: a density is out of range, or they are no vector.
    """
    check.in_range("feature_probability", feature_probability, above=0, below=1)
    check.whole("order", order, at_least=1)
    densities = np.asarray(feature_probability, float)
    if densities.ndim != 1 or not len(densities):
        raise ConfigError(f"feature_probability must be a vector of densities, got shape {densities.shape}.")
    use_compilation_cache()
    with jax.enable_x64(True):
        return [_best(shape, densities, order) for shape in shapes or structures()]


def winners(feature_probability: Any, *, order: int = 64) -> list[str]:
    """Name of the structure with the largest benefit per dimension at every density of a vector."""
    found = benefits(feature_probability, order=order)
    best = np.argmax([structure.benefit for structure in found], axis=0)
    return [found[k].shape.name for k in best]


def _best(shape: KnownShape, densities: np.ndarray, order: int) -> Structure:
    k, d = shape.vertices.shape
    # Filled up with features that do nothing, every structure has one size, and all share one compiled program.
    vertices, chosen = np.zeros((max(k, MOST_VERTICES), max(d, MOST_VERTICES - 1))), np.zeros(max(k, MOST_VERTICES))
    vertices[:k, :d], chosen[:k] = shape.vertices, 1 / k
    rows = []
    for p in densities:
        left_out = unlearned_loss(p)

        def scaled(x: np.ndarray, p: float = p, left_out: float = left_out) -> tuple[float, np.ndarray]:
            value, slope = _loss(jnp.asarray(x), vertices, chosen, jnp.asarray(p), order=order)
            return float(value) / left_out, np.asarray(slope) / left_out

        ends = [minimize(scaled, start, jac=True, method="L-BFGS-B", bounds=((1e-3, 4), (-2, 2))) for start in STARTS]
        best = min(ends, key=lambda end: end.fun)
        rows.append((*best.x, best.fun * left_out, k * (1 - best.fun) / d))
    return Structure(shape, *np.array(rows).T)


@partial(jax.jit, static_argnames="order")
@partial(jax.value_and_grad, argnums=0)
def _loss(x: Any, vertices: Any, chosen: Any, p: Any, *, order: int) -> Any:
    """Mean loss of the chosen features of a structure with squared norm x[0] and bias x[1]."""
    n = len(vertices)
    features = FeatureDistribution(n_features=n, feature_probability=jnp.full(n, p))
    W = jnp.sqrt(x[0]) * vertices.T
    return jnp.sum(chosen * expected_errors(W, jnp.full(n, x[1]), features, order=order))
