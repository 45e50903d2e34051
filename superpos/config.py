"""Tasks and training configurations as plain data (for sweep files and results), and back, strictly."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, get_args

import numpy as np

from superpos import check
from superpos.data import MAX_FEATURES
from superpos.errors import ConfigError
from superpos.tasks.base import numeric_fields
from superpos.tasks.registry import kind_of, task_class
from superpos.theory.series import chosen_order
from superpos.training.train_config import TrainConfig

# "0.9^i": a vector field that decays with the feature's index, as papers write it.
_DECAY = re.compile(r"\s*([0-9.eE+-]+)\s*(?:\^|\*\*)\s*i\s*")


def to_dict(node: Any) -> dict[str, Any]:
    """A task or TrainConfig as plain numbers, words and lists; tasks carry their name as `kind`."""
    data: dict[str, Any] = {}
    if not isinstance(node, TrainConfig):
        data["kind"] = kind_of(node)
    for field in fields(node):
        value = getattr(node, field.name)
        numeric = field.name in numeric_fields(node) and value is not None
        data[field.name] = np.asarray(value).tolist() if numeric else _lists(value)
    return data


def compared(data: Any) -> Any:
    """A task's plain data as two of them are compared: an `order` that was chosen is the same as that number given."""
    if not isinstance(data, Mapping) or data.get("kind", "toy") != "toy" or "order" not in data:
        return data
    n, m, order = (data.get(name) for name in ("n_features", "n_hidden", "order"))
    if order is None and isinstance(n, int) and isinstance(m, int) and min(n, m) >= 1:
        order = chosen_order(n, m)
    return {**data, "order": order}


def task_from_dict(data: Mapping[str, Any]) -> Any:
    """A task from plain data: `kind` (default "toy") and its fields.

    A vector field may be written "0.9^i". The word "none" is None where a field may be None, which TOML cannot write.
    Raises ConfigError for an unknown kind, and for an unknown or missing field, with the likely spelling.
    """
    data = dict(data)
    kind = data.pop("kind", "toy")
    return _build(task_class(kind), data, "task")


def train_config_from_dict(data: Mapping[str, Any]) -> TrainConfig:
    """A TrainConfig from plain data; the word "none" is None, as in `task_from_dict`.

    Raises ConfigError for an unknown field, with the likely spelling.
    """
    return _build(TrainConfig, data, "train")


def _build(cls: type, data: Mapping[str, Any], where: str) -> Any:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} must be a table of fields, got {data!r}.")
    known_fields = {f.name: f for f in fields(cls)}
    retired = getattr(cls, "RETIRED", {})
    data = {k: v for k, v in data.items() if k not in retired or v != retired[k]}
    for name in data:
        check.known_key(name, list(known_fields), where)
    missing = [
        n for n, f in known_fields.items() if n not in data and f.default is MISSING and f.default_factory is MISSING
    ]
    if missing:
        raise ConfigError(f"{where}.{missing[0]} is missing.")
    values = {}
    for name, value in data.items():
        if isinstance(value, str) and value == "none" and _may_be_none(known_fields[name]):
            values[name] = None
            continue
        values[name] = _tuples(value) if known_fields[name].metadata.get("static") else value
        if isinstance(value, str) and not known_fields[name].metadata.get("static"):
            values[name] = _decaying(name, value, data.get("n_features"))
    return cls(**values)


def _may_be_none(field: Any) -> bool:
    return field.default is None or type(None) in get_args(field.type)


def _decaying(name: str, text: str, n_features: Any) -> np.ndarray:
    match = _DECAY.fullmatch(text)
    try:
        base = float(match.group(1)) if match else None
    except ValueError:
        base = None
    if base is None or n_features is None:
        raise ConfigError(f'{name} must be a number, a list of numbers, or a formula such as "0.9^i", got {text!r}.')
    check.integer("n_features", n_features, at_least=1, at_most=MAX_FEATURES)
    with np.errstate(over="ignore"):  # infinite importance is refused by name later
        return base ** np.arange(n_features)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


def _lists(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return [_lists(v) for v in value] if isinstance(value, list | tuple) else value
