"""Questions of `demos/05_taking_features_back_out`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superpos.analysis.baselines import count_activity, detection, mean_known
from superpos.analysis.matching import cosines, match
from superpos.demos.question import Question, Verdict, near

DRAWS = 4_000  # of random dictionaries
GUESS = 0.08  # by which a guessed cosine may be off
FOUND = 0.95  # cosine from which a direction counts as found
READ = 0.9  # F1 from which features count as read


def _random_cosine(answer: Any, directions: Any) -> Verdict:
    """The mean cosine of a true direction with the best of as many random ones, over many draws."""
    guess = float(answer)
    if not -1 <= guess <= 1:
        raise ValueError("a cosine")
    W = np.asarray(directions, float)
    W = W / np.linalg.norm(W, axis=0)
    D = np.random.default_rng(0).standard_normal((DRAWS, *W.shape))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    measured = float(np.mean(np.max(np.einsum("mi,kmj->kij", W, D), axis=2)))
    if abs(guess - measured) <= GUESS:
        return Verdict(True, f"{measured:.2f}, the mean over {DRAWS:,} random dictionaries.")
    return Verdict(
        False, f"it is {'more' if measured > guess else 'less'}. How far away is the nearest of so many arrows?"
    )


def _all_found(decoder: Any, directions: Any) -> Verdict:
    """Whether every true direction has a latent of its own close by."""
    D, W = np.asarray(decoder, float), np.asarray(directions, float)
    if D.ndim != 2 or len(D) != len(W):
        return Verdict(False, f"directions are columns of {len(W)} numbers; this has shape {D.shape}.")
    matched = match(cosines(W, D))
    close = np.asarray(matched.cosine) > FOUND
    measured = f"{close.sum()} of {W.shape[1]} true directions have a latent of their own at a cosine above {FOUND:g}"
    if close.all():
        return Verdict(True, f"{measured}; the worst has {np.min(matched.cosine):.3f}.")
    return Verdict(False, f"{measured}. Two latents on one direction leave another without.")


def autoencoder_loss(strength: float, params: Any, h: Any) -> Any:
    r"""$E\|h - Dz\|^2 + \lambda E \sum_j z_j$ of params = (W_enc, b_enc, D), the columns of D divided by their lengths."""
    W_enc, b_enc, D = params
    z = jax.nn.relu(W_enc @ h + b_enc[:, None])
    error = h - D / jnp.linalg.norm(D, axis=0, keepdims=True) @ z
    return jnp.mean(jnp.sum(error**2, axis=0) + strength * jnp.sum(z, axis=0))


def _autoencoder(answer: Any, strength: Any) -> Verdict:
    """A loss of an autoencoder against the formula, on random numbers."""
    rng = np.random.default_rng(0)
    W_enc, b_enc, D, h = (jnp.asarray(rng.standard_normal(shape)) for shape in ((5, 2), (5,), (2, 5), (2, 7)))
    measured = np.asarray(answer((W_enc, b_enc, D), h), float)
    if measured.shape != ():
        return Verdict(False, f"a loss is one number; this has shape {measured.shape}.")

    def is_loss(penalty: float, columns: Any = D) -> bool:
        z = np.maximum(W_enc @ h + b_enc[:, None], 0)
        squares = np.sum((h - columns @ z) ** 2, axis=0) + penalty * np.sum(z, axis=0)
        return near(measured, float(np.mean(squares)), 1e-3)

    unit = D / jnp.linalg.norm(D, axis=0, keepdims=True)
    if is_loss(strength, unit):
        return Verdict(True, "on random weights it is the formula.")
    if is_loss(strength):
        return Verdict(False, "the columns of D are not divided by their lengths.")
    if is_loss(0, unit):
        return Verdict(False, "the penalty is missing.")
    if is_loss(1, unit):
        return Verdict(False, "the penalty is there, but not times λ.")
    return Verdict(False, "it is not the formula: sums over rows (axis=0), means over columns.")


def _best_reconstruction(answer: Any, table: Any) -> Verdict:
    """Whether the setting with the most explained variance is that with the best F1."""
    if not isinstance(answer, bool | np.bool_):
        raise ValueError("True or False")
    best = {name: int(np.nanargmax(table[name].values)) for name in ("explained_variance", "f1")}
    scores = [(float(table["f1"].values[k]), float(table["explained_variance"].values[k])) for k in best.values()]
    (f1, most), (most_f1, variance) = scores
    measured = (
        f"the best R², {most:.3f}, comes with F1 = {f1:.2f}; the best F1, {most_f1:.2f}, with R² = {variance:.3f}"
    )
    return Verdict(bool(answer) == (best["explained_variance"] == best["f1"]), f"{measured}.")


def _detector(latents: Any, directions: Any, dictionary: Any, x: Any) -> Verdict:
    """The F1 of "z > 0" as a detector of "x is not 0"."""
    z, x = np.asarray(latents, float), np.asarray(x)
    D, W = np.asarray(dictionary, float), np.asarray(directions, float)
    if z.shape != (D.shape[1], x.shape[1]):
        return Verdict(False, f"a row per direction and a column per input, {(D.shape[1], x.shape[1])}; got {z.shape}.")
    quality = detection(match(cosines(W, D)), *count_activity(z, x))
    precision, recall, f1 = (mean_known(row) for row in quality)
    measured = f"F1 = {f1:.2f} (precision {precision:.2f}, recall {recall:.2f})"
    if f1 > READ:
        return Verdict(True, f"{measured}.")
    what = "latents fire where their feature is not" if precision < recall else "features are missed"
    return Verdict(False, f"{measured}: {what}.")


QUESTIONS: dict[str, Question] = {
    "random_cosine": Question("one number between -1 and 1", _random_cosine),
    "all_found": Question("an array whose columns are directions", _all_found),
    "autoencoder": Question("a function of (W_enc, b_enc, D) and h", _autoencoder),
    "best_reconstruction": Question("True or False", _best_reconstruction),
    "detector": Question("an array with a row per latent and a column per input", _detector),
}
