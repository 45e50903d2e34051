"""Hundreds of sparse autoencoders on one toy model: is the truth found, and does reconstruction tell?"""

from typing import Any

import jax
import numpy as np
import xarray as xr

from superpos.analysis.probes import linear_probe_f1
from superpos.claims.base import Claims
from superpos.data import FeatureDistribution

# Least MCC and F1 of the best setting, by architecture; None where none is asked for.
WANTED = {"relu": (0.95, 0.9), "topk": (0.95, 0.9), "jumprelu": (0.95, 0.9), "batch_topk": (0.9, None)}
RANDOM_MCC, AROUND = (
    0.65,
    0.03,
)  # "about": evenly spread features are a little nearer to random latents than random ones


def by_setting(table: xr.Dataset) -> xr.Dataset:
    """Scores of a `sparsity_grid` over one `cell` dimension as (`architecture`, `setting`, `seed`).

    A setting is the place of a value among those of its architecture.
    """
    names = list(dict.fromkeys(table["architecture"].values.tolist()))
    parts = []
    for name in names:
        one = table.isel(cell=np.flatnonzero(table["architecture"].values == name))
        seeds = np.unique(one["seed"].values)
        n_settings = one.sizes["cell"] // len(seeds)
        shape = {"setting": np.arange(n_settings), "seed": seeds}
        scores = one.drop_vars(["architecture", "seed", "sparsity_coefficient", "k"])
        parts.append(
            xr.Dataset(
                {
                    str(key): (("setting", "seed"), value.values.reshape(n_settings, len(seeds)))
                    for key, value in scores.data_vars.items()
                    if value.dims == ("cell",)
                },
                shape,
            )
        )
    found: Any = xr.concat(parts, xr.Variable("architecture", names))
    return found


def probe_table(W: xr.DataArray, *, p: float, n_inputs: int) -> xr.Dataset:
    """`f1` of the best linear detector of every `feature` of one toy model W, see `linear_probe_f1`."""
    W = W.transpose("hidden", "feature")
    x = np.asarray(
        FeatureDistribution(n_features=W.sizes["feature"], feature_probability=p).sample(jax.random.key(0), n_inputs)
    )
    return xr.Dataset({"f1": ("feature", linear_probe_f1(W.values @ x, x))})


def judge(table: xr.Dataset, probe_f1: np.ndarray, claims: Claims) -> None:
    """Best setting of every architecture against what is wanted; `table` as `by_setting` makes it."""
    known = table["architecture"].values.tolist()
    for name, (mcc, f1) in ((name, wanted) for name, wanted in WANTED.items() if name in known):
        means = table.sel(architecture=name).mean("seed")
        found = means["mcc"].max().item()
        claims.add(f"{name}: best setting for MCC", f"MCC above {mcc}", f"{found:.3f}", found > mcc)
        if f1 is not None:
            found = means["f1"].max().item()
            measured = f"{found:.3f}; a linear probe taught the truth reaches {np.nanmean(probe_f1):.3f}"
            claims.add(f"{name}: best setting for F1", f"F1 above {f1}", measured, found > f1)
    random = float(table["random_mcc"].mean())
    claims.add(
        "a random dictionary is far from 0",
        f"MCC {RANDOM_MCC} ± {AROUND}",
        f"{random:.3f}",
        abs(random - RANDOM_MCC) <= AROUND,
    )
    for name in (name for name in ("topk", "batch_topk") if name in known):
        means = table.sel(architecture=name).mean("seed")
        at_variance, at_f1 = int(np.argmax(means["explained_variance"].values)), int(np.argmax(means["f1"].values))
        here, there = means.isel(setting=at_variance), means.isel(setting=at_f1)
        measured = (
            f"best R² {here['explained_variance']:.3f} has F1 {here['f1']:.2f} at L0 {here['l0']:.2f}; "
            f"best F1 {there['f1']:.2f} has R² {there['explained_variance']:.3f} at L0 {there['l0']:.2f}"
        )
        holds = at_variance != at_f1 and here["f1"].item() < there["f1"].item() - 0.1
        claims.add(f"{name}: explained variance and F1 part ways", "best R² costs more than .1 of F1", measured, holds)
