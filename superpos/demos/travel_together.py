"""Questions of `demos/11_when_features_travel_together`."""

from typing import Any

import numpy as np

from superpos.analysis.overlaps import mean_squared_overlap, welch_floor
from superpos.demos.question import Question, Verdict, directions, near

SIGNIFICANT = 0.01
WITHIN = 0.1  # of a share of losses
NEAR_FLOOR = 1.02  # times the floor of Welch


def _ring_overlaps(next_: Any, quarter: Any, opposite: Any, W: Any) -> Verdict:
    """Signs of the overlaps of a ring of twelve features, measured on its weights: 1, 0 or −1."""
    gram = directions(W).T @ directions(W)
    wrong = []
    for words, answer, apart in (
        ("neighbours", next_, 1),
        ("a quarter turn apart", quarter, 3),
        ("opposite", opposite, 6),
    ):
        overlap = float(np.mean([gram[i, (i + apart) % len(gram)] for i in range(len(gram))]))
        truth = 0 if abs(overlap) < 0.1 * gram.diagonal().mean() else int(np.sign(overlap))
        if float(answer) != truth:
            wrong.append(words)
    if wrong:
        return Verdict(False, f"not so for {' and '.join(wrong)}. What does one of them tell about the other?")
    return Verdict(True, "the mean overlaps of the trained model have these signs.")


def _order(circle: Any, control: Any, p_values: Any) -> Verdict:
    """Whether directions lie in the order of the data, in the world and in its control: two truth values."""
    truth = [bool(p < SIGNIFICANT) for p in p_values]
    said = [bool(circle), bool(control)]
    measured = f"p = {float(p_values[0]):.3g} on the circle and {float(p_values[1]):.3g} in the control"
    if said == truth:
        return Verdict(True, f"{measured}.")
    which = " and ".join(n for n, a, b in zip(("the circle", "the control"), said, truth, strict=True) if a != b)
    return Verdict(False, f"not so for {which}: {measured}.")


def _relu_share(answer: Any, losses: Any) -> Verdict:
    """The ReLU model's loss over the linear one's, within a tenth; `losses` are (ReLU, linear)."""
    share = float(losses[0]) / float(losses[1])
    if abs(float(answer) - share) <= WITHIN:
        return Verdict(True, f"the ReLU model has {share:.2f} of the loss of the linear one.")
    low = float(answer) < share
    return Verdict(
        False, f"{float(answer):g} is too {'low' if low else 'high'}; its ring {'still' if low else 'now'} errs."
    )


def _floor_factor(answer: Any, n_features: int, pair: Any) -> Verdict:
    """By what factor the floor of Welch falls from one number of dimensions to another."""
    small, large = (welch_floor(n_features, int(m)) for m in pair)
    if near(answer, small / large, 0.02):
        return Verdict(True, f"from {small:.4f} to {large:.4f}, a factor of {small / large:.3f}.")
    return Verdict(False, f"not {float(answer):g}: put both numbers of dimensions into (n − m) / (m (n − 1)).")


def _near_the_floor(answer: Any, models: Any) -> Verdict:
    """Which of several models, by their place in the list, reach the floor of Welch, to 2 %."""
    weights = [directions(model) for model in models]
    ratios = [float(mean_squared_overlap(W)) / welch_floor(W.shape[1], len(W)) for W in weights]
    truth = {k for k, ratio in enumerate(ratios) if ratio <= NEAR_FLOOR}
    said = {int(k) for k in np.atleast_1d(answer)}
    if said == truth:
        return Verdict(True, f"the overlaps are {', '.join(f'{r:.2f}' for r in ratios)} times the floor.")
    return Verdict(False, f"{len(said & truth)} of {len(truth)} named, and {len(said - truth)} too many.")


QUESTIONS: dict[str, Question] = {
    "ring_overlaps": Question("three signs: 1, 0 or -1", _ring_overlaps),
    "order_of_directions": Question("two truth values, True or False", _order),
    "relu_share": Question("one number between 0 and 1", _relu_share),
    "floor_factor": Question("one number above 1", _floor_factor),
    "near_the_floor": Question("a list of places, such as [0, 1]", _near_the_floor),
}
