"""What `superpos decompose` prints of decompositions."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from rich.table import Table

from superpos.cli.report import number
from superpos.console import say, terminal, word


class Columns(NamedTuple):
    """What a table of decompositions shows, as names in the data and what stands above them."""

    means: Mapping[str, str]  # over the seeds, with three decimals
    counts: Mapping[str, str]  # least and most
    errors: Mapping[str, str]  # means, of small numbers
    success: str  # 1 or 0 for every decomposition
    succeeded: str  # in words


_ERRORS = {"stochastic": "random masks", "adversarial": "adversarial"}
TOYS = Columns({"mmcs": "MMCS", "ml2r": "ML2R"}, {"live": "live"}, _ERRORS, "taken_apart", "taken apart")
NETWORKS = Columns(
    {"mmcs": "MMCS", "together": "at once", "relative": "random", "relative_adversarial": "worst"},
    {"live_first": "live", "live_second": "2nd"},
    {},
    "one_each_alone",
    "one each",
)


def print_decompositions(table: xr.Dataset, columns: Columns, *, most: int = 200) -> None:
    """One row per setting of decompositions: means over the seeds, live subcomponents, and how many seeds succeeded.

    `table` is that of `measure` in `superpos.experiments.decomposing`, or in `decomposing_networks`. Decompositions that
    diverged, or are not trained yet, are in no mean and count as not successful.
    """
    from superpos.analysis.intervals import share_interval

    shown = {**columns.means, **columns.counts, **columns.errors}
    numbers = [*shown, columns.success]
    table = table[numbers] if table["mmcs"].dims else table[numbers].expand_dims("cell")
    lead = table["mmcs"].dims
    axes = [str(name) for name, c in table.coords.items() if c.dims and set(c.dims) <= set(lead) and name != "seed"]
    frame: Any = table.to_dataframe().reset_index()
    axes = [name for name in axes if frame[name].nunique() > 1 or name == "minimality_coefficient"]
    printed = Table(box=None, pad_edge=False, header_style="bold")
    for name in (*axes, *shown.values(), columns.succeeded, "95 %"):
        printed.add_column("β" if name == "minimality_coefficient" else word(name), justify="right")
    groups = list(frame.groupby(axes, sort=False)) if axes else [((), frame)]
    for values, rows in groups[:most]:
        n, count = len(rows), int(rows[columns.success].sum())
        _, low, high = share_interval(count, n)
        printed.add_row(
            *(word(number(value)) for value in values),
            *(_mean(rows[name], ".3f") for name in columns.means),
            *(_range(rows[name]) for name in columns.counts),
            *(_mean(rows[name], ".1e") for name in columns.errors),
            f"{count} of {n}",
            f"{low:.2f} … {high:.2f}",
        )
    terminal().print(printed)
    if (left := len(groups) - most) > 0:
        say(f"… and {left} more rows")
    if absent := int(frame["mmcs"].isna().sum()):
        say(
            f"{absent} of {len(frame)} decompositions diverged or are missing: they are in no mean, and not "
            f"{columns.succeeded}"
        )


def _mean(values: Any, digits: str) -> str:
    mean = values.mean()
    return "–" if np.isnan(mean) else f"{mean:{digits}}"


def _range(values: Any) -> str:
    counts = values.dropna().to_numpy()
    if not len(counts):
        return "–"
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} … {high}"
