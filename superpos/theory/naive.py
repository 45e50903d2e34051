r"""The naive baseline of a layer with too few neurons: solve the best features one by one, and ignore the rest.

A feature that is *solved* has neurons to itself and leaves the least error they can; one that is *ignored* gets the best
constant. If every feature needs k neurons, a layer of m solves ⌊m / k⌋ of them, and the mean over n features is

$$L_{\mathrm{naive}} = \frac1n \Big( \sum_{i \in \mathrm{solved}} I_i\,s_i + \sum_{i \notin \mathrm{solved}} I_i\,u_i \Big),$$

with $s_i$ and $u_i$ the errors of a feature solved and ignored, and *solved* the features of largest gain $I_i (u_i - s_i)$.
Neurons that are left over idle. A model computes in superposition only if it loses less than this.
"""

from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError


class NaiveBaseline(NamedTuple):
    """What features cost without superposition."""

    loss: float  # the mean over features of importance times error
    solved: np.ndarray  # (n_features,), whether a feature has neurons of its own
    per_feature: np.ndarray  # (n_features,), importance times error


class Magnitudes(NamedTuple):
    """A distribution as points and weights that add up to 1: $E f(x) = \\sum_k w_k f(x_k)$."""

    x: np.ndarray
    w: np.ndarray


def naive_baseline(
    n_hidden: int, ignored: Any, *, importance: Any = 1.0, solved: Any = 0.0, neurons: int = 1
) -> NaiveBaseline:
    r"""The baseline from the error of every feature, or every output, when `ignored` and when `solved`.

    `ignored`, `importance` and `solved` are scalars or one value per feature; `ignored` says how many there are, so it
    is a vector. `neurons` is how many hidden neurons one solved feature takes.

    >>> sp.theory.naive_baseline(1, ignored=[0.3, 0.1]).loss  # the feature that costs more is solved
    0.05

    Raises:
        ConfigError: a number is out of range, or lengths differ.
    """
    check.integer("n_hidden", n_hidden, at_least=0)
    check.integer("neurons", neurons, at_least=1)
    u = arrays.as_numpy("ignored", ignored, empty=True)
    if u.ndim != 1 or not len(u):
        raise ConfigError(f"ignored must hold one error per feature, got shape {u.shape}.")
    values = {name: arrays.as_numpy(name, x) for name, x in (("importance", importance), ("solved", solved))}
    for name, value in {"ignored": u, **values}.items():
        check.vector(name, value, len(u))
        check.in_range(name, value, at_least=0)
    weights, s = (np.broadcast_to(np.asarray(value, float), u.shape) for value in values.values())
    gain = weights * (u - s)
    first = np.argsort(-gain, kind="stable")[: n_hidden // neurons]
    chosen = np.zeros(len(u), bool)
    chosen[first[gain[first] > 0]] = True
    errors = weights * np.where(chosen, s, u)
    return NaiveBaseline(float(np.mean(errors)), chosen, errors)


def magnitudes(name: str) -> Magnitudes:
    """An active feature's magnitude (see `superpos.data.FeatureDistribution`) as Gauss–Legendre points on short pieces.

    Exact for polynomials of degree 15, and to about 1e-6 for functions with a kink.
    """
    if name == "constant":
        return Magnitudes(np.ones(1), np.ones(1))
    x, w = np.polynomial.legendre.leggauss(8)
    low, high, pieces = {"uniform": (0, 1, 128), "signed_uniform": (-1, 1, 256), "exponential": (0, 60, 1_024)}[name]
    edges = np.linspace(low, high, pieces + 1)
    points = (edges[:-1, None] + (x + 1) / 2 * np.diff(edges)[:, None]).ravel()
    weights = np.tile(w, pieces) * (np.exp(-points) if name == "exponential" else 1)
    return Magnitudes(points, weights / weights.sum())


def ignored_error(target: np.ndarray, weights: np.ndarray, p: float, *, exponent: int = 2, bias: bool = True) -> float:
    r"""$\min_{c \ge 0} (1 - p)\,c^q + p\,E|y - c|^q$: the best constant for a feature that is active with probability p.

    `target` and `weights` are the values of y when active and their probabilities; q = `exponent`. The output is a ReLU,
    so c is at least 0, and without a `bias` it is 0. For q = 2 and a mean that is not negative the minimum is the variance
    $p\,E y^2 - (p\,E y)^2$, e.g. p/3 − p²/4 for |x| with x uniform on [−1, 1].
    """

    def error(c: float) -> float:
        return float((1 - p) * c**exponent + p * np.sum(weights * np.abs(target - c) ** exponent))

    if not bias:
        return error(0.0)
    if exponent == 2:
        return error(max(0.0, float(p * np.sum(weights * target))))
    from scipy.optimize import minimize_scalar  # here: its import takes as long as that of flax

    least: Any = minimize_scalar(
        error, bounds=(0, max(float(target.max()), 1e-9)), method="bounded", options={"xatol": 1e-9}
    )
    return min(float(least.fun), error(0.0))


def line_error(
    x: np.ndarray, target: np.ndarray, weights: np.ndarray, p: float, *, exponent: int = 2, bias: bool = True
) -> float:
    r"""$\min_{a, b} (1 - p)\,\mathrm{ReLU}(b)^q + p\,E|y - \mathrm{ReLU}(a\,|x| + b)|^q$: the best line in |x|.

    All that neurons without a bias can make of a feature of their own, the same on both sides of 0. Found numerically.
    """

    def error(line: np.ndarray) -> float:
        b = float(line[1]) if bias else 0.0
        outputs = np.maximum(line[0] * np.abs(x) + b, 0)
        return float((1 - p) * max(b, 0.0) ** exponent + p * np.sum(weights * np.abs(target - outputs) ** exponent))

    from scipy.optimize import minimize

    starts = [np.array(start) for start in ((1.0, 0.0), (1.0, -0.2), (0.5, 0.1))]
    tight = {"xatol": 1e-8, "fatol": 1e-14, "maxiter": 2_000}
    return min(float(minimize(error, start, method="Nelder-Mead", options=tight).fun) for start in starts)
