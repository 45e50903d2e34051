"""Many chains of many points: blocks of one size, all with one compiled program.

A chain depends on its point, its settings and its number alone: every call runs the same program on as many chains, the last
one filled up with copies. So it has the same bytes alone and among any others, however many cores there are.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from superpos.cache import use_compilation_cache
from superpos.landscapes import steps
from superpos.landscapes.chain import Target, Trace, run_chain
from superpos.landscapes.sampling import Sampling

# Chains that one call runs: of a task, and of a loss of one's own, which is likely to be small. Measured on two cores: a
# gradient of 6→2 costs 12 μs with 8 at once, 11 with 16 or 32, 13 with 128; one of three parameters costs .06 μs with 64.
AT_ONCE, OWN_AT_ONCE = 8, 64


class Points(NamedTuple):
    """Where chains begin: points in rows, and what the loss needs to know of each of them."""

    w: np.ndarray  # (n_points, d)
    given: Any  # a pytree whose leaves lead with n_points; () if there is nothing to know


# loss(w, given, key) -> a number. `key` is None for methods that need the loss itself.
Loss = Callable[[Any, Any, Any], Any]


def sample(loss: Loss, points: Points, sampling: Sampling, *, at_once: int = AT_ONCE) -> Trace:
    """The traces of all chains around all points; every leaf leads with (n_points, chains).

    Chain k has the key `fold_in(key(seed), k)` at every point: points are compared on the same draws.
    """
    n_points, n_chains = len(points.w), sampling.chains
    use_compilation_cache()
    keys = _chain_keys(sampling.seed, np.arange(n_chains, dtype=np.uint32))
    step_size = _step_sizes(loss, points, sampling, at_once)
    point_of, chain_of = (index.ravel() for index in np.indices((n_points, n_chains)))
    missing = -len(point_of) % at_once
    point_of, chain_of = (np.concatenate([index, index[:1].repeat(missing)]) for index in (point_of, chain_of))
    numbers = (np.float32(sampling.nbeta), np.float32(sampling.gamma), sampling.warmup, sampling.steps)
    run = partial(_run_block, loss=loss, method=sampling.method, draws=sampling.draws)

    def call(k: int) -> Trace:
        rows, chains = point_of[k : k + at_once], chain_of[k : k + at_once]
        of_point = jax.tree.map(lambda leaf: leaf[rows], (points.w, points.given, step_size))
        return jax.tree.map(np.asarray, run(*of_point, keys[chains], *numbers))

    traces = _side_by_side(call, range(0, len(point_of), at_once))
    return jax.tree.map(
        lambda *leaves: np.concatenate(leaves)[: n_points * n_chains].reshape(n_points, n_chains, *leaves[0].shape[1:]),
        *traces,
    )


def _side_by_side(call: Callable[[int], Any], starts: range) -> list[Any]:
    """All calls in order; the first alone, since it compiles, then as many at once as there are cores."""
    first = call(starts[0])
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [first, *pool.map(call, starts[1:])]


@jax.jit
def _chain_keys(seed: Any, chains: Any) -> Any:
    return jax.vmap(lambda k: jax.random.fold_in(jax.random.key(seed), k))(chains)


@partial(jax.jit, static_argnames=("loss", "method", "draws"))
def _run_block(
    w: Any,
    given: Any,
    step_size: Any,
    keys: Any,
    nbeta: Any,
    gamma: Any,
    warmup: Any,
    steps: Any,
    *,
    loss: Loss,
    method: str,
    draws: int,
) -> Trace:
    def one_chain(w: Any, given: Any, step_size: Any, key: Any) -> Trace:
        prepared = getattr(loss, "prepared", lambda given: given)(given)
        target = Target(lambda x, k: loss(x, prepared, k), w, nbeta, gamma, step_size)
        return run_chain(target, key, warmup, steps, method=method, draws=draws)

    return jax.vmap(one_chain)(w, given, step_size, keys)  # the only vmap over chains


def _step_sizes(loss: Loss, points: Points, sampling: Sampling, at_once: int) -> np.ndarray:
    """ε of every point (n_points,), NaN where the warm-up chooses it."""
    n_points = len(points.w)
    if sampling.step_size is not None or sampling.method == "hmc":
        value = np.nan if sampling.step_size is None else sampling.step_size
        return np.full(n_points, value, np.float32)
    rows = np.concatenate([np.arange(n_points), np.zeros(-n_points % at_once, int)])
    key = jax.random.fold_in(jax.random.key(sampling.seed), 2**32 - 1)  # no chain has this number
    numbers = (np.float32(sampling.nbeta), np.float32(sampling.gamma))

    def call(k: int) -> Any:
        of_point = jax.tree.map(lambda leaf: leaf[rows[k : k + at_once]], (points.w, points.given))
        return np.asarray(_chosen_steps(*of_point, key, *numbers, loss=loss, exact=sampling.exact))

    return np.concatenate(_side_by_side(call, range(0, len(rows), at_once)))[:n_points]


@partial(jax.jit, static_argnames=("loss", "exact"))
def _chosen_steps(w: Any, given: Any, key: Any, nbeta: Any, gamma: Any, *, loss: Loss, exact: bool) -> Any:
    def at_one(w: Any, given: Any) -> Any:
        prepared = getattr(loss, "prepared", lambda given: given)(given)
        return steps.chosen(lambda x, k: loss(x, prepared, k), w, None if exact else key, nbeta, gamma)

    return jax.vmap(at_one)(jnp.asarray(w), given)
