"""Absolute value in superposition and its motif: Elhage et al. 2022, "Computation in Superposition"."""

from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from superpos.analysis.circuits import Circuit, circuit, neuron_counts
from superpos.analysis.motifs import Motif, asymmetric_motifs
from superpos.analysis.naive import naive_loss, relative_loss
from superpos.experiments.claims import Claims
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
    for k in range(best.sizes["feature_probability"]):
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


def winning_starts(result: SweepResult) -> xr.DataArray:
    """How many features the start of the model of least loss solves (`dedicated_features`), over `feature_probability`."""
    names = ("dedicated_features", "feature_probability")
    least = result["loss"].min([d for d in result["loss"].dims if d not in names]).transpose(*names)
    return least["dedicated_features"][least.argmin("dedicated_features")]


def judge_large(table: xr.Dataset, random: xr.Dataset, begun: xr.DataArray, claims: Claims) -> None:
    """100 features in 40 neurons, from dense to sparse.

    `table` is `by_density` of the models of least loss, most of which began with some features solved, `begun` (of
    `winning_starts`) with how many; `random` is that of the best models from random weights alone. What a start holds
    already is no finding: claims say what training kept or made of it, and random weights stand beside.
    """
    table, random = (t.sortby("feature_probability", ascending=False) for t in (table, random))
    begun = begun.sortby("feature_probability", ascending=False)
    p, starts = table["feature_probability"].values, begun.values
    share, alone_share = (
        t["polysemantic"] / (t["monosemantic"] + t["polysemantic"] + t["idle"]) for t in (table, random)
    )
    shown = f"{_two(share)}; from random weights {_two(alone_share)}"
    holds = share.values[0] == 0 and bool(np.all(np.diff(share.values) >= 0))
    claims.add("share of polysemantic neurons by density", "0 at 1, never falling", shown, holds)
    dense, plain = (int(t["monosemantic"][0]) for t in (table, random))
    shown = f"{dense} of a start with {starts[0]} solved; {plain} from random weights"
    statement = "dense: training leaves all neurons monosemantic (the best start has some features solved)"
    claims.add(statement, "40", shown, dense == 40)
    at = int(np.abs(np.log(p / 0.01)).argmin())
    both, plain = table.isel(feature_probability=at), random.isel(feature_probability=at)
    one, several = (int(both[name]) for name in ("monosemantic", "polysemantic"))
    shown = f"{one} and {several}; from random weights {int(plain['monosemantic'])} and {int(plain['polysemantic'])}"
    statement = f"1 − S = 0.01: mono- and polysemantic neurons (start: {starts[at]} solved)"
    claims.add(
        statement, "both; from a start that solves features, some become polysemantic", shown, one > 0 and several > 0
    )
    alone = int(both["alone"])
    shown = f"features 1 to {alone}" if alone else "none"
    other = f"from random weights 1 to {int(plain['alone'])}" if int(plain["alone"]) else "from random weights none"
    statement = f"1 − S = 0.01: most important features stay monosemantic (start: {starts[at]} solved)"
    wanted = "the first at least, and not all that the start solved"
    claims.add(statement, wanted, f"{shown}; {other}", alone > 0 and (not starts[at] or alone < starts[at]))
    second, features = float(both["second"]), float(both["features"])
    shown = f"of {features:g} the second {second:.2f}"
    small = features > 2 and second < 0.5
    claims.add("1 − S = 0.01: one large weight, several small", "second below half, 3 or more (medians)", shown, small)
    near = [q for q in p if np.any(np.isclose(q, MID_RANGE))]
    middle, beside = (t.sel(feature_probability=near)["spearman"].values for t in (table, random))
    shown, at_words = f"{_two(middle)}; from random weights {_two(beside)}", ", ".join(f"{q:g}" for q in near)
    positive = bool(np.all(middle > 0))
    claims.add(f"1 − S = {at_words}: Spearman(top feature, number of features)", "above 0", shown, positive)
    for words, of in (("of the best start", table), ("from random weights alone", random)):
        relative = of["relative_loss"].values
        beaten = ", ".join(f"{q:g}" for q in p[relative < 1]) or "none"
        shown = f"{_two(relative)}: beaten at {beaten}"
        claims.add(f"loss over the naive baseline by density, {words}", "below 1 somewhere", shown, beaten != "none")


def _two(values: Any) -> str:
    return ", ".join(f"{value:.2f}" for value in np.asarray(values))


def motifs_by_seed(result: SweepResult) -> xr.Dataset:
    """`motifs`, how many asymmetric motifs every model has, and `shuffled`, the mean if outputs are dealt; over `seed`."""
    found = [circuit(result.model(seed=int(seed))) for seed in result["seed"].values]
    counts = {
        "motifs": ("seed", [len(asymmetric_motifs(one)) for one in found]),
        "shuffled": ("seed", [shuffled_motifs(one, repeats=20) for one in found]),
        "loss": ("seed", result["loss"].values),
    }
    return xr.Dataset(counts, {"seed": result["seed"].values})


def judge_motifs_of_all(table: xr.Dataset, claims: Claims) -> None:
    """The motif is no accident of one model: over all seeds, and the quarter of least loss; of `motifs_by_seed`."""
    order = np.argsort(table["loss"].values)
    best = order[: max(1, len(order) // 4)]
    motifs, shuffled = table["motifs"].values, table["shuffled"].values
    said = (
        f"{int(np.sum(motifs > 0))} of {len(motifs)} models have one or more, {int(np.sum(motifs[best] > 0))} of the "
    )
    said += f"{len(best)} of least loss; {motifs.mean():.2f} a model, {shuffled.mean():.2f} if outputs are shuffled"
    holds = np.mean(motifs[best] > 0) >= 0.5 and motifs.mean() > 2 * shuffled.mean()
    claims.add("motifs in all models", "in half of the best quarter, and twice as many as by chance", said, holds)


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
