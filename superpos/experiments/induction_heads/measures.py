"""What is measured of trained models: scores of heads through training, by period, and without some of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos.analysis.heads import INDUCTION, MODES, PREVIOUS, ablated_losses, circuit_scores, measure_heads
from superpos.sweeping import SweepResult
from superpos.sweeping.table_cache import cached

NETWORKS = ("2 layers", "1 layer", "1 layer, fixed period")


def through_training(result: SweepResult, n_sequences: int = 64) -> xr.Dataset:
    """Scores of all heads and the loss at every snapshot, over (n_layers, seed, snapshot, layer, head)."""
    layers = int(result["n_layers"].max())
    tables = []
    for n_layers in result["n_layers"].values:
        for seed in result["seed"].values:
            cell: dict[str, Any] = {"n_layers": int(n_layers), "seed": int(seed)}
            task: Any = result.task(**cell)
            scores = _over_models(_with_period(task), result.snapshots(**cell), n_sequences)
            pad = [(0, 0), (0, layers - int(n_layers)), (0, 0)]
            heads = {n: np.pad(scores[n], pad, constant_values=np.nan) for n in ("previous_token", "prefix_matching")}
            variables = {n: (("snapshot", "layer", "head"), values) for n, values in heads.items()}
            variables |= {n: (("snapshot",), scores[n]) for n in ("loss", "accuracy", "uniform")}
            tables.append(xr.Dataset(variables).expand_dims({name: [value] for name, value in cell.items()}))
    table: Any = xr.combine_by_coords(tables)
    return table.assign_coords(step=("snapshot", result["snapshot_step"].values)).assign_attrs(
        chance=float(np.log(result.attrs["task"]["d_vocab"]))
    )


def _over_models(task: Any, models: Any, n_sequences: int) -> dict[str, np.ndarray]:
    models = jax.tree.map(np.asarray, models)  # cut into models without compiling anything
    count = len(jax.tree.leaves(models)[0])
    each = [measure_heads(task, jax.tree.map(lambda leaf, k=k: leaf[k], models), n_sequences) for k in range(count)]
    return {name: np.stack([np.asarray(scores[name]) for scores in each]) for name in each[0]}


def by_period(result: SweepResult, trap: SweepResult, periods: list[int], n_sequences: int = 128) -> xr.Dataset:
    """Loss, accuracy and the best head's prefix-matching score when all sequences have one period.

    Over (network, seed, period); `trap` are the models of one layer that were trained on a fixed one.
    """
    shape = (len(NETWORKS), len(result["seed"]), len(periods))
    variables = {name: np.zeros(shape) for name in ("loss", "accuracy", "prefix_matching")}
    for i, (cells, axes) in enumerate(((result, {"n_layers": 2}), (result, {"n_layers": 1}), (trap, {}))):
        for j, seed in enumerate(result["seed"].values):
            model, task = cells.model(**axes, seed=int(seed)), cells.task(**axes, seed=int(seed))
            for k, period in enumerate(periods):
                scores = measure_heads(_with_period(task, period), model, n_sequences)
                for name, values in variables.items():
                    values[i, j, k] = np.max(np.asarray(scores[name]))
    trained = result.attrs["task"]
    over = ("network", "seed", "period")
    return xr.Dataset(
        {name: (over, values) for name, values in variables.items()},
        {"network": list(NETWORKS), "seed": result["seed"].values, "period": periods},
        {
            "shortest": int(trained["shortest_period"]),
            "longest": int(trained["longest_period"]),
            "fixed": int(trap.attrs["task"]["shortest_period"]),
            "chance": float(np.log(trained["d_vocab"])),
        },
    )


def _with_period(task: Any, period: int | None = None) -> Any:
    """The task with one period, or as it is; numeric fields as arrays, so that all are one program."""
    return (replace(task, shortest_period=period, longest_period=period) if period else task).broadcast()


def head_sets(previous: np.ndarray, prefix: np.ndarray, draws: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Which heads to ablate together, by name: marks of shape (n_layers, n_heads).

    Every head alone; the induction heads of the last layer; the previous-token heads of the first; and random others, as
    many as there are induction heads (all of them where there are no more: one draw is enough then).
    """
    induction, before = np.zeros(prefix.shape, bool), np.zeros(prefix.shape, bool)
    induction[-1], before[0] = prefix[-1] > INDUCTION, previous[0] > PREVIOUS
    others = np.argwhere(~induction & ~before)
    sets = {"induction heads": induction, "previous-token heads": before}
    count = min(int(induction.sum()), len(others))
    rng = np.random.default_rng(seed)
    for draw in range(1 if count == len(others) else draws):
        chosen = np.zeros_like(induction)
        chosen[tuple(rng.permutation(others)[:count].T)] = True
        sets[f"other heads {draw + 1}"] = chosen
    for layer, head in np.ndindex(prefix.shape):
        sets[f"head {layer}.{head}"] = np.zeros_like(induction)
        sets[f"head {layer}.{head}"][layer, head] = True
    return sets


