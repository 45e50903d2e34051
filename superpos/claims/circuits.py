"""Absolute value in superposition and its motif: Elhage et al. 2022, "Computation in Superposition"."""

from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from superpos.analysis.circuits import Circuit, circuit, neuron_counts
from superpos.analysis.motifs import Motif, asymmetric_motifs
from superpos.analysis.naive import naive_loss, relative_loss
from superpos.claims.base import Claims
from superpos.sweep import SweepResult

# Densities at which both kinds of neurons may exist.
MID_RANGE = (0.1, 0.03, 0.01)


def one_of_each_sign(found: Circuit) -> bool:
    """Whether every feature has exactly one neuron for its positive and one for its negative side, and no neuron two."""
    reads = found.reads()
    positive, negative = (np.sum(reads & (sign * found.W1 > 0), axis=0) for sign in (1, -1))
    return bool(np.all(reads.sum(axis=1) == 1) and np.all(positive == 1) and np.all(negative == 1))


def by_density(best: SweepResult) -> xr.Dataset:
    """What the neurons read, and the relative loss, by density; `best` is over `feature_probability` alone.

    Counts of neurons that are `monosemantic`, `polysemantic` and `idle`; `spearman`, the rank correlation of a neuron's top
    feature and its number of features, NaN where all read the same number; `alone`, how many of the first features are
    read by monosemantic neurons only; and of the polysemantic neurons the medians of `features`, how many they read, and
    `second`, the second largest |weight| where the largest is 1: NaN where there are none.
    """
    rows = []
    for k in range(best.dims["feature_probability"]):
        cell = best.isel(feature_probability=k)
        found = circuit(cell.model())
        task: Any = cell.task()
        relative = float(relative_loss(float(cell["loss"]), naive_loss(task)))
        rows.append((*neuron_counts(found), *reading(found), relative))
    names = ("monosemantic", "polysemantic", "idle", "spearman", "alone", "features", "second", "relative_loss")
    data = {
        name: ("feature_probability", list(values)) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return xr.Dataset(data, {"feature_probability": best["feature_probability"].values})


def reading(found: Circuit) -> tuple[float, int, float, float]:
    """`spearman`, `alone`, `features` and `second` of `by_density`."""
    reads, size = found.reads(), np.abs(found.W1)
    number, top = reads.sum(axis=1), np.argmax(size, axis=1)
    used, several = number > 0, number > 1
    varies = len(set(number[used])) > 1 and len(set(top[used])) > 1
    ranks: Any = spearmanr(top[used], number[used]) if varies else None
    own = reads[number == 1].any(axis=0) & ~reads[several].any(axis=0)
    second = np.sort(size[several], axis=1)[:, -2] if several.any() else [np.nan]
    features = number[several] if several.any() else [np.nan]
    alone = int(np.argmin(np.append(own, False)))
    return (
        (np.nan if ranks is None else float(ranks.statistic)),
        alone,
        float(np.median(features)),
        float(np.median(second)),
    )


def relative_by_start(result: SweepResult) -> xr.DataArray:
    """Least loss over the naive baseline's of every kind of start, over (dedicated_features, feature_probability)."""
    names = ("dedicated_features", "feature_probability")
    least = result["loss"].min([d for d in result["loss"].dims if d not in names]).transpose(*names)
    first = result.isel(**{str(d): 0 for d in result["loss"].dims if d != names[1]})
    tasks: Any = [first.isel(feature_probability=k).task() for k in range(least.shape[1])]
    return least / np.array([naive_loss(task).loss for task in tasks])


def judge_small(found: Circuit, loss: float, untrained: float, claims: Claims) -> None:
    """n = 3, m = 6."""
    holds = one_of_each_sign(found)
    claims.add("3 in 6 neurons: one + and one − neuron per feature", "in the best", "yes" if holds else "no", holds)
    share = loss / untrained
    claims.add("3 in 6 neurons: loss over that of untrained", "below 0.001", f"{share:.2g}", share < 1e-3)


def judge_large(table: xr.Dataset, claims: Claims) -> None:
    """100 features in 40 neurons, from dense to sparse."""
    table = table.sortby("feature_probability", ascending=False)
    p = table["feature_probability"].values
    share = table["polysemantic"] / (table["monosemantic"] + table["polysemantic"] + table["idle"])
    shown = ", ".join(f"{v:.2f}" for v in share.values)
    holds = share.values[0] == 0 and bool(np.all(np.diff(share.values) >= 0))
    claims.add("share of polysemantic neurons by density", "0 at 1, never falling", shown, holds)
    dense = table.isel(feature_probability=0)
    claims.add("dense: all neurons monosemantic", "40", int(dense["monosemantic"]), int(dense["monosemantic"]) == 40)
    both = table.sel(feature_probability=0.01, method="nearest")
    counts = f"{int(both['monosemantic'])} and {int(both['polysemantic'])}"
    claims.add(
        "1 − S = 0.01: mono- and polysemantic neurons",
        "both",
        counts,
        int(both["monosemantic"]) > 0 and int(both["polysemantic"]) > 0,
    )
    alone = int(both["alone"])
    shown = f"features 1 to {alone}" if alone else "none"
    claims.add("1 − S = 0.01: most important features monosemantic", "the first at least", shown, alone > 0)
    second, features = float(both["second"]), float(both["features"])
    shown = f"of {features:g} the second {second:.2f}"
    small = features > 2 and second < 0.5
    claims.add("1 − S = 0.01: one large weight, several small", "second below half, 3 or more (medians)", shown, small)
    middle = table.sel(feature_probability=[q for q in p if np.any(np.isclose(q, MID_RANGE))])
    shown = ", ".join(f"{v:.2f}" for v in middle["spearman"].values)
    at = ", ".join(f"{q:g}" for q in middle["feature_probability"].values)
    positive = bool(np.all(middle["spearman"].values > 0))
    claims.add(f"1 − S = {at}: Spearman(top feature, number of features)", "above 0", shown, positive)
    relative = table["relative_loss"].values
    beaten = ", ".join(f"{q:g}" for q in p[relative < 1]) or "none"
    losses = ", ".join(f"{v:.2f}" for v in relative)
    claims.add(
        "loss over the naive baseline by density",
        "below 1 somewhere",
        f"{losses}: beaten at {beaten}",
        beaten != "none",
    )


def judge_motif(
    motifs: list[Motif], shuffled: float, relative: float, rises: dict[str, float], loss: float, claims: Claims
) -> None:
    """The motif in the best model; `rises` of the loss without "neuron", "inhibitor" and "motif"."""
    claims.add(
        "the model computes in superposition", "loss below the naive baseline", f"{relative:.2f} of it", relative < 1
    )
    number = f"{len(motifs)}; {shuffled:.2g} if outputs are shuffled"
    claims.add(
        "asymmetric motifs found", "at least 1, fewer by chance", number, len(motifs) > 0 and shuffled < len(motifs)
    )
    if not motifs:
        return
    m = motifs[0]
    ratios = f"W1 {m.input_ratio:.1f}, W2 {m.output_ratio:.1f}"
    claims.add(
        "weights of its two features", "ratios of 2 or more (paper 4)", ratios, min(m.input_ratio, m.output_ratio) >= 2
    )
    claims.add(
        "the second neuron inhibits the interfered output",
        "half of the interference or more",
        f"{100 * m.cancelled:.0f} % of slope {m.interference:.1f}",
        m.cancelled >= 0.5,
    )
    factors = ", ".join(f"{name} {1 + rise / loss:.1f}" for name, rise in rises.items())
    claims.add("loss without it, over loss", "above 1", factors, all(rise > 0 for rise in rises.values()))


def shuffled_motifs(found: Circuit, repeats: int = 50, seed: int = 0) -> float:
    """Mean number of motifs when every neuron's output weights are dealt to outputs at random: what chance finds."""
    rng: Any = np.random.default_rng(seed)
    dealt = (found._replace(W2=rng.permuted(found.W2, axis=0)) for _ in range(repeats))
    return float(np.mean([len(asymmetric_motifs(one)) for one in dealt]))
