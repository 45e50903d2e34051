r"""How does a small transformer sort a list? Nanda 2023, open problem 3.1.

A transformer of one attention layer with one head and no MLP reads a list and "=", and says the list in order. It has said
a, the last answer, and the next one is the smallest token of the list that is larger. One circuit should find it (Elhage et
al. 2021, "A Mathematical Framework for Transformer Circuits"): a asks most for the tokens above it, and what is attended to
is copied. Whether a stands in the list once more, no such score can say: it would have to count.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.attention import ov_eigenvalue_score
from superpos.analysis.lists import copied, held_out_lists, raises_itself
from superpos.data.list_functions import AnsweredList
from superpos.experiments import list_maximum
from superpos.experiments.claims import Claims
from superpos.experiments.list_maximum import PATTERN, Size, ablated, copies, learning
from superpos.experiments.over_seeds import mean_and_half_width, over_seeds
from superpos.experiments.sizes import Sizes
from superpos.models.transformer import Transformer
from superpos.plot.appearance import DIVERGING, PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ListFunction
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 3.1"
LAYERS = (1, 2)
LEARNING_RATE = 0.03  # of 0.003 to 0.03 that of the least loss, on seeds from 1000 on
BLOCK_SIZE = 1  # a model alone takes a third of the time on CPUs
# What is measured of the answers: as they are, with the attention of all answers changed, and with one embedding for all
# places of the list, or for all answers after the first.
ATTENTION = ("as it is", "its mean", "of another list", "of another order", "one place", "one answer")
CLOSE = 2  # at most so far above the answer is a token that is close to it
NEAR = 5  # tokens on either side of a token
# What claims expect was chosen on seeds from 1000 on, three of them.
LARGE, FEW, CHANCE = 0.9, 0.75, 0.01


SIZES = Sizes(
    quick=Size(d_vocab=8, length=3, d_model=8, seeds=2, steps=20, batch_size=16, n_lists=64),
    laptop=Size(d_vocab=100, length=5, d_model=32, seeds=12, steps=1_000, batch_size=96, n_lists=4_096),
    full=Size(d_vocab=100, length=10, d_model=64, seeds=64, steps=10_000, batch_size=512, n_lists=32_768),
)


def build(size: Size) -> tuple[ListFunction, TrainConfig, Grid]:
    """Task, training and grid: models of one layer and of two."""
    task, config, grid = list_maximum.build(size, "sorted")
    return task, replace(config, learning_rate=LEARNING_RATE), Grid(n_layers=list(LAYERS), seed=grid.axes["seed"])


@jax.jit
def next_scores(model: Transformer) -> Float[Array, "answer last token"]:
    r"""What an answer adds to the attention score of every token, from weights, if a is the last token said:

    $$s_i(a, t) = (e_a + p_i) W_Q (e_t W_K)^\top / \sqrt{d},$$

    with $p_i$ the embedding of the place of answer i. The last row of `last` is that of "=".
    """
    W_E, length = model.W_E[...], model.W_pos.shape[0] // 2
    x = W_E[None] + model.W_pos[length:][:, None]
    return (x @ model.W_Q[0, 0]) @ (W_E[:-1] @ model.W_K[0, 0]).T / model.W_Q.shape[-1] ** 0.5


@jax.jit
def from_weights(
    model: Transformer, data: AnsweredList, written: Float[Array, "d_vocab d_vocab"]
) -> Bool[Array, "lists answer"]:
    r"""Which answers to lists follow from weights of tokens and answers alone, and from what attention to a token writes:

    $$\mathrm{argmax} \; e_a W_U + \sum_j \mathrm{softmax}_j \, s_i(a, t_j) \, C_{t_j},$$

    over the tokens $t_j$ of the list, with s of `next_scores`. `written` is C, row t what attention to t adds to the logits.
    """
    tokens, right = jnp.asarray(data.tokens), jnp.asarray(data.answer)
    length = right.shape[1]
    listed, last = tokens[:, :length], tokens[:, length:]
    scores = next_scores(model)[jnp.arange(length)[None, :, None], last[:, :, None], listed[:, None]]
    of_tokens = jax.nn.one_hot(listed, len(written), dtype=scores.dtype)
    attention = jnp.einsum("nij,njt->nit", jax.nn.softmax(scores, axis=-1), of_tokens)
    logits = (model.W_E[...] @ model.W_U[...])[:, :-1][last] + attention @ written
    return jnp.argmax(logits, axis=-1) == right


def raises_smaller(logits: Float[np.ndarray, "d_vocab d_vocab"]) -> np.ndarray:
    """Whether attention to a token raises the `NEAR` tokens below it more than those above, of tokens that have both."""
    n = len(logits)
    near = min(NEAR, (n - 1) // 2)
    means = [[logits[t, t - near : t].mean(), logits[t, t + 1 : t + 1 + near].mean()] for t in range(near, n - near)]
    return np.array([smaller > larger for smaller, larger in means])


def at_length(model: Transformer, length: int) -> Transformer:
    """The model for lists of `length` tokens: every place of the list has the mean embedding of the trained ones.

    "=" keeps its embedding. Answers after the first have those of trained answers, interpolated by their share of the list;
    at the trained length they keep their own.
    """
    W_pos, trained = model.W_pos[...], model.W_pos.shape[0] // 2
    at = np.linspace(1, trained - 1, length - 1)
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(1, trained)))  # of the two neighbours
    listed = jnp.broadcast_to(jnp.mean(W_pos[:trained], axis=0), (length, W_pos.shape[1]))
    later = jnp.asarray(weights, W_pos.dtype) @ W_pos[trained + 1 :]
    places = jnp.concatenate([listed, W_pos[trained : trained + 1], later])
    names = ("W_Q", "W_K", "W_V", "W_O", "W_U")
    return Transformer(model.W_E[...], places, *(getattr(model, name)[...] for name in names))


def lengths(trained: int) -> list[int]:
    """Lengths of lists to ask for: the trained one, shorter and longer ones."""
    return list(range(max(2, trained - 2), trained + 4))


def measure(result: SweepResult, n_lists: int) -> xr.Dataset:
    """Of every model, over `seed`, on `n_lists` lists that never trained.

    Of models with one layer, whose lists have every token once (but for `repeated`):

    * `right`: share of lists with every answer right, over `attention` (`ATTENTION`): as it is; with the mean over lists in
      its place; with that of another list; with that of the same list in another order, every place's attention at the
      place that its token has now; with one embedding for all places of the list; and with one for all answers but the
      first. `repeated`: the same of lists that have a token more than once.
    * `mass`: mean attention from answers to the places of their tokens. `larger`: to all tokens larger than the last one.
    * `wrong_close`, `wrong_far`: share of wrong answers where the next larger token of the list is at most `CLOSE` above
      the answer, and where it is farther.
    * `again`, `enough`: share of right answers where the last token has to be said again, and where a repeated token has
      been said often enough.
    * `of_length`: share of lists right of `length` tokens, by the model `at_length`.

    From weights alone: `scores` are the mean of `next_scores` over answers after the first; `above`, the share of tokens
    that so score a larger token most of all; `diagonal`, the share of tokens that raise their own answer most of all;
    `smaller`, the share of `raises_smaller`; `ov`, the head's `ov_eigenvalue_score`; `weights`, the share of lists right
    `from_weights`, and `weights_copied`, the same where attention to a token raises that token alone.

    Of all models, over `n_layers`: `distinct` and `twice`, what `right` and `repeated` are with the attention as it is.
    """

    def of_model(model: Transformer, task: Any) -> dict[str, Any]:
        lists = held_out_lists(task, n_lists)
        scores = np.asarray(next_scores(model))[1:, :-1].mean(axis=0)
        written = np.asarray(copied(model))
        once = np.asarray(lists.answer[:, 1:] != lists.answer[:, :-1]).all(axis=1)

        def share(written: np.ndarray) -> float:
            return float(np.asarray(from_weights(model, lists, written))[once].all(axis=1).mean())

        return answers(model, lists) | {
            "scores": scores,
            "above": np.mean(np.argmax(scores[:-1], axis=1) > np.arange(task.d_vocab - 1)),
            "diagonal": raises_itself(model).mean(),
            "smaller": raises_smaller(written).mean(),
            "ov": ov_eigenvalue_score(model)[0, 0],
            "weights": share(written),
            "weights_copied": share(np.diag(np.diag(written))),
            "of_length": [
                share_of_length(model, distinct_lists(n, task.d_vocab, n_lists // 4)) for n in lengths(task.length)
            ],
        }

    def by_layers(model: Transformer, task: Any) -> dict[str, Any]:
        return dict(zip(("distinct", "twice"), shares(model, held_out_lists(task, n_lists)), strict=True))

    dims = {"right": ("attention",), "repeated": ("attention",), "scores": ("last", "token"), "of_length": ("length",)}
    coords = {"attention": ATTENTION, "length": lengths(result.attrs["task"]["length"])}
    one = over_seeds(result.sel(n_layers=LAYERS[0]), of_model, dims, coords)
    both = [over_seeds(result.sel(n_layers=n), by_layers, {}, {}) for n in LAYERS]
    return one.merge(xr.concat(both, xr.IndexVariable("n_layers", list(LAYERS))))


def distinct_lists(length: int, d_vocab: int, n_lists: int) -> Integer[np.ndarray, "lists length"]:
    """Random lists of different tokens, the same for all models."""
    tokens = np.broadcast_to(np.arange(d_vocab), (n_lists, d_vocab))
    return np.random.default_rng(length).permuted(tokens, axis=1)[:, :length]


@jax.jit
def share_of_length(model: Transformer, listed: Integer[Array, "lists length"]) -> Float[Array, ""]:
    """Share of lists, of a length that need not have trained, that the model `at_length` sorts: all answers right."""
    answer = jnp.sort(listed, axis=1)
    model = at_length(model, answer.shape[1])
    equals = jnp.full_like(answer[:, :1], model.W_E.shape[0] - 1)
    tokens = jnp.concatenate([jnp.asarray(listed), equals, answer[:, :-1]], axis=1)
    said = jnp.argmax(jax.vmap(model)(tokens)[:, answer.shape[1] :], axis=-1)
    return jnp.mean(jnp.all(said == answer, axis=1))


@jax.jit
def shares(model: Transformer, data: AnsweredList) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Share of lists with every answer right: of those with every token once, and of the others."""
    right = jnp.asarray(data.answer)
    said = jnp.argmax(jax.vmap(model)(jnp.asarray(data.tokens))[:, -right.shape[1] :], axis=-1)
    once = jnp.all(right[:, 1:] != right[:, :-1], axis=1)
    hits = jnp.all(said == right, axis=1)
    return _mean(hits, once), _mean(hits, ~once)


