"""Grokked modular addition: Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability"."""

import numpy as np
import xarray as xr

from superpos.analysis.fourier import SINGLE
from superpos.experiments.claims import Claims


def judge(
    table: xr.Dataset, control: xr.Dataset, claims: Claims, seeds: xr.Dataset | None = None, *, full: bool = False
) -> None:
    """Claims about one model, `table` of `superpos.analysis.grokking.progress`, and models without weight decay.

    `control` has the `test_accuracy` of those, of one or of many seeds; `seeds`, of `circuits_of`, is what the models of
    all seeds are made of: how many of them a claim holds for is said, the one of `table` decides. Four claims are about
    the paper's size and judged if `full`.
    """
    steps, test, train = (table[n].values for n in ("step", "test_accuracy", "train_accuracy"))
    gap = steps[(train > 0.99) & (test < 0.5)]
    length = int(gap[-1] - gap[0]) if len(gap) else 0
    claims.add(
        "it memorises long before it generalises", "> 1,000 steps: train > 99 %, test < 50 %", length, length > 1_000
    )
    claims.add("in the end it generalises", "test > 99.9 %", f"{100 * test[-1]:.3f} %", test[-1] > 0.999)
    best, n = float(control["test_accuracy"].max()), control.sizes.get("seed", 1)
    said = f"{100 * best:.1f} %" + f" at most, {n} seeds" * (n > 1)
    claims.add("without weight decay it never does", "test < 99 % in the same steps", said, best < 0.99)
    keys = table["key"].values
    energy = table["embedding_energy"].values
    share = float(energy[keys].sum() / energy[1:].sum()) if len(keys) else 0.0
    said = f"{100 * share:.1f} % in {', '.join(map(str, keys))}"
    claims.add("key frequencies hold the embedding", "> 90 % of ‖F W_E‖² but the constant", said, share > 0.9)
    single = float(np.mean(table["neuron_explained"] > SINGLE))
    said = f"{100 * single:.0f} %"
    if seeds is not None and len(seeds["seed"]) > 1:
        each = ", ".join(f"{100 * share:.0f}" for share in seeds["single"].values)
        said += f"; {int((seeds['single'] >= 0.75).sum())} of {len(seeds['seed'])} seeds: {each} %"
    claims.add("neurons are of one frequency", "≥ 75 % have > 85 % of variance in one", said, single >= 0.75)
    kept = table.attrs["kept_test_accuracy"]
    claims.add("the key frequencies alone answer", "test accuracy ≥ 99 %", f"{100 * kept:.2f} %", kept >= 0.99)
    ratios = table["alone_removed"].values / table["test_loss"].values[-1]
    least = float(ratios.min()) if len(ratios) else 0.0
    claims.add("removing any one of them hurts", "test loss × 10 or more", f"× {least:.3g} or more", least >= 10)
    removed, chance = table.attrs["removed_loss"], float(np.log(table.attrs["p"]))
    claims.add("removing all is worse than chance", f"loss > ln p = {chance:.2f}", f"{removed:.2f}", removed > chance)
    trig = table.attrs["trig_explained"]
    said = f"{100 * trig:.1f} %"
    if seeds is not None and len(seeds["seed"]) > 1:
        said += f"; seeds: {', '.join(f'{100 * share:.1f}' for share in seeds['trig_explained'].values)} %"
    claims.add("logits are Σ α_k cos w_k(a + b − c) of key frequencies", "≥ 95 % of their variance", said, trig >= 0.95)
    _judge_phases(table, claims)
    _judge_weights(table, control, claims)
    for statement, wanted, said, holds in _of_full_size(table):
        if full:
            claims.add(statement, wanted, said, holds)
        else:
            claims.needs_full(statement, wanted, said)


def _judge_phases(table: xr.Dataset, claims: Claims) -> None:
    """Three moments, each read off a series of its own, and the excluded loss between the first and the last of them.

    Nothing makes them come in this order: the training accuracy knows no frequencies, and the restricted loss, of the
    key frequencies alone, knows nothing of the training pairs.
    """
    steps = table["step"].values
    memorised = _first(steps, table["train_accuracy"].values > 0.99)
    circuit, general = (_first(steps, _below_half(table[f"{of}_loss"].values)) for of in ("restricted", "test"))
    said = f"training accuracy > 99 % at {memorised:g}, restricted loss halved at {circuit:g}, test loss at {general:g}"
    holds = memorised < circuit < general
    claims.add("phases: memorisation, circuit, clean-up", "three series, in this order", said, holds)
    rises = [np.nan, np.nan]
    if np.isfinite([memorised, general]).all():
        ends = {"step": [memorised, general]}
        pairs = (table[f"{of}excluded_loss"].sel(ends).values for of in ("", "other_"))
        rises = [float(last / first) for first, last in pairs]
    said = f"× {rises[0]:.3g} from step {memorised:g} to {general:g}; without as many others × {rises[1]:.3g}"
    wanted = "× 2 or more from memorising until the test loss halves, and not without other frequencies"
    holds = rises[0] >= 2 and rises[1] < 2
    claims.add("excluded loss rises while the test loss is high", wanted, said, holds)


def _judge_weights(table: xr.Dataset, control: xr.Dataset, claims: Claims) -> None:
    """The norm of all weights falls from memorising on, and without weight decay it does not."""
    norm = table["squared_weights"].values
    memorised = np.flatnonzero(table["train_accuracy"].values > 0.99)
    fall = float(norm[-1] / norm[memorised[0]]) if len(memorised) else np.nan
    grown = control["grown"].values
    said = f"× {fall:.2f} from memorising to the end; without weight decay × {grown.min():.2f} or more of the start"
    wanted = "‖θ‖² falls by 20 % or more; without weight decay it grows"
    claims.add("weight norm falls", wanted, said, fall <= 0.8 and bool(np.all(grown > 1)))


def _below_half(values: np.ndarray) -> np.ndarray:
    """From which points on a series stays below half of its maximum."""
    high = np.flatnonzero(values >= values.max() / 2)
    return np.arange(len(values)) > high[-1]


def _first(steps: np.ndarray, mask: np.ndarray) -> float:
    """The first of the steps that a mask marks; NaN where it marks none."""
    return float(steps[mask.argmax()]) if mask.any() else np.nan


def _of_full_size(table: xr.Dataset) -> list[tuple[str, str, str, bool]]:
    n, singular = len(table["key"]), table["singular_values"].values
    ratio = float(singular[2 * n] / singular[0])
    kept, whole = table.attrs["kept_loss"], table.attrs["full_loss"]
    halves = [table["step"].values[(table[f"{of}_accuracy"] >= 0.5).values] for of in ("restricted", "test")]
    ahead = int(halves[1][0] - halves[0][0]) if all(map(len, halves)) else 0
    return [
        ("few frequencies", "3 to 7 keys", f"{n}", 3 <= n <= 7),
        ("W_L has two directions for each of K keys", "σ_{2K+1} / σ_1 < 0.1", f"{ratio:.3f}", ratio < 0.1),
        (
            "the key frequencies are all of it",
            "restricted loss ≤ 1.1 × loss",
            f"{kept:.2g}, {whole:.2g}",
            kept <= 1.1 * whole,
        ),
        ("restricted accuracy is ahead", "50 % over 1,000 steps sooner", f"{ahead:,} steps", ahead > 1_000),
    ]
