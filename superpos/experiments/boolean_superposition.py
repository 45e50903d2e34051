"""Gates of pairs of bits beside what they cost without superposition: Hänni et al. 2024; Newgas 2025."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.features import polysemanticity
from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult
from superpos.theory.boolean import affine_errors

# A gate counts as computed if it leaves less than this share of what the best affine readout of its features leaves.
COMPUTED_BELOW = 0.5
BEATS = "best seed below 1 at every density"


def measure(result: SweepResult) -> xr.Dataset:
    """Of every model, over the axes of `result`:

    * `relative`, `linear` and `bound`: its loss, that of the linear control, and the least that its rank allows (0 where
      none is known), over the naive baseline's.
    * `computed`: gates that leave less than half of what the best affine readout of all features leaves, a share of the
      number of neurons. Above 1 there are more of them than neurons.
    * `gates_per_neuron`, with an axis `hidden`: the effective number of outputs that a neuron writes to, the participation
      ratio of its column of W2; NaN for a neuron that never fires.
    """
    dims, shape = result["loss"].dims, result["loss"].shape
    rows = []
    for index in np.ndindex(shape):
        cell = result.isel(**dict(zip(map(str, dims), index, strict=True)))
        task: Any = cell.task()
        model = cell.model()
        naive = task.baseline().loss
        p = np.broadcast_to(np.asarray(task.feature_probability, float), (task.n_features,))
        affine = affine_errors(task.pairs(), p, task.operation, task.loss_exponent, np.ones(len(p), bool))
        computed = np.sum(np.asarray(task.error_per_gate(model)) < COMPUTED_BELOW * affine) / task.n_hidden
        fires = np.asarray(model.b1) + np.maximum(np.asarray(model.W1), 0).sum(axis=1) > 0
        served = np.where(fires, np.asarray(polysemanticity(np.asarray(model.W2).T)), np.nan)
        losses = (float(cell["loss"]), task.linear_control().loss, task.rank_bound())
        rows.append((*(loss / naive for loss in losses), computed, served))
    relative, linear, bound, computed, served = (np.array(column) for column in zip(*rows, strict=True))
    scalars = {"relative": relative, "linear": linear, "bound": bound, "computed": computed}
    data = {name: (dims, column.reshape(shape)) for name, column in scalars.items()}
    return xr.Dataset(
        {**data, "gates_per_neuron": ((*dims, "hidden"), served.reshape(*shape, -1))},
        {dim: result["loss"][dim].values for dim in dims},
    )


def judge(table: xr.Dataset, claims: Claims) -> None:
    """`measure`'s table over (operation, loss_exponent, feature_probability, seed)."""
    best = table["relative"].min("seed")
    linear = table["linear"].isel(seed=0)
    for operation in best["operation"].values:
        for q in best["loss_exponent"].values:
            at: Any = {"operation": operation, "loss_exponent": q}
            name = f"{str(operation).upper()}, L{q}"
            found, control = best.sel(at), linear.sel(at)
            shown = ", ".join(f"{v:.2f}" for v in found.values)
            holds = bool((found < 1).all())
            claims.add(f"{name}: beats the naive baseline", BEATS, f"{shown} of it", holds)
            share = found / control
            shown = ", ".join(f"{v:.2f}" for v in share.values)
            claims.add(
                f"{name}: beats the linear control",
                BEATS,
                f"{shown} of it",
                bool((share < 1).all()),
            )
    square = table.sel(loss_exponent=2)
    least = float((square["relative"] / square["bound"]).min())
    wanted, measured = "1 × the bound or more", f"{least:.2f} at least"
    claims.identity("L2: no model loses less than its rank allows", wanted, measured, least > 1 - 1e-4)
    computed = table["computed"].max("seed")
    most = float(computed.sel(loss_exponent=2).max())
    claims.add(
        "L2: gates below half of their affine error", "at most as many as neurons", f"{most:.2f} per neuron", most <= 1
    )
    sparsest = computed.sel(loss_exponent=4).isel(
        feature_probability=int(np.argmin(computed["feature_probability"].values))
    )
    shown = ", ".join(f"{v:.2f}" for v in sparsest.values)
    holds = bool((sparsest > 1).all())
    claims.add(
        "L4, sparsest: gates below half of their affine error", "more than neurons", f"{shown} per neuron", holds
    )
    middle = float(table["gates_per_neuron"].median())
    claims.add("a neuron serves several gates", "median above 1.5", f"{middle:.1f}", middle > 1.5)
