"""Latents of children that swallow their parents: Chanin et al. 2024, "A is for Absorption"; Bussmann et al. 2025."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.matching import cosines, match
from superpos.experiments.claims import Claims
from superpos.train import materialize

STANDARD = {"relu": "ReLU", "topk": "TopK", "batch_topk": "BatchTopK"}
NAMES = {**STANDARD, "matryoshka": "Matryoshka"}
ERRORS = 3  # a difference counts from so many standard errors over the dictionaries on
NOTHING = 0.05  # absorption up to this is none


def family_cosines(task: Any, model: Any) -> xr.DataArray:
    """Cosines of true features (rows) and decoder columns, the latent matched to each feature first, in their order.

    Dims (feature, latent), as many latents as features at most; coordinates are their numbers.
    """
    full = materialize(task.broadcast())
    used = np.flatnonzero(np.asarray(model.exists))
    C = cosines(np.asarray(full.directions), np.asarray(model.decoder)[:, used])
    matched = match(C).latent
    order = matched[matched >= 0]
    return xr.DataArray(
        C[:, order], dims=("feature", "latent"), coords={"feature": np.arange(len(C)), "latent": used[order]}
    )


def over_sources(table: xr.Dataset) -> xr.Dataset:
    """Mean over the dictionaries (`source`) of every score of a table over (λ or k, source), and as `…_error` its standard
    error (0 of one dictionary)."""
    scores = table[["absorption", "splitting", "l0", "l0_true"]].reset_coords(drop=True)
    n = scores.sizes["source"]
    error = scores.std("source", ddof=1 if n > 1 else 0) / np.sqrt(n)
    return scores.mean("source").assign({f"{name}_error": values for name, values in error.items()})


def judge(trees: Mapping[str, xr.Dataset], flat: Mapping[str, xr.Dataset], claims: Claims) -> None:
    """Absorption by architecture. Tables of `SweepResult.sae_scores` over (λ or k, source), with a hierarchy and without."""
    found = {kind: over_sources(table) for kind, table in trees.items()}
    standard = {kind: found[kind] for kind in STANDARD if kind in found}
    true = float(np.mean([table["l0_true"].mean() for table in found.values()]))
    said, holds = [], []
    for kind, table in standard.items():
        mean, error, l0 = (table[name].values for name in ("absorption", "absorption_error", "l0"))
        at = np.abs(np.log(l0 / true)).argmin()
        said.append(f"{NAMES[kind]} {mean[at]:.2f} ± {error[at]:.2f}")
        holds.append(mean[at] > ERRORS * error[at] and mean[at] > NOTHING)
    wanted = f"above {NOTHING:g} and {ERRORS} standard errors where L0 is closest to the true {true:.2f}"
    claims.add("standard SAEs absorb", wanted, ", ".join(said), holds and all(holds))

    said, holds = [], []
    for kind, table in standard.items():
        mean, error, l0 = (table[name].values for name in ("absorption", "absorption_error", "l0"))
        least, most = l0.argmax(), l0.argmin()
        said.append(f"{NAMES[kind]} {mean[least]:.2f} → {mean[most]:.2f} (L0 {l0[least]:.1f} → {l0[most]:.1f})")
        holds.append(mean[most] - mean[least] > ERRORS * np.hypot(error[least], error[most]))
    wanted = f"sparsest above least sparse by {ERRORS} standard errors"
    claims.add("the sparser, the more", wanted, ", ".join(said), holds and all(holds))

    if {"batch_topk", "matryoshka"} <= set(found):
        (plain, e), (nested, f) = (
            (found[kind]["absorption"].values, found[kind]["absorption_error"].values)
            for kind in ("batch_topk", "matryoshka")
        )
        pairs = zip(found["matryoshka"]["k"].values, nested, plain, strict=True)
        measured = ", ".join(f"k = {k:g}: {a:.2f} against {b:.2f}" for k, a, b in pairs)
        at, clear = np.abs(np.log(found["matryoshka"]["l0"].values / true)).argmin(), ERRORS * np.hypot(e, f)
        wanted = f"less by {ERRORS} standard errors at L0 closest to the true one, nowhere more by as much"
        holds = (plain - nested > clear)[at] and np.all(nested - plain <= clear)
        claims.add("Matryoshka absorbs less than BatchTopK", wanted, measured, holds)

    most = {kind: float(over_sources(table)["absorption"].max()) for kind, table in flat.items()}
    single = max((float(table["absorption"].max()) for table in flat.values()), default=np.nan)
    measured = ", ".join(f"{NAMES[kind]} {value:.3f}" for kind, value in most.items())
    statement, wanted = "none of independent features, as frequent", f"mean at most {NOTHING:g} at every sparsity"
    claims.add(statement, wanted, f"{measured} (one model: {single:.3f})", most and max(most.values()) <= NOTHING)
