"""Losses along every axis of a result, for TensorBoard and Weights & Biases: optional, and only told what is finished."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from superpos.errors import ConfigError
from superpos.extras import install_command
from superpos.sweeping.result import SweepResult
from superpos.sweeping.sorting import firsts
from superpos.sweeping.store import writer


def check(tensorboard: Path | None, wandb: str | None, target: Path | None = None) -> None:
    """Raise `ConfigError`, before anything is trained to `target`, for a logger that is not installed or has no place.

    Neither writes inside a result, be it there already or the one that is to come.
    """
    for name, setting, package in (("tensorboard", tensorboard, "tensorboardX"), ("wandb", wandb, "wandb")):
        if setting is not None and find_spec(package) is None:
            raise ConfigError(f"{name} needs {package}: {install_command(name)}.")
    if tensorboard is not None:
        _check_folder("tensorboard", tensorboard, target)
    if wandb is not None:  # where it keeps its own files, whatever is sent
        _check_folder("wandb", Path(os.environ.get("WANDB_DIR") or ".") / "wandb", target)


def _check_folder(name: str, folder: Path, target: Path | None) -> None:
    place = writer.outside(folder, f"{name} folder")
    if writer.is_ours(place) or (target is not None and writer.outside(target) in (place, *place.parents)):
        raise ConfigError(f"{name} folder {folder} lies inside a result; choose another path.")
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise ConfigError(f"{name} folder {folder} cannot be made: {place} is a file.")


def along_axes(result: SweepResult) -> dict[str, list[tuple[float, float, float]]]:
    """For every axis of numbers: its values, and mean and least loss over the cells that have each."""
    loss = result["loss"]
    flat = loss.values.ravel()
    rows = {}
    for axis in (a["name"] for a in result.attrs["grid"]["axes"]):
        column = loss.coords[axis].broadcast_like(loss).transpose(*loss.dims).values.ravel()
        if column.dtype.kind not in "iuf":
            continue
        finite = np.isfinite(flat)
        order = np.argsort(column[finite], kind="stable")
        ordered, losses = column[finite][order], flat[finite][order]
        starts = np.flatnonzero(firsts(ordered))
        groups = zip(ordered[starts], np.split(losses, starts[1:]), strict=True) if len(starts) else ()
        rows[axis] = [(float(value), float(group.mean()), float(group.min())) for value, group in groups]
    return rows


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
