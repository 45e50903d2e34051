"""Terms of the losses of sparse autoencoders beside the plain error, and what their settings may be together."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.arrays import Scalar
from superpos.data.manifolds import check_dimensions
from superpos.errors import ConfigError
from superpos.models.sae import SAE, architecture_of
from superpos.models.sae.base import FIELDS_OF_SOME, mean_error
from superpos.models.sae.sparse_activations import top_k
from superpos.models.toy import FULL_PRECISION
from superpos.tasks import revival


def auxiliary_error(
    model: SAE,
    positive: Float[Array, "n_latents batch"],
    residual: Float[Array, "n_hidden batch"],
    k: int,
    dead_below: Scalar,
) -> Float[Array, ""]:
    """Error of modelling the residual with the k largest dead latents, 0 where none is dead.

    The residual is given, not learned. `positive` is ReLU(a). Gao et al. 2024, section 2.4.
    """
    dead = revival.dead(model, dead_below)
    z = top_k(jnp.where(dead[:, None], positive, 0.0), jnp.asarray(k, float))
    modelled = jnp.dot(model.decoder, z, precision=FULL_PRECISION)
    return jnp.where(jnp.any(dead), mean_error(jax.lax.stop_gradient(residual), modelled), 0.0)


def unread(task: Any) -> dict[str, str]:
    """Fields of a `SparseAutoencoder` that have no effect given the others, each with why."""

    def never(value: Any) -> bool:
        return not arrays.is_traced(value) and not np.any(np.asarray(value))

    kind = f'architecture="{task.architecture}" does not read it'
    architecture = architecture_of(task.architecture)
    unread_fields = dict.fromkeys((field for field in FIELDS_OF_SOME if field not in architecture.fields_read), kind)
    if not architecture.encoder:
        unread_fields["tied"] = f'architecture="{task.architecture}" has no encoder'
    way = f'revival="{task.revival}" does not read it'
    if task.revival != "resample":
        unread_fields |= dict.fromkeys(("resample_every", "resample_until", "resample_scale"), way)
    elif never(task.resample_until):
        unread_fields |= dict.fromkeys(("resample_every", "resample_scale"), "resample_until is 0")
    elif task.tied or not architecture.encoder:
        unread_fields["resample_scale"] = "these autoencoders have no rows of the encoder"
    if task.revival != "auxiliary":
        unread_fields |= dict.fromkeys(("auxiliary_coefficient", "auxiliary_k"), way)
    elif never(task.auxiliary_coefficient):
        unread_fields["auxiliary_k"] = "auxiliary_coefficient is 0"
    if task.output_bias is None:
        unread_fields |= dict.fromkeys(
            ("activation", "importance"), "the output of the toy model is not known (output_bias)"
        )
    if task.directions is not None and np.ndim(task.directions) == 2:
        unread_fields["source"] = "directions are of one toy model"
    parents = [parent for parent in task.parents if parent >= 0]
    if len(set(parents)) == len(parents):
        unread_fields["exclusive_children"] = "no feature has two children"
    return unread_fields


def check_encoder(task: Any, models: str) -> None:
    """Raise `ConfigError` for what `models` that do not read what they write cannot have."""
    if not task.kind.encoder:
        raise ConfigError(
            f'architecture must have an encoder for {models}, but "{task.architecture}" reads by the decoder.'
        )
    if task.initial_columns != "random":
        raise ConfigError(f'initial_columns must be "random" for {models}: inputs are not what their columns write.')


def check_directions(task: Any) -> None:
    """Raise `ConfigError` unless the directions of the features, and the biases beside them, have their shapes."""
    expected = (task.n_hidden, task.n_features)
    if task.directions is None and task.manifolds != ():
        check_dimensions(task.manifolds, task.n_hidden)
    if task.directions is not None:
        check.finite_array("directions", task.directions)
        shape = tuple(np.shape(task.directions))
        if len(shape) not in (2, 3) or shape[-2:] != expected:
            raise ConfigError(
                f"directions must have shape (n_hidden, n_features) = {expected}, or several such, got {shape}."
            )
    if task.output_bias is not None:
        check.finite_array("output_bias", task.output_bias)
        shape = tuple(np.shape(task.output_bias))
        if task.directions is None or shape != (*np.shape(task.directions)[:-2], task.n_features):
            raise ConfigError(f"output_bias must have one number per feature of `directions`, got shape {shape}.")


def check_prefixes(prefixes: Any, weights: Any) -> None:
    """Raise `ConfigError` unless these are increasing fractions that end with 1, and as many weights or None."""
    if not isinstance(prefixes, tuple) or not prefixes:
        raise ConfigError(f"prefixes must be a tuple of fractions such as (0.25, 1.0), got {check.short(prefixes)}.")
    check.in_range("prefixes", prefixes, above=0, at_most=1)
    if list(prefixes) != sorted(set(prefixes)) or prefixes[-1] != 1:
        raise ConfigError(f"prefixes must be increasing fractions, the last one 1, got {list(prefixes)}.")
    if weights is None:
        return
    check.finite_array("prefix_weights", weights)
    check.in_range("prefix_weights", weights, at_least=0)
    if np.shape(weights)[-1:] != (len(prefixes),):
        raise ConfigError(
            f"prefix_weights must be one number for each of {len(prefixes)} prefixes, got shape {np.shape(weights)}."
        )
    if not arrays.is_traced(weights) and np.any(np.asarray(weights)[..., -1] != 1):
        raise ConfigError(
            f"prefix_weights must end with 1, to which the others relate, got {float(np.ravel(weights)[-1]):g}."
        )
