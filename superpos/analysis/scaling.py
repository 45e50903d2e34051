r"""How fast a loss falls with size: exponents of power laws, with intervals over seeds."""

from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError


class Exponent(NamedTuple):
    """The exponent a of loss ∝ size^(−a), and what is known of it."""

    value: float
    low: float  # end of the interval; NaN where nothing gives a spread
    high: float
    standard_error: float
    r_squared: float  # of the mean log losses about the line


def scaling_exponent(sizes: Any, losses: Any, *, confidence: float = 0.95) -> Exponent:
    r"""Fit $\log L = c - a \log(\text{size})$ by least squares; `losses` is (sizes,) or (sizes, seeds).

    With two or more seeds each has an exponent of its own, and the interval is Student's over them: seeds are independent,
    while the sizes of one curve may share a bend. With one seed the interval comes from the residuals about the line, which
    takes a bend for noise; it needs three sizes.

    >>> sizes = np.array([10, 20, 40, 80])
    >>> round(sp.analysis.scaling_exponent(sizes, 3 / sizes).value, 6)
    1.0

    Raises:
        ConfigError: fewer than two sizes that differ, a size or loss that is not above 0, or shapes that do not fit.
    """
    sizes = arrays.as_numpy("sizes", sizes, ndim=1).astype(np.float64)
    losses = arrays.as_numpy("losses", losses, ndim=(1, 2)).astype(np.float64)
    check.in_range("confidence", check.number("confidence", confidence), above=0, below=1)
    if len(losses) != len(sizes):
        raise ConfigError(
            f"losses must be one per size, ({len(sizes)},), or per size and seed, ({len(sizes)}, seeds), "
            f"got shape {losses.shape}."
        )
    check.in_range("sizes", sizes, above=0)
    check.in_range("losses", losses, above=0)
    if len(np.unique(sizes)) < 2:
        raise ConfigError("sizes must hold two or more numbers that differ.")
    from scipy import stats

    x = np.log(sizes) - np.log(sizes).mean()
    y = np.log(losses).reshape(len(sizes), -1)
    slopes = -(x @ y) / (x @ x)
    value, n_seeds = float(slopes.mean()), y.shape[1]
    mean = y.mean(axis=1)
    residual = mean - mean.mean() + value * x
    varied = float(np.sum((mean - mean.mean()) ** 2))
    r_squared = 1 - float(residual @ residual) / varied if varied else np.nan
    if n_seeds > 1:
        error, freedom = float(slopes.std(ddof=1) / np.sqrt(n_seeds)), n_seeds - 1
    elif len(sizes) > 2:
        freedom = len(sizes) - 2
        error = float(np.sqrt(residual @ residual / freedom / (x @ x)))
    else:
        return Exponent(value, np.nan, np.nan, np.nan, r_squared)
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    return Exponent(value, value - half, value + half, error, r_squared)
