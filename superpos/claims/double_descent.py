"""Memorisation and double descent: Henighan et al. 2023, "Superposition, Memorization, and Double Descent"."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis import feature_dimensionality, feature_norms, geometry, point_dimensionality
from superpos.claims.base import Claims
from superpos.config import task_from_dict
from superpos.sweep import SweepResult
from superpos.tasks.base import ready

# A point of a polygon has m/T, within this share of it.
POLYGON_WITHIN = 0.1
# Sizes at which points must form polygons.
POLYGON_SIZES = (5, 10)


def measure(result: SweepResult) -> xr.Dataset:
    """What the model of least training loss learned, by `weight_decay` and `n_points`.

    Variables: `test_loss` and `train_loss` of every seed; of the best seed `norm` ‖W‖_F, `bias` ‖b‖, mean `point_share` and
    `least_point_share` (D_X), largest `feature_share` (D_f), `n_features_learned`
    (longer than half of the longest), their `shape` in words and
    that of the points' hidden vectors (`point_shape`), and `rings`: whether hidden vectors lie on circles of two radii.
    """
    points = np.asarray(ready(task_from_dict(result.attrs["task"])).points).T
    train = _last(result).transpose("weight_decay", "n_points", "seed")
    test = result["loss"].transpose("weight_decay", "n_points", "seed")
    best = train.fillna(np.inf).argmin("seed")
    names = ("norm", "bias", "point_share", "least_point_share", "feature_share", "n_features_learned", "rings")
    numbers = {name: np.zeros(best.shape) for name in names}
    words = {name: np.full(best.shape, "", object) for name in ("shape", "point_shape")}
    for i, j in np.ndindex(best.shape):
        cell = result.isel(weight_decay=i, n_points=j, seed=int(best[i, j]))
        W, T = cell["W"].transpose("hidden", "feature").values, int(best["n_points"][j])
        H = W @ points[:, :T]
        lengths, norms = np.linalg.norm(H, axis=0), np.asarray(feature_norms(W))
        learned = norms > norms.max() / 2
        numbers["norm"][i, j], numbers["bias"][i, j] = np.linalg.norm(W), np.linalg.norm(cell["b"].values)
        shares = np.asarray(point_dimensionality(H))
        numbers["point_share"][i, j], numbers["least_point_share"][i, j] = shares.mean(), shares.min()
        numbers["feature_share"][i, j] = np.max(np.asarray(feature_dimensionality(W)))
        numbers["n_features_learned"][i, j] = learned.sum()
        numbers["rings"][i, j] = two_radii(lengths)
        words["shape"][i, j] = geometry(W[:, learned] / norms.max()).name
        words["point_shape"][i, j] = geometry(H / lengths.max()).name if T <= 50 else "many points"
    dims = ("weight_decay", "n_points")
    found = {name: (dims, values) for name, values in numbers.items()}
    found |= {name: (dims, values.astype(str)) for name, values in words.items()}
    coords = {name: result[name].values for name in (*dims, "seed")}
    return xr.Dataset(
        {
            **found,
            "test_loss": ((*dims, "seed"), test.values),
            "train_loss": ((*dims, "seed"), train.values),
            "best": (dims, best.values),
        },
        coords,
    )


def _last(result: SweepResult) -> xr.DataArray:
    history = result["loss_history"]
    inner = [d for d in history.dims if d not in result.dims]
    return history.isel({inner[0]: -1})


def two_radii(lengths: Any) -> bool:
    """Whether vectors lie on two circles: lengths in two tight groups of two or more, far apart (a failed optimum)."""
    ordered = np.sort(np.asarray(lengths, float))
    if len(ordered) < 4:
        return False
    cut = int(np.argmax(np.diff(ordered))) + 1
    inner, outer = ordered[:cut], ordered[cut:]
    gap = outer[0] - inner[-1]
    return bool(min(cut, len(outer)) >= 2 and gap > 2 * max(np.ptp(inner), np.ptp(outer)) and gap > 0.2 * ordered[-1])


def judge(table: xr.Dataset, claims: Claims, *, full: bool = False) -> None:
    """Polygons of points, a bump of the test loss, features at large T, and weight decay; over all sizes trained."""
    weak, strong = table.isel(weight_decay=0), table.isel(weight_decay=-1)
    sizes = [int(T) for T in table["n_points"].values if POLYGON_SIZES[0] <= T <= POLYGON_SIZES[1]]
    # The mean says little: it is m/T for every tight frame, also one of a few long vectors. The least does not hide them.
    least = {T: float(weak["least_point_share"].sel(n_points=T)) for T in sizes}
    off = {T: abs(least[T] * T / 2 - 1) for T in sizes}
    measured = ", ".join(f"T = {T}: {least[T]:.3f}" for T in sizes)
    claims.add(
        "few points: each has m/T of the hidden layer, as on a regular polygon",
        f"least D_X within {POLYGON_WITHIN:.0%} of 2/T",
        measured,
        bool(off) and max(off.values()) <= POLYGON_WITHIN,
    )
    few = float(weak["feature_share"].isel(n_points=0))
    claims.add("few points: features have almost nothing", "largest D_f below 0.1", f"{few:.3f}", few < 0.1)
    loss = weak["test_loss"].mean("seed")
    top = int(np.argmax(loss.values))
    spread = float(weak["test_loss"].std("seed").isel(n_points=[0, top, -1]).max())
    ends = (float(loss[0]), float(loss[-1]))
    holds = 0 < top < len(loss) - 1 and loss[top] > 1 and float(loss[top]) > max(ends) + spread
    claims.add(
        "the test loss has a bump in between",
        "largest inside, above 1 and above both ends by more than the seeds' spread",
        f"{float(loss[top]):.4f} at T = {int(loss['n_points'][top])}; ends {ends[0]:.4f} and {ends[1]:.4f}; "
        f"spread {spread:.4f}",
        holds,
    )
    last = weak.isel(n_points=-1)
    shape, norm = str(last["shape"].values), float(last["norm"])
    claim = f"T = {int(last['n_points'])}: features form a pentagon, points have no share"
    said = (
        f"{shape}, largest D_f {float(last['feature_share']):.2f}, D_X {float(last['point_share']):.4f}, ‖W‖ {norm:.2f}"
    )
    wanted = "pentagon, ‖W‖_F within 10 % of √5"
    if full:
        claims.add(claim, wanted, said, shape == "pentagon" and abs(norm / np.sqrt(5) - 1) < 0.1)
    else:
        claims.needs_full(claim, wanted, said)
    highest = float(strong["test_loss"].mean("seed").max())
    decay = float(table["weight_decay"][-1])
    claims.add(f"weight decay {decay:g} removes the bump", "test loss nowhere above 1", f"{highest:.4f}", highest <= 1)
    norms = weak["norm"]
    peak = int(np.argmax(norms.values))
    claims.add(
        "‖W‖_F rises with T, peaks and falls",
        "largest inside",
        f"{float(norms[0]):.2f}, {float(norms[peak]):.2f} at T = {int(norms['n_points'][peak])}, {float(norms[-1]):.2f}",
        0 < peak < len(norms) - 1,
    )
