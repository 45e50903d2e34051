"""What a page that shows the latents of one sparse autoencoder needs, as plain data."""

from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.analysis.baselines import count_activity
from superpos.analysis.matching import cosines
from superpos.analysis.sae_scores import score_sae
from superpos.errors import ConfigError

# Bounds on the size of a page.
MAX_LATENTS, MAX_FEATURES, MAX_HIDDEN = 512, 1024, 512
MAX_ACTIVE = 16  # entries of x shown of one input, the largest
BINS = 24
BANDS, PER_BAND = 5, 2  # samples from equal shares of a latent's active inputs
NEIGHBOURS = 5
DIGITS = 4


class Answers(NamedTuple):
    """What latents answer to: features, or what takes their place. Arrays are over latents, -1 and NaN for none."""

    x: np.ndarray  # (n_targets, N): not 0 where a target is there
    matched: np.ndarray  # (n_latents,): the target that is a latent's own
    nearest: np.ndarray  # (n_latents,): the target that it resembles most
    nearest_cosine: np.ndarray
    precision: np.ndarray  # of "the latent is active" as a detector of its own target
    recall: np.ndarray
    f1: np.ndarray


def dashboard_data(
    directions: Any,
    decoder: Any,
    x: Any,
    h: Any,
    latents: Any,
    reconstruction: Any,
    *,
    encoder: Any = None,
    bias: Any = None,
    used: Any = None,
    top_k: int = 8,
    **options: Any,
) -> dict[str, Any]:
    """One SAE as a dict that `json.dumps(…, allow_nan=False)` takes; arguments and options as for `score_sae`.

    - `scores`: all numbers of `SAEScores.scalars`; `directions`: a list per feature, with `feature_norms`.
    - `histogram_edges`: 25 edges on a log scale, shared by all latents.
    - `inputs`: those that a latent refers to, each with `x` as [feature, value] pairs (the 16 largest) and `h`.
    - `latents`: the 512 that fire most often, each with its `index`, `direction`, `encoder` (a row) and `bias` if given,
      `matched_feature` (null for none), `nearest_feature` and `nearest_cosine` (null if none is represented), `precision`,
      `recall`, `f1`, `frequency`, `histogram` (counts of its active inputs), `top` and `samples` ([input, activation]; two
      from each fifth of its active inputs, strongest first), `features` (the five it fires with, by F1: [feature, precision,
      recall]) and `neighbours` (the five latents of largest decoder cosine: [latent, cosine]).
    - `latents_left_out`: how many are not shown.

    Floats have four significant digits; what is not known is null. With L latents shown, at most L · (top_k + 10) inputs of
    n_hidden + 32 numbers and L · (2 n_hidden + 2 top_k + 90) numbers.

    Raises:
        ConfigError: as `score_sae`; more than 1,024 features or 512 hidden dimensions; encoder or bias do not fit.
    """
    check.integer("top_k", top_k, at_least=1, at_most=50)
    given = {"directions": directions, "decoder": decoder, "x": x, "h": h, "latents": latents}
    directions, decoder, x, h, latents = (
        arrays.as_numpy(name, value, finite=False, empty=True) for name, value in given.items()
    )
    scores = score_sae(directions, decoder, x, h, latents, reconstruction, used=used, **options)
    m, n_latents = decoder.shape
    check_size(directions)
    encoder = None if encoder is None else arrays.as_numpy("encoder", encoder, shape=(n_latents, m))
    bias = None if bias is None else arrays.as_numpy("bias", bias, shape=(n_latents,))

    columns = np.where(np.isnan(scores.frequency), 0.0, decoder)
    to_features = cosines(directions, columns)
    to_features[~scores.represented] = -np.inf
    nearest = to_features.argmax(axis=0)
    cosine = np.take_along_axis(to_features, nearest[None], axis=0)[0]
    answers = Answers(
        x=x,
        matched=scores.matched_feature,
        nearest=np.where(np.isfinite(cosine), nearest, -1),
        nearest_cosine=cosine,
        precision=scores.latent_precision,
        recall=scores.latent_recall,
        f1=scores.latent_f1,
    )
    return {
        "scores": {name: plain(value) for name, value in scores.scalars().items()},
        "directions": plain(directions.T),
        "feature_norms": plain(np.linalg.norm(directions, axis=0)),
        **latents_in_full(columns, h, latents, answers, scores.frequency, encoder=encoder, bias=bias, top_k=top_k),
    }


