r"""Can one attention head do different things for different inputs, because there are too few? Open problem 4.15.

Skip trigrams A … B → C whose answer C depends on A and B together, more of them than there are heads. A head that attends
to A moves the same logits whatever B is: each of the G groups of destinations needs a head of its own, unless the heads
are shared, by how strongly B makes them attend. Which head answers what is measured by mean ablation.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from superpos.analysis.heads import ablation, fresh_key, mean_z
from superpos.analysis.intervals import mean_interval, share_interval
from superpos.data.skip_trigrams import SkipTrigram, skip_trigram
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.models.transformer import Transformer
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import SkipTrigrams
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 4.15; Jermyn, Olah and Henighan 2023, Attention Head Superposition"
RIGHT = 0.99
MOST = 0.5  # share of the contexts of a trigram from which it counts as answered
FLOOR = 1e-4  # nats; losses below are drawn there
COLORS = (PALETTE["blue"], PALETTE["orange"], PALETTE["green"], PALETTE["red"], "#777777")
PATTERN = "blocks.0.attn.pattern"
FIRST_SEED = 200  # thresholds were chosen on others


@dataclass(frozen=True)
class Size:
    """Numbers of heads and of groups, sources and as many destinations, width, seeds, training, contexts of a trigram."""

    heads: tuple[int, ...] = (1, 2, 4)
    groups: tuple[int, ...] = (1, 2, 4, 8)
    sources: int = 8
    d_head: int = 8
    d_model: int = 24
    length: int = 4
    seeds: int = 8
    steps: int = 1_500
    batch_size: int = 64
    contexts: int = 16


SIZES = Sizes(
    quick=Size(heads=(2,), groups=(1, 2, 4), sources=4, d_head=4, d_model=8, seeds=2, steps=20, batch_size=16, contexts=4),
    laptop=Size(),
    full=Size(
        heads=(1, 2, 4, 8, 16), groups=(1, 2, 4, 8, 16), sources=16, d_head=16, d_model=64, seeds=32, steps=10_000,
        batch_size=256, contexts=64,
    ),
)  # fmt: skip


def build(size: Size) -> tuple[SkipTrigrams, TrainConfig, Grid]:
    """Task, training and grid."""
    task = SkipTrigrams(
        n_sources=size.sources, n_destinations=size.sources, length=size.length, n_heads=size.heads[0],
        d_head=size.d_head, d_model=size.d_model, n_groups=1,
    )  # fmt: skip
    config = TrainConfig(steps=size.steps, batch_size=size.batch_size, history=5, evaluation_samples=4_096)
    seeds = range(FIRST_SEED, FIRST_SEED + size.seeds)
    return task, config, Grid(n_heads=list(size.heads), n_groups=list(size.groups), seed=seeds)


def all_trigrams(task: SkipTrigrams, n_contexts: int) -> SkipTrigram:
    """Every skip trigram in the same contexts, as many as asked for: the place of its source, and the fillers.

    The fields lead with (n_sources, n_destinations, n_contexts).
    """
    over = (task.n_sources, task.n_destinations, n_contexts)
    drawn = jax.random.uniform(fresh_key(), (n_contexts, task.length + 3))
    shares = jnp.broadcast_to(drawn, (*over, task.length + 3))
    for k, n in enumerate(over[:2]):
        middles = (jnp.arange(n) + 0.5) / n
        shares = shares.at[..., k].set(jnp.expand_dims(middles, tuple({0, 1, 2} - {k})))
    sizes = {name: getattr(task, name) for name in ("n_sources", "n_destinations", "n_fillers", "n_groups")}
    draw: Any = partial(skip_trigram, **sizes)
    for _ in over:
        draw = jax.vmap(draw)
    return draw(shares)


def by_head(model: Transformer, task: SkipTrigrams, n_contexts: int) -> dict[str, Float[Array, "..."]]:
    """What the heads of one model do for every trigram, over (source, destination), the mean over its contexts:

    * `right`: how often its answer is the likeliest token.
    * `even`: the same with every head attending as it does on average over destinations, for this source and context.
    * `without`, over heads first: the same with the output of one head at its mean over all trigrams.
    * `alone`, over heads first: the same with all other heads at their means.
    * `attention`, over heads first: the attention from the destination to the source.
    """
    data = all_trigrams(task, n_contexts)
    over, n_heads = data.answer.shape, model.W_Q.shape[1]
    tokens, answers = data.tokens.reshape(-1, task.length + 1), data.answer.ravel()
    _, cache = jax.vmap(partial(model.run_with_cache, last_only=True))(tokens)
    to, one = mean_z(cache), jnp.eye(n_heads, dtype=bool)
    pattern = cache[PATTERN].reshape(*over, *cache[PATTERN].shape[1:])
    even = jnp.broadcast_to(jnp.mean(pattern, 1, keepdims=True), pattern.shape).reshape(cache[PATTERN].shape)

    def answered(off: Array, patterns: Array) -> Array:
        changed = jax.vmap(lambda t, p: model(t, ablation(off[None], to, {PATTERN: p}), last_only=True))
        said = jnp.argmax(changed(tokens, patterns), -1)
        return jnp.mean((said == answers).astype(float).reshape(over), -1)

    nothing = jnp.zeros(n_heads, bool)
    right = jax.lax.map(lambda off: answered(off, cache[PATTERN]), jnp.concatenate([nothing[None], one, ~one]))
    sources = jnp.where(tokens < task.n_sources, 1.0, 0.0)[:, None]  # one of every sequence
    attention = jnp.sum(cache[PATTERN][:, :, 0] * sources, -1).T.reshape(n_heads, *over)
    return {
        "right": right[0],
        "even": answered(nothing, even),
        "without": right[1 : n_heads + 1],
        "alone": right[n_heads + 1 :],
        "attention": jnp.mean(attention, -1),
    }


def measure(result: SweepResult, n_contexts: int) -> xr.Dataset:
    """`by_head` of every model, over the axes of `result`; NaN for heads that smaller models do not have."""
    trigram = ("source", "destination")
    dims = dict.fromkeys(("right", "even"), trigram)
    dims |= dict.fromkeys(("without", "alone", "attention"), ("head", *trigram))
    table: Any = result.map(lambda model, task: by_head(model, task, n_contexts), dims=dims)
    return table.assign(loss=result["loss"])


def naive_loss(n_heads: int, n_groups: int, n_sources: int) -> float:
    r"""The least nats of H heads that are not shared: at most one attends from a destination, and always as strongly.

    A head that serves k groups leaves open which of their k answers is meant; of groups that none serves all S are open:

    $$\min_{k_1, \dots, k_H} \frac 1G \Big(\sum_h k_h \log k_h + \big(G - \sum_h k_h\big) \log S\Big).$$

    It is 0 where there are as many heads as groups. Of the groups served each head has as many as any other, or one more.
    """

    def nats(served: int) -> float:
        each, more = divmod(served, n_heads)
        sizes = np.maximum([each + 1] * more + [each] * (n_heads - more), 1)
        return float(np.sum(sizes * np.log(sizes)) + (n_groups - served) * np.log(n_sources)) / n_groups

    return min(nats(served) for served in range(n_groups + 1))


def spread(table: xr.Dataset) -> xr.DataArray:
    """Share of the answered trigrams that no head alone answers, of every model."""
    answered, alone = table["right"] > MOST, (table["alone"] > MOST).any("head")
    return (answered & ~alone).mean(("source", "destination")) / answered.mean(("source", "destination"))


def groups_served(table: xr.Dataset) -> xr.DataArray:
    """Of every head of models of one number of groups: in how many groups most of the answered trigrams need it.

    A trigram needs a head where most of its contexts have another answer without it.
    """
    n_groups = int(table["n_groups"])
    answered = table["right"] > MOST
    needs = answered & (table["without"] < MOST)
    served: Any = 0
    for k in range(n_groups):
        group = {"destination": slice(k, None, n_groups)}
        some, all_of_them = (of.isel(group).sum(("source", "destination")) for of in (needs, answered))
        served = served + (2 * some > all_of_them)
    return served.where(table["without"].notnull().any(("source", "destination")))


def evaluate(table: xr.Dataset, claims: Claims) -> None:
    """Claims over seeds, of the table of `measure`."""
    heads, groups = (np.unique(table[name].values).tolist() for name in ("n_heads", "n_groups"))
    right, n_sources = table["right"].mean(("source", "destination")), table.sizes["source"]
    most = groups[-1]

    def answers_all(statement: str, n_heads: int, n_groups: int) -> None:
        values = right.sel(n_heads=n_heads, n_groups=n_groups).values
        k = int((values >= RIGHT).sum())
        share = share_interval(k, len(values))
        claims.check(
            statement,
            f"{RIGHT:.0%} right in more than half of the seeds (95 % interval)",
            f"{k} of {len(values)} ({share.low:.0%} to {share.high:.0%}); mean {values.mean():.1%}",
            share.low > 0.5,
        )

    answers_all(f"one group: {_heads(heads[0])} every trigram", heads[0], groups[0])
    fewer = max(h for h in heads if h < most)
    answers_all(f"{most} groups: {_heads(fewer)} every trigram, too", fewer, most)
    ratios = {}
    for h, g in ((h, g) for h in heads for g in groups if h < g):
        middle, _, high = mean_interval(table["loss"].sel(n_heads=h, n_groups=g).values)
        naive = naive_loss(h, g, n_sources)
        ratios[h, g] = (high / naive, middle / naive)
    worst = max(ratios, key=lambda key: ratios[key][0])
    claims.check(
        "fewer heads than groups: the loss is below that of heads that are not shared",
        "all of the 95 % interval of the mean, of every such number of heads and groups",
        f"of the naive loss {ratios[worst][1]:.0%}, at most {ratios[worst][0]:.0%}, with {worst[0]} for {worst[1]} groups; "
        f"elsewhere {min(middle for _, middle in ratios.values()):.1%} and more",
        ratios[worst][0] < 1,
    )
    n_two = min(h for h in heads if h > 1)
    one, two = most * right.sel(n_heads=heads[0], n_groups=most), table.sel(n_heads=n_two)
    _above(claims, f"{most} groups: one head gives a source several right answers", "number of answers", one, 2)
    served = groups_served(two.sel(n_groups=most)).mean("head")
    _above(claims, f"{n_two} heads, {most} groups: a head serves several", "number of groups", served, 1)
    parts = spread(two)
    statement = f"{n_two} heads, {most} groups: no head alone answers a part of the trigrams"
    _above(claims, statement, "share of those answered", parts.sel(n_groups=most), 0.25)
    difference = parts.sel(n_groups=most) - parts.sel(n_groups=n_two)
    _above(claims, f"… a larger part than with {n_two} groups", "difference of the shares", difference, 0)
    even = table["even"].mean(("source", "destination")).sel(n_heads=fewer, n_groups=most)
    middle, low, high = mean_interval(even.values)
    claims.check(
        f"{most} groups: {fewer} heads that attend to a source alike from all destinations are of little use",
        "less than half of the trigrams right (95 % interval of the mean)",
        f"{middle:.1%} ({low:.1%} to {high:.1%}) right",
        high < 0.5,
    )


def _heads(n_heads: int) -> str:
    return "one head answers" if n_heads == 1 else f"{n_heads} heads answer"


def _above(claims: Claims, statement: str, name: str, values: xr.DataArray, threshold: float) -> None:
    """Claim that the mean over seeds, and all of its interval, is above a threshold."""
    middle, low, high = mean_interval(values.values)
    wanted = f"{name} above {threshold:g} (95 % interval of the mean over seeds)"
    claims.check(statement, wanted, f"{middle:.2f} ({low:.2f} to {high:.2f})", low > threshold)


def draw(result: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: losses and naive ones, trigrams spread over heads, who answers which, and attention."""
    heads, most = table["n_heads"].values, int(table["n_groups"].max())
    figure, axes = plt.subplots(1, 4, figsize=(10.4, 2.8), layout="constrained", width_ratios=(1, 1, 1.25, 1))
    losses(table["loss"], table.sizes["source"], axes[0])
    several = table.sel(n_heads=heads[heads > 1])
    spreads(spread(several), axes[1])
    best = several.isel(n_heads=0).sel(n_groups=most)
    best = best.isel(seed=int(best["loss"].argmin("seed")))
    who_answers(best, axes[2])
    attentions(best["attention"].isel(source=0, head=slice(0, 2)), axes[3])
    text = (
        "From left: loss by numbers of groups of destinations and of heads (seeds, and mean; dashed, crosses: "
        "the least of heads that are not shared, 0 where there are as many as groups); share of the answered trigrams "
        "that no head alone answers, the others being at their means (seeds, and mean); of the model of "
        f"{int(best['n_heads'])} heads and {most} groups of least loss: which head alone answers each trigram; and how "
        "strongly both attend to source 0 from every destination."
    )
    return figure, caption(result.attrs, text)


