"""What the commands print about shapes."""

from collections import Counter
from typing import Any

import numpy as np
import xarray as xr
from rich.table import Table

from superpos.console import say, terminal, word
from superpos.models.sae import ARCHITECTURES
from superpos.models.sae.base import SPARSITY_FIELDS


def print_shapes(result: Any, table: xr.Dataset, *, most: int = 200) -> None:
    """One row per cell of the grid: the geometry of the best seed, the share of seeds that found it, and its D_i."""
    seeded = "seed" in result.sizes
    won = table.isel(seed=result.best_index("seed")) if seeded else table
    dims = [d for d in result.sizes if d != "seed"]
    printed = Table(box=None, pad_edge=False, header_style="bold")
    # Zipped, random and listed designs have one dimension and their axes as coordinates along it.
    names = [n for n in won["shape"].coords if won.coords[n].dims and not (seeded and n == "seed")] or dims
    for name in names:
        printed.add_column("1 − S" if name == "feature_probability" else word(name), justify="right")
    printed.add_column("best geometry", overflow="fold")
    if seeded:
        printed.add_column("seeds", justify="right")
    printed.add_column("D of its features", overflow="fold")
    flat = won.stack(row=dims) if dims else won.expand_dims("row")
    for k in range(min(flat.sizes["row"], most)):
        cell = flat.isel(row=k)
        row = [word(number(cell.coords[n].item())) for n in names]
        row.append(word(cell["shape"].item()))
        if seeded:
            shape = table["shape"].sel({d: cell.coords[d].item() for d in dims}) if dims else table["shape"]
            share = float((shape == cell["shape"].item()).mean())
            row.append(f"{share:.0%}")
        row.append(_dimensionalities(cell))
        printed.add_row(*row)
    terminal().print(printed)
    if (left := flat.sizes["row"] - most) > 0:
        say(f"… and {left} more rows")


def _dimensionalities(cell: xr.Dataset) -> str:
    D = np.sort(cell["dimensionality"].values[cell["represented"].values])[::-1]
    counts = Counter(f"{d:.2f}" for d in D)
    if not counts:
        return "–"
    if len(counts) > 5:
        return f"{D[0]:.2f} … {D[-1]:.2f}, mean {D.mean():.2f}"
    return " ".join(value if n == 1 else f"{value} ×{n}" for value, n in counts.items())


def number(value: Any) -> str:
    """A value of an axis as a table shows it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


# Columns of a table of autoencoders: what it is called, and the score.
_SCORES = {
    "MCC": "mcc",
    "random": "random_mcc",
    "F1": "f1",
    "F1 by pursuit": "pursuit_f1",
    "L0": "l0",
    "true L0": "l0_true",
    "R²": "explained_variance",
    "dead": "dead_share",
}


def print_scores(table: xr.Dataset, *, most: int = 200) -> None:
    """One row per setting of sparse autoencoders: means over the seeds of the most important scores.

    Autoencoders that diverged, or are not trained yet, have no scores; below the table it says how many were left out.
    """
    table = table if table["mcc"].dims else table.expand_dims("cell")
    lead = table["mcc"].dims
    axes = [str(name) for name, c in table.coords.items() if c.dims and set(c.dims) <= set(lead) and name != "seed"]
    frame: Any = table[list(_SCORES.values())].to_dataframe().reset_index()
    axes = [name for name in axes if frame[name].nunique() > 1]
    printed = Table(box=None, pad_edge=False, header_style="bold")
    for name in (*axes, *_SCORES):
        printed.add_column("λ" if name == "sparsity_coefficient" else word(name), justify="right")
    columns = list(_SCORES.values())
    rows = frame.groupby(axes, sort=False)[columns].mean().reset_index() if axes else frame[columns].mean().to_frame().T
    for _, row in rows.head(most).iterrows():
        architecture = ARCHITECTURES.get(row["architecture"]) if "architecture" in axes else None
        unused = set(SPARSITY_FIELDS) - architecture.fields_read if architecture else set()
        settings = (word("–" if name in unused else number(row[name])) for name in axes)
        printed.add_row(*settings, *(f"{row[s]:.2f}" for s in _SCORES.values()))
    terminal().print(printed)
    if (left := len(rows) - most) > 0:
        say(f"… and {left} more rows")
    if absent := int(frame["l0"].isna().sum()):
        say(f"{absent} of {len(frame)} autoencoders diverged or are missing: they are in no mean")
