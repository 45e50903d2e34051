r"""Rank-one subcomponents against the matrix that they are parts of, and against those of another decomposition.

Subcomponent c of a matrix W (rows, columns) is $\vec U_c \vec V_c^\top$, with U (rows, C) and V (C, columns).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from superpos import arrays, check
from superpos.errors import ConfigError

# Importances from which a subcomponent counts as needed, and how far one may be from 0 or 1 and still count as either.
TOLERANCE = 0.1
# Share of the largest Frobenius norm from which a subcomponent counts in a comparison.
COUNTS_ABOVE = 0.1


class Recovery(NamedTuple):
    """Which subcomponent is which column of a matrix, and how well it is."""

    mmcs: float
    ml2r: float
    best: Int[np.ndarray, " columns"]  # the subcomponent whose column has the largest cosine
    cosine: Float[np.ndarray, " columns"]
    length_ratio: Float[np.ndarray, " columns"]  # of its column to the matrix's


def subcomponent_recovery(W: Any, U: Any, V: Any, *, above: float = 0.0) -> Recovery:
    r"""Whether every column of W (rows, columns) has a subcomponent of its own: mean max cosine similarity and length ratio.

    $$\text{MMCS} = \frac1n \sum_j \max_c \cos(\vec U_c V_{cj}, W_{:j}), \qquad
    \text{ML2R} = \frac1n \sum_j \frac{\|\vec U_{c(j)} V_{c(j)j}\|}{\|W_{:j}\|},$$

    with c(j) the subcomponent of the largest cosine. Both are 1 where every column of W is one subcomponent's. Any number of
    columns may have the same c(j): two opposite columns can share one subcomponent. Columns of W that are not longer than
    `above` are left out of the means (their entries are NaN, and -1 in `best`); a subcomponent's column of no length has
    cosine 0, and so has every column of one whose Frobenius norm is below a tenth of the largest. (The paper's formula takes
    the maximum over all; but of fifteen negligible subcomponents in the plane one soon points along a column by chance, to
    four digits, and its ratio of lengths would be counted.) Of exactly opposite columns the length ratio means little:
    a trace of the one in the other's subcomponent has a cosine of 1, too. Importances tell there.

    Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", toy model of superposition; Sharkey et al. 2022
    for MMCS.

    >>> W = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> sp.analysis.subcomponent_recovery(W, W, np.eye(2))[:2]
    (1.0, 1.0)

    Raises:
        ConfigError: shapes do not fit.
    """
    W = arrays.as_numpy("W", arrays.weights("W", W)).astype(np.float64)
    U, V = _pair("", U, V, rows=W.shape[0], columns=W.shape[1])
    check.number("above", above, at_least=0, at_most=arrays.MAX_WEIGHT)
    lengths, sizes = np.linalg.norm(W, axis=0), np.linalg.norm(U, axis=0)
    there = lengths > above
    directions = _unit(U).T @ _unit(W)  # (C, columns)
    cosines = np.sign(V) * directions * _counts(U, V)[:, None]
    best = np.where(there, cosines.argmax(axis=0), -1)
    cosine = np.where(there, cosines.max(axis=0), np.nan)
    columns = np.arange(W.shape[1])
    ratio = np.where(there, np.abs(V[best, columns]) * sizes[best] / np.where(there, lengths, 1), np.nan)
    if not there.any():
        return Recovery(np.nan, np.nan, best, cosine, ratio)
    return Recovery(float(cosine[there].mean()), float(ratio[there].mean()), best, cosine, ratio)


def identity_error(importances: Any, *, tolerance: float = TOLERANCE) -> int:
    """How many importances differ from one subcomponent for every input: 0 if each input needs one of its own alone.

    `importances` (C, inputs) are those for one-hot inputs, C at least the number of inputs. Subcomponents are assigned to
    inputs one to one by the largest sum of importances (Hungarian algorithm). Counted are assigned importances below
    1 - `tolerance`, and others above `tolerance`. As in the authors' code of stochastic parameter decomposition.

    >>> sp.analysis.identity_error([[0.0, 1.0], [0.95, 0.05], [0.5, 0.0]])
    1

    Raises:
        ConfigError: it is no matrix, or has fewer subcomponents than inputs.
    """
    g = _importances(importances, tolerance)
    if g.shape[0] < g.shape[1]:
        raise ConfigError(
            f"importances must have at least as many subcomponents (rows) as inputs (columns), got shape {g.shape}."
        )
    from scipy.optimize import linear_sum_assignment  # late, as in `superpos.theory.naive`

    assigned = np.zeros(g.shape, bool)
    assigned[linear_sum_assignment(g, maximize=True)] = True
    return int(np.sum(g[assigned] < 1 - tolerance) + np.sum(g[~assigned] > tolerance))


def dense_error(importances: Any, rank: int, *, tolerance: float = TOLERANCE) -> int:
    """How many importances differ from exactly `rank` subcomponents that are needed: 0 if so.

    `importances` (C, inputs) are those for one-hot inputs. The `rank` subcomponents of the largest sums should each be above
    1 - `tolerance` for some input: those that are not are counted. All importances of the others above `tolerance` are
    counted, too. As in the authors' code of stochastic parameter decomposition, for a matrix that every input needs.

    >>> sp.analysis.dense_error([[1.0, 0.6], [0.7, 1.0], [0.0, 0.2]], rank=2)
    1

    Raises:
        ConfigError: it is no matrix, or has fewer than `rank` subcomponents.
    """
    g = _importances(importances, tolerance)
    check.integer("rank", rank, at_least=1, at_most=len(g))
    order = np.argsort(-g.sum(axis=1), kind="stable")
    missing = np.sum(g[order[:rank]].max(axis=1) < 1 - tolerance)
    return int(missing + np.sum(g[order[rank:]] > tolerance))


def live_subcomponents(importances: Any, *, tolerance: float = TOLERANCE) -> int:
    """How many subcomponents some input needs: importance (C, inputs) above `tolerance` for at least one input.

    >>> sp.analysis.live_subcomponents([[0.0, 1.0], [0.05, 0.0], [0.5, 0.0]])
    2

    Raises:
        ConfigError: it is no matrix.
    """
    return int(np.sum(_importances(importances, tolerance).max(axis=1) > tolerance))


def subcomponent_agreement(U: Any, V: Any, other_U: Any, other_V: Any) -> float:
    r"""How alike two decompositions of matrices of one shape are: 1 for the same subcomponents in any order, 0 for none.

    The cosine of two subcomponents as matrices is $\cos(\vec U_c, \vec U'_d) \cos(\vec V_c, \vec V'_d)$, which does not
    depend on how length and sign are divided between U and V. Subcomponents are matched one to one by the largest sum of
    positive cosines (Hungarian algorithm); the result is that sum over the larger number of subcomponents. Those whose
    Frobenius norm is below a tenth of the largest in their decomposition do not count.

    >>> U, V = np.eye(2), np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> sp.analysis.subcomponent_agreement(U, V, -U[:, ::-1], -V[::-1])
    1.0

    Raises:
        ConfigError: shapes do not fit.
    """
    U, V = _pair("", U, V)
    other_U, other_V = _pair("other_", other_U, other_V, rows=U.shape[0], columns=V.shape[1])
    (U, V), (other_U, other_V) = _large(U, V), _large(other_U, other_V)
    if not len(V) or not len(other_V):
        return float(len(V) == len(other_V))
    cosines = (_unit(U).T @ _unit(other_U)) * (_unit(V.T).T @ _unit(other_V.T))
    from scipy.optimize import linear_sum_assignment  # late, as in `superpos.theory.naive`

    positive = np.maximum(cosines, 0)
    return float(positive[linear_sum_assignment(positive, maximize=True)].sum() / max(positive.shape))


def _pair(prefix: str, U: Any, V: Any, rows: int | None = None, columns: int | None = None) -> tuple[Any, Any]:
    U = arrays.as_numpy(f"{prefix}U", U, shape=(rows, None), largest=arrays.MAX_WEIGHT).astype(np.float64)
    V = arrays.as_numpy(f"{prefix}V", V, shape=(U.shape[1], columns), largest=arrays.MAX_WEIGHT).astype(np.float64)
    return U, V


def _importances(importances: Any, tolerance: float) -> np.ndarray:
    check.number("tolerance", tolerance, at_least=0, below=0.5)
    return arrays.as_numpy("importances", importances, ndim=2)


def _large(U: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = _counts(U, V)
    return U[:, counts], V[counts]


def _counts(U: np.ndarray, V: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(U, axis=0) * np.linalg.norm(V, axis=1)
    return (norms > COUNTS_ABOVE * norms.max()) & (norms > 0)


def _unit(columns: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(columns, axis=0)
    return columns / np.where(lengths > 0, lengths, 1)
