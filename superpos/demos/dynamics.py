"""Questions of `demos/04_dynamics`."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.dynamics import logistic_rate
from superpos.demos.question import Question, Verdict, near

LEVEL = 0.03  # how near to a level a D_i counts as being on it


def _levels(answer: Any, D: Any) -> Verdict:
    """The levels on which D_i end, against those of one trained model."""
    levels, final = np.atleast_1d(np.asarray(answer, float)), np.asarray(D, float)
    if levels.ndim != 1:
        raise ValueError("a list of numbers")
    off = np.abs(final[:, None] - levels)
    homeless, empty = int(np.sum(off.min(axis=1) > LEVEL)), levels[off.min(axis=0) > LEVEL]
    if homeless:
        return Verdict(False, f"{homeless} of {len(final)} features end on none of these levels.")
    if len(empty):
        return Verdict(False, f"no feature ends at {empty[0]:.3g}.")
    counts = ", ".join(f"{int(np.sum(np.abs(final - level) <= LEVEL))} at {level:.3g}" for level in levels)
    return Verdict(True, f"every feature ends on one of them: {counts}.")


def _growth_rate(answer: Any, table: xr.Dataset, eta: float, p: float) -> Verdict:
    """A function (eta, importance, p), against the slopes of log(a/(1 − a)) that were measured, within 10 %."""
    steps = table["step"].values
    ratios = []
    for importance in table["importance"].values:
        measured = logistic_rate(table["share"].sel(importance=importance).values, steps)
        ratios.append(float(answer(eta, float(importance), p)) / measured)
    ratios = np.array(ratios)
    if np.all(np.abs(ratios - 1) <= 0.1):
        return Verdict(True, f"your rate is {', '.join(f'{x:.2f}' for x in ratios)} times the one measured.")
    if np.ptp(ratios) < 0.05 * abs(ratios.mean()):
        return Verdict(
            False, f"it depends on the importance as it should, but a factor of {1 / ratios.mean():.2f} is missing."
        )
    return Verdict(
        False, f"it is {', '.join(f'{x:.2g}' for x in ratios)} times the rate measured: how should importance enter?"
    )


def _delay(answer: Any, table: xr.Dataset) -> Verdict:
    """How many times longer the least important feature takes to a = 1/2 than the most important one."""
    guess = float(answer)
    by_importance = table["share"].sortby("importance").transpose("importance", "snapshot").values
    least, most = (np.interp(0.5, a, table["step"].values) for a in (by_importance[0], by_importance[-1]))
    if by_importance[0].max() < 0.5:
        return Verdict(False, "the least important feature has not arrived yet: train for more steps.")
    measured = float(least / most)
    if near(guess, measured, 0.1):
        return Verdict(True, f"half-way at steps {most:.0f} and {least:.0f}: {measured:.2f} times as long.")
    word = "longer" if measured > guess else "less long"
    return Verdict(False, f"it takes {word} than {guess:.3g} times; how does the rate change with the importance?")


def _worst_at(answer: Any, test_loss: Any) -> Verdict:
    """Whether the largest test loss is at the fewest data points, at the most, or between."""
    places = ("fewest", "between", "most")
    if answer not in places:
        raise ValueError("one of three words")
    values, n_points = np.asarray(test_loss, float), np.asarray(test_loss["n_points"])
    k = int(np.argmax(values))
    place = places[0 if k == 0 else 2 if k == len(values) - 1 else 1]
    words = f"{values[0]:.2f} with {n_points[0]} points, {values[-1]:.2f} with {n_points[-1]}"
    if answer == place:
        return Verdict(True, f"the worst test loss is {values[k]:.2f}, with {n_points[k]} points ({words}).")
    return Verdict(False, f"the test loss is {words}; look where its curve is highest.")


QUESTIONS: dict[str, Question] = {
    "levels": Question("a list of numbers, such as [0.1, 0.9], and the measured D_i", _levels),
    "growth_rate": Question("a function of eta, importance and p, and what was measured", _growth_rate),
    "delay": Question("one number, and what was measured", _delay),
    "worst_at": Question('"fewest", "between" or "most"', _worst_at),
}
