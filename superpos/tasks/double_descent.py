"""Memorise a fixed set of points, or learn the features they are made of."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import OptionalScalar, PerFeature, Scalar, Table
from superpos.data import MAX_FEATURES, FeatureDistribution
from superpos.errors import ConfigError
from superpos.models.points_loss import DRAWN, largest_in_block, points_loss
from superpos.models.toy import ToyModel
from superpos.tasks.base import Metrics, Task
from superpos.tasks.one_layer import MAX_WEIGHTS, features_of, initial_std
from superpos.tasks.registry import register


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
    n_points: OptionalScalar = None  # T; None is most_points
    feature_probability: PerFeature = 0.01  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    data_seed: Scalar = 0
    init_scale: Scalar = 1.0
    points: Table = None  # (most_points, n_features) in rows, used as they are; None draws them

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
            if tuple(np.shape(self.points)) != (shape := (self.most_points, self.n_features)):
                raise ConfigError(
                    f"points must have shape (most_points, n_features) = {shape}, got {tuple(np.shape(self.points))}."
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
            if value is None or arrays.is_traced(value):
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
        n_drawn = math.ceil(self.most_points / DRAWN)
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
        needed = (largest_in_block(size.astype(jnp.int32)) + DRAWN - 1) // DRAWN
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
        """L on the first T points; of a task that is precomputed. Nothing is random here."""
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
        fields = {"batch_size": "training is full batch"}
        return fields if self.points is None else fields | {"data_seed": "points are given"}

    def elements_per_step(self, batch_size: int) -> int:
        """A sixteenth of the largest set: points are not drawn at every step, and most sets of a sweep are far smaller."""
        return self.n_features * math.ceil(self.most_points / 16)

    def _fresh(self, key: PRNGKeyArray, count: int) -> Float[Array, "n_features count"]:
        x = self.features.sample(key, count)
        norm = jnp.sqrt(jnp.sum(jnp.square(x), axis=0, keepdims=True))
        return x / jnp.where(norm > 0, norm, 1)
