r"""Which minimum a Bayesian learner holds: free energy by the number of data, and where two minima change places.

The posterior of n data is $\propto \varphi(w)\,e^{-n \beta L_n(w)}$ with the prior $\varphi$. Its mass near a minimum is
$e^{-F}$ with Watanabe's

$$F(n) = n \beta L + \lambda \log n + c + \dots,$$

L the loss and λ the local learning coefficient of the minimum. The learner holds the minimum of least F: a degenerate one
while data are few, a better one later. Watanabe 2009, *Algebraic Geometry and Statistical Learning Theory*; Chen et al. 2023,
[arXiv:2310.06301](https://arxiv.org/abs/2310.06301).

**Conventions.** L is the loss *per datum in the likelihood*. For errors $|x - \hat x|^2$ summed over features, as in Chen et
al., β = 1 is normal noise of variance 1/2 on every output, and β = 1/2 is noise of variance 1. `superpos.expected_loss` is
the mean over features: multiply it by n_features. c is what the prior, the curvatures and the number of copies of a minimum
add. It does not grow with n, so both other terms outgrow it, but for the n of a toy model it is not small.
"""

from typing import Any

import numpy as np

from superpos import check
from superpos.errors import ConfigError

FEWEST = 1.0  # log n is to rise from 0


def free_energy(
    loss: Any, learning_coefficient: Any, n_data: Any, *, constant: Any = 0.0, beta: Any = 1.0
) -> np.ndarray:
    r"""$n \beta L + \lambda \log n + c$, in nats. All arguments are numbers or arrays, broadcast against each other.

    >>> float(sp.landscapes.free_energy(0.5, 2.0, 1.0))
    0.5

    Raises:
        ConfigError: a number is not allowed, or shapes do not fit.
    """
    L, coefficient, n, c, b = _broadcast(
        loss=loss, learning_coefficient=learning_coefficient, n_data=n_data, constant=constant, beta=beta
    )
    check.in_range("n_data", n, at_least=FEWEST)
    check.in_range("beta", b, above=0)
    return n * b * L + coefficient * np.log(n) + c


def transition(loss: Any, learning_coefficient: Any, *, constant: Any = (0.0, 0.0), beta: Any = 1.0) -> np.ndarray:
    r"""Number of data from which on the minimum of lower loss is held for good, of two: solved exactly.

    `loss`, `learning_coefficient` and `constant` hold the two minima along their first axis, in any order. With a = βΔL > 0
    the difference of the losses, higher minus lower, and d, e those of λ and c, lower minus higher, $a n = d \log n + e$
    has the solution

    $$n^* = -\tfrac da \, W\!\left(-\tfrac ad e^{-e/d}\right)$$

    with Lambert's W: of its two branches the one of larger n*. NaN where the two never change places: the lower one is held
    whatever n is, or the losses are equal.

    The pentagon beside a dead feature and the hexagon, six features; with the constants of the paper, and without:

    >>> loss, coefficient = (0.06874, 0.04819), (7.0, 8.5)
    >>> [round(float(sp.landscapes.transition(loss, coefficient, constant=c))) for c in ((0, 2.7535), (0, 0))]
    [601, 445]

    Raises:
        ConfigError: a number is not allowed, or the first axis of an argument does not hold two minima.
    """
    pairs = {"loss": loss, "learning_coefficient": learning_coefficient, "constant": constant}
    for name, value in pairs.items():
        if not np.ndim(value) or np.shape(value)[0] != 2:
            raise ConfigError(f"{name} must hold two minima along its first axis, got shape {np.shape(value)}.")
    most = max(np.ndim(value) for value in pairs.values())
    pairs = {name: np.reshape(value, np.shape(value) + (1,) * (most - np.ndim(value))) for name, value in pairs.items()}
    b, L, coefficient, c = _broadcast(beta=beta, **pairs)
    check.in_range("beta", b, above=0)
    swapped = L[0] < L[1]
    higher, lower = (np.where(swapped, x, y) for x, y in ((1, 0), (0, 1)))

    def difference(values: np.ndarray, of: np.ndarray, minus: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, of[None], 0)[0] - np.take_along_axis(values, minus[None], 0)[0]

    a = b[0] * difference(L, higher, lower)
    d, e = difference(coefficient, lower, higher), difference(c, lower, higher)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(d == 0, np.where(e > 0, e / a, np.nan), _last_root(a, d, e))


def _last_root(a: np.ndarray, d: np.ndarray, e: np.ndarray) -> np.ndarray:
    """The largest n with a n = d log n + e, for a > 0 and d ≠ 0; NaN where there is none."""
    from scipy.special import lambertw  # late, as in `superpos.theory.naive`

    argument = -a / d * np.exp(-e / d)
    root = -d / a * np.where(d > 0, lambertw(argument, -1), lambertw(argument, 0))
    exists = (a > 0) & np.isfinite(argument) & (argument >= -np.exp(-1)) & (root.real >= FEWEST)
    return np.where(exists, root.real, np.nan)


def preferred(
    loss: Any, learning_coefficient: Any, n_data: Any, *, constant: Any = 0.0, beta: float = 1.0
) -> np.ndarray:
    """Number of the minimum of least free energy, for every n: an integer array of the shape of `n_data`.

    `loss`, `learning_coefficient` and `constant` are over minima, (k,). A minimum of unknown λ (NaN) does not compete; -1
    where none does.

    >>> sp.landscapes.preferred([0.06874, 0.04819], [7.0, 8.5], [100, 1_000]).tolist()
    [0, 1]

    Raises:
        ConfigError: a number or shape is not allowed.
    """
    rows = {"loss": loss, "learning_coefficient": learning_coefficient}
    for name, value in rows.items():
        if np.ndim(value) != 1 or not np.size(value):
            raise ConfigError(f"{name} must be a vector over minima, got shape {np.shape(value)}.")
    L, coefficient, c = (np.asarray(x, float) for x in np.broadcast_arrays(loss, learning_coefficient, constant))
    n = np.asarray(n_data, float)
    known = np.isfinite(L) & np.isfinite(coefficient) & np.isfinite(c)
    if not known.any():
        return np.full(n.shape, -1)
    energy = free_energy(L[known], coefficient[known], n[..., None], constant=c[known], beta=beta)
    return np.flatnonzero(known)[np.argmin(energy, axis=-1)]


def _broadcast(**values: Any) -> list[np.ndarray]:
    arrays = []
    for name, value in values.items():
        arrays.append(np.asarray(check.finite_array(name, value)))
    try:
        return list(np.broadcast_arrays(*arrays))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(values, arrays, strict=True))
        raise ConfigError(f"{next(iter(values))} must have a shape that fits the others, got {shapes}.") from None
