"""What the paper claims of induction heads, beside what was measured."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.attention import rise
from superpos.experiments.claims import Claims
from superpos.experiments.induction_heads.measures import INDUCTION, NETWORKS, PREVIOUS
from superpos.sweeping import SweepResult

BEFORE, SHARP = 0.15, 0.2  # a score that no head has yet, and a share of training
COPIES = 0.5  # from which the eigenvalues of a head say that it copies
SOLVED, NOT_SOLVED = 0.2, 0.6  # shares of ln V
REMOVED = 0.6  # share of the gain over chance


def evaluate(
    result: SweepResult, table: xr.Dataset, periods: xr.Dataset, ablated: list[xr.Dataset], claims: Claims
) -> None:
    """All claims, from the tables of `through_training`, `by_period` and, one of every seed, `without_heads`."""
    evaluate_depth(result["loss"], periods.attrs["chance"], claims)
    evaluate_heads(table, claims)
    evaluate_circuit(ablated, claims)
    evaluate_periods(periods, claims)
    evaluate_ablation(ablated, claims)


def evaluate_depth(loss: xr.DataArray, chance: float, claims: Claims) -> None:
    """Two layers solve a random period and one does not, in every seed; `loss` is over (n_layers, seed)."""
    for n_layers, share, solves in ((2, SOLVED, True), (1, NOT_SOLVED, False)):
        values = loss.sel(n_layers=n_layers).values
        holds = bool(np.all(values < share * chance) if solves else np.all(values > share * chance))
        expected = f"{'below' if solves else 'above'} {share:g} ln V = {share * chance:.2f} nats in every seed"
        measured = _listed(values) + f" ({_listed(values / chance)} ln V)"
        layers = "2 layers" if n_layers == 2 else "1 layer"
        claims.check(f"random period, {layers}: loss of the repeat", expected, measured, holds)


def evaluate_heads(table: xr.Dataset, claims: Claims) -> None:
    """Induction heads in layer 1 of two, previous-token heads in layer 0, and all when the loss falls, in every seed.

    `table` is that of `through_training`.
    """
    two = table.sel(n_layers=2)
    last = two.isel(snapshot=-1)
    best = last["prefix_matching"].isel(layer=1).max("head").values
    holds = bool(np.all(best > INDUCTION))
    claims.check("2 layers: an induction head in layer 1", f"prefix matching > {INDUCTION:g}", _listed(best), holds)
    best = last["previous_token"].isel(layer=0).max("head").values
    holds = bool(np.all(best > PREVIOUS))
    claims.check("… and a previous-token head in layer 0", f"attention to i − 1 > {PREVIOUS:g}", _listed(best), holds)
    ranges, together, widths = [], [], []
    for seed in two["seed"].values:
        score, loss = windows(two.sel(seed=seed))
        common = min(score[1], loss[1]) - max(score[0], loss[0])
        together.append(common >= 0.5 * min(score[1] - score[0], loss[1] - loss[0]))
        widths.append((score[1] - score[0]) / float(two["step"][-1]))
        ranges.append(f"score {score[0]:.0f}–{score[1]:.0f}, loss {loss[0]:.0f}–{loss[1]:.0f}")
    expected = "10 → 90 % of both in steps that overlap by half of the shorter or more"
    claims.check("… score and loss of the repeat change in the same window", expected, "; ".join(ranges), all(together))
    at_first = two["prefix_matching"].isel(layer=1, snapshot=0).max("head").values
    expected = f"below {BEFORE:g} at the start, 10 → 90 % within {100 * SHARP:.0f} % of training"
    measured = f"{_listed(at_first)} at the start, {', '.join(f'{100 * w:.0f} %' for w in widths)} of training"
    holds = bool(np.all(at_first < BEFORE) and np.all(np.array(widths) < SHARP))
    claims.check("… the change is a sharp one: prefix matching", expected, measured, holds)


def windows(table: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """Steps from 10 to 90 % of the rise of the best head's prefix matching, and of the fall of the loss, of one model."""
    scores = table["prefix_matching"].isel(layer=1)
    best = scores.isel(head=int(scores.isel(snapshot=-1).argmax("head")))
    ends = [rise(table["step"].values, curve.values) for curve in (best, table["loss"])]
    return (ends[0][0], ends[0][2]), (ends[1][0], ends[1][2])


