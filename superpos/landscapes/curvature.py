r"""How a loss bends at one point: the spectrum of its Hessian, its rank, and the learning coefficient that follows.

At a minimum $w^*$ the loss is $L(w^*) + \tfrac12 (w - w^*)^\top H (w - w^*) + \dots$. Where the points of the same loss form
a smooth surface and H is positive across it, the local learning coefficient is half the rank of H,

$$\lambda = \tfrac12 \operatorname{rank} H,$$

since integrating over the surface costs nothing: Watanabe 2009, *Algebraic Geometry and Statistical Learning Theory*; Lau et
al. 2023, [arXiv:2308.12108](https://arxiv.org/abs/2308.12108). Derivatives are analytic and in double precision. Finite
differences across the kink of a ReLU show small curvatures, of either sign, where there are none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from superpos import check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError

# A rank is clear if it stays the same while the threshold between zero and not zero moves by this factor.
CLEAR_GAP = 1e4
# Relative to the largest curvature, rounding of a Hessian in double precision; times the number of parameters.
ROUNDING = 1e-15
# A gradient above this share of (largest curvature × length of the point) is not that of a minimum.
STATIONARY = 1e-6
# Two steps at which the slope of the gradient is compared on both sides of the point. On a smooth loss the difference shrinks
# with the step; at a kink it stays. (A loss may be smooth and have a kink nearby: then it is only large.)
NEAR_STEP, FAR_STEP = 1e-7, 1e-6
KINK = 1e-4  # difference, relative to the largest curvature, above which it counts
SHRINKS = 1 / 3  # of a smooth loss the near difference is a tenth of the far one
DIRECTIONS = 24
# A tangent vector is in the null space of the Hessian if it bends by less than this share of the largest curvature, beyond
# what the gradient explains.
FLAT = 1e-7

NO_MINIMUM = "not a minimum"
UNCLEAR_RANK = "rank not clear"
UNEXPLAINED = "unexplained zero modes"
AT_KINK = "kink"
DEAD = "dead features"


@dataclass(frozen=True)
class Curvature:
    """How the loss bends at a point of d parameters.

    `flags` says in words what stands between the spectrum and a learning coefficient: "not a minimum", "rank not clear",
    "unexplained zero modes", "kink"; each of them makes `learning_coefficient` NaN. "dead features" does not: the floor is
    flat in their parameters.
    """

    eigenvalues: np.ndarray  # (d,) of the Hessian, from the lowest
    rank: int  # eigenvalues on the far side of the widest gap in size
    index: int  # negative ones among them
    zero_modes: int  # d − rank
    symmetry_modes: int  # independent zero modes along the tangents of symmetries
    dead_modes: int  # further zero modes along the parameters of dead features
    gap: float  # smallest curvature that counts over the largest that does not, or over rounding
    gradient: float  # length of the gradient
    learning_coefficient: float  # rank / 2; NaN where a flag says why
    flags: tuple[str, ...]


def curvature_at(
    loss: Callable[..., Any],
    point: Any,
    *arguments: Any,
    symmetries: Any = (),
    dead: Any = (),
) -> Curvature:
    r"""The curvature of `loss(point, *arguments)`, a scalar, at `point`: a pytree of arrays with d numbers in all.

    `symmetries` (k, d) are tangents of the group that leaves the loss as it is, for (W, b) those of
    `superpos.landscapes.rotation_tangents`; `dead` (k, d) are directions of parameters that do nothing
    (`superpos.landscapes.dead_tangents`). Their order of parameters is that of the flattened pytree. The program is compiled
    once for a `loss` and a shape, so settings are better passed as `arguments`.

    The rank is that of the widest gap: eigenvalues are ordered by size, and the largest ratio of neighbours divides them.
    Sizes below rounding, or below what the gradient that is left explains, count as that. The rank is clear if it stays the
    same for thresholds over four orders of magnitude.

    >>> bowl = sp.landscapes.curvature_at(lambda w: w[0] ** 2 + w[1] ** 2, np.zeros(3))
    >>> bowl.rank, bowl.zero_modes, bowl.flags
    (2, 1, ('unexplained zero modes',))

    Raises:
        ConfigError: `point` is not finite, `loss` gives no finite number there, or tangents have another length.
    """
    if not callable(loss):
        raise ConfigError(f"loss must be a function of the point, got {check.short(loss)}.")
    use_compilation_cache()
    with jax.enable_x64(True):
        flat, _ = ravel_pytree(jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), point))
        check.finite_array("point", flat)
        if not flat.size:
            raise ConfigError("point must hold at least one number.")
        structure = jax.tree.structure(point)
        shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(point))
        settings = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), arguments)
        shape = getattr(jax.eval_shape(loss, jax.tree.map(jnp.asarray, point), *settings), "shape", None)
        if shape != ():
            raise ConfigError(f"loss must give one number, got shape {shape}.")
        value, slope, hessian = _derivatives(flat, settings, loss=loss, structure=structure, shapes=shapes)
        if not np.all(np.isfinite(hessian)) or not np.isfinite(value):
            raise ConfigError("loss must be finite at the point, with finite derivatives.")
        gradient_at = partial(_gradient, settings=settings, loss=loss, structure=structure, shapes=shapes)
        kinked = has_kink(lambda x: np.asarray(gradient_at(x)), np.asarray(flat), np.asarray(hessian))
    return judged(np.asarray(flat), np.asarray(slope), np.asarray(hessian), symmetries, dead, kinked=kinked)


def judged(
    point: np.ndarray, gradient: np.ndarray, hessian: np.ndarray, symmetries: Any = (), dead: Any = (), *, kinked: bool
) -> Curvature:
    """The `Curvature` that a gradient (d,) and a Hessian (d, d) at a flat point (d,) add up to."""
    d = len(gradient)
    tangents, dead_directions = (_checked(name, t, d) for name, t in (("symmetries", symmetries), ("dead", dead)))
    eigenvalues = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    largest, length = np.abs(eigenvalues).max(), max(float(np.linalg.norm(point)), 1.0)
    slope = float(np.linalg.norm(gradient))
    # Along a symmetry the Hessian bends by what is left of the gradient, over the radius of the orbit.
    floor = max(ROUNDING * d * largest, slope / length, np.finfo(float).tiny)
    sizes = np.maximum(np.sort(np.abs(eigenvalues))[::-1], floor)
    ratios = np.concatenate([sizes[:-1] / sizes[1:], sizes[-1:] / floor])
    rank = int(np.argmax(ratios)) + 1 if largest > floor else 0
    gap = float(ratios[rank - 1]) if rank else 1.0
    counted = np.abs(eigenvalues) >= sizes[rank - 1] if rank else np.zeros(d, bool)
    index = int(np.sum(eigenvalues[counted] < 0))
    flat_enough = FLAT * largest + 10 * floor
    symmetry_modes = _flat_directions(hessian, tangents, flat_enough)
    dead_modes = _flat_directions(hessian, np.concatenate([tangents, dead_directions]), flat_enough) - symmetry_modes
    explained = symmetry_modes + dead_modes
    flags = []
    if index or slope > STATIONARY * max(largest * length, np.finfo(float).tiny):
        flags.append(NO_MINIMUM)
    if gap < CLEAR_GAP and largest > 0:
        flags.append(UNCLEAR_RANK)
    if d - rank > explained:
        flags.append(UNEXPLAINED)
    if kinked:
        flags.append(AT_KINK)
    coefficient = np.nan if flags else rank / 2
    if len(dead_directions):
        flags.append(DEAD)
    return Curvature(
        eigenvalues, rank, index, d - rank, symmetry_modes, dead_modes, gap, slope, coefficient, tuple(flags)
    )


def rank_at(eigenvalues: Any, threshold: float) -> int:
    """How many eigenvalues are larger than `threshold` times the largest, by size.

    >>> rank_at([1e-12, 0.1, 1.0], 1e-6)
    2
    """
    sizes = np.abs(np.asarray(eigenvalues, float))
    return int(np.sum(sizes > threshold * sizes.max(initial=0)))


def _checked(name: str, tangents: Any, d: int) -> np.ndarray:
    array = np.asarray(tangents, float).reshape(-1, d) if np.size(tangents) == 0 else np.asarray(tangents, float)
    if array.ndim != 2 or array.shape[1] != d or not np.isfinite(array).all():
        raise ConfigError(f"{name} must be finite vectors in rows, (k, {d}), got shape {array.shape}.")
    return array


def _flat_directions(hessian: np.ndarray, directions: np.ndarray, flat_enough: float) -> int:
    """Independent directions that the Hessian takes to nothing, among the span of `directions` (k, d)."""
    if not len(directions):
        return 0
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    usable = directions[lengths[:, 0] > 1e-9] / lengths[lengths[:, 0] > 1e-9]
    if not len(usable):
        return 0
    _, sizes, basis = np.linalg.svd(usable, full_matrices=False)
    basis = basis[sizes > 1e-6]  # numerically independent ones
    return int(np.sum(np.linalg.svd(hessian @ basis.T, compute_uv=False) <= flat_enough)) if len(basis) else 0


def has_kink(gradient: Callable[[np.ndarray], np.ndarray], point: np.ndarray, hessian: np.ndarray) -> bool:
    """Whether the slope of the gradient jumps at the point: seen from both sides, along random directions."""
    scale = np.abs(np.linalg.eigvalsh(hessian)).max()
    if scale == 0:
        return False
    middle = gradient(point)
    random = np.random.default_rng(0).standard_normal((DIRECTIONS, len(point)))
    for direction in random / np.linalg.norm(random, axis=1, keepdims=True):  # a kink shows in all but those along it
        near = np.abs(_bend(gradient, point, middle, NEAR_STEP * direction)).max() / NEAR_STEP
        if near > KINK * scale:  # the far step is asked only if the near one shows something
            far = np.abs(_bend(gradient, point, middle, FAR_STEP * direction)).max() / FAR_STEP
            if near > SHRINKS * far:
                return True
    return False


def _bend(gradient: Callable[[np.ndarray], np.ndarray], point: np.ndarray, middle: np.ndarray, step: np.ndarray) -> Any:
    """How much more the gradient changes one step ahead than one step behind."""
    return gradient(point + step) + gradient(point - step) - 2 * middle


def _rebuilt(flat: Any, structure: Any, shapes: tuple[tuple[int, ...], ...]) -> Any:
    sizes = [int(np.prod(shape)) for shape in shapes]
    parts = jnp.split(flat, np.cumsum(sizes)[:-1].tolist())
    return jax.tree.unflatten(structure, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])


@partial(jax.jit, static_argnames=("loss", "structure", "shapes"))
def _derivatives(flat: Any, settings: Any, *, loss: Any, structure: Any, shapes: Any) -> Any:
    def at(x: Any) -> Any:
        return loss(_rebuilt(x, structure, shapes), *settings)

    return at(flat), jax.grad(at)(flat), jax.hessian(at)(flat)


@partial(jax.jit, static_argnames=("loss", "structure", "shapes"))
def _gradient(flat: Any, settings: Any, *, loss: Any, structure: Any, shapes: Any) -> Any:
    return jax.grad(lambda x: loss(_rebuilt(x, structure, shapes), *settings))(flat)