@jax.jit
def answers(model: Transformer, data: AnsweredList) -> dict[str, Array]:
    """What `measure` says of one model's answers to lists; the other list is the next one, the other order random."""
    tokens, right = jnp.asarray(data.tokens), jnp.asarray(data.answer)
    n_lists, length = right.shape
    pattern = _patterns(model, tokens)
    order = jnp.argsort(jax.random.uniform(jax.random.key(0), (n_lists, length)), axis=1)
    order = jnp.concatenate([order, jnp.broadcast_to(jnp.arange(length, 2 * length), order.shape)], axis=1)
    reordered = _patterns(model, jnp.take_along_axis(tokens, order, axis=1))
    back = jnp.argsort(order, axis=1)[:, None, None]
    changed = (
        pattern,
        jnp.broadcast_to(jnp.mean(pattern, axis=0), pattern.shape),
        jnp.roll(pattern, -1, 0),
        jnp.take_along_axis(reordered, back, axis=3),
    )

    def with_attention(changed: Array) -> Array:
        logits = jax.vmap(lambda t, p: model(t, {PATTERN: p}))(tokens, changed)
        return jnp.argmax(logits[:, length:], axis=-1) == right

    # One after another: one compilation serves them all.
    hits = jax.lax.map(with_attention, jnp.stack(changed))
    one_place = at_length(model, length).W_pos[:length]
    one_answer = jnp.broadcast_to(jnp.mean(model.W_pos[length + 1 :], axis=0), model.W_pos[length + 1 :].shape)
    without = (model.W_pos[...].at[:length].set(one_place), model.W_pos[...].at[length + 1 :].set(one_answer))

    def with_places(W_pos: Array) -> Array:
        logits = jax.vmap(lambda t: model(t, {"pos_embed": W_pos}))(tokens)
        return jnp.argmax(logits[:, length:], axis=-1) == right

    hits = jnp.concatenate([hits, jax.lax.map(with_places, jnp.stack(without))])
    step = right[:, 1:] - right[:, :-1]
    once = jnp.all(step > 0, axis=1)
    there = tokens[:, None, :length] == right[:, :, None]
    listed = pattern[:, 0, length:, :length]
    before = jnp.concatenate([jnp.full_like(right[:, :1], -1), right[:, :-1]], axis=1)
    larger = tokens[:, None, :length] > before[:, :, None]
    wrong, due, close = ~hits[0], step == 0, step <= CLOSE
    ended = due[:, :-1] & ~due[:, 1:]  # two answers before and the last one are the same, and this one is not
    whole = jnp.all(hits, axis=2)
    return {
        "right": jax.vmap(_mean, (0, None))(whole, once),
        "repeated": jax.vmap(_mean, (0, None))(whole, ~once),
        "mass": _mean(jnp.sum(listed * there, axis=2), once[:, None]),
        "larger": _mean(jnp.sum(listed * larger, axis=2), once[:, None]),
        "wrong_close": _mean(wrong[:, :-1], once[:, None] & close),
        "wrong_far": _mean(wrong[:, :-1], once[:, None] & ~close),
        "again": _mean(hits[0][:, 1:], due),
        "enough": _mean(hits[0][:, 2:], ended),
    }


