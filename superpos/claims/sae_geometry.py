"""How well sparse autoencoders recover features depends on the shape in which the toy model holds them."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from superpos.claims.base import Claims
from superpos.claims.sae_recovery import SHARE, recovered

PENTAGON, PAIRS = "pentagon", "2 × antipodal pair"


def swept(table: xr.Dataset) -> str:
    """The dimension that sets sparsity: what is neither source nor seed."""
    return next(str(d) for d in table["mcc"].dims if d not in ("source", "seed"))


def by_shape(values: xr.DataArray, shapes: Sequence[str], name: str) -> xr.DataArray:
    """The models of toy models of one shape: (sparsity, model), from an array over (sparsity, source, seed)."""
    some = values.isel(source=np.flatnonzero(np.asarray(shapes) == name))
    return some.stack(model=("source", "seed"))


def share_recovered(table: xr.Dataset, shapes: Sequence[str], name: str) -> xr.DataArray:
    """Share of autoencoders with a latent of its own for every represented feature, over what sets sparsity."""
    return by_shape(recovered(table), shapes, name).mean("model")


def spread(values: xr.DataArray) -> str:
    """Mean, and the range over models, in words."""
    return f"{float(values.mean()):.2f} ({float(values.min()):.2f} … {float(values.max()):.2f})"


def judge(
    tables: Mapping[str, xr.Dataset],
    named: Sequence[str],
    shapes: Sequence[str],
    chance: Mapping[str, tuple[float, float]],
    claims: Claims,
) -> None:
    """Pairs against pentagons. `tables` has the scores of each architecture, `named` what the geometry of every source is
    called and `shapes` what it should be, `chance` MMCS and MCC of random dictionaries for each shape."""
    kinds = list(dict.fromkeys(shapes))
    counts = ", ".join(f"{named.count(k)} of {list(shapes).count(k)} {k}" for k in kinds)
    claims.add("the toy models' shapes", "as asked for", counts, list(named) == list(shapes))
    for name, table in tables.items():
        axis = swept(table)
        word = {"sparsity_coefficient": "λ"}.get(axis, axis)
        good = {k: share_recovered(table, shapes, k) >= SHARE for k in kinds}
        said = {k: ", ".join(f"{v:g}" for v in g[axis].values[g.values]) or "none" for k, g in good.items()}
        n = by_shape(table["mcc"], shapes, PAIRS).sizes["model"]
        measured = "; ".join(f"{k}: {v}" for k, v in said.items()) + f" (of {n} autoencoders each)"
        statement = f"{name}: {word} at which {SHARE:.0%} recover every represented direction"
        if name == "topk":
            holds = all(bool(g.sel(k=1)) for g in good.values()) and not any(bool(g.sel(k=2)) for g in good.values())
            claims.add(statement, "k = 1 for every shape, k = 2 for none", measured, holds)
            continue
        more = int(good[PAIRS].sum()) > int(good[PENTAGON].sum()) > 0
        claims.add(statement, "more of them for pairs than for the pentagon, which has some", measured, more)
        least = {k: by_shape(table["mcc"].isel({axis: 0}), shapes, k) for k in (PENTAGON, PAIRS)}
        measured = ", ".join(f"{k} {spread(v)} against {chance[k][1]:.2f}" for k, v in least.items())
        above = [float(least[k].mean()) - chance[k][1] for k in (PENTAGON, PAIRS)]
        at = f"{word} = {float(table[axis][0]):g}"
        statement = f"{name}: MCC at the least {at}, against random latents"
        claims.add(
            statement, "pentagon: below + .02; pairs: above + .05", measured, above[0] < 0.02 and above[1] > 0.05
        )
    best = {}
    for k in kinds:
        f1 = by_shape(tables["relu"]["f1"], shapes, k)
        at = int(f1.mean("model").values.argmax())
        best[k] = f1.isel({f1.dims[0]: at})
    measured = ", ".join(f"{k} {spread(v)}" for k, v in best.items())
    holds = float(best[PAIRS].mean()) > float(best[PENTAGON].mean()) + 0.1
    claims.add("relu: F1 at the best λ of each shape", "pairs above the pentagon by .1", measured, holds)
