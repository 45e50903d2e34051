"""Two accidents that decide how many features a neuron serves where there are neurons for all: first biases, and noise.

Jermyn, Schiefer and Hubinger 2022, "Engineering Monosemanticity in Toy Models"; Lecomte, Thaman, Schaeffer, Bashkansky, Chow
and Koyejo 2023, "What Causes Polysemanticity? An Alternative Origin Story of Mixed Selectivity from Incidental Causes".
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.intervals import Interval, mean_interval, share_interval
from superpos.analysis.served import served_features
from superpos.analysis.shared_neurons import collisions, neurons_per_feature
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import FeatureDecoder, OneHotToy
from superpos.training.train_config import TrainConfig

SOURCE = (
    "Jermyn et al. 2022, Engineering Monosemanticity in Toy Models; Lecomte et al. 2023, What Causes Polysemanticity?"
)
# The bias that is compared with 0, and one that is too far below it.
MODERATE, FAR = -0.25, -1.0
NO_WORSE = 1.1  # ratio of losses
NOISE, STEP = 0.1, 0.1
NOISES = {"bipolar": "bipolar (−2)", "normal": "normal (0)", "laplace": "Laplace (3)"}
N_FEATURES, N_NEURONS = 8, 16
# A feature of length 1 has at most one weight above the first; a part of one lies on neurons where it is above the second.
WHOLE, PART = 0.5**0.5, 0.3
# Seeds 0 to 63 were looked at before it was said how features share neurons under bipolar noise.
FIRST_NOISE_SEED = 64
COLORS = dict(zip(NOISES, (PALETTE["orange"], PALETTE["blue"], PALETTE["green"]), strict=True))


@dataclass(frozen=True)
class Size:
    """First biases, seeds and steps of decoders; distributions of noise, seeds and steps of models with noise."""

    biases: tuple[float, ...] = (0.5, 0.25, 0.0, MODERATE, -0.5, FAR)
    seeds: int = 8
    steps: int = 3_000
    evaluation_samples: int = 131_072
    noises: tuple[str, ...] = tuple(NOISES)
    noise_seeds: int = 64
    noise_steps: int = 20_000


SIZES = Sizes(
    quick=Size(
        biases=(0.0, MODERATE), seeds=2, steps=20, evaluation_samples=2_048, noises=("normal",), noise_seeds=2,
        noise_steps=20,
    ),
    laptop=Size(),
    full=Size(
        biases=(0.5, 0.25, 0.125, 0.0, -0.125, MODERATE, -0.375, -0.5, -0.75, FAR), seeds=64, steps=10_000,
        noise_seeds=1_024, noise_steps=100_000,
    ),
)  # fmt: skip


def build(size: Size) -> tuple[FeatureDecoder, TrainConfig, Grid]:
    """Task, training and grid of decoders: 32 features in 16 dimensions, and two neurons for each."""
    task = FeatureDecoder(n_features=32, n_hidden=64, n_inputs=16, feature_probability=0.03)
    config = TrainConfig(
        steps=size.steps, batch_size=128, learning_rate=0.01, history=1, evaluation_samples=size.evaluation_samples
    )
    return task, config, Grid(init_hidden_bias=list(size.biases), seed=range(size.seeds))


def build_noise(size: Size) -> tuple[OneHotToy, TrainConfig, Grid]:
    """The same of models with noise in the hidden layer and no penalty."""
    task = OneHotToy(n_features=N_FEATURES, n_hidden=N_NEURONS, hidden_noise=NOISE)
    config = TrainConfig(
        steps=size.noise_steps, optimizer="sgd", learning_rate=STEP * N_FEATURES**2, schedule="constant", history=1
    )
    return (
        task,
        config,
        Grid(noise_distribution=list(size.noises), seed=range(FIRST_NOISE_SEED, FIRST_NOISE_SEED + size.noise_seeds)),
    )


def measure(result: SweepResult) -> xr.Dataset:
    """Of every decoder, over the axes of `result`:

    * `used`, `monosemantic`: neurons that serve a feature, and those that serve one alone (`served_features`).
    * `bias`: the mean of the hidden biases after training.
    """
    table: Any = result.map(_of_decoder)
    return table


def _of_decoder(model: Any, task: Any) -> dict[str, Any]:
    count = served_features(model).sum(1)
    return {"used": (count > 0).sum(), "monosemantic": (count == 1).sum(), "bias": model.b_in[...].mean()}


def measure_noise(result: SweepResult) -> xr.Dataset:
    """Of every model with noise, over the axes of `result`:

    * `spread`: the mean over features of the effective number of neurons that they are on.
    * `whole`: pairs of features that lie whole on one neuron.
    * `same`, `opposite`: pairs with at least a part of either on one neuron, by the signs of the weights.
    """
    table: Any = result.map(_of_noisy)
    return table


def _of_noisy(model: Any, task: Any) -> dict[str, Any]:
    W = model.W[...]
    whole, part = (collisions(W, above=above) for above in (WHOLE, PART))
    return {
        "spread": neurons_per_feature(W).mean(),
        "whole": whole.same + whole.opposite,
        "same": part.same,
        "opposite": part.opposite,
    }


@cache
def random_spread(n_hidden: int) -> float:
    """Effective number of neurons of a direction at random: the mean over 100,000 of them, about n_hidden / 3."""
    squares = np.random.default_rng(0).normal(size=(100_000, n_hidden)) ** 2
    return float(np.mean(squares.sum(1) ** 2 / (squares**2).sum(1)))


def evaluate(decoders: SweepResult | xr.Dataset, table: xr.Dataset, noisy: xr.Dataset, claims: Claims) -> None:
    """All claims. `table` is `measure`'s of `decoders`, of which the losses count; `noisy` is `measure_noise`'s."""
    share = table["monosemantic"] / table["used"].clip(1)
    at = {float(x): share.sel(init_hidden_bias=x).values for x in share["init_hidden_bias"].values}
    loss = {x: decoders["loss"].sel(init_hidden_bias=x).values for x in at}
    shares = "; ".join(f"{_sign(x)}: {_text(mean_interval(values))}" for x, values in at.items())
    more = mean_interval(at[MODERATE] - at[0.0])
    claims.check(
        f"biases that start at {_sign(MODERATE)} and not at 0: a larger share of the neurons in use serves one feature",
        "difference above 0 by its interval (95 %, paired seeds)",
        f"{_text(more)}; shares by bias {shares}",
        more.low > 0,
    )
    ratio = mean_interval(loss[MODERATE] / loss[0.0])
    claims.check(
        "… and the loss is no larger",
        f"ratio below {NO_WORSE:g} by its interval (95 %, paired seeds)",
        _text(ratio),
        ratio.high < NO_WORSE,
    )
    lower = mean_interval(table["bias"].sel(init_hidden_bias=MODERATE).values - table["bias"].sel(init_hidden_bias=0.0))
    claims.check(
        "… and the biases stay lower to the end of training",
        "difference below 0 by its interval (95 %, paired seeds)",
        _text(lower),
        lower.high < 0,
    )
    used, plain = (float(table["used"].sel(init_hidden_bias=x).mean()) for x in (min(at), 0.0))
    far = mean_interval(loss.get(FAR, loss[MODERATE]) / loss[0.0])
    claims.check(
        f"biases that start at {_sign(FAR)}: the loss is much larger, so the bias has to be moderate",
        "ratio above 2 by its interval (95 %, paired seeds)",
        f"{_text(far)}; {used:.0f} neurons serve a feature, and {plain:.0f} from 0",
        far.low > 2,
    )
    evaluate_noise(noisy, claims)


def evaluate_noise(noisy: xr.Dataset, claims: Claims) -> None:
    """What noise in the hidden layer does."""
    spread = {str(x): noisy["spread"].sel(noise_distribution=x).values for x in noisy["noise_distribution"].values}
    of_normal, by_chance = mean_interval(spread["normal"], confidence=0.997), random_spread(N_NEURONS)
    claims.check(
        "normal noise is the same in every basis: features lie in directions at random",
        f"{by_chance:.2f} effective neurons per feature, within the interval (99.7 %)",
        _text(of_normal),
        of_normal.low < by_chance < of_normal.high,
    )
    fewer, further = (
        mean_interval(spread.get(name, spread["normal"]) - spread["normal"]) for name in ("bipolar", "laplace")
    )
    claims.check(
        "bipolar noise, of negative excess kurtosis, puts features on fewer neurons, without any penalty",
        "difference to normal noise below 0 by its interval (95 %, paired seeds)",
        f"{_text(fewer)}, to {np.mean(spread.get('bipolar', np.nan)):.2f} effective neurons per feature",
        fewer.high < 0,
    )
    claims.check(
        "Laplace noise, of positive excess kurtosis, spreads them over more",
        "difference to normal noise above 0 by its interval (95 %, paired seeds)",
        f"{_text(further)}, to {np.mean(spread.get('laplace', np.nan)):.2f}",
        further.low > 0,
    )
    first = noisy.isel(noise_distribution=0)  # bipolar, but in a quick look
    some = share_interval(int((first["whole"] > 0).sum()), first["whole"].size)
    claims.check(
        f"bipolar noise: although m = {N_NEURONS} > n = {N_FEATURES}, some models have two features whole on one neuron",
        "share of models above 0.01 by its interval (95 %)",
        _text(some),
        some.low > 0.01,
    )
    opposite, same = (int(first[name].sum()) for name in ("opposite", "same"))
    mixed = share_interval(int((first["opposite"] > 0).sum()), first["opposite"].size)
    claims.check(
        "… what shares a neuron is a part of a spread feature, of the sign that silences the other's output",
        "opposite signs in 95 % of pairs or more, in most models by the interval of their share (95 %)",
        f"{opposite} of {opposite + same} pairs; {_text(mixed)} of models",
        opposite >= 0.95 * (opposite + same) and mixed.low > 0.5,
    )


def _sign(x: float) -> str:
    return f"{x:g}".replace("-", "−")


def _text(interval: Interval) -> str:
    return f"{interval.estimate:.2f} ({interval.low:.2f} to {interval.high:.2f})".replace("-", "−")


def draw(decoders: SweepResult, table: xr.Dataset, noisy: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: neurons that serve one feature and the loss by first bias, and how noise spreads features."""
    figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.1), layout="constrained")
    by_bias(table["monosemantic"] / table["used"].clip(1), axes[0])
    axes[0].set(ylabel="share of neurons with one feature", ylim=(0, 1))
    by_bias(decoders["loss"] / decoders["loss"].sel(init_hidden_bias=0.0), axes[1])
    axes[1].axhline(1, color="#888888", lw=1, zorder=0)
    axes[1].set(yscale="log", ylabel="loss / loss from bias 0")
    axes[1].set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    axes[1].minorticks_off()
    by_noise(noisy["spread"], axes[2])
    text = (
        "Left and middle: decoders of features from a projection, by where their hidden biases start; of the neurons that "
        "serve a feature those that serve one alone, and the loss; dots are seeds, lines means. Right: another model, "
        f"{N_FEATURES} features in {N_NEURONS} neurons, one active at a time, with noise of standard deviation {NOISE:g} in "
        "the hidden layer: effective number of neurons per feature by the distribution of the noise (excess kurtosis); "
        "dots are seeds, bars means, dashed: directions at random."
    )
    return figure, caption(decoders.attrs, text)


