"""When models that add modulo p generalise: over seeds, weight decays and the share of pairs that train."""

import numpy as np
import xarray as xr

from superpos.experiments.claims import Claims

# A model that generalises at once did not grok: this many steps must lie between memorising and generalising.
DELAY = 1_000


# The paper's number of seeds in its appendix on other settings, and the share of the logits that its formula explains.
SEEDS, EXPLAINED = 10, 0.95


def judge_circuits(table: xr.Dataset, generalised: xr.DataArray, claims: Claims) -> None:
    """The logits of seeds that generalised are the trigonometric formula; `table` is of `circuits_of`.

    `generalised` holds the steps until the seeds of `table` did, NaN for those that did not. They stand beside: a network
    that only memorises has key frequencies, too, by their definition. The median is asked for, since at 99 % of test
    accuracy the clean-up of some is not over, and at so small a modulus what they memorised is a larger part.
    """
    did = np.isfinite(generalised.values)
    share, keys = table["trig_explained"].values, table["n_keys"].values
    said, holds = "none generalises", False
    if did.any():
        middle, rest = float(np.median(share[did])), float(share[~did].max(initial=0))
        said = f"median {100 * middle:.1f} %, " + ", ".join(f"{100 * v:.1f}" for v in share[did])
        said += f" % with {keys[did].min()} to {keys[did].max()} frequencies"
        said += f"; the others at most {100 * rest:.1f} %" * bool((~did).any())
        holds = middle >= EXPLAINED and rest < float(share[did].min())
    wanted = (
        f"of those of {len(did)} seeds that generalise: median ≥ {100 * EXPLAINED:.0f} %, every one above all others"
    )
    claims.add("logits are Σ α_k cos w_k(a + b − c) of key frequencies", wanted, said, holds)


def judge(times: xr.Dataset, fractions: xr.Dataset, claims: Claims) -> None:
    """Claims about `superpos.analysis.milestones` by weight decay (the least is 0) and by the share of pairs that train.

    Nothing is said about the order of times across weight decays, which is reported inconsistently.
    """
    first = float(times["weight_decay"][0])
    none, some = times.isel(weight_decay=0), times.isel(weight_decay=slice(1, None))
    n, best = none["generalised"].size, float(none["test_accuracy"].max())
    k = int(none["generalised"].notnull().sum())
    said = f"{k} of {n} seeds; best test accuracy {100 * best:.1f} %"
    claims.add(f"weight decay {first:g}: no seed generalises", "none in the same steps", said, first == 0 and k == 0)
    memorised = int(none["memorised"].notnull().sum())
    claims.add(f"weight decay {first:g}: every seed memorises", "all seeds", f"{memorised} of {n}", memorised == n)
    counts = some["generalised"].notnull().sum("seed")
    said = ", ".join(
        f"{int(c)} of {n} at {d:g}" for d, c in zip(some["weight_decay"].values, counts.values, strict=True)
    )
    most = int(counts.max())
    claims.add("with weight decay most seeds generalise", "more than half, at one weight decay", said, most > n / 2)
    gap = (some["generalised"] - some["memorised"]).values
    late, all_ = int((gap > DELAY).sum()), int(np.isfinite(gap).sum())
    said = f"{late} of {all_} that generalise; median {np.nanmedian(gap):,.0f} steps" if all_ else "none generalises"
    claims.add("they do long after memorising", f"more than {DELAY:,} steps later for most", said, late > all_ / 2)
    few = fractions.isel(train_fraction=0)
    share, k = float(few["train_fraction"]), int(few["generalised"].notnull().sum())
    said = f"{k} of {few['generalised'].size} seeds at {100 * share:.0f} %"
    claims.add("too little data: no grokking", "≤ 20 % of the pairs: none", said, share <= 0.2 and k == 0)
    enough = fractions["generalised"].fillna(np.inf).median("seed")
    least, most = float(enough.min()), enough["train_fraction"].values[int(np.argmin(enough.values))]
    middle, said, slow = enough.where(np.isfinite(enough), drop=True), "no half of the seeds generalises", np.nan
    if len(middle):
        slow = float(middle[0])
        said = f"median over seeds {slow:,.0f} steps at {100 * float(middle['train_fraction'][0]):.0f} % of the pairs, "
        said += f"least, {least:,.0f}, at {100 * most:.0f} %"
    claims.add(
        "more data, sooner", "shortest at more data than where half of the seeds first generalise", said, least < slow
    )
