"""Compressed computation: more ReLU functions than neurons, with and without noise in the labels."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import PerFeature, Scalar
from superpos.data import MAX_FEATURES, FeatureDistribution
from superpos.models import residual_mlp
from superpos.models.toy import FULL_PRECISION
from superpos.tasks import one_layer
from superpos.tasks.base import Metrics, Task
from superpos.tasks.registry import register
from superpos.theory.naive import magnitudes, naive_baseline


@register("residual_mlp")
@dataclass(frozen=True, kw_only=True)
class ResidualMLP(Task):
    r"""Compute $y_i = x_i + \mathrm{ReLU}(x_i)$ for every feature with a hidden layer of too few neurons.

    $$L = \frac1n \sum_i I_i \, E\,|y_i + \lambda (Mx)_i - y'_i|^q$$

    with the model of `superpos.models.ResidualMLP`, the mean over batch and features; $q$ = `loss_exponent`, $I$ =
    `importance`. Labels may be noisy in two ways:

    * `label_noise` = λ: M is Gaussian with entries of variance 1 and diagonal 0, drawn once from `embedding_seed`; 0 is off.
    * `n_residual` > 0: features are random unit directions of a residual stream of so many dimensions. They overlap, and
      since the stream carries x through unchanged, what the hidden layer is asked for is
      $\mathrm{ReLU}(x) - (W_E^\top W_E - I)x$: label noise of about 1/√n_residual. At n_residual = 0 there is none.

    With n = 100, m = 50 and squared error the published model beats 50 exactly computed features only by this noise.

    The loss of a trained model is measured on held-out inputs, the same for all models of a density. `naive` is the
    baseline. Fields that may be swept without recompiling: `feature_probability`, `importance`, `init_scale`, `label_noise`.

    Braun et al. 2025, "Interpretability in Parameter Space" (the model); Bhagat et al. 2026, "Compressed Computation is
    (probably) not Computation in Superposition" (the noise).
    """

    n_features: int = jax.tree.static()  # shape of x
    n_hidden: int = jax.tree.static()  # shape of W_in
    n_residual: int = jax.tree.static(default=0)  # shape of W_in; 0: features are the dimensions
    feature_probability: PerFeature = 1.0  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    importance: PerFeature = 1.0  # scalar or (n_features,)
    init_scale: Scalar = 1.0
    label_noise: Scalar = 0.0
    loss_exponent: int = jax.tree.static(default=2)  # a static power is products; a traced one needs logarithms
    magnitude: str = jax.tree.static(default="signed_uniform")  # chooses code
    embedding_seed: int = jax.tree.static(default=0)  # which fixed matrices

    @property
    def features(self) -> FeatureDistribution:
        """Where the inputs come from."""
        return one_layer.features_of(self)

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        one_layer.check_settings(self)
        check.integer("n_residual", self.n_residual, at_most=MAX_FEATURES)
        width = max(int(self.n_residual), 1)
        check.integer("n_residual × n_hidden", width * int(self.n_hidden), at_most=one_layer.MAX_WEIGHTS)
        check.integer("n_residual × n_features", width * int(self.n_features), at_most=one_layer.MAX_WEIGHTS)
        check.integer("embedding_seed", self.embedding_seed)
        check.scalar("label_noise", self.label_noise)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        one_layer.check_numbers(self)
        check.in_range("label_noise", self.label_noise, at_least=0, at_most=100)

    def broadcast(self) -> "ResidualMLP":
        """The same task with every numeric field an array of its full shape."""
        return one_layer.broadcast(self)

    def init(self, key: PRNGKeyArray) -> residual_mlp.ResidualMLP:
        """A new model: Xavier-normal weights of this one model times `init_scale`."""
        width = self.n_residual or self.n_features
        std = self.init_scale * jnp.sqrt(2.0 / (width + self.n_hidden))
        W_in = std * jax.random.normal(key, (self.n_hidden, width), float)
        W_out = std * jax.random.normal(jax.random.fold_in(key, 1), (width, self.n_hidden), float)
        sizes = {"n_features": self.n_features, "n_residual": self.n_residual, "embedding_seed": self.embedding_seed}
        return residual_mlp.ResidualMLP(W_in, W_out, **sizes)

    def loss(
        self, model: residual_mlp.ResidualMLP, key: PRNGKeyArray, batch_size: int
    ) -> tuple[Float[Array, ""], Metrics]:
        """Importance-weighted error on a fresh batch, the mean over batch and features."""
        x = self.features.sample(key, batch_size)
        with jax.ensure_compile_time_eval():  # constants of the program, not drawn anew at every step
            W_E = model.embedding()
        # Without the x that the stream carries and the label wants, which would only cost digits.
        return one_layer.weighted_error(self, model.hidden_part(x, W_E) - self.asked_of_neurons(x)), {}

    def asked_of_neurons(self, x: Float[Array, "n_features batch"]) -> Float[Array, "n_features batch"]:
        """What the hidden layer has to add to the stream, ReLU(x) with the noise of the labels."""
        with jax.ensure_compile_time_eval():
            W_E = residual_mlp.embedding(self.n_residual, self.n_features, self.embedding_seed)
            seen = None if W_E is None else residual_mlp.overlaps(W_E)
            M = self.mixing()
        noise = self.label_noise * M
        if seen is not None:
            noise = noise - seen
        return jax.nn.relu(x) + jnp.dot(noise, x, precision=FULL_PRECISION)

    def mixing(self) -> Float[Array, "n_features n_features"]:
        """The fixed matrix M of the label noise: Gaussian entries of variance 1, diagonal 0."""
        key = jax.random.fold_in(jax.random.key(self.embedding_seed), 1)
        return jnp.fill_diagonal(jax.random.normal(key, (self.n_features, self.n_features), float), 0.0, inplace=False)

    def naive(self) -> residual_mlp.ResidualMLP:
        """The naive baseline as a model: one neuron for each of the features that matter most, the others ignored.

        Without noise it costs the ignored features' importance × p E ReLU(x)^q: for unit importance and magnitudes uniform
        on [−1, 1], (n − m)/n · p / (2 (q + 1)). Features that overlap are told apart by the pseudoinverse of the embedding.
        """
        size = magnitudes(self.magnitude)
        ignored = np.asarray(self.features.probabilities) * (size.w @ np.maximum(size.x, 0) ** self.loss_exponent)
        chosen = np.flatnonzero(naive_baseline(self.n_hidden, ignored, importance=self.importance).solved)
        read = np.zeros((self.n_hidden, self.n_features))
        read[np.arange(len(chosen)), chosen] = 1
        W_E = residual_mlp.embedding(self.n_residual, self.n_features, self.embedding_seed)
        back = np.eye(self.n_features) if W_E is None else np.linalg.pinv(np.asarray(W_E, np.float64))
        weights = (jnp.asarray(W, float) for W in (read @ back, back.T @ read.T))
        sizes = {"n_features": self.n_features, "n_residual": self.n_residual, "embedding_seed": self.embedding_seed}
        return residual_mlp.ResidualMLP(*weights, **sizes)

    def expected_loss(self, model: residual_mlp.ResidualMLP) -> None:
        """None: held-out inputs must estimate it, a hidden ReLU has no series here."""
        return None

    def training_defaults(self) -> dict[str, Any]:
        """10,000 steps of Adam with its usual memories, at a learning rate of 0.003."""
        return {"steps": 10_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why. `label_noise` may have an axis of cells."""
        noisy = arrays.is_traced(self.label_noise) or bool(np.any(np.asarray(self.label_noise)))
        return {} if noisy or self.n_residual else {"embedding_seed": "there is neither an embedding nor label noise"}

    def elements_per_step(self, batch_size: int) -> int:
        """The batch at the wider of the two layers, or the weights where the stream is wider still."""
        return max(max(self.n_features, self.n_hidden) * batch_size, self.n_residual * self.n_hidden)
