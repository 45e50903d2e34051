r"""The Fourier analysis of a model that adds modulo p: what it learned, and how far it had come at a point of training.

The basis of functions on Z_p is 1/√p, then √(2/p) cos w_k a and √(2/p) sin w_k a with w_k = 2πk/p, k = 1 … (p − 1)/2.
Functions of pairs are rows a·p + b of arrays, logits have shape (p², p), neurons (p², d_mlp). Everything is computed in
double precision. Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability".
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from superpos import arrays, check
from superpos.errors import ConfigError

# A frequency is key if it holds this share of the non-constant energy of the neuron-to-logit map.
KEY_SHARE = 0.02
# A neuron is of one frequency if that frequency explains more than this share of its variance.
SINGLE = 0.85


def fourier_basis(p: int) -> np.ndarray:
    """Orthonormal rows 1, cos 1, sin 1, cos 2, sin 2, …: (p, p); row 2k − 1 is cos w_k, row 2k is sin w_k. p is odd."""
    check.integer("p", p, at_least=3)
    if p % 2 == 0:
        raise ConfigError(f"p must be odd, got {p}.")
    angle = 2 * np.pi * np.outer(np.arange(1, (p + 1) // 2), np.arange(p)) / p
    basis = np.full((p, p), p**-0.5)
    basis[1::2], basis[2::2] = (2 / p) ** 0.5 * np.cos(angle), (2 / p) ** 0.5 * np.sin(angle)
    return basis


def spectrum(x: Any) -> np.ndarray:
    """Energy of functions on Z_p by frequency 0 … (p − 1)/2, summed over the columns of `x` (p, n): ‖F x‖² in pairs.

    For the embedding x = W_E without "="; for the neuron-to-logit map x = (W_out W_U)ᵀ, (p, d_mlp).
    """
    x = _array("x", x, 2)
    energy = np.sum((fourier_basis(len(x)) @ x) ** 2, axis=1)
    return np.concatenate([energy[:1], energy[1::2] + energy[2::2]])


def key_frequencies(neuron_to_logit: Any, share: float = KEY_SHARE) -> np.ndarray:
    """Frequencies that hold at least `share` of the non-constant energy of W_L = W_out W_U, (d_mlp, p)."""
    energy = spectrum(_array("neuron_to_logit", neuron_to_logit, 2).T)[1:]
    return np.flatnonzero(energy >= share * energy.sum()) + 1


def gini(values: Any) -> float:
    """Gini coefficient of numbers that are not negative: 0 if all are equal, (n − 1)/n if all but one are 0."""
    x = np.sort(_array("values", values, 1))
    total = x.sum()
    return float((2 * np.arange(1, len(x) + 1) - len(x) - 1) @ x / (len(x) * total)) if total > 0 else 0.0


def key_plane(embedding: Any, frequency: int) -> np.ndarray:
    """Embeddings (p, d_model) without their mean, in the plane where they turn with `frequency`, (p, 2).

    The plane is spanned by what cos w_k and sin w_k pick out of the embedding, orthogonalised in this order.
    """
    x = _array("embedding", embedding, 2)
    check.integer("frequency", frequency, at_least=1, at_most=(len(x) - 1) // 2)
    spanning = fourier_basis(len(x))[2 * frequency - 1 : 2 * frequency + 1] @ x
    return (x - x.mean(axis=0)) @ np.linalg.qr(spanning.T)[0]


class NeuronFrequencies(NamedTuple):
    """For every neuron, the frequency that explains most of it, and which share of its variance that is; (d_mlp,)."""

    frequency: np.ndarray
    explained: np.ndarray


def neuron_frequencies(neurons: Any) -> NeuronFrequencies:
    """The largest block {1, cos w_k, sin w_k}² of the 2-D Fourier transform of every centred neuron; `neurons` (p², d_mlp).

    A neuron that never changes has the share 0.
    """
    x = _array("neurons", neurons, 2)
    energy = _pair_transform(x) ** 2
    rounding = 1e-20 * energy.sum(axis=(0, 1))
    energy[0, 0] = 0
    p = len(energy)
    c, s = np.arange(1, p, 2), np.arange(2, p, 2)
    parts = [energy[i, j] for i in (0 * c, c, s) for j in (0 * c, c, s)]  # the constant is 0
    block = np.sum(parts, axis=0)  # (frequency, neuron)
    total = energy.sum(axis=(0, 1))
    return NeuronFrequencies(block.argmax(axis=0) + 1, block.max(axis=0) / np.where(total > rounding, total, np.inf))


def waves(p: int, frequencies: Any, sign: int = 1) -> np.ndarray:
    """Orthonormal columns cos w_k(a + b), sin w_k(a + b) for every key k, (p², 2K); of a − b with `sign` = −1."""
    a, b = np.divmod(np.arange(p * p), p)
    angle = 2 * np.pi * np.outer(a + sign * b, np.atleast_1d(frequencies)) / p
    return np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(p * p, -1) * 2**0.5 / p


def kept_frequencies(logits: Any, frequencies: Any) -> np.ndarray:
    """Logits (p², p) of which only the mean over pairs and the waves cos, sin w_k(a + b) are left: two directions per k."""
    z = _array("logits", logits, 2)
    u = waves(z.shape[1], frequencies)
    return z.mean(axis=0) + u @ (u.T @ z)


def removed_frequencies(logits: Any, frequencies: Any) -> np.ndarray:
    """Logits (p², p) without the waves cos, sin w_k(a + b): what `kept_frequencies` keeps, but for the mean, is gone."""
    z = _array("logits", logits, 2)
    u = waves(z.shape[1], frequencies)
    return z - u @ (u.T @ z)


def trig_logits(p: int, frequencies: Any, amplitudes: Any = 1.0) -> np.ndarray:
    """The logits Σ_k α_k cos w_k(a + b − c) of the algorithm, (p², p)."""
    k = np.atleast_1d(np.asarray(frequencies))
    total = np.add.outer(np.arange(p), np.arange(p)).ravel()
    angle = 2 * np.pi * np.subtract.outer(total, np.arange(p))[..., None] * k / p
    return np.cos(angle) @ np.broadcast_to(np.asarray(amplitudes, float), k.shape)


def trig_fit(logits: Any, frequencies: Any) -> tuple[np.ndarray, float]:
    """Amplitudes α_k of `trig_logits` by least squares, and the share they explain of the centred logits' variance.

    Logits are centred over the answers c, which no probability notices, and over all pairs.
    """
    z = _array("logits", logits, 2)
    z = z - z.mean(axis=1, keepdims=True)
    z = z - z.mean()
    p, k = z.shape[1], np.atleast_1d(np.asarray(frequencies))
    parts = np.stack([np.sum(trig_logits(p, f) * z) for f in k]) / (p**3 / 2)  # the waves are orthogonal
    total = np.sum(z**2)
    return parts, float(np.sum(parts**2) * p**3 / 2 / total) if total > 0 else 0.0


class Score(NamedTuple):
    """How logits answer."""

    loss: float  # mean −log softmax
    accuracy: float


def score(logits: Any, answers: Any, chosen: Any = slice(None)) -> Score:
    """Loss and accuracy of logits (p², p) on the `chosen` pairs, accurate however small the loss is."""
    z, answers = _array("logits", logits, 2)[chosen], np.asarray(answers)[chosen]
    true_logits = z[np.arange(len(z)), answers]
    margin = z - true_logits[:, None]
    margin[np.arange(len(z)), answers] = -np.inf
    loss = np.logaddexp(0, logsumexp(margin, axis=1))
    return Score(float(loss.mean()), float(np.mean(z.argmax(axis=1) == answers)))


class Phases(NamedTuple):
    """Where one phase of training gives way to the next, as numbers of steps; NaN for what never came."""

    memorised: float  # end of memorisation: the excluded loss is least
    circuit: float  # end of circuit formation: the test loss falls below half its maximum for good
    clean: float  # end of the clean-up: the test accuracy reaches 99.9 % for good


def phases(steps: Any, excluded_loss: Any, test_loss: Any, test_accuracy: Any) -> Phases:
    """Phases from the progress measures at `steps`, all (n_points,).

    While the model memorises, the excluded loss, on training pairs without the key frequencies, falls with the training
    loss. It rises as the circuit takes over, while the test loss stays high. Clean-up removes what was memorised, and the
    test loss falls.
    """
    t, excluded, test = (
        _array(n, v, 1)
        for n, v in zip(["steps", "excluded_loss", "test_loss"], (steps, excluded_loss, test_loss), strict=True)
    )
    accuracy = _array("test_accuracy", test_accuracy, 1)
    high, wrong = test >= test.max() / 2, accuracy < 0.999

    def after(mask: np.ndarray) -> int:
        return int(np.flatnonzero(mask)[-1]) + 1 if mask.any() else 0

    circuit, clean = after(high), after(wrong)
    least = int(excluded[: circuit + 1].argmin())
    return Phases(*(float(t[k]) if k < len(t) else float("nan") for k in (least, circuit, clean)))


def _pair_transform(x: np.ndarray) -> np.ndarray:
    """Coefficients of functions of pairs (p², n) in products of the basis, (p, p, n)."""
    p = round(len(x) ** 0.5)
    if p * p != len(x):
        raise ConfigError(f"functions of pairs must have p² rows, got {len(x)}.")
    F = fourier_basis(p)
    return np.einsum("ia,abn->ibn", F, np.einsum("jb,abn->ajn", F, x.reshape(p, p, -1), optimize=True), optimize=True)


def _array(name: str, value: Any, ndim: int) -> np.ndarray:
    array = arrays.as_numpy(name, value, empty=True).astype(np.float64)
    if array.ndim != ndim or 0 in array.shape:
        raise ConfigError(f"{name} must have {ndim} axes and some numbers, got shape {array.shape}.")
    return array
