r"""Worlds with a latent position: where one is decides which features are likely.

A position z is drawn uniformly from a manifold, and each feature has a place $c_i$ on it. Given z, features are
independent, and feature i is active with probability

$$q_i(z) = \sigma\big(s\,\kappa(z, c_i) + \ell + \nu\,\epsilon_i\big), \qquad
  \kappa(z, c) = 1 - 2 \frac{\|z - c\|^2}{D^2},$$

with s = `sharpness`, ℓ = `log_odds`, ν = `noise` (each $\epsilon_i$ standard normal and independent), and D the largest
distance on the manifold: κ is 1 at the feature's own place and −1 as far from it as one can be. On the circle and the
sphere κ is the cosine of the angle between z and $c_i$.
"""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.data import correlation, documents, fixed_number
from superpos.errors import ConfigError

MANIFOLDS = ("circle", "figure_eight", "sphere", "line")
# And positions of one's own, as a table of logits, or documents (`superpos.data.documents`); and no position, but a number
# of active features (`superpos.data.fixed_number`).
WORLDS = (*MANIFOLDS, "logits", "documents", fixed_number.WORLD)
ORDERED = ("circle", "figure_eight", "line")  # whose features follow one another along a curve
NUMBERS = ("sharpness", "log_odds", "noise")  # of a manifold

MAX_LOGIT = 100.0  # that a sharpness, log-odds or noise may be
# Nodes of integrals. Relative error of a marginal at sharpness 100 and log-odds −50, in double precision: 1e-14 on curves
# and the line, 2e-4 on the sphere; at sharpness 10 rounding everywhere.
CURVE_NODES = 2_048
LINE_PANELS, PANEL_NODES = 32, 16
SPHERE_NODES = (64, 128)  # heights, longitudes
NOISE_NODES = 40
NODES_AT_ONCE = 512


class Positions(NamedTuple):
    """Points of a manifold and the share of positions that each stands for."""

    points: Float[np.ndarray, "d points"]
    weights: Float[np.ndarray, " points"]


def check_world(features: Any) -> None:
    """Raise `ConfigError`, naming the field, for settings of a latent position that are not allowed; may be stacked."""
    world = features.world
    if world is None:
        for field in (*NUMBERS, "logits", "documents", "n_active"):
            if getattr(features, field) is not None:
                raise ConfigError(f"{field} must be None where world is None.")
        _check_no_parts(features)
        return
    check.one_of("world", world, WORLDS)
    for field in ("correlated_sets", "anticorrelated_sets", "parents"):
        if getattr(features, field):
            raise ConfigError(f"{field} must be () where world is {world!r}.")
    for field in correlation.FIELDS:
        if getattr(features, field) is not None:
            raise ConfigError(f"{field} must be None where world is {world!r}.")
    p = features.feature_probability
    if not arrays.is_traced(p) and np.any(np.asarray(p) != 1):
        raise ConfigError(
            f"feature_probability must be left at 1 where world is {world!r}, which says how likely each is."
        )
    if features.n_active is not None and world != fixed_number.WORLD:
        raise ConfigError(f'n_active must be None unless world is "{fixed_number.WORLD}".')
    if world == "documents":
        for field in (*NUMBERS, "logits"):
            if getattr(features, field) is not None:
                raise ConfigError(f'{field} must be None where world is "documents".')
        documents.check_documents(features)
        return
    if features.documents is not None:
        raise ConfigError('documents must be None unless world is "documents".')
    _check_no_parts(features)
    if world == fixed_number.WORLD:
        for field in (*NUMBERS, "logits"):
            if getattr(features, field) is not None:
                raise ConfigError(f'{field} must be None where world is "{world}".')
        fixed_number.check_n_active(features)
        return
    if world == "logits":
        _check_table(features)
        return
    if features.logits is not None:
        raise ConfigError('logits must be None unless world is "logits".')
    for field in ("sharpness", "log_odds"):
        if getattr(features, field) is None:
            raise ConfigError(f"{field} is missing where world is {world!r}.")
    check.in_range("sharpness", features.sharpness, at_least=0, at_most=MAX_LOGIT)
    check.in_range("log_odds", features.log_odds, at_least=-MAX_LOGIT, at_most=MAX_LOGIT)
    if features.noise is not None:
        check.in_range("noise", features.noise, at_least=0, at_most=MAX_LOGIT)


def _check_no_parts(features: Any) -> None:
    if features.held_out:
        raise ConfigError('held_out must be 0 unless world is "documents".')
    if features.part != "training":
        raise ConfigError('part must be "training" unless world is "documents".')


def _check_table(features: Any) -> None:
    for field in NUMBERS:
        if getattr(features, field) is not None:
            raise ConfigError(f'{field} must be None where world is "logits", which are the log-odds themselves.')
    if features.logits is None:
        raise ConfigError('logits are missing where world is "logits": one row per position, one column per feature.')
    check.in_range("logits", features.logits, at_least=-MAX_LOGIT, at_most=MAX_LOGIT)
    shape = np.shape(features.logits)
    if len(shape) < 2 or shape[-1] != features.n_features or not shape[-2]:
        raise ConfigError(f"logits must have shape (positions, {features.n_features}), got {shape}.")


def places(manifold: str, n_features: int) -> Float[np.ndarray, "d n_features"]:
    """Where the features are: evenly along a curve, half a step from an end of a line, on a Fibonacci lattice."""
    index = np.arange(n_features)
    if manifold in ("line", "figure_eight"):  # half a step along, so that fewer pairs share the crossing of the eight
        return curve_points(manifold, (index + 0.5) / n_features)
    if manifold == "sphere":
        return sphere_points((index + 0.5) / n_features, (index * (np.sqrt(5) - 1) / 2) % 1)
    return curve_points(manifold, index / n_features)


