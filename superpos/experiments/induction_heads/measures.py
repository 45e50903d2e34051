"""Induction heads: Olsson et al. 2022, "In-context Learning and Induction Heads"."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos.analysis.attention import rise
from superpos.analysis.heads import MODES, ablated_losses, circuit_scores, measure_heads
from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult
from superpos.sweep.table_cache import cached

INDUCTION, PREVIOUS = 0.6, 0.5  # scores from which a head counts as one
BEFORE, SHARP = 0.15, 0.2  # a score that no head has yet, and a share of training
COPIES = 0.5  # from which the eigenvalues of a head say that it copies
SOLVED, NOT_SOLVED = 0.2, 0.6  # shares of ln V
REMOVED = 0.6  # share of the gain over chance
NETWORKS = ("2 layers", "1 layer", "1 layer, fixed period")


def through_training(result: SweepResult, n_sequences: int = 64) -> xr.Dataset:
    """Scores of all heads and the loss at every snapshot, over (n_layers, seed, snapshot, layer, head)."""
    layers = int(result["n_layers"].max())
    tables = []
    for n_layers in result["n_layers"].values:
        for seed in result["seed"].values:
            where: dict[str, Any] = {"n_layers": int(n_layers), "seed": int(seed)}
            task: Any = result.task(**where)
            found = _over_models(_with_period(task), result.snapshots(**where), n_sequences)
            pad = [(0, 0), (0, layers - int(n_layers)), (0, 0)]
            heads = {n: np.pad(found[n], pad, constant_values=np.nan) for n in ("previous_token", "prefix_matching")}
            variables = {n: (("snapshot", "layer", "head"), values) for n, values in heads.items()}
            variables |= {n: (("snapshot",), found[n]) for n in ("loss", "accuracy", "uniform")}
            tables.append(xr.Dataset(variables).expand_dims({name: [value] for name, value in where.items()}))
    table: Any = xr.combine_by_coords(tables)
    return table.assign_coords(step=("snapshot", result["snapshot_step"].values)).assign_attrs(
        chance=float(np.log(result.attrs["task"]["d_vocab"]))
    )


def _over_models(task: Any, models: Any, n_sequences: int) -> dict[str, np.ndarray]:
    models = jax.tree.map(np.asarray, models)  # cut into models without compiling anything
    count = len(jax.tree.leaves(models)[0])
    each = [measure_heads(task, jax.tree.map(lambda leaf, k=k: leaf[k], models), n_sequences) for k in range(count)]
    return {name: np.stack([np.asarray(one[name]) for one in each]) for name in each[0]}


def by_period(result: SweepResult, trap: SweepResult, periods: list[int], n_sequences: int = 128) -> xr.Dataset:
    """Loss, accuracy and the best head's prefix-matching score when all sequences have one period.

    Over (network, seed, period); `trap` are the models of one layer that were trained on a fixed one.
    """
    shape = (len(NETWORKS), len(result["seed"]), len(periods))
    found = {name: np.zeros(shape) for name in ("loss", "accuracy", "prefix_matching")}
    for i, (cells, axes) in enumerate(((result, {"n_layers": 2}), (result, {"n_layers": 1}), (trap, {}))):
        for j, seed in enumerate(result["seed"].values):
            model, task = cells.model(**axes, seed=int(seed)), cells.task(**axes, seed=int(seed))
            for k, period in enumerate(periods):
                scores = measure_heads(_with_period(task, period), model, n_sequences)
                for name, values in found.items():
                    values[i, j, k] = np.max(np.asarray(scores[name]))
    trained = result.attrs["task"]
    over = ("network", "seed", "period")
    return xr.Dataset(
        {name: (over, values) for name, values in found.items()},
        {"network": list(NETWORKS), "seed": result["seed"].values, "period": periods},
        {
            "shortest": int(trained["shortest_period"]),
            "longest": int(trained["longest_period"]),
            "fixed": int(trap.attrs["task"]["shortest_period"]),
            "chance": float(np.log(trained["d_vocab"])),
        },
    )


def _with_period(task: Any, period: int | None = None) -> Any:
    """The task with one period, or as it is; numeric fields as arrays, so that all are one program."""
    return (replace(task, shortest_period=period, longest_period=period) if period else task).broadcast()


def head_sets(previous: np.ndarray, prefix: np.ndarray, draws: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Which heads to ablate together, by name: marks of shape (n_layers, n_heads).

    Every head alone; the induction heads of the last layer; the previous-token heads of the first; and random others, as
    many as there are induction heads (all of them where there are no more: one draw is enough then).
    """
    induction, before = np.zeros(prefix.shape, bool), np.zeros(prefix.shape, bool)
    induction[-1], before[0] = prefix[-1] > INDUCTION, previous[0] > PREVIOUS
    others = np.argwhere(~induction & ~before)
    sets = {"induction heads": induction, "previous-token heads": before}
    count = min(int(induction.sum()), len(others))
    rng = np.random.default_rng(seed)
    for draw in range(1 if count == len(others) else draws):
        chosen = np.zeros_like(induction)
        chosen[tuple(rng.permutation(others)[:count].T)] = True
        sets[f"other heads {draw + 1}"] = chosen
    for layer, head in np.ndindex(prefix.shape):
        sets[f"head {layer}.{head}"] = np.zeros_like(induction)
        sets[f"head {layer}.{head}"][layer, head] = True
    return sets


