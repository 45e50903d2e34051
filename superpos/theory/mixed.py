r"""What linear mixtures of absolute values cost without superposition: baselines for `MixedComputation`.

Targets are $y = M|x|$ of independent x_i, each active with probability p and then uniform on [−1, 1]. Outputs are linear in
ReLU neurons without biases, and have biases.
"""

from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError


class MixedBaseline(NamedTuple):
    """The loss of a layer that computes some features exactly and ignores the others."""

    loss: float  # the mean over outputs
    solved: np.ndarray  # (n_features,), whether a feature is computed


def absolute_variance(p: float) -> float:
    r"""$\mathrm{Var}\,|x| = p/3 - p^2/4$ of a feature that is active with probability p and then uniform on [−1, 1].

    >>> round(1 / sp.theory.absolute_variance(1.0))
    12

    Raises:
        ConfigError: p is no number above 0 and at most 1.
    """
    p = check.number("p", p, above=0, at_most=1)
    return p / 3 - p**2 / 4


def mixed_baseline(M: Any, n_hidden: int, p: float, *, shared_lines: bool = False) -> MixedBaseline:
    r"""The loss of computing as many features as `n_hidden` neurons can one by one, and answering the mean of the others.

    Two neurons of its own compute a feature, $|x| = \mathrm{ReLU}(x) + \mathrm{ReLU}(-x)$, so m of them compute ⌊m/2⌋ and

    $$L = \frac1K \Big(\frac p3 - \frac{p^2}4\Big) \sum_{i \notin \mathrm{solved}} \|M_i\|^2,$$

    with the mean over the K outputs, and M_i the columns of M. Solved are the features of largest ‖M_i‖.

    With `shared_lines` one neuron may do, because $|x_i| = 2\,\mathrm{ReLU}(x_i) - x_i$: the linear functions of x that are
    missing in the outputs, $\sum_i M_i x_i$, take two neurons for each dimension in which they lie, however many features
    there are. So s features of columns M_S cost min(2s, s + 2 rank M_S) neurons, and all n outputs' features at most n + 2K.
    Features are solved in the order of falling ‖M_i‖, as many as there are neurons for. Derived here.

    >>> M = np.ones((1, 8))
    >>> [int(sp.theory.mixed_baseline(M, 8, 1.0, shared_lines=s).solved.sum()) for s in (False, True)]
    [4, 6]

    Raises:
        ConfigError: M is no matrix of finite numbers, or a number is out of range.
    """
    M = arrays.as_numpy("M", M)
    if M.ndim != 2:
        raise ConfigError(f"M must have shape (n_outputs, n_features), got {M.shape}.")
    check.integer("n_hidden", n_hidden)
    check.boolean("shared_lines", shared_lines)
    variance = absolute_variance(p)
    sizes = np.sum(np.asarray(M, np.float64) ** 2, axis=0)
    order = np.argsort(-sizes, kind="stable")
    n_solved = min(int(n_hidden) // 2, len(order))
    if shared_lines:
        affordable = (s for s in range(len(order), n_solved, -1) if s + 2 * _rank(M[:, order[:s]]) <= n_hidden)
        n_solved = next(affordable, n_solved)
    solved = np.zeros(len(order), bool)
    solved[order[:n_solved]] = True
    return MixedBaseline(float(variance * sizes[~solved].sum() / len(M)), solved)


def _rank(M: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(M)) if M.size else 0
