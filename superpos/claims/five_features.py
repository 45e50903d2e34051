"""Five features in two dimensions: Elhage et al. 2022, opening figure."""

import numpy as np
import xarray as xr

from superpos.analysis.features import angle_gaps
from superpos.claims.base import Claims
from superpos.sweep import SweepResult


def judge(result: SweepResult, table: xr.Dataset, claims: Claims) -> None:
    """Two directions, two antipodal pairs, a pentagon: at the densities of the paper's three panels.

    `table` is the result's geometry.
    """
    best = result.best("seed")
    dense, middle = (best.sel(feature_probability=p, method="nearest") for p in (1.0, 0.2))
    norms = np.linalg.norm(dense["W"], axis=0)
    said = " ".join(f"{v:.2f}" for v in norms)
    holds = np.all(np.abs(norms - [1, 1, 0, 0, 0]) <= 0.05)
    claims.add("dense: the two most important features alone", "norms 1 1 0 0 0 ± .05", said, holds)
    loss = 5 * float(dense["loss"])
    claims.add("dense: loss, sum over features", ".1829 ± 1 %", f"{loss:.4f}", abs(loss / 0.1829 - 1) < 0.01)
    W = middle["W"].values
    four = np.argsort(np.linalg.norm(W, axis=0))[1:]
    fifth, between = float(np.linalg.norm(W, axis=0).min()), np.asarray(angle_gaps(W[:, four]))
    measured = f"gaps {between.min():.1f}…{between.max():.1f}°, the fifth {fifth:.2f}"
    wanted = "gaps 90 ± 3°, the fifth below .1"
    claims.add("1 − S ≈ .2: two orthogonal pairs", wanted, measured, np.all(np.abs(between - 90) <= 3) and fifth < 0.1)
    found, holds = [], True
    for cell in (best.isel(feature_probability=k) for k in range(best.dims["feature_probability"])):
        if float(cell["feature_probability"]) <= 0.1:
            norms, between = np.linalg.norm(cell["W"], axis=0), np.asarray(angle_gaps(cell["W"].values))
            even = np.ptp(norms) / norms.mean() <= 0.2
            holds &= even and np.all(np.abs(between - 72) <= 8) and np.all(cell["b"] < 0)
            found.append(np.abs(between - 72).max())
    measured = f"at {len(found)} densities, worst gap {max(found):.1f}° from 72°" if found else "no such density"
    wanted = "gaps 72 ± 8°, norms within 10 %, b < 0"
    claims.add("1 − S ≤ .1: a pentagon", wanted, measured, holds and bool(found))
    shapes = table["shape"].isel(seed=result.best_index("seed"))
    named = [str(shapes.sel(feature_probability=p, method="nearest").item()) for p in (1.0, 0.2, 0.05)]
    wanted = ["2 × dedicated", "2 × antipodal pair", "pentagon"]
    claims.add("the analyser names all three", ", ".join(wanted), ", ".join(named), named == wanted)
