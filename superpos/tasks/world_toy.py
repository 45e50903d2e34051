"""The toy model in a world with a latent position, whose features come together by where one is."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import OptionalScalar
from superpos.data.worlds import NUMBERS
from superpos.errors import ConfigError
from superpos.models.toy import ToyModel
from superpos.tasks.registry import register
from superpos.tasks.toy import Toy


@register("world_toy")
@dataclass(frozen=True, kw_only=True)
class WorldToy(Toy):
    r"""The toy model of superposition on features that are likely by where one is on a manifold.

    Model and loss are those of `Toy`. The inputs are those of `FeatureDistribution` with a `world`: feature i has a place
    on the circle, figure-eight, sphere or line, and is active with probability $\sigma(s\,\kappa(z, c_i) + \ell)$ at the
    position z (`superpos.data.worlds`). Such features interfere constructively: a linear model in the plane lays them
    around a ring, in the order in which the data has them.

    With `n_used` = k a model begins in the first k of its `n_hidden` dimensions. All other rows of W are 0 and stay 0, since
    $\partial L / \partial W_{a\cdot}$ has the factor $W_{a\cdot}$. So it is a model with k hidden dimensions, and models
    of many sizes share one compilation. The first weights have the standard deviation that k dimensions have. Weights that
    are given to a training begin as they are.

    Fields that may be swept without recompiling: those of `Toy` but `feature_probability`, which the world decides;
    `sharpness`, `log_odds`, `noise`, `logits` and `n_used`. The expected loss is known for linear models
    (`activation="identity"`); ReLU models train on samples.

    >>> task = sp.tasks.WorldToy(n_features=12, n_hidden=2, world="circle", sharpness=5, log_odds=-2)
    >>> round(float(task.features.probabilities[0]), 4)
    0.3567
    """

    NAMES: ClassVar[dict[str, str]] = Toy.NAMES | {"log_odds": "log-odds", "n_used": "hidden dimensions used"}
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = (*Toy.ALWAYS_SAID, "world", *NUMBERS)

    world: str = jax.tree.static(default="circle")  # chooses code
    sharpness: OptionalScalar = None  # how much being near raises the log-odds of a feature
    log_odds: OptionalScalar = None  # half-way between near and far
    noise: OptionalScalar = None  # of the log-odds; None costs nothing
    logits: Any = None  # (positions, n_features), for world="logits"
    n_used: OptionalScalar = None  # of the n_hidden dimensions; None is all of them

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        if self.n_used is not None:
            check.scalar("n_used", self.n_used)
        super().check()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        super().check_values()
        if self.n_used is None or arrays.is_traced(self.n_used):
            return
        check.in_range("n_used", self.n_used, at_least=1, at_most=self.n_hidden)
        if np.any(np.asarray(self.n_used) % 1):
            raise ConfigError(f"n_used must be a whole number of dimensions, got {check.short(self.n_used)}.")

    def init(self, key: PRNGKeyArray) -> ToyModel:
        """A new model, as that of `Toy`; only the first `n_used` rows of W are not 0."""
        model = super().init(key)
        if self.n_used is None:
            return model
        std_ratio = jnp.sqrt((self.n_features + self.n_hidden) / (self.n_features + self.n_used))
        is_used = jnp.arange(self.n_hidden) < self.n_used
        W = jnp.where(is_used[:, None], std_ratio * model.W[...], 0)
        return ToyModel(W, model.b, activation=self.activation)
