"""Transcoders: a layer that computes, in latents of which few are active."""

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays
from superpos.errors import ConfigError
from superpos.models.sae.autoencoder import SAE
from superpos.models.toy import FULL_PRECISION


class Transcoder(SAE):
    r"""What a layer makes of its input h, from few latents at a time.

    $$\hat y = W_\mathrm{dec} z + b_\mathrm{dec} + W_\mathrm{skip} h, \qquad
    z = \sigma(W_\mathrm{enc} h + b_\mathrm{enc}).$$

    As an `SAE`, but what is reconstructed is not what is read: rows of `W_enc` are directions before the layer, columns of
    `W_dec` directions after it, and nothing is subtracted from h. `W_skip`, (n_hidden, n_hidden), goes past the latents; None
    is a plain transcoder.

    Dunefsky, Chlenski and Nanda 2024, "Transcoders Find Interpretable LLM Feature Circuits"; Paulo, Shabalin and Belrose
    2025, "Transcoders Beat Sparse Autoencoders for Interpretability" (the skip).
    """

    CENTRED: ClassVar[bool] = False
    W_skip: Any = None

    def __init__(self, W_dec: Any, W_enc: Any, *arguments: Any, W_skip: Any = None, **settings: Any):
        if W_enc is None:
            raise ConfigError("W_enc must be given: a transcoder does not read what it writes.")
        super().__init__(W_dec, W_enc, *arguments, **settings)
        if W_skip is not None:
            width = self.W_dec.shape[0]
            W_skip = arrays.as_array("W_skip", W_skip, shape=(width, width))
            self.W_skip = nnx.Param(jnp.asarray(W_skip, self.W_dec[...].dtype))

    @property
    def DIMS(self) -> dict[str, tuple[str, ...]]:
        """Names of the axes of each parameter, for labelled results."""
        return {**super().DIMS, "W_skip": ("hidden", "read")}

    def without_skip(
        self, h: Float[Array, "n_hidden batch"], target: Float[Array, "n_hidden batch"]
    ) -> Float[Array, "n_hidden batch"]:
        """What the skip leaves of a target for the latents to reconstruct."""
        return target if self.W_skip is None else target - jnp.dot(self.W_skip[...], h, precision=FULL_PRECISION)

    def __call__(self, h: Float[Array, "n_hidden batch"]) -> Float[Array, "n_hidden batch"]:
        """What the layer makes of a batch of inputs, (n_hidden, batch)."""
        made = self.decode(self.encode(h))
        return made if self.W_skip is None else made + jnp.dot(self.W_skip[...], h, precision=FULL_PRECISION)
