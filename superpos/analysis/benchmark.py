"""Scores of one autoencoder as the benchmark SynthSAEBench defines them: means over its latents, not over true features."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from superpos import arrays
from superpos.analysis.baselines import explained_variance
from superpos.analysis.matching import cosines
from superpos.errors import ConfigError


@dataclass(frozen=True)
class BenchmarkScores:
    """Result of `benchmark_scores`, which defines every number."""

    f1: float
    precision: float
    recall: float
    mcc: float
    uniqueness: float
    explained_variance: float
    l0: float
    dead_share: float


def benchmark_scores(
    directions: Any, decoder: Any, x: Any, h: Any, latents: Any, reconstruction: Any
) -> BenchmarkScores:
    r"""Judge one autoencoder by what its latents are, however many of the true features have none.

    `score_sae` averages over features, and one without a latent counts 0. Where a dictionary is narrower than the number of
    features on purpose, the question is what those latents are that there are. With $C_{il}$ the cosine of feature i and
    latent l, latent l stands for the feature $i(l) = \arg\max_i |C_{il}|$, which may be that of others, too.

    - `precision`, `recall`, `f1`: of "$z_l > 0$" as a detector of "$x_{i(l)} \ne 0$", averaged over all latents; F1 is
      $2 P R / (P + R)$ of each latent. What is undefined (a latent, or a feature, that is never active) counts 0.
    - `mcc` $= \max_\pi \frac{1}{m} \sum |C_{i\pi(i)}|$ over the m pairs of a one-to-one matching of the smaller side
      (Hungarian algorithm).
    - `uniqueness`: the number of different $i(l)$ over the number of latents.
    - `explained_variance` $= 1 - \sum \|h - \hat h\|^2 / \sum \|h - \bar h\|^2$; NaN where h does not vary.
    - `l0`: mean number of active latents; `dead_share` of latents that are active on none of the inputs.

    Chanin and Garriga-Alonso 2026, "SynthSAEBench", arXiv:2602.14687, and its code (SAELens, `sae_lens.synthetic.evals`).

    Args:
        directions: true features, (n_hidden, n_features).
        decoder: (n_hidden, n_latents).
        x: features, (n_features, N).
        h: hidden layer, (n_hidden, N).
        latents: z, (n_latents, N), not negative.
        reconstruction: ĥ, (n_hidden, N).

    Raises:
        ConfigError: an array has another shape, is empty, not finite, or negative where it may not be.
    """
    given = {"directions": directions, "decoder": decoder, "x": x, "h": h, "latents": latents}
    given["reconstruction"] = reconstruction
    matrices = {name: arrays.as_numpy(name, value, ndim=2, largest=arrays.MAX_WEIGHT) for name, value in given.items()}
    m, n = matrices["directions"].shape
    n_latents, n_inputs = matrices["decoder"].shape[1], matrices["x"].shape[1]
    shapes = ((m, n), (m, n_latents), (n, n_inputs), (m, n_inputs), (n_latents, n_inputs), (m, n_inputs))
    for (name, matrix), shape in zip(matrices.items(), shapes, strict=True):
        if matrix.shape != shape or 0 in shape:
            raise ConfigError(f"{name} must be a matrix of shape {shape} and not empty, got shape {matrix.shape}.")
    z = matrices["latents"]
    if z.min() < 0:
        raise ConfigError(f"latents must be at least 0, got {z.min():g}.")
    from scipy.optimize import linear_sum_assignment  # late, as in `superpos.theory.naive`

    cosine = np.abs(cosines(matrices["directions"], matrices["decoder"]))
    nearest = cosine.argmax(axis=0)
    active, present = z > 0, matrices["x"][nearest] != 0
    both, on, there = (np.sum(counted, axis=1) for counted in (active & present, active, present))
    precision, recall = both / np.maximum(on, 1), both / np.maximum(there, 1)
    f1 = 2 * precision * recall / np.where(both > 0, precision + recall, 1)
    return BenchmarkScores(
        f1=float(f1.mean()),
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        mcc=float(cosine[linear_sum_assignment(cosine, maximize=True)].mean()),
        uniqueness=len(np.unique(nearest)) / n_latents,
        explained_variance=explained_variance(matrices["h"], matrices["reconstruction"]),
        l0=float(on.sum() / n_inputs),
        dead_share=float(np.mean(on == 0)),
    )
