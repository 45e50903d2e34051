"""Sparse autoencoders: take features back out of a hidden layer in which they are in superposition."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.decoder_lengths import fold_lengths, lengths_of
from superpos.models.sparse_activations import top_k
from superpos.models.toy import FULL_PRECISION

ARCHITECTURES: tuple[str, ...] = ("relu", "topk", "batch_topk", "gated", "jumprelu", "matryoshka")

# Kinds that keep the largest latents of a batch while training, and those above a fixed threshold afterwards.
BATCH_ARCHITECTURES: tuple[str, ...] = ("batch_topk", "matryoshka")

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

    `architecture` says what σ is:

    * `"relu"`: $z = \mathrm{ReLU}(a)$.
    * `"topk"`: the k largest of $\mathrm{ReLU}(a)$ for each input (Gao et al. 2024); k is kept as `n_active`. As in the paper
      there is no $b_\mathrm{enc}$ (their code and SAELens have one): with it some latent fires on every empty input.
    * `"batch_topk"`: in training the k × batch largest of a batch (Bussmann et al. 2024). Afterwards $z = \mathrm{ReLU}(a)$
      where it exceeds `threshold`, the running mean of the smallest value that was kept.
    * `"matryoshka"`: σ as for `"batch_topk"`; only its loss differs (Bussmann et al. 2025).
    * `"gated"`: $z = H(a) \odot \mathrm{ReLU}(e^{r_\mathrm{mag}} \odot W_\mathrm{enc}(h - b_\mathrm{dec}) + b_\mathrm{mag})$
      (Rajamanoharan et al. 2024, "Improving Dictionary Learning with Gated Sparse Autoencoders"); `b_enc` is the gate's bias.
    * `"jumprelu"`: $z = a\,H(a - \theta)$ with $\theta = e^{\mathrm{log\_threshold}}$ (Rajamanoharan et al. 2024, "Jumping
      Ahead"; there without $b_\mathrm{dec}$ before the encoder, which another `b_enc` makes up for).

    One rule for columns of any length: the function is the one that the arrays say, or they are refused. Lengths of columns
    that are passed here, or given to a training as `init`, move into the encoder (`decoder_lengths.fold_lengths`), and are
    refused where no encoder gives the same function. What is assigned to `W_dec` later, and what a dataset from elsewhere
    holds, counts as it is, lengths too. With `unit_columns=True` nothing is looked at, and nothing moves.

    Parameters that an architecture does not have are None. `frequency` is the running mean of the share of
    inputs on which a latent is active.
    """

    # Names of the axes of each parameter, for labelled results.
    FROM_TASK: ClassVar[tuple[str, ...]] = ("n_active",)  # a setting, which given weights do not replace
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        "W_enc": ("latent", "hidden"),
        "W_dec": ("hidden", "latent"),
        "b_dec": ("hidden",),
        **dict.fromkeys(("b_enc", "r_mag", "b_mag", "log_threshold", "frequency"), ("latent",)),
    }

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
        check.one_of("architecture", architecture, ARCHITECTURES)
        check.number("k", k, above=0, at_most=2**24)
        check.number("initial_threshold", initial_threshold, above=0, at_most=arrays.MAX_WEIGHT)
        check.boolean("unit_columns", unit_columns)
        W_dec = jnp.asarray(arrays.as_array("W_dec", W_dec, shape=(None, None)))
        n_hidden, n_latents = W_dec.shape

        def given(name: str, value: Any, shape: tuple[int, ...]) -> Any:
            return None if value is None else jnp.asarray(arrays.as_array(name, value, shape=shape), W_dec.dtype)

        W_enc = given("W_enc", W_enc, (n_latents, n_hidden))
        b_enc, b_dec = given("b_enc", b_enc, (n_latents,)), given("b_dec", b_dec, (n_hidden,))
        if architecture == "topk" and b_enc is not None:
            if check.is_traced(b_enc) or bool(jnp.any(b_enc != 0)):
                raise ConfigError('b_enc must be left out for architecture="topk", which has none.')
            b_enc = None
        factor = None
        if not unit_columns:
            W_dec, W_enc, b_enc, factor = fold_lengths(W_dec, W_enc, b_enc, architecture)
        zeros = jnp.zeros(n_latents, W_dec.dtype)
        larger = zeros if factor is None else jnp.log(factor)
        self.W_dec: Any = nnx.Param(W_dec)
        self.W_enc: Any = None if W_enc is None else nnx.Param(W_enc)
        self.b_enc: Any = None if architecture == "topk" else nnx.Param(zeros if b_enc is None else b_enc)
        self.b_dec: Any = None if b_dec is None else nnx.Param(b_dec)
        self.r_mag: Any = nnx.Param(larger) if architecture == "gated" else None
        self.b_mag: Any = nnx.Param(zeros) if architecture == "gated" else None
        theta = jnp.log(jnp.asarray(initial_threshold, W_dec.dtype))
        threshold = jnp.full_like(zeros, theta) if factor is None else theta + larger
        self.log_threshold: Any = nnx.Param(threshold) if architecture == "jumprelu" else None
        self.n_active: Any = Statistic(jnp.asarray(k, W_dec.dtype)) if architecture == "topk" else None
        self.threshold: Any = Statistic(jnp.zeros((), W_dec.dtype)) if architecture in BATCH_ARCHITECTURES else None
        self.frequency: Any = Statistic(zeros)
        self.architecture = architecture

    @property
    def decoder(self) -> Float[Array, "n_hidden n_latents"]:
        """The directions of the latents: D with columns of length 1, or 0 for latents that do not exist."""
        W_dec = self.W_dec[...]
        norms = jnp.sqrt(jnp.sum(jnp.square(W_dec), axis=0, keepdims=True) + MIN_NORM**2)
        return W_dec / norms

    @property
    def columns(self) -> Float[Array, "n_hidden n_latents"]:
        """What one unit of each latent adds to the reconstruction: `W_dec`, and to the bit `decoder` after training."""
        return self.decoder * jax.lax.stop_gradient(lengths_of(self.W_dec[...]))

    @property
    def exists(self) -> Array:
        """Which latents there are, shape (n_latents,)."""
        return jnp.any(self.W_dec[...] != 0, axis=0)

    def project(
        self, h: Float[Array, "n_hidden batch"], D: Float[Array, "n_hidden n_latents"] | None = None
    ) -> Float[Array, "n_latents batch"]:
        r"""$W_\mathrm{enc}(h - b_\mathrm{dec})$, inputs as columns; D is `columns` if it is not given."""
        encoder = (self.columns if D is None else D).T if self.W_enc is None else self.W_enc[...]
        h = arrays.columns("h", h, self.W_dec.shape[0], ndim=(2,))
        centred = h if self.b_dec is None else h - self.b_dec[...][:, None]
        return jnp.dot(encoder, centred, precision=FULL_PRECISION)

    def shifted(self, projection: Float[Array, "n_latents batch"]) -> Float[Array, "n_latents batch"]:
        """The pre-activation a: the projection with the encoder's bias, if there is one."""
        return projection if self.b_enc is None else projection + self.b_enc[...][:, None]

    def encode(self, h: Float[Array, "n_hidden batch"]) -> Float[Array, "n_latents batch"]:
        """The latents z of inputs as columns, as after training."""
        projection = self.project(h)
        a = self.shifted(projection)
        match self.architecture:
            case "relu":
                return jax.nn.relu(a)
            case "topk":
                return top_k(jax.nn.relu(a), self.n_active[...])
            case "gated":
                return jnp.where(a > 0, self.magnitude(projection), 0.0)
            case "jumprelu":
                return jnp.where(a > jnp.exp(self.log_threshold[...])[:, None], a, 0.0)
        return jnp.where(a > self.threshold[...], jax.nn.relu(a), 0.0)

    def magnitude(self, projection: Float[Array, "n_latents batch"]) -> Float[Array, "n_latents batch"]:
        r"""What an open gate lets through, $\mathrm{ReLU}(e^{r_\mathrm{mag}} \odot W_\mathrm{enc}(h - b_\mathrm{dec}) +
        b_\mathrm{mag})$; for `"gated"` only."""
        return jax.nn.relu(jnp.exp(self.r_mag[...])[:, None] * projection + self.b_mag[...][:, None])

    def decode(
        self, z: Float[Array, "n_latents batch"], D: Float[Array, "n_hidden n_latents"] | None = None
    ) -> Float[Array, "n_hidden batch"]:
        r"""The reconstruction $Dz + b_\mathrm{dec}$; D is `columns` if it is not given."""
        D = self.columns if D is None else D
        h = jnp.dot(D, arrays.columns("z", z, self.W_dec.shape[1], ndim=(2,)), precision=FULL_PRECISION)
        return h if self.b_dec is None else h + self.b_dec[...][:, None]

    def __call__(self, h: Float[Array, "n_hidden batch"]) -> Float[Array, "n_hidden batch"]:
        """Reconstruct a batch of hidden layers, (n_hidden, batch)."""
        return self.decode(self.encode(h))
