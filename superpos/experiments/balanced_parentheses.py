"""How does a transformer tell whether parentheses are balanced? Nanda 2023, open problem 3.12.

A word is balanced if its depth, the number of parentheses that are open, is 0 in the end and never below 0. Words that
are not balanced either end elsewhere, which counting shows, or dip below 0 on the way, which it does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.intervals import share_interval
from superpos.analysis.lists import all_lists
from superpos.data.list_functions import is_held_out
from superpos.experiments.claims import Claims
from superpos.experiments.over_seeds import mean_and_half_width
from superpos.experiments.sizes import Sizes
from superpos.models.transformer import Transformer
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ListFunction
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 3.12: how are balanced parentheses recognised?"
KINDS = ("balanced", "ends elsewhere", "dips")
COLORS = {"balanced": PALETTE["blue"], "ends elsewhere": PALETTE["orange"], "dips": PALETTE["green"]}
# What is replaced, by the name of the activation: its mean over balanced words, but even attention for the pattern of
# layer 0.
PARTS = {
    "attention 0": "blocks.0.attn_out",
    "MLP 0": "blocks.0.mlp_out",
    "attention 1": "blocks.1.attn_out",
    "MLP 1": "blocks.1.mlp_out",
    "choice 0": "blocks.0.attn.pattern",
    "choice 1": "blocks.1.attn.pattern",
}
LAYERS = ("layer 0", "layer 1", "both")
# Words, and of which others they get what attention writes at "=".
PATCHES = {
    "balanced, of dips": (0, 2),
    "dips, of balanced": (2, 0),
    "ends elsewhere, of balanced": (1, 0),
}
RIGHT = 0.99
FIRST_SEED = 8  # what claims expect was chosen on seeds 0 to 7


@dataclass(frozen=True)
class Size:
    """Parentheses in a word, width, neurons, seeds and training."""

    length: int = 10
    d_model: int = 32
    d_mlp: int = 32
    seeds: int = 8
    steps: int = 1_000
    batch_size: int = 64


SIZES = Sizes(
    quick=Size(length=8, d_model=8, d_mlp=8, seeds=2, steps=20, batch_size=16),
    laptop=Size(),
    full=Size(length=14, d_model=64, d_mlp=64, seeds=64, steps=10_000, batch_size=256),
)


def build(size: Size) -> tuple[ListFunction, TrainConfig, Grid]:
    """Task, training and grid."""
    task = ListFunction(
        function="balanced",
        d_vocab=2,
        length=size.length,
        n_layers=2,
        n_heads=2,
        d_model=size.d_model,
        d_mlp=size.d_mlp,
    )
    config = TrainConfig(steps=size.steps, batch_size=size.batch_size, history=50, evaluation_samples=4_096)
    return task, config, Grid(seed=range(FIRST_SEED, FIRST_SEED + size.seeds))


def kinds_of(words: Integer[np.ndarray, "words length"]) -> np.ndarray:
    """Which of `KINDS` every word is, as their numbers, (words,)."""
    depth = np.cumsum(1 - 2 * words, axis=1)
    return np.where(depth[:, -1] != 0, 1, np.where(depth.min(axis=1) < 0, 2, 0))


def unseen_words(length: int, held_out: float) -> np.ndarray:
    """All words of a length that never train, (words, length)."""
    words = all_lists(length, 2)
    return words[np.asarray(jax.jit(jax.vmap(partial(is_held_out, share=held_out)))(words))]


def measure(result: SweepResult) -> xr.Dataset:
    """Of every model, over `seed`, on all words that never trained:

    * `right`: share of right answers, over `kind` (`KINDS`) and `without`: nothing, or one of `PARTS`.
    * `flipped`: how often the answer changes if what attention writes at "=" is that of a word of another kind, in one
      layer or both, over `patch` (`PATCHES`) and `layers` (`LAYERS`).
    * `below`: in words that dip, the attention of "=" in layer 1 to places at which the depth is below 0, over `head`, and
      `below_even`, the share of such places among all that can be attended to.
    """
    task = result.attrs["task"]
    words = unseen_words(task["length"], float(task["held_out"]))
    tokens = np.column_stack([words, np.full(len(words), 2)])
    kinds = kinds_of(words)
    below = np.pad(np.cumsum(1 - 2 * words, axis=1) < 0, [(0, 0), (0, 1)])
    rows: dict[str, list[Any]] = {"right": [], "flipped": [], "below": []}
    for seed in result["seed"].values:
        model = result.sel(seed=seed).model()
        said, attended = (np.asarray(value) for value in answers(model, tokens, kinds == 0))
        right = said == (kinds == 0)
        rows["right"].append([right[:, kinds == k].mean(axis=1) for k in range(len(KINDS))])
        pairs = [pairs_of(kinds, *patch) for patch in PATCHES.values()]
        changed = [np.asarray(patched(model, tokens[one], tokens[other])) != said[0, one] for one, other in pairs]
        rows["flipped"].append([share.mean(axis=1) for share in changed])
        rows["below"].append(np.sum(attended * below[:, None], axis=-1)[kinds == 2].mean(axis=0))
    dims = {"right": ("seed", "kind", "without"), "flipped": ("seed", "patch", "layers"), "below": ("seed", "head")}
    return xr.Dataset(
        {name: (dims[name], np.array(values)) for name, values in rows.items()},
        {
            "seed": result["seed"].values,
            "kind": list(KINDS),
            "without": ["nothing", *PARTS],
            "layers": list(LAYERS),
            "patch": list(PATCHES),
        },
        {
            "below_even": float(below[kinds == 2].mean()),
            **{name: int(np.sum(kinds == k)) for k, name in enumerate(KINDS)},
        },
    )


def pairs_of(kinds: np.ndarray, one: int, other: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a word of one kind and a word of another, but at most as many as of `balanced` and `dips`."""
    chosen = np.meshgrid(np.flatnonzero(kinds == one), np.flatnonzero(kinds == other), indexing="ij")
    order = np.random.default_rng(0).permutation(chosen[0].size)[: np.sum(kinds == 0) * np.sum(kinds == 2)]
    return chosen[0].ravel()[order], chosen[1].ravel()[order]


