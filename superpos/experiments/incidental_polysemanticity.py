"""Features that share a neuron by chance of the start, where there are neurons enough for all.

Lecomte, Thaman, Schaeffer, Bashkansky, Chow and Koyejo 2023, "What Causes Polysemanticity? An Alternative Origin Story of
Mixed Selectivity from Incidental Causes".
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.shared_neurons import collisions, neurons_of_features, neurons_per_feature
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import OneHotToy
from superpos.training.train_config import TrainConfig

SOURCE = "Lecomte et al. 2023, What Causes Polysemanticity?; Nanda 2023, open problem 4.20"
# Gradient descent on the paper's loss, the sum over features and inputs, is stable up to about twice this step.
HIDDEN_L1, STEP = 0.05, 0.05
# The law of chance is that of few collisions: from this many neurons per feature on it is judged.
MANY = 4
COLORS = (PALETTE["blue"], PALETTE["orange"], PALETTE["green"], PALETTE["red"])
DRAWN = (16, 64)  # features and neurons of the control, and of the distribution over seeds


@dataclass(frozen=True)
class Size:
    """Numbers of features and neurons, seeds and steps."""

    features: tuple[int, ...] = (8, 16, 32)
    neurons: tuple[int, ...] = (32, 64, 128, 256)
    seeds: int = 256
    steps: int = 2_000


SIZES = Sizes(
    quick=Size(features=(16,), neurons=(64,), seeds=2, steps=20),
    laptop=Size(),
    full=Size(features=(8, 16, 32, 64), neurons=(64, 128, 256, 512, 1024), seeds=1_024, steps=4_000),
)


def build(size: Size, n_features: int) -> tuple[OneHotToy, TrainConfig, Grid]:
    """Task, training and grid of so many features, over numbers of neurons."""
    task = OneHotToy(n_features=n_features, n_hidden=size.neurons[0], hidden_l1=HIDDEN_L1)
    config = TrainConfig(
        steps=size.steps, optimizer="sgd", learning_rate=STEP * n_features**2, schedule="constant", history=1,
        snapshots=(0,),
    )  # fmt: skip
    return task, config, Grid(n_hidden=list(size.neurons), seed=range(size.seeds))


def build_control(size: Size) -> tuple[OneHotToy, TrainConfig, Grid]:
    """The same without penalty, of one size and an eighth of the seeds."""
    task, config, _ = build(size, DRAWN[0])
    return replace(task, hidden_l1=0.0, n_hidden=DRAWN[1]), config, Grid(seed=range(max(size.seeds // 8, 2)))


def measure(result: SweepResult) -> xr.Dataset:
    """Of every model, over the other axes of `result`:

    * `before`: pairs of features whose largest initial weight is on the same neuron.
    * `same`, `opposite`: pairs of features on one neuron after training, by the signs of their weights.
    * `kept`: the share of features whose largest weight is on the neuron where it was largest before training.
    * `spread`: the mean over features of the effective number of neurons that they are on.
    """
    others = [str(dim) for dim in result["loss"].dims]

    def numbers(W: np.ndarray, start: np.ndarray) -> tuple[Any, ...]:
        flat = [np.nan_to_num(x).reshape(-1, *x.shape[-2:]) for x in (W, start)]  # neurons that a model does not have
        found = jax.lax.map(lambda both: _of_model(*both), tuple(flat))
        return tuple(np.asarray(x).reshape(W.shape[:-2]) for x in found)

    start = result["W_snapshots"].isel(snapshot=0).transpose(*others, "hidden", "feature")
    names = ("before", "same", "opposite", "kept", "spread")
    tables = xr.apply_ufunc(
        numbers, result["W"].transpose(*others, "hidden", "feature"), start,
        input_core_dims=[["hidden", "feature"]] * 2, output_core_dims=[[]] * len(names),
    )  # fmt: skip
    return xr.Dataset(dict(zip(names, tables, strict=True)))


def _of_model(W: Any, start: Any) -> tuple[Any, ...]:
    first, last, shared = neurons_of_features(start), neurons_of_features(W), collisions(W)
    before = ((first[:, None] == first[None]).sum() - len(first)) // 2
    return before, shared.same, shared.opposite, (first == last).mean(), neurons_per_feature(W).mean()


def chance(n_features: Any, n_hidden: Any) -> Any:
    r"""Expected pairs of features on one neuron if each feature chooses a neuron at random, $n(n-1) / 2m \approx n^2 / 2m$.

    Half of them have opposite signs.
    """
    return n_features * (n_features - 1) / 2 / n_hidden


def ratio(counts: list[xr.DataArray], expected: list[np.ndarray]) -> tuple[float, float]:
    """(ratio, its standard error over seeds): all pairs that were counted over all that are expected by chance.

    Each array is over (n_hidden, seed), each expectation over n_hidden. A seed's counts in different cells are paired, so
    the error is that of their sum.
    """
    of_seeds = np.sum([count.sum("n_hidden").values for count in counts], axis=0)
    total = of_seeds / sum(float(x.sum()) for x in expected)
    return float(total.mean()), float(total.std(ddof=1) / np.sqrt(len(total)))


def evaluate(tables: dict[int, xr.Dataset], control: xr.Dataset, claims: Claims) -> None:
    """`tables` are `measure`'s by number of features, `control` that of models without penalty."""
    expected = {n: chance(n, table["n_hidden"].values) for n, table in tables.items()}
    share, error = ratio([table["before"] for table in tables.values()], list(expected.values()))
    claims.check(
        "before training: the largest weights of n(n − 1)/2m ≈ n²/2m pairs of features are on one neuron",
        "ratio 1 within 3 standard errors",
        f"{share:.3f} ± {error:.3f} (standard error, all sizes)",
        abs(share - 1) < 3 * error,
    )
    shared = sum(float((table["same"] + table["opposite"]).sum()) for table in tables.values())
    opposite = sum(float(table["opposite"].sum()) for table in tables.values())
    claims.check(
        "after training: features that share a neuron have opposite signs, where ReLU keeps them apart",
        "99 % of pairs or more",
        f"{100 * opposite / max(shared, 1):.2f} % of {shared:.0f}",
        opposite >= 0.99 * shared,
    )
    many = {n: table["n_hidden"].values >= MANY * n for n, table in tables.items()}
    of_many = [(table["opposite"][many[n]], expected[n][many[n]] / 2) for n, table in tables.items() if many[n].any()]
    share, error = ratio([counts for counts, _ in of_many], [by_chance for _, by_chance in of_many])
    claims.check(
        f"after training, m ≥ {MANY}n: half of the chance collisions are left, n(n − 1)/4m ≈ n²/4m pairs",
        "ratio 1 within 3 standard errors",
        f"{share:.3f} ± {error:.3f} (standard error, all such sizes)",
        abs(share - 1) < 3 * error,
    )
    cells = [f"n={n}, m={m}: {_interval(row['opposite'].values)} for {c / 2:.2f}" for n, m, c, row in _few(tables)]
    claims.check(
        "after training, m ≤ 2n: crowded features share less than by chance",
        "every 95 % interval below n(n − 1)/4m",
        "; ".join(cells) or "no such size",
        all(_bounds(row["opposite"].values)[1] < c / 2 for _, _, c, row in _few(tables)),
    )
    spread = max(float(table["spread"].mean("seed").max()) for table in tables.values())
    without = float(control["spread"].mean())
    claims.check(
        "the penalty puts each feature on one neuron, and without it features lie on many",
        "effective neurons per feature below 1.1, and above 10",
        f"{spread:.3f} at most, and {without:.1f} (n = {DRAWN[0]}, m = {DRAWN[1]})",
        spread < 1.1 and without > 10,
    )


