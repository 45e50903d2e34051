"""Questions of `demos/13_dictionaries_beyond_directions`."""

from typing import Any

import numpy as np

from superpos.analysis.crosscoders import norm_shares
from superpos.analysis.matching import cosines, match
from superpos.demos.question import Question, Verdict
from superpos.theory.dictionaries import hedged, tiled

WITHIN = 0.005  # of explained variance, and of shares
GUESS = 0.05  # by which a guessed cosine may be off
TURNED = 0.02  # two MCCs that are this far apart differ


def _tiling_law(answer: Any, measured: Any) -> Verdict:
    """A function of K against the closed form; `measured` has the best trained explained variance by K."""
    K = np.array(sorted(measured))
    truth = tiled(K)
    said = np.array([float(answer(int(k))) for k in K])
    trained = np.array([float(measured[int(k)]) for k in K])
    off = np.abs(said - truth)
    if np.all(off <= WITHIN):
        gap = np.abs(trained - truth)
        return Verdict(
            True, f"the best trained dictionaries are within {gap.max():.4f} of it for K = {list(map(int, K))}."
        )
    worst = int(K[off.argmax()])
    if np.allclose(said, np.cos(np.pi / K) ** 2, atol=WITHIN):
        return Verdict(False, "that is the worst point, π/K away. Take the mean over all points of one piece.")
    if np.allclose(said, np.sinc(1 / K), atol=WITHIN):
        return Verdict(False, "that is the mean cosine. What is explained is its square.")
    return Verdict(False, f"for K = {worst} it says {said[off.argmax()]:.3f}, and that is not what training finds.")


def _hedged_child(answer: Any, q: Any, measured: Any) -> Verdict:
    """A guessed cosine of the only latent with the child."""
    guess, truth = float(answer), float(hedged(q))
    if not -1 <= guess <= 1:
        raise ValueError("a cosine")
    if abs(guess - truth) <= GUESS:
        return Verdict(True, f"sin θ = {truth:.3f} where tan 2θ = 2q/(1 − q); trained ones have {float(measured):.3f}.")
    if abs(guess) <= GUESS:
        return Verdict(False, "a latent that is the parent alone pays for the child every time it comes.")
    if abs(guess - float(q)) <= GUESS:
        return Verdict(False, "q would be the mean value of the child. What direction leaves the least squared error?")
    return Verdict(False, f"the latent leans {'more' if guess < truth else 'less'} than that.")


def _share_of_norms(answer: Any, parts: Any) -> Verdict:
    """A function of a decoder against `norm_shares` of the second of two models, on random columns."""
    first, second = (int(size) for size in parts)
    D = np.random.default_rng(0).standard_normal((first + second, 7))
    D[:first, 0] = D[first:, 1] = 0
    said, truth = np.asarray(answer(D), float), norm_shares(D, parts)[1]
    if said.shape != truth.shape:
        return Verdict(False, f"one number for each of 7 latents is asked for; this has shape {said.shape}.")
    if np.allclose(said, truth, atol=WITHIN):
        return Verdict(
            True, "0 for a latent of the first model alone, 1 for one of the second, and between for others."
        )
    if np.allclose(said, 1 - truth, atol=WITHIN):
        return Verdict(False, "that is the share of the first model.")
    if not np.allclose(said[:2], [1, 0], atol=WITHIN):
        return Verdict(
            False, "it is not 1 for a latent of the second model alone, or not 0 for one of the first alone."
        )
    return Verdict(False, "the lengths of both parts add up to the whole; their squares are something else.")


def _latents_of_a_feature(answer: Any, pairs: Any) -> Verdict:
    """How many latents read a feature, by the median of features; `pairs` are `latent_pairs`."""
    per_feature = np.asarray(pairs.positive) + np.asarray(pairs.negative)
    truth, paired = float(np.median(per_feature)), int(np.sum(pairs.paired))
    measured = f"{paired} of {len(per_feature)} features have one latent for each side"
    if float(answer) == truth:
        return Verdict(True, f"{measured}.")
    return Verdict(False, "a latent is at least 0. What must be added to be |x|, where x may have either sign?")


def _same_mcc(answer: Any, decoder: Any) -> Verdict:
    """Whether the MCC of one dictionary is the same in every basis of the plane of a circle."""
    if not isinstance(answer, bool | np.bool_):
        raise ValueError("True or False")
    D = np.asarray(decoder, float)
    angles = np.linspace(0, np.pi / 2, 60)
    scores = [match(cosines(basis(angle), D)).mcc for angle in angles]
    same = max(scores) - min(scores) < TURNED
    return Verdict(bool(answer) == same, f"from {min(scores):.2f} to {max(scores):.2f}, for the same arrows.")


def basis(angle: float) -> np.ndarray:
    """Two orthonormal columns of the plane, turned by an angle."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


QUESTIONS: dict[str, Question] = {
    "tiling_law": Question("a function of K that returns one number", _tiling_law),
    "hedged_child": Question("one number between -1 and 1", _hedged_child),
    "share_of_norms": Question("a function of the decoder that returns a number per latent", _share_of_norms),
    "latents_of_a_feature": Question("a whole number", _latents_of_a_feature),
    "same_mcc": Question("True or False", _same_mcc),
}
