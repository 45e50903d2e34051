r"""How is a list put in another order? Reversal by one head: Nanda 2023, open problem 3.6.

A transformer of one attention layer with one head and no MLP reads a list and "=", and says the list backwards. One circuit
should do it: answer i is at place L − 1 − i of a list of L tokens whatever the tokens are, so that attention goes by place
alone, and what is attended to is copied (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits").
"""

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from superpos.analysis.attention import ov_eigenvalue_score
from superpos.analysis.lists import copied, held_out_lists, raises_itself
from superpos.data.list_functions import AnsweredList
from superpos.experiments import list_maximum
from superpos.experiments.claims import Claims
from superpos.experiments.list_maximum import PATTERN, Size, ablated, copies, learning
from superpos.experiments.over_seeds import mean_and_half_width, over_seeds
from superpos.experiments.sizes import Sizes
from superpos.models.transformer import Transformer
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ListFunction
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 3.6"
RIGHT, LARGE = 0.99, 0.9
CHANCE = 0.01  # share of whole lists right
# What is measured of the answers: as they are, and with the attention of all answers changed.
ATTENTION = ("as it is", "its mean", "of another list", "even")


SIZES = Sizes(
    quick=Size(d_vocab=8, length=3, d_model=8, seeds=2, steps=20, batch_size=16, n_lists=64),
    laptop=Size(d_vocab=16, length=5, d_model=32, seeds=12, steps=500, batch_size=128, n_lists=2_048),
    full=Size(d_vocab=64, length=12, d_model=64, seeds=64, steps=10_000, batch_size=512, n_lists=16_384),
)


def build(size: Size) -> tuple[ListFunction, TrainConfig, Grid]:
    """Task, training and grid."""
    return list_maximum.build(size, "reversed")