@jax.jit
def answers(
    model: Transformer, tokens: Integer[Array, "words n_positions"], balanced: Bool[Array, " words"]
) -> tuple[Array, Array]:
    """Answers of a model to words, intact and without each of `PARTS`, (1 + 6, words), and where "=" attends in layer 1.

    The second is (words, n_heads, n_positions).
    """
    cache = jax.vmap(lambda t: model.run_with_cache(t)[1])(tokens)
    weight = balanced / jnp.sum(balanced)
    to = {name: jnp.tensordot(weight, cache[name], 1) for name in PARTS.values()}
    n = tokens.shape[1]
    even = jnp.tril(jnp.ones((n, n))) / jnp.arange(1, n + 1)[:, None]
    to[PARTS["choice 0"]] = jnp.broadcast_to(even, to[PARTS["choice 0"]].shape)

    def without(replaced: Bool[Array, " parts"]) -> Integer[Array, " words"]:
        edits = {name: partial(_replace, replaced[k], to[name]) for k, name in enumerate(PARTS.values())}
        return jnp.argmax(jax.vmap(lambda t: model(t, edits)[-1, :2])(tokens), axis=1)

    none_and_each = jnp.eye(len(PARTS) + 1, len(PARTS), k=-1, dtype=bool)
    return jax.lax.map(without, none_and_each), cache[PARTS["choice 1"]][:, :, -1]


@jax.jit
def patched(model: Transformer, words: Array, others: Array) -> Integer[Array, "3 pairs"]:
    """Answers to `words` if attention writes at "=" what it writes in `others`, in one layer or in both (`LAYERS`)."""
    names = [PARTS["attention 0"], PARTS["attention 1"]]
    cache = jax.vmap(lambda t: model.run_with_cache(t)[1])(others)

    def with_layers(replaced: Bool[Array, " layers"]) -> Integer[Array, " pairs"]:
        def answer(word: Array, written: Mapping[str, Array]) -> Array:
            edits = {name: partial(_replace_last, replaced[k], written[name]) for k, name in enumerate(names)}
            return jnp.argmax(model(word, edits)[-1, :2])

        return jax.vmap(answer)(words, {name: cache[name] for name in names})

    return jax.lax.map(with_layers, jnp.array([[True, False], [False, True], [True, True]]))


