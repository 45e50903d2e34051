r"""How numbers move during training: jumps between levels, episodes of fast descent, logistic growth.

Functions of series over points of time $t_0 < t_1 < \dots$; interval k lies between points k and k + 1.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError


@dataclass(frozen=True)
class Move:
    """A stretch of a series between two turning points."""

    start: int  # last point at which no more than 5 % of it has happened
    middle: int  # interval in which half of it happens
    stop: int  # first point at which 95 % of it has happened
    change: float  # value at its end less the value at its beginning


def moves(values: Any, *, larger_than: float, reversal: float = 0.05) -> list[Move]:
    """The moves of a series (n_points,) that change it by more than `larger_than` either way, in order of time.

    The series is cut where it turns: at a high from which it falls by more than `reversal`, or a low from which it rises
    by more than that. A jump counts once, however many points it takes, and a plateau in the middle of a climb does not
    cut it.

    Raises:
        ConfigError: the series is no vector of finite numbers, or `larger_than` is not above `reversal`.
    """
    x = _series("values", values)
    check.number("reversal", reversal, at_least=0)
    check.number("larger_than", larger_than, at_least=reversal)
    pivots: list[int] = []
    high = low = 0
    rising: bool | None = None
    for k, value in enumerate(x):
        high = k if value >= x[high] else high
        low = k if value <= x[low] else low
        if rising is not True and value - x[low] > reversal:
            pivots.append(low)
            rising, high = True, k
        elif rising is not False and x[high] - value > reversal:
            pivots.append(high)
            rising, low = False, k
    if rising is not None:
        pivots.append(high if rising else low)
    episodes = []
    for start, stop in pairwise(pivots):
        change = float(x[stop] - x[start])
        if abs(change) > larger_than:
            done = (x[start : stop + 1] - x[start]) / change
            halfway = int(np.argmax(done >= 0.5))
            begin, end = np.flatnonzero(done[:halfway] <= 0.05)[-1], np.argmax(done >= 0.95)
            episodes.append(Move(start + int(begin), start + halfway - 1, start + int(end), change))
    return episodes


def drops(series: Any, *, ratio: float = 2.0) -> np.ndarray:
    """Which intervals of a falling series (n_points,) belong to a drop: a mask (n_points - 1,).

    A drop is an episode of faster falling. Its peak is an interval in which the series falls at least `ratio` times as fast
    as somewhere on either side, before an interval of faster falling comes; it holds the intervals around the peak in
    which the fall is at least 1/`ratio` of the peak's. Rates are compared with their surroundings, not with the fastest of
    all, because learning slows down by orders of magnitude. Falls below 1 % of the mean fall count as none: they are where
    single precision rounds.

    Raises:
        ConfigError: the series is no vector of two or more finite numbers, or `ratio` is not above 1.
    """
    from scipy.signal import find_peaks  # late, as in `superpos.theory.naive`

    fall = -np.diff(_series("series", series))
    check.number("ratio", ratio, above=1)
    floor = 0.01 * max(float(fall.mean()), float(np.finfo(float).tiny))
    rate = np.log(np.concatenate([[floor], np.maximum(fall, floor), [floor]]))
    chosen = np.zeros(len(rate), bool)
    for peak in find_peaks(rate, prominence=np.log(ratio))[0]:
        near = rate >= rate[peak] - np.log(ratio)
        before, after = np.flatnonzero(~near[:peak]), np.flatnonzero(~near[peak:])
        chosen[before[-1] + 1 : peak + after[0]] = True
    return chosen[1:-1]


def logistic_rate(share: Any, steps: Any, *, between: tuple[float, float] = (0.05, 0.95)) -> float:
    r"""Rate r of logistic growth $\dot a = r\,a(1-a)$: the slope of $\log(a/(1-a))$ by least squares, per step.

    `share` is a(t), `steps` the t, both (n_points,). Points with a outside `between` are left out.

    Raises:
        ConfigError: fewer than three points lie between.
    """
    a, t = _series("share", share), _series("steps", steps)
    if a.shape != t.shape:
        raise ConfigError(f"share and steps must have one length, got {len(a)} and {len(t)}.")
    inside = (a > between[0]) & (a < between[1])
    if inside.sum() < 3:
        raise ConfigError(
            f"share must have three points between {between[0]:g} and {between[1]:g}, got {inside.sum()}."
        )
    return float(np.polyfit(t[inside], np.log(a[inside] / (1 - a[inside])), 1)[0])


def _series(name: str, values: Any) -> np.ndarray:
    x = arrays.as_numpy(name, values, empty=True, largest=1e300).astype(np.float64)
    if x.ndim != 1 or len(x) < 2:
        raise ConfigError(f"{name} must be a series of two or more numbers, got shape {x.shape}.")
    return x


def even_stages(snapshots: Any, n_stages: int) -> np.ndarray:
    r"""Which snapshots of W (n_points, n_hidden, n_features) to show: the first, the last, and equal ways between.

    The way from one snapshot to the next is $\|W^\top W - W'^\top W'\|_F$, which sees no rotation; long stretches in which
    nothing happens count little. Returns increasing indices, fewer than `n_stages` where there are not so many.
    """
    check.integer("n_stages", n_stages, at_least=2)
    Ws = arrays.as_numpy("snapshots", snapshots, largest=arrays.MAX_WEIGHT).astype(np.float64)
    if Ws.ndim != 3 or len(Ws) < 2:
        raise ConfigError(f"snapshots must have shape (n_points, n_hidden, n_features), got {Ws.shape}.")
    grams = np.einsum("kmi,kmj->kij", Ws, Ws)
    way = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(grams, axis=0), axis=(1, 2)))])
    distances = np.linspace(0, way[-1], n_stages)
    chosen = [int(np.abs(way - w).argmin()) for w in distances[:-1]]
    return np.unique([*chosen, len(Ws) - 1])
