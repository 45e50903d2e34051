"""How well a linear reading of a hidden layer tells features, when taught: which are active, and how large a number is."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from superpos import arrays
from superpos.errors import ConfigError

STEPS, LEARNING_RATE = 2_000, 0.03


def linear_probe_f1(h: Any, x: Any) -> np.ndarray:
    r"""F1 of a linear detector of every feature that was taught the truth, (n_features,).

    A logistic regression $\sigma(w_i \cdot h + c_i)$ is fitted to "$x_i \ne 0$" for each feature, with the truth as its
    teacher, by Adam on the first half of the inputs. On the second half a threshold of its own is chosen for each feature:
    the one that makes F1 largest there, which flatters the probe a little. An autoencoder whose latents are a linear
    function of h and a threshold (ReLU, Gated, JumpReLU, and BatchTopK after training) can hardly read more out of h; one
    whose latents compete for each input (TopK) may. NaN for features that are never active in the second half.

    Args:
        h: hidden layer, (n_hidden, N).
        x: features, (n_features, N).

    Raises:
        ConfigError: N differs, is less than 2, or a number is not finite.
    """
    h, x = _pair(h, x, "x")
    half = h.shape[1] // 2
    w, c = _fit(jnp.asarray(h[:, :half], float), jnp.asarray(x[:, :half] != 0, float))
    scores = np.asarray(w) @ h[:, half:] + np.asarray(c)[:, None]
    return np.array([best_f1(score, active) for score, active in zip(scores, x[:, half:] != 0, strict=True)])


def linear_probe_r2(h: Any, y: Any) -> np.ndarray:
    r"""$R^2$ of the best linear reading of every target from h, on inputs that it was not fitted to, (n_targets,).

    $w_i$ and $c_i$ minimise the squared error of $w_i \cdot h + c_i$ on the first half of the inputs, by least squares. On
    the second half

    $$R^2_i = 1 - \frac{E\,(y_i - w_i \cdot h - c_i)^2}{\mathrm{Var}\,y_i},$$

    below 0 where the mean of the targets is the better answer. Targets that are uncorrelated share what h has room for: the
    sum of their $R^2_i$ is at most the rank of h, but for what sampling adds. (The best readings are projections on the span
    of h, and the squared lengths of projections of orthonormal functions add up to at most its dimension: Bessel.) NaN for
    targets that are constant in the second half.

    >>> x = np.random.default_rng(0).normal(size=(3, 1_000))
    >>> sp.analysis.linear_probe_r2([x[0] + 1, x[1] + x[2]], x).round(1).tolist()
    [1.0, 0.5, 0.5]

    Args:
        h: hidden layer, (n_hidden, N).
        y: targets, (n_targets, N).

    Raises:
        ConfigError: N differs, is less than 2, or a number is not finite.
    """
    h, y = (np.asarray(array, np.float64) for array in _pair(h, y, "y"))
    half = h.shape[1] // 2
    centred = h - h[:, :half].mean(axis=1, keepdims=True)
    spread = centred[:, :half].std(axis=1, keepdims=True)
    centred /= np.where(spread > 0, spread, 1)  # so that a small neuron counts as a large one
    fitted, mean = centred[:, :half], y[:, :half].mean(axis=1, keepdims=True)
    inverse = np.linalg.pinv(fitted @ fitted.T, rcond=1e-9, hermitian=True)
    w = (y[:, :half] - mean) @ fitted.T @ inverse
    missed = np.mean((y[:, half:] - mean - w @ centred[:, half:]) ** 2, axis=1)
    variance = y[:, half:].var(axis=1)
    return np.where(variance > 0, 1 - missed / np.where(variance > 0, variance, 1), np.nan)


def _pair(h: Any, x: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Both as matrices with as many columns, or one sentence that names what is wrong."""
    h, x = (arrays.as_numpy(n, value, largest=arrays.MAX_WEIGHT, empty=True) for n, value in (("h", h), (name, x)))
    for n, array in (("h", h), (name, x)):
        if array.ndim != 2 or array.shape[1] < 2 or not len(array):
            raise ConfigError(f"{n} must have shape (any, N) with N at least 2, got {array.shape}.")
    if h.shape[1] != x.shape[1]:
        raise ConfigError(f"h and {name} must have as many inputs, got {h.shape[1]} and {x.shape[1]}.")
    return h, x


def best_f1(score: np.ndarray, active: np.ndarray) -> float:
    """The largest F1 of "score above a threshold" as a detector of `active`, both (N,); NaN if it is never active."""
    if not active.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(active[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + active.sum())
    last = np.append(score[order][1:] < score[order][:-1], True)  # equal scores fall on one side together
    return float(f1[last].max())


@jax.jit
def _fit(h: jax.Array, active: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weights (n_features, n_hidden) and offsets (n_features,) of logistic regressions, from rare features on."""
    rate = jnp.clip(jnp.mean(active, axis=1), 1e-6, 1 - 1e-6)
    start = (jnp.zeros((active.shape[0], h.shape[0]), h.dtype), jnp.log(rate / (1 - rate)))
    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, STEPS))

    def loss(probe: Any) -> jax.Array:
        return jnp.sum(jnp.mean(optax.sigmoid_binary_cross_entropy(probe[0] @ h + probe[1][:, None], active), axis=1))

    def step(_: Any, carry: Any) -> Any:
        updates, state = optimizer.update(jax.grad(loss)(carry[0]), carry[1])
        return optax.apply_updates(carry[0], updates), state

    return jax.lax.fori_loop(0, STEPS, step, (start, optimizer.init(start)))[0]
