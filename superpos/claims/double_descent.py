"""Memorisation and double descent: Henighan et al. 2023, "Superposition, Memorization, and Double Descent".

The bump of the test loss is much higher at n = 1,000, p = .01 than the paper's, at n = 10,000, p = .001: ten times as many
fresh points share a feature with a memorised one. Measured at T = 200 after 10,000 steps, one seed: 1.81 and 1.05.
"""

from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.features import DEAD_BELOW
from superpos.analysis.geometry import geometries
from superpos.claims.base import Claims
from superpos.config import task_from_dict
from superpos.sweep import SweepResult
from superpos.tasks.base import ready

# A point of a polygon has m/T, within this share of it.
POLYGON_WITHIN = 0.1
# Vectors of a model that are looked at for a shape, the longest.
MOST_NAMED = 48
DIMS = ("weight_decay", "n_points")
# Sizes at which points must form polygons.
POLYGON_SIZES = (5, 10)


def measure(result: SweepResult) -> xr.Dataset:
    """What the model of least training loss learned, by `weight_decay` and `n_points`.

    Variables: `test_loss` and `train_loss` of every seed, and the place of the `best` of them; of that model `norm` ‖W‖_F,
    `bias` ‖b‖, mean `point_share` and `least_point_share` (D_X), largest `feature_share` (D_f), `n_features_learned` (longer
    than half of the longest), their `shape` in words, that of the points' hidden vectors (`point_shape`), and `rings`:
    whether hidden vectors lie on circles of two radii.
    """
    points = np.asarray(ready(task_from_dict(result.attrs["task"])).points).T
    train = _last(result).transpose(*DIMS, "seed")
    best = train.fillna(np.inf).argmin("seed")
    Ws, biases = (
        result[name].transpose(*DIMS, "seed", ...).isel(seed=best).transpose(*DIMS, ...) for name in ("W", "b")
    )
    Ws = Ws.transpose(*DIMS, "hidden", "feature")
    rows, longest = [], {"shape": [], "point_shape": []}
    for i, j in np.ndindex(best.shape):
        W = Ws.values[i, j]
        H = W @ points[:, : int(best["n_points"][j])]
        norms, share = np.linalg.norm(W, axis=0), shares(H)
        rows.append(
            {
                "norm": np.linalg.norm(W),
                "bias": np.linalg.norm(biases.values[i, j]),
                "point_share": share.mean(),
                "least_point_share": share.min(),
                "feature_share": shares(W).max(),
                "n_features_learned": np.sum(norms > norms.max() / 2),
                "rings": two_radii(np.linalg.norm(H, axis=0)),
            }
        )
        for name, vectors in (("shape", W), ("point_shape", H)):
            longest[name].append(_longest(vectors))
    found: dict[str, Any] = {
        name: (DIMS, np.reshape([float(row[name]) for row in rows], best.shape)) for name in rows[0]
    }
    found |= {
        name: (DIMS, np.reshape([shape.name for shape in geometries(np.stack(vectors))], best.shape))
        for name, vectors in longest.items()
    }
    found |= {"train_loss": train, "test_loss": result["loss"].transpose(*DIMS, "seed"), "best": best}
    found = {name: value if isinstance(value, tuple) else (value.dims, value.values) for name, value in found.items()}
    return xr.Dataset(found, {name: result[name].values for name in (*DIMS, "seed")})


def of_best(table: xr.Dataset) -> xr.DataArray:
    """Test loss of the seed of least training loss, as in the paper."""
    return table["test_loss"].isel(seed=table["best"])


def shares(vectors: np.ndarray) -> np.ndarray:
    """Dimensionalities of columns from their second moment: no table of all pairs, and nothing to compile for each T.

    The sum over k of (v̂_j · v_k)² is v̂_jᵀ V Vᵀ v̂_j. Columns of almost no length have 0, as in `feature_dimensionality`.
    """
    vectors = np.asarray(vectors, float)
    squared = np.sum(vectors**2, axis=0)
    total = np.sum(vectors * (vectors @ vectors.T @ vectors), axis=0)
    alive = squared > DEAD_BELOW**2 * squared.max()
    return np.where(alive, squared**2 / np.where(alive, total, 1), 0)


def _longest(vectors: np.ndarray) -> np.ndarray:
    """The longest columns, in units of the longest of all, and zeros up to a fixed number."""
    norms = np.linalg.norm(vectors, axis=0)
    first = vectors[:, np.argsort(-norms, kind="stable")[:MOST_NAMED]] / (norms.max() or 1)
    return np.pad(first, ((0, 0), (0, MOST_NAMED - first.shape[1])))


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
    loss = of_best(weak)
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
    highest = float(of_best(strong).max())
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
