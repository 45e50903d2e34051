"""Questions of `demos/08_induction_heads`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superpos.analysis.attention import prefix_matching_score
from superpos.analysis.heads import ablated_losses, measure_heads
from superpos.demos.question import Question, Verdict

SOLVED = 0.2  # share of ln V
IDEAL = 0.99  # prefix-matching score
IS_ONE = 0.5  # score from which a head counts as a previous-token or an induction head
MAX_CUT, REMOVED = 2, 0.6  # heads, and share of the gain over chance
CLOSE = 0.2  # of a predicted share of right tokens
N_SEQUENCES = 32


def _ideal_pattern(pattern: Any, tokens: Any) -> Verdict:
    """The prefix-matching score of an attention pattern, and whether it is one."""
    A, t = np.asarray(pattern, float), np.asarray(tokens, int)
    if A.shape != (len(t), len(t)):
        return Verdict(False, f"the pattern should have {len(t)} rows and columns; this one has shape {A.shape}.")
    if np.any(A < 0) or not np.allclose(A.sum(axis=1), 1):
        return Verdict(False, "attention is never negative, and every row adds up to 1.")
    if np.any(np.triu(A, 1)):
        return Verdict(False, "something lies above the diagonal: a query cannot attend to what comes later.")
    score = float(jax.jit(prefix_matching_score)(A, t))
    if score > IDEAL:
        return Verdict(True, f"a prefix-matching score of {score:.2f}: the perfect induction head.")
    same = (t[:, None] == t[None, :]) & np.tri(len(t), k=-1, dtype=bool)
    itself = float(np.sum(A * same) / max(same.any(axis=1).sum(), 1))
    hint = "which key holds the token that is to be predicted?"
    if itself > 0.5:
        hint = "it finds the token's last place; but what is there is known already. Where does the NEXT token stand?"
    return Verdict(False, f"a prefix-matching score of {score:.2f}; {hint}")


def _depths(answer: Any, result: Any) -> Verdict:
    """The numbers of layers whose loss is below a fifth of ln V."""
    guess = sorted({int(n) for n in np.atleast_1d(answer)})
    depths = [int(n) for n in result["n_layers"].values]
    if not set(guess) <= set(depths):
        return Verdict(False, f"the depths trained are {', '.join(map(str, depths))}; choose among them.")
    chance = float(np.log(result.attrs["task"]["d_vocab"]))
    losses = {n: float(result.sel(n_layers=n)["loss"].min()) for n in depths}
    measured = ", ".join(f"{n} layer{'s' * (n > 1)}: {loss:.2f} nats" for n, loss in losses.items())
    right = guess == [n for n in depths if losses[n] < SOLVED * chance]
    return Verdict(right, f"{measured}; a fifth of ln V is {SOLVED * chance:.2f}.")


def _two_heads(previous: Any, induction: Any, scores: Any) -> Verdict:
    """Scores of the two heads named."""
    heads = []
    for head, name, layer in ((previous, "previous_token", 0), (induction, "prefix_matching", 1)):
        values = np.asarray(scores[name])
        at = (int(head[0]), int(head[1]))
        if at[0] != layer:
            which = "an induction head reads what a previous-token head wrote"
            return Verdict(False, f"{which}: in which layer must each of them be?")
        heads.append((name.replace("_", "-"), at, float(values[at]), float(values[layer].max())))
    measured = "; ".join(f"head {at[0]}.{at[1]} has a {name} score of {value:.2f}" for name, at, value, _ in heads)
    best = all(value > 0.8 * most for *_, value, most in heads)
    if not best:
        return Verdict(False, f"{measured}. Another head of that layer does it better.")
    if any(value < IS_ONE for _, _, value, _ in heads):
        return Verdict(False, f"{measured}. That is little: this model has not formed both kinds of heads.")
    return Verdict(True, f"{measured}.")


def _cut(heads: Any, trained: Any) -> Verdict:
    """How much of the gain over chance is gone without the heads named, by mean ablation."""
    task, model = trained
    marks = np.zeros(model.W_Q.shape[:2], bool)
    for layer, head in heads:
        marks[int(layer), int(head)] = True
    if not 1 <= marks.sum() <= MAX_CUT:
        return Verdict(False, f"cut at least one head and at most {MAX_CUT}.")
    task = task.broadcast()
    intact = float(measure_heads(task, model, N_SEQUENCES)["loss"])
    loss = float(ablated_losses(task, model, jnp.asarray(marks[None]), N_SEQUENCES)[0, 0])
    removed = (loss - intact) / (float(np.log(task.d_vocab)) - intact)
    names = " and ".join(f"{layer}.{head}" for layer, head in np.argwhere(marks))
    measured = (
        f"without {names} the loss goes from {intact:.2f} to {loss:.2f} nats: {100 * removed:.0f} % of the gain is gone"
    )
    return Verdict(
        removed >= REMOVED, f"{measured}." if removed >= REMOVED else f"{measured}; which heads does the copying need?"
    )


def _other_period(share: Any, scores: Any) -> Verdict:
    """A predicted share of right tokens."""
    guess, measured = float(share), float(scores["accuracy"])
    if not 0 <= guess <= 1:
        raise ValueError("a share")
    if abs(guess - measured) <= CLOSE:
        return Verdict(True, f"{100 * measured:.0f} % are right.")
    more = "more" if measured > guess else "fewer"
    return Verdict(False, f"{more} are right than that. What did this model need the tokens for?")


QUESTIONS: dict[str, Question] = {
    "ideal_pattern": Question("an array of 8 rows and columns, whose rows add up to 1", _ideal_pattern),
    "depths": Question("a list of numbers of layers, such as [1, 2]", _depths),
    "two_heads": Question("two pairs (layer, head)", _two_heads),
    "cut": Question("a list of pairs (layer, head)", _cut),
    "other_period": Question("one number between 0 and 1", _other_period),
}
