"""What a feature viewer's page needs of one dictionary, by what kind it is: each has what latents answer to.

Latents of an autoencoder answer to features, by their directions. Those of a crosscoder have a part for every model beside,
those of a transcoder read one place and write another, those of features that are manifolds share a subspace, and a
decomposition of weights has subcomponents in their place.
"""

from typing import Any

import numpy as np

from superpos import arrays, check
from superpos.analysis.baselines import explained_variance, shrinkage
from superpos.analysis.circuits import Circuit, single_feature_slopes
from superpos.analysis.crosscoders import score_crosscoder
from superpos.analysis.dashboard import Answers, answers_of, check_size, dashboard_data, latents_in_full, plain
from superpos.analysis.dashboard_decomposition import dashboard_of_decomposition
from superpos.analysis.dashboard_network import dashboard_of_network
from superpos.analysis.manifolds import ManifoldScores, score_manifolds
from superpos.analysis.matching import cosines
from superpos.analysis.recovery import N_INPUTS, Evaluation, check_fit, evaluation, sampled_evaluation
from superpos.analysis.transcoders import latent_pairs, response_slopes, slope_agreement, transcoder_circuit
from superpos.data.manifolds import slices
from superpos.errors import ConfigError
from superpos.models.sae.transcoder import Transcoder as TranscoderModel
from superpos.tasks.base import materialize
from superpos.tasks.crosscoder import Crosscoder
from superpos.tasks.feature_decomposition import FeatureDecomposition
from superpos.tasks.network_decomposition import NetworkDecomposition
from superpos.tasks.transcoder import Transcoder

# What dictionaries there are pages of.
KINDS = ("autoencoder", "crosscoder", "transcoder", "manifolds", "decomposition", "network")


def kind_of(task: Any) -> str:
    """Which of `KINDS` a task trains. Features that are manifolds decide, where there are several models, too."""
    if isinstance(task, Transcoder):
        return "transcoder"
    if isinstance(task, FeatureDecomposition):
        return "network" if isinstance(task, NetworkDecomposition) else "decomposition"
    if task.manifolds:
        return "manifolds"
    return "crosscoder" if isinstance(task, Crosscoder) else "autoencoder"


def dashboard_of(
    task: Any, model: Any, *, n_inputs: int = N_INPUTS, inference: str = "encoder", **options: Any
) -> dict[str, Any]:
    r"""The data of a feature viewer's page for a trained SAE, see `dashboard_data`; arguments as for `score_autoencoder`.

    - `targets`: what stands in the place of features, as names; null for features, which numbers count.
    - `blocks`: names of what `blocks` of every latent has, a list of numbers for each.

    Of a **crosscoder** these are the cosines of every feature with the latent within each model, and latents have `shares`
    (of every model in their norms) and `exclusive_to` (null for none), see `score_crosscoder`, whose counts are in `scores`.

    Of a **transcoder** the targets are features, or their two sides `"3+"` and `"3−"` where inputs have both signs. A latent
    answers to the side that it reads most, and `written_feature` is what it writes most. Its blocks are its rows of W1 and
    columns of W2 in `transcoder_circuit`. Among `scores`, `slope_agreement` is that of `response_slopes` with the neurons'
    slopes; where there are two sides, `paired` counts `latent_pairs`, and `paired_neurons` those of the neurons.

    Of features that are **manifolds** these are the targets. A latent answers to the one it belongs to, its block is the
    share of its column in every subspace, and `manifolds` has `score_manifolds` of each. There is no MCC.

    Of a **decomposition** of weights the latents are the subcomponents of W, see `dashboard_of_decomposition`; of a
    network's those of both matrices, see `dashboard_of_network`.

    Raises:
        ConfigError: `task` is no `tasks.SparseAutoencoder` and no decomposition of weights, or `model` does not fit it, or
            the page would be too large; or `inference` is not the encoder's where targets are no features.
    """
    if isinstance(task, FeatureDecomposition):
        if inference != "encoder":
            raise ConfigError(f'inference must be "encoder" where nothing is decoded, got {inference!r}.')
        describe = dashboard_of_network if kind_of(task) == "network" else dashboard_of_decomposition
        return describe(task, model, n_inputs=n_inputs, **options)
    check_fit(task, model, n_inputs, transcoders=True)
    kind = kind_of(task)
    if kind in ("autoencoder", "crosscoder"):
        given, keywords = evaluation(task, model, n_inputs, inference)
        data = dashboard_data(*given, **_reading(model), **{**keywords, **options})
        data |= {"targets": None, "blocks": []}
        return data if kind == "autoencoder" else data | _of_crosscoder(task, given, data)
    if inference != "encoder":
        raise ConfigError(f'inference must be "encoder" where latents do not answer to directions, got {inference!r}.')
    top_k = options.pop("top_k", 8)
    check.integer("top_k", top_k, at_least=1, at_most=50)
    if options:
        raise ConfigError(f"{sorted(options)[0]} is for features of one direction each.")
    given = Evaluation(*map(np.asarray, sampled_evaluation(task.broadcast(), model, n_inputs)))
    used = np.asarray(model.exists)
    describe = _of_transcoder if kind == "transcoder" else _of_manifolds
    return describe(materialize(task), model, given, used, {**_reading(model), "top_k": top_k})


def _reading(model: Any) -> dict[str, Any]:
    """Rows of the encoder and biases; the columns where the decoder reads."""
    encoder = model.columns.T if model.W_enc is None else model.W_enc[...]
    return {"encoder": np.asarray(encoder), "bias": None if model.b_enc is None else np.asarray(model.b_enc[...])}


