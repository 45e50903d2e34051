"""Matching-pursuit autoencoders: latents are chosen one after the other, each by what those before it left over."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos.models.sae.base import PreActivations, TrainingLatents
from superpos.models.sae.registry import register_architecture
from superpos.models.sae.topk import TopK
from superpos.models.toy import FULL_PRECISION

# Coefficients up to so many roundings of an input's length are what arithmetic leaves over, and choose nothing.
ROUNDINGS = 16


@register_architecture("matching_pursuit")
class MatchingPursuit(TopK):
    r"""k steps of greedy pursuit with the decoder's own columns $d_j$, of length 1; no penalty and no encoder.

    $$r_0 = h - b_\mathrm{dec}, \qquad j_t = \arg\max_j d_j^\top r_{t-1}, \qquad c_t = \mathrm{ReLU}(d_{j_t}^\top r_{t-1}),
    \qquad r_t = r_{t-1} - c_t\,d_{j_t},$$

    and $z_j$ adds up the $c_t$ of the steps that chose j, so that $r_k = h - \hat h$: training minimises its squared length.
    Of equal ones the first is chosen, and one may be chosen again. Gradients flow through every $c_t$ and $r_t$; the choices
    have none. Residuals never grow, and $r_t$ is orthogonal to the column just chosen where $c_t > 0$. For orthonormal
    columns z is that of `TopK`.

    Only the largest positive product is chosen, as the largest is by the authors (and not the largest absolute one, as in
    Mallat and Zhang 1993): no latent is negative. k is kept as `n_active`. A decoder's lengths do not matter:
    with columns of lengths $L_j$ latent j is $z_j / L_j$.

    Costa et al. 2025, "From Flat to Hierarchical: Extracting Sparse Representations with Matching Pursuit", arXiv:2506.03093.
    """

    label = "Matching pursuit"
    color = "sky"
    encoder = False
    own_scale = True

    def latents(self, model: Any, pre: PreActivations) -> Float[Array, "n_latents batch"]:
        """Pursuit with columns of length 1, in units of the columns as they are."""
        lengths = jax.lax.stop_gradient(model.lengths)
        return pursue(model.decoder, pre.read, model.n_active[...]) / lengths.T

    def training_latents(self, model: Any, pre: PreActivations, task: Any) -> TrainingLatents:
        """Pursuit with the k of the task."""
        return TrainingLatents(pursue(model.decoder, pre.read, task.k), None)


class Steps(NamedTuple):
    """What pursuit did, for the way back; row t of `chosen` and `coefficients` is step t."""

    z: Float[Array, "n_latents batch"]
    residual: Float[Array, "n_hidden batch"]
    chosen: Any  # (n_latents, batch), whole numbers
    coefficients: Float[Array, "n_latents batch"]


@jax.custom_vjp
def pursue(
    D: Float[Array, "n_hidden n_latents"], h: Float[Array, "n_hidden batch"], k: Float[Array, ""]
) -> Float[Array, "n_latents batch"]:
    r"""The latents of k steps of pursuit of every column of h, with columns of D of length 1, or 0 for those never chosen.

    k may be traced, up to n_latents. The gradient is that of the steps with their choices held fixed: with $\lambda$ that of
    z and $\rho_k = 0$, backwards

    $$\gamma_t = \lambda_{j_t} - d_{j_t}^\top \rho_t, \qquad \rho_{t-1} = \rho_t + \gamma_t d_{j_t}, \qquad
    \dot d_{j_t} \mathrel{+}= \gamma_t r_{t-1} - c_t \rho_t,$$

    where $c_t > 0$, and $\rho_0$ is that of h. Residuals are computed anew from the last one backwards.
    """
    return _steps(D, h, k).z


def _steps(D: Float[Array, "n_hidden n_latents"], h: Float[Array, "n_hidden batch"], k: Float[Array, ""]) -> Steps:
    number = jnp.arange(D.shape[1])[:, None]
    least = ROUNDINGS * jnp.finfo(h.dtype).eps * jnp.linalg.norm(h, axis=0, keepdims=True)

    def step(state: tuple[Array, Steps]) -> tuple[Array, Steps]:
        t, done = state
        along = jnp.dot(D.T, done.residual, precision=FULL_PRECISION)
        largest = jnp.max(along, axis=0, keepdims=True)
        chosen = jnp.min(jnp.where(along == largest, number, D.shape[1] - 1), axis=0, keepdims=True)
        coefficient = jnp.where(largest > least, largest, 0.0)
        added = jnp.where(number == chosen, coefficient, 0.0)
        after = Steps(
            done.z + added,
            done.residual - coefficient * D[:, chosen[0]],
            jnp.where(number == t, chosen, done.chosen),
            jnp.where(number == t, coefficient, done.coefficients),
        )
        return t + 1, after

    zeros = jnp.zeros((D.shape[1], h.shape[1]), h.dtype)
    start = Steps(zeros, h, jnp.broadcast_to(jnp.zeros_like(number), zeros.shape), zeros)
    return jax.lax.while_loop(lambda state: state[0] < k, step, (jnp.zeros((), number.dtype), start))[1]


def _forward(D: Array, h: Array, k: Array) -> tuple[Array, tuple[Array, Steps, Array]]:
    steps = _steps(D, h, k)
    return steps.z, (D, steps, k)


def _backward(saved: tuple[Array, Steps, Array], cotangent: Array) -> tuple[Array, Array, Array]:
    D, steps, k = saved
    number = jnp.arange(D.shape[1])[:, None]

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        t, residual, to_residual, to_D = state
        coefficient, chosen = steps.coefficients[t][None], steps.chosen[t][None]
        place, column = number == chosen, D[:, chosen[0]]
        before = residual + coefficient * column
        along = jnp.sum(jnp.where(place, cotangent, 0.0), axis=0, keepdims=True)
        along = along - jnp.sum(column * to_residual, axis=0, keepdims=True)
        to_coefficient = jnp.where(coefficient > 0, along, 0.0)
        to_column = to_coefficient * before - coefficient * to_residual
        to_D = to_D + jnp.dot(to_column, place.astype(D.dtype).T, precision=FULL_PRECISION)
        return t - 1, before, to_residual + to_coefficient * column, to_D

    last = jnp.asarray(jnp.ceil(k), number.dtype) - 1
    start = (last, steps.residual, jnp.zeros_like(steps.residual), jnp.zeros_like(D))
    _, _, to_h, to_D = jax.lax.while_loop(lambda state: state[0] >= 0, step, start)
    return to_D, to_h, jnp.zeros_like(k)


pursue.defvjp(_forward, _backward)
