"""Train once, draw often."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from superpos.config import compared, task_from_dict, to_dict, train_config_from_dict
from superpos.errors import ConfigError, shortened
from superpos.identity import code_difference, code_of
from superpos.sweeping import plan
from superpos.sweeping.attributes import kernel_of, registered_by
from superpos.sweeping.grid import Grid
from superpos.sweeping.layout import Layout
from superpos.sweeping.result import SweepResult, open_result
from superpos.sweeping.store import reader, writer
from superpos.tasks.base import Task
from superpos.tasks.registry import is_known
from superpos.training.loop import TrainConfig


def completed_result(
    path: Path,
    task: Task,
    config: TrainConfig,
    grid: Grid,
    layout: Layout,
    block_size: int | None = None,
    kernel: str = "auto",
) -> SweepResult | None:
    """The result at `path` if every model of it is trained; None if some are missing.

    A finished result of the same settings is taken whatever versions or machine made it.

    Raises:
        ConfigError: it is of another sweep; the message names the first difference.
    """
    contents = reader.opened(path)
    if contents.attributes["format"] != 1 and not contents.complete:
        return None
    result = open_result(path, same_as=contents.source.held)
    settings = {"task": to_dict(task), "train": to_dict(plan.stated(config, layout.families)), "grid": grid.describe()}
    for part, current in settings.items():
        current, stored = compared(current), compared(_today(part, result.attrs[part]))
        if different := [key for key in current if current[key] != stored.get(key)]:
            key = different[0]
            raise ConfigError(
                f"{path} holds another sweep: {part}.{key} differs, {shortened(repr(stored.get(key)), 200)} there and "
                f"{shortened(repr(current[key]), 200)} here; {writer.INSTEAD}."
            )
    if changed := code_difference(result.attrs.get("code"), code_of(task, config, named_by=registered_by(layout))):
        raise ConfigError(f"{path} holds another sweep: {changed}; {writer.INSTEAD}.")
    dtype = str(jax.tree.leaves(layout.families[0].task)[0].dtype)
    if result.attrs.get("dtype", dtype) != dtype:
        raise ConfigError(
            f"{path} holds another sweep: its numbers are {result.attrs['dtype']}, here they are {dtype}; {writer.INSTEAD}."
        )
    for name, values in grid.columns().items():
        coordinate = result[name]
        column = coordinate.broadcast_like(result["loss"]).transpose(*result["loss"].dims).values.ravel()
        if not np.array_equal(column, values):
            raise ConfigError(f"{path} holds another sweep: its axis {name} differs; {writer.INSTEAD}.")
    current = None if layout.starts is None else layout.starts.described()
    if (stored := result.attrs.get("init")) != current:
        start = "other weights" if stored and current else "given weights" if stored else "weights of their own"
        raise ConfigError(f"{path} holds another sweep: its models start from {start}; {writer.INSTEAD}.")
    if block_size is not None and result.attrs["block_size"] != [block_size]:
        raise ConfigError(f"{path} holds another sweep: its block_size differs; {writer.INSTEAD}.")
    if kernel != "auto" and (stored := kernel_of(result.attrs)) != kernel:
        raise ConfigError(f"{path} holds another sweep: kernel is {stored} there and {kernel} here; {writer.INSTEAD}.")
    return result


def _today(part: str, attributes: Any) -> Any:
    """A stored configuration with the fields that it is too old to name."""
    if part == "task" and is_known(attributes.get("kind", "toy")):
        return to_dict(task_from_dict(attributes))
    return to_dict(train_config_from_dict(attributes)) if part == "train" else attributes