def losses(loss: xr.DataArray, n_sources: int, ax: Axes | None = None) -> Axes:
    """Loss over (n_heads, n_groups, seed): a line per number of heads, and dashed the naive loss."""
    ax = current_axes(ax)
    _by_groups(loss.clip(min=FLOOR), ax)
    for k, h in enumerate(loss["n_heads"].values):
        groups = [int(g) for g in loss["n_groups"].values if g > h]
        naive = [naive_loss(int(h), g, n_sources) for g in groups]
        ax.plot(groups, naive, "x--", color=COLORS[k % len(COLORS)], lw=1, ms=4)
    ax.set(yscale="log", ylabel="loss, nats", ylim=(FLOOR * 0.7, 5))
    return ax


def spreads(shares: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Share of trigrams spread over heads, over (n_heads, n_groups, seed), in percent."""
    ax = current_axes(ax)
    _by_groups(100 * shares, ax, first=1)
    ax.set(ylabel="answered by no head alone, %", ylim=(-3, 103))
    return ax


def _by_groups(values: xr.DataArray, ax: Axes, first: int = 0) -> None:
    """Seeds as points, and their mean as a line with its name at the end, for every number of heads."""
    x = values["n_groups"].values
    for k, h in enumerate(values["n_heads"].values):
        rows, color = values.sel(n_heads=h).transpose("seed", "n_groups"), COLORS[(k + first) % len(COLORS)]
        ax.plot(np.tile(x, (len(rows), 1)).T, rows.values.T, ".", color=color, ms=3, alpha=0.4)
        mean = rows.mean("seed").values
        ax.plot(x, mean, "-", color=color, lw=1.4)
        name = f"{h} head" if h == 1 else f"{h} heads"
        ax.annotate(name, (x[-1], mean[-1]), (4, 0), textcoords="offset points", color=color, va="center")
    ax.set_xscale("log", base=2)
    ax.set_xticks(x, [f"{n}" for n in x])
    ax.set(xlabel="groups of destinations")


def who_answers(cell: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Which of two heads answers each trigram alone: rows are sources, columns destinations."""
    ax = current_axes(ax)
    first, second = (cell["alone"].isel(head=k).values > MOST for k in (0, 1))
    kinds = np.select([cell["right"].values <= MOST, first & second, first, second], [4, 3, 0, 1], default=2)
    names = ("head 1", "head 2", "only both", "either", "neither")
    colors = (PALETTE["blue"], PALETTE["orange"], "#333333", "#DDDDDD", "#FFFFFF")
    ax.imshow(np.array([to_rgb(c) for c in colors])[kinds], interpolation="nearest")
    for name, color in zip(names, colors, strict=True):
        ax.plot([], [], "s", color=color, mec="#777777", mew=0.5, label=name)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small", handletextpad=0.1, borderaxespad=0.2)
    ax.set(xlabel="destination", ylabel="source", title="answered by")
    return ax


def attentions(attention: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Attention of two heads to one source, over (head, destination): a point for every destination, with its number."""
    ax = current_axes(ax)
    x, y = attention.transpose("head", "destination").values
    for k, place in enumerate(zip(x, y, strict=True)):
        ax.text(*place, f"{k}", ha="center", va="center", color=PALETTE["blue"])
    ax.set(xlabel="attention of head 1", ylabel="attention of head 2", xlim=(-0.08, 1.08), ylim=(-0.08, 1.08))
    return ax
