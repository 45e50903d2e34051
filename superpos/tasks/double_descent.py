"""Memorise a fixed set of points, or learn the features they are made of."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.data import MOST_FEATURES, FeatureDistribution
from superpos.errors import ConfigError
from superpos.models.toy import FULL_PRECISION, ToyModel
from superpos.tasks.base import Metrics
from superpos.tasks.one_layer import MOST_WEIGHTS, features_of, initial_std

# Points of one step of the loops over a data set: many, for the matrix products, and few for what is left after them, so
# that a small set does not pay for a large tile.
LARGE_TILE, TILE = 128, 16

Points = Float[Array, "points n_features"]  # in rows: a tile of them is then contiguous


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class DoubleDescent:
    r"""Full-batch training of $x' = \mathrm{ReLU}(W^\top W x + b)$ on T = `n_points` points that never change.

    $$L = \frac1T \sum_{j=1}^T \|x_j - x'_j\|_2^2,$$

    the *sum* over features, as in the paper. Points are sparse with P(x_i ≠ 0) = `feature_probability` and uniform
    magnitudes, each divided by its norm. A point with no active feature stays 0: it happens with probability (1 − p)^n
    (4e-5 at n = 1,000 and p = .01), and counts as a point.

    Points are drawn once, from `data_seed`, and do not depend on T or `most_points`: a set of five points is the first five
    of a larger one. T may be swept without recompiling, up to the static `most_points`; the loss and its gradient are
    accumulated over tiles of 128 points, then of 16, in loops that end after T: a small set costs little beside a large
    one. In a block of several models all wait for the largest set: sweep T with `block_size=1`.

    `loss`, and so the loss reported after training, is that of fresh points of norm 1, the test loss; the loss on the T
    points is the history. `batch_size` is of no consequence to training.

    Henighan et al. 2023, "Superposition, Memorization, and Double Descent".
    """

    DATA = "full batch of at most {most_points:,} points"

    n_features: int = jax.tree.static()  # shape of W
    n_hidden: int = jax.tree.static()  # shape of W
    most_points: int = jax.tree.static()  # shape of the data
    n_points: Any = None  # T; None is most_points
    feature_probability: Any = 0.01  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    data_seed: Any = 0
    init_scale: Any = 1.0
    points: Any = None  # (most_points, n_features) in rows, used as they are; None draws them

    @property
    def features(self) -> FeatureDistribution:
        """Where the points come from, before they are normalised."""
        return features_of(self)

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.whole("n_features", self.n_features, at_least=1, at_most=MOST_FEATURES)
        check.whole("n_hidden", self.n_hidden, at_least=1, at_most=MOST_FEATURES)
        check.whole("most_points", self.most_points, at_least=1, at_most=2**24)
        check.whole("n_features × n_hidden", int(self.n_features) * int(self.n_hidden), at_most=MOST_WEIGHTS)
        check.whole("n_features × most_points", int(self.n_features) * int(self.most_points), at_most=2**31 - 1)
        check.vector("feature_probability", self.feature_probability, self.n_features)
        for name in ("data_seed", "init_scale"):
            check.scalar(name, getattr(self, name))
        if self.n_points is not None:
            check.scalar("n_points", self.n_points)
        if self.points is not None:
            check.numbers("points", self.points)
            if tuple(np.shape(self.points)) != (wanted := (self.most_points, self.n_features)):
                raise ConfigError(
                    f"points must have shape (most_points, n_features) = {wanted}, got {tuple(np.shape(self.points))}."
                )
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        self.features.check()
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)
        for name, limits in (
            ("n_points", {"at_least": 1, "at_most": self.most_points}),
            ("data_seed", {"at_least": 0, "at_most": 2**24}),
        ):
            value = getattr(self, name)
            if value is None or check.is_traced(value):
                continue
            check.in_range(name, value, **limits)
            value = np.asarray(value, np.float64)
            if np.any(value % 1):
                raise ConfigError(f"{name} must be a whole number, got {float(value[value % 1 > 0].flat[0]):g}.")

    def broadcast(self) -> "DoubleDescent":
        """The same task with every numeric field an array of its full shape."""
        p = jnp.broadcast_to(jnp.asarray(self.feature_probability, float), (self.n_features,))
        size = self.most_points if self.n_points is None else self.n_points
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), replace(self, feature_probability=p, n_points=size))

    def prepared(self) -> "DoubleDescent":
        """The task with its points, filled up with zeros to whole tiles; needed before `training_loss`."""
        n_tiles = -(-self.most_points // TILE)
        if self.points is not None:
            missing = n_tiles * TILE - self.most_points
            return replace(self, points=jnp.pad(jnp.asarray(self.points, float), ((0, missing), (0, 0))))
        key = jax.random.key(jnp.asarray(self.data_seed, jnp.uint32))
        # Tile by tile, each from a key of its own: a longer set begins with the same points.
        tiles = jax.lax.map(lambda k: self._fresh(jax.random.fold_in(key, k), TILE).T, jnp.arange(n_tiles))
        return replace(self, points=tiles.reshape(n_tiles * TILE, self.n_features))

    def init(self, key: PRNGKeyArray) -> ToyModel:
        """A new model: Xavier-normal weights of this one model times `init_scale`, zero bias."""
        W = initial_std(self) * jax.random.normal(key, (self.n_hidden, self.n_features), float)
        return ToyModel(W, jnp.zeros(self.n_features, float))

    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Test loss: the squared error of fresh points of norm 1, the sum over features and the mean over points."""
        x = self._fresh(key, batch_size)
        return jnp.mean(jnp.sum(jnp.square(model(x) - x), axis=0)), {}

    def training_loss(
        self, model: ToyModel, key: PRNGKeyArray, batch_size: int
    ) -> tuple[Float[Array, ""], tuple[Metrics, None]]:
        """L on the first T points; of a task that is `prepared`. Nothing is random here."""
        assert model.b is not None
        return points_loss(model.W[...], model.b[...], self.points, jnp.asarray(self.n_points)), ({}, None)

    def population_loss(self, model: ToyModel) -> None:
        """None: normalised points have no series here, fresh ones must estimate it."""
        return None

    def training_defaults(self) -> dict[str, Any]:
        """The paper's 50,000 steps of Adam with its usual memories, at a learning rate of 0.001."""
        return {"steps": 50_000, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999}

    def numbers_per_step(self, batch_size: int) -> int:
        """All points, or the test batch."""
        return self.n_features * self.most_points

    def _fresh(self, key: PRNGKeyArray, count: int) -> Float[Array, "n_features count"]:
        x = self.features.sample(key, count)
        norm = jnp.sqrt(jnp.sum(jnp.square(x), axis=0, keepdims=True))
        return x / jnp.where(norm > 0, norm, 1)


