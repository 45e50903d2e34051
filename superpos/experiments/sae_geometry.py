"""How well sparse autoencoders recover features depends on the shape in which the toy model holds them."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from superpos.experiments.claims import Claims
from superpos.experiments.sae_recovery import SHARE, recovered

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
    called and `shapes` what it should be, `chance` MMCS and MCC of random dictionaries for each shape. Toy models were
    chosen for their shapes, so that they have them is no claim; but without them nothing that is claimed here holds."""
    kinds = list(dict.fromkeys(shapes))
    as_asked = list(named) == list(shapes)
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
            claims.add(statement, "k = 1 for every shape, k = 2 for none", measured, holds and as_asked)
            continue
        more = int(good[PAIRS].sum()) > int(good[PENTAGON].sum()) > 0
        claims.add(
            statement, "more of them for pairs than for the pentagon, which has some", measured, more and as_asked
        )
        statement, wanted, measured, holds = _by_toy_model(name, word, recovered(table), shapes)
        claims.add(statement, wanted, measured, holds and as_asked)
    best = {}
    for k in kinds:
        f1 = by_shape(tables["relu"]["f1"], shapes, k)
        best[k] = f1.isel({f1.dims[0]: int(f1.mean("model").values.argmax())})
    measured = ", ".join(f"{k} {spread(v)}" for k, v in best.items())
    holds = float(best[PAIRS].mean()) > float(best[PENTAGON].mean()) + 0.1
    claims.add("relu: F1 at the best λ of each shape", "pairs above the pentagon by .1", measured, holds and as_asked)
    every = {k: by_shape(tables["relu"]["mcc"], shapes, k).mean("model").max() for k in kinds}
    measured = ", ".join(f"{k} {float(v):.3f} (random {chance[k][1]:.2f})" for k, v in every.items())
    holds = min(float(v) for v in every.values()) >= 0.98
    claims.add("relu: mean MCC at the best λ of each shape", "at least .98", measured, holds and as_asked)


def _by_toy_model(name: str, word: str, found: xr.DataArray, shapes: Sequence[str]) -> tuple[str, str, str, bool]:
    """A claim on the share over all sparsities and seeds, every toy model by itself."""
    share = found.mean([d for d in found.dims if d != "source"]).values
    by = {k: share[np.asarray(shapes) == k] for k in dict.fromkeys(shapes)}
    measured = "; ".join(f"{k}: {', '.join(f'{v:.2f}' for v in values)}" for k, values in by.items())
    statement = f"{name}: share over all {word} that recover every direction, by toy model"
    return (
        statement,
        "every pair's above every pentagon's by .2",
        measured,
        bool(by[PAIRS].min() > by[PENTAGON].max() + 0.2),
    )