def by_bias(values: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Numbers over (init_hidden_bias, seed): dots for seeds, a line through the means."""
    ax = current_axes(ax)
    values = values.sortby("init_hidden_bias").transpose("init_hidden_bias", "seed")
    x = values["init_hidden_bias"].values
    ax.plot(x, values.values, ".", color=COLORS["normal"], alpha=0.4, ms=5, mew=0)
    ax.plot(x, values.mean("seed").values, "-", color=COLORS["normal"], lw=1.5)
    ax.set(xlabel="hidden bias before training")
    return ax


def by_noise(spread: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Effective neurons per feature over (noise_distribution, seed): dots for seeds, side by side, and a bar at the mean."""
    ax = current_axes(ax)
    names = [str(name) for name in spread["noise_distribution"].values]
    for k, name in enumerate(names):
        values = np.sort(spread.sel(noise_distribution=name).values)
        ax.plot(k + np.linspace(-0.3, 0.3, len(values)), values, ".", color=COLORS[name], alpha=0.6, ms=5, mew=0)
        ax.plot([k - 0.35, k + 0.35], [values.mean()] * 2, "-", color="black", lw=1.5)
    ax.axhline(random_spread(N_NEURONS), color="#888888", ls="--", lw=1, zorder=0)
    ax.set_xticks(range(len(names)), [NOISES[name] for name in names])
    ax.set(xlabel="noise in the hidden layer", ylabel="neurons per feature", ylim=(0, None))
    return ax
