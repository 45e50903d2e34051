r"""How does one head find the maximum of a list? Nanda 2023, open problem 3.5.

A transformer of one attention layer with one head and no MLP reads a list and "=". Two circuits, read from weights alone,
should do it (Gross et al. 2024, "Compact Proofs of Model Performance via Mechanistic Interpretability"): the score that "="
gives to a token rises with the token, so that attention goes to the largest, and what is attended to is copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from superpos.analysis.attention import ov_eigenvalue_score
from superpos.analysis.intervals import share_interval
from superpos.analysis.lists import copied, held_out_lists, raises_itself
from superpos.data.list_functions import AnsweredList
from superpos.experiments.claims import Claims
from superpos.experiments.over_seeds import mean_and_half_width, over_seeds
from superpos.experiments.sizes import Sizes
from superpos.models.transformer import Transformer
from superpos.plot.appearance import DIVERGING, PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ListFunction
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 3.5; Gross et al. 2024, Compact Proofs of Model Performance"
PATTERN = "blocks.0.attn.pattern"
RIGHT, LARGE = 0.99, 0.9
COMMON = 1e-3  # share of lists that a token is the maximum of, from which it counts as trained
# What is measured of the answers: as they are, and with the attention of "=" changed.
ATTENTION = ("as it is", "its mean", "of another list")


@dataclass(frozen=True)
class Size:
    """Kinds and number of tokens, width, seeds, training, and lists to measure on."""

    d_vocab: int = 32
    length: int = 5
    d_model: int = 32
    seeds: int = 12
    steps: int = 1_000
    batch_size: int = 128
    n_lists: int = 4_096


SIZES = Sizes(
    quick=Size(d_vocab=8, length=3, d_model=8, seeds=2, steps=20, batch_size=16, n_lists=64),
    laptop=Size(),
    full=Size(d_vocab=64, length=10, d_model=64, seeds=64, steps=10_000, batch_size=512, n_lists=32_768),
)


def build(size: Size, function: str = "maximum") -> tuple[ListFunction, TrainConfig, Grid]:
    """Task, training and grid."""
    task = ListFunction(function=function, d_vocab=size.d_vocab, length=size.length, d_model=size.d_model)
    config = TrainConfig(steps=size.steps, batch_size=size.batch_size, history=50, evaluation_samples=size.n_lists)
    return task, config, Grid(seed=range(size.seeds))


def scores(model: Transformer) -> Float[Array, " d_vocab"]:
    r"""What "=" adds to the attention score of every token, wherever it stands: $(e_= + p) W_Q (e_t W_K)^\top / \sqrt{d}$."""
    W_E = model.W_E[...]
    query = (W_E[-1] + model.W_pos[-1]) @ model.W_Q[0, 0]
    return W_E[:-1] @ model.W_K[0, 0] @ query / query.shape[0] ** 0.5


def measure(result: SweepResult, n_lists: int) -> xr.Dataset:
    """Of every model, over `seed`, on `n_lists` lists that never trained:

    * `right`: share of right answers, over `attention` (`ATTENTION`): as it is; with the mean over lists in its place; and
      with that of another list.
    * `follows`: how often, with another list's attention, the answer is the token at the place of that list's maximum; of
      lists in which that stands once. `follows_common`: the same where that token is `common_maxima`.
    * `mass`: mean attention from "=" to the places of the maximum.

    From weights alone: `scores` and `monotone`, their rank correlation with the token; `diagonal`, the share of tokens that
    raise their own answer most of all, and `diagonal_common`, of `common_maxima`; and `ov`, the head's
    `ov_eigenvalue_score`.
    """
    common = common_maxima(result.attrs["task"]["d_vocab"], result.attrs["task"]["length"])

    def of_model(model: Transformer, task: Any) -> dict[str, Any]:
        by_token, own = np.asarray(scores(model)), raises_itself(model)
        correlation: Any = spearmanr(by_token, np.arange(len(by_token)))
        return answers(model, held_out_lists(task, n_lists), common) | {
            "scores": by_token,
            "monotone": correlation.statistic,
            "diagonal": own.mean(),
            "diagonal_common": own[common].mean(),
            "ov": ov_eigenvalue_score(model)[0, 0],
        }

    dims = {"right": ("attention",), "scores": ("token",)}
    return over_seeds(result, of_model, dims, {"attention": ATTENTION})


def common_maxima(d_vocab: int, length: int) -> np.ndarray:
    r"""Which tokens are the maximum of a list often enough to train, (d_vocab,): $(t + 1)^L - t^L$ of all $V^L$ lists."""
    below = (np.arange(d_vocab + 1) / d_vocab) ** length
    return np.diff(below) >= COMMON


@jax.jit
def answers(model: Transformer, data: AnsweredList, common: Bool[Array, " d_vocab"]) -> dict[str, Array]:
    """What `measure` says of one model's answers to lists; the other list is the next one."""
    tokens, largest = jnp.asarray(data.tokens), jnp.asarray(data.answer)[:, 0]
    run = jax.vmap(partial(model.run_with_cache, last_only=True))
    _, cache = run(tokens)
    pattern = cache[PATTERN]  # (lists, 1 head, 1 query, keys)
    mean, other = jnp.broadcast_to(jnp.mean(pattern, 0), pattern.shape), jnp.roll(pattern, -1, 0)
    changed = jax.vmap(lambda t, p: jnp.argmax(model(t, {PATTERN: p}, last_only=True)))
    said = jnp.stack([changed(tokens, p) for p in (pattern, mean, other)])
    there = tokens == largest[:, None]
    of_other = jnp.roll(there, -1, 0)
    once = jnp.sum(of_other, axis=1) == 1
    stands = jnp.take_along_axis(tokens, jnp.argmax(of_other, axis=1)[:, None], axis=1)[:, 0]
    follows, common_once = said[2] == stands, once & jnp.asarray(common)[stands]
    return {
        "right": jnp.mean(said == largest[None], axis=1),
        "follows": jnp.sum(follows & once) / jnp.sum(once),
        "follows_common": jnp.sum(follows & common_once) / jnp.sum(common_once),
        "mass": jnp.mean(jnp.sum(pattern[:, 0, 0] * there, axis=1)),
    }


