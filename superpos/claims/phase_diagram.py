"""Phase diagrams of 2→1 and 3→2: Elhage et al. 2022, "Superposition as a Phase Change"."""

import numpy as np
import xarray as xr

from superpos.experiments.claims import Claims
from superpos.theory.phases import candidate_losses


def judge(table: xr.Dataset, compared: xr.Dataset, n_features: int, claims: Claims) -> None:
    """The hard regions, the losses everywhere, and the labels away from the boundaries.

    `table` is a result's phase table, `compared` that table beside the optimum.
    """
    size = f"{n_features}→{n_features - 1}"
    p, r = table.feature_probability, table.relative_importance
    norm, phase = table["norm"], table["phase"]
    ignored = float(norm.where((p >= 0.5) & (r <= 0.3)).max())
    claims.add(f"{size}: dense and unimportant is ignored", "‖W_extra‖ < .1", f"{ignored:.3f}", ignored < 0.1)
    sparse = norm.where((p <= 0.1) & (r >= 0.1) & (r <= 10))
    if n_features == 2:
        off, shared = float(abs(sparse - 1).max()), phase.where(p <= 0.1, drop=True) == "in superposition"
        share = 100 * float(shared.mean())
        measured = f"norm off by {off:.3f}, {share:.1f} % in superposition"
        claims.add(f"{size}: sparse is an antipodal pair", "norm 1 ± .1, all", measured, off <= 0.1 and share == 100)
    same = 100 * float(compared["agrees"].mean())
    claims.add(f"{size}: phase of the true optimum", "≥ 97 % of cells", f"{same:.2f} %", same >= 97)
    excess = 100 * float(compared["excess"].max())
    share = 100 * float((compared["excess"] <= 0.02).mean())
    measured = f"{share:.2f} % of cells, worst {excess:.2f} %"
    claims.add(f"{size}: loss within 2 % of the true optimum's", "everywhere", measured, share == 100)
    losses = candidate_losses(n_features, *xr.broadcast(p, r))
    names, values = list(losses), np.stack([np.asarray(v) for v in losses.values()])
    predicted = _labels(names, n_features)[np.argmin(values, axis=0)]
    clear = _clear(np.argmin(values, axis=0), np.log(r.values)) & (
        np.broadcast_to(p.values[:, None], predicted.shape) <= 0.3
    )
    agree = 100 * float(np.mean(phase.transpose(*xr.broadcast(p, r)[0].dims).values[clear] == predicted[clear]))
    claims.add(
        f"{size}: label of the best candidate (1 − S ≤ .3, off boundaries)", "≥ 95 %", f"{agree:.2f} %", agree >= 95
    )


def _labels(names: list[str], n_features: int) -> np.ndarray:
    from superpos.theory.phases import candidates

    return np.array([c.phase for c in candidates(n_features) if c.name in names])


def _clear(winner: np.ndarray, log_r: np.ndarray) -> np.ndarray:
    """Cells whose winner is the same at all importances within a factor of 1.3; axes (density, importance)."""
    near = np.abs(log_r[:, None] - log_r[None]) <= np.log(1.3)
    return np.all((winner[:, :, None] == winner[:, None, :]) | ~near[None], axis=2)