def _of_crosscoder(task: Any, given: Evaluation, data: dict[str, Any]) -> dict[str, Any]:
    """What a crosscoder's dashboard has beside that of an autoencoder."""
    live = np.any(given.latents > 0, axis=1)
    scores = score_crosscoder(given.directions, given.decoder, task.parts, used=live)
    edges = np.cumsum(task.parts)[:-1]
    within = [
        cosines(D, W) for D, W in zip(np.split(given.directions, edges), np.split(given.decoder, edges), strict=True)
    ]
    latents = []
    for latent in data["latents"]:
        l, to = latent["index"], int(scores.exclusive_to[latent["index"]])
        own = {"shares": plain(scores.shares[:, l]), "exclusive_to": None if to < 0 else to}
        latents.append(latent | own | {"blocks": [plain(cosine[:, l]) for cosine in within]})
    counts = ("n_exclusive", "false_exclusive", "decoupled", "missed")
    more = {name: getattr(scores, name) for name in counts}
    return {
        "blocks": [f"model {m}" for m in range(len(task.parts))],
        "latents": latents,
        "scores": data["scores"] | more,
    }


def _of_transcoder(task: Any, model: Any, given: Evaluation, used: np.ndarray, options: Any) -> dict[str, Any]:
    arrays.of_kind("model", model, TranscoderModel)
    D, x = np.asarray(given.directions, float), given.x
    n, signed = len(x), bool((x < 0).any())
    latents, neurons = transcoder_circuit(model, D), Circuit(*_weights(task, D), np.zeros(n))
    reads = np.argmax(np.abs(latents.W1), axis=1)
    live = latents.active & used
    below = latents.W1[np.arange(len(reads)), reads] < 0
    if signed:
        x, targets = np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)]), [f"{i}{s}" for s in "+−" for i in range(n)]
        reads = reads + n * below
    else:
        live, targets = live & ~below, None
    matched = np.where(live, reads, -1)
    answers = answers_of(x, given.latents, matched, matched, np.full(len(matched), np.nan))
    data = _in_full(given, answers, used, options)
    written = np.where(live, np.argmax(latents.W2, axis=0), -1)
    for latent in data["latents"]:
        l = latent["index"]
        latent |= {"blocks": [plain(latents.W1[l]), plain(latents.W2[:, l])]}
        latent |= {"written_feature": None if written[l] < 0 else int(written[l])}
    slopes = slope_agreement(response_slopes(model, D), single_feature_slopes(neurons.W1, neurons.W2))
    data["scores"] |= {
        "slope_agreement": plain(slopes),
        "one_feature": int(np.sum(live & (matched % n == written))),
    }
    if signed:  # otherwise there is only one side
        pairs = {"paired": latents, "paired_neurons": neurons}
        data["scores"] |= {name: int(latent_pairs(circuit).paired.sum()) for name, circuit in pairs.items()}
    return data | {"targets": targets, "blocks": ["reads", "writes"]}


def _weights(task: Any, D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the neurons of the layer read of features, and write to them."""
    return np.asarray(task.W_in, float) @ D, D.T @ np.asarray(task.W_out, float)


def _of_manifolds(task: Any, model: Any, given: Evaluation, used: np.ndarray, options: Any) -> dict[str, Any]:
    scores = score_manifolds(given.directions, task.manifolds, *given[1:], used=used)
    length = np.stack([np.linalg.norm(given.x[part], axis=0) for part in slices(task.manifolds)])
    columns = given.decoder / np.maximum(np.linalg.norm(given.decoder, axis=0), 1e-30)
    bases = [np.linalg.svd(given.directions[:, part], full_matrices=False)[0] for part in slices(task.manifolds)]
    shares = np.stack([np.sum((B.T @ columns) ** 2, axis=0) for B in bases])
    answers = answers_of(
        length, given.latents, scores.manifold_of_latent, shares.argmax(axis=0), np.sqrt(scores.share_of_latent)
    )
    data = _in_full(given, answers, used, options)
    for latent in data["latents"]:
        latent |= {"blocks": [plain(shares[:, latent["index"]])]}
    data["scores"] |= {
        "subspace_recovery": plain(np.mean(scores.subspace_recovery)),
        "tiling": plain(np.mean(scores.latents)),
        "active_at_once": plain(np.nanmean(scores.active)) if np.isfinite(scores.active).any() else None,
        "mixed": scores.mixed,
    }
    names = [f"{name} {g}" for g, name in enumerate(task.manifolds)]
    return data | {"targets": names, "blocks": ["share in the subspace"], "manifolds": _each(names, scores)}


def _each(names: list[str], scores: ManifoldScores) -> list[dict[str, Any]]:
    """`score_manifolds` of every manifold."""
    numbers = ("latents", "active", "receptive_field", "explained_variance", "subspace_recovery")
    return [
        {"name": name, "regime": str(scores.regime[g]), **{key: plain(getattr(scores, key)[g]) for key in numbers}}
        for g, name in enumerate(names)
    ]


def _in_full(given: Evaluation, answers: Answers, used: np.ndarray, options: Any) -> dict[str, Any]:
    """The latents with the scores that no direction enters."""
    check_size(given.directions)
    on = np.mean(given.latents > 0, axis=1)
    frequency = np.where(used, on, np.nan)
    scores = {
        "l0": np.nansum(frequency),
        "l0_true": np.mean(np.sum(answers.x != 0, axis=0)),
        "explained_variance": explained_variance(given.h, given.reconstruction),
        "shrinkage": shrinkage(given.h, given.reconstruction),
        "dead_share": np.mean(on[used] == 0),
    }
    return {
        "scores": {name: plain(value) for name, value in scores.items()},
        "directions": plain(np.asarray(given.directions).T),
        "feature_norms": plain(np.linalg.norm(given.directions, axis=0)),
        **latents_in_full(np.where(used, given.decoder, 0.0), given.h, given.latents, answers, frequency, **options),
    }
