"""Questions of `demos/01_superposition_in_ten_minutes`."""

from typing import Any

import numpy as np

from superpos.analysis import angle_gaps, feature_dimensionality, geometry, represented
from superpos.demos.question import Question, Verdict, directions

GAP, TOLERANCE = 72.0, 8.0  # degrees between neighbours of a pentagon


def _how_many_fit(prediction: Any, trained: Any) -> Verdict:
    """A number of features against what the trained model represents (‖W_i‖ above one half)."""
    guess = float(prediction)
    if guess != round(guess):
        raise ValueError("a whole number")
    W = directions(trained)
    measured = int(np.sum(represented(W)))
    if guess == measured:
        return Verdict(True, f"this model represents {measured} of its {W.shape[1]} features in {len(W)} dimensions.")
    more = "more" if measured > guess else "fewer"
    return Verdict(False, f"it represents {more} than {guess:g}; look which lines in its picture have a length.")


def _pentagon(answer: Any) -> Verdict:
    """Five directions in a plane, measured: gaps of 72° ± 8°, every D_i near 2/5."""
    W = directions(answer)
    if W.shape != (2, 5):
        return Verdict(False, f"W should have 2 rows and 5 columns, one per feature; this one has shape {W.shape}.")
    if not np.all(represented(W)):
        return Verdict(False, "some of the five columns are shorter than 1/2: every feature needs a direction.")
    gaps = np.asarray(angle_gaps(W))
    if np.any(np.abs(gaps - GAP) > TOLERANCE):
        degrees = ", ".join(f"{g:.0f}°" for g in np.sort(gaps))
        return Verdict(False, f"the gaps between neighbours are {degrees}; in a regular polygon they are all the same.")
    D = np.asarray(feature_dimensionality(W))
    if np.any(np.abs(D - 2 / 5) > 0.04):
        return Verdict(
            False, f"the angles fit, but D_i runs from {D.min():.2f} to {D.max():.2f}: are all lengths the same?"
        )
    return Verdict(True, f"{geometry(W).name}; gaps of {gaps.min():.0f}° to {gaps.max():.0f}°, D_i = {D.mean():.2f}.")


QUESTIONS: dict[str, Question] = {
    "how_many_fit": Question("a whole number, and the trained model it is about", _how_many_fit),
    "pentagon": Question("an array W of 2 rows and 5 columns", _pentagon),
}
