"""What an architecture of sparse autoencoders is: everything that differs between them, with what most have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from superpos.errors import ConfigError

# Fields of the task of which every architecture's sparsity is set by one, and all that only some architectures read.
SPARSITY_FIELDS = ("sparsity_coefficient", "k")
FIELDS_OF_SOME = (*SPARSITY_FIELDS, "bandwidth", "initial_threshold", "prefixes", "prefix_weights")


class PreActivations(NamedTuple):
    """What the encoder makes of a batch before anything is set to 0."""

    projection: Float[Array, "n_latents batch"]  # W_enc(h − b_dec)
    a: Float[Array, "n_latents batch"]  # the same with b_enc
    positive: Float[Array, "n_latents batch"]  # ReLU(a)
    costs: Any = None  # (n_latents,): what one unit of each latent counts in S, where they differ
    read: Any = None  # (n_hidden, batch): what the encoder reads, h − b_dec

    def priced(self, z: Shaped[Array, "n_latents batch"]) -> Shaped[Array, "n_latents batch"]:
        """What each latent adds to S, of what it would add at a cost of 1."""
        return z if self.costs is None else self.costs[:, None] * z


class TrainingLatents(NamedTuple):
    """What an architecture makes of a batch in training."""

    z: Float[Array, "n_latents batch"]
    penalty: Float[Array, ""] | None  # S with the gradient that training follows; None where there is none
    seen: Any = None  # what `after_step` is to see of the batch


@dataclass(frozen=True)
class LatentParameter:
    """A learned parameter of shape (n_latents,) beside those that all autoencoders have.

    `initial` makes its value before training, and of a latent that is revived, from `initial_threshold`. `growth` says what
    becomes of it when the latent grows by a factor: `"factor"` multiplies it, `"log"` adds the factor's logarithm, and
    `"none"` leaves it.
    """

    initial: Callable[[Any], Any] = lambda initial_threshold: 0.0
    growth: Literal["factor", "log", "none"] = "none"

    def grown(self, values: Float[Array, " n_latents"], factor: Float[Array, " n_latents"] | None) -> Any:
        """The values of latents that grow by a factor; None is 1."""
        if factor is None or self.growth == "none":
            return values
        return values + jnp.log(factor) if self.growth == "log" else values * factor


class Architecture(ABC):
    r"""One way to make latents sparse: derive from this, and write what differs from the defaults for ONE model::

        @sp.models.register_architecture("soft")
        class Soft(sp.models.Architecture):
            label = "Soft threshold"

            def latents(self, model, pre):
                return jnp.maximum(pre.a - 0.1, 0)

    `pre` are the `PreActivations` of a batch with inputs as columns, `model` an `SAE`, and `task` a `SparseAutoencoder` whose
    numbers may be traced. What is minimised is
    $E\,\|h - \hat h\|_2^2 + \lambda\,S + \text{(auxiliary)}$ with S = `penalty` and λ = `sparsity_coefficient`.
    """

    name: str = ""  # the word it is registered by
    label: ClassVar[str]  # in captions and legends
    color: ClassVar[str] = "grey"  # a colour of `plot.PALETTE`, or #RRGGBB
    sparsity_field: ClassVar[str] = "sparsity_coefficient"  # what sets how sparse it is; or "k"
    whole_k: ClassVar[bool] = False  # whether k must be a whole number
    reads: ClassVar[tuple[str, ...]] = ()  # fields of the task that it reads beside those that all do
    encoder: ClassVar[bool] = True  # whether there is W_enc; otherwise inputs are read by the decoder's columns alone
    encoder_bias: ClassVar[bool] = True  # whether there is b_enc
    latent_parameters: ClassVar[dict[str, LatentParameter]] = {}  # by name
    # Whether the size of every latent is its own affair; otherwise latents are compared with each other or one threshold.
    own_scale: ClassVar[bool] = True
    # Whether a latent grows with W_enc and b_enc; otherwise only with its `latent_parameters`.
    scaled_by_encoder: ClassVar[bool] = True

    @property
    def fields_read(self) -> frozenset[str]:
        """Fields of the task that it reads and that some other architecture does not."""
        return frozenset((self.sparsity_field, *self.reads))

    @abstractmethod
    def latents(self, model: Any, pre: PreActivations) -> Float[Array, "n_latents batch"]:
        """The latents z as they are used after training."""

    def statistics(self, k: Any) -> dict[str, Any]:
        """Numbers that are kept with a model and not learned, by name, as they are before training. By default none."""
        return {}

    def penalty(self, model: Any, pre: PreActivations, z: Float[Array, "n_latents batch"]) -> Float[Array, ""] | None:
        r"""S, or None where `k` sets how sparse latents are. By default $S = E \sum_j z_j$ (times `pre.costs`)."""
        return None if self.sparsity_field == "k" else jnp.mean(jnp.sum(pre.priced(z), axis=0))

    def training_latents(self, model: Any, pre: PreActivations, task: Any) -> TrainingLatents:
        """The latents in training, and S. By default `latents` and `penalty`."""
        z = self.latents(model, pre)
        return TrainingLatents(z, self.penalty(model, pre, z))

    def auxiliary_error(
        self, model: Any, pre: PreActivations, h: Float[Array, "n_hidden batch"]
    ) -> Float[Array, ""] | None:
        """A further term of the training loss. By default None."""
        return None

    def residuals(
        self, model: Any, z: Float[Array, "n_latents batch"], h: Float[Array, "n_hidden batch"], task: Any
    ) -> list[Float[Array, "n_hidden batch"]]:
        r"""What reconstructions leave over, whose errors training adds up; the last one is $h - \hat h$, by default the
        only one."""
        return [h - model.decode(z, model.decoder)]

    def after_step(self, before: Any, model: Any, seen: Any, step: Any) -> None:
        """Change `model`, in place, after a step counted from 0. By default its `statistics` are those of `before`."""
        for name in self.statistics(1.0):
            getattr(model, name)[...] = getattr(before, name)[...]

    def check_k(self, k: np.ndarray, size: np.ndarray) -> None:
        """Raise `ConfigError` for a `k` that this cannot have; `size` latents exist, and both may be of many cells."""
        if self.whole_k and np.any(k % 1):
            fraction = float(k[k % 1 > 0].flat[0])
            raise ConfigError(f'k must be a whole number for architecture="{self.name}", got {fraction:g}.')
        if "k" in self.fields_read and np.any(k > size):
            too_large = np.broadcast_to(k > size, np.broadcast_shapes(k.shape, size.shape))
            k, size = (np.broadcast_to(values, too_large.shape)[too_large].flat[0] for values in (k, size))
            raise ConfigError(f"k must be at most the dictionary size, {size:g}, got {k:g}.")

    def rescale(self, model: Any, lengths: Float[Array, " n_latents"], exists: Bool[Array, " n_latents"]) -> None:
        """Let latents grow by factors, in place, with nothing left of those that do not exist."""
        in_encoder = lengths if self.scaled_by_encoder else jnp.ones_like(lengths)
        factors = {"W_enc": in_encoder[:, None], "b_enc": in_encoder}
        factors |= {name: lengths for name, p in self.latent_parameters.items() if p.growth == "factor"}
        for name, factor in factors.items():
            if (variable := getattr(model, name)) is not None:
                variable[...] = jnp.where(exists.reshape(factor.shape), variable[...] * factor, 0.0)
        for name, parameter in self.latent_parameters.items():
            if parameter.growth == "log":
                variable = getattr(model, name)
                variable[...] = parameter.grown(variable[...], lengths)


def mean_error(
    target: Float[Array, "n_hidden batch"], reconstruction: Float[Array, "n_hidden batch"]
) -> Float[Array, ""]:
    r"""$E\,\|t - f\|_2^2$: the sum over the hidden layer, the mean over inputs."""
    return jnp.mean(jnp.sum(jnp.square(target - reconstruction), axis=0))
