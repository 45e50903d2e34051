"""Questions of `demos/03_geometry`."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis import feature_dimensionality, geometry, packing
from superpos.demos.question import Question, Verdict, directions
from superpos.theory.polytopes import known_shapes

ASKED = ("antipodal pair", "triangle", "pentagon")


def _shape(name: str) -> np.ndarray:
    """W of a known shape, unit columns."""
    sizes = {"antipodal pair": 2, "triangle": 3, "pentagon": 5}
    return next(shape.vertices.T for shape in known_shapes(sizes[name]) if shape.name == name)


def _dimensionalities(*answers: Any) -> Verdict:
    """D_i of three shapes, each measured on the shape."""
    wrong = []
    for name, guess in zip(ASKED, answers, strict=True):
        D = np.asarray(feature_dimensionality(_shape(name)))
        if abs(float(guess) - D.mean()) > 0.01:
            word = "too large" if float(guess) > D.mean() else "too small"
            wrong.append(f"{float(guess):.3g} is {word} for the {name}")
    if wrong:
        return Verdict(False, f"{', '.join(wrong)}; how many features share how many dimensions there?")
    return Verdict(True, "measured on the shapes themselves, all three agree.")


def _packing_bound(answer: Any) -> Verdict:
    """The largest ΣD_i with three rows: no matrix may exceed the answer, and one must reach it."""
    guess, rng = float(answer), np.random.default_rng(0)
    tried = [np.eye(3), *(rng.standard_normal((3, n)) for n in range(3, 40, 4))]
    tried += [W * rng.uniform(0.2, 2, W.shape[1]) for W in tried]
    tried = [np.pad(W, ((0, 0), (0, 40 - W.shape[1]))) for W in tried]  # one shape for one program; zeros count nothing
    sums = np.array([3 * float(packing(W)) for W in tried])
    if guess < sums.max() - 1e-3:
        return Verdict(False, f"there is a W with 3 rows whose sum is larger than {guess:.3g}: begin with n = 3.")
    if guess > sums.max() + 1e-3:
        return Verdict(
            False, f"of {len(tried)} matrices tried none comes near {guess:.3g}; what do n = 3 axes add up to?"
        )
    return Verdict(True, f"of {len(tried)} matrices with 3 rows none exceeds it, and orthonormal ones reach it.")


def _tegum(answer: Any) -> Verdict:
    """Seven features in three dimensions that fill them, in orthogonal parts: measured by the detector."""
    W = directions(answer)
    if W.shape != (3, 7):
        return Verdict(False, f"W should have 3 rows and 7 columns, this one has shape {W.shape}.")
    shape = geometry(W)
    filled, missing = 3 * shape.packing, int(np.sum(~shape.represented))
    if missing:
        return Verdict(False, f"{missing} of the columns are shorter than 1/2: all seven should have a direction.")
    if filled < 2.98:
        return Verdict(False, f"this is {shape.name}, and its ΣD_i is {filled:.2f}: some of the space is wasted.")
    if len(shape.components) < 2:
        return Verdict(False, f"ΣD_i is 3, but this is one piece, {shape.name}: make it of parts that do not touch.")
    return Verdict(True, f"{shape.name}, ΣD_i = {filled:.2f}.")


def _plateau(answer: Any, d_star: xr.DataArray) -> Verdict:
    """Where D* rests while 1/(1 − S) goes from 2 to 4: the median over the trained models there."""
    guess = float(answer)
    inside = (d_star.feature_probability >= 0.25) & (d_star.feature_probability <= 0.5)
    measured = float(d_star.where(inside).median())
    if abs(guess - measured) <= 0.06:
        return Verdict(True, f"from 1/(1 − S) = 2 to 4 the median of D* is {measured:.2f}.")
    word = "higher" if measured > guess else "lower"
    return Verdict(False, f"D* rests {word} than {guess:.3g} there; which shape gives every feature that much?")


def _partner_angles(correlated: Any, anticorrelated: Any, measured: Any) -> Verdict:
    """Angles between the two of a set, in degrees, when they come together and when they exclude each other."""
    words = ("correlated", "anticorrelated")
    guesses, angles = [float(a) for a in (correlated, anticorrelated)], [float(a) for a in measured]
    wrong = [name for name, guess, angle in zip(words, guesses, angles, strict=True) if abs(guess - angle) > 20]
    if wrong:
        return Verdict(False, f"not for the {' and the '.join(wrong)} features; when does an opposite partner disturb?")
    return Verdict(True, f"trained networks have {angles[0]:.0f}° and {angles[1]:.0f}°.")


QUESTIONS: dict[str, Question] = {
    "dimensionalities": Question("three numbers: of the pair, the triangle and the pentagon", _dimensionalities),
    "packing_bound": Question("one number", _packing_bound),
    "tegum": Question("an array W of 3 rows and 7 columns", _tegum),
    "plateau": Question("one number between 0 and 1, and the measured D*", _plateau),
    "partner_angles": Question("two angles in degrees, and the angles that were measured", _partner_angles),
}
