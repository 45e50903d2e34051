r"""Features that are not one direction each: points of a manifold times a magnitude.

`manifolds` names one manifold after another, and each takes as many of the n inputs as its points have coordinates:

* `"circle"`, 2: $(\cos\alpha, \sin\alpha)$;
* `"sphere"`, 3: the unit sphere;
* `"torus"`, 4: $(\cos\alpha, \sin\alpha, \cos\beta, \sin\beta) / \sqrt2$, a flat torus in the unit sphere;
* `"hypersphere"`, 4: the unit sphere of four dimensions, which is three-dimensional itself.

A manifold is active with probability p. Then its coordinates are $x = m\,s$ with a magnitude m and a point s, uniform on it
and of length 1. So $E\,x_i = 0$ and $E\,x_i x_j = \delta_{ij}\,p\,E[m^2] / d$ with d the number of its coordinates.
Manifolds are independent, or in `anticorrelated_sets` of whole ones, of which one at most is active.

Engels, Michaud, Liao, Gurnee and Tegmark 2024, "Not All Language Model Features Are One-Dimensionally Linear",
for features that are circles; Michaud, Gorton and McGrath 2025, "Understanding sparse autoencoder scaling in the presence of
feature manifolds".
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from superpos import arrays, check
from superpos.data import correlation
from superpos.data.magnitudes import ALL_NUMBERS, TABLES
from superpos.data.turns import cosine_of_turns
from superpos.errors import ConfigError

# How many coordinates the points of each have.
COORDINATES = {"circle": 2, "sphere": 3, "torus": 4, "hypersphere": 4}
# Dimensions of their own: how many numbers say where a point is.
DIMENSIONS = {"circle": 1, "sphere": 2, "torus": 2, "hypersphere": 3}
# Which of its manifold's numbers turns each coordinate, and by what share of a turn its wave is late: cosine, then sine.
WAVES = {
    "circle": ((1, 0), (1, 0.25)),
    "sphere": ((2, 0), (2, 0.25), (2, 0)),  # the last one is a height, and no wave
    "torus": ((1, 0), (1, 0.25), (2, 0), (2, 0.25)),
    "hypersphere": ((2, 0), (2, 0.25), (3, 0), (3, 0.25)),
}


def check_names(manifolds: Any) -> None:
    """Raise `ConfigError` unless this is a tuple of names of manifolds."""
    if not isinstance(manifolds, tuple):
        raise ConfigError(
            f'manifolds must be a tuple of names such as ("circle", "sphere"), got {check.short(manifolds)}.'
        )
    for name in manifolds:
        check.one_of("manifolds", name, tuple(COORDINATES))


def check_dimensions(manifolds: Any, n_hidden: int) -> None:
    """Raise `ConfigError` unless these are manifolds, one at least, that `n_hidden` dimensions can hold."""
    check_names(manifolds)
    if not manifolds:
        raise ConfigError("manifolds must name one at least.")
    largest = max(manifolds, key=COORDINATES.__getitem__)
    if COORDINATES[largest] > n_hidden:
        raise ConfigError(f"n_hidden must be at least {COORDINATES[largest]} for a {largest}, got {n_hidden}.")


def check_manifolds(features: Any) -> None:
    """Raise `ConfigError`, naming the field, for manifolds that cannot be; numbers may be stacked."""
    if isinstance(features.manifolds, tuple) and not features.manifolds:
        return
    check_names(features.manifolds)
    n_coordinates = sum(COORDINATES[name] for name in features.manifolds)
    if n_coordinates != features.n_features:
        raise ConfigError(
            f"manifolds must have n_features = {features.n_features} coordinates in all, got {n_coordinates}."
        )
    for field in ("correlated_sets", "parents"):
        if getattr(features, field):
            raise ConfigError(f"{field} must be () where manifolds is not ().")
    for members in features.anticorrelated_sets:
        _check_whole(features.manifolds, members)
    for field in ("world", *correlation.FIELDS):
        if getattr(features, field) is not None:
            raise ConfigError(f"{field} must be None where manifolds is not ().")
    first = first_coordinates(features.manifolds)
    if isinstance(features.magnitude, tuple) and any(
        features.magnitude[i] != features.magnitude[k] for i, k in enumerate(first)
    ):
        raise ConfigError("magnitude must be one law for all coordinates of a manifold.")
    for field in ("feature_probability", *ALL_NUMBERS):
        value = getattr(features, field)
        if value is None or arrays.is_traced(value):
            continue
        values = np.asarray(value)
        axis = -2 if field in TABLES else -1
        per_feature = values.ndim >= -axis and values.shape[axis] == len(first)
        if per_feature and np.any(values != np.take(values, first, axis=axis)):
            raise ConfigError(f"{field} must be equal for all coordinates of a manifold.")


def _check_whole(manifolds: tuple[str, ...], members: tuple[int, ...]) -> None:
    """Raise `ConfigError` unless a set holds all coordinates of some manifolds, two at least, one after another."""
    first = first_coordinates(manifolds)
    starts = dict.fromkeys(first[list(members)].tolist())
    whole = tuple(i for start in starts for i in np.flatnonzero(first == start).tolist())
    if members != whole or len(starts) < 2:
        raise ConfigError(
            "anticorrelated_sets must hold two manifolds or more, each with all its coordinates in order, where manifolds "
            f"is not (), got {list(members)}."
        )


def once(manifolds: tuple[str, ...], members: tuple[int, ...]) -> tuple[int, ...]:
    """The members of a set that count: the first coordinate of every manifold, and all where there are no manifolds."""
    if not manifolds:
        return members
    first = first_coordinates(manifolds)
    return tuple(i for i in members if first[i] == i)


def below(manifolds: tuple[str, ...], members: tuple[int, ...], p: Float[Array, "m 1"]) -> Float[Array, "m 1"]:
    """For each member of a set the sum of the probabilities `p` of the features or manifolds before its own."""
    if not manifolds:
        return jnp.cumsum(p, axis=0) - p
    counted = np.isin(members, once(manifolds, members))
    return jnp.cumsum(jnp.where(counted[:, None], p, 0.0), axis=0) - p


def first_coordinates(manifolds: tuple[str, ...]) -> Int[np.ndarray, " n_features"]:
    """For every feature the number of the first coordinate of its manifold."""
    sizes = np.array([COORDINATES[name] for name in manifolds], int)
    return np.repeat(np.cumsum(sizes) - sizes, sizes)


def slices(manifolds: tuple[str, ...]) -> list[slice]:
    """The features that are the coordinates of each manifold."""
    stops = np.cumsum([COORDINATES[name] for name in manifolds]).tolist()
    return [slice(stop - COORDINATES[name], stop) for name, stop in zip(manifolds, stops, strict=True)]


def points(manifolds: tuple[str, ...], u: Float[Array, "n_features batch"]) -> Float[Array, "n_features batch"]:
    """Uniform points from uniform numbers: the first number of every manifold is not used.

    All coordinates are one expression: XLA:CPU scatters rows one after another.
    """
    numbers, late = np.concatenate([WAVES[name] for name in manifolds]).T
    first = first_coordinates(manifolds)
    x = cosine_of_turns(u[first + numbers.astype(int)] - jnp.asarray(late[:, None], u.dtype))
    names = np.repeat(manifolds, [COORDINATES[name] for name in manifolds])[:, None]
    row = (np.arange(len(first)) - first)[:, None]  # among the coordinates of its manifold
    if "torus" in manifolds:
        x = x * jnp.asarray(np.where(names == "torus", 0.5**0.5, 1.0), u.dtype)
    if "sphere" in manifolds:
        height = 2 * u[first + 1] - 1
        x = jnp.where(names == "sphere", jnp.where(row < 2, x * jnp.sqrt(1 - height**2), height), x)
    if "hypersphere" in manifolds:  # the squared length of each of two planes' parts is uniform (Hopf's coordinates)
        share = jnp.where(row < 2, u[first + 1], 1 - u[first + 1])
        x = jnp.where(names == "hypersphere", x * jnp.sqrt(share), x)
    return x


def mean_square(manifolds: tuple[str, ...]) -> Float[np.ndarray, " n_features"]:
    """$E\\,s_i^2 = 1/d$ of the coordinates of points."""
    return np.concatenate([np.full(COORDINATES[name], 1 / COORDINATES[name]) for name in manifolds])