def evaluate_circuit(tables: list[xr.Dataset], claims: Claims) -> None:
    """Induction heads copy, and read most of what a previous-token head wrote, in every seed.

    `tables` are of `without_heads`, one of every seed.
    """
    by_seed, all_copy, composes = [], [], []
    for table in tables:
        heads = table["heads"].sel(set="induction heads").values
        copies = table["ov_eigenvalues"].values[heads]
        all_copy.append(bool(len(copies) and np.all(copies > COPIES)))
        by_seed.append(f"{heads_in_words(heads)}: {_listed(copies)}")
    expected = f"Σλ / Σ|λ| of their OV circuits > {COPIES:g}, every seed"
    claims.check("induction heads copy", expected, "; ".join(by_seed), all(all_copy))
    by_seed = []
    for table in tables:
        heads = table["heads"].sel(set="induction heads").values
        before, composed = table["heads"].sel(set="previous-token heads").values[0], table["k_composition"].values
        early, late = np.unravel_index(np.argmax(composed), composed.shape)
        other_scores = composed[~before][:, heads[-1]]
        others = f"others at most {other_scores.max():.2f}" if other_scores.size else "no others"
        composes.append(bool(before[early] and heads[-1, late]))
        by_seed.append(f"0.{early} → 1.{late}: {composed[early, late]:.2f}, {others}")
    expected = "the largest of all pairs is previous-token head → induction head, every seed"
    claims.check("keys of induction heads: K-composition", expected, "; ".join(by_seed), all(composes))


def evaluate_ablation(tables: list[xr.Dataset], claims: Claims) -> None:
    """Without the induction heads most of the gain is gone, without others it is not, in every seed.

    `tables` are of `without_heads`, one of every seed; of several sets of other heads the worst counts.
    """
    for words, must_be_gone in (("induction heads", True), ("other heads", False)):
        holds, worst_shares = True, {str(mode): [] for mode in tables[0]["mode"].values}
        for table in tables:
            chosen = [str(name) for name in table["set"].values if str(name).startswith(words)]
            removed = table["removed"].sel(set=chosen)
            holds &= bool((removed >= REMOVED).all() if must_be_gone else (removed < REMOVED).all())
            holds &= bool(len(chosen) and table["heads"].sel(set=chosen).any(("layer", "head")).all())
            for mode, shares in worst_shares.items():
                worst = removed.sel(mode=mode)
                shares.append(100 * float(worst.min() if must_be_gone else worst.max()))
        measured = ", ".join(
            f"{min(shares):.0f} to {max(shares):.0f} % {mode}" for mode, shares in worst_shares.items()
        )
        at_least = "at least" if must_be_gone else "less than"
        expected = f"{at_least} {100 * REMOVED:.0f} % of the gain over ln V is gone, every seed"
        statement = f"without {'the' if must_be_gone else 'as many'} {words}"
        claims.check(statement, expected, f"{measured}, {len(tables)} seeds", holds)


def heads_in_words(heads: np.ndarray) -> str:
    """The marked heads as layer.head: "1.0, 1.3"."""
    return ", ".join(f"{layer}.{head}" for layer, head in np.argwhere(heads)) or "none"


def evaluate_periods(table: xr.Dataset, claims: Claims) -> None:
    """Two layers go on with periods they never saw; one layer with a fixed period knows no other. Of `by_period`."""
    chance, fixed, shortest, longest = (table.attrs[n] for n in ("chance", "fixed", "shortest", "longest"))
    two, trap = table.sel(network=NETWORKS[0]), table.sel(network=NETWORKS[2])
    periods = table["period"].values
    outside = [int(p) for p in periods if not shortest <= p <= longest]
    nearest = [max(p for p in outside if p < shortest), min(p for p in outside if p > longest)]
    worst = {p: float(two["loss"].sel(period=p).max()) for p in outside}
    holds = all(worst[p] < SOLVED * chance for p in nearest)
    measured = ", ".join(f"period {p}: {worst[p]:.2f}" for p in nearest)
    measured += " (further off, " + ", ".join(f"{p}: {worst[p]:.2f}" for p in outside if p not in nearest) + ")"
    expected = f"below {SOLVED:g} ln V = {SOLVED * chance:.2f} nats at {nearest[0]} and {nearest[1]}, in every seed"
    claims.check(f"2 layers, trained on periods {shortest}–{longest}: held-out periods", expected, measured, holds)
    at_fixed = trap.sel(period=fixed)
    within = [int(p) for p in periods if shortest <= p <= longest and fixed % p]
    others = trap["loss"].sel(period=within)
    loss, score = float(at_fixed["loss"].max()), float(at_fixed["prefix_matching"].min())
    holds = loss < SOLVED * chance and score > INDUCTION and bool((others > NOT_SOLVED * chance).all())
    measured = f"loss {loss:.1g}, score {score:.2f}; elsewhere loss {float(others.min()):.1f} or more"
    expected = f"loss < {SOLVED:g} ln V and a head of score > {INDUCTION:g}, but loss > {NOT_SOLVED:g} ln V at "
    expected += ", ".join(map(str, within))
    claims.check(f"the trap: 1 layer, period always {fixed}", expected, measured, holds)


def _listed(values: Any) -> str:
    return ", ".join(f"{value:.2f}" for value in np.ravel(values))