def evaluate(table: xr.Dataset, claims: Claims) -> None:
    """Claims over seeds, of the table of `measure`."""
    n = table.sizes["seed"]
    intact, mean = (table["right"].sel(attention=name) for name in ATTENTION[:2])
    k = int((intact >= RIGHT).sum())
    _, low, high = share_interval(k, n)
    claims.check(
        "one head without an MLP finds the maximum of lists that it has not seen",
        f"{RIGHT:.0%} right in more than half of the seeds (95 % interval)",
        f"{k} of {n} ({low:.0%} to {high:.0%}); mean {float(intact.mean()):.2%}",
        low > 0.5,
    )
    for key, statement, wanted in (
        ("mass", '"=" attends to the maximum', "mean attention"),
        ("monotone", "the score of a token rises with the token, as the weights say", "rank correlation"),
        ("ov", "what is attended to is copied, as the weights say", "Σλ / Σ|λ| of the OV circuit"),
        ("diagonal", "… every token raises its own answer most of all", "share of tokens"),
        ("diagonal_common", "… every token that is the maximum of one list in 1,000 does", "share of these tokens"),
        ("follows", "with another list's attention it answers what stands where that list's maximum stood", "share"),
        ("follows_common", "… where that token is the maximum of one list in 1,000", "share"),
    ):
        middle, width = mean_and_half_width(table[key].values)
        measured = f"{middle:.3f} ± {width:.3f}, least {float(table[key].min()):.3f}"
        claims.check(
            statement, f"{wanted} above {LARGE:g} (95 % interval of the mean)", measured, middle - width > LARGE
        )
    middle, width = mean_and_half_width(mean.values)
    claims.check(
        "with its mean attention in every list the head is of little use",
        "less than half of the answers right (95 % interval of the mean)",
        f"{middle:.1%} ± {width:.1%} right",
        middle + width < 0.5,
    )


def draw(result: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: learning, scores by token, what is copied, and ablations."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.7), layout="constrained", width_ratios=(1, 1, 1.1, 1))
    learning(result, axes[0])
    token_scores(table["scores"], axes[1])
    copies(np.asarray(copied(result.best("seed").model())), axes[2])
    ablated(table["right"], axes[3])
    text = (
        "From left: share of right answers on lists that never trained, by step (seeds, and their median); the "
        'attention score that "=" gives to every token, from weights, less its mean (all seeds); logits that follow from '
        "attending to a token alone, from weights, of the seed of least loss; share of right answers with the attention as "
        "it is, with its mean over lists, and with that of another list (seeds, and mean)."
    )
    return figure, caption(result.attrs, text)


def learning(result: SweepResult, ax: Axes | None = None) -> Axes:
    """Share of right answers to lists that never trained, by step: every seed, and their median."""
    ax = current_axes(ax)
    curves = 100 * result["test_accuracy_history"].transpose("seed", "record").values
    ax.plot(result["record_step"], curves.T, color=PALETTE["blue"], lw=0.5, alpha=0.4)
    ax.plot(result["record_step"], np.median(curves, axis=0), color=PALETTE["blue"], lw=1.6)
    ax.set(xlabel="step", ylabel="unseen lists right, %", ylim=(0, 103))
    return ax


def token_scores(by_token: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Attention scores less their mean, over `seed` and `token`: one line per seed."""
    ax = current_axes(ax)
    centred = (by_token - by_token.mean("token")).transpose("token", "seed").values
    ax.plot(centred, ".-", color=PALETTE["orange"], lw=0.6, ms=2, alpha=0.7)
    ax.set(xlabel="token", ylabel='attention score from "="')
    return ax


def copies(logits: np.ndarray, ax: Axes | None = None) -> Axes:
    """What attending to a token does to every answer: rows are tokens, columns answers."""
    ax = current_axes(ax)
    largest = np.abs(logits).max()
    image = ax.imshow(logits, cmap=DIVERGING, vmin=-largest, vmax=largest, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label="logit", shrink=0.9)
    ax.set(xlabel="answer", ylabel="attended token")
    return ax


def ablated(
    right: xr.DataArray, ax: Axes | None = None, labels: Sequence[str] = ("as it is", "mean", "another\nlist's")
) -> Axes:
    """Share of right answers, over `seed` and `attention`, each of which has its label: all seeds, and the mean."""
    ax = current_axes(ax)
    for k, name in enumerate(right["attention"].values):
        values = 100 * right.sel(attention=name).values
        ax.plot(k + np.linspace(-0.15, 0.15, len(values)), values, ".", color=PALETTE["blue"], ms=4, alpha=0.7)
        ax.plot([k - 0.25, k + 0.25], [values.mean()] * 2, color="black", lw=1.2)
    ax.set_xticks(range(len(labels)), labels)
    limits = {"ylim": (0, 103), "xlim": (-0.5, len(labels) - 0.5)}
    ax.set(xlabel='attention of "="', ylabel="unseen lists right, %", **limits)
    return ax
