"""Questions of `demos/02_phase_diagrams`."""

from typing import Any

import numpy as np

from superpos.demos.question import Question, Verdict, near
from superpos.theory import Branch, candidate_losses

DENSITIES = np.array([0.05, 0.1, 0.2, 0.3, 0.5])


def _boundary(answer: Any, bias: bool) -> Verdict:
    """A function r(p), measured: on it, ignoring the extra feature and an antipodal pair cost the same."""
    for p in DENSITIES:
        r = float(answer(p))
        if not (np.isfinite(r) and r > 0):
            return Verdict(False, f"at p = {p:g} it says r = {r:g}, and an importance is above 0.")
        loss = candidate_losses(2, p, r, bias=bias)
        ignored, pair = float(loss["extra ignored"]), float(loss["antipodal pair"])
        if not near(pair, ignored, 0.01):
            cheaper = "sharing" if pair < ignored else "ignoring"
            return Verdict(
                False,
                f"at p = {p:g} and your r = {r:.3g}, ignoring costs {ignored:.3g} and sharing {pair:.3g}: "
                f"{cheaper} is still cheaper there.",
            )
    return Verdict(True, "on your curve both cost the same, at every density tried.")


def _triple_point(answer: Any) -> Verdict:
    """A density at which, at r = 1, all three candidates cost the same."""
    p = float(answer)
    if not 0 < p <= 1:
        return Verdict(False, "a density lies between 0 and 1.")
    loss = {name: float(x) for name, x in candidate_losses(2, p, 1.0).items()}
    if near(loss["antipodal pair"], loss["extra ignored"], 0.02):
        return Verdict(True, f"at p = {p:.3g} and r = 1 each of the three costs {loss['antipodal pair']:.4f}.")
    word = "less" if loss["antipodal pair"] < loss["extra ignored"] else "more"
    return Verdict(False, f"at p = {p:.3g} and r = 1 sharing costs {word} than ignoring either of the two features.")


def _hysteresis(answer: Any, branch: Branch, boundary: float) -> Verdict:
    """When a followed solution jumps, against where the better one changes; the values of the branch rise."""
    if answer not in ("before", "at", "after"):
        raise ValueError('"before", "at" or "after"')
    if not len(branch.jumps):
        return Verdict(False, "this solution never jumps in the range it was followed through; make the range wider.")
    jump = float(branch.values[branch.jumps[0]])
    measured = "at" if near(jump, boundary, 0.1) else "after" if jump > boundary else "before"
    if answer == measured:
        return Verdict(True, f"it jumps at r = {jump:.2f}; sharing became the cheaper one at r = {boundary:.2f}.")
    return Verdict(False, f"compare where the solid line jumps with r = {boundary:.2f}, where sharing becomes cheaper.")


QUESTIONS: dict[str, Question] = {
    "boundary": Question("a function of p, such as lambda p: p / 2", lambda r: _boundary(r, True)),
    "boundary_without_bias": Question("a function of p, such as lambda p: p / 2", lambda r: _boundary(r, False)),
    "triple_point": Question("one density, a number between 0 and 1", _triple_point),
    "hysteresis": Question('"before", "at" or "after"', _hysteresis),
}