def mirror(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Where answer i stands and where its token does: positions L + i and L − 1 − i, both (length,)."""
    i = np.arange(length)
    return length + i, length - 1 - i


def place_pattern(model: Transformer, length: int) -> Float[Array, "answer position"]:
    r"""Attention of every answer as places alone have it, from weights, with places of the list and then of answers:

    $$\mathrm{softmax}_j \, (p_i + \bar e) W_Q \, ((p_j + \bar e) W_K)^\top / \sqrt{d}$$

    over the positions j up to i. $\bar e$ is the mean embedding of a token, and at "=" that of "=".
    """
    W_E = model.W_E[...]
    x = model.W_pos[...] + jnp.mean(W_E[:-1], axis=0, keepdims=True)
    x = x.at[length].set(model.W_pos[length] + W_E[-1])
    scores = (x[length:] @ model.W_Q[0, 0]) @ (x @ model.W_K[0, 0]).T / model.W_Q.shape[-1] ** 0.5
    seen = jnp.arange(len(x))[None] <= length + jnp.arange(length)[:, None]
    return jax.nn.softmax(jnp.where(seen, scores, -jnp.inf))


def measure(result: SweepResult, n_lists: int) -> xr.Dataset:
    """Of every model, over `seed`, on `n_lists` lists that never trained:

    * `right`: share of lists with every answer right, over `attention` (`ATTENTION`): as it is; with the mean over lists in
      its place; with that of another list; and even over all positions so far. `single`: the same of single answers.
    * `guess`: share of single answers that are the commonest token of their list.
    * `mass`: mean attention from answers to the places of their tokens.

    From weights alone: `places`, what of `mass` the `place_pattern` has; `diagonal`, the share of tokens that raise their
    own answer most of all; and `ov`, the head's `ov_eigenvalue_score`. `pattern` is the mean attention of answers.
    """

    def of_model(model: Transformer, task: Any) -> dict[str, Any]:
        lists = held_out_lists(task, n_lists)
        listed = lists.tokens[:, : task.length]
        counts = (listed[:, :, None] == listed[:, None]).sum(axis=2).max(axis=1)
        of_places = np.asarray(place_pattern(model, task.length))
        return answers(model, lists) | {
            "guess": np.mean(counts / task.length),
            "ov": ov_eigenvalue_score(model)[0, 0],
            "places": of_places[np.arange(task.length), mirror(task.length)[1]].mean(),
            "diagonal": raises_itself(model).mean(),
        }

    dims = {"right": ("attention",), "single": ("attention",), "pattern": ("answer", "position")}
    return over_seeds(result, of_model, dims, {"attention": ATTENTION})


@jax.jit
def answers(model: Transformer, data: AnsweredList) -> dict[str, Array]:
    """What `measure` says of one model's answers to lists; the other list is the next one."""
    tokens, right = jnp.asarray(data.tokens), jnp.asarray(data.answer)
    length = right.shape[1]
    _, cache = jax.vmap(model.run_with_cache)(tokens)
    pattern = cache[PATTERN]  # (lists, 1 head, queries, keys)
    mean = jnp.mean(pattern, axis=0)
    even = jnp.tril(jnp.ones_like(mean))
    even = even / jnp.sum(even, axis=-1, keepdims=True)
    at, of = mirror(length)

    def with_attention(changed: Array) -> Array:
        logits = jax.vmap(lambda t, p: model(t, {PATTERN: p}))(tokens, changed)
        return jnp.argmax(logits[:, length:], axis=-1) == right

    whole = (
        pattern,
        jnp.broadcast_to(mean, pattern.shape),
        jnp.roll(pattern, -1, 0),
        jnp.broadcast_to(even, pattern.shape),
    )
    # One after another: one compilation serves them all.
    hits = jax.lax.map(with_attention, jnp.stack(whole))
    return {
        "right": jnp.mean(jnp.all(hits, axis=2), axis=1),
        "single": jnp.mean(hits, axis=(1, 2)),
        "mass": jnp.mean(mean[0, at, of]),
        "pattern": mean[0, length:],
    }


def evaluate(table: xr.Dataset, claims: Claims) -> None:
    """Claims over seeds, of the table of `measure`."""
    by_attention = {name: table["right"].sel(attention=name) for name in ATTENTION}
    for values, least, statement, wanted in (
        (by_attention["as it is"], RIGHT, "one head without an MLP reverses lists that it has not seen", "lists right"),
        (table["mass"], LARGE, "every answer attends to the mirrored place", "mean attention"),
        (table["places"], LARGE, "… as the weights of places alone say", "attention by place"),
        (table["ov"], LARGE, "what is attended to is copied, as the weights say", "Σλ / Σ|λ| of the OV circuit"),
        (table["diagonal"], LARGE, "… every token raises its own answer most of all", "share of tokens"),
        (by_attention["its mean"], LARGE, "with its mean attention in every list it still reverses", "lists right"),
        (by_attention["of another list"], LARGE, "with another list's attention it still reverses", "lists right"),
    ):
        middle, width = mean_and_half_width(values.values)
        measured = f"{middle:.3f} ± {width:.3f}, least {float(values.min()):.3f}"
        claims.check(
            statement, f"{wanted} above {least:g} (95 % interval of the mean)", measured, middle - width > least
        )
    middle, width = mean_and_half_width(by_attention["even"].values)
    claims.check(
        "with even attention no list is reversed",
        f"less than {CHANCE:.0%} of lists right (95 % interval of the mean)",
        f"{middle:.2%} ± {width:.2%} right",
        middle + width < CHANCE,
    )
    single, guess = table["single"].sel(attention="even"), float(table["guess"].mean())
    middle, width = mean_and_half_width(single.values)
    claims.check(
        "… and single answers are no better than the commonest token of the list",
        "share right below that of the commonest token (95 % interval of the mean)",
        f"{middle:.3f} ± {width:.3f}, the commonest token {guess:.3f}",
        middle + width < guess,
    )


def draw(result: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: learning, attention by place, what is copied, and ablations."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.7), layout="constrained", width_ratios=(0.9, 1.3, 1.1, 1.35))
    learning(result, axes[0])
    places(table["pattern"].mean("seed"), axes[1])
    copies(np.asarray(copied(result.best("seed").model())), axes[2])
    labels = ("as\nit is", "mean", "other\nlist's", "even")
    ablated(table["right"], axes[3], labels).set(xlabel="attention of answers", ylim=(-3, 103))
    text = (
        "From left: share of lists that never trained with every answer right, by step (seeds, and their median); mean "
        "attention from answers to places of the list and what follows it, over lists and seeds, with the mirrored places "
        "framed; logits that follow from attending to a token alone, from weights, of the seed of least loss; share of "
        "lists right with the attention as it is, with its mean over lists, with that of another list, and even over all "
        "that was read (seeds, and mean)."
    )
    return figure, caption(result.attrs, text)


def places(pattern: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Mean attention over `answer` and `position`, the mirrored place of every answer framed."""
    ax = current_axes(ax)
    length, n_positions = pattern.shape
    image = ax.imshow(pattern.values, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for answer, place in enumerate(mirror(length)[1]):
        corner = (place - 0.5, answer - 0.5)
        ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=PALETTE["orange"], lw=1))
    ax.figure.colorbar(image, ax=ax, label="attention", shrink=0.9)
    names = [*range(1, length + 1), "=", *range(1, n_positions - length)]
    stride = 1 + length // 7
    ax.set_xticks(range(0, n_positions, stride), [str(name) for name in names[::stride]])
    ax.set_yticks(range(0, length, stride), [str(name) for name in names[:length:stride]])
    ax.set(xlabel='place in the list, "=", answers', ylabel="answer")
    return ax
