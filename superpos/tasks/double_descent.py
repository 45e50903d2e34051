"""Memorise a fixed set of points, or learn the features they are made of."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.data import MAX_FEATURES, FeatureDistribution
from superpos.errors import ConfigError
from superpos.models.toy import FULL_PRECISION, ToyModel
from superpos.tasks.base import Metrics, Task
from superpos.tasks.one_layer import MAX_WEIGHTS, features_of, initial_std
from superpos.tasks.registry import register

# Points of one step of the loops over a data set, the most first: many, for the products, and few for what is left after
# them, so that a small set does not pay for a large tile. On a CPU three arrays of a tile's size must stay in the cache of
# its core; elsewhere a tile must keep thousands of cores busy.
TILES = {"cpu": (32, 8)}
TILES_ELSEWHERE = (4_096, 256, 16)
MAX_NUMBERS = {"cpu": 2**15}
MAX_NUMBERS_ELSEWHERE = 2**26
# Points that are drawn together, a multiple of the smallest tile.
DRAWN = 16
# Rows that are multiplied one by one.
FEW = 8

Points = Float[Array, "points n_features"]  # in rows: a tile of them is then contiguous


@register("double_descent")
@dataclass(frozen=True, kw_only=True)
class DoubleDescent(Task):
    r"""Full-batch training of $x' = \mathrm{ReLU}(W^\top W x + b)$ on T = `n_points` points that never change.

    $$L = \frac1T \sum_{j=1}^T \|x_j - x'_j\|_2^2,$$

    the *sum* over features, as in the paper. Points are sparse with P(x_i ≠ 0) = `feature_probability` and uniform
    magnitudes, each divided by its norm. A point with no active feature stays 0: it happens with probability (1 − p)^n
    (4e-5 at n = 1,000 and p = .01), and counts as a point.

    Points are drawn once, from `data_seed`, and do not depend on T or `most_points`: a set of five points is the first five
    of a larger one. T may be swept without recompiling, up to the static `most_points`; the loss and its gradient are
    accumulated over tiles, large and then small, in loops that end after T: a small set costs little beside a large one.

    `loss`, and so the loss reported after training, is that of fresh points of norm 1, the test loss; the loss on the T
    points is the history. `batch_size` is of no consequence to training.

    Henighan et al. 2023, "Superposition, Memorization, and Double Descent".
    """

    DATA = "full batch of at most {most_points:,} points"
    UNSAID: ClassVar[tuple[str, ...]] = ("most_points", "data_seed", "points")

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
        check.integer("n_features", self.n_features, at_least=1, at_most=MAX_FEATURES)
        check.integer("n_hidden", self.n_hidden, at_least=1, at_most=MAX_FEATURES)
        check.integer("most_points", self.most_points, at_least=1, at_most=2**24)
        check.integer("n_features × n_hidden", int(self.n_features) * int(self.n_hidden), at_most=MAX_WEIGHTS)
        check.integer("n_features × most_points", int(self.n_features) * int(self.most_points), at_most=2**31 - 1)
        check.vector("feature_probability", self.feature_probability, self.n_features)
        for name in ("data_seed", "init_scale"):
            check.scalar(name, getattr(self, name))
        if self.n_points is not None:
            check.scalar("n_points", self.n_points)
        if self.points is not None:
            check.finite_array("points", self.points)
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

    def precompute(self) -> "DoubleDescent":
        """The task with its T points and zeros after them, up to whole tiles; needed before `training_loss`."""
        n_drawn = -(-self.most_points // DRAWN)
        if self.points is not None:
            missing = n_drawn * DRAWN - self.most_points
            return replace(self, points=jnp.pad(jnp.asarray(self.points, float), ((0, missing), (0, 0))))
        key = jax.random.key(jnp.asarray(self.data_seed, jnp.uint32))

        def draw(k: Any, points: Any) -> Any:
            x = self._fresh(
                jax.random.fold_in(key, k), DRAWN
            )  # a key of their own: a longer set begins with the same points
            return jax.lax.dynamic_update_slice_in_dim(points, x.T, k * DRAWN, 0)

        empty = jnp.zeros((n_drawn * DRAWN, self.n_features), float)
        size = jnp.asarray(self.most_points if self.n_points is None else self.n_points)
        needed = (_largest(size.astype(jnp.int32)) + DRAWN - 1) // DRAWN
        return replace(self, points=jax.lax.fori_loop(0, needed, draw, empty))

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

    def expected_loss(self, model: ToyModel) -> None:
        """None: normalised points have no series here, fresh ones must estimate it."""
        return None

    def training_defaults(self) -> dict[str, Any]:
        """The paper's 50,000 steps of Adam with its usual memories, at a learning rate of 0.001."""
        return {"steps": 50_000, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """Fields of this and of `TrainConfig` that have no effect given the others, each with why."""
        found = {"batch_size": "training is full batch"}
        return found if self.points is None else found | {"data_seed": "points are given"}

    def elements_per_step(self, batch_size: int) -> int:
        """A sixteenth of the largest set: points are not drawn at every step, and most sets of a sweep are far smaller."""
        return self.n_features * -(-self.most_points // 16)

    def _fresh(self, key: PRNGKeyArray, count: int) -> Float[Array, "n_features count"]:
        x = self.features.sample(key, count)
        norm = jnp.sqrt(jnp.sum(jnp.square(x), axis=0, keepdims=True))
        return x / jnp.where(norm > 0, norm, 1)


@jax.custom_batching.custom_vmap
def _largest(size: Any) -> Any:
    """The size, or the largest of a block: the number of points to draw is one for all, so that the loop is a plain one."""
    return size


@_largest.def_vmap
def _(axis_size: int, batched: list[bool], size: Any) -> tuple[Any, bool]:
    return jnp.max(size), False


@jax.custom_vjp
def points_loss(
    W: Float[Array, "n_hidden n_features"], b: Float[Array, " n_features"], points: Points, n_points: Float[Array, ""]
) -> Float[Array, ""]:
    r"""$\frac1T \sum_{j \le T} \|\mathrm{ReLU}(W^\top W x_j + b) - x_j\|_2^2$ for the first T = `n_points` rows.

    The number of rows is a multiple of `DRAWN`. Only tiles that hold one of the T points are gone through, in the forward
    pass, which finds the gradient for W and b as well (as reverse mode could not, the length of the loops being data).
    `points` and `n_points` have no gradient: it is 0.
    """
    return _loss_and_gradient(W, b, points, n_points)[0]


@jax.custom_batching.custom_vmap
def _loss_and_gradient(W: Any, b: Any, points: Any, n_points: Any) -> tuple[Any, Any, Any]:
    return _of_one(W, b, points[None], jnp.int32(0), n_points)


# In a block one model follows another, each to its own T, in the program of one: together all would wait for the largest.
@_loss_and_gradient.def_vmap
def _(axis_size: int, batched: list[bool], *arguments: Any) -> tuple[Any, Any]:
    W, b, points, n_points = (
        leaf if is_batched else jnp.broadcast_to(leaf, (axis_size, *leaf.shape))
        for leaf, is_batched in zip(arguments, batched, strict=True)
    )
    # Points are looked up in the loop over tiles: a loop over models would copy the whole set of each at every step.
    each = (W, b, jnp.arange(axis_size, dtype=jnp.int32), n_points)
    found = jax.lax.map(lambda one: _of_one(one[0], one[1], points, one[2], one[3]), each)
    return found, (True, True, True)


def _of_one(W: Any, b: Any, sets: Any, which: Any, n_points: Any) -> tuple[Any, Any, Any]:
    count = n_points.astype(jnp.int32)
    decoder = jnp.concatenate([b[None], W])  # the bias is a hidden unit that is always 1

    def add(start: Any, size: int, sums: Any) -> Any:
        loss, decoding, encoding = sums
        counted = start + jnp.arange(size) < count
        x = jax.lax.dynamic_slice(sets, (which, start, jnp.zeros_like(start)), (1, size, len(b)))[0]
        x = jnp.where(counted[:, None], x, 0)
        h = jnp.concatenate([counted[None].astype(W.dtype), _rows_times(W, x.T)])
        a = _combinations(h, decoder)  # 0 beyond T, and so is the error
        error = jnp.maximum(a, 0) - x
        to_a = jnp.where(a > 0, error, 0)  # half of dL/da
        to_h = _rows_times(W, to_a.T)
        return loss + jnp.vdot(error, error), decoding + _rows_times(h, to_a), encoding + _rows_times(to_h, x)

    sums: Any = (jnp.zeros((), W.dtype), jnp.zeros_like(decoder), jnp.zeros_like(W))
    done: Any = 0
    for size in (sizes := _tiles(*sets.shape[1:])):
        first, stop = done // size, (count if size > sizes[-1] else count + size - 1) // size
        sums = jax.lax.fori_loop(first, stop, lambda k, sums, size=size: add(k * size, size, sums), sums)
        done = stop * size
    loss, decoding, encoding = sums
    return loss / n_points, 2 * (decoding[1:] + encoding) / n_points, 2 * decoding[0] / n_points


def _tiles(most_points: int, n_features: int) -> list[int]:
    platform = jax.default_backend()
    *large, least = TILES.get(platform, TILES_ELSEWHERE)
    most = min(most_points, MAX_NUMBERS.get(platform, MAX_NUMBERS_ELSEWHERE) // n_features)
    return [*(size for size in large if size <= most), least]


def _rows_times(rows: Any, matrix: Any) -> Any:
    """A product of matrices, one row of the first at a time if they are few: XLA is three times as fast at vectors then."""
    dot = partial(jnp.dot, precision=FULL_PRECISION)
    return jnp.stack([dot(row, matrix) for row in rows]) if len(rows) <= FEW else dot(rows, matrix)


def _combinations(coefficients: Any, rows: Any) -> Any:
    """The product of the first transposed and the second; of few rows an elementwise sum, which fuses with what follows."""
    if len(rows) > FEW:
        return jnp.dot(coefficients.T, rows, precision=FULL_PRECISION)
    return sum(jnp.outer(*pair) for pair in zip(coefficients, rows, strict=True))


def _forward(W: Any, b: Any, points: Any, n_points: Any) -> tuple[Any, Any]:
    loss, to_W, to_b = _loss_and_gradient(W, b, points, n_points)
    return loss, (to_W, to_b, points, n_points)


def _backward(found: Any, scale: Any) -> tuple[Any, Any, Any, Any]:
    to_W, to_b, points, n_points = found
    return scale * to_W, scale * to_b, jnp.zeros_like(points), jnp.zeros_like(n_points)


points_loss.defvjp(_forward, _backward)