def _replace(replaced: Array, to: Array, value: Array) -> Array:
    return jnp.where(replaced, to, value)


def _replace_last(replaced: Array, to: Array, value: Array) -> Array:
    return value.at[-1].set(jnp.where(replaced, to[-1], value[-1]))


def evaluate(table: xr.Dataset, claims: Claims) -> None:
    """Claims over seeds, of the table of `measure`."""
    right, flipped, n = table["right"], table["flipped"], table.sizes["seed"]
    k = int((right.sel(without="nothing") >= RIGHT).all("kind").sum())
    _, low, high = share_interval(k, n)
    counts = ", ".join(f"{table.attrs[name]} {name}" for name in KINDS)
    claims.check(
        "two layers tell whether words that they have not seen are balanced",
        f"{RIGHT:.0%} of each kind right in more than half of the seeds (95 % interval)",
        f"{k} of {n} ({low:.0%} to {high:.0%}); words: {counts}",
        low > 0.5,
    )
    even = right.sel(without="choice 0")
    middle, width = mean_and_half_width(even.sel(kind=["ends elsewhere", "dips"]).min("kind").values)
    balanced = mean_and_half_width(even.sel(kind="balanced").values)
    claims.check(
        "counting is enough of layer 0: with even attention in its place, words that are not balanced are still told",
        "more than .9 right of the worse kind (95 % interval of the mean)",
        f"{middle:.2f} ± {width:.2f}; of balanced words {balanced[0]:.2f} ± {balanced[1]:.2f}",
        middle - width > 0.9,
    )
    middle, width = mean_and_half_width(right.sel(kind="dips", without="attention 1").values)
    claims.check(
        "dips are seen by attention in layer 1: with what it writes in balanced words, words that dip are called balanced",
        "less than half of them right (95 % interval of the mean)",
        f"{middle:.2f} ± {width:.2f}",
        middle + width < 0.5,
    )
    below, even_share = table["below"].max("head"), table.attrs["below_even"]
    middle, width = mean_and_half_width(below.values)
    claims.check(
        'in words that dip, a head of layer 1 attends from "=" to where the depth is below 0',
        f"more than the {even_share:.2f} of even attention (95 % interval of the mean)",
        f"{middle:.2f} ± {width:.2f}",
        middle - width > even_share,
    )
    for patch, words in (
        ("balanced, of dips", "a balanced word dips"),
        ("dips, of balanced", "a word that dips is balanced"),
    ):
        one, other = (mean_and_half_width(flipped.sel(patch=patch, layers=name).values) for name in LAYERS[:2])
        claims.check(
            f'what layer 1 writes at "=" decides: with that of another word, {words}',
            "more than half change with layer 1, less than half with layer 0 (95 % intervals of the means)",
            f"{other[0]:.2f} ± {other[1]:.2f}, {one[0]:.2f} ± {one[1]:.2f}",
            other[0] - other[1] > 0.5 and one[0] + one[1] < 0.5,
        )
    alone = flipped.sel(patch="ends elsewhere, of balanced", layers=list(LAYERS[:2]))
    both = mean_and_half_width(flipped.sel(patch="ends elsewhere, of balanced", layers="both").values)
    middle, width = mean_and_half_width(alone.max("layers").values)
    claims.check(
        "how a word ends is read by both layers: with what either writes in a balanced word, the other tells some words",
        "more than .9 change with both, less than .8 with the better one (95 % intervals of the means)",
        f"{both[0]:.2f} ± {both[1]:.2f}, {middle:.2f} ± {width:.2f}",
        both[0] - both[1] > 0.9 and middle + width < 0.8,
    )