@jax.custom_vjp
def points_loss(
    W: Float[Array, "n_hidden n_features"], b: Float[Array, " n_features"], points: Points, n_points: Float[Array, ""]
) -> Float[Array, ""]:
    r"""$\frac1T \sum_{j \le T} \|\mathrm{ReLU}(W^\top W x_j + b) - x_j\|_2^2$ for the first T = `n_points` rows.

    The number of rows is a multiple of 16. Only tiles that hold one of the T points are gone through, in the forward
    pass, which finds the gradient for W and b as well (as reverse mode could not, the length of the loops being data).
    `points` and `n_points` have no gradient: it is 0.
    """
    return _loss_and_gradient(W, b, points, n_points)[0]


def _loss_and_gradient(W: Any, b: Any, points: Any, n_points: Any) -> tuple[Any, Any, Any]:
    m, n = W.shape
    count = n_points.astype(jnp.int32)
    dot = partial(jnp.dot, precision=FULL_PRECISION)

    def add(start: Any, size: int, sums: Any) -> Any:
        loss, decoding, encoding = sums
        x = jax.lax.dynamic_slice_in_dim(points, start, size)
        counted = start + jnp.arange(size) < count
        h = jnp.pad(dot(x, W.T), ((0, 0), (0, 1)), constant_values=1)  # a 1 for the bias
        h = jnp.where(counted[:, None], h, 0)
        error = jnp.where(counted[:, None], jnp.maximum(a := dot(h, Wb), 0) - x, 0)
        to_a = jnp.where(a > 0, error, 0)  # half of dL/da
        to_h = dot(to_a, W.T)
        return loss + jnp.sum(jnp.square(error)), decoding + dot(h.T, to_a), encoding + dot(to_h.T, x)

    Wb = jnp.concatenate([W, b[None]])
    sums = (jnp.zeros((), W.dtype), jnp.zeros((m + 1, n), W.dtype), jnp.zeros((m, n), W.dtype))
    whole = 0
    if points.shape[0] >= LARGE_TILE:
        whole = count // LARGE_TILE
        sums = jax.lax.fori_loop(0, whole, lambda k, sums: add(k * LARGE_TILE, LARGE_TILE, sums), sums)
    begun = whole * (LARGE_TILE // TILE)
    sums = jax.lax.fori_loop(begun, (count + TILE - 1) // TILE, lambda k, sums: add(k * TILE, TILE, sums), sums)
    loss, decoding, encoding = sums
    return loss / n_points, 2 * (decoding[:m] + encoding) / n_points, 2 * decoding[m] / n_points


def _forward(W: Any, b: Any, points: Any, n_points: Any) -> tuple[Any, Any]:
    loss, to_W, to_b = _loss_and_gradient(W, b, points, n_points)
    return loss, (to_W, to_b, points, n_points)


def _backward(found: Any, scale: Any) -> tuple[Any, Any, Any, Any]:
    to_W, to_b, points, n_points = found
    return scale * to_W, scale * to_b, jnp.zeros_like(points), jnp.zeros_like(n_points)


points_loss.defvjp(_forward, _backward)