def latents_in_full(
    decoder: np.ndarray,
    h: np.ndarray,
    latents: np.ndarray,
    answers: Answers,
    frequency: np.ndarray,
    *,
    encoder: Any = None,
    bias: Any = None,
    top_k: int = 8,
) -> dict[str, Any]:
    """The latents that fire most often and the inputs they refer to, as `dashboard_data` says; `frequency` is NaN of others.

    `decoder` is (n_hidden, n_latents), `h` (n_hidden, N) and `latents` (n_latents, N).
    """
    existing = np.flatnonzero(~np.isnan(frequency))
    latents_shown = np.sort(existing[np.argsort(-frequency[existing], kind="stable")][:MAX_LATENTS])
    z = latents[latents_shown]
    counts = count_activity(z, answers.x)
    to_latents = cosines(decoder[:, latents_shown], decoder[:, latents_shown])
    np.fill_diagonal(to_latents, -np.inf)
    edges = _edges(z)
    places: dict[int, int] = {}  # inputs that some latent refers to, and where they stand in the list
    described = []
    for row, latent in enumerate(latents_shown):
        described_latent = _latent(answers, int(latent), row, counts, to_latents, latents_shown)
        described_latent["frequency"] = plain(frequency[latent])
        described_latent["direction"] = plain(decoder[:, latent])
        described_latent |= {} if encoder is None else {"encoder": plain(np.asarray(encoder)[latent])}
        described_latent |= {} if bias is None else {"bias": plain(np.asarray(bias)[latent])}
        active = np.flatnonzero(z[row] > 0)
        active = active[np.argsort(-z[row, active], kind="stable")]
        described_latent["histogram"] = np.histogram(np.clip(z[row, active], edges[0], edges[-1]), edges)[0].tolist()
        bands = [band[np.unique(np.linspace(0, len(band) - 1, PER_BAND).astype(int))] for band in _split(active)]
        for name, chosen in (("top", active[:top_k]), ("samples", np.concatenate([active[:0], *bands]))):
            described_latent[name] = [[places.setdefault(int(t), len(places)), plain(z[row, t])] for t in chosen]
        described.append(described_latent)
    return {
        "histogram_edges": plain(edges),
        "inputs": [{"x": _sparse(answers.x[:, t]), "h": plain(h[:, t])} for t in places],
        "latents": described,
        "latents_left_out": len(existing) - len(latents_shown),
    }


def _latent(
    answers: Answers, latent: int, row: int, counts: Any, to_latents: Any, latents_shown: Any
) -> dict[str, Any]:
    together, on, present = counts
    both = together[row]
    f1 = 2 * both / np.maximum(on[row] + present, 1)
    friends = [i for i in np.argsort(-f1, kind="stable")[:NEIGHBOURS] if both[i]]
    near = [j for j in np.argsort(-to_latents[row], kind="stable")[:NEIGHBOURS] if j != row]
    matched, nearest = int(answers.matched[latent]), int(answers.nearest[latent])
    return {
        "index": latent,
        "matched_feature": None if matched < 0 else matched,
        "nearest_feature": None if nearest < 0 else nearest,
        "nearest_cosine": plain(answers.nearest_cosine[latent]),
        "precision": plain(answers.precision[latent]),
        "recall": plain(answers.recall[latent]),
        "f1": plain(answers.f1[latent]),
        "features": [[int(i), plain(both[i] / on[row]), plain(both[i] / present[i])] for i in friends],
        "neighbours": [[int(latents_shown[j]), plain(to_latents[row, j])] for j in near],
    }


def answers_of(x: np.ndarray, z: np.ndarray, matched: np.ndarray, nearest: np.ndarray, cosine: np.ndarray) -> Answers:
    """What latents answer to where `matched` says it, with precision, recall and F1 of their activity."""
    together, on, present = count_activity(z, x)
    both = together[np.arange(len(matched)), matched].astype(float)
    own = matched >= 0
    with np.errstate(invalid="ignore"):
        quality = both / on, both / present[matched], 2 * both / (on + present[matched])
    precision, recall, f1 = (np.where(own, values, np.nan) for values in quality)
    return Answers(x, matched, nearest, cosine, precision, recall, f1)


def check_size(directions: np.ndarray) -> None:
    """Raise `ConfigError` for more features or hidden dimensions than a page can hold."""
    if directions.shape[1] > MAX_FEATURES or len(directions) > MAX_HIDDEN:
        limit = f"{MAX_FEATURES} features and {MAX_HIDDEN} hidden dimensions"
        raise ConfigError(f"directions must have at most {limit} for a dashboard, got shape {directions.shape}.")


def _edges(z: np.ndarray) -> np.ndarray:
    """Edges of bins on a log scale, over at most four decades up to the largest activation."""
    largest = float(z.max())
    if largest == 0:
        return np.geomspace(1e-4, 1, BINS + 1)
    smallest = float(z[z > 0].min())
    edges = np.geomspace(max(min(smallest, largest / 2), largest * 1e-4), largest, BINS + 1)
    edges[-1] = largest
    return edges


def _split(active: np.ndarray) -> list[np.ndarray]:
    return [band for band in np.array_split(active, BANDS) if len(band)]


def _sparse(column: np.ndarray) -> list[list[Any]]:
    active = np.flatnonzero(column)
    largest = np.sort(active[np.argsort(-np.abs(column[active]), kind="stable")][:MAX_ACTIVE])
    return [[int(i), plain(column[i])] for i in largest]


def plain(value: Any) -> Any:
    """Numbers and nested lists of four significant digits, None for what is not finite."""
    if isinstance(value, int):
        return value
    if np.ndim(value):
        return [plain(v) for v in value]
    number = float(value)
    return float(f"{number:.{DIGITS}g}") if np.isfinite(number) else None
