"""What a page shows of a sweep of dictionaries or decompositions of weights: numbers of all, latents of some."""

import json
from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis import dashboard_of, score_autoencoder
from superpos.analysis.dashboard_kinds import kind_of
from superpos.analysis.recovery import N_INPUTS, NO_DIRECTIONS
from superpos.errors import ConfigError
from superpos.explorer import encode
from superpos.explorer.shown_models import best_first, placed_axes
from superpos.models.sae import ARCHITECTURES
from superpos.models.sae.base import SPARSITY_FIELDS
from superpos.plot.appearance import architecture_color, architecture_label, caption
from superpos.sweeping import SweepResult
from superpos.sweeping.progress import Progress

FORMAT = 1
STYLES = ("style.css", "viewer.css")
# How many autoencoders a page shows latent by latent, and how many characters they may take.
MAX_SHOWN, MAX_CHARACTERS = 64, 4_000_000
# Hidden layers that can be drawn are kept of the examples.
MAX_DRAWN_HIDDEN = 3
SCORES = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "mcc": "MCC",
    "mmcs": "MMCS",
    "l0": "L0, active at once",
    "explained_variance": "explained variance R²",
    "loss_recovered": "loss recovered",
    "shrinkage": "shrinkage",
    "uniqueness": "uniqueness",
    "splitting": "splitting",
    "absorption": "absorption",
    "dead_share": "share of dead ones",
    "n_exclusive": "exclusive latents",
    "false_exclusive": "… of features that several models have",
    "decoupled": "features decoupled",
    "missed": "features of one model missed",
    "slope_agreement": "agreement with the circuit",
    "paired": "features with a pair of latents",
    "one_feature": "latents of one feature",
    "subspace_recovery": "subspace recovery",
    "tiling": "latents per manifold",
    "active_at_once": "… of them active at once",
    "mixed": "latents of no manifold",
    "one_each": "features with a part of their own",
    "ml2r": "ML2R, lengths",
    "live_first": "live, of the first matrix",
    "live_second": "live, of the second",
    "together": "… share that a feature needs",
    "neuron_cosine": "… cosine with one neuron",
    "live": "live subcomponents",
    "importance_error": "importances off",
    "faithfulness": "faithfulness error",
    "stochastic": "error with random masks",
    "adversarial": "error with adversarial masks",
    "without": "error without subcomponents",
}
# By which score autoencoders are chosen first, for each kind.
CHIEF = {
    "transcoder": "slope_agreement",
    "manifolds": "explained_variance",
    "decomposition": "mmcs",
    "network": "one_each",
}
# Numbers to compare them with; no axes of their own.
BESIDE = (
    "l0_true",
    "paired_neurons",
    *(f"{base}_{name}" for base in ("random", "pca") for name in ("f1", "mcc", "mmcs")),
)


def pack_dictionaries(
    result: SweepResult, *, n_inputs: int = N_INPUTS, most: int = MAX_SHOWN, progress: bool | None = None
) -> dict[str, Any]:
    """Everything the feature viewer shows of a sweep of sparse autoencoders, crosscoders, transcoders or decompositions.

    All models have their scores (`superpos.analysis.dashboard_of` on `n_inputs` inputs). At most `most` of them, and no
    more than 4 million characters, have their latents too: first the model of lowest
    loss of every setting, then the second of every setting, and so on; `shown` lists their cells. Diverged and missing
    models have neither.

    Raises:
        ConfigError: no model of the sweep is sound, or a dictionary is too large for a page.
    """
    dataset = result.dataset if result.sizes else result.dataset.expand_dims("cell")
    result, lead = SweepResult(dataset), list(result.sizes) or ["cell"]
    shape = tuple(result.sizes.values())
    axes, codes = _columns(dataset, lead)
    loss = dataset["loss"].values.ravel().astype(float)
    sound = ((dataset["diverged_step"] < 0) & ~result.missing).transpose(*lead).values.ravel()
    if not sound.any():
        raise ConfigError("no model of this sweep is sound: all diverged or are missing.")
    scores: list[dict[str, float]] = [{} for _ in loss]
    dashboards: list[dict[str, Any]] = []
    truths: dict[str, int] = {}
    room = MAX_CHARACTERS
    with Progress(int(sound.sum()), doing="describing", enabled=progress) as bar:
        for cell in best_first(codes, np.where(sound, loss, np.nan)):
            place = dict(zip(lead, np.unravel_index(cell, shape), strict=True))
            model_result = result.isel(**{d: int(i) for d, i in place.items()})
            task, model = model_result.task(), model_result.model()
            in_full = room > 0 and len(dashboards) < most
            if in_full or kind_of(task) != "autoencoder":
                dashboard = dashboard_of(task, model, n_inputs=n_inputs)
                scores[cell] = {k: np.nan if v is None else v for k, v in dashboard["scores"].items()}
            else:
                scores[cell] = score_autoencoder(task, model, n_inputs=n_inputs).scalars()
            if in_full:
                packed = _pack_one(dashboard)
                truth = json.dumps(packed.pop("truth"))
                packed |= {"cell": int(cell), "truth": truths.setdefault(truth, len(truths))}
                room -= len(json.dumps(packed))
                dashboards.append(packed)
            bar.advance(1)

    def column(name: str) -> np.ndarray:
        return np.array([s.get(name, np.nan) for s in scores], float)

    names, kind = _architectures(dataset, lead), kind_of(task)
    return {
        "format": FORMAT,
        "kind": "dictionaries",
        "dictionaries": kind,
        "chief": CHIEF.get(kind, "f1"),
        "note": f"There is no MCC here: {NO_DIRECTIONS}." if kind == "manifolds" else "",
        "caption": caption(dataset.attrs),
        "n_inputs": n_inputs,
        "n_cells": len(loss),
        "axes": axes,
        "architecture": encode.words(names),
        "architectures": {name: [architecture_label(name), architecture_color(name)] for name in sorted(set(names))},
        "scores": [
            {"name": name, "label": label, "values": encode.numbers(values)}
            for name, label in SCORES.items()
            if np.isfinite(values := column(name)).any()
        ],
        "beside": {name: encode.numbers(column(name)) for name in BESIDE},
        "loss": encode.numbers(np.where(sound, loss, np.nan), log=True),
        "sound": encode.whole(sound),
        "shown": dashboards,
        "truths": [json.loads(truth) for truth in truths],
    }


