"""Pairwise logic of sparse bits: every AND, or every OR, through one hidden layer of too few neurons."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import PerFeature, Scalar
from superpos.data import MAX_FEATURES, FeatureDistribution
from superpos.errors import ConfigError
from superpos.models.boolean import BooleanModel
from superpos.models.toy import FULL_PRECISION
from superpos.tasks import one_layer
from superpos.tasks.base import Metrics, Task
from superpos.tasks.registry import register
from superpos.theory import boolean as theory

# Up to so many bits all their 2ⁿ states are gone through instead of held-out inputs.
MAX_ENUMERATED = 10
MAX_PAIRED = 10_000


@register("boolean_pairs")
@dataclass(frozen=True, kw_only=True)
class BooleanPairs(Task):
    r"""Compute one logical gate of every pair of features with fewer neurons than gates.

    $$L = \frac1N \sum_{(i, j)} E\,|g(x_i, x_j) - y'_{ij}|^q, \qquad y' = W_2\, \mathrm{ReLU}(W_1 x + b_1) + b_2,$$

    the mean over batch and the N gates. Bits $x_i$ are independent and 1 with probability `feature_probability`; $g$ =
    `operation` is `"and"` or `"or"`, $q$ = `loss_exponent`. Gates are all n (n − 1)/2 pairs i < j, or, with `n_pairs` > 0,
    the first so many of them in a random order that `pair_seed` fixes.

    `baseline` is the loss of the naive network: a neuron each for as many gates as there are neurons, the best constant for
    the others; `naive` is that network. `linear_control` also lets neurons pass features on and reads gates off them: two
    features tell most of OR without any computation. The loss of a trained model is exact up to 10 features, all states being
    gone through; with more it is measured on held-out inputs.

    Fields that may be swept without recompiling: `feature_probability` (a scalar, or one value per feature), `init_scale`.

    Hänni, Mendel, Vaintrob and Chan 2024, "Mathematical Models of Computation in Superposition" (the task); Newgas 2025,
    arXiv 2507.09816 (what training finds).
    """

    n_features: int = jax.tree.static()  # shape of W1
    n_hidden: int = jax.tree.static()  # shape of W1
    feature_probability: PerFeature = 0.5  # P(x_i = 1) = 1 - sparsity; scalar or (n_features,)
    init_scale: Scalar = 1.0
    operation: str = jax.tree.static(default="and")  # chooses code
    n_pairs: int = jax.tree.static(default=0)  # shape of W2; 0: all pairs
    pair_seed: int = jax.tree.static(default=0)  # which pairs
    loss_exponent: int = jax.tree.static(default=2)  # a static power is products; a traced one needs logarithms

    @property
    def features(self) -> FeatureDistribution:
        """Where the inputs come from: an active feature is 1."""
        return one_layer.features_of(self, magnitude="constant")

    def pairs(self) -> np.ndarray:
        """The two features of every gate, (n_gates, 2)."""
        every = np.stack(np.triu_indices(self.n_features, 1), 1)
        if not self.n_pairs:
            return every
        return every[np.random.default_rng(self.pair_seed).permutation(len(every))[: self.n_pairs]]

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.integer("n_features", self.n_features, at_least=2, at_most=MAX_PAIRED)
        check.integer("n_hidden", self.n_hidden, at_least=1, at_most=MAX_FEATURES)
        check.integer("n_pairs", self.n_pairs)
        check.integer("pair_seed", self.pair_seed)
        n = int(self.n_features)
        every = n * (n - 1) // 2
        if self.n_pairs > every:
            raise ConfigError(f"n_pairs must be at most {every}, the pairs of {n} features, got {self.n_pairs}.")
        gates = int(self.n_pairs) or every
        check.integer("n_hidden × number of pairs", int(self.n_hidden) * gates, at_most=one_layer.MAX_WEIGHTS)
        check.one_of("operation", self.operation, theory.OPERATIONS)
        check.integer("loss_exponent", self.loss_exponent, at_least=2, at_most=8)
        check.vector("feature_probability", self.feature_probability, self.n_features)
        check.scalar("init_scale", self.init_scale)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        self.features.check()
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    def broadcast(self) -> "BooleanPairs":
        """The same task with every numeric field an array of its full shape."""
        return replace(
            self, feature_probability=self.features.probabilities, init_scale=jnp.asarray(self.init_scale, float)
        )

    def init(self, key: PRNGKeyArray) -> BooleanModel:
        """A new model: Xavier-normal weights of this one model, `W1` times `init_scale`; biases treat 0 and 1 alike.

        Neurons bend at x = 1/2, and b2 is the rate of every gate. OR is AND with 0 and 1 exchanged in bits and gates, and
        at p = 1/2 the two then train alike; zero biases would favour AND.
        """
        N, m, n = len(self.pairs()), self.n_hidden, self.n_features
        W1 = self.init_scale * jnp.sqrt(2.0 / (n + m)) * jax.random.normal(key, (m, n), float)
        W2 = jnp.sqrt(2.0 / (N + m)) * jax.random.normal(jax.random.fold_in(key, 1), (N, m), float)
        p = self.features.probabilities
        rates = theory.gate_rates(self.pairs(), p, self.operation)
        return BooleanModel(W1, -jnp.sum(W1, axis=1) / 2, W2, rates)

    def gates(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_pairs *batch"]:
        """What is asked for, of one input or of a batch of them as columns."""
        first, second = self.pairs().T
        a, b = x[first], x[second]
        return a * b if self.operation == "and" else jnp.maximum(a, b)

    def loss(self, model: BooleanModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """The error on a fresh batch, the mean over batch and gates."""
        x = self.features.sample(key, batch_size)
        return jnp.mean(one_layer.power(model(x) - self.gates(x), self.loss_exponent)), {}

    def expected_loss(self, model: BooleanModel) -> Float[Array, ""] | None:
        """The mean over all 2ⁿ states, each with its probability; None where there are too many of them."""
        return None if self.n_features > MAX_ENUMERATED else jnp.mean(self.error_per_gate(model))

    def error_per_gate(self, model: BooleanModel) -> Float[Array, " n_pairs"]:
        """The exact error of every gate, from all 2ⁿ states."""
        check.integer("n_features of an exact error", self.n_features, at_most=MAX_ENUMERATED)
        x = jnp.asarray((np.arange(2**self.n_features) >> np.arange(self.n_features)[:, None]) & 1, float)
        p = self.features.probabilities[:, None]
        chance = jnp.prod(jnp.where(x > 0, p, 1 - p), axis=0)
        return jnp.dot(one_layer.power(model(x) - self.gates(x), self.loss_exponent), chance, precision=FULL_PRECISION)

    def baseline(self) -> theory.NaiveBaseline:
        """The naive baseline in closed form, in the units of `loss`."""
        return theory.boolean_baseline(*self._solved_by_hand())

    def linear_control(self) -> theory.LinearControl:
        """The best of neurons that pass a feature on or serve one gate, with affine readout, in the units of `loss`."""
        return theory.linear_control(*self._solved_by_hand())

    def rank_bound(self) -> float:
        """What no model can fall below, for a squared error; in the units of `loss`. 0 for other exponents."""
        m, pairs, p, operation, exponent = self._solved_by_hand()
        return theory.rank_bound(m, pairs, p, operation) if exponent == 2 else 0.0

    def _solved_by_hand(self) -> Any:
        p = np.broadcast_to(np.asarray(self.feature_probability, float), (self.n_features,))
        return self.n_hidden, self.pairs(), p, self.operation, self.loss_exponent

    def naive(self) -> BooleanModel:
        """The naive baseline as a model."""
        _, pairs, p, operation, exponent = self._solved_by_hand()
        solved = np.flatnonzero(self.baseline().solved)
        neurons = np.arange(len(solved))
        sign = 1.0 if operation == "and" else -1.0
        W1, b1, W2 = (
            np.zeros((self.n_hidden, self.n_features)),
            np.zeros(self.n_hidden),
            np.zeros((len(pairs), self.n_hidden)),
        )
        W1[neurons[:, None], pairs[solved]] = sign
        b1[neurons] = -sign
        W2[solved, neurons] = sign
        b2 = theory.best_constant(theory.gate_rates(pairs, p, operation), exponent)
        b2[solved] = 0 if operation == "and" else 1
        return BooleanModel(*(jnp.asarray(w, float) for w in (W1, b1, W2, b2)))

    def training_defaults(self) -> dict[str, Any]:
        """5,000 steps of Adam with its usual memories, at a learning rate of 0.003."""
        return {"steps": 5_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """Fields of this and of `TrainConfig` that have no effect given the others, each with why."""
        fields = {} if self.n_pairs else {"pair_seed": "all pairs are gates, in their own order"}
        if self.n_features <= MAX_ENUMERATED:
            fields["evaluation_samples"] = "the loss of the trained model is computed, not sampled"
        return fields

    def elements_per_step(self, batch_size: int) -> int:
        """The batch at the widest of the three layers."""
        return max(self.n_features, self.n_hidden, len(self.pairs())) * batch_size
