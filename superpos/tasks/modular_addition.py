"""Learn arithmetic modulo p from a part of its table."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, PRNGKeyArray

from superpos import check
from superpos.errors import ConfigError
from superpos.models.toy import FULL_PRECISION
from superpos.models.transformer import Transformer
from superpos.modular import modular_table
from superpos.tasks.base import Metrics


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class ModularAddition:
    r"""Answer "a b =" with a ∘ b modulo p, by one layer of a transformer, full batch.

    Tokens 0 … p − 1 are numbers, p is "="; the logits z of the p numbers after "=" are the answer, and the loss is the mean
    over the training pairs of $-\log\mathrm{softmax}(z)_c$, c the right answer. It is computed as
    $\mathrm{softplus}\,\log\sum_{j \ne c} e^{z_j - z_c}$: the plain difference $\log\sum_j e^{z_j} - z_c$ in single precision
    is 0, and so is its gradient, once the margin passes 17, which memorisation reaches long before circuits form.

    A permutation of all p² pairs is drawn from `data_seed` (or given as `order`, of numbers a·p + b); the first
    `train_fraction` · p² of them train, the others test. `loss` after training is the test loss; the history has the
    training `accuracy`, `test_loss` and `test_accuracy`. `TrainConfig.batch_size` has no meaning.

    `train_fraction`, `data_seed`, `order` and `init_scale` may be swept without recompiling. So that one program serves
    all fractions, gradients go through the first `gradient_pairs` pairs (default: all), of which those that do not train
    count 0; a number just large enough saves time.

    Initial weights are normal with standard deviation `init_scale` / √d_model (√(p + 1) for W_U), biases 0. There is no
    layer norm. Defaults are the published ones.

    Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability", section 3; Power et al. 2022.
    """

    p: int = jax.tree.static(default=113)  # shape of W_E
    d_model: int = jax.tree.static(default=128)  # shape of W_E
    n_heads: int = jax.tree.static(default=4)  # shape of W_Q
    d_mlp: int = jax.tree.static(default=512)  # shape of W_in
    operation: str = jax.tree.static(default="addition")  # chooses the table
    gradient_pairs: int | None = jax.tree.static(default=None)  # shape of the batch
    train_fraction: Any = 0.3
    data_seed: Any = 0
    init_scale: Any = 1.0
    order: Any = None  # (p²,)

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        modular_table(self.p, self.operation)
        for name in ("d_model", "n_heads", "d_mlp"):
            check.whole(name, getattr(self, name), at_least=1, at_most=2**14)
        if self.d_model % self.n_heads:
            raise ConfigError(f"d_model must be a multiple of n_heads = {self.n_heads}, got {self.d_model}.")
        if self.gradient_pairs is not None:
            check.whole("gradient_pairs", self.gradient_pairs, at_least=1, at_most=self.p**2)
        for name in ("train_fraction", "data_seed", "init_scale"):
            check.scalar(name, getattr(self, name))
        if (order := check.numbers("order", self.order) if self.order is not None else None) is not None and (
            order.shape != (self.p**2,) or set(order) != set(range(self.p**2))
        ):
            raise ConfigError(f"order must be a permutation of 0 … {self.p**2 - 1}.")
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        check.in_range("train_fraction", self.train_fraction, at_least=1 / self.p**2, below=1 - 0.5 / self.p**2)
        if self.gradient_pairs is not None:
            check.in_range("train_fraction", self.train_fraction, at_most=(self.gradient_pairs + 0.5) / self.p**2)
        check.in_range("data_seed", self.data_seed, at_least=0, at_most=2**24)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    def broadcast(self) -> "ModularAddition":
        """The same task with every numeric field an array."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), self)

    def prepared(self) -> "ModularAddition":
        """The task with the order of its pairs, (p²,); needed before `loss`."""
        if self.order is not None:
            return self
        key = jax.random.key(jnp.asarray(self.data_seed, jnp.uint32))
        return replace(self, order=jax.random.permutation(key, self.p**2))

    def init(self, key: PRNGKeyArray) -> Transformer:
        """A new model."""
        sizes = {"d_vocab": self.p + 1, "d_model": self.d_model, "n_heads": self.n_heads, "d_mlp": self.d_mlp}
        return Transformer.random(key, n_positions=3, n_layers=1, bias=True, scale=self.init_scale, **sizes)

    def logits(self, model: Transformer, pairs: Integer[Array, " pairs"] | None = None) -> Float[Array, "pairs p"]:
        """Logits of the p answers to pairs a·p + b, of all p² of them by default: those of `model([a, b, p])` after "=".

        One query alone matters, and the only keys and values are those of p tokens at two places and of "=", so they are
        computed once and looked up.
        """
        pairs = jnp.arange(self.p**2) if pairs is None else pairs
        return jnp.dot(self.residual(model, pairs).T, model.W_U[...][:, : self.p], precision=FULL_PRECISION)

    def residual(self, model: Transformer, pairs: Integer[Array, " pairs"]) -> Float[Array, "d_model pairs"]:
        """The residual stream at "=" after the layer, as columns."""
        x = self._after_attention(model, pairs)
        post = self._neurons(model, x)
        return x + jnp.dot(model.W_out[0].T, post, precision=FULL_PRECISION) + model.b_out[0][:, None]

    def neurons(self, model: Transformer, pairs: Integer[Array, " pairs"] | None = None) -> Float[Array, "pairs d_mlp"]:
        """What the neurons say at "=", after the ReLU."""
        pairs = jnp.arange(self.p**2) if pairs is None else pairs
        return self._neurons(model, self._after_attention(model, pairs)).T

    def _neurons(self, model: Transformer, x: Float[Array, "d_model pairs"]) -> Float[Array, "d_mlp pairs"]:
        return jax.nn.relu(jnp.dot(model.W_in[0].T, x, precision=FULL_PRECISION) + model.b_in[0][:, None])

    def _after_attention(self, model: Transformer, pairs: Integer[Array, " pairs"]) -> Float[Array, "d_model pairs"]:
        a, b = pairs // self.p, pairs % self.p
        W_E, W_pos = model.W_E[...], model.W_pos[...]
        first, second, equals = W_E[: self.p] + W_pos[:1], W_E[: self.p] + W_pos[1:2], W_E[self.p] + W_pos[2]
        product = partial(jnp.einsum, precision=FULL_PRECISION)
        query = product("d,hde->he", equals, model.W_Q[0]) / (self.d_model // self.n_heads) ** 0.5
        key = product("he,hde->hd", query, model.W_K[0])
        scores = [product("hd,td->ht", key, x) for x in (first, second, equals[None])]
        at = [scores[0][:, a], scores[1][:, b], jnp.broadcast_to(scores[2], (self.n_heads, len(a)))]
        pattern = jax.nn.softmax(jnp.stack(at), axis=0)
        through = product("hde,hef->hdf", model.W_V[0], model.W_O[0])
        moved = [product("td,hdf->hft", x, through) for x in (first, second, equals[None])]
        x = equals[:, None]
        for h in range(self.n_heads):  # as one sum over heads, the looked up values would fill the memory
            x = x + pattern[0, h][None] * moved[0][h][:, a] + pattern[1, h][None] * moved[1][h][:, b]
            x = x + pattern[2, h][None] * moved[2][h]
        return x

    def loss(self, model: Transformer, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """The mean over the training pairs, and how the others fare."""
        del key, batch_size
        order, count = self._order, self.p**2 if self.gradient_pairs is None else self.gradient_pairs
        error, right = self._scores(model, order[:count])
        if count < len(order):
            others = self._scores(jax.lax.stop_gradient(model), order[count:])
            error, right = (jnp.concatenate(both) for both in zip((error, right), others, strict=True))
        train = self._trains
        n_train = jnp.sum(train, dtype=error.dtype)
        loss = jnp.sum(jnp.where(train, error, 0)) / n_train
        accuracy = jnp.sum(train & right, dtype=error.dtype) / n_train
        n_test = len(order) - n_train
        test_loss = jax.lax.stop_gradient(jnp.sum(jnp.where(train, 0, error))) / n_test
        test_accuracy = jnp.sum(~train & right, dtype=error.dtype) / n_test
        return loss, {"accuracy": accuracy, "test_loss": test_loss, "test_accuracy": test_accuracy}

    def _scores(self, model: Transformer, pairs: Integer[Array, " pairs"]) -> tuple[Array, Array]:
        answers = jnp.asarray(modular_table(self.p, self.operation)[2])[pairs]
        logits = self.logits(model, pairs)
        return cross_entropy(logits, answers), jnp.argmax(logits, axis=1) == answers

    @property
    def _order(self) -> Integer[Array, " pairs"]:
        return jnp.asarray(self.order, jnp.int32)

    @property
    def _trains(self) -> Bool[Array, " pairs"]:
        return jnp.arange(self.p**2) < jnp.round(self.train_fraction * self.p**2)

    def training_pairs(self) -> Bool[Array, " pairs"]:
        """Which pairs a·p + b train, (p²,)."""
        task = self.broadcast().prepared()
        return jnp.zeros(self.p**2, bool).at[task._order].set(task._trains)

    def population_loss(self, model: Transformer) -> Float[Array, ""]:
        """The mean over the pairs that do not train."""
        return self.loss(model, jax.random.key(0), 0)[1]["test_loss"]

    def training_defaults(self) -> dict[str, Any]:
        """25,000 steps of Adam with memories of .9 and .98, at a learning rate of 0.001."""
        return {"steps": 25_000, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.98}

    def numbers_per_step(self, batch_size: int) -> int:
        """All pairs at the neurons."""
        return self.p**2 * (self.d_mlp + self.p + self.n_heads * self.d_model)


def cross_entropy(logits: Float[Array, "pairs p"], answers: Integer[Array, " pairs"]) -> Float[Array, " pairs"]:
    r"""$-\log\mathrm{softmax}(z)_c = \mathrm{softplus}\,\log\sum_{j \ne c} e^{z_j - z_c}$, accurate however small it is."""
    own = jnp.take_along_axis(logits, answers[:, None], axis=1)
    others = jnp.arange(logits.shape[1])[None] != answers[:, None]
    return jax.nn.softplus(jax.nn.logsumexp(logits - own, axis=1, where=others))
