"""A function of a short list of tokens, answered by a transformer: maximum, parity, balanced parentheses and others."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import Scalar
from superpos.data.list_functions import LIST_FUNCTIONS, AnsweredList, answered_list
from superpos.errors import ConfigError
from superpos.models.transformer import POSITIONS, Transformer
from superpos.tasks.base import Metrics, Task
from superpos.tasks.induction import next_token_losses
from superpos.tasks.registry import register

LONGEST = 16


@register("list_function")
@dataclass(frozen=True, kw_only=True)
class ListFunction(Task):
    r"""Say what a function makes of a list: "t₁ … t_L =" and then the answer, one token or as many as the list has.

    $$L = -\frac{1}{|B|\,|P|} \sum_{B, P} \log \mathrm{softmax}(\text{logits}_i)_{a_i},$$

    in nats, the mean over the lists B of a batch that may train and over the positions P that answer, from "=" on; later
    ones see the answer so far. `function` is one of

    * "maximum", "minimum": of tokens 0 … d_vocab − 1, all of them alike likely;
    * "parity": of bits, 1 where their sum is odd;
    * "balanced": 1 where parentheses, 0 to open and 1 to close, are balanced. Half of the lists are drawn among all balanced
      words, in the others every parenthesis is drawn alone;
    * "sorted", "reversed": the list itself in that order.

    A hash of its tokens says of every list whether it trains or is one of a share `held_out` that never does
    (`data.list_functions.is_held_out`); which those are is the same for all models. The history has `accuracy`, on lists
    that train, and `test_accuracy`, on those held out; of several answers all must be right. The loss after training is of
    lists that might have trained.

    The model is a `Transformer` without MLP by default. "=" is the token d_vocab. Initial weights are normal, of standard
    deviation `init_scale` / √d_model, of W_U `init_scale` / √(d_vocab + 1).

    Fields that may be swept without recompiling: `held_out` and `init_scale`.

    Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", 3.1, 3.5, 3.6 and 3.12.
    """

    SIZES: ClassVar[dict[str, str]] = {
        "length": "lists of {}", "d_vocab": "{} tokens", "n_layers": "{} layers", "n_heads": "{} heads",
        "d_model": "d_model {}",
    }  # fmt: skip
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = ("function",)
    SUMMARY: ClassVar[tuple[str, ...]] = ("function", "length", "d_vocab", "n_layers", "n_heads", "d_model", "d_mlp")

    function: str = jax.tree.static(default="maximum")  # chooses code
    length: int = jax.tree.static(default=5)  # shape of the data
    d_vocab: int = jax.tree.static(default=16)  # shape of W_E
    n_layers: int = jax.tree.static(default=1)  # shape of W_Q
    n_heads: int = jax.tree.static(default=1)  # shape of W_Q
    d_model: int = jax.tree.static(default=32)  # shape of W_E
    d_mlp: int = jax.tree.static(default=0)  # which parameters exist
    positions: str = jax.tree.static(default="residual")  # chooses code
    held_out: Scalar = 0.25
    init_scale: Scalar = 1.0

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.one_of("function", self.function, tuple(LIST_FUNCTIONS))
        check.integer("length", self.length, at_least=2, at_most=LONGEST)
        check.integer("d_vocab", self.d_vocab, at_least=2, at_most=65_536)
        needed = LIST_FUNCTIONS[self.function].d_vocab
        if needed is not None and self.d_vocab != needed:
            raise ConfigError(f'd_vocab must be {needed} for "{self.function}", got {self.d_vocab}.')
        if self.function == "balanced" and self.length % 2:
            raise ConfigError(f'length must be even for "balanced", got {self.length}.')
        for name in ("n_layers", "n_heads", "d_model"):
            check.integer(name, getattr(self, name), at_least=1, at_most=65_536)
        check.integer("d_mlp", self.d_mlp, at_most=65_536)
        if self.d_model % self.n_heads:
            raise ConfigError(f"d_model must be a multiple of n_heads = {self.n_heads}, got {self.d_model}.")
        check.one_of("positions", self.positions, POSITIONS)
        check.scalar("held_out", self.held_out)
        check.scalar("init_scale", self.init_scale)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        check.in_range("held_out", self.held_out, at_least=0.01, at_most=0.9)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    @property
    def n_answers(self) -> int:
        """How many tokens the answer has."""
        return LIST_FUNCTIONS[self.function].n_answers(self.length)

    def init(self, key: PRNGKeyArray) -> Transformer:
        """A new model."""
        sizes = {name: getattr(self, name) for name in ("n_layers", "n_heads", "d_model", "d_mlp")}
        sizes |= {"d_vocab": self.d_vocab + 1, "n_positions": self.length + self.n_answers}
        return Transformer.random(key, **sizes, bias=self.d_mlp > 0, scale=self.init_scale, positions=self.positions)

    def sample(self, key: PRNGKeyArray, n_lists: int) -> AnsweredList:
        """Lists with their answers, those held out among the others; all fields get a leading axis."""
        shares = jax.random.uniform(key, (n_lists, self.length + 2))
        draw = partial(answered_list, function=self.function, d_vocab=self.d_vocab, held_out=self.held_out)
        return jax.vmap(draw)(shares)

    def answers(self, model: Transformer, tokens: Array) -> Float[Array, "lists n_answers token"]:
        """Logits where the model answers, of sequences as `sample` has them."""
        if self.n_answers == 1:
            return jax.vmap(lambda t: model(t, last_only=True))(tokens)[:, None]
        return jax.vmap(model)(tokens)[:, -self.n_answers :]

    def loss(self, model: Transformer, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Mean loss of the lists of a batch that may train, and how often all answers are right, of these and of the others.

        0 where a batch has no such list.
        """
        data = self.sample(key, batch_size)
        logits = self.answers(model, data.tokens)
        lost = jnp.mean(next_token_losses(logits, data.answer), axis=1)
        right = all_right(jax.lax.stop_gradient(logits), data)
        loss, accuracy = _mean(lost, ~data.held_out), _mean(right, ~data.held_out)
        return loss, {"accuracy": accuracy, "test_accuracy": _mean(right, data.held_out)}

    def expected_loss(self, model: Transformer) -> None:
        """None: fresh lists must estimate it."""
        return None

    def broadcast(self) -> "ListFunction":
        """The same task with every numeric field a float array."""
        return replace(self, held_out=jnp.asarray(self.held_out, float), init_scale=jnp.asarray(self.init_scale, float))

    def training_defaults(self) -> dict[str, Any]:
        """2,000 steps of Adam with its usual memories, at a learning rate of 0.003."""
        return {"steps": 2_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def elements_per_step(self, batch_size: int) -> int:
        """Residual streams, attention patterns and logits of a batch."""
        n_positions = self.length + self.n_answers
        per_token = (1 + self.n_layers) * 6 * self.d_model + self.n_layers * (self.n_heads * n_positions + self.d_mlp)
        return (per_token + self.d_vocab) * n_positions * batch_size


def all_right(logits: Float[Array, "lists n_answers token"], data: AnsweredList) -> Float[Array, " lists"]:
    """1 for every list whose answers are all the likeliest tokens, 0 for the others."""
    return jnp.all(jnp.argmax(logits, -1) == data.answer, axis=1).astype(logits.dtype)


def _mean(values: Float[Array, " lists"], chosen: Bool[Array, " lists"]) -> Float[Array, ""]:
    return jnp.sum(jnp.where(chosen, values, 0)) / jnp.maximum(jnp.sum(chosen), 1)
