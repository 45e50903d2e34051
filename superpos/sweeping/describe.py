"""What a result says of itself in words: the lines it prints, and the settings that make it unusual."""

from typing import Any

import numpy as np

from superpos.console import printable_lines
from superpos.sweeping import foreign_models
from superpos.tasks.registry import described_as


def summary(result: Any) -> str:
    """Three lines: how many models over which axes, their sizes and training, and the spread of their losses."""
    task, train, dataset = result.attrs["task"], result.attrs["train"], result.dataset
    n_models = int(np.prod(list(result.sizes.values()), dtype=np.int64))
    over = " × ".join(f"{d} ({n})" for d, n in result.sizes.items()) or "one cell"
    loss = dataset["loss"].values
    spread = f"{np.nanmin(loss):.3g} … {np.nanmax(loss):.3g}" if np.isfinite(loss).any() else "none finite"
    settings = {**task, **train} | {a["field"]: "swept" for a in result.attrs["grid"]["axes"]}
    sizes = ", ".join(f"{k} {settings[k]}" for k in described_as(task["kind"]).SUMMARY if k in settings)
    if task["kind"] == foreign_models.KIND:
        return f"SweepResult of {n_models:,} models from elsewhere over {over}\n  {sizes or 'no W'}; loss {spread}"
    how = f"steps {'by objective' if settings['steps'] is None else settings['steps']}"
    if settings.get("objective") != "expected":
        how += f", batch_size {settings['batch_size']}"
    how += f", {settings['optimizer']}"
    if result.attrs.get("dtype") == "float64":
        how += ", in float64"
    n_diverged, n_missing = int((dataset["diverged_step"] >= 0).sum()), int(result.missing.sum())
    n_stopped = int((dataset["stopped_step"] >= 0).sum()) if "stopped_step" in dataset else 0
    ends = f"  loss {spread}"
    if n_diverged:
        ends += f"; {n_diverged} diverged"
    if n_stopped:
        ends += f"; {n_stopped:,} stopped early"
    if n_missing:
        ends += f"; UNFINISHED: {n_missing:,} models are missing"
    lines = [f"SweepResult of {n_models:,} {task['kind']} models over {over}", f"  {sizes}; {how}", ends]
    return printable_lines("\n".join(lines))  # names come from files


def unusual_settings(result: Any, n_features: int) -> list[str]:
    """Settings under which the optimum of the plain toy model is none to compare with: fields, or sentences."""
    task, axes = result.attrs["task"], result._axes.values()
    usual: dict[str, Any] = {"kind": "toy", "activation": "relu", "bias": True, "magnitude": "uniform"}
    usual |= {"loss_exponent": 2, "correlated_sets": [], "anticorrelated_sets": [], "attack_norm": 0}
    swept = {axis.field for axis in axes}
    unusual = [name for name, value in usual.items() if name in swept or task.get(name, value) != value]
    if "hidden_l1" in swept or task.get("hidden_l1"):
        unusual.append("hidden_l1")
    vectors = [axis.vectors for axis in axes if axis.field == "importance" and axis.vectors is not None]
    if vectors:
        importance_of_others = vectors[0][:, :-1]
    else:
        importance = np.asarray(task.get("importance", 1.0), float)
        importance_of_others = np.broadcast_to(importance, (n_features,))[:-1]
    if np.any(importance_of_others != 1):
        unusual.append("importance of the others is not 1")
    return unusual
