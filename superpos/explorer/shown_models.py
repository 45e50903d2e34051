"""Which models of a sweep a page shows in full: the best of every setting, as many as there is room for."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr

from superpos.errors import ConfigError
from superpos.explorer import encode
from superpos.explorer.page_data import axes_of
from superpos.plot.appearance import caption
from superpos.sweeping import SweepResult
from superpos.sweeping.progress import Progress

# Axes along which models are repetitions of one setting.
REPETITIONS = ("seed", "source")
# How many transformers a page shows in full, and how many characters all of them may take.
MAX_SHOWN, MAX_CHARACTERS = 32, 4_000_000
# Points of a curve that a page can draw.
MAX_POINTS = 400


def pack_transformers(
    result: SweepResult,
    describe: Callable[[SweepResult], dict[str, Any]],
    *,
    accuracy: str,
    most: int = MAX_SHOWN,
    progress: bool | None = None,
) -> dict[str, Any]:
    """What the pages of transformers have in common: axes, loss and accuracy of every cell, and models in full.

    `describe` is what is shown of one model, given its cell; `accuracy` names the recorded metric that colours the map. At
    most `most` models are described, and no more than 4 million characters: first the model of lowest loss of every
    setting, then the second of every setting, and so on. `shown` lists them with their cells.

    Raises:
        ConfigError: no model of the sweep is sound.
    """
    dataset = result.dataset if result.sizes else result.dataset.expand_dims("cell")
    result, lead = SweepResult(dataset), list(result.sizes) or ["cell"]
    axes, places, flat = placed_axes(dataset, lead)
    loss = dataset["loss"].transpose(*lead).values.ravel().astype(float)
    sound = ((dataset["diverged_step"] < 0) & ~result.missing).transpose(*lead).values.ravel()
    if not sound.any():
        raise ConfigError("no model of this sweep is sound: all diverged or are missing.")
    codes = {axis["name"]: index for axis, index in zip(axes, places, strict=True)}
    order = best_first(codes, np.where(sound, loss, np.nan))[:most]
    shown, room = [], MAX_CHARACTERS
    with Progress(len(order), doing="describing", enabled=progress) as bar:
        for cell in order:
            if room <= 0:
                break
            at = np.unravel_index(cell, tuple(result.sizes.values()))
            one = result.isel(**{d: int(i) for d, i in zip(lead, at, strict=True)})
            shown.append({"cell": int(cell), **describe(one)})
            room -= len(json.dumps(shown[-1]))
            bar.advance(1)
    recorded = _last_recorded(dataset, f"{accuracy}_history", lead)
    return {
        "caption": caption(dataset.attrs),
        "n_cells": len(loss),
        "axes": axes,
        "flat": flat,
        "loss": encode.numbers(np.where(sound, loss, np.nan), log=True),
        "accuracy": None if recorded is None else encode.numbers(np.where(sound, recorded, np.nan)),
        "sound": encode.whole(sound),
        "shown": shown,
    }


def placed_axes(dataset: xr.Dataset, lead: list[str]) -> tuple[list[dict[str, Any]], list[np.ndarray], bool]:
    """The axes with the place of every cell along each (`index`), the places as arrays, and whether the design is flat."""
    axes, flat = axes_of(dataset, lead)
    grid = np.indices([dataset.sizes[d] for d in lead]).reshape(len(lead), -1)
    places = []
    for number, axis in enumerate(axes):
        if flat and axis["name"] in dataset.coords:
            index = np.unique(dataset.coords[axis["name"]].values, return_inverse=True)[1]
        else:
            index = grid[0 if flat else number]
        places.append(np.asarray(index))
        axis["index"] = encode.whole(index)
    return axes, places, flat


def best_first(codes: Mapping[str, np.ndarray], loss: np.ndarray) -> np.ndarray:
    """Cells with a loss: the best of every setting, then the second best of every setting, …

    `codes` are the places of every cell along each axis, by its name.
    """
    sound = np.flatnonzero(np.isfinite(loss))
    columns = [column[sound].tolist() for name, column in codes.items() if name not in REPETITIONS]
    settings = list(zip(*columns, strict=True)) if columns else [()] * len(sound)
    rank, last_rank = np.zeros(len(sound), int), {}
    for i in np.argsort(loss[sound], kind="stable"):
        rank[i] = last_rank[settings[i]] = last_rank.get(settings[i], -1) + 1
    return sound[np.lexsort((sound, rank))]


def models_through_training(cell: SweepResult) -> tuple[list[Any], np.ndarray]:
    """The model of one cell at every snapshot and at the end, and the steps of these; only the end without snapshots."""
    run = cell.cell()
    stopped = -1 if run.stopped_step is None else int(run.stopped_step)
    end = int(run.config.steps) if stopped < 0 else stopped
    models: list[Any] = []
    steps: list[int] = []
    if run.snapshots is not None:
        stacked = jax.tree.map(np.asarray, run.snapshots)  # cut into models without compiling anything
        for k, step in enumerate(run.config.snapshots):
            if step <= end:
                models.append(jax.tree.map(lambda leaf, k=k: leaf[k], stacked))
                steps.append(int(step))
    if not steps or steps[-1] != end:
        models.append(jax.tree.map(np.asarray, run.model))
        steps.append(end)
    return models, np.asarray(steps)


def recorded_curves(cell: SweepResult, names: Mapping[str, str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Steps at which training recorded something, and the curves: `names` maps recorded names to those of the page.

    "loss" is the training loss. Curves that were not recorded are left out.
    """
    run = cell.cell()
    curves = {"loss": run.history.loss, **run.history.metrics}
    curves = {names[n]: np.asarray(v, float) for n, v in curves.items() if n in names and v is not None}
    steps = run.config.boundaries()
    some = evenly(len(steps), MAX_POINTS)
    return steps[some], {name: values[some] for name, values in curves.items()}


def evenly(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` places, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _last_recorded(dataset: xr.Dataset, name: str, lead: list[str]) -> np.ndarray | None:
    """The last finite value of a recorded metric, for every cell."""
    if name not in dataset or "record" not in dataset[name].dims:
        return None
    curves = dataset[name].transpose(*lead, "record").values.reshape(-1, dataset.sizes["record"]).astype(float)
    last = np.where(np.isfinite(curves), np.arange(curves.shape[1]), 0).max(axis=1)
    return curves[np.arange(len(curves)), last]
