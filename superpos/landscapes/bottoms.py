"""From the end of a descent to the bottom of its valley, to the last digit: quasi-Newton, then Newton."""

from typing import Any, NamedTuple

import jax
import numpy as np

from superpos.cache import use_compilation_cache
from superpos.landscapes.problem import Problem, frame_at, hessian_at, moved_frame, value_and_slope

# Gradients, of the loss over that of W = 0: where quasi-Newton hands over, and where Newton has arrived.
ROUGH, ARRIVED = 1e-6, 1e-14
NEWTON_STEPS = 16
HALVINGS = 10  # of a step that makes the gradient longer
FLAT = 1e-8  # curvatures below this share of the largest are not divided by
LONGEST = 0.3  # step of Newton's method, beside columns of length 1
SADDLE = 1e-7  # a curvature below minus this share of the largest is a way down
KICK = 0.05  # step off a saddle
KICKS = 4
# Beside a kink Newton's method may come to a halt on a slope: from there quasi-Newton goes on, farther than before.
HALTED, FINE, AGAIN = 1e-10, 1e-10, 3


class Bottom(NamedTuple):
    """A point without slope."""

    flat: np.ndarray  # (d,)
    loss: float  # mean over features
    slope: np.ndarray  # (d,) gradient of the loss
    hessian: np.ndarray  # (d, d) of the loss


def bottom_below(problem: Problem, flat: Any) -> Bottom:
    """The minimum below a point. Off a saddle it goes on along the direction of most negative curvature."""
    point = np.asarray(flat, np.float64)
    end = _settled(problem, point)
    for _ in range(KICKS):
        sizes, vectors = np.linalg.eigh(end.hessian)
        if sizes[0] >= -SADDLE * sizes[-1]:
            break
        sides = [end.flat + sign * KICK * vectors[:, 0] for sign in (1, -1)]
        end = min((_settled(problem, x) for x in sides), key=lambda e: e.loss)
    return end


def is_minimum(problem: Problem, end: Bottom) -> bool:
    """Whether there is neither a slope nor a way down."""
    sizes = np.linalg.eigvalsh(end.hessian)
    return bool(np.abs(end.slope).max() <= HALTED * problem.untrained and sizes[0] >= -SADDLE * sizes[-1])


def _settled(problem: Problem, point: np.ndarray) -> Bottom:
    """Where quasi-Newton and Newton's method come to rest, without a slope if a few attempts suffice."""
    end = newton(problem, quasi_newton(problem, point))
    for _ in range(AGAIN):
        if np.abs(end.slope).max() <= HALTED * problem.untrained:
            break
        end = newton(problem, quasi_newton(problem, end.flat, tolerance=FINE))
    return end


def quasi_newton(problem: Problem, flat: np.ndarray, *, tolerance: float = ROUGH) -> np.ndarray:
    """Where BFGS (SciPy) ends; never above its start."""
    from scipy.optimize import minimize  # late, as in `superpos.theory.naive`

    static = (problem.shape, problem.bias, problem.order)
    start = frame_at(problem, flat)
    use_compilation_cache()

    def scaled(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = value_and_slope(x, problem.task, moved_frame(problem, x, start), *static)
        return float(value) / problem.untrained, np.asarray(slope) / problem.untrained

    with jax.enable_x64(True), np.errstate(over="ignore", invalid="ignore"):
        end = minimize(scaled, flat, jac=True, method="BFGS", options={"maxiter": 500, "gtol": tolerance})
        return end.x if np.isfinite(end.x).all() and end.fun <= scaled(flat)[0] else flat


def loss_of(problem: Problem, flat: np.ndarray) -> float:
    """The loss of a point anywhere."""
    with jax.enable_x64(True):
        return float(
            value_and_slope(flat, problem.task, frame_at(problem, flat), problem.shape, problem.bias, problem.order)[0]
        )


def newton(problem: Problem, flat: np.ndarray, *, steps: int = NEWTON_STEPS, uphill: bool = False) -> Bottom:
    """Newton's method with analytic second derivatives, from near a bottom; directions without curvature stay at rest.

    The bound of the series does not move meanwhile, so that the function is smooth; nor do dead outputs come to life.
    Steps along a negative curvature have the sign of descent, or with `uphill` lead to the saddle.
    """
    static = (problem.shape, problem.bias, problem.order)
    frame = frame_at(problem, flat)

    def slope_at(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = value_and_slope(x, problem.task, frame, *static)
        return float(value), np.asarray(slope)

    with jax.enable_x64(True):
        value, slope = slope_at(flat)
        for _ in range(steps):
            hessian = np.asarray(hessian_at(flat, problem.task, frame, *static))
            if np.abs(slope).max() <= ARRIVED * problem.untrained:
                break
            sizes, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
            bent = np.abs(sizes) > FLAT * np.abs(sizes).max()
            step = -vectors[:, bent] @ ((vectors[:, bent].T @ slope) / (sizes[bent] if uphill else np.abs(sizes[bent])))
            step *= min(1.0, LONGEST / max(float(np.linalg.norm(step)), 1e-300))
            for _ in range(HALVINGS):  # next to a kink the Hessian changes within a step
                trial = slope_at(flat + step)
                if np.linalg.norm(trial[1]) < np.linalg.norm(slope):
                    break
                step = step / 2
            else:
                break
            flat, (value, slope) = flat + step, trial
        else:
            hessian = np.asarray(hessian_at(flat, problem.task, frame, *static))
    return Bottom(flat, value, slope, (hessian + hessian.T) / 2)
