"""What the methods of sampling have in common: a state, a step, and what a step reports."""

from collections.abc import Callable
from typing import Any, NamedTuple

from superpos.landscapes.sampling import MAX_PARAMETER


class Draw(NamedTuple):
    """What one draw reports."""

    excess: Any  # L(w) − L(w*)
    acceptance: Any  # probability with which the proposal was accepted; NaN where nothing is rejected
    loss_at_point: Any
    finite: Any  # whether the chain may go on from here


class Kernel(NamedTuple):
    """`start()` is the state at the point. `step(state, key, k, warming, descending)` is the k-th draw: (state, `Draw`).

    `step_size(state)` is the ε in use.
    """

    start: Callable[[], Any]
    step: Callable[..., Any]
    step_size: Callable[[Any], Any]


def is_bounded(w: Any) -> Any:
    """Whether all parameters are finite and below what counts as diverged."""
    return (abs(w) < MAX_PARAMETER).all()  # False for NaN