def without_heads(cell: SweepResult, n_sequences: int = 256) -> xr.Dataset:
    """Loss of one model of two layers without each of the `head_sets`, over (set, mode), and the intact loss.

    `removed` is the share of the gain over chance, ln V − loss, that is gone. With it, what the heads score and what they
    are made of: `circuit_scores`.
    """
    model, task = cell.model(), _with_period(cell.task())
    scores = measure_heads(task, model, n_sequences)
    sets = head_sets(np.asarray(scores["previous_token"]), np.asarray(scores["prefix_matching"]))
    losses = np.asarray(ablated_losses(task, model, jnp.asarray(np.stack([*sets.values()])), n_sequences))
    circuit = circuit_scores(model)
    intact, chance = float(scores["loss"]), float(np.log(cell.attrs["task"]["d_vocab"]))
    return xr.Dataset(
        {
            "loss": (("set", "mode"), losses),
            "removed": (("set", "mode"), (losses - intact) / (chance - intact)),
            "heads": (("set", "layer", "head"), np.stack([*sets.values()])),
            "previous_token": (("layer", "head"), np.asarray(scores["previous_token"])),
            "prefix_matching": (("layer", "head"), np.asarray(scores["prefix_matching"])),
            "copying": (("layer", "head"), circuit["copying"]),
            "ov_eigenvalues": (("layer", "head"), circuit["ov_eigenvalues"]),
            "k_composition": (("earlier", "later"), circuit["k_composition"]),
        },
        {"set": [*sets], "mode": list(MODES)},
        {"intact": intact, "chance": chance},
    )


def without_heads_of(result: SweepResult, path: Path, **options: Any) -> dict[int, xr.Dataset]:
    """The table of `without_heads` of every seed of the models of two layers, each kept beside `path` under its seed."""
    beside = {int(seed): path.with_name(f"{path.stem}_{seed}.zarr") for seed in result["seed"].values}
    return {
        seed: cached(at, without_heads, result.sel(n_layers=2, seed=seed), **options) for seed, at in beside.items()
    }


def drawn_patterns(cell: SweepResult, trap: SweepResult, period: int, n_sequences: int = 32) -> xr.Dataset:
    """Attention of the four heads in the picture, over (panel, query, key), with the period of each sequence.

    The best previous-token and induction head of a model of two layers, and the best head of a trap at its own period and
    at `period`.
    """
    fixed, panels = int(trap.attrs["task"]["shortest_period"]), []
    for of, at, layer, name in (
        (cell, period, 0, "previous_token"),
        (cell, period, 1, "prefix_matching"),
        (trap, fixed, 0, "prefix_matching"),
        (trap, period, 0, "prefix_matching"),
    ):
        # Heads of the trap are chosen by its own period, also where another is drawn.
        own, shown = (
            measure_heads(_with_period(of.task(), p), of.model(), n_sequences)
            for p in (fixed if of is trap else at, at)
        )
        head = int(np.argmax(np.asarray(own[name])[layer]))
        panels.append((at, layer, head, np.asarray(shown["pattern"])[layer, head]))
    at, layer, head, patterns = (np.stack(column) for column in zip(*panels, strict=True))
    variables = {"period": at, "layer": layer, "head": head}
    return xr.Dataset(
        {"pattern": (("panel", "query", "key"), patterns)} | {n: (("panel",), v) for n, v in variables.items()}
    )