def _patterns(model: Transformer, tokens: Array) -> Float[Array, "lists 1 query key"]:
    return jax.vmap(model.run_with_cache)(tokens)[1][PATTERN]


def _mean(values: Array, chosen: Array) -> Float[Array, ""]:
    chosen = jnp.broadcast_to(chosen, values.shape)
    return jnp.sum(jnp.where(chosen, values, 0)) / jnp.sum(chosen)


def evaluate(table: xr.Dataset, claims: Claims) -> None:
    """Claims over seeds, of the table of `measure`."""
    right = {name: table["right"].sel(attention=name) for name in ATTENTION}
    intact, once, twice = right["as it is"], table["distinct"], table["twice"]
    trained = table["length"].values[table.sizes["length"] - 4]
    of_length = {n: table["of_length"].sel(length=trained + n) for n in (-1, 1, 3)}

    def check(statement: str, quantity: str, values: xr.DataArray, bound: float, above: bool = True) -> None:
        middle, width = mean_and_half_width(values.values)
        claims.check(
            statement,
            f"{quantity} {'above' if above else 'below'} {bound:g} (95 % interval of the mean)",
            f"{middle:.3f} ± {width:.3f}, from {float(values.min()):.3f} to {float(values.max()):.3f}",
            middle - width > bound if above else middle + width < bound,
        )

    lists = "share of lists right"
    check("one head without an MLP sorts unseen lists of different tokens", lists, intact, LARGE)
    check("answers attend to tokens larger than the last one", "mean attention", table["larger"], FEW)
    check("… most of all to the next one", "mean attention", table["mass"], 0.5)
    check("most tokens score a larger one most of all, as the weights say", "share of tokens", table["above"], LARGE)
    check("what is attended to is copied, as the weights say", "Σλ / Σ|λ| of the OV circuit", table["ov"], 0.8)
    check("… every token raises its own answer most of all", "share of tokens", table["diagonal"], LARGE)
    check("… and tokens just below it more than those just above", "share of tokens", table["smaller"], LARGE)
    check("weights of tokens and answers alone sort lists", lists, table["weights"], 0.85)
    check("… but fewer where a token raises itself alone", lists, table["weights_copied"], FEW, above=False)
    check("with its mean attention hardly any list is sorted", lists, right["its mean"], CHANCE, above=False)
    check(
        "with another list's attention hardly any list is sorted", lists, right["of another list"], CHANCE, above=False
    )
    for statement, name in (
        ("with the attention to the same list in another order", "of another order"),
        ("with one embedding for all places of the list", "one place"),
    ):
        check(f"{statement} as many are sorted", "loss of lists right", intact - right[name], 0.01, above=False)
    check("with one embedding for all answers fewer are sorted", lists, right["one answer"], FEW, above=False)
    more = table["wrong_close"] - 2 * table["wrong_far"]
    check(f"it errs where two tokens are at most {CLOSE} apart", "errors, less twice those elsewhere,", more, 0)
    less = (once - twice).sel(n_layers=1)
    check("with one layer lists that have a token twice are sorted less often", "loss of lists right", less, 0.3)
    check("… it stops too early", "share of due repeats said", table["again"], 0.85, above=False)
    check("… and goes on too long", "right after a repeated token", table["enough"], 0.95, above=False)
    gain = twice.sel(n_layers=2) - twice.sel(n_layers=1)
    check("two layers sort more lists that have a token twice", "gain of lists right", gain, 0.25)
    check("lists one token shorter than any of training are sorted", lists, of_length[-1], LARGE)
    check("… most lists one token longer, too", lists, of_length[1], 0.7)
    check("… and fewer of lists three tokens longer", lists, of_length[3], 0.6, above=False)