@cache
def positions(manifold: str) -> Positions:
    """Nodes and weights of an integral over the manifold: the trapezoidal rule around curves, Gauss–Legendre along lines."""
    if manifold == "line":
        nodes, weights = np.polynomial.legendre.leggauss(PANEL_NODES)
        along = (np.arange(LINE_PANELS)[:, None] + (nodes + 1) / 2) / LINE_PANELS
        return Positions(curve_points("line", along.ravel()), np.tile(weights / 2 / LINE_PANELS, LINE_PANELS))
    if manifold == "sphere":
        nodes, weights = np.polynomial.legendre.leggauss(SPHERE_NODES[0])
        height, turn = np.meshgrid((nodes + 1) / 2, np.arange(SPHERE_NODES[1]) / SPHERE_NODES[1], indexing="ij")
        each = np.repeat(weights / 2 / SPHERE_NODES[1], SPHERE_NODES[1])
        return Positions(sphere_points(height.ravel(), turn.ravel()), each)
    return Positions(
        curve_points(manifold, np.arange(CURVE_NODES) / CURVE_NODES), np.full(CURVE_NODES, 1 / CURVE_NODES)
    )


def draw(manifold: str, uniform: Float[Array, "2 batch"]) -> Float[Array, "d batch"]:
    """Positions from uniform numbers in (0, 1): one for a curve, two for the sphere."""
    return sphere_points(uniform[0], uniform[1]) if manifold == "sphere" else curve_points(manifold, uniform[0])


def curve_points(manifold: str, along: Any) -> Any:
    """Points of a curve at shares of its parameter in [0, 1], shape (d, …); NumPy's or JAX's as `along` is."""
    xp = np if isinstance(along, np.ndarray) else jnp
    angle = 2 * np.pi * along
    if manifold == "line":
        return along[None]
    if manifold == "circle":
        return xp.stack([xp.cos(angle), xp.sin(angle)])
    return xp.stack([xp.cos(angle), xp.sin(angle) * xp.cos(angle)])  # the lemniscate of Gerono


def sphere_points(height: Any, turn: Any) -> Any:
    """Points of the unit sphere, shape (3, …), at shares in [0, 1] of its height and of the turn around it."""
    xp = np if isinstance(height, np.ndarray) else jnp
    z = 2 * height - 1
    radius, angle = xp.sqrt(1 - z**2), 2 * np.pi * turn
    return xp.stack([radius * xp.cos(angle), radius * xp.sin(angle), z])


def similarity(manifold: str, points: Any, n_features: int) -> Float[Array, "n_features points"]:
    r"""$\kappa(z, c_i)$ for every feature and position."""
    furthest = 1.0 if manifold == "line" else 2.0  # from one end to the other
    points = jnp.asarray(points, float)
    apart = points[:, None] - jnp.asarray(places(manifold, n_features), float)[:, :, None]
    squared = jnp.sum(apart**2, axis=0)
    return 1 - 2 * squared / furthest**2


def probability_nodes(features: Any) -> tuple[Float[Array, "n_features points"], Float[np.ndarray, " points"]]:
    """P(feature i is active | position) at the nodes of an integral over positions, and their weights."""
    if features.world == "logits":
        table = jnp.asarray(features.logits, float)
        return jax.nn.sigmoid(table.T), np.full(len(table), 1 / len(table))
    points, weights = positions(features.world)
    kappa = similarity(features.world, points, features.n_features)
    return _activity(kappa, features), weights


def _activity(kappa: Array, features: Any) -> Array:
    """σ(s κ + ℓ), averaged over the noise by Gauss–Hermite."""
    logit = jnp.asarray(features.sharpness, float) * kappa + jnp.asarray(features.log_odds, float)
    if features.noise is None:
        return jax.nn.sigmoid(logit)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NOISE_NODES)
    total = jnp.zeros_like(logit)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        total += float(weight) * jax.nn.sigmoid(logit + jnp.asarray(features.noise, float) * float(node))
    return total


def drawn_probability(features: Any, uniform: Float[Array, "2 batch"], normal: Any) -> Float[Array, "n_features batch"]:
    """P(feature i is active | position and noise) at positions drawn by `uniform`; `normal` is used where there is noise."""
    if features.world == "logits":
        table = jnp.asarray(features.logits, float)
        row = jnp.minimum((uniform[0] * len(table)).astype(int), len(table) - 1)
        return jax.nn.sigmoid(table[row].T)
    kappa = similarity(features.world, draw(features.world, uniform), features.n_features)
    logit = jnp.asarray(features.sharpness, float) * kappa + jnp.asarray(features.log_odds, float)
    if features.noise is not None:
        logit = logit + jnp.asarray(features.noise, float) * normal
    return jax.nn.sigmoid(logit)


def integral(left: Array, right: Array) -> Array:
    """The product of (…, points) and (points, …): sums over a few hundred nodes at a time, for the sake of single precision.

    A sum of thousands of equal terms, one after another, is off by 1e-5 of itself.
    """
    n_points = left.shape[-1]
    parts = [slice(start, start + NODES_AT_ONCE) for start in range(0, n_points, NODES_AT_ONCE)]
    return _sum_of([jnp.dot(left[..., part], right[part], precision="highest") for part in parts])


def _sum_of(terms: list[Array]) -> Array:
    """Terms added in pairs, and the sums again."""
    while len(terms) > 1:
        pairs = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
    return terms[0]
