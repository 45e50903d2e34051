"""Sparse autoencoders: take features back out of a hidden layer in which they are in superposition."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.sae.base import Architecture, PreActivations
from superpos.models.sae.decoder_lengths import fold_lengths, lengths_of
from superpos.models.sae.registry import architecture_of
from superpos.models.toy import FULL_PRECISION

MIN_NORM = 1e-12  # of a decoder column; those of latents that do not exist are 0


class Statistic(nnx.Variable):
    """A number that training keeps with the model but does not learn; no gradient reaches it."""


class SAE(nnx.Module):
    r"""Reconstruct a hidden layer from few latents at a time.

    $$\hat h = D z + b_\mathrm{dec}, \qquad z = \sigma(a), \qquad a = W_\mathrm{enc}(h - b_\mathrm{dec}) + b_\mathrm{enc}.$$

    `W_dec` has shape (n_hidden, n_latents) and `W_enc` (n_latents, n_hidden): column `W_dec[:, j]` is the direction of latent
    j, as column `W[:, i]` of a toy model is that of feature i. $D = W_\mathrm{dec}$; training keeps its columns at length 1,
    and gradients have no part along a column (Bricken et al. 2023, "Towards Monosemanticity", appendix). Tied: no `W_enc`,
    $W_\mathrm{enc} = D^\top$ (Cunningham et al. 2023). A latent whose column is 0 does not exist: it adds nothing and never
    learns, so smaller dictionaries live in arrays of one size.

    `architecture` says what σ is: `"relu"`, `"topk"`, `"batch_topk"`, `"gated"`, `"jumprelu"`, `"matryoshka"` or
    `"matching_pursuit"`, which has no `W_enc`. Their classes in `superpos.models.sae` have the equations. Or it is one of
    your own (`superpos.models.register_architecture`).

    One rule for columns of any length: the function is the one that the arrays say, or they are refused. Lengths of columns
    that are passed here, or given to a training as `init`, move into the encoder (`decoder_lengths.fold_lengths`), and are
    refused where no encoder gives the same function. What is assigned to `W_dec` later, and what a dataset from elsewhere
    holds, counts as it is, lengths too. With `unit_columns=True` nothing is looked at, and nothing moves.

    Parameters that an architecture does not have are None. `frequency` is the running mean of the share of
    inputs on which a latent is active.
    """

    FROM_TASK: ClassVar[tuple[str, ...]] = ("n_active",)  # a setting, which given weights do not replace
    CENTRED: ClassVar[bool] = True  # whether the encoder reads h − b_dec, and not h
    parts: tuple[int, ...] = ()  # of a crosscoder: how many rows of W_dec each model has

    # Parameters and statistics of some architectures: None where the architecture has none.
    r_mag: Any = None
    b_mag: Any = None
    log_threshold: Any = None
    n_active: Any = None
    threshold: Any = None

    def __init__(
        self,
        W_dec: Any,
        W_enc: Any = None,
        b_enc: Any = None,
        b_dec: Any = None,
        *,
        architecture: str = "relu",
        k: Any = 1.0,
        initial_threshold: Any = 0.1,
        unit_columns: bool = False,
    ):
        kind = architecture_of(architecture)
        check.number("k", k, above=0, at_most=2**24)
        check.number("initial_threshold", initial_threshold, above=0, at_most=arrays.MAX_WEIGHT)
        check.boolean("unit_columns", unit_columns)
        W_dec = jnp.asarray(arrays.as_array("W_dec", W_dec, shape=(None, None)))
        n_hidden, n_latents = W_dec.shape

        def given(name: str, value: Any, shape: tuple[int, ...]) -> Any:
            return None if value is None else jnp.asarray(arrays.as_array(name, value, shape=shape), W_dec.dtype)

        W_enc = given("W_enc", W_enc, (n_latents, n_hidden))
        b_enc, b_dec = given("b_enc", b_enc, (n_latents,)), given("b_dec", b_dec, (n_hidden,))
        if not kind.encoder and W_enc is not None:
            raise ConfigError(f'W_enc must be left out for architecture="{architecture}", which reads by the decoder.')
        if not kind.encoder_bias and b_enc is not None:
            if arrays.is_traced(b_enc) or bool(jnp.any(b_enc != 0)):
                raise ConfigError(f'b_enc must be left out for architecture="{architecture}", which has none.')
            b_enc = None
        factor = None
        if not unit_columns:
            W_dec, W_enc, b_enc, factor = fold_lengths(W_dec, W_enc, b_enc, architecture, self.parts)
        zeros = jnp.zeros(n_latents, W_dec.dtype)
        self.W_dec: Any = nnx.Param(W_dec)
        self.W_enc: Any = None if W_enc is None else nnx.Param(W_enc)
        self.b_enc: Any = nnx.Param(zeros if b_enc is None else b_enc) if kind.encoder_bias else None
        self.b_dec: Any = None if b_dec is None else nnx.Param(b_dec)
        for name, parameter in kind.latent_parameters.items():
            initial = parameter.initial(jnp.asarray(initial_threshold, W_dec.dtype))
            setattr(self, name, nnx.Param(parameter.grown(jnp.full_like(zeros, initial), factor)))
        for name, value in kind.statistics(k).items():
            setattr(self, name, Statistic(jnp.asarray(value, W_dec.dtype)))
        self.frequency: Any = Statistic(zeros)
        self.architecture = architecture

    @property
    def kind(self) -> Architecture:
        """The architecture that `architecture` names."""
        return architecture_of(self.architecture)

    @property
    def latent_axes(self) -> dict[str, int]:
        """Which axis of a parameter counts latents, by name; the others have none."""
        return {"W_dec": 1, **dict.fromkeys(("W_enc", "b_enc", *self.kind.latent_parameters), 0)}

    @property
    def DIMS(self) -> dict[str, tuple[str, ...]]:
        """Names of the axes of each parameter, for labelled results."""
        of_latents = dict.fromkeys(("b_enc", "frequency", *self.kind.latent_parameters), ("latent",))
        return {"W_enc": ("latent", "hidden"), "W_dec": ("hidden", "latent"), "b_dec": ("hidden",), **of_latents}

    @property
    def decoder(self) -> Float[Array, "n_hidden n_latents"]:
        """The directions of the latents: D with columns of length 1, or 0 for latents that do not exist."""
        W_dec = self.W_dec[...]
        norms = jnp.sqrt(jnp.sum(jnp.square(W_dec), axis=0, keepdims=True) + MIN_NORM**2)
        return W_dec / norms

    @property
    def lengths(self) -> Float[Array, "1 n_latents"]:
        """The lengths of the columns, exactly 1 where they are of length 1 or 0 up to rounding."""
        return lengths_of(self.W_dec[...])

    @property
    def columns(self) -> Float[Array, "n_hidden n_latents"]:
        """What one unit of each latent adds to the reconstruction: `W_dec`, and to the bit `decoder` after training."""
        return self.decoder * jax.lax.stop_gradient(self.lengths)

    @property
    def exists(self) -> Array:
        """Which latents there are, shape (n_latents,)."""
        return jnp.any(self.W_dec[...] != 0, axis=0)

    def project(
        self, h: Float[Array, "n_hidden batch"], D: Float[Array, "n_hidden n_latents"] | None = None
    ) -> Float[Array, "n_latents batch"]:
        r"""$W_\mathrm{enc}(h - b_\mathrm{dec})$, inputs as columns; D is `columns` if it is not given."""
        encoder = (self.columns if D is None else D).T if self.W_enc is None else self.W_enc[...]
        return jnp.dot(encoder, self.read(h), precision=FULL_PRECISION)

    def read(self, h: Float[Array, "n_hidden batch"]) -> Float[Array, "n_hidden batch"]:
        r"""What the encoder reads of inputs as columns: $h - b_\mathrm{dec}$, or h where they are not centred."""
        h = arrays.columns("h", h, self.W_dec.shape[0], ndim=(2,))
        return h - self.b_dec[...][:, None] if self.CENTRED and self.b_dec is not None else h

    def shifted(self, projection: Float[Array, "n_latents batch"]) -> Float[Array, "n_latents batch"]:
        """The pre-activation a: the projection with the encoder's bias, if there is one."""
        return projection if self.b_enc is None else projection + self.b_enc[...][:, None]

    def pre_activations(
        self, h: Float[Array, "n_hidden batch"], D: Float[Array, "n_hidden n_latents"] | None = None
    ) -> PreActivations:
        """The projection, a and ReLU(a) of inputs as columns; D is `columns` if it is not given."""
        projection = self.project(h, D)
        a = self.shifted(projection)
        return PreActivations(projection, a, jax.nn.relu(a), read=self.read(h))

    def encode(self, h: Float[Array, "n_hidden batch"]) -> Float[Array, "n_latents batch"]:
        """The latents z of inputs as columns, as after training."""
        return self.kind.latents(self, self.pre_activations(h))

    def decode(
        self, z: Float[Array, "n_latents batch"], D: Float[Array, "n_hidden n_latents"] | None = None
    ) -> Float[Array, "n_hidden batch"]:
        r"""The reconstruction $Dz + b_\mathrm{dec}$; D is `columns` if it is not given."""
        D = self.columns if D is None else D
        h = jnp.dot(D, arrays.columns("z", z, self.W_dec.shape[1], ndim=(2,)), precision=FULL_PRECISION)
        return h if self.b_dec is None else h + self.b_dec[...][:, None]

    def without_skip(
        self, h: Float[Array, "n_hidden batch"], target: Float[Array, "n_hidden batch"]
    ) -> Float[Array, "n_hidden batch"]:
        """What is left of a target for the latents to reconstruct: all of it, where nothing skips them."""
        return target

    def __call__(self, h: Float[Array, "n_hidden batch"]) -> Float[Array, "n_hidden batch"]:
        """Reconstruct a batch of hidden layers, (n_hidden, batch)."""
        return self.decode(self.encode(h))