def judge(
    result: SweepResult, table: xr.Dataset, periods: xr.Dataset, ablated: list[xr.Dataset], claims: Claims
) -> None:
    """All claims, from the tables of `through_training`, `by_period` and, one of every seed, `without_heads`."""
    judge_depth(result["loss"], periods.attrs["chance"], claims)
    judge_heads(table, claims)
    judge_circuit(ablated, claims)
    judge_periods(periods, claims)
    judge_ablation(ablated, claims)


def judge_depth(loss: xr.DataArray, chance: float, claims: Claims) -> None:
    """Two layers solve a random period and one does not, in every seed; `loss` is over (n_layers, seed)."""
    for n_layers, share, solves in ((2, SOLVED, True), (1, NOT_SOLVED, False)):
        values = loss.sel(n_layers=n_layers).values
        holds = bool(np.all(values < share * chance) if solves else np.all(values > share * chance))
        wanted = f"{'below' if solves else 'above'} {share:g} ln V = {share * chance:.2f} nats in every seed"
        measured = _listed(values) + f" ({_listed(values / chance)} ln V)"
        claims.add(f"random period, {n_layers} layer{'s' * solves}: loss of the repeat", wanted, measured, holds)


def judge_heads(table: xr.Dataset, claims: Claims) -> None:
    """Induction heads in layer 1 of two, previous-token heads in layer 0, and all when the loss falls, in every seed.

    `table` is that of `through_training`.
    """
    two = table.sel(n_layers=2)
    last = two.isel(snapshot=-1)
    best = last["prefix_matching"].isel(layer=1).max("head").values
    holds = bool(np.all(best > INDUCTION))
    claims.add("2 layers: an induction head in layer 1", f"prefix matching > {INDUCTION:g}", _listed(best), holds)
    best = last["previous_token"].isel(layer=0).max("head").values
    holds = bool(np.all(best > PREVIOUS))
    claims.add("… and a previous-token head in layer 0", f"attention to i − 1 > {PREVIOUS:g}", _listed(best), holds)
    said, together, widths = [], [], []
    for seed in two["seed"].values:
        score, loss = windows(two.sel(seed=seed))
        common = min(score[1], loss[1]) - max(score[0], loss[0])
        together.append(common >= 0.5 * min(score[1] - score[0], loss[1] - loss[0]))
        widths.append((score[1] - score[0]) / float(two["step"][-1]))
        said.append(f"score {score[0]:.0f}–{score[1]:.0f}, loss {loss[0]:.0f}–{loss[1]:.0f}")
    wanted = "10 → 90 % of both in steps that overlap by half of the shorter or more"
    claims.add("… score and loss of the repeat change in the same window", wanted, "; ".join(said), all(together))
    at_first = two["prefix_matching"].isel(layer=1, snapshot=0).max("head").values
    wanted = f"below {BEFORE:g} at the start, 10 → 90 % within {100 * SHARP:.0f} % of training"
    measured = f"{_listed(at_first)} at the start, {', '.join(f'{100 * w:.0f} %' for w in widths)} of training"
    holds = bool(np.all(at_first < BEFORE) and np.all(np.array(widths) < SHARP))
    claims.add("… the change is a sharp one: prefix matching", wanted, measured, holds)