def _columns(dataset: xr.Dataset, lead: list[str]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The axes, and by their names the place of every cell along each; −1 where its architecture does not read the value."""
    axes, places, _ = placed_axes(dataset, lead)
    codes: dict[str, np.ndarray] = {}
    names = _architectures(dataset, lead)
    fields_read = [ARCHITECTURES[name].fields_read if name in ARCHITECTURES else frozenset() for name in names]
    for axis, index in zip(axes, places, strict=True):
        if axis["name"] in SPARSITY_FIELDS:
            index = np.where([axis["name"] in fields for fields in fields_read], index, -1)
        codes[axis["name"]], axis["index"] = np.asarray(index), encode.whole(index)
    return axes, codes


def _architectures(dataset: xr.Dataset, lead: list[str]) -> list[str]:
    if "architecture" in dataset.coords:
        column = dataset.coords["architecture"].broadcast_like(dataset["loss"]).transpose(*lead)
        return column.values.ravel().astype(str).tolist()
    return [str(dataset.attrs["task"].get("architecture", "decomposition"))] * dataset["loss"].size


def _pack_one(data: dict[str, Any]) -> dict[str, Any]:
    """One dashboard in few characters: a column per quantity, one row per latent; −1 and NaN fill rows up."""
    latents, inputs = data["latents"], data["inputs"]

    def column(name: str, missing: Any = np.nan) -> list[Any]:
        return [missing if latent[name] is None else latent[name] for latent in latents]

    def table(name: str, place: int, missing: Any) -> np.ndarray:
        most = max((len(latent[name]) for latent in latents), default=0)
        rows = [[entry[place] for entry in latent[name]] for latent in latents]
        rows = [[missing if v is None else v for v in row] + [missing] * (most - len(row)) for row in rows]
        return np.array(rows).reshape(len(latents), most)

    def listed(name: str, *places: str) -> dict[str, Any]:
        """Entries [index, number, …] as one array each."""
        coded: dict[str, Any] = {"index": encode.whole(table(name, 0, -1))}
        return coded | {place: encode.numbers(table(name, k + 1, np.nan)) for k, place in enumerate(places)}

    packed = {
        "truth": {
            "directions": encode.numbers(data["directions"]),
            "norms": encode.numbers(data["feature_norms"]),
            "targets": data["targets"],
        },
        "index": encode.whole(column("index")),
        "direction": encode.numbers(column("direction")),
        "matched": encode.whole(column("matched_feature", -1)),
        "nearest": encode.whole(column("nearest_feature", -1)),
        "edges": data["histogram_edges"],
        "histogram": encode.whole(column("histogram")),
        "features": listed("features", "precision", "recall"),
        "neighbours": listed("neighbours", "cosine"),
        "top": listed("top", "activation"),
        "samples": listed("samples", "activation"),
        "active": {
            "count": encode.whole([len(one["x"]) for one in inputs]),
            "feature": encode.whole([i for one in inputs for i, _ in one["x"]]),
            "value": encode.numbers([v for one in inputs for _, v in one["x"]]),
        },
        "left_out": data["latents_left_out"],
        "blocks": [
            {"label": label, "values": encode.numbers([latent["blocks"][k] for latent in latents])}
            for k, label in enumerate(data["blocks"])
        ],
        "manifolds": data.get("manifolds"),
        "matrices": data.get("matrices"),
        "per_matrix": data.get("per_matrix"),
    }
    if "shares" in latents[0]:
        shares = [[np.nan if v is None else v for v in latent["shares"]] for latent in latents]
        packed |= {"shares": encode.numbers(shares), "exclusive_to": encode.whole(column("exclusive_to", -1))}
    if "alone" in latents[0]:
        packed["alone"] = encode.whole(column("alone"))
    if "written_feature" in latents[0]:
        packed["written"] = encode.whole(column("written_feature", -1))
    packed |= {name: encode.numbers(column(name)) for name in ("nearest_cosine", "precision", "recall", "f1")}
    packed["frequency"] = encode.numbers(column("frequency"), log=True)
    if len(data["directions"][0]) <= MAX_DRAWN_HIDDEN and inputs:
        packed["h"] = encode.numbers([one["h"] for one in inputs])
    return packed
