"""What a sweep's result says about itself: its configuration, its labels, and the versions that made it."""

import platform
from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import numpy as np

import superpos
from superpos.config import to_dict
from superpos.errors import ConfigError
from superpos.identity import code_of
from superpos.sweeping import budget, plan
from superpos.sweeping.grid import Grid
from superpos.sweeping.layout import Layout
from superpos.sweeping.variables import FORMAT
from superpos.tasks.base import Task
from superpos.training.loop import TrainConfig


def coordinates(config: TrainConfig, grid: Grid, layout: Layout) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Axis values of every cell, and the steps of snapshots and records, each with its dimensions."""
    coords: dict[str, tuple[tuple[str, ...], np.ndarray]] = {n: (("cell",), c) for n, c in grid.columns().items()}
    if config.snapshots:
        coords["snapshot_step"] = (("snapshot",), np.asarray(config.snapshots, np.int64))
    boundaries = [family.config.boundaries() for family in layout.families]
    if all(np.array_equal(steps, boundaries[0]) for steps in boundaries):
        coords["record_step"] = (("record",), boundaries[0])
    else:
        steps_of = np.full((grid.n_cells, max(len(steps) for steps in boundaries)), -1, np.int64)
        for family, steps in zip(layout.families, boundaries, strict=True):
            steps_of[family.cells, : len(steps)] = steps
        coords["record_step"] = (("cell", "record"), steps_of)
    return coords | ({} if layout.starts is None else layout.starts.coordinates())


def attributes(task: Task, config: TrainConfig, grid: Grid, layout: Layout, *, stored: bool = True) -> dict[str, Any]:
    """The whole configuration, as results and stores carry it; nothing that differs from run to run.

    Raises:
        ConfigError: the task's own code has no known identity, so what it trains cannot be `stored` and gone on with.
    """
    try:
        code: Any = code_of(task, config, named_by=registered_by(layout))
    except ConfigError as error:
        if stored:
            raise ConfigError(f"task cannot be swept to a store: {error}") from None
        code = {"unknown": str(error)}
    dtype = jax.tree.leaves(layout.families[0].task)[0].dtype
    return {
        "superpos": superpos.__version__,
        "format": FORMAT,
        "task": to_dict(task),
        **({"code": code} if code else {}),
        "train": to_dict(plan.stated(config, layout.families)),
        "grid": grid.describe(),
        "block_size": sorted(set(layout.block_sizes)),
        **({} if layout.kernel == "plain" else {"kernel": layout.kernel}),
        "precision": "highest",
        "dtype": str(np.dtype(dtype)),
        "platform": jax.default_backend(),
        "versions": dict(versions()),
        **({"cpu_threads": budget.cpu_threads()} if jax.default_backend() == "cpu" else {}),
        **({} if layout.starts is None else {"init": layout.starts.described()}),
    }


def kernel_of(attributes: Mapping[str, Any]) -> str:
    """The kernel that trained what these attributes are of; where they name none, the plain one did."""
    return attributes.get("kernel", "plain")


def registered_by(layout: Layout) -> list[Any]:
    """Tasks and configurations of all families: fields that name functions of one's own may be swept."""
    return [node for family in layout.families for node in (family.task, family.config)]


@cache
def versions() -> dict[str, str]:
    """Versions of everything that decides the bits of a result."""
    from importlib.metadata import version

    packages = ("jax", "jaxlib", "flax", "optax", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
