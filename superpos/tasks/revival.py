"""Give latents that never fire another start."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from superpos.arrays import Scalar
from superpos.models.sae import MIN_NORM, SAE

WAYS = ("none", "resample", "auxiliary")

SILENT = 1e-7  # share of the inputs


class Inputs(NamedTuple):
    """What a batch of inputs was not reconstructed of."""

    residuals: Float[Array, "n_hidden batch"]  # h − ĥ
    squares: Float[Array, " batch"]  # their squared lengths
    rows: Any = None  # (n_hidden, batch): what rows of the encoder are pointed at, where that is not the residual


def dead(model: SAE, dead_below: Scalar) -> Bool[Array, " n_latents"]:
    """Which latents exist and are active less often than `dead_below` × the mean of all that exist.

    Below `SILENT` any is dead, or none would be once all are silent. The literature calls latents dead that never fire. A
    latent that fires once in 10,000 inputs is as good as lost, and no batch is so large that it could be told by silence.
    """
    frequency, exists = model.frequency[...], model.exists
    mean = jnp.sum(jnp.where(exists, frequency, 0.0)) / jnp.maximum(jnp.sum(exists), 1)
    return jax.lax.stop_gradient(exists & (frequency < jnp.maximum(dead_below * mean, SILENT)))


def resample(
    model: SAE,
    optimizer: Any,
    inputs: Inputs,
    key: PRNGKeyArray,
    *,
    dead_below: Scalar,
    scale: Scalar,
    initial_threshold: Scalar,
) -> tuple[SAE, Any]:
    r"""Point dead latents at what is badly reconstructed.

    For each, an input of its own is drawn with a probability proportional to the square of its loss $\|h - \hat h\|^2$,
    without replacement: two latents with the same column and row would stay the same for ever. The new decoder column is the
    direction of its residual $h - \hat h$, the encoder row the same times `scale` × the mean length of the living rows,
    biases are 0, parameters of the architecture have their first values, and the optimiser's memories of the latent are
    cleared.

    Bricken et al. 2023, "Towards Monosemanticity", appendix, take the input h, and rows of 0.2 × the mean length, which here
    are too short to win against a threshold or a top k: 5→2 is recovered with 1 … 1.5, not with 0.5. The residual leaves
    out what other latents explain already (as ARENA's exercises do).
    """
    restart = dead(model, dead_below)
    logits = 2 * jnp.log(inputs.squares + MIN_NORM)
    drawn = jnp.argsort(-(logits + jax.random.gumbel(key, logits.shape, logits.dtype)))  # in the order of a draw
    turn = jnp.cumsum(restart) - 1  # the first dead latent takes the first input, and so on
    restart &= turn < len(drawn)
    chosen = drawn[jnp.clip(turn, 0, len(drawn) - 1)]
    columns = _directions(inputs.residuals[:, chosen])
    rows = columns if inputs.rows is None else _directions(inputs.rows[:, chosen])
    restart &= inputs.squares[chosen] > MIN_NORM  # nothing is missing: there is nothing to point at
    parameters = model.kind.latent_parameters
    new: dict[str, Any] = {"W_dec": columns, "b_enc": 0.0}
    new |= {name: parameter.initial(initial_threshold) for name, parameter in parameters.items()}
    if model.W_enc is not None:
        lengths = jnp.linalg.norm(model.W_enc[...], axis=1)
        living = model.exists & ~restart
        mean = jnp.sum(jnp.where(living, lengths, 0.0)) / jnp.maximum(jnp.sum(living), 1)
        new["W_enc"] = rows.T * (scale * jnp.where(mean > 0, mean, 1.0))
    restarted = _replaced(model, restart, new)
    frequency = model.frequency[...]
    restarted.frequency[...] = jnp.where(restart, jnp.max(frequency), frequency)  # not dead before it had its chance
    clear = dict.fromkeys(model.latent_axes, 0.0)

    def cleared(node: Any) -> Any:
        return _replaced(node, restart, clear) if isinstance(node, SAE) else node

    return restarted, jax.tree.map(cleared, optimizer, is_leaf=lambda node: isinstance(node, SAE))


def _directions(columns: Float[Array, "n_hidden n"]) -> Float[Array, "n_hidden n"]:
    """The same columns with length 1; a column of 0 stays one."""
    norms = jnp.sqrt(jnp.sum(jnp.square(columns), axis=0, keepdims=True) + MIN_NORM**2)
    return columns / norms


def _replaced(model: SAE, restart: Bool[Array, " n_latents"], new: dict[str, Any]) -> SAE:
    """A copy of a model, or of what an optimiser remembers of one, with other numbers for some latents."""
    model = jax.tree.map(lambda leaf: leaf, model)
    for name, axis in model.latent_axes.items():
        leaf = getattr(model, name)
        if leaf is not None:
            shape = [-1 if k == axis else 1 for k in range(leaf.ndim)]
            leaf[...] = jnp.where(jnp.reshape(restart, shape), new[name], leaf[...])
    return model