def draw(result: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: learning, answers without parts, patches, and attention to dips."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.9), layout="constrained", width_ratios=(0.9, 1.6, 1.2, 0.7))
    ax = axes[0]
    curves = 100 * result["test_accuracy_history"].transpose("seed", "record").values
    ax.plot(result["record_step"], curves.T, color=PALETTE["blue"], lw=0.5, alpha=0.4)
    ax.plot(result["record_step"], np.median(curves, axis=0), color=PALETTE["blue"], lw=1.6)
    ax.set(xlabel="step", ylabel="unseen words right, %", ylim=(0, 103))
    without_parts(table["right"], axes[1])
    patches(table["flipped"], axes[2])
    below, even = table["below"].max("head").values, table.attrs["below_even"]
    axes[3].plot(np.linspace(-0.2, 0.2, len(below)), below, "o", color=COLORS["dips"], ms=4, mfc="none")
    axes[3].axhline(even, color="black", ls=":", lw=1)
    axes[3].annotate("even attention", (-0.45, even), (0, 2), textcoords="offset points", fontsize=8)
    axes[3].set(ylim=(0, 1.03), xlim=(-0.5, 0.5), ylabel="attention to depth < 0", xticks=[])
    text = (
        "From left: share of right answers on words that never trained, by step (seeds, and their median); the same at the "
        "end by kind of word, with parts of the model replaced by what they are on average in balanced words, and the "
        "attention of layer 0 by even attention; how often the answer changes if what attention writes at the end is that of "
        "a word of another kind, in one layer or both (seeds, and mean); attention from the end, by the better head of layer "
        "1, to places of negative depth, in words that dip."
    )
    return figure, caption(result.attrs, text)


def without_parts(right: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Share of right answers, over `seed`, `kind` and `without`: all seeds, and the mean."""
    ax = current_axes(ax)
    names = ["nothing", *PARTS]
    for j, kind in enumerate(KINDS):
        for k, name in enumerate(names):
            values, x = 100 * right.sel(kind=kind, without=name).values, k + 0.27 * (j - 1)
            ax.plot(np.full(len(values), x), values, ".", color=COLORS[kind], ms=2.5, alpha=0.6)
            ax.plot([x - 0.1, x + 0.1], [values.mean()] * 2, color=COLORS[kind], lw=1.6)
        ax.plot([], [], color=COLORS[kind], lw=1.6, label=kind)
    labels = ["—", "attention 0", "MLP 0", "attention 1", "MLP 1", "pattern 0", "pattern 1"]
    ax.set_xticks(range(len(names)), labels, rotation=40, ha="right", rotation_mode="anchor")
    ax.set(ylabel="unseen words right, %", ylim=(-3, 135), yticks=[0, 25, 50, 75, 100], xlabel="replaced")
    ax.legend(loc="upper center", ncols=3, columnspacing=0.7, handlelength=0.7, handletextpad=0.4, borderpad=0)
    return ax


def patches(flipped: xr.DataArray, ax: Axes | None = None) -> Axes:
    """How often the answer changes, over `seed`, `patch` and `layers`: all seeds, and the mean."""
    ax = current_axes(ax)
    for j, (patch, color) in enumerate(zip(PATCHES, ("blue", "green", "orange"), strict=True)):
        for k, name in enumerate(LAYERS):
            values, x = 100 * flipped.sel(patch=patch, layers=name).values, k + 0.27 * (j - 1)
            ax.plot(np.full(len(values), x), values, ".", color=PALETTE[color], ms=2.5, alpha=0.6)
            ax.plot([x - 0.1, x + 0.1], [values.mean()] * 2, color=PALETTE[color], lw=1.6)
        ax.plot([], [], color=PALETTE[color], lw=1.6, label=patch.replace(", of", " ←"))
    ax.set_xticks(range(len(LAYERS)), LAYERS)
    ax.set(ylabel="answers that change, %", ylim=(-3, 165), yticks=[0, 25, 50, 75, 100], xlabel='written at "="')
    ax.legend(loc="upper left", handlelength=1)
    return ax