def windows(table: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """Steps from 10 to 90 % of the rise of the best head's prefix matching, and of the fall of the loss, of one model."""
    scores = table["prefix_matching"].isel(layer=1)
    best = scores.isel(head=int(scores.isel(snapshot=-1).argmax("head")))
    ends = [rise(table["step"].values, curve.values) for curve in (best, table["loss"])]
    return (ends[0][0], ends[0][2]), (ends[1][0], ends[1][2])


def judge_circuit(tables: list[xr.Dataset], claims: Claims) -> None:
    """Induction heads copy, and read most of what a previous-token head wrote, in every seed.

    `tables` are of `without_heads`, one of every seed.
    """
    said, copy, composes = [], [], []
    for table in tables:
        heads = table["heads"].sel(set="induction heads").values
        copies = table["ov_eigenvalues"].values[heads]
        copy.append(bool(len(copies) and np.all(copies > COPIES)))
        said.append(f"{heads_in_words(heads)}: {_listed(copies)}")
    wanted = f"Σλ / Σ|λ| of their OV circuits > {COPIES:g}, every seed"
    claims.add("induction heads copy", wanted, "; ".join(said), all(copy))
    said = []
    for table in tables:
        heads = table["heads"].sel(set="induction heads").values
        before, composed = table["heads"].sel(set="previous-token heads").values[0], table["k_composition"].values
        early, late = np.unravel_index(np.argmax(composed), composed.shape)
        rest = composed[~before][:, heads[-1]]
        others = f"others at most {rest.max():.2f}" if rest.size else "no others"
        composes.append(bool(before[early] and heads[-1, late]))
        said.append(f"0.{early} → 1.{late}: {composed[early, late]:.2f}, {others}")
    wanted = "the largest of all pairs is previous-token head → induction head, every seed"
    claims.add("keys of induction heads: K-composition", wanted, "; ".join(said), all(composes))


def judge_ablation(tables: list[xr.Dataset], claims: Claims) -> None:
    """Without the induction heads most of the gain is gone, without others it is not, in every seed.

    `tables` are of `without_heads`, one of every seed; of several sets of other heads the worst counts.
    """
    for words, gone in (("induction heads", True), ("other heads", False)):
        holds, each = True, {str(mode): [] for mode in tables[0]["mode"].values}
        for table in tables:
            chosen = [str(name) for name in table["set"].values if str(name).startswith(words)]
            removed = table["removed"].sel(set=chosen)
            holds &= bool((removed >= REMOVED).all() if gone else (removed < REMOVED).all())
            holds &= bool(len(chosen) and table["heads"].sel(set=chosen).any(("layer", "head")).all())
            for mode, found in each.items():
                worst = removed.sel(mode=mode)
                found.append(100 * float(worst.min() if gone else worst.max()))
        measured = ", ".join(f"{min(found):.0f} to {max(found):.0f} % {mode}" for mode, found in each.items())
        wanted = (
            f"{'at least' if gone else 'less than'} {100 * REMOVED:.0f} % of the gain over ln V is gone, every seed"
        )
        statement = f"without {'the' if gone else 'as many'} {words}"
        claims.add(statement, wanted, f"{measured}, {len(tables)} seeds", holds)


def heads_in_words(heads: np.ndarray) -> str:
    """The marked heads as layer.head: "1.0, 1.3"."""
    return ", ".join(f"{layer}.{head}" for layer, head in np.argwhere(heads)) or "none"


def judge_periods(table: xr.Dataset, claims: Claims) -> None:
    """Two layers go on with periods they never saw; one layer with a fixed period knows no other. Of `by_period`."""
    chance, fixed, shortest, longest = (table.attrs[n] for n in ("chance", "fixed", "shortest", "longest"))
    two, trap = table.sel(network=NETWORKS[0]), table.sel(network=NETWORKS[2])
    periods = table["period"].values
    outside = [int(p) for p in periods if not shortest <= p <= longest]
    nearest = [max(p for p in outside if p < shortest), min(p for p in outside if p > longest)]
    worst = {p: float(two["loss"].sel(period=p).max()) for p in outside}
    holds = all(worst[p] < SOLVED * chance for p in nearest)
    said = ", ".join(f"period {p}: {worst[p]:.2f}" for p in nearest)
    said += " (further off, " + ", ".join(f"{p}: {worst[p]:.2f}" for p in outside if p not in nearest) + ")"
    wanted = f"below {SOLVED:g} ln V = {SOLVED * chance:.2f} nats at {nearest[0]} and {nearest[1]}, in every seed"
    claims.add(f"2 layers, trained on periods {shortest}–{longest}: held-out periods", wanted, said, holds)
    own = trap.sel(period=fixed)
    within = [int(p) for p in periods if shortest <= p <= longest and fixed % p]
    others = trap["loss"].sel(period=within)
    loss, score = float(own["loss"].max()), float(own["prefix_matching"].min())
    holds = loss < SOLVED * chance and score > INDUCTION and bool((others > NOT_SOLVED * chance).all())
    measured = f"loss {loss:.1g}, score {score:.2f}; elsewhere loss {float(others.min()):.1f} or more"
    wanted = f"loss < {SOLVED:g} ln V and a head of score > {INDUCTION:g}, but loss > {NOT_SOLVED:g} ln V at "
    wanted += ", ".join(map(str, within))
    claims.add(f"the trap: 1 layer, period always {fixed}", wanted, measured, holds)


def _listed(values: Any) -> str:
    return ", ".join(f"{value:.2f}" for value in np.ravel(values))