def draw(result: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: learning, repeated tokens, scores, what is written, ablations, and other lengths."""
    figure, axes = plt.subplots(2, 3, figsize=(9.6, 5.4), layout="constrained", width_ratios=(0.9, 1, 1.3))
    one = result.sel(n_layers=LAYERS[0])
    learning(one, axes[0, 0])
    band(table["scores"].mean("seed"), axes[0, 1])
    copies(np.asarray(copied(one.best("seed").model())), axes[0, 2])
    repeats(table, axes[1, 0])
    by_length(table["of_length"], result.attrs["task"]["length"], axes[1, 1])
    labels = ("as\nit is", "mean", "other\nlist", "other\norder", "one\nplace", "one\nanswer")
    ablated(table["right"], axes[1, 2], labels).set(xlabel="attention of answers, or embeddings", ylim=(-3, 103))
    axes[1, 2].tick_params(axis="x", labelsize="small")
    text = (
        "Above, one layer: share of lists that never trained with every answer right, by step (seeds, and their median); "
        "attention score that the last token said gives to every token, from weights, less the mean of its row (mean over "
        "answers and seeds); logits that follow from attending to a token alone, from weights, of the seed of least loss. "
        "Below: share of lists right with one layer and with two, of lists with every token once and of the others (seeds, "
        "and mean); share right of lists of other lengths, with one layer and with one embedding for all places of the list, "
        "the trained length dashed (seeds, and mean); with one layer and the attention as it is, with its mean over lists, "
        "with that of another list and of the same list in another order, and with one embedding for all places or for all "
        "answers but the first."
    )
    return figure, caption(result.attrs, text)


def band(scores: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Attention scores less the mean of their row, over `last` and `token`."""
    ax = current_axes(ax)
    centred = (scores - scores.mean("token")).transpose("last", "token").values
    largest = np.abs(centred).max()
    image = ax.imshow(centred, cmap=DIVERGING, vmin=-largest, vmax=largest, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label="attention score", shrink=0.9)
    ax.set(xlabel="token of the list", ylabel="last token said")
    return ax


def repeats(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of lists right over `n_layers`, of lists with every token once (`distinct`) and of the others (`twice`)."""
    ax = current_axes(ax)
    kinds = (("distinct", "every token once", "blue"), ("twice", "a token twice", "orange"))
    for side, (name, label, color) in zip((-0.18, 0.18), kinds, strict=True):
        for k, n_layers in enumerate(table["n_layers"].values):
            values = 100 * table[name].sel(n_layers=n_layers).values
            at = k + side + np.linspace(-0.08, 0.08, len(values))
            ax.plot(at, values, ".", color=PALETTE[color], ms=4, alpha=0.7, label=label if k == 0 else None)
            ax.plot([k + side - 0.13, k + side + 0.13], [values.mean()] * 2, color="black", lw=1.2)
    ax.set_xticks(range(table.sizes["n_layers"]), [str(n) for n in table["n_layers"].values])
    ax.set(xlabel="attention layers", ylabel="unseen lists right, %", ylim=(0, 103))
    ax.legend(loc="lower right")
    return ax


def by_length(right: xr.DataArray, trained: int, ax: Axes | None = None) -> Axes:
    """Share of lists right over `seed` and `length`, the trained length dashed."""
    ax = current_axes(ax)
    curves = 100 * right.transpose("length", "seed").values
    ax.axvline(trained, color="black", lw=0.8, ls="--")
    ax.plot(right["length"], curves, ".-", color=PALETTE["blue"], lw=0.5, ms=3, alpha=0.4)
    ax.plot(right["length"], curves.mean(axis=1), color=PALETTE["blue"], lw=1.6)
    ax.set(xlabel="tokens in the list", ylabel="lists right, %", ylim=(0, 103))
    return ax
