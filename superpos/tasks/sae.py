"""Train a sparse autoencoder on a hidden layer whose true features are known."""

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import OptionalScalar, PerFeature, Scalar
from superpos.data import MAX_FEATURES, FeatureDistribution, Sets, random_directions, random_subspaces
from superpos.errors import ConfigError
from superpos.models.sae import SAE, Architecture, PreActivations, architecture_of
from superpos.models.sae.decoder_lengths import check_lengths, with_unit_columns
from superpos.models.toy import ACTIVATIONS, FULL_PRECISION
from superpos.tasks import revival, seeding
from superpos.tasks import sae_terms as terms
from superpos.tasks.base import Metrics, Task
from superpos.tasks.one_layer import MAX_WEIGHTS, features_of, per_feature
from superpos.tasks.registry import register
from superpos.tasks.sae_words import SaidInWords


class Seen(NamedTuple):
    """What a training step saw, for what happens after it."""

    activity: Float[Array, " n_latents"]  # share of the inputs on which each latent was active
    inputs: revival.Inputs
    by_architecture: Any  # what the architecture's own `after_step` wants to see


@register("sparse_autoencoder")
@dataclass(frozen=True, kw_only=True)
class SparseAutoencoder(SaidInWords):
    r"""Take features back out of a hidden layer $h = Wx$ in which they are in superposition.

    The truth is known: x comes from the `FeatureDistribution` of the fields below, and column i of W = `directions` is the
    direction of feature i. W is a toy model's (`SparseAutoencoder.of_toy`), several toy models' (shape
    (n_sources, n_hidden, n_features), of which `source` takes one), or None for random unit vectors drawn from `source`. Of
    features that are points of `manifolds` these are random subspaces, and columns of one manifold are orthonormal.

    With $z$ the latents of h and $\hat h$ its reconstruction by `models.SAE` of some `architecture`, what is minimised is

    $$E\,\|h - \hat h\|_2^2 + \lambda\,E\,S(z) + \text{(auxiliary)},$$

    the *sum* over the hidden layer and the mean over inputs, λ = `sparsity_coefficient`. S and what is added are the
    architecture's: the classes in `superpos.models.sae` have the equations. Where k sets how many latents are active
    (`"topk"`, `"batch_topk"`, `"matryoshka"`, `"matching_pursuit"`) there is no S.

    Conventions differ: ARENA averages the error over the hidden layer, so its L1 coefficient λ is ours divided by n_hidden.
    Sharkey et al. 2022 divide λ by the dictionary size too. Gao et al. 2024 divide errors by the variance of h.

    Dead latents, active on fewer inputs than `dead_below` × the mean of all latents (running means over `frequency_window`
    steps), are revived (`revival`): `"resample"` gives them the direction of a badly reconstructed input every
    `resample_every` steps, in the first `resample_until` of the training (counted anew after `init`); `"auxiliary"` adds
    `auxiliary_coefficient` × the error of modelling the residual $h - \hat h$ with the `auxiliary_k` (half of n_hidden)
    largest dead latents (Gao et al. 2024, section 2.4); `"none"` leaves them.
    `initial_columns` of the decoder are `"random"` directions or those of `"inputs"`, each of one that the columns before it
    leave much of (`seeding.columns_of_inputs`).

    `n_latents` is the width of arrays; `dictionary_size` (default: all) of them exist, so that sizes can be swept.
    Fields annotated `Any` below may be swept without recompiling.

    `output_bias`, `activation` and `importance` are the toy model's own output, $f(W^\top h + b)$, and its weights, by which
    recovered loss is measured; training does not use them.

    Sources: Bricken et al. 2023 and Sharkey et al. 2022 (relu), and those named in `models.SAE`.
    """

    SOURCES: ClassVar[str] = "directions"  # what there are several of
    parts: ClassVar[Any] = ()  # hidden dimensions of each model, where h is of several

    n_features: int = jax.tree.static()  # shape of x
    n_hidden: int = jax.tree.static()  # shape of h
    n_latents: int = jax.tree.static()  # shape of the dictionary
    directions: Any = None  # (n_hidden, n_features), (n_sources, n_hidden, n_features), or None for random ones
    source: Scalar = 0  # which of the sources, or the seed of random directions
    feature_probability: PerFeature = 0.05  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    sparsity_coefficient: Scalar = 0.1  # λ
    k: Scalar = 1.0  # active latents per input, where the architecture sets their number
    dictionary_size: OptionalScalar = None  # how many latents exist; None is n_latents
    bandwidth: Scalar = 0.01  # ε of the straight-through estimator
    initial_threshold: Scalar = 0.1  # θ before training
    auxiliary_coefficient: Scalar = 1 / 32
    dead_below: Scalar = 0.1  # frequency relative to the mean of all latents
    frequency_window: Scalar = 100.0  # steps
    resample_scale: Scalar = 1.25  # length of a new encoder row, relative to the mean of the living
    correlation: PerFeature | None = None  # of the Gaussians behind the features' activity
    correlation_matrix: Any = None  # (n_features, n_features)
    correlation_factor: Any = None  # (n_features, factors)
    magnitude_low: PerFeature | None = None  # numbers of the laws of magnitudes
    magnitude_high: PerFeature | None = None
    magnitude_value: PerFeature | None = None
    magnitude_rate: PerFeature | None = None
    magnitude_mean: PerFeature | None = None
    magnitude_std: PerFeature | None = None
    magnitude_values: Any = None
    magnitude_weights: Any = None
    prefix_weights: Any = None  # of the errors of prefixes, (prefixes,), the last 1; None: all 1
    output_bias: Any = None  # (n_features,) or (n_sources, n_features)
    importance: PerFeature = 1.0  # scalar or (n_features,)
    architecture: str = jax.tree.static(default="relu")  # chooses code
    tied: bool = jax.tree.static(default=False)  # which parameters exist
    decoder_bias: bool = jax.tree.static(default=False)  # whether b_dec exists
    prefixes: tuple[float, ...] = jax.tree.static(default=(0.125, 0.25, 0.5, 1.0))  # number of products
    initial_columns: str = jax.tree.static(default="random")  # chooses code
    revival: str = jax.tree.static(default="resample")  # chooses code
    resample_every: int = jax.tree.static(default=500)  # a traced one would cost every step a resampling
    resample_until: float = jax.tree.static(default=0.7)  # of all steps
    auxiliary_k: int | None = jax.tree.static(default=None)
    magnitude: str | tuple[str, ...] = jax.tree.static(default="uniform")  # chooses code
    activation: str = jax.tree.static(default="relu")  # of the toy model's output
    correlated_sets: Sets = jax.tree.static(default=())  # index structure
    anticorrelated_sets: Sets = jax.tree.static(default=())
    parents: tuple[int, ...] = jax.tree.static(default=())
    exclusive_children: bool = jax.tree.static(default=False)
    scale_by_parent: bool = jax.tree.static(default=False)
    manifolds: tuple[str, ...] = jax.tree.static(default=())  # index structure

    @classmethod
    def of_toy(cls, toy: Any, W: Any, b: Any = None, **settings: Any) -> "SparseAutoencoder":
        """The task of reading the hidden layer of toy models: `of_toy(run.task, run.model.W, run.model.b, n_latents=5)`.

        `W` has shape (n_hidden, n_features), or any axes of models before these, in the order that `source` counts them
        (`result["W"]`): arrays of any kind, PyTorch's too, or one model, a run, a result of one cell. All models are read on
        the inputs of `toy`. The hidden layer Wx does not depend on `b`, which only the loss recovered by the toy model's
        output reads; left out it is that of the model, where one is given.
        """
        if not isinstance(toy, Task) or not hasattr(toy, "features"):
            raise ConfigError(f"toy must be a task such as superpos.tasks.Toy(...), got {check.short(toy)}.")
        if (hidden := getattr(toy, "hidden_activation", "identity")) != "identity":
            raise ConfigError(f"toy must be of models with the hidden layer Wx, not with one of {hidden}.")
        W, b = arrays.weights_and_bias("W", W, b)
        if (W := arrays.as_numpy("W", W)).ndim < 2:
            raise ConfigError(f"W must have shape (n_hidden, n_features), or several such, got {W.shape}.")
        lead, several = W.shape[:-2], W.ndim > 2
        W = W.reshape(-1, *W.shape[-2:]) if several else W
        if b is None and not getattr(toy, "bias", True):  # the output is known: it has none
            b = np.zeros((*lead, W.shape[-1]))
        if (world := getattr(toy, "world", None)) is not None:
            raise ConfigError(f"toy must be of features without a position, not of the world {world!r}.")
        shared = {f.name for f in fields(cls)} & {f.name for f in fields(toy)}  # type: ignore[arg-type]
        shared -= {"activation", "importance"} if b is None else set()  # which only an output that is known gives a use
        settings_of_toy = {name: getattr(toy, name) for name in shared}
        if b is not None:
            b = arrays.as_numpy("b", b, shape=(*lead, W.shape[-1]))
            settings_of_toy["output_bias"] = b.reshape(-1, b.shape[-1]) if several else b
        return cls(**{**settings_of_toy, "directions": W, **settings})

    @property
    def features(self) -> FeatureDistribution:
        """Where the features come from."""
        return features_of(self)

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        for name in ("n_features", "n_hidden", "n_latents"):
            check.integer(name, getattr(self, name), at_least=1, at_most=MAX_FEATURES)
        for name in ("n_features", "n_latents"):
            check.integer(f"n_hidden × {name}", int(self.n_hidden) * int(getattr(self, name)), at_most=MAX_WEIGHTS)
        architecture_of(self.architecture)
        choices = {"activation": tuple(ACTIVATIONS), "revival": revival.WAYS, "initial_columns": seeding.WAYS}
        for name, ways in choices.items():
            check.one_of(name, getattr(self, name), ways)
        for name in ("tied", "decoder_bias"):
            check.boolean(name, getattr(self, name))
        check.integer("resample_every", self.resample_every, at_least=1)
        check.scalar("resample_until", self.resample_until)
        check.in_range("resample_until", self.resample_until, at_least=0, at_most=1)
        if self.auxiliary_k is not None:
            check.integer("auxiliary_k", self.auxiliary_k, at_least=1, at_most=self.n_latents)
        of_training = ("bandwidth", "auxiliary_coefficient", "resample_scale", "dead_below", "frequency_window")
        for name in ("source", "sparsity_coefficient", "k", "initial_threshold", *of_training):
            check.scalar(name, getattr(self, name))
        if self.dictionary_size is not None:
            check.scalar("dictionary_size", self.dictionary_size)
        terms.check_prefixes(self.prefixes, self.prefix_weights)
        terms.check_directions(self)
        check.vector("feature_probability", self.feature_probability, self.n_features)
        check.vector("importance", self.importance, self.n_features)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        self.features.check()
        check.in_range("importance", self.importance, at_least=0)
        for name in ("sparsity_coefficient", "auxiliary_coefficient"):
            check.in_range(name, getattr(self, name), at_least=0)
        check.in_range("dead_below", self.dead_below, at_least=0, at_most=1)
        check.in_range("frequency_window", self.frequency_window, at_least=1)
        for name in ("bandwidth", "initial_threshold", "resample_scale"):
            check.in_range(name, getattr(self, name), above=0)
        if arrays.is_traced(self.k) or arrays.is_traced(self.dictionary_size) or arrays.is_traced(self.source):
            return
        size = np.asarray(self.n_latents if self.dictionary_size is None else self.dictionary_size, np.float64)
        check.in_range("dictionary_size", size, at_least=1, at_most=self.n_latents)
        if np.any(size % 1):
            raise ConfigError(f"dictionary_size must be a whole number, got {float(size[size % 1 > 0].flat[0]):g}.")
        k = np.asarray(self.k, np.float64)
        check.in_range("k", k, above=0)
        self.kind.check_k(k, size)
        source = np.asarray(self.source, np.float64)
        check.in_range("source", source, at_least=0, at_most=2**24)
        if np.any(source % 1):
            raise ConfigError(f"source must be a whole number, got {float(source[source % 1 > 0].flat[0]):g}.")
        if (n_sources := self.n_sources) is not None and np.max(source) >= n_sources:
            raise ConfigError(
                f"source must be below {n_sources}, the number of {self.SOURCES}, got {float(np.max(source)):g}."
            )

    def broadcast(self) -> "SparseAutoencoder":
        """The same task with every numeric field an array of its full shape; directions lead with sources."""
        size = self.n_latents if self.dictionary_size is None else self.dictionary_size
        full: dict[str, Any] = dict(per_feature(self))
        if self.directions is not None:
            full["directions"] = jnp.reshape(jnp.asarray(self.directions, float), (-1, self.n_hidden, self.n_features))
        if self.output_bias is not None:
            full["output_bias"] = jnp.reshape(jnp.asarray(self.output_bias, float), (-1, self.n_features))
        for name in ("prefix_weights", "correlation_matrix", "correlation_factor"):  # lists, where a result was opened
            if (value := getattr(self, name)) is not None:
                full[name] = jnp.asarray(value, float)
        single = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), replace(self, **full))
        return replace(single, dictionary_size=jnp.asarray(size, float))

    def precompute(self) -> "SparseAutoencoder":
        """The task with the directions of its own source only, (n_hidden, n_features); needed before `loss`."""
        if self.directions is None:
            key = jax.random.key(jnp.asarray(self.source, jnp.uint32))
            if self.manifolds:
                return replace(self, directions=random_subspaces(key, self.n_hidden, self.manifolds))
            return replace(self, directions=random_directions(key, self.n_hidden, self.n_features))
        index = jnp.asarray(self.source, jnp.int32)
        bias = None if self.output_bias is None else self.output_bias[index]
        return replace(self, directions=self.directions[index], output_bias=bias)

    def init(self, key: PRNGKeyArray) -> SAE:
        """A new model: decoder columns of length 1 as `initial_columns` says, encoder rows equal to them, biases 0."""
        W_dec = seeding.initial_columns(self, key)
        W_dec = jnp.where(jnp.arange(self.n_latents)[None, :] < self.size, W_dec, 0.0)
        W_enc = None if self.tied or not self.kind.encoder else W_dec.T
        return SAE(W_dec, W_enc, **self.settings_of_models())

    def settings_of_models(self) -> dict[str, Any]:
        """What every new model is built with beside its weights."""
        b_dec = jnp.zeros(self.n_hidden, float) if self.decoder_bias else None
        numbers = {"k": self.k, "initial_threshold": self.initial_threshold}
        return {"b_dec": b_dec, "architecture": self.architecture, "unit_columns": True, **numbers}

    def check_start(self, given: Any) -> None:
        """Raise `ConfigError` for decoder columns of several lengths that no encoder makes up for (`decoder_lengths`)."""
        W_dec, W_enc, b_enc = (given.get(name) for name in ("W_dec", "W_enc", "b_enc"))
        if W_dec is not None:
            check_lengths(W_dec, W_enc, b_enc, self.architecture, tied=self.tied, parts=self.parts)

    def started(self, model: SAE, given: Any) -> SAE:
        """A model some of whose parameters were given: the same function, with decoder columns of length 1."""
        return with_unit_columns(model) if "W_dec" in given else model

    def sample(
        self, key: PRNGKeyArray, batch_size: int
    ) -> tuple[Float[Array, "n_features batch"], Float[Array, "n_hidden batch"]]:
        """Features x and the hidden layers Wx they make, as columns; of a task that is `prepared`."""
        x = self.features.sample(key, batch_size)
        return x, jnp.dot(self.directions, x, precision=FULL_PRECISION)

    def target(self, h: Float[Array, "n_hidden batch"]) -> Float[Array, "n_hidden batch"]:
        """What is to be reconstructed from a hidden layer: itself."""
        return h

    def pre_activations(self, model: SAE, h: Float[Array, "n_hidden batch"], D: Any = None) -> PreActivations:
        """What the encoder makes of a hidden layer, with what latents cost where that is a setting."""
        return model.pre_activations(h, D)

    def loss(self, model: SAE, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Error and sparsity of the model as it is used after training, without what revives dead latents."""
        _, h = self.sample(key, batch_size)
        pre = self.pre_activations(model, h)
        z = self.kind.latents(model, pre)
        left = model.without_skip(h, self.target(h))
        error = jnp.mean(jnp.sum(jnp.square(left - model.decode(z)), axis=0))
        l0 = jnp.mean(jnp.sum(z > 0, axis=0, dtype=z.dtype))
        penalty = self.kind.penalty(model, pre, z)
        loss = error if penalty is None else error + self.sparsity_coefficient * penalty
        return loss, {"error": error, "l0": l0}

    def training_loss(
        self, model: SAE, key: PRNGKeyArray, batch_size: int
    ) -> tuple[Float[Array, ""], tuple[Metrics, Seen]]:
        """What is minimised on a fresh batch, and what `after_step` needs."""
        _, h = self.sample(key, batch_size)
        kind = self.kind
        pre = self.pre_activations(model, h, model.decoder)  # whose gradient has no part along a column
        left = model.without_skip(h, self.target(h))  # the hidden layer itself, for an autoencoder
        z, penalty, seen = kind.training_latents(model, pre, self)
        auxiliary = kind.auxiliary_error(model, pre, left)
        *of_prefixes, residual = kind.residuals(model, z, left, self)
        extra = jnp.zeros((), z.dtype) if auxiliary is None else auxiliary
        extra = sum((jnp.mean(jnp.sum(jnp.square(r), axis=0)) for r in of_prefixes), extra)
        squares = jnp.sum(jnp.square(residual), axis=0)
        error = jnp.mean(squares)
        loss = error + extra + (0.0 if penalty is None else self.sparsity_coefficient * penalty)
        active = z > 0
        activity = jnp.mean(active, axis=1, dtype=z.dtype)
        metrics = {
            "error": error,
            "l0": jnp.mean(jnp.sum(active, axis=0, dtype=z.dtype)),
            "dead": jnp.sum(revival.dead(model, self.dead_below), dtype=z.dtype) / self.size,
        }
        if self.revival == "auxiliary":
            k = self.auxiliary_k or max(1, self.n_hidden // 2)
            loss += self.auxiliary_coefficient * terms.auxiliary_error(
                model, pre.positive, residual, k, self.dead_below
            )
        rows = None if model.CENTRED else h  # whose residuals are no directions of what is read
        return loss, (metrics, Seen(activity, revival.Inputs(residual, squares, rows), seen))

    def after_step(
        self,
        before: SAE,
        model: SAE,
        optimizer: Any,
        seen: Seen,
        key: PRNGKeyArray,
        step: Integer[Array, ""],
        steps: Any,
    ) -> tuple[SAE, Any]:
        """Bring decoder columns back to length 1, keep count of silent latents, revive dead ones.

        `step` counts from 0 with the optimiser, and `steps` is how many it is to take in all. A training from given weights
        begins at 0, whatever number its batches count on from: resampling has its whole share of that training, and the
        running means (`frequency`, `threshold`) begin with its first batch, as the optimiser's memories do. `superpos.more`
        goes on counting.
        """
        model = jax.tree.map(lambda leaf: leaf, model)  # a copy: modules are changed in place below
        model.W_dec[...] = model.decoder
        rate = jnp.maximum(1 / self.frequency_window, 1 / (step + 1.0))  # at first a plain mean
        model.frequency[...] = before.frequency[...] + rate * (seen.activity - before.frequency[...])
        self.kind.after_step(before, model, seen.by_architecture, step)
        if self.revival != "resample":
            return model, optimizer
        share = self.resample_until * steps
        last = int(share) if isinstance(steps, int) else jnp.floor(share)
        due = (step % self.resample_every == self.resample_every - 1) & (step < last)
        return jax.lax.cond(
            due,
            partial(
                revival.resample,
                dead_below=self.dead_below,
                scale=self.resample_scale,
                initial_threshold=self.initial_threshold,
            ),
            lambda model, optimizer, inputs, key: (model, optimizer),
            model,
            optimizer,
            seen.inputs,
            key,
        )

    def expected_loss(self, model: SAE) -> None:
        """None: held-out inputs must estimate it."""
        return None

    def training_defaults(self) -> dict[str, Any]:
        """10,000 steps of Adam with its usual memories, at a learning rate of 0.003."""
        return {"steps": 10_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why. Numbers may have an axis of cells.

        What only scores read (`output_bias` and with it `activation` and `importance`) counts as read.
        """
        return terms.unread(self)

    def elements_per_step(self, batch_size: int) -> int:
        """The batch of features and of latents."""
        return (self.n_features + self.n_latents) * batch_size

    def named_code(self) -> dict[str, Any]:
        """The class of the architecture, which a word names, beside what every task may name."""
        return super().named_code() | {f"architecture {self.architecture}": type(self.kind)}

    @property
    def n_sources(self) -> int | None:
        """How many models `source` chooses from; None where it is the seed of random directions."""
        if self.directions is None:
            return None
        return np.shape(self.directions)[-3] if np.ndim(self.directions) >= 3 else 1

    @property
    def kind(self) -> Architecture:
        """The architecture that `architecture` names."""
        return architecture_of(self.architecture)

    @property
    def size(self) -> Any:
        """How many latents exist: `dictionary_size`, or all."""
        return self.n_latents if self.dictionary_size is None else self.dictionary_size