def _few(tables: dict[int, xr.Dataset]) -> list[tuple[int, int, float, xr.Dataset]]:
    """Sizes with at most two neurons per feature: (features, neurons, chance, the rows of all seeds)."""
    return [
        (n, int(m), chance(n, int(m)), table.sel(n_hidden=m))
        for n, table in tables.items()
        for m in table["n_hidden"].values
        if m <= 2 * n
    ]


def _bounds(counts: np.ndarray) -> tuple[float, float]:
    error = 1.96 * counts.std(ddof=1) / np.sqrt(len(counts))
    return float(counts.mean() - error), float(counts.mean() + error)


def _interval(counts: np.ndarray) -> str:
    low, high = _bounds(counts)
    return f"{low:.2f} to {high:.2f}"


def draw(results: dict[int, SweepResult], tables: dict[int, xr.Dataset]) -> tuple[Figure, str]:
    """Figure and caption: pairs that share a neuron by size, their distribution over seeds, and the weights of one model."""
    figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.1), layout="constrained", width_ratios=[1.15, 1, 1.15])
    by_size(tables, axes[0])
    n, m = DRAWN
    over_seeds(tables[n]["opposite"].sel(n_hidden=m), chance(n, m) / 2, axes[1])
    axes[1].set_title(f"n = {n}, m = {m}")
    seed = int(tables[n]["opposite"].sel(n_hidden=m).argmax("seed"))
    weights(np.asarray(results[n].sel(n_hidden=m).isel(seed=seed)["W"])[:m], axes[2])
    axes[2].set_title(f"weights, seed {int(tables[n]['seed'][seed])}")
    first = results[n]
    text = (
        "Toy models with more neurons m than features n, trained on one feature at a time with an L1 penalty on the hidden "
        "layer. Left: pairs of features that share a neuron, mean over seeds with 95 % intervals; open: largest weights "
        "before training, with n(n − 1)/2m dashed; filled: after training, with half of it. Middle: models by number of "
        "such pairs, and the Poisson distribution of the mean that chance gives. Right: weights of the model with most such "
        "pairs, of the neurons that have a feature; a line goes through those that have two."
    )
    return figure, caption(first.attrs, text)


