"""Activations of a forward pass by name: kept in a cache, and changed on the way."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from superpos import arrays, check
from superpos.errors import ConfigError

# What an activation becomes: this value, or a function of the value it would have had.
Edit = Array | np.ndarray | Callable[[Array], Array]
Interventions = Mapping[str, Edit]


class Recorder:
    """`value = keep(name, value)`: changes the value if an intervention names it, and keeps it in `cache`.

    `names` are all there are. What is computed from the returned value follows the change, and the cache has the new value.

    Raises:
        ConfigError: an intervention names no activation, or its new value has another shape.
    """

    def __init__(self, names: tuple[str, ...], interventions: Interventions | None):
        self.cache: dict[str, Array] = {}
        if interventions is not None and not isinstance(interventions, Mapping):
            raise ConfigError(
                f"interventions must map names of activations to values, got {check.short(interventions)}."
            )
        self.interventions = dict(interventions or {})
        for name in self.interventions:
            if name not in names:
                raise ConfigError(_unknown(name, names))

    def __call__(self, name: str, value: Array) -> Array:
        if name in self.interventions:
            edit = self.interventions[name]
            with np.errstate(over="ignore"):
                new = edit(value) if callable(edit) else jnp.asarray(arrays.plain(name, edit), value.dtype)
            if np.shape(new) != value.shape:
                raise ConfigError(f"{name} must have shape {value.shape}, got {np.shape(new)}.")
            value = new
        self.cache[name] = value
        return value

    def block(self, layer: int) -> Callable[[str, Array], Array]:
        """The same for the activations of one layer, named without `blocks.{layer}.`."""
        return lambda name, value: self(f"blocks.{layer}.{name}", value)


def ablate(index: object, to: object = 0.0) -> Callable[[Array], Array]:
    """An intervention that sets one part of an activation and leaves the rest: `ablate(2)` switches head 2 off.

    `to` is 0, a mean over other sequences (mean ablation), or the same part of another cache (activation patching):
    `ablate(2, to=cache["blocks.1.attn.z"][2])`. `index` is any index: a head, several as
    `jnp.array([0, 2])`, `(2, slice(5, 9))`.
    """
    return lambda value: value.at[index].set(to)


def _unknown(name: str, names: tuple[str, ...]) -> str:
    first = [n for n in names if not n.startswith("blocks.") or n.startswith("blocks.0.")]
    last = max(int(n.split(".")[1]) for n in names if n.startswith("blocks."))
    return (
        f"interventions has no activation {name!r}.{check.suggestion(name.replace('hook_', ''), names)} "
        f"Activations, with blocks.0 to blocks.{last}: {', '.join(first)}."
    )
