"""Crosscoders: one dictionary for the hidden layers of several models."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.sae.autoencoder import MIN_NORM, SAE
from superpos.models.sae.decoder_lengths import ROUNDING, added_norms, rounding_of


class Crosscoder(SAE):
    r"""Reconstruct the hidden layers $h^1, h^2, \dots$ of several models from the same latents.

    $$\hat h^m = W_\mathrm{dec}^m z + b_\mathrm{dec}^m, \qquad
    z = \sigma\Big(\sum_m W_\mathrm{enc}^m (h^m - b_\mathrm{dec}^m) + b_\mathrm{enc}\Big).$$

    The models' hidden layers lie one below the other: h has $n_1 + n_2 + \dots$ rows, with $n_m$ in `parts`, and so has
    `W_dec`; `W_enc` has as many columns. An `SAE` of that layer differs in one thing, the length of a column. Here it is
    $\sum_m \|W_{\mathrm{dec},j}^m\|_2$, and training keeps it at 1. So the published penalty
    $\sum_j z_j \sum_m \|W_{\mathrm{dec},j}^m\|$ is $\sum_j z_j$, and the largest latents are those that are largest as
    published, $z_j \sum_m \|W_{\mathrm{dec},j}^m\|$: latents and columns of any lengths have the same function in this form.

    The first `n_shared` latents are designated to be shared: all parts of their columns have one length.

    Lindsey et al. 2024, "Sparse Crosscoders for Cross-Layer Features and Model Diffing"; Minder et al. 2025 (BatchTopK);
    Mishra-Sharma et al. 2025, "Insights on Crosscoder Model Diffing" (designated shared features).
    """

    def __init__(self, W_dec: Any, W_enc: Any, *arguments: Any, parts: Any, n_shared: int = 0, **settings: Any):
        W_dec = jnp.asarray(arrays.as_array("W_dec", W_dec, shape=(None, None)))
        self.parts = check_parts(parts, W_dec.shape[0])
        check.integer("n_shared", n_shared, at_most=W_dec.shape[1])
        if W_enc is None:
            raise ConfigError("W_enc must be given: the rows of a crosscoder's encoder are no columns of its decoder.")
        if not settings.get("unit_columns"):
            check_shared(W_dec, self.parts, n_shared)
        self.n_shared = n_shared
        super().__init__(W_dec, W_enc, *arguments, **settings)

    @property
    def part_norms(self) -> Float[Array, "n_models n_latents"]:
        r"""$\|W_{\mathrm{dec},j}^m\|_2$ of every model m and latent j."""
        return self._of_parts(jnp.square(self.W_dec[...]))

    @property
    def decoder(self) -> Float[Array, "n_hidden n_latents"]:
        """The columns at length 1, the sum over the models; all parts as long as each other where they are to be shared."""
        return self.W_dec[...] / self._rows(self.part_norms)

    @property
    def lengths(self) -> Float[Array, "n_hidden n_latents"]:
        """What `decoder` divides every part by, exactly 1 where it is that up to rounding, or where there is no column."""
        L = self._rows(self.part_norms)
        return jnp.where((jnp.abs(L - 1) > rounding_of(L)) & (L > 0), L, 1.0)

    def _of_parts(self, squares: Float[Array, "n_hidden n_latents"]) -> Float[Array, "n_models n_latents"]:
        blocks = jnp.split(squares, list(np.cumsum(self.parts[:-1])))
        return jnp.stack([jnp.sqrt(jnp.sum(block, axis=0) + MIN_NORM**2) for block in blocks])

    def _rows(self, norms: Float[Array, "n_models n_latents"]) -> Float[Array, "n_hidden n_latents"]:
        """What each row of every column is divided by: the sum of the norms, or M times that of its own model."""
        total = jnp.broadcast_to(jnp.sum(norms, axis=0), norms.shape)
        shared = jnp.arange(norms.shape[1]) < self.n_shared
        by_part = jnp.where(shared, len(self.parts) * norms, total) if self.n_shared else total
        return jnp.repeat(by_part, np.array(self.parts), axis=0, total_repeat_length=sum(self.parts))


def check_parts(parts: Any, n_hidden: int) -> tuple[int, ...]:
    """How many dimensions each model has: at least two models, which together have `n_hidden`.

    Raises:
        ConfigError: they are not.
    """
    if not isinstance(parts, tuple | list) or len(parts) < 2:
        raise ConfigError(
            f"parts must be the hidden dimensions of two models or more, such as (10, 10), got {check.short(parts)}."
        )
    for size in parts:
        check.integer("parts: a number of dimensions", size, at_least=1)
    if sum(parts) != n_hidden:
        raise ConfigError(f"parts must add up to n_hidden, {n_hidden}, got {' + '.join(map(str, parts))}.")
    return tuple(int(size) for size in parts)


def check_shared(W_dec: Any, parts: tuple[int, ...], n_shared: int) -> None:
    """Raise `ConfigError` if a latent that is designated to be shared has parts of several lengths."""
    if not n_shared or arrays.is_traced(W_dec):
        return
    columns = np.asarray(W_dec, np.float64)[..., :n_shared]
    blocks = np.split(columns, np.cumsum(parts[:-1]), axis=-2)
    norms = np.stack([added_norms(block) for block in blocks])
    odd = np.ptp(norms, axis=0) > ROUNDING * np.max(norms, axis=0)
    if odd.any():
        raise ConfigError(
            f"W_dec must have parts of one length for the {n_shared} shared latents; latent "
            f"{int(np.argwhere(odd)[0][-1])} has {', '.join(f'{v:.4g}' for v in norms[:, odd][:, 0])}."
        )