def by_size(tables: dict[int, xr.Dataset], ax: Axes | None = None) -> Axes:
    """Pairs that share a neuron against the number of neurons, before and after training, and what chance says."""
    ax = current_axes(ax)
    for k, (n, table) in enumerate(tables.items()):
        m, color = table["n_hidden"].values, COLORS[k % len(COLORS)]
        for name, line, part, face in (("before", "--", 1.0, "white"), ("opposite", "-", 0.5, color)):
            low, high = np.array([_bounds(table[name].sel(n_hidden=x).values) for x in m]).T
            mean = (low + high) / 2
            ax.plot(m, part * chance(n, m), line, color=color, lw=1)
            ax.errorbar(
                m, mean, (high - low) / 2, fmt="o", ms=4, color=color, mfc=face, lw=1.2,
                label=f"{n}" if name == "opposite" else None,
            )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="neurons m", ylabel="pairs on one neuron")
    ax.set_xticks(table["n_hidden"].values, [f"{x}" for x in table["n_hidden"].values], minor=False)
    ax.minorticks_off()
    ax.legend(title="features n", loc="lower left")
    return ax


def over_seeds(counts: xr.DataArray, mean: float, ax: Axes | None = None) -> Axes:
    """Share of seeds by number of pairs, and the Poisson distribution of this mean."""
    from scipy.stats import poisson  # here: its import takes as long as that of flax

    ax = current_axes(ax)
    numbers = np.arange(int(counts.max()) + 2)
    ax.bar(numbers, [float((counts == k).mean()) for k in numbers], color=COLORS[1], alpha=0.5, label="trained")
    ax.plot(numbers, poisson.pmf(numbers, mean), "k.-", lw=1, label="chance")
    ax.set(xlabel="pairs on one neuron", ylabel="share of models", xticks=numbers)
    ax.legend()
    return ax


def weights(W: np.ndarray, ax: Axes | None = None) -> Axes:
    """Weights of the neurons that have a feature, in the order of their features; a line through those that have two.

    `W` is (n_hidden, n_features).
    """
    ax = current_axes(ax)
    largest = np.abs(W).argmax(0)  # the neuron of each feature
    used = np.array(list(dict.fromkeys(largest)))
    ax.imshow(W[used], cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    for row in np.flatnonzero([np.sum(largest == k) > 1 for k in used]):
        ax.axhline(float(row), color="#888888", lw=0.7)
    ax.locator_params(axis="x", integer=True)
    ax.set(xlabel="feature", ylabel="neuron (in use)")
    return ax
