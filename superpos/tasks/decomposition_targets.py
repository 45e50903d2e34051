"""Trained models as targets of decompositions: what of them and their task is taken over, and which weights are allowed."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from superpos import arrays, check
from superpos.data import FeatureDistribution
from superpos.errors import ConfigError
from superpos.tasks.base import Task


def settings_of_toy(toy: Any, W: Any, b: Any, known: Sequence[str]) -> dict[str, Any]:
    """The fields of a `ParameterDecomposition`, whose names are `known`, that toy models decide; see its `of_toy`."""
    if not isinstance(toy, Task) or not hasattr(toy, "features"):
        raise ConfigError(f"toy must be a task such as superpos.tasks.Toy(...), got {check.short(toy)}.")
    if (hidden := getattr(toy, "hidden_activation", "identity")) != "identity":
        raise ConfigError(f"toy must be of models with the hidden layer Wx, not with one of {hidden}.")
    features: Any = getattr(toy, "features", None)
    if not isinstance(features, FeatureDistribution):
        raise ConfigError("toy must have the inputs of Toy, not features of its own.")
    unread = [f for f in fields(FeatureDistribution) if f.name not in known]
    if more := [f.name for f in unread if not _is_default(getattr(features, f.name), f.default)]:
        raise ConfigError(f"toy must have the inputs of Toy, without {more[0]}.")
    W, b = arrays.weights_and_bias("W", W, b)
    if (W := arrays.as_numpy("W", W)).ndim < 2:
        raise ConfigError(f"W must have shape (n_hidden, n_features), or several such, got {W.shape}.")
    lead, several = W.shape[:-2], W.ndim > 2
    shared = set(known) & {f.name for f in fields(toy)}  # type: ignore[arg-type]
    of_target: dict[str, Any] = {name: getattr(toy, name) for name in shared}
    of_target["target_W"] = W.reshape(-1, *W.shape[-2:]) if several else W
    if b is not None:
        b = arrays.as_numpy("b", b, shape=(*lead, W.shape[-1]))
        of_target["target_b"] = b.reshape(-1, b.shape[-1]) if several else b
    return of_target


def settings_of_networks(
    model: Any, read: Callable[[Any], tuple[dict[str, Any], dict[str, Any]]], a: str, one: str
) -> dict[str, Any]:
    """The fields of a decomposition that a trained network decides, or a list of them, whose weights are stacked.

    `read` gives the structure and the weights of one. `a` names it, and `one` what a list has to share beside its shapes.

    Raises:
        ConfigError: the list is empty, or networks differ in more than their weights; and what `read` raises.
    """
    several = isinstance(model, list | tuple)
    given = list(model) if several else [model]
    if not given:
        raise ConfigError(f"model must be a {a}, or a list of them, got an empty list.")
    structures, weights = zip(*map(read, given), strict=True)
    shapes = [{name: np.shape(value) for name, value in of_one.items()} for of_one in weights]
    if any(other != structures[0] for other in structures) or any(other != shapes[0] for other in shapes):
        raise ConfigError(f"model must be a list of {a}s of one {one} and shape, which differ in their weights.")
    stacked = {name: np.stack([of_one[name] for of_one in weights]) for name in weights[0]}
    return structures[0] | (stacked if several else weights[0])


def check_target(task: Any) -> None:
    """Raise `ConfigError` unless the target of a `ParameterDecomposition` is finite and of the shapes that it says."""
    expected = (task.n_hidden, task.n_features)
    if task.target_W is None:
        if task.target_b is not None:
            raise ConfigError("target_b must be left out where target_W is: a random target has no bias.")
        return
    check.finite_array("target_W", task.target_W)
    check.in_range("target_W", task.target_W, at_least=-arrays.MAX_WEIGHT, at_most=arrays.MAX_WEIGHT)
    shape = tuple(np.shape(task.target_W))
    if len(shape) not in (2, 3) or shape[-2:] != expected or 0 in shape:
        raise ConfigError(
            f"target_W must have shape (n_hidden, n_features) = {expected}, or several such, got {shape}."
        )
    if task.target_b is not None:
        check.finite_array("target_b", task.target_b)
        if (got := tuple(np.shape(task.target_b))) != (*shape[:-2], task.n_features):
            raise ConfigError(f"target_b must have one number per feature of target_W, got shape {got}.")


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (np.ndim(value) == 0 and bool(value == default))
