r"""How many terms the series of the population loss needs, and how to tell that it had too few.

The series of `superpos.expected_loss` is cut at frequency $N\pi/L$, where L bounds what reaches an output: the more
features send there, the larger L beside the kink that is to be resolved, so N must grow with n. With too few terms the
computed loss of some weights is far from the true one, even below 0, and training finds just those weights.

Measured by training 300 steps at densities .1 to .0005, the computed loss of the trained model against 512 terms in double
precision (n, m and the worst deviation at N terms): 20→5 4 % at 8, .2 % at 16; 40→10 nonsense at 8, 28 % at 16, 1.4 % at
32, .04 % at 64; 50→10 .9 % at 32; 56→7 nonsense at 8 and 16, .1 % at 32; 64→3 and 64→8 .3 %, 64→16 13 % and 64→32 31 % at 32;
30→15 22 % at 16; 100→20 nonsense at 8, 16 and 32. Below n/2 terms nonsense begins, at n and above there is none; between,
the deviation grows with √(n min(m, n/2)) / N, and is about 1 % at .7. Densities of some hundredths are the hardest.
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from superpos import check
from superpos.errors import ConfigError

# Fewest terms where nobody says how many.
ORDER = 32
MAX_TERMS = 65_536
MAX_SERIES = 2**28  # numbers in one of about eight arrays

# Losses are compared with this many terms, or twice as many as they were found with.
FINAL_ORDER = 128

# A loss is far from the one with more terms if it is off by more than this share of it, and it is below 0 beyond rounding by
# more than this share of what W = 0 costs; differences smaller than that are not looked at.
FAR = 0.1
ROUNDING = 1e-3


def needed(n_features: int, n_hidden: int) -> float:
    r"""Terms that keep the loss of a trained model within about 1 %, $\max(n/2, 1.4 \sqrt{n \min(m, n/2)})$."""
    return max(n_features / 2, 1.4 * (n_features * min(n_hidden, n_features / 2)) ** 0.5)


def chosen_order(n_features: Any, n_hidden: Any) -> int:
    """Terms for so many features and dimensions where nobody says how many: a power of two, 32 at least.

    >>> [sp.theory.chosen_order(n, m) for n, m in ((5, 2), (56, 7), (64, 16), (100, 20), (400, 30))]
    [32, 32, 64, 64, 256]

    Raises:
        ConfigError: one of them is no whole number from 1 on.
    """
    check.integer("n_features", n_features, at_least=1)
    check.integer("n_hidden", n_hidden, at_least=1)
    return max(ORDER, 1 << (math.ceil(needed(n_features, n_hidden)) - 1).bit_length())


def longer(order: int) -> int:
    """Terms of the series that one of `order` terms is judged by."""
    return max(2 * order, FINAL_ORDER)


def check_order(order: Any, n_features: int, n_hidden: int, *, at_least: int = ORDER) -> int:
    """The number of terms, if it is allowed; chosen where it is None, and then `at_least` so many.

    Raises:
        ConfigError: it is no whole number from 1 on, or a series of n² × order terms would not fit a machine.
    """
    if order is None:
        order = max(at_least, chosen_order(n_features, n_hidden))
    else:
        check.integer("order", order, at_least=1, at_most=MAX_TERMS)
    if n_features**2 * order > MAX_SERIES:
        raise ConfigError(
            f"n_features² × order must be at most {MAX_SERIES:,} for the expected loss, got {n_features}² × {order}."
        )
    return int(order)


def doubtful(n_features: int, order: int) -> bool:
    """Whether a series of so many terms may mislead: only these are looked at afterwards."""
    return order < n_features


def doubts(order: int, n_features: int, n_hidden: int) -> list[str]:
    """One sentence about a series that is likely to mislead; none about others."""
    if order >= 0.7 * needed(n_features, n_hidden):
        return []
    usual = chosen_order(n_features, n_hidden)
    return [f"order = {order} is few terms for {n_features} features in {n_hidden} dimensions: {usual} is the default."]


def below_zero(loss: Any, untrained: Any) -> Any:
    """Whether a loss is below 0 by more than rounding explains; `untrained` is that of W = 0, $E\\,I x^2$."""
    return loss < -ROUNDING * untrained


def far(loss: Any, with_more_terms: Any, untrained: Any) -> Any:
    """Whether a loss is far from the same with more terms."""
    return jnp.abs(loss - with_more_terms) > FAR * jnp.abs(with_more_terms) + ROUNDING * untrained


def too_short(order: int, n_features: int, n_hidden: int) -> str:
    """What was wrong with a series that led astray, and what to do about it."""
    more = max(2 * order, chosen_order(n_features, n_hidden))
    return f"a series of order = {order} is too short for {n_features} features here; set order to {more} or more."


def check_trusted(loss: Any, with_more_terms: Any, untrained: Any, order: int, shape: tuple[int, int]) -> None:
    """Raise `ConfigError`, naming `order`, unless more terms confirm the loss of weights of a shape (m, n)."""
    values = [float(np.asarray(x)) for x in (loss, with_more_terms, untrained)]
    if bool(below_zero(values[0], values[2])) or bool(far(*values)):
        raise ConfigError(
            f"order does not suit these weights: their loss comes out as {values[0]:.3g}, and with more terms as "
            f"{values[1]:.3g}; {too_short(order, shape[1], shape[0])}"
        )
