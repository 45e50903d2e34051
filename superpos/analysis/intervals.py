"""Intervals by which claims over seeds are judged: of a share of seeds, and of a mean over seeds."""

from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError


class Interval(NamedTuple):
    """An estimate, and the ends of its interval."""

    estimate: float
    low: float
    high: float


def share_interval(count: int, n_seeds: int, *, confidence: float = 0.95) -> Interval:
    r"""The share of seeds that have a property, $\hat p = k/n$, with Wilson's interval.

    With z the normal quantile of (1 + `confidence`)/2 its ends are

    $$\frac{\hat p + \frac{z^2}{2n} \pm z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}}{1 + z^2/n}.$$

    Unlike $\hat p \pm z\sqrt{\hat p(1 - \hat p)/n}$ it stays within [0, 1], and it has a width where no seed or every seed
    has the property.

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".

    >>> [round(x, 3) for x in sp.analysis.share_interval(16, 16)]
    [1.0, 0.806, 1.0]

    Raises:
        ConfigError: `n_seeds` is no whole number above 0, `count` none up to it, or `confidence` is not between 0 and 1.
    """
    from scipy.stats import binomtest  # here: its import takes as long as that of flax

    check.integer("n_seeds", n_seeds, at_least=1)
    check.integer("count", count, at_least=0, at_most=int(n_seeds))
    confidence = check.number("confidence", confidence, above=0, below=1)
    ends = binomtest(int(count), int(n_seeds)).proportion_ci(confidence, method="wilson")
    return Interval(int(count) / int(n_seeds), float(ends.low), float(ends.high))


def mean_interval(values: Any, *, confidence: float = 0.95) -> Interval:
    r"""The mean of one number per seed with Student's interval, $\bar x \pm t_{n-1}\, s / \sqrt n$.

    s is the standard deviation with n − 1 in the denominator and t the quantile of (1 + `confidence`)/2. Where two settings
    were trained with the same seeds, `values` are the differences: they hold less chance than either.

    Student 1908, "The Probable Error of a Mean".

    >>> [round(x, 2) for x in sp.analysis.mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]

    Raises:
        ConfigError: `values` are no two or more finite numbers, or `confidence` is not between 0 and 1.
    """
    from scipy.stats import t

    confidence = check.number("confidence", confidence, above=0, below=1)
    x = np.asarray(arrays.as_numpy("values", values, ndim=1), np.float64)
    if len(x) < 2:
        raise ConfigError(f"values must be two or more numbers, one per seed, got {len(x)}.")
    half = float(t.ppf((1 + confidence) / 2, len(x) - 1)) * float(x.std(ddof=1)) / len(x) ** 0.5
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)
