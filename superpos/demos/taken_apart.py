"""Questions of `demos/14_taking_parameters_apart`."""

from typing import Any

import numpy as np

from superpos.analysis.subcomponents import subcomponent_recovery
from superpos.demos.question import Question, Verdict

WITHIN = 0.005  # of an MMCS; one that is off by 18° in two of five columns is .98
SAME = 1e-6  # of what follows from a formula


def _columns_apart(answer: Any, W: Any) -> Verdict:
    """A function of W that returns U and V, on the W of the notebook and on a random one."""
    for matrix in (np.asarray(W, float), np.random.default_rng(0).standard_normal((3, 6))):
        U, V = (np.asarray(part, float) for part in answer(matrix))
        if U.ndim != 2 or V.ndim != 2 or U.shape[0] != matrix.shape[0] or V.shape != (U.shape[1], matrix.shape[1]):
            return Verdict(
                False, f"U {U.shape} and V {V.shape} are not (n_hidden, C) and (C, n_features) of {matrix.shape}."
            )
        if not np.allclose(U @ V, matrix, atol=SAME):
            return Verdict(False, "the subcomponents do not add up to W.")
        recovery = subcomponent_recovery(matrix, U, V)
        if recovery.mmcs < 1 - SAME or abs(recovery.ml2r - 1) > SAME:
            measured = f"MMCS is {recovery.mmcs:.2f} and ML2R {recovery.ml2r:.2f}"
            return Verdict(False, f"they add up to W, but {measured}: some column is not one subcomponent.")
    return Verdict(True, "one subcomponent for every feature, so more of them than dimensions.")


def _error_of_masks(answer: Any) -> Verdict:
    r"""A function of g and the number of pieces against $(1 - g)^2 (1/4 + 1/12n)$."""
    g, n = np.meshgrid([0.0, 0.3, 0.9], [1, 2, 5], indexing="ij")
    said = np.array([float(answer(float(a), int(k))) for a, k in zip(g.ravel(), n.ravel(), strict=True)]).reshape(
        g.shape
    )
    deficit = (1 - g) ** 2
    if np.allclose(said, deficit * (1 / 4 + 1 / (12 * n)), atol=SAME):
        return Verdict(True, "a third of the worst error for one piece, and down to a quarter for many.")
    if np.allclose(said, deficit, atol=SAME):
        return Verdict(False, "that is the error where every r is 0, the worst of all masks.")
    if np.allclose(said, deficit / 4, atol=SAME):
        return Verdict(False, "that is the square of the mean. Masks vary around it.")
    if np.allclose(said, deficit / 3, atol=SAME):
        return Verdict(False, "right for one piece. Several pieces have a mask each, and these average out.")
    return Verdict(
        False, "what is missing is (1 − g) times the mean of n numbers 1 − r. What is the mean of its square?"
    )


def _five_live(answer: Any, live: Any) -> Verdict:
    """How many subcomponents are live in the decomposition of the least loss."""
    if float(answer) == float(live):
        return Verdict(True, f"{int(live)} are live, one for every feature.")
    if float(answer) == 2:
        return Verdict(False, "two would do to write W down. But then every input needs both.")
    return Verdict(False, "an input should need as few as there are features in it. How many different ones is that?")


def _shared_mmcs(answer: Any, measured: Any) -> Verdict:
    """The MMCS where one subcomponent carries two columns that are 144° apart; `measured` has the trained ones."""
    truth, guess = (3 + 2 * np.cos(np.pi / 10)) / 5, float(answer)
    if abs(guess - truth) <= WITHIN:
        trained = ", ".join(f"{value:.3f}" for value in np.sort(np.asarray(measured, float).ravel()))
        return Verdict(True, f"(3 + 2 cos 18°) / 5 = {truth:.3f}. Trained ones have {trained}.")
    if abs(guess - np.cos(np.pi / 10)) <= WITHIN:
        return Verdict(False, "that is the cosine of the two columns. MMCS is the mean over five.")
    if not 0 <= guess <= 1:
        raise ValueError("a mean of cosines")
    return Verdict(False, "the axis between them is 18° off either, and the other three columns are right.")


def _fewest_for_pairs(fewest: Any, mmcs: Any, live: Any) -> Verdict:
    """The least number of subcomponents that carry two antipodal pairs, and their MMCS; `live` has what training gives."""
    if float(fewest) == 4:
        return Verdict(False, "opposite columns lie on one line. Can V have two entries that are not 0?")
    if float(fewest) != 2:
        return Verdict(False, "count lines through the origin.")
    if abs(float(mmcs) - 1) > WITHIN:
        return Verdict(False, "what it writes for either feature is exactly that feature's column.")
    counts = " and ".join(str(int(value)) for value in np.asarray(live, float).ravel())
    return Verdict(True, f"it is as good a sum as the other, and MMCS is 1 for both. Training ends with {counts} live.")


def _identity_in_chance(answer: Any, errors: Any) -> Verdict:
    """Whether a random matrix gives one-hot importances; `errors` are importance errors."""
    if not isinstance(answer, bool | np.bool_):
        raise ValueError("True or False")
    errors = np.asarray(errors, float).ravel()
    counts = " and ".join(str(int(value)) for value in errors)
    return Verdict(bool(answer) == bool(np.any(errors == 0)), f"{counts} importances are not those of an identity.")


QUESTIONS: dict[str, Question] = {
    "columns_apart": Question("a function of W that returns U and V", _columns_apart),
    "error_of_masks": Question("a function of g and n that returns one number", _error_of_masks),
    "five_live": Question("a whole number", _five_live),
    "shared_mmcs": Question("one number between 0 and 1", _shared_mmcs),
    "fewest_for_pairs": Question("a whole number, and a number between 0 and 1", _fewest_for_pairs),
    "identity_in_chance": Question("True or False", _identity_in_chance),
}
