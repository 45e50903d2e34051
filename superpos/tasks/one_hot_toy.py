"""The toy model on one feature at a time, with room for all: features may share a neuron by chance alone."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import OptionalScalar, Scalar
from superpos.data import MAX_FEATURES
from superpos.data.hidden_noise import NOISES, unit_noise
from superpos.data.key_tags import HIDDEN_NOISE_TAG
from superpos.models.toy import ToyModel
from superpos.tasks.base import Metrics, Task
from superpos.tasks.objectives import penalised
from superpos.tasks.one_layer import MAX_WEIGHTS
from superpos.tasks.registry import register


@register("one_hot_toy")
@dataclass(frozen=True, kw_only=True)
class OneHotToy(Task):
    r"""Reconstruct the n standard basis vectors through m hidden neurons, usually $m \ge n$, with a price on activity.

    $$L = \frac1{n^2} \sum_{i=1}^n \|e_i - \mathrm{ReLU}(W^\top W e_i)\|^2, \qquad
    \text{minimised: } L + \frac{\lambda}{n^2} \sum_{ki} |W_{ki}|,$$

    the mean over features and over the n inputs, which are all in every step. λ = `hidden_l1` is in the
    units of the paper's loss, n² times this one; None is no penalty. There is no bias. Each hidden activation is one weight,
    $h_k = W_{ki}$, so the penalty makes every feature end on one neuron of its own choice, with either sign. Weights start
    normal with standard deviation `init_scale` / √m, so every feature starts with a length near 1.

    The paper's W is this one's transpose. It trains by gradient descent on its loss; the same steps here have n² times its
    learning rate (`optimizer="sgd"`).

    With `hidden_noise` = σ the hidden layer of every input is $W e_i + \sigma\varepsilon$, drawn anew at every step; None
    costs nothing, and then nothing is sampled. `noise_distribution` says what every $\varepsilon_k$ is, independent and of
    variance 1: `"normal"`, `"bipolar"` (±1 with equal chances) or `"laplace"`. Their excess kurtoses are 0, −2 and 3. Normal
    noise is the same in every basis of the hidden layer, so it privileges none. The reported loss is that without noise.

    Fields that may be swept without recompiling: `hidden_l1`, `init_scale` and `hidden_noise`.

    Lecomte, Thaman, Schaeffer, Bashkansky, Chow and Koyejo 2023, "What Causes Polysemanticity? An Alternative Origin Story of
    Mixed Selectivity from Incidental Causes": L1 penalty and noise in the hidden layer.
    """

    DATA: ClassVar[str | None] = "all {n_features} one-hot inputs in every step"
    NAMES: ClassVar[dict[str, str]] = {
        "hidden_l1": "hidden L1 penalty",
        "hidden_noise": "noise in the hidden layer",
    }

    n_features: int = jax.tree.static()  # shape of W
    n_hidden: int = jax.tree.static()  # shape of W
    hidden_l1: OptionalScalar = None  # weight of the sum of |W| beside the sum of squared errors
    init_scale: Scalar = 1.0
    hidden_noise: OptionalScalar = None  # standard deviation of the noise added to every hidden unit
    noise_distribution: str = jax.tree.static(default="normal")  # chooses code

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.integer("n_features", self.n_features, at_least=1, at_most=MAX_FEATURES)
        check.integer("n_hidden", self.n_hidden, at_least=1, at_most=MAX_FEATURES)
        n, m = int(self.n_features), int(self.n_hidden)
        check.integer("n_features × n_hidden", n * m, at_most=MAX_WEIGHTS)
        check.integer("n_features × n_features", n * n, at_most=MAX_WEIGHTS)  # all outputs of all inputs
        if self.hidden_l1 is not None:
            check.scalar("hidden_l1", self.hidden_l1)
        check.scalar("init_scale", self.init_scale)
        if self.hidden_noise is not None:
            check.scalar("hidden_noise", self.hidden_noise)
        check.one_of("noise_distribution", self.noise_distribution, tuple(NOISES))
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        if self.hidden_l1 is not None:
            check.in_range("hidden_l1", self.hidden_l1, at_least=0)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)
        if self.hidden_noise is not None:
            check.in_range("hidden_noise", self.hidden_noise, at_least=0, at_most=100)

    def init(self, key: PRNGKeyArray) -> ToyModel:
        """A new model: normal weights, so that each feature's squared length is `init_scale`² on average."""
        std = self.init_scale / jnp.sqrt(1.0 * self.n_hidden)
        return ToyModel(std * jax.random.normal(key, (self.n_hidden, self.n_features), float))

    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """L on all one-hot inputs, with fresh noise and the penalty; the batch size is not used."""
        x = jnp.eye(self.n_features)
        hidden = model.encode(x)
        seen = hidden
        if self.hidden_noise is not None:
            noise = unit_noise(jax.random.fold_in(key, HIDDEN_NOISE_TAG), hidden.shape, self.noise_distribution)
            seen = hidden + self.hidden_noise * noise
        return penalised(self, jnp.mean(jnp.square(model.activate(seen) - x)), hidden), {}

    def evaluation_task(self) -> "OneHotToy":
        """The task whose loss is reported after training: the same without penalty and noise."""
        return replace(self, hidden_l1=None, hidden_noise=None)

    def expected_loss(self, model: ToyModel) -> Float[Array, ""]:
        """L, which is exact."""
        return self.evaluation_task().loss(model, jax.random.key(0), 0)[0]

    def training_defaults(self) -> dict[str, Any]:
        """2,000 steps of Adam at a learning rate of 0.003."""
        return {"steps": 2_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """What is about batches and held-out samples, and the distribution of noise where there is none."""
        why = "all one-hot inputs are in every step"
        quiet = {"noise_distribution": "there is no noise in the hidden layer"} if self.hidden_noise is None else {}
        return {"batch_size": why, "evaluation_samples": why} | quiet

    def elements_per_step(self, batch_size: int) -> int:
        """All outputs of all inputs, and the hidden layer's."""
        return self.n_features * max(self.n_features, self.n_hidden)
