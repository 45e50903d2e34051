"""A sparse autoencoder (SAE) whose true features are known: how many did it find, and how truly do its latents speak?

One SAE at a time, as arrays. Directions are columns, inputs are columns.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from superpos import arrays, check
from superpos.analysis.absorption import absorption, check_parents
from superpos.analysis.baselines import (
    Baseline,
    count_activity,
    detection,
    explained_variance,
    mean_known,
    pca_baseline,
    random_baseline,
    shrinkage,
)
from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.analysis.matching import Match, cosines, match
from superpos.errors import ConfigError

# Latents this close to one feature (as cosine) split it among them.
SPLIT_ABOVE = 0.9


@dataclass(frozen=True, repr=False)
class SAEScores:
    """Result of `score_sae`, which defines every number. Arrays over latents include those not used (NaN, -1)."""

    n_features: int
    n_represented: int
    n_latents: int  # used
    mmcs: float
    mcc: float
    mcc_signed: float
    f1: float
    precision: float
    recall: float
    uniqueness: float
    l0: float
    l0_true: float
    l0_represented: float
    explained_variance: float
    loss_recovered: float
    shrinkage: float
    dead_share: float
    absorption: float
    splitting: float
    split_share: float
    random: Baseline
    pca: Baseline
    represented: np.ndarray  # (n_features,)
    best_latent: np.ndarray  # (n_features,): of largest cosine
    best_cosine: np.ndarray  # (n_features,)
    matched_latent: np.ndarray  # (n_features,): one-to-one, -1 for none
    matched_cosine: np.ndarray  # (n_features,)
    feature_f1: np.ndarray  # (n_features,)
    feature_absorption: np.ndarray  # (n_features,): of parents
    matched_feature: np.ndarray  # (n_latents,): -1 for none
    latent_precision: np.ndarray  # (n_latents,): against the matched feature
    latent_recall: np.ndarray  # (n_latents,)
    latent_f1: np.ndarray  # (n_latents,)
    frequency: np.ndarray  # (n_latents,): share of inputs on which the latent is active

    def scalars(self) -> dict[str, float]:
        """Every single number by name, those of the baselines as `random_mmcs`, `pca_f1`, …"""
        numbers = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Baseline):
                numbers |= {f"{field.name}_{f.name}": getattr(value, f.name) for f in fields(value)}
            elif not isinstance(value, np.ndarray):
                numbers[field.name] = value
        return numbers

    def __repr__(self) -> str:
        optional = {"loss recovered": self.loss_recovered, "absorption": self.absorption}
        optional_text = "".join(f", {name} {value:.2f}" for name, value in optional.items() if np.isfinite(value))
        return (
            f"{self.n_latents} latents for {self.n_represented} of {self.n_features} features: MMCS {self.mmcs:.2f} "
            f"(random {self.random.mmcs:.2f}, PCA {self.pca.mmcs:.2f}), MCC {self.mcc:.2f} "
            f"(random {self.random.mcc:.2f}, PCA {self.pca.mcc:.2f})\n"
            f"  F1 {self.f1:.2f} (random {self.random.f1:.2f}, PCA {self.pca.f1:.2f}), precision {self.precision:.2f}, "
            f"recall {self.recall:.2f}, L0 {self.l0:.2f} (true {self.l0_true:.2f})\n"
            f"  R² {self.explained_variance:.2f}, shrinkage {self.shrinkage:.2f}, uniqueness {self.uniqueness:.2f}, "
            f"dead {self.dead_share:.2f}, splitting {self.splitting:.2f}{optional_text}"
        )


def score_sae(
    directions: Any,
    decoder: Any,
    x: Any,
    h: Any,
    latents: Any,
    reconstruction: Any,
    *,
    used: Any = None,
    parents: Any = None,
    loss: Callable[[np.ndarray], Any] | tuple[float, float, float] | None = None,
    represented_above: float = REPRESENTED_ABOVE,
    split_above: float = SPLIT_ABOVE,
    seed: int = 0,
) -> SAEScores:
    r"""Judge one SAE by the features it should have found.

    Features with $\|d_i\|$ not above `represented_above` are not in h to be found; means over features leave them out.

    - `mmcs`, `mcc`, `mcc_signed`: see `superpos.analysis.matching.match`, which also matches features and latents one to
      one by their positive cosines. Dead latents take part.
    - `f1`, `precision`, `recall`: of "$z_l > 0$" as a detector of "$x_i \ne 0$" for matched pairs, averaged over
      represented features that are active at least once; an unmatched feature or a silent latent counts 0. (Of a feature
      with both signs a latent can follow one half only: its recall is about ½ at best.)
    - `uniqueness`: share of latents that have the largest cosine for exactly one represented feature. (SynthSAEBench counts
      the distinct nearest features of latents instead.)
    - `l0`: mean number of active latents; `l0_true` of active features, `l0_represented` of those represented.
    - `explained_variance` $= 1 - \sum \|h - \hat h\|^2 / \sum \|h - \bar h\|^2$.
    - `loss_recovered` $= (L_0 - L_{\hat h}) / (L_0 - L_h)$, the losses of the model with its hidden layer replaced by 0, by
      $\hat h$, and left alone. `loss` is these three numbers, or a function of the hidden layer, see `hidden_loss`.
    - `shrinkage`: mean of $\|\hat h\| / \|h\|$ over inputs with $h \ne 0$.
    - `dead_share`: share of latents active on none of the inputs.
    - `absorption`: mean over parents, see `superpos.analysis.absorption.absorption`; needs `parents`.
    - `splitting`: mean over represented features of the number of live latents beyond one whose cosine exceeds
      `split_above`; `split_share`: share of features that have any beyond one.
    - `random`: unit columns in random directions, as many as latents; MMCS and MCC are means of 8 draws. `pca`: principal
      directions of h with both signs, see `principal_directions`. Their latents are $\mathrm{ReLU}(D^\top h)$, and
      $\hat h = \alpha D z$ with the best α; F1 and variance are those of one draw on the first 4,096 inputs.

    What has no value (no variance, no parents, no loss) is NaN.

    Args:
        directions: true features, (n_hidden, n_features): a toy model's W.
        decoder: (n_hidden, n_latents).
        x: features, (n_features, N).
        h: hidden layer, (n_hidden, N).
        latents: z, (n_latents, N), not negative.
        reconstruction: ĥ, (n_hidden, N).
        used: which latents there are, (n_latents,); all by default. The others are not looked at.
        parents: parents[j] is the parent of feature j, or -1.
        seed: of the random dictionaries.

    Raises:
        ConfigError: an array has another shape, is empty, not finite, or negative where it may not be.
    """
    check.number("represented_above", represented_above, at_least=0, at_most=arrays.MAX_WEIGHT)
    check.number("split_above", split_above, at_least=0, at_most=1)
    check.integer("seed", seed)
    directions = _matrix("directions", directions)
    m, n = directions.shape
    x = _matrix("x", x, n)
    h = _matrix("h", h, m, x.shape[1])
    decoder = arrays.as_numpy("decoder", decoder, finite=False, empty=True)  # what is not used may be anything
    latents = arrays.as_numpy("latents", latents, finite=False, empty=True)
    mask = _mask(used, decoder.shape)
    decoder, latents = _columns("decoder", decoder, mask, m), _rows("latents", latents, mask, x.shape[1])
    reconstruction = _matrix("reconstruction", reconstruction, m, x.shape[1])
    if latents.min() < 0:
        raise ConfigError(f"latents must be at least 0, got {latents.min():g}.")
    parents = None if parents is None else check_parents(parents, n)

    represented = np.linalg.norm(directions, axis=0) > represented_above
    findable = directions[:, represented]
    cosine = cosines(findable, decoder)
    matched = match(cosine)
    together, on, present = count_activity(latents, x)
    precision, recall, f1 = quality = detection(matched, together[:, represented], on, present[represented])
    n_latents, n_inputs = len(on), x.shape[1]
    latent_of_feature = _spread(matched.latent, represented, -1)
    if parents is None:
        absorbed = np.full(n, np.nan)
    else:
        absorbed = absorption(directions, decoder, x, latents, parents, latent_of_feature, represented)

    return SAEScores(
        n_features=n,
        n_represented=int(represented.sum()),
        n_latents=n_latents,
        represented=represented,
        **_match_scores(matched, cosine, on, split_above),
        **_match_arrays(matched, represented, mask),
        precision=mean_known(precision),
        recall=mean_known(recall),
        f1=mean_known(f1),
        feature_f1=_spread(f1, represented, np.nan),
        **_detection_of_latents(matched, quality, represented, mask),
        **_activity_scores(on, present, represented, mask, n_inputs),
        explained_variance=explained_variance(h, reconstruction),
        loss_recovered=loss_recovered(loss, h, reconstruction),
        shrinkage=shrinkage(h, reconstruction),
        absorption=mean_known(absorbed),
        feature_absorption=absorbed,
        random=random_baseline(findable, x[represented], h, n_latents, seed),
        pca=pca_baseline(findable, x[represented], h, n_latents),
    )


def _match_scores(matched: Match, cosine: np.ndarray, on: np.ndarray, split_above: float) -> dict[str, float]:
    """What directions alone say; `cosine` is (n_represented, n_latents), `on` how often each latent is active."""
    n_near = np.sum((cosine > split_above) & (on > 0), axis=1)
    n_nearest = np.bincount(matched.best_latent, minlength=len(on)) if len(cosine) else np.zeros(len(on))
    return {
        "mmcs": matched.mmcs,
        "mcc": matched.mcc,
        "mcc_signed": matched.mcc_signed,
        "uniqueness": float(np.mean(n_nearest == 1)),
        "splitting": mean_known(np.maximum(n_near - 1.0, 0)),
        "split_share": mean_known((n_near > 1).astype(float)),
    }


def _match_arrays(matched: Match, represented: np.ndarray, used: np.ndarray) -> dict[str, np.ndarray]:
    """Which latent is whose, over all features and all latents; numbers of latents count those not used."""
    place = np.flatnonzero(used)
    has_latent = matched.latent >= 0
    latent = np.where(has_latent, place[matched.latent], -1)
    feature_of_latent = np.full(len(place), -1)
    feature_of_latent[matched.latent[has_latent]] = np.flatnonzero(represented)[has_latent]
    best_latent = place[matched.best_latent] if len(matched.latent) else matched.best_latent
    return {
        "best_latent": _spread(best_latent, represented, -1),
        "best_cosine": _spread(matched.best_cosine, represented, np.nan),
        "matched_latent": _spread(latent, represented, -1),
        "matched_cosine": _spread(matched.cosine, represented, np.nan),
        "matched_feature": _spread(feature_of_latent, used, -1),
    }


def _detection_of_latents(
    matched: Match, quality: np.ndarray, represented: np.ndarray, used: np.ndarray
) -> dict[str, np.ndarray]:
    """Precision, recall and F1 of every latent against its feature, from those of the features, (3, n_represented)."""
    has_latent = matched.latent >= 0
    per_latent = np.full((3, int(used.sum())), np.nan)
    per_latent[:, matched.latent[has_latent]] = quality[:, has_latent]
    names = ("latent_precision", "latent_recall", "latent_f1")
    return {name: _spread(values, used, np.nan) for name, values in zip(names, per_latent, strict=True)}


def _activity_scores(
    on: np.ndarray, present: np.ndarray, represented: np.ndarray, used: np.ndarray, n_inputs: int
) -> dict[str, Any]:
    """How often latents and features are active, from on how many inputs each is."""
    frequency = on / n_inputs
    return {
        "l0": float(frequency.sum()),
        "l0_true": float(present.sum() / n_inputs),
        "l0_represented": float(present[represented].sum() / n_inputs),
        "dead_share": float(np.mean(on == 0)),
        "frequency": _spread(frequency, used, np.nan),
    }


def hidden_loss(outputs: Callable[[Any], Any], x: Any, importance: Any = 1.0) -> Callable[[Any], float]:
    r"""$L(h) = \frac1n \sum_i I_i\,E(x_i - x'_i(h))^2$ as a function of the hidden layer, for `score_sae`.

    `outputs` gives x′ for a hidden layer (n_hidden, N): a toy model's `activate`.
    """
    x = arrays.as_numpy("x", x, ndim=2)
    check.vector("importance", importance, len(x))
    check.in_range("importance", importance, at_least=0)
    weights = np.broadcast_to(arrays.as_numpy("importance", importance), (len(x),))
    if not callable(outputs):
        raise ConfigError("outputs must be a function of the hidden layer, such as a toy model's `activate`.")
    return lambda h: float(np.mean(weights[:, None] * (x - np.asarray(outputs(h))) ** 2))


def loss_recovered(loss: Any, h: np.ndarray, reconstruction: np.ndarray) -> float:
    """Share of the loss between no hidden layer and the true one that the SAE wins back; see `score_sae`."""
    if loss is None:
        return np.nan
    three = [loss(hidden) for hidden in (np.zeros_like(h), reconstruction, h)] if callable(loss) else loss
    values = check.finite_array("loss", three)
    if values is None or values.shape != (3,):
        raise ConfigError("loss must be a function of the hidden layer, or three numbers (zero, SAE, true).")
    zero, sae, true = values
    return float((zero - sae) / (zero - true)) if zero != true else np.nan


def _spread(values: np.ndarray, mask: np.ndarray, fill: Any) -> np.ndarray:
    """An array as long as the mask, with the values where it is true."""
    result = np.full(len(mask), fill)
    result[mask] = values
    return result


def _matrix(name: str, value: Any, rows: int | None = None, columns: int | None = None) -> np.ndarray:
    """`value` as a finite float matrix of the wanted shape (None: any size but 0); single precision stays single."""
    array = arrays.as_numpy(name, value, finite=False, empty=True)
    expected = f"({'any' if rows is None else rows}, {'any' if columns is None else columns})"
    fits = array.ndim == 2 and rows in (None, len(array)) and columns in (None, array.shape[-1])
    if not fits or 0 in array.shape:
        raise ConfigError(f"{name} must be a matrix of shape {expected} and not empty, got shape {array.shape}.")
    return arrays.as_numpy(name, array, largest=arrays.MAX_WEIGHT)


def _mask(used: Any, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) != 2 or 0 in shape:
        raise ConfigError(f"decoder must be a matrix (n_hidden, n_latents) and not empty, got shape {shape}.")
    mask = np.ones(shape[1], bool) if used is None else np.asarray(arrays.plain("used", used))
    if mask.dtype != bool or mask.shape != (shape[1],) or not mask.any():
        raise ConfigError(f"used must be {shape[1]} truth values, one per latent and one of them true at least.")
    return mask


def _columns(name: str, value: Any, mask: np.ndarray, rows: int) -> np.ndarray:
    return _matrix(name, np.asarray(value)[:, mask], rows)


def _rows(name: str, value: Any, mask: np.ndarray, columns: int) -> np.ndarray:
    if np.ndim(value) != 2 or len(value) != len(mask):
        raise ConfigError(f"{name} must be a matrix of shape ({len(mask)}, {columns}), got shape {np.shape(value)}.")
    return _matrix(name, np.asarray(value)[mask], None, columns)
