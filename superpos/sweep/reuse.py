"""Train once, draw often."""

from pathlib import Path
from typing import Any

import numpy as np

from superpos.config import task_from_dict, to_dict, train_config_from_dict
from superpos.errors import ConfigError
from superpos.sweep import plan
from superpos.sweep import store as stores
from superpos.sweep.grid import Grid
from superpos.sweep.result import SweepResult, open_result
from superpos.sweep.run import sweep
from superpos.tasks import REGISTRY
from superpos.tasks.base import Task
from superpos.train import TrainConfig, check_all


def load_or_sweep(path: str | Path, task: Task, config: TrainConfig | None, grid: Grid, **options: Any) -> SweepResult:
    """The result at `path` if there is one, else train the sweep and save it there.

    Raises:
        ConfigError: the result at `path` is of another sweep; the message names the first difference.
    """
    path = stores.writable(path, overwrite=True)
    if not path.exists():
        return sweep(task, config, grid, store=path, **options)
    result = open_result(path)
    config = TrainConfig() if config is None else config
    check_all(task, config)
    if not isinstance(grid, Grid):
        raise ConfigError(f"grid must be a superpos.Grid, got {type(grid).__name__}.")
    stated = plan.stated(config, plan.families(task, config, grid))
    wanted = {"task": to_dict(task), "train": to_dict(stated), "grid": grid.describe()}
    for part, here in wanted.items():
        there = _today(part, result.attrs[part])
        if different := [key for key in here if here[key] != there.get(key)]:
            raise ConfigError(f"{path} holds another sweep: its {part}.{different[0]} differs; choose another path.")
    for name, values in grid.columns().items():
        coordinate = result[name]
        column = coordinate.broadcast_like(result["loss"]).transpose(*result["loss"].dims).values.ravel()
        if not np.array_equal(column, values):
            raise ConfigError(f"{path} holds another sweep: its axis {name} differs; choose another path.")
    wanted_size = options.get("block_size")
    if wanted_size is not None and result.attrs["block_size"] != [wanted_size]:
        raise ConfigError(f"{path} holds another sweep: its block_size differs; choose another path.")
    return result


def _today(part: str, attributes: Any) -> Any:
    """A stored configuration with the fields that it is too old to name."""
    if part == "task" and attributes.get("kind", "toy") in REGISTRY:
        return to_dict(task_from_dict(attributes))
    return to_dict(train_config_from_dict(attributes)) if part == "train" else attributes
