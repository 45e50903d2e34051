"""Compute fewer outputs than features: each a mixture of the absolute values of many."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import Scalar, Table
from superpos.data import MAX_FEATURES, FeatureDistribution
from superpos.data.directions import random_directions
from superpos.errors import ConfigError
from superpos.models.mixed import MixedModel
from superpos.models.toy import FULL_PRECISION
from superpos.tasks.base import Metrics, Task
from superpos.tasks.one_layer import MAX_WEIGHTS
from superpos.tasks.registry import register
from superpos.theory.mixed import MixedBaseline, mixed_baseline

MIXINGS = ("directions", "groups")


@register("mixed_computation")
@dataclass(frozen=True, kw_only=True)
class MixedComputation(Task):
    r"""Compute $y = M|x|$, K = `n_outputs` fixed mixtures of n = `n_features` absolute values, with m hidden neurons.

    $$L = \frac1K\, E\,\|y - y'\|^2, \qquad y' = W_2\, \mathrm{ReLU}(W_1 x) + b,$$

    the mean over batch and outputs. Features are independent, active with probability `feature_probability` and then
    uniform on [−1, 1]. What the outputs are functions of is known: the intermediate features |x_i|, of which there may be
    many more than outputs. M has shape (K, n), and its columns, the codes of features, have length 1:

    * `mixing="directions"`: every feature has a random direction of its own, drawn from `mixing_seed`.
    * `mixing="groups"`: output k is the sum of |x_i| over the k-th group of n / K neighbouring features.

    A `matrix` of one's own is used as it is; `mixing` and `mixing_seed` then have no effect.

    2n neurons compute every |x_i| from two each, and n + 2K suffice: see `superpos.theory.mixed_baseline`, whose loss
    `baseline` returns. Where features are so sparse that one at a time is active, sums of features can take the place of
    features: $|\sum_{i \in \mathrm{group}} x_i|$ serves a group with two neurons. Outputs of any sign then need two such
    sums each, of the features with a positive and with a negative weight.

    Initial weights are normal with the Xavier standard deviation of their layer, √(2 / (inputs + outputs)), times
    `init_scale`; b starts at 0. There is no bias on the hidden layer. The loss of a trained model is measured on held-out
    inputs.

    Fields that may be swept without recompiling: `feature_probability`, `mixing_seed` and `init_scale`, one number each.

    Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", 4.13.
    """

    SIZES: ClassVar[dict[str, str]] = {
        "n_features": "{} features",
        "n_hidden": "in {} hidden neurons",
        "n_outputs": "to {} outputs",
    }
    UNSAID: ClassVar[tuple[str, ...]] = ("mixing_seed", "matrix")

    n_features: int = jax.tree.static()  # shape of W1
    n_hidden: int = jax.tree.static()  # shape of W1
    n_outputs: int = jax.tree.static()  # shape of W2
    feature_probability: Scalar = 1.0  # P(x_i != 0) = 1 - sparsity
    mixing_seed: Scalar = 0  # which random directions
    init_scale: Scalar = 1.0
    mixing: str = jax.tree.static(default="directions")  # chooses code
    matrix: Table = None  # (n_outputs, n_features), used as it is; None makes it

    @property
    def features(self) -> FeatureDistribution:
        """Where the inputs come from."""
        return FeatureDistribution(
            n_features=self.n_features, feature_probability=self.feature_probability, magnitude="signed_uniform"
        )

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        for name in ("n_features", "n_hidden", "n_outputs"):
            check.integer(name, getattr(self, name), at_least=1, at_most=MAX_FEATURES)
        widest = max(int(self.n_features), int(self.n_outputs))
        check.integer("n_hidden × larger of n_features and n_outputs", int(self.n_hidden) * widest, at_most=MAX_WEIGHTS)
        check.integer("n_features × n_outputs", int(self.n_features) * int(self.n_outputs), at_most=MAX_WEIGHTS)
        check.one_of("mixing", self.mixing, MIXINGS)
        if self.mixing == "groups" and self.n_features % self.n_outputs:
            raise ConfigError(
                f'n_features must be a multiple of n_outputs = {self.n_outputs} for mixing="groups", got {self.n_features}.'
            )
        for name in ("feature_probability", "mixing_seed", "init_scale"):
            check.scalar(name, getattr(self, name))
        if self.matrix is not None:
            check.finite_array("matrix", self.matrix)
            if tuple(np.shape(self.matrix)) != (shape := (self.n_outputs, self.n_features)):
                raise ConfigError(
                    f"matrix must have shape (n_outputs, n_features) = {shape}, got {tuple(np.shape(self.matrix))}."
                )
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        check.in_range("feature_probability", self.feature_probability, above=0, at_most=1)
        check.in_range("mixing_seed", self.mixing_seed, at_least=0, at_most=2**24)
        check.whole_numbers("mixing_seed", self.mixing_seed)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    def precompute(self) -> "MixedComputation":
        """The task with its matrix M, (n_outputs, n_features); needed before `loss`."""
        if self.matrix is not None:
            return self
        if self.mixing == "groups":
            of_one = self.n_features // self.n_outputs
            return replace(self, matrix=jnp.asarray(np.repeat(np.eye(self.n_outputs), of_one, axis=1), float))
        key = jax.random.key(jnp.asarray(self.mixing_seed, jnp.uint32))
        return replace(self, matrix=random_directions(key, self.n_outputs, self.n_features))

    def init(self, key: PRNGKeyArray) -> MixedModel:
        """A new model: Xavier-normal weights, zero bias."""
        n, m, outputs = self.n_features, self.n_hidden, self.n_outputs
        W1, W2 = (
            self.init_scale * (2.0 / sum(shape)) ** 0.5 * jax.random.normal(jax.random.fold_in(key, k), shape, float)
            for k, shape in enumerate(((m, n), (outputs, m)))
        )
        return MixedModel(W1, W2, jnp.zeros(outputs, float))

    def outputs(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_outputs *batch"]:
        """What is asked for, of one input or of a batch of them as columns."""
        M = jnp.asarray(self.precompute().matrix)
        return jnp.dot(M, jnp.abs(x), precision=FULL_PRECISION)

    def loss(self, model: MixedModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """The squared error on a fresh batch, the mean over batch and outputs."""
        x = self.features.sample(key, batch_size)
        return jnp.mean(jnp.square(model(x) - self.outputs(x))), {}

    def baseline(self, *, shared_lines: bool = False) -> MixedBaseline:
        """The naive baseline in the units of `loss`, of whole features computed one by one; see `mixed_baseline`.

        Raises:
            ConfigError: feature_probability is no single number.
        """
        if arrays.is_traced(self.feature_probability) or np.ndim(self.feature_probability):
            raise ConfigError("feature_probability must be one number for a baseline.")
        M = np.asarray(self.precompute().matrix)
        return mixed_baseline(M, self.n_hidden, float(self.feature_probability), shared_lines=shared_lines)

    def training_defaults(self) -> dict[str, Any]:
        """5,000 steps of Adam with its usual memories, at a learning rate of 0.01."""
        return {"steps": 5_000, "learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why."""
        if self.matrix is not None:
            return {"mixing_seed": "matrix is given", "mixing": "matrix is given"}
        return {"mixing_seed": 'mixing is "groups"'} if self.mixing == "groups" else {}

    def elements_per_step(self, batch_size: int) -> int:
        """The batch at the wider of the two layers."""
        return max(self.n_features, self.n_hidden) * batch_size
