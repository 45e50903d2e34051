"""A penalty that removes superposition: Elhage et al. 2022, "Approaches to Solving Superposition"."""

from typing import cast

import jax
import numpy as np
import xarray as xr

from superpos.analysis.phases import PHASES
from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult
from superpos.tasks import Toy

_SAMPLES = 16_384


def penalised_loss(result: SweepResult) -> xr.DataArray:
    r"""What was minimised, $L + \lambda E\|h\|_1 / n$, of every model over (feature_probability, hidden_l1, seed).

    The penalty is estimated on the same inputs for all models of one density. Restarts are chosen by this number: the
    one of least reconstruction loss would be the one that obeys the penalty least.
    """
    order = ("feature_probability", "hidden_l1", "seed")
    W, loss = result["W"].transpose(*order, "hidden", "feature"), result["loss"].transpose(*order)
    total = loss.copy(deep=True)
    for k in range(loss.sizes["feature_probability"]):
        features = cast(Toy, result.isel(feature_probability=k, hidden_l1=0, seed=0).task()).features
        x = np.asarray(features.sample(jax.random.key(0), _SAMPLES))
        for j, weight in enumerate(loss.hidden_l1.values):
            hidden = np.abs(W.values[k, j] @ x).sum(axis=1).mean(axis=-1)  # of every seed
            total[k, j] += weight * hidden / len(x)
    return total


def alignment(W: xr.DataArray, represented: xr.DataArray) -> xr.DataArray:
    """Mean over represented features of the largest |cosine| with a hidden axis: 1 if all lie along axes."""
    along = abs(W).max("hidden") / np.sqrt((W**2).sum("hidden"))
    return along.where(represented).mean("feature")


def judge(
    loss: xr.DataArray, table: xr.Dataset, regime: xr.DataArray, along: xr.DataArray, n_hidden: int, claims: Claims
) -> None:
    """Counts, interference, price, phase and basis; all of the best restart, over (feature_probability, hidden_l1).

    `loss` is the reconstruction loss, `table` the geometry, `regime` that of `superpos.analysis.regimes`, `along` the
    `alignment`.
    """
    over = ("feature_probability", "hidden_l1")
    count, shared = (a.transpose(*over) for a in (table["n_represented"], mean_interference(table)))
    crowded = count.values[:, 0] > n_hidden  # densities where there is superposition to remove
    numbers, crowd = count.values[crowded], shared.values[crowded]
    statement, wanted = "represented features fall to m as λ grows", f"from more than {n_hidden} through {n_hidden}"
    measured = f"at {len(numbers)} densities: " + ", ".join("→".join(map(str, _runs(row))) for row in numbers)
    falls = bool(len(numbers)) and all(n_hidden in row and np.all(np.diff(row) <= 0) for row in numbers)
    claims.add(statement, wanted, measured, falls)
    last = float(crowd[numbers <= n_hidden].max(initial=0))
    measured = f"from {crowd[:, 0].min(initial=np.inf):.2f} or more to {last:.3f} or less"
    claims.add("mean interference goes to 0", "below .05 where m or fewer are left", measured, last < 0.05)
    price = loss.transpose(*over).values
    fall = 100 * float((1 - price[:, 1:] / price[:, :-1]).max(initial=0))
    claims.add("the loss rises with λ at every density", "no fall (above ½ %)", f"largest {fall:.2f} %", fall <= 0.5)
    free = [_longest(row) for row in (regime.transpose(*over).values == PHASES[1])[crowded]]
    measured = f"{min(free, default=0)} to {max(free, default=0)} at {len(free)} densities"
    wanted = "2 or more neighbouring λ at each of them"
    claims.add("a regime without superposition exists as a phase", wanted, measured, min(free, default=0) >= 2)
    along = along.transpose(*over)[crowded]
    bare, penalised = float(along[:, 0].mean()), float(along[:, 1].mean())
    measured = f"{penalised:.3f} at the least λ, {bare:.2f} without"
    claims.add("any penalty turns features onto the hidden axes", "mean |cos| ≥ .95", measured, penalised >= 0.95)


def mean_interference(table: xr.Dataset) -> xr.DataArray:
    """Mean interference of the represented features of every model; 0 where there are none."""
    return table["interference"].where(table["represented"]).mean("feature").fillna(0)


def _runs(values: np.ndarray) -> list[int]:
    """The values without repetitions."""
    return [int(v) for k, v in enumerate(values) if k == 0 or v != values[k - 1]]


def _longest(row: np.ndarray) -> int:
    """Length of the longest run of True."""
    best = here = 0
    for value in row:
        here = here + 1 if value else 0
        best = max(best, here)
    return best
