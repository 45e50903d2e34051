"""What a sparse autoencoder made of features that are manifolds: whose subspace it found, and how latents share each."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from superpos import arrays
from superpos.data.manifolds import COORDINATES, check_names, slices
from superpos.errors import ConfigError

# Of the squared length of a decoder column: a latent belongs to a manifold whose subspace holds as much of it.
BELONGS_ABOVE = 0.5
# Fewer active latents than this are one at a time.
ONE_AT_A_TIME = 1.5
# Explained variance from which a few latents hold a manifold.
HELD_ABOVE = 0.9
REGIMES = ("capture", "shattering", "dilution", "missing")


@dataclass(frozen=True, repr=False)
class ManifoldScores:
    """Result of `score_manifolds`, which defines every number. Arrays over latents include those not used (-1, NaN)."""

    manifolds: tuple[str, ...]
    subspace_recovery: np.ndarray  # (n_manifolds,)
    latents: np.ndarray  # (n_manifolds,): how many belong to each
    active: np.ndarray  # (n_manifolds,): of them, on the mean input on which the manifold is active
    receptive_field: np.ndarray  # (n_manifolds,): share of a manifold's inputs on which one of its latents is active
    explained_variance: np.ndarray  # (n_manifolds,)
    regime: np.ndarray  # (n_manifolds,): words of `REGIMES`
    manifold_of_latent: np.ndarray  # (n_latents,): -1 for none
    share_of_latent: np.ndarray  # (n_latents,): of the squared length of its column in the nearest subspace
    mixed: int  # live latents that belong to no manifold

    def __repr__(self) -> str:
        counts = ", ".join(f"{np.sum(self.regime == word)} {word}" for word in REGIMES if np.any(self.regime == word))
        return (
            f"{len(self.manifolds)} manifolds: {counts}; subspace recovery {np.mean(self.subspace_recovery):.2f}\n"
            f"  {np.mean(self.latents):.1f} latents per manifold, {np.nanmean(self.active):.2f} active at once, "
            f"R² {np.nanmean(self.explained_variance):.2f}, {self.mixed} latents of none"
        )


def score_manifolds(
    directions: Any,
    manifolds: Any,
    decoder: Any,
    x: Any,
    h: Any,
    latents: Any,
    reconstruction: Any,
    *,
    used: Any = None,
) -> ManifoldScores:
    r"""Judge one SAE by the manifolds it should have found.

    A manifold has no direction that one latent could match, so cosines of single columns (MCC, MMCS) do not judge here.
    Its subspace does, with the orthonormal basis $B_g$ of its columns of `directions`.

    - A live latent l (active on some input) belongs to the manifold with the largest share of its column,
      $\|B_g^\top D_l\|^2 / \|D_l\|^2$, if that is at least 1/2; otherwise it is `mixed`.
    - `subspace_recovery` $= \|B_g^\top U\|_F^2 / d$: the mean squared cosine of the principal angles between the subspace and
      the d leading directions U of the columns that belong to it (left singular vectors). Directions that too few latents
      leave out count 0.
    - `latents`: how many belong to it, its tiling. `active`: how many of them are active on average where the manifold is.
      `receptive_field` = active / latents.
    - `explained_variance` $= 1 - \sum \|B_g^\top (h - \hat h)\|^2 / \sum \|B_g^\top h\|^2$ over inputs on which it is active.
    - `regime`: `"missing"` where no latent belongs to it. `"shattering"` where fewer than 1.5 are active at once: every
      latent stands for a piece of the manifold alone. `"capture"` where at most 2 d latents, as many as signed axes,
      explain .9 of it together. `"dilution"` is all else: more latents share the subspace than it needs, several at a time.

    What has no value (a manifold that is never active) is NaN.

    Bhalla et al. 2026, "Do Sparse Autoencoders Capture Concept Manifolds?" (arXiv:2604.28119), for global capture, local
    tiling and dilution; the numbers that divide them are ours.

    Args:
        directions: (n_hidden, n_features), the columns of every manifold one after another.
        manifolds: their names, see `superpos.data.manifolds`.
        decoder: (n_hidden, n_latents).
        x: features, (n_features, N).
        h: hidden layer, (n_hidden, N).
        latents: z, (n_latents, N).
        reconstruction: ĥ, (n_hidden, N).
        used: which latents there are, (n_latents,); all by default.

    Raises:
        ConfigError: an array has another shape or is not finite, or the columns of a manifold do not span its dimensions.
    """
    check_names(manifolds)
    if not manifolds:
        raise ConfigError("manifolds must name one at least.")
    n = sum(COORDINATES[name] for name in manifolds)
    directions = arrays.as_numpy("directions", directions, shape=(None, n), largest=arrays.MAX_WEIGHT)
    m = len(directions)
    x = arrays.as_numpy("x", x, shape=(n, None), largest=arrays.MAX_WEIGHT)
    N = x.shape[1]
    h, reconstruction = (
        arrays.as_numpy(name, value, shape=(m, N), largest=arrays.MAX_WEIGHT)
        for name, value in (("h", h), ("reconstruction", reconstruction))
    )
    decoder = arrays.as_numpy("decoder", decoder, shape=(m, None), largest=arrays.MAX_WEIGHT)
    k = decoder.shape[1]
    latents = arrays.as_numpy("latents", latents, shape=(k, N), largest=arrays.MAX_WEIGHT)
    there = np.ones(k, bool) if used is None else np.asarray(arrays.plain("used", used))
    if there.dtype != bool or there.shape != (k,):
        raise ConfigError(f"used must be {k} truth values, one per latent.")

    bases = [_basis(directions[:, part], name) for part, name in zip(slices(manifolds), manifolds, strict=True)]
    lengths = np.linalg.norm(decoder, axis=0)
    columns = decoder / np.where(lengths > 0, lengths, 1)
    on = latents > 0
    live = there & on.any(axis=1) & (lengths > 0)
    shares = np.stack([np.sum((B.T @ columns) ** 2, axis=0) for B in bases])
    nearest, share = shares.argmax(axis=0), shares.max(axis=0)
    owner = np.where(live & (share >= BELONGS_ABOVE), nearest, -1)
    rows = [
        _one(B, columns[:, owner == g], on[owner == g], x[part], h, h - reconstruction)
        for g, (B, part) in enumerate(zip(bases, slices(manifolds), strict=True))
    ]
    recovery, active, variance = np.array(rows).T
    count = np.bincount(owner[owner >= 0], minlength=len(bases))
    with np.errstate(invalid="ignore"):
        receptive_field = active / np.where(count > 0, count, np.nan)
    numbers = zip(bases, count, active, variance, strict=True)
    return ManifoldScores(
        manifolds=manifolds,
        subspace_recovery=recovery,
        latents=count,
        active=active,
        receptive_field=receptive_field,
        explained_variance=variance,
        regime=np.array([regime(B.shape[1], *row) for B, *row in numbers]),
        manifold_of_latent=owner,
        share_of_latent=np.where(live, share, np.nan),
        mixed=int(np.sum(live & (owner < 0))),
    )


def regime(dimensions: int, latents: int, active: float, explained_variance: float) -> str:
    """The word for how latents share a manifold, see `score_manifolds`."""
    if not latents:
        return "missing"
    if active < ONE_AT_A_TIME:
        return "shattering"
    return "capture" if latents <= 2 * dimensions and explained_variance >= HELD_ABOVE else "dilution"


def _basis(columns: np.ndarray, name: str) -> np.ndarray:
    """An orthonormal basis of the columns' span."""
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    if len(sizes) < columns.shape[1] or sizes[-1] <= 1e-6 * sizes[0]:
        raise ConfigError(f"directions of a {name} must span {columns.shape[1]} dimensions.")
    return left


def _one(
    B: np.ndarray, columns: np.ndarray, on: np.ndarray, x: np.ndarray, h: np.ndarray, residual: np.ndarray
) -> tuple[float, float, float]:
    """Subspace recovery, active latents, and explained variance of one manifold, by the latents that belong to it."""
    d = B.shape[1]
    U = np.linalg.svd(columns, full_matrices=False)[0][:, :d] if columns.shape[1] else columns
    recovery = float(np.sum((B.T @ U) ** 2) / d)
    present = np.any(x != 0, axis=0)
    if not present.any():
        return recovery, np.nan, np.nan
    total = np.sum((B.T @ h[:, present]) ** 2)
    left = np.sum((B.T @ residual[:, present]) ** 2)
    active = float(np.mean(on[:, present].sum(axis=0)))
    return recovery, active, float(1 - left / total) if total > 0 else np.nan
