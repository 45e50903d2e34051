r"""When does direct logit attribution mislead? Nanda 2023, open problem 3.27.

The logits of a transformer are a sum of what its heads wrote, so each head has a share of the right answer's logit
(`analysis.logit_attribution`). Ablation gives the truth to compare with: by how much that logit falls without the head. Two
layers that predict repeated tokens are a fair test, as their circuit is known (`experiments.induction_heads`): a head of
layer 0 writes what the token before was, and induction heads of layer 1 find by it where to look.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from superpos.analysis.attention import ablation, mean_z, previous_token_score
from superpos.analysis.attributions import attribution_of_cache
from superpos.analysis.heads import fresh_sequences
from superpos.analysis.intervals import share_interval
from superpos.data.sequences import Repeats
from superpos.experiments import induction_heads
from superpos.experiments.claims import Claims
from superpos.experiments.induction_heads import Size
from superpos.experiments.over_seeds import mean_and_half_width
from superpos.experiments.sizes import Sizes
from superpos.models.transformer import Transformer
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import RepeatedTokens
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 3.27: when does direct logit attribution mislead?"
EFFECTS = ("zero", "mean", "patterns kept")
EFFECT_COLORS = {"zero": PALETTE["orange"], "mean": PALETTE["green"], "patterns kept": PALETTE["blue"]}
LITTLE, MOST = 0.1, 0.5
ELSEWHERE = 0.2  # attention to the token before, below which a head looks elsewhere

SIZES = Sizes(
    quick=replace(induction_heads.SIZES.quick, seeds=2),
    laptop=replace(induction_heads.SIZES.laptop, seeds=8, n_sequences=64),
    full=replace(induction_heads.SIZES.full, seeds=32, n_sequences=256),
)


def build(size: Size) -> tuple[RepeatedTokens, TrainConfig, Grid]:
    """Task, training and grid: the two layers of `induction_heads`, without snapshots."""
    task, config, _ = induction_heads.build(size)
    return replace(task, n_layers=2), replace(config, snapshots=()), Grid(seed=range(size.seeds))


def measure(result: SweepResult, n_sequences: int) -> xr.Dataset:
    """Of every model, on `n_sequences` fresh sequences, of the right token's logit less the mean of all, in the repeats:

    * `logit`, its mean, over `seed`; `error`, the largest deviation of the sum of all attributions from it.
    * `direct`: the mean direct attribution of every head, over `seed`, `layer` and `head`.
    * `effect`: by how much the logit falls without the head, over these and `without`: its output set to 0; to its mean;
      to 0 with the attention of all heads kept as it was.
    * `previous_token`: mean attention of every head to the token before.
    """
    rows: dict[str, list[np.ndarray]] = {}
    for seed in result["seed"].values:
        cell = result.sel(seed=seed)
        task: Any = cell.task()
        for name, value in effects(cell.model(), fresh_sequences(task, n_sequences)).items():
            rows.setdefault(name, []).append(np.asarray(value))
    heads = ("seed", "layer", "head")
    dims = {"logit": ("seed",), "error": ("seed",), "effect": (*heads, "without")}
    return xr.Dataset(
        {name: (dims.get(name, heads), np.stack(values)) for name, values in rows.items()},
        {"seed": result["seed"].values, "without": list(EFFECTS)},
    )


@jax.jit
def effects(model: Transformer, data: Repeats) -> dict[str, Array]:
    """What `measure` says of one model."""
    tokens, scored = data.tokens, data.scored
    targets = jnp.roll(tokens, -1, 1)  # the last position is never scored
    centred = (model.W_U[...] - jnp.mean(model.W_U[...], 1, keepdims=True)).T
    last = f"blocks.{model.W_Q.shape[0] - 1}.resid_post"

    def mean_over_repeats(values: Array) -> Array:
        return jnp.einsum("...sp,sp->...", values, scored.astype(values.dtype)) / jnp.sum(scored)

    def right_logits(cache: dict[str, Array], targets: Array) -> Array:
        return jnp.sum(cache[last] * centred[targets], -1)

    cache = jax.vmap(lambda t: model.run_with_cache(t)[1])(tokens)
    intact, to = right_logits(cache, targets), mean_z(cache)
    parts = jax.vmap(partial(attribution_of_cache, model))(cache, targets)
    patterns = {name: pattern for name, pattern in cache.items() if name.endswith("attn.pattern")}

    def fall(without: tuple[Array, Array, Array]) -> Array:
        heads, z, kept = without

        def one(tokens: Array, patterns: dict[str, Array]) -> dict[str, Array]:
            edits: dict[str, Any] = dict(ablation(heads, z))
            edits |= {name: partial(_kept_where, kept, pattern) for name, pattern in patterns.items()}
            return model.run_with_cache(tokens, edits)[1]

        return mean_over_repeats(intact - right_logits(jax.vmap(one)(tokens, patterns), targets))

    shape, n_effects = to.shape[:2], len(EFFECTS)
    alone = jnp.eye(shape[0] * shape[1], dtype=bool).reshape(-1, *shape)
    modes = jnp.stack([0 * to, to, 0 * to]), jnp.array([False, False, True])  # in the order of EFFECTS
    each = (jnp.repeat(alone, n_effects, 0), *(jnp.concatenate([mode] * len(alone)) for mode in modes))
    return {
        "logit": mean_over_repeats(intact),
        "error": jnp.max(jnp.abs(jax.vmap(lambda p: p.total)(parts) - intact)),
        "direct": mean_over_repeats(jnp.moveaxis(parts.heads, 0, 2)),
        "effect": jax.lax.map(fall, each).reshape(*shape, n_effects),
        "previous_token": jnp.stack([jnp.mean(previous_token_score(p), 0) for p in patterns.values()]),
    }


def _kept_where(kept: Array, pattern: Array, value: Array) -> Array:
    return jnp.where(kept, pattern, value)


def previous_heads(table: xr.Dataset) -> xr.Dataset:
    """Of every seed, the head of layer 0 that attends most to the token before; over `seed`."""
    first = table.isel(layer=0)
    return first.isel(head=first["previous_token"].argmax("head"))


def kept_share(table: xr.Dataset) -> xr.DataArray:
    """Effect of heads of layer 0 that attend little to the token before, with attention kept, over that without; by seed.

    NaN where there are no such heads.
    """
    first = table.isel(layer=0)
    total = first["effect"].where(first["previous_token"] < ELSEWHERE).sum("head")
    zero = total.sel(without="zero", drop=True)
    return total.sel(without="patterns kept", drop=True) / zero.where(zero != 0)


def rank_agreement(table: xr.Dataset, layer: int | None = None) -> xr.DataArray:
    """Rank correlation of direct attribution and effect over the heads of a layer, or all; over `seed` and `without`."""
    chosen = table if layer is None else table.isel(layer=[layer])
    direct, effect = (
        chosen[name].stack(part=("layer", "head")).transpose("seed", ..., "part") for name in ("direct", "effect")
    )
    values = [[_spearman(d, row) for row in rows] for d, rows in zip(direct.values, effect.values, strict=True)]
    return xr.DataArray(values, {"seed": table["seed"], "without": table["without"]}, ("seed", "without"))


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    correlation: Any = spearmanr(one, other)
    return float(correlation.statistic)


def evaluate(table: xr.Dataset, claims: Claims) -> None:
    """Claims over seeds, of the table of `measure`."""
    n, logit, error = table.sizes["seed"], table["logit"], float(table["error"].max())
    claims.identity(
        "what the embedding and the heads add is the logit",
        "to 1e-4 at every position",
        f"off by at most {error:.0e}",
        error < 1e-4,
    )
    last = table.isel(layer=-1)
    off = float(np.abs(last["effect"].sel(without="zero") - last["direct"]).max())
    claims.identity(
        "of a head of the last layer it is what is missing without the head",
        "all heads, set to 0: to 1e-4",
        f"off by at most {off:.0e}",
        off < 1e-4,
    )
    before = previous_heads(table)
    zero = before["effect"].sel(without="zero")
    middle, width = mean_and_half_width((abs(before["direct"]) / logit).values)
    claims.check(
        "the head of layer 0 that attends to the token before adds next to nothing to the right logit",
        f"|direct| below {LITTLE:g} of the logit (95 % interval of the mean)",
        f"{middle:.3f} ± {width:.3f}",
        middle + width < LITTLE,
    )
    middle, width = mean_and_half_width((zero / logit).values)
    claims.check(
        "… but without it most of that logit is gone",
        f"more than {MOST:g} of it (95 % interval of the mean)",
        f"{middle:.2f} ± {width:.2f}",
        middle - width > MOST,
    )
    first = zero.values >= table["effect"].sel(without="zero").max(("layer", "head")).values - 1e-9
    _, low, high = share_interval(int(first.sum()), n)
    claims.check(
        "… more than without any other head",
        "in more than half of the seeds (95 % interval)",
        f"{int(first.sum())} of {n} ({low:.0%} to {high:.0%})",
        low > 0.5,
    )
    kept = before["effect"].sel(without="patterns kept")
    middle, width = mean_and_half_width(((zero - kept) / (zero - before["direct"])).values)
    claims.check(
        "what direct attribution misses goes by way of where later heads look",
        "with all attention kept as it was, more than .8 of the missed effect is gone (95 % interval of the mean)",
        f"{middle:.2f} ± {width:.2f}",
        middle - width > 0.8,
    )
    middle, width = mean_and_half_width(kept_share(table).values)
    claims.check(
        "other heads of layer 0 are missed, too, but by way of what later heads copy",
        "with all attention kept as it was, more than .8 of their effect stays (95 % interval of the mean)",
        f"{middle:.2f} ± {width:.2f}",
        middle - width > 0.8,
    )
    for without, layer, words, bound in (
        ("mean", -1, "heads of the last layer are ranked alike by attribution and by mean ablation", 0.8),
        ("zero", None, "heads of both layers are not", 0.8),
    ):
        middle, width = mean_and_half_width(rank_agreement(table, layer).sel(without=without).values)
        above = layer is not None
        claims.check(
            words,
            f"rank correlation {'above' if above else 'below'} {bound:g} (95 % interval of the mean)",
            f"{middle:.2f} ± {width:.2f}",
            middle - width > bound if above else middle + width < bound,
        )


def draw(result: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: attribution against the effect of three ablations, and how far they rank heads alike."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.7), layout="constrained")
    titles = ("set to 0", "set to its mean", "set to 0, attention kept")
    for ax, without, title in zip(axes, EFFECTS, titles, strict=False):
        attribution_against_effect(table, without, ax).set_title(title)
    highest = 1.08 * float((table["effect"] / table["logit"]).max())
    for ax in axes[:3]:
        ax.set_ylim(-0.08 * highest, highest)
    axes[2].legend(loc="upper right", handletextpad=0.2, borderaxespad=0.1)
    agreements(table, axes[3])
    text = (
        "From left: what every head of every seed adds directly to the right token's logit, in the repeats, against how far "
        "that logit falls without the head, for three ablations, both over the logit (on the line they agree; squares: the "
        "head of layer 0 that attends most to the token before); right: rank correlation of both over heads, by ablation "
        "(seeds, mean and 95 % interval)."
    )
    return figure, caption(result.attrs, text)


def attribution_against_effect(table: xr.Dataset, without: str, ax: Axes | None = None) -> Axes:
    """Direct attribution of all heads against the effect of one ablation, both over the logit."""
    ax = current_axes(ax)
    shares = table[["direct", "effect"]] / table["logit"]
    limits = [min(0, float(shares["direct"].min())) - 0.05, float(shares["direct"].max()) + 0.05]
    ax.plot(limits, limits, color="#BBBBBB", lw=0.8, zorder=0)
    for layer, color in ((0, PALETTE["orange"]), (1, PALETTE["blue"])):
        x, y = (shares[name].isel(layer=layer) for name in ("direct", "effect"))
        y = y.sel(without=without).transpose(*x.dims)
        ax.plot(x.values.ravel(), y.values.ravel(), ".", color=color, ms=4, alpha=0.7, label=f"layer {layer}")
    marked = previous_heads(table.assign(shares))
    ax.plot(
        marked["direct"], marked["effect"].sel(without=without), "s", mfc="none", color="black", ms=5,
        label="token before",
    )  # fmt: skip
    ax.set(xlabel="direct attribution / logit", ylabel="effect / logit")
    return ax


def agreements(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Rank correlations of attribution and effect by ablation: over all heads, and over those of the last layer."""
    ax = current_axes(ax)
    ax.axhline(0, color="#BBBBBB", lw=0.7, zorder=0)
    for j, (layer, marker, label) in enumerate(((None, "o", "both layers"), (-1, "s", "last layer"))):
        ranks = rank_agreement(table, layer)
        for k, without in enumerate(EFFECTS):
            values, x = ranks.sel(without=without).values, k + 0.36 * (j - 0.5)
            middle, width = mean_and_half_width(values)
            ax.plot(np.full(len(values), x), values, ".", ms=2.5, color="#BBBBBB", zorder=1)
            color = EFFECT_COLORS[without]
            ax.errorbar(x, middle, width, fmt=marker, ms=4, color=color, mfc="white" if j == 0 else None, capsize=2)
        ax.plot([], [], marker, ms=4, color="black", mfc="white" if j == 0 else "black", label=label)
    ax.set_xticks(range(len(EFFECTS)), ["0", "mean", "0, attention\nkept"])
    ax.set(ylabel="rank correlation", ylim=(-1.05, 1.6))
    ax.legend(loc="upper left", ncols=1)
    return ax
