r"""One feature active at a time: the posterior itself, sampled, for many numbers of data at once.

The density is $\propto \varphi(w)\,e^{-n \beta L(w)}$ with the exact loss L (the sum over features) in place of the mean over
n samples, and a normal prior φ of standard deviation `prior_std` on every weight and bias. A ladder of chains, one per number
of data, moves by the Metropolis-adjusted Langevin algorithm; neighbours on the ladder offer each other their states (Swendsen
and Wang 1986, [doi:10.1103/PhysRevLett.57.2607](https://doi.org/10.1103/PhysRevLett.57.2607)). So chains at many data, which
never leave a minimum by themselves, see every one. Many ladders run side by side; how they differ is the error.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from superpos import check
from superpos.cache import use_compilation_cache
from superpos.data import MAX_FEATURES
from superpos.errors import ConfigError

REPRESENTED = 0.5  # a feature counts whose output at magnitude 1, ‖W_i‖² + b_i, is above this
ACCEPTED = 0.6  # share of Langevin steps that the step size aims at, best for large dimensions at .57
ADAPTATION = 0.02  # change of log step size per step and unit of difference, while it is adapted
FIRST_STEP = 0.5  # step size at n β = 1

State = Float[Array, "rungs ladders parameters"]


def posterior_shares(
    n_features: int,
    n_data: Any,
    *,
    n_hidden: int = 2,
    beta: float = 1.0,
    prior_std: float = 1.0,
    ladders: int = 48,
    steps: int = 12_000,
    seed: int = 0,
) -> xr.Dataset:
    r"""How much of the posterior represents how many features, for every number of data.

    `n_data` rises; neighbours should differ by a fifth to a quarter of themselves. Over `n_data` and `represented`, 0 to
    n_features: `share` of the posterior with that many features whose output reaches half of its magnitude
    ($\|W_i\|^2 + b_i > 1/2$), and `error`, its standard error over independent ladders. Over `n_data`: mean `loss`, and the
    shares of Langevin steps and of exchanges (with the next number of data) that were accepted.

    The first quarter of `steps` adapts step sizes and is not counted.

    Raises:
        ConfigError: a number is not allowed, or `n_data` does not rise.
    """
    check.integer("n_features", n_features, at_least=2, at_most=MAX_FEATURES)
    check.integer("n_hidden", n_hidden, at_least=1, at_most=MAX_FEATURES)
    check.in_range("n_data", n_data, at_least=1)
    data = np.asarray(n_data, np.float64)
    if data.ndim != 1 or len(data) < 2 or np.any(np.diff(data) <= 0):
        raise ConfigError("n_data must be a rising vector of two numbers of data or more.")
    check.number("beta", beta, above=0)
    check.number("prior_std", prior_std, above=0)
    check.integer("ladders", ladders, at_least=2)
    check.integer("steps", steps, at_least=8)
    check.integer("seed", seed)
    use_compilation_cache()
    shape = (int(n_hidden), int(n_features))
    key = jax.random.key(seed)
    energies = jnp.asarray(data * beta, jnp.float32)
    counts, losses, accepted, exchanged = jax.tree.map(
        np.asarray, _walk(key, energies, prior_std, shape=shape, ladders=int(ladders), steps=int(steps))
    )
    shares = counts / counts.sum(axis=-1, keepdims=True)  # (rungs, ladders, n_features + 1)
    dims = ("n_data", "represented")
    columns = {
        "share": (dims, shares.mean(axis=1)),
        "error": (dims, shares.std(axis=1, ddof=1) / np.sqrt(ladders)),
        "loss": ("n_data", losses.mean(axis=1)),
        "accepted": ("n_data", accepted),
        "exchanged": ("n_data", exchanged),
    }
    attrs = {"n_features": shape[1], "beta": float(beta), "prior_std": float(prior_std), "ladders": int(ladders)}
    attrs |= {"steps": int(steps), "seed": int(seed), "loss": "sum over features"}
    return xr.Dataset(columns, {"n_data": data, "represented": np.arange(shape[1] + 1)}, attrs)


def half_way(table: xr.Dataset, represented: int) -> float:
    """Number of data at which `represented` features or more are as likely as fewer, between two of the table; or NaN.

    The logarithm of the odds is interpolated over the logarithm of the number of data.
    """
    more = table["share"].sel(represented=slice(represented, None)).sum("represented").values.astype(np.float64)
    n = np.log(table["n_data"].values)
    inside = np.clip(more, 1e-9, 1 - 1e-9)
    odds = np.log(inside / (1 - inside))
    last = np.flatnonzero((odds[:-1] < 0) & (odds[1:] >= 0))
    if not len(last):
        return float("nan")
    k = int(last[-1])
    return float(np.exp(n[k] - odds[k] * (n[k + 1] - n[k]) / (odds[k + 1] - odds[k])))


def one_active_loss(x: Float[Array, "*many parameters"], shape: tuple[int, int]) -> Float[Array, "*many"]:
    """Loss (sum over features) of flattened W, b on the last axis, for any leading ones: `superpos.theory.single_active`."""
    m, n = shape
    W, b = x[..., : m * n].reshape(*x.shape[:-1], m, n), x[..., m * n :]
    s = jnp.sum(W[..., :, :, None] * W[..., :, None, :], axis=-3)
    o = jnp.broadcast_to(b[..., :, None], s.shape)
    crosses = jnp.abs(s) > jnp.abs(o)
    root = jnp.clip(-o / jnp.where(crosses, s, 1), 0, 1)
    low, high = jnp.where(crosses & (s > 0), root, 0), jnp.where(crosses & (s < 0), root, 1)
    P0, P1, P2 = (jnp.where(crosses | (o > 0), (high**k - low**k) / k, 0) for k in (1, 2, 3))
    squared = s**2 * P2 + 2 * s * o * P1 + o**2 * P0
    own = jnp.where(np.eye(n, dtype=bool), 1 / 3 - 2 * (s * P2 + o * P1), 0)
    return jnp.sum(squared + own, axis=(-1, -2)) / n


class _Walkers(NamedTuple):
    """Where every chain is, with the loss there and its slope; and the logarithm of the step size of every rung."""

    x: State
    loss: Array  # (rungs, ladders)
    slope: State  # of the loss
    log_step: Array  # (rungs,)


@partial(jax.jit, static_argnames=("shape", "ladders", "steps"))
def _walk(key: Any, energies: Array, prior_std: Any, *, shape: tuple[int, int], ladders: int, steps: int) -> Any:
    m, n = shape
    rungs, warm = len(energies), steps // 4
    precision = 1 / prior_std**2

    def at(x: State) -> tuple[Array, State]:
        (_, loss), slope = jax.value_and_grad(
            lambda y: (jnp.sum(one_active_loss(y, shape)), one_active_loss(y, shape)), has_aux=True
        )(x)
        return loss, slope

    def step(carry: Any, k: Any) -> tuple[Any, None]:
        walkers, counts, losses, accepted, exchanged = carry
        keys = jax.random.split(jax.random.fold_in(key, k), 3)
        walkers, moved = _langevin(walkers, energies, precision, keys[0], keys[1], at)
        log_step = walkers.log_step + jnp.where(k < warm, ADAPTATION * (moved - ACCEPTED), 0)
        walkers, swapped = _exchange(walkers._replace(log_step=log_step), energies, k % 2, keys[2])
        counted = jnp.where(k < warm, 0.0, 1.0)
        W, b = walkers.x[..., : m * n].reshape(rungs, ladders, m, n), walkers.x[..., m * n :]
        represented = jnp.sum(jnp.sum(W**2, axis=-2) + b > REPRESENTED, axis=-1)
        counts += counted * jax.nn.one_hot(represented, n + 1)
        share = counted / (steps - warm)
        return (
            walkers,
            counts,
            losses + share * walkers.loss,
            accepted + share * moved,
            exchanged + 2 * share * swapped,
        ), None

    start = 0.5 * prior_std * jax.random.normal(jax.random.fold_in(key, steps), (rungs, ladders, m * n + n))
    loss, slope = at(start)
    walkers = _Walkers(start, loss, slope, jnp.log(FIRST_STEP / energies))
    zero = jnp.zeros((rungs, ladders))
    first = (walkers, jnp.zeros((rungs, ladders, n + 1)), zero, zero[:, 0], zero[:, 0])
    (_, *sums), _ = jax.lax.scan(step, first, jnp.arange(steps))
    return sums


def _langevin(
    walkers: _Walkers, energies: Array, precision: Any, noise_key: Any, key: Any, at: Any
) -> tuple[_Walkers, Array]:
    """One Langevin step of every chain, accepted as Metropolis says; and the share accepted on every rung."""
    x, loss, slope, log_step = walkers
    size, n = jnp.exp(log_step)[:, None, None], energies[:, None]

    def pull(place: State, slope_there: State) -> State:
        return n[..., None] * slope_there + precision * place

    def surprise(to: State, origin: State, force: State) -> Array:
        return jnp.sum((to - origin + size * force) ** 2, axis=-1) / (4 * size[..., 0])

    force = pull(x, slope)
    y = x - size * force + jnp.sqrt(2 * size) * jax.random.normal(noise_key, x.shape)
    loss_y, slope_y = at(y)
    energy, energy_y = (
        n * value + precision / 2 * jnp.sum(place**2, axis=-1) for value, place in ((loss, x), (loss_y, y))
    )
    log_ratio = energy - energy_y - surprise(x, y, pull(y, slope_y)) + surprise(y, x, force)
    taken = jnp.log(jax.random.uniform(key, loss.shape)) < log_ratio
    moved = _Walkers(
        jnp.where(taken[..., None], y, x),
        jnp.where(taken, loss_y, loss),
        jnp.where(taken[..., None], slope_y, slope),
        log_step,
    )
    return moved, jnp.mean(taken, axis=1)


def _exchange(walkers: _Walkers, energies: Array, parity: Any, key: Any) -> tuple[_Walkers, Array]:
    """Neighbouring rungs exchange states, those of even or of odd number with the next one; and the shares that did."""
    rungs, ladders = walkers.loss.shape
    rung = jnp.arange(rungs)
    partner = jnp.where((rung - parity) % 2 == 0, rung + 1, rung - 1)
    partner = jnp.where((partner < 0) | (partner >= rungs), rung, partner)
    gain = (energies - energies[partner])[:, None] * (walkers.loss - walkers.loss[partner])
    draw = jnp.log(jax.random.uniform(key, (rungs, ladders)))[jnp.minimum(rung, partner)]  # one for both
    swap = (draw < gain) & (rung != partner)[:, None]

    def exchanged(values: Array) -> Array:
        return jnp.where(swap.reshape(*swap.shape, *(1,) * (values.ndim - 2)), values[partner], values)

    upward = jnp.where((partner > rung)[:, None], swap, False)
    moved = walkers._replace(x=exchanged(walkers.x), loss=exchanged(walkers.loss), slope=exchanged(walkers.slope))
    return moved, jnp.mean(upward, axis=1)
