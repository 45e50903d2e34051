"""The toy model with noise in its hidden layer: dropout, Gaussian noise, or both."""

from dataclasses import dataclass, fields
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import OptionalScalar
from superpos.data.key_tags import HIDDEN_NOISE_TAG
from superpos.errors import ConfigError
from superpos.models.toy import ToyModel
from superpos.tasks import one_layer
from superpos.tasks.base import Approximation, Metrics
from superpos.tasks.objectives import Expected, objective_of, penalised
from superpos.tasks.registry import register
from superpos.tasks.toy import Toy
from superpos.theory.hidden_noise import (
    MASKS_UP_TO,
    MAX_NOISE,
    added_by_dropout,
    added_by_noise,
    check_rate,
    dropout_loss,
)


@register("noisy_toy")
@dataclass(frozen=True, kw_only=True)
class NoisyToy(Toy):
    r"""The toy model of superposition, trained with noise in its hidden layer.

    What is minimised is the loss of `Toy` with $h = Wx$ replaced by

    $$\tilde h_k = \frac{s_k}{r} h_k + \sigma \varepsilon_k, \qquad P(s_k = 1) = r, \quad \varepsilon_k \sim N(0, 1),$$

    drawn anew for every example and step: inverted dropout with r = 1 − `dropout_rate`, and Gaussian noise with σ =
    `hidden_noise`. Either may be None, which costs nothing. The reported loss is that without noise, so the price is seen.

    `objective="expected"` minimises the mean over all noise. It is exact for linear models (`dropout_penalty` and
    `noise_penalty` of `superpos.theory`). For ReLU models of up to 6 hidden dimensions it is exact with dropout alone, whose
    2^m masks are gone through.

    Fields that may be swept without recompiling: those of `Toy`, `dropout_rate` and `hidden_noise`.

    The question is Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", 4.1.
    """

    NAMES: ClassVar[dict[str, str]] = Toy.NAMES | {"hidden_noise": "noise in the hidden layer"}
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = (*Toy.ALWAYS_SAID, "dropout_rate", "hidden_noise")

    dropout_rate: OptionalScalar = None  # share of hidden units that each example drops, 1 − r
    hidden_noise: OptionalScalar = None  # standard deviation of the noise added to every hidden unit

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        for name in ("dropout_rate", "hidden_noise"):
            if getattr(self, name) is not None:
                check.scalar(name, getattr(self, name))
        has_masks = self.dropout_rate is not None and self.activation != "identity" and self._is_expected
        if has_masks and self.n_hidden > MASKS_UP_TO:
            raise ConfigError(
                f'n_hidden must be at most {MASKS_UP_TO} for objective="expected" with dropout of a ReLU model, '
                f"got {self.n_hidden}."
            )
        super().check()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        super().check_values()
        if self.dropout_rate is not None:
            check_rate(self.dropout_rate)
        if self.hidden_noise is None:
            return
        check.in_range("hidden_noise", self.hidden_noise, at_least=0, at_most=MAX_NOISE)
        some = not arrays.is_traced(self.hidden_noise) and np.any(np.asarray(self.hidden_noise))
        if self._is_expected and self.activation != "identity" and some:
            raise ConfigError('hidden_noise must be None or 0 for objective="expected" of a ReLU model: it is sampled.')

    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """The objective with noise: on a fresh batch with fresh noise, or the mean over both."""
        if self._is_expected:
            return self._expected(model, key, batch_size), {}
        x = self.features.sample(key, batch_size)
        hidden = self._with_noise(model.encode(x), jax.random.fold_in(key, HIDDEN_NOISE_TAG))
        return penalised(self, one_layer.weighted_error(self, model.activate(hidden) - x), hidden), {}

    def approximation(self) -> Approximation | None:
        """None: the sum over masks has no short series of its own."""
        return None

    def evaluation_task(self) -> Toy:
        """The task whose loss is reported after training: the same without noise or penalty."""
        return Toy(**{f.name: getattr(self, f.name) for f in fields(Toy)}).evaluation_task()

    def elements_per_step(self, batch_size: int) -> int:
        """Those of `Toy`, for every mask where these are gone through."""
        masks = 2**self.n_hidden if self._is_expected and self.activation != "identity" else 1
        return masks * super().elements_per_step(batch_size)

    @property
    def _is_expected(self) -> bool:
        return isinstance(objective_of(self), Expected)

    def _with_noise(self, hidden: Float[Array, "n_hidden batch"], key: PRNGKeyArray) -> Float[Array, "n_hidden batch"]:
        of_dropout, of_noise = jax.random.split(key)
        if self.dropout_rate is not None:  # one uniform decides at every rate, so the draws are paired
            stays = jax.random.uniform(of_dropout, hidden.shape) >= self.dropout_rate
            hidden = jnp.where(stays, hidden / (1 - self.dropout_rate), 0)
        if self.hidden_noise is not None:
            hidden = hidden + self.hidden_noise * jax.random.normal(of_noise, hidden.shape)
        return hidden

    def _expected(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> Float[Array, ""]:
        if self.activation == "identity" or self.dropout_rate is None:
            total = objective_of(self).loss(model, key, batch_size)  # neither key nor batch is used
            W, importance = model.W[...], jnp.broadcast_to(jnp.asarray(self.importance), (self.n_features,))
            if self.activation == "identity" and self.hidden_noise is not None:
                total += added_by_noise(W, self.hidden_noise, importance)
            if self.activation == "identity" and self.dropout_rate is not None:
                total += added_by_dropout(W, self.features, self.dropout_rate, importance)
            return total
        b = None if model.b is None else model.b[...]
        return dropout_loss(
            model.W[...], b, self.features, self.dropout_rate, jnp.asarray(self.importance),
            activation=self.activation, order=self.terms,
        )  # fmt: skip
