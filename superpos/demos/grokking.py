"""Questions of `demos/07_grokking`."""

from typing import Any

import numpy as np

from superpos.analysis import fourier
from superpos.data.modular import modular_table
from superpos.demos.question import Question, Verdict

KNOWS = 0.99  # accuracy from which pairs count as known
FACTOR = 3.0  # by which a guessed delay may be off
SHARE, LEAST = 0.8, 0.03  # of the embedding's energy: of all frequencies named, and of each of them


def _delay(answer: Any, table: Any) -> Verdict:
    """How many times as many steps it takes to know the test pairs as the training pairs."""
    guess = float(answer)
    if not guess > 0:
        raise ValueError("a positive number")
    rows_above = [np.flatnonzero(table[f"{part}_accuracy"].values > KNOWS) for part in ("train", "test")]
    if not all(len(rows) for rows in rows_above):
        return Verdict(False, "in this run the test accuracy never passed 99 %: train longer, or on more of the table.")
    train, test = (float(table["step"].values[rows[0]]) for rows in rows_above)
    measured = (
        f"training pairs are known from step {train:g} on, test pairs from step {test:g}: "
        f"{test / train:.0f} times as long"
    )
    if guess / FACTOR <= test / train <= guess * FACTOR:
        return Verdict(True, f"{measured}.")
    return Verdict(False, f"{measured}, more than {FACTOR:g} times off your {guess:g}.")


def _key_frequencies(answer: Any, embedding: Any) -> Verdict:
    """Whether a few frequencies hold most of the embedding, and each of them a part."""
    energy = fourier.spectrum(np.asarray(embedding))
    chosen = sorted({int(k) for k in np.atleast_1d(answer)})
    if not chosen or chosen[0] < 1 or chosen[-1] >= len(energy):
        return Verdict(False, f"frequencies run from 1 to {len(energy) - 1}.")
    share = energy / energy[1:].sum()
    for k in chosen:
        if share[k] < LEAST:
            return Verdict(False, f"frequency {k} holds only {100 * share[k]:.1f} % of the energy; leave it out.")
    total = float(share[chosen].sum())
    if total < SHARE:
        return Verdict(False, f"these hold {100 * total:.0f} % of the energy; look for more peaks.")
    return Verdict(True, f"{len(chosen)} of {len(energy) - 1} frequencies hold {100 * total:.0f} % of the energy.")


def _neighbour(answer: Any, frequency: Any, p: Any) -> Verdict:
    """Which number stands beside 0 when a is drawn at the angle 2πka/p."""
    a, k, p = (int(value) for value in (answer, frequency, p))
    if not 1 <= a < p:
        return Verdict(False, f"another number than 0, from 1 to {p - 1}.")
    turned = k * a % p
    if turned in (1, p - 1):
        return Verdict(
            True, f"{k} · {a} = {k * a} is {turned if turned == 1 else -1} modulo {p}: one step on the circle."
        )
    steps = min(turned, p - turned)
    return Verdict(False, f"{a} is {steps} places from 0 on this circle: {k} · {a} = {k * a} is {turned} modulo {p}.")


def _by_hand(logits: Any, p: Any) -> Verdict:
    """Whether logits answer all p² sums."""
    p = int(p)
    z = np.asarray(logits, float)
    if z.shape != (p * p, p):
        return Verdict(
            False, f"there should be a row for each of the {p * p} pairs and a column for each answer, got {z.shape}."
        )
    answers = modular_table(p)[2]
    accuracy = fourier.score(z, answers).accuracy
    margin = float(np.mean(np.sort(z, axis=1)[:, -1] - np.sort(z, axis=1)[:, -2]))
    if accuracy == 1.0 and margin > 1e-9:
        return Verdict(True, f"all {p * p} sums are right, the best answer by {margin:.3f} on average.")
    hint = "where is cos largest, and what must its argument be for the right c?"
    return Verdict(False, f"{100 * accuracy:.0f} % of the sums are right; {hint}")


def _worse_than_chance(answer: Any, table: Any) -> Verdict:
    """Whether the loss without the key frequencies is above ln p."""
    if not isinstance(answer, bool | np.bool_):
        raise ValueError("True or False")
    loss, chance = float(table.attrs["removed_loss"]), float(np.log(table.attrs["p"]))
    return Verdict(bool(answer) == (loss > chance), f"the loss without them is {loss:.2f}, and ln p = {chance:.2f}.")


QUESTIONS: dict[str, Question] = {
    "grokking_delay": Question("one positive number", _delay),
    "key_frequencies": Question("a list of whole numbers, such as [1, 2]", _key_frequencies),
    "neighbour": Question("one whole number", _neighbour),
    "sums_by_hand": Question("an array of p² rows and p columns", _by_hand),
    "worse_than_chance": Question("True or False", _worse_than_chance),
}