def without_heads(cell: SweepResult, n_sequences: int = 256) -> xr.Dataset:
    """Loss of one model of two layers without each of the `head_sets`, over (set, mode), and the intact loss.

    `removed` is the share of the gain over chance, ln V − loss, that is gone. With it, what the heads score and what they
    are made of: `circuit_scores`.
    """
    model, task = cell.model(), _with_period(cell.task())
    scores = measure_heads(task, model, n_sequences)
    sets = head_sets(np.asarray(scores["previous_token"]), np.asarray(scores["prefix_matching"]))
    losses = np.asarray(ablated_losses(task, model, jnp.asarray(np.stack([*sets.values()])), n_sequences))
    circuit = circuit_scores(model)
    intact, chance = float(scores["loss"]), float(np.log(cell.attrs["task"]["d_vocab"]))
    return xr.Dataset(
        {
            "loss": (("set", "mode"), losses),
            "removed": (("set", "mode"), (losses - intact) / (chance - intact)),
            "heads": (("set", "layer", "head"), np.stack([*sets.values()])),
            "previous_token": (("layer", "head"), np.asarray(scores["previous_token"])),
            "prefix_matching": (("layer", "head"), np.asarray(scores["prefix_matching"])),
            "copying": (("layer", "head"), circuit["copying"]),
            "ov_eigenvalues": (("layer", "head"), circuit["ov_eigenvalues"]),
            "k_composition": (("earlier", "later"), circuit["k_composition"]),
        },
        {"set": [*sets], "mode": list(MODES)},
        {"intact": intact, "chance": chance},
    )


def without_heads_of(result: SweepResult, path: Path, **options: Any) -> dict[int, xr.Dataset]:
    """The table of `without_heads` of every seed of the models of two layers, each cached beside `path` under its seed."""
    beside = {int(seed): path.with_name(f"{path.stem}_{seed}.zarr") for seed in result["seed"].values}
    return {
        seed: cached(at, without_heads, result.sel(n_layers=2, seed=seed), **options) for seed, at in beside.items()
    }


def drawn_patterns(cell: SweepResult, trap: SweepResult, period: int, n_sequences: int = 32) -> xr.Dataset:
    """Attention of the four heads in the picture, over (panel, query, key), with the period of each sequence.

    The best previous-token and induction head of a model of two layers, and the best head of a trap at its own period and
    at `period`.
    """
    fixed, panels = int(trap.attrs["task"]["shortest_period"]), []
    for network, at, layer, name in (
        (cell, period, 0, "previous_token"),
        (cell, period, 1, "prefix_matching"),
        (trap, fixed, 0, "prefix_matching"),
        (trap, period, 0, "prefix_matching"),
    ):
        # Heads of the trap are chosen by its own period, also where another is drawn.
        at_own_period, at_drawn_period = (
            measure_heads(_with_period(network.task(), p), network.model(), n_sequences)
            for p in (fixed if network is trap else at, at)
        )
        head = int(np.argmax(np.asarray(at_own_period[name])[layer]))
        panels.append((at, layer, head, np.asarray(at_drawn_period["pattern"])[layer, head]))
    at, layer, head, patterns = (np.stack(column) for column in zip(*panels, strict=True))
    variables = {"period": at, "layer": layer, "head": head}
    return xr.Dataset(
        {"pattern": (("panel", "query", "key"), patterns)} | {n: (("panel",), v) for n, v in variables.items()}
    )
