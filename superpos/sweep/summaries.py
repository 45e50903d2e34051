"""Losses along every axis of a result, for TensorBoard and Weights & Biases: optional, and only told what is finished."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from superpos.errors import ConfigError
from superpos.sweep.result import SweepResult


def check(tensorboard: Path | None, wandb: str | None) -> None:
    """Raise `ConfigError` for a logger that is not installed, before anything is trained."""
    for name, wanted, package in (("tensorboard", tensorboard, "tensorboardX"), ("wandb", wandb, "wandb")):
        if wanted is not None and find_spec(package) is None:
            raise ConfigError(f"{name} needs {package}: pip install 'superpos[{name}]'.")


def along_axes(result: SweepResult) -> dict[str, list[tuple[float, float, float]]]:
    """For every axis of numbers: its values, and mean and least loss over the cells that have each."""
    loss = result["loss"]
    flat = loss.values.ravel()
    found = {}
    for axis in (a["name"] for a in result.attrs["grid"]["axes"]):
        column = loss.coords[axis].broadcast_like(loss).transpose(*loss.dims).values.ravel()
        if column.dtype.kind not in "iuf":
            continue
        rows = []
        for value in np.unique(column):
            there = flat[(column == value) & np.isfinite(flat)]
            if len(there):
                rows.append((float(value), float(there.mean()), float(there.min())))
        found[axis] = rows
    return found


def write(result: SweepResult, *, tensorboard: Path | None = None, wandb: str | None = None) -> None:
    """Log mean and least loss along every axis: the step is the position along the axis."""
    if tensorboard is None and wandb is None:
        return
    rows = along_axes(result)
    if tensorboard is not None:
        _to_tensorboard(rows, tensorboard)
    if wandb is not None:
        _to_wandb(rows, wandb, result.attrs)


def _to_tensorboard(rows: dict[str, list[tuple[float, float, float]]], folder: Path) -> None:
    from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

    with SummaryWriter(str(folder)) as writer:
        for axis, points in rows.items():
            for step, (value, mean, least) in enumerate(points):
                writer.add_scalar(f"{axis}/value", value, step)
                writer.add_scalar(f"{axis}/loss_mean", mean, step)
                writer.add_scalar(f"{axis}/loss_min", least, step)


def _to_wandb(rows: dict[str, list[tuple[float, float, float]]], project: str, attributes: dict[str, Any]) -> None:
    import wandb  # pyright: ignore[reportMissingImports]

    with wandb.init(project=project, config=attributes) as run:
        for axis, points in rows.items():
            table = wandb.Table(columns=[axis, "loss_mean", "loss_min"], data=[list(p) for p in points])
            run.log({f"{axis}/table": table, f"{axis}/loss": wandb.plot.line(table, axis, "loss_min", title=axis)})
