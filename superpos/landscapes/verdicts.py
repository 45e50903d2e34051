r"""Whether an estimate may be called a local learning coefficient: the tests, one after another.

A point is refused where

- more than a quarter of its chains diverged: **diverged**;
- proposals of HMC are nearly all rejected: **stuck**;
- the estimate is below 0 by more than 2 standard errors: **negative**. No minimum has a loss below its own around it;
- HMC chains that descend after their last draw end below the point, by more than a tenth of the estimate in units of nβ L and
  by more than .05: **not at the floor**. The estimate is too low by just that much. It is how a saddle shows itself, too, and
  a point that training has not taken all the way;
- the second half of the draws has another mean than the first, by more than 4 standard errors of the difference and a tenth
  of the estimate: **drifting**. At a minimum the loss does not go on to fall, and a chain that is still rising has not been
  long enough in its warm-up;
- R̂ is above 1.1: **unmixed**.
"""

from typing import NamedTuple

import numpy as np

from superpos.landscapes.diagnostics import diagnose, effective_draws, split

MOST_DIVERGED = 0.25  # of the chains
LEAST_ACCEPTANCE = 0.05
DRIFT_ERRORS, DRIFT_SHARE = 4.0, 0.1
NEGATIVE_ERRORS = 2.0
FLOOR_SHARE, LEAST_FLOOR = 0.1, 0.05
LARGEST_R_HAT = 1.1

MINIMUM = "minimum"
# What an estimate is refused for, and what to do about it.
REASONS = {
    "diverged": "more than a quarter of its chains diverged; a smaller step_size keeps them",
    "stuck": "its proposals are nearly all rejected; a smaller step_size or a longer warmup helps",
    "drifting": "its loss drifts, so that it is no minimum or chains have not arrived; a larger gamma holds chains, "
    "a longer warmup lets them arrive",
    "negative": "its estimate is negative, so that it is no minimum",
    "not at the floor": "lower losses are within reach, so that it is no minimum; polish it, or a smaller nbeta overlooks "
    "the difference",
    "unmixed": "its chains disagree (R̂ above 1.1); more draws or steps help",
}


class Estimate(NamedTuple):
    """Of every point; each with shape (n_points,)."""

    estimate: np.ndarray  # nβ (E L − L(w*)), over the chains that are healthy
    standard_error: np.ndarray  # the larger of those within and between chains
    standard_error_between: np.ndarray
    r_hat: np.ndarray
    effective_draws: np.ndarray
    above_floor: np.ndarray  # nβ (L(w*) − the lowest loss that a descent reached); NaN where nothing descends
    verdict: np.ndarray  # "minimum", or a key of `REASONS`


def estimates(excess: np.ndarray, diverged: np.ndarray, acceptance: np.ndarray, floor: np.ndarray) -> Estimate:
    """Estimates and verdicts from nβ (L − L(w*)) of the draws (n_points, chains, draws).

    `diverged` says which chains did, `acceptance` and `floor` (in units of nβ L) are of every chain, (n_points, chains).
    """
    healthy = ~diverged
    rows = [_of_one(*row) for row in zip(excess, healthy, acceptance, floor, strict=True)] if diverged.any() else None
    if rows is not None:
        return Estimate(*(np.array(column) for column in zip(*rows, strict=True)))
    return _of_healthy(excess, acceptance, floor)


def _of_one(excess: np.ndarray, healthy: np.ndarray, acceptance: np.ndarray, floor: np.ndarray) -> list:
    """The estimate of one point by its healthy chains."""
    if not healthy.any():
        return [np.nan] * 6 + ["diverged"]
    one = [column[0] for column in _of_healthy(*(x[healthy][None] for x in (excess, acceptance, floor)))]
    return [*one[:-1], "diverged" if np.mean(~healthy) > MOST_DIVERGED else one[-1]]


def _of_healthy(excess: np.ndarray, acceptance: np.ndarray, floor: np.ndarray) -> Estimate:
    found = diagnose(excess)
    error = np.fmax(found.standard_error, found.standard_error_between)
    half = excess.shape[-1] // 2
    first, second = excess[..., :half].mean((-2, -1)), excess[..., -half:].mean((-2, -1))
    # Errors as they would be without a drift: of draws about the mean of their own half.
    halves = split(excess)
    n_chains = excess.shape[-2]
    still = halves - np.repeat(np.stack([first, second], -1), n_chains, axis=-1)[..., None]
    error_still = still.std((-2, -1)) / np.sqrt(effective_draws(still))
    size = np.abs(found.mean)
    drifting = np.abs(first - second) > np.maximum(2 * DRIFT_ERRORS * error_still, DRIFT_SHARE * size)
    above_floor = np.maximum(-floor.min(-1), 0.0)
    low = above_floor > np.maximum(FLOOR_SHARE * (size + above_floor), LEAST_FLOOR)  # False for NaN
    tests = {
        "stuck": acceptance.mean(-1) < LEAST_ACCEPTANCE,  # False for NaN
        "negative": found.mean < -NEGATIVE_ERRORS * error,
        "not at the floor": low,
        "drifting": drifting,
        "unmixed": found.r_hat > LARGEST_R_HAT,
    }
    verdict = np.select(list(tests.values()), list(tests), MINIMUM)
    return Estimate(
        found.mean, error, found.standard_error_between, found.r_hat, found.effective_draws, above_floor, verdict
    )
