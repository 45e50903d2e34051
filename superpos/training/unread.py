"""Settings without effect.

Every task and every optimiser knows which fields it does not read, given the others. The rule: **a grid axis over a field
that no cell of the grid reads is refused** (in a listed design, an axis of one value is only a label); **a field that is
set away from its default and is read by no cell is warned about**, in one line on the logger `superpos`, once everything
else is found in order. A field counts as read if it changes what is trained, reported, recorded or scored.
"""

import logging
from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from superpos import arrays
from superpos.errors import shortened
from superpos.training import optimizers
from superpos.training.stopping import stops

log = logging.getLogger("superpos")


def unread(task: Any, config: Any) -> dict[str, str]:
    """Fields of a task and its training that have no effect given the others, each with why.

    Numeric fields may have a leading axis of cells; a field is unread where it is so in all of them. Tasks say it in
    `unread()`, which may name fields of `TrainConfig` too.
    """
    reasons = {**optimizers.unread(config), **task.unread()}
    if getattr(task, "bias", True) is False:
        reasons["decay_bias"] = "the model has no biases"
    if not stops(config):
        reasons["stop_metric"] = "neither stop_below nor stop_above is set"
    return reasons


def without_effect(nodes: Iterable[Any], names: dict[str, str], left_out: Iterable[str] = ()) -> list[str]:
    """One sentence for every field of `nodes` among `names` that was set away from its default."""
    sentences = []
    for node in nodes:
        for field in fields(node):
            value = getattr(node, field.name)
            if field.name in names and field.name not in left_out and _away(value, field.default):
                sentences.append(f"{field.name} = {_short(value)} has no effect: {names[field.name]}.")
    return sentences


def warn(task: Any, config: Any) -> None:
    """Warn about the fields of one model that were set away from their defaults and are not read, or likely mislead."""
    for sentence in without_effect((task, config), unread(task, config)) + approximation_warnings(task):
        log.warning("%s", sentence)


def approximation_warnings(task: Any) -> list[str]:
    """Sentences about what a task minimises instead of its loss, where that is likely to mislead."""
    approximation = task.approximation()
    return [] if approximation is None else approximation.warnings()


def _away(value: Any, default: Any) -> bool:
    """Whether a value differs from the default, numbers as single precision has them."""
    if value is None or default is MISSING or arrays.is_traced(value):
        return False
    if default is None or isinstance(default, str | tuple) or isinstance(value, str | tuple):
        return value != default if default is not None else True
    return bool(np.any(np.asarray(value, np.float32) != np.float32(default)))


def _short(value: Any) -> str:
    number = isinstance(value, float | np.floating) or (hasattr(value, "dtype") and np.ndim(value) == 0)
    return shortened(f"{float(value):g}" if number else repr(value), most=40)
