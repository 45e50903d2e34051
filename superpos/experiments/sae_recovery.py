"""Sparse autoencoders of every architecture on a toy model's pentagon, and on its solid in three dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.matching import cosines, match, random_directions
from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult

# A direction is recovered by a latent of its own with a larger cosine, an architecture works in so large a share of seeds.
COSINE, SHARE = 0.95, 12 / 16
# MMCS of five random unit vectors in the plane, whatever the features: the mean cosine of the least of five angles that are
# uniform on [0, π], 5 ∫ (1 − u)⁴ cos πu du over [0, 1].
RANDOM_MMCS = 20 / np.pi**2 * (1 - 6 / np.pi**2)
DRAWS = 2_000


def examples(toys: SweepResult, shape: str, most: int, **cells: Any) -> np.ndarray:
    """W of at most so many models of a shape, (k, n_hidden, n_features), those of lowest loss first.

    `cells` chooses some of the models. Where none has the shape (a quick look), those of lowest loss stand in.
    """
    chosen = toys.sel(**cells) if cells else toys
    lead = chosen["loss"].dims
    W = chosen["W"].transpose(*lead, "hidden", "feature").values
    loss, names = chosen["loss"].values.ravel(), chosen.geometry()["shape"].transpose(*lead).values.ravel()
    order = np.argsort(np.where(np.isfinite(loss), loss, np.inf), kind="stable")
    fitting = order[names[order] == shape]
    return W.reshape(-1, *W.shape[-2:])[(fitting if len(fitting) else order)[:most]]


def recovered(table: xr.Dataset) -> xr.DataArray:
    """Whether each model has a latent of its own for every represented feature; `table` is a result's dictionary scores."""
    found = (table["matched_cosine"] > COSINE) | (table["represented"] == 0)
    return found.all("feature") & (table["n_represented"] > 0)


def random_scores(directions: np.ndarray, n_latents: int, draws: int = DRAWS) -> tuple[float, float]:
    """Mean MMCS and MCC of dictionaries of random unit vectors for these features, columns of `directions`."""
    found = [match(cosines(directions, random_directions(len(directions), n_latents, (1, k)))) for k in range(draws)]
    return float(np.mean([f.mmcs for f in found])), float(np.mean([f.mcc for f in found]))


def judge_plane(tables: Mapping[str, xr.Dataset], chance: tuple[float, float], claims: Claims) -> None:
    """Every architecture finds the pentagon. `tables` has the scores of each, `chance` those of random dictionaries."""
    for name, table in tables.items():
        found = recovered(table).values
        scores = table[["mmcs", "mcc", "f1"]].mean()
        measured = (
            f"{found.sum()} of {found.size}; MMCS {float(scores.mmcs):.3f}, MCC {float(scores.mcc):.3f}, "
            f"F1 {float(scores.f1):.2f} (random MMCS {chance[0]:.3f}, MCC {chance[1]:.2f})"
        )
        statement = f"{name}: all five directions, cosine > {COSINE:g}"
        claims.add(
            statement, f"in at least {SHARE * found.size:.0f} of {found.size} seeds", measured, found.mean() >= SHARE
        )
    wanted, measured = f"MMCS {RANDOM_MMCS:.3f} ± .01 (derived)", f"MMCS {chance[0]:.3f}, MCC {chance[1]:.3f}"
    holds = abs(chance[0] - RANDOM_MMCS) <= 0.01
    claims.identity("baseline: five random latents for five features in the plane", wanted, measured, holds)


def judge_space(
    tables: Mapping[str, xr.Dataset], named: Sequence[str], shape: str, chance: Any, claims: Claims
) -> None:
    """The same in three dimensions, by the best seed of each.

    `named` is what the geometry of every toy model is called, not only of those that were chosen for their `shape`.
    """
    count = sum(name == shape for name in named)
    statement = f"three dimensions: toy models end as a {shape}"
    claims.add(statement, "most of them", f"{count} of {len(named)}", count > len(named) / 2)
    for name, table in tables.items():
        found = recovered(table).values
        n = int(table["n_represented"].values.flat[0])
        measured = (
            f"least cosine {float(table['matched_cosine'].min('feature').max()):.3f} in the best seed; all in "
            f"{found.sum()} of {found.size}; MCC {float(table['mcc'].mean()):.3f} (random {chance[1]:.2f})"
        )
        statement = f"three dimensions, {name}: all {n} directions"
        claims.add(statement, f"cosine > {COSINE:g} in the best seed", measured, found.any())
