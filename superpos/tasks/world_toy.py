"""The toy model in a world of any kind: with a latent position, of documents, correlated, with magnitudes of every law."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import OptionalScalar, PerFeature
from superpos.data import magnitudes
from superpos.data.worlds import NUMBERS
from superpos.errors import ConfigError
from superpos.models.toy import ToyModel
from superpos.tasks.objectives import objective_of
from superpos.tasks.registry import register
from superpos.tasks.toy import Toy

# Terms of the series where magnitudes may put inputs right on the kink of ReLU.
TERMS_OF_VALUES = 128


@register("world_toy")
@dataclass(frozen=True, kw_only=True)
class WorldToy(Toy):
    r"""The toy model of superposition on features that come together, and that are as large as one says.

    Model and loss are those of `Toy`. The inputs are those of `FeatureDistribution` with a `world`: feature i has a place
    on the circle, figure-eight, sphere or line, and is active with probability $\sigma(s\,\kappa(z, c_i) + \ell)$ at the
    position z (`superpos.data.worlds`). Such features interfere constructively: a linear model in the plane lays them
    around a ring, in the order in which the data has them. Or inputs are the rows of a table of one's own
    (`world="documents"`, `superpos.data.documents`). With a share `held_out` of the rows, the loss of a trained model is
    that on the documents that were held out. Or exactly `n_active` features are active in every input
    (`world="fixed_number"`, `superpos.data.fixed_number`).

    With `world=None` features are as likely as `feature_probability` says, independent or in sets as those of `Toy`, in
    trees (`parents`) or correlated (`correlation`, `correlation_matrix`, `correlation_factor`: `superpos.data.correlation`).
    In every world magnitudes may follow any law (`superpos.data.magnitudes`).

    With `n_used` = k a model begins in the first k of its `n_hidden` dimensions. All other rows of W are 0 and stay 0, since
    $\partial L / \partial W_{a\cdot}$ has the factor $W_{a\cdot}$. So it is a model with k hidden dimensions, and models
    of many sizes share one compilation. The first weights have the standard deviation that k dimensions have. Weights that
    are given to a training begin as they are.

    Fields that may be swept without recompiling: those of `Toy` (but `feature_probability` where a world decides);
    `sharpness`, `log_odds`, `noise`, `n_active`, `n_used`, `correlation`, and the numbers of magnitudes. Tables (`logits`,
    `documents`, `correlation_matrix`, `correlation_factor`, `magnitude_values`, `magnitude_weights`) are no axes of a grid,
    but a new one of the same shape compiles nothing. The expected loss is known for linear models
    (`activation="identity"`); of ReLU models where features are independent or in sets and their magnitudes uniform on an
    interval or discrete. Others train on samples.

    >>> task = sp.tasks.WorldToy(n_features=12, n_hidden=2, world="circle", sharpness=5, log_odds=-2)
    >>> round(float(task.features.probabilities[0]), 4)
    0.3567
    """

    NAMES: ClassVar[dict[str, str]] = Toy.NAMES | {
        "log_odds": "log-odds",
        "held_out": "held-out share",
        "n_used": "hidden dimensions used",
        "n_active": "number of active features",
    }
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = (*Toy.ALWAYS_SAID, "world", *NUMBERS)
    UNSAID: ClassVar[tuple[str, ...]] = (*Toy.UNSAID, "exclusive_children", "part")

    world: str | None = jax.tree.static(default="circle")  # chooses code
    sharpness: OptionalScalar = None  # how much being near raises the log-odds of a feature
    log_odds: OptionalScalar = None  # half-way between near and far
    noise: OptionalScalar = None  # of the log-odds; None costs nothing
    logits: Any = None  # (positions, n_features), for world="logits"
    documents: Any = None  # (documents, n_features), for world="documents"
    held_out: float = jax.tree.static(default=0.0)  # share of documents; number of rows
    part: str = jax.tree.static(default="training")  # which rows
    magnitude: str | tuple[str, ...] = jax.tree.static(default="uniform")  # chooses code
    magnitude_low: PerFeature | None = None
    magnitude_high: PerFeature | None = None
    magnitude_value: PerFeature | None = None
    magnitude_rate: PerFeature | None = None
    magnitude_mean: PerFeature | None = None
    magnitude_std: PerFeature | None = None
    magnitude_values: Any = None  # (values,) or (n_features, values)
    magnitude_weights: Any = None  # of the same shape, or (values,)
    correlation: PerFeature | None = None
    correlation_matrix: Any = None  # (n_features, n_features)
    correlation_factor: Any = None  # (n_features, factors)
    parents: tuple[int, ...] = jax.tree.static(default=())  # index structure
    exclusive_children: bool = jax.tree.static(default=False)  # chooses code
    scale_by_parent: bool = jax.tree.static(default=False)  # chooses code
    n_used: OptionalScalar = None  # of the n_hidden dimensions; None is all of them
    n_active: OptionalScalar = None  # features active in every input, for world="fixed_number"

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        for field in ("n_used", "n_active"):
            if getattr(self, field) is not None:
                check.scalar(field, getattr(self, field))
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

    @property
    def terms(self) -> int:
        """Length of the series: `order`, or what suits the sizes and the magnitudes."""
        in_values = not magnitudes.is_plain(self) and {"constant", "discrete"} & {*magnitudes.laws_of(self)}
        return max(super().terms, TERMS_OF_VALUES) if in_values and self.order is None else super().terms

    def evaluation_task(self) -> Toy:
        """The task whose loss is reported after training: without penalty, on documents that were held out if any were."""
        return replace(super().evaluation_task(), part="held_out" if self.held_out else self.part)

    def expected_loss(self, model: ToyModel) -> Float[Array, ""] | None:
        """The loss without sampling and penalty where it is known, of documents that were held out if any were."""
        return objective_of(self.evaluation_task()).expected_loss(model)

    @classmethod
    def describe(cls, settings: Mapping[str, Any], swept: set[str]) -> list[str]:
        """The task in words, without numbers that the world does not have."""
        absent = {"world", *NUMBERS} - swept
        if "world" not in swept and settings.get("world") is not None:  # which says how likely each is
            settings = {k: v for k, v in settings.items() if k != "feature_probability"}
        return super().describe({k: v for k, v in settings.items() if v is not None or k not in absent}, swept)
