"""Whole figures about sparse autoencoders on known features: each a figure and its caption."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.experiments.sae_recovery import COSINE, recovered
from superpos.plot.recovery import recovered_directions, recovered_directions_3d, score_by_shape
from superpos.plot.style import ARCHITECTURE_NAMES, caption

# Two looks at one solid: from the side, and along its axis.
VIEWS = ((12, 20), (90, 0))


def sae_recovery(
    found: Mapping[int, Mapping[str, tuple[Any, xr.Dataset]]],
    true: Mapping[int, np.ndarray],
    chance: Mapping[int, tuple[float, float]],
) -> tuple[Figure, str]:
    """True directions and those of the best seed's latents: the plane above, space from two sides below.

    `found[n_hidden][architecture]` is a sweep result and its dictionary scores, `true[n_hidden]` the toy models it read,
    (n_sources, n_hidden, n_features), and `chance` MMCS and MCC of random dictionaries. What is drawn is the model whose
    worst feature was recovered best.
    """
    figure = plt.figure(figsize=(8.6, 4.3))
    above = figure.add_gridspec(1, len(found[2]), left=0.01, right=0.99, bottom=0.5, top=0.86, wspace=0.08)
    below = figure.add_gridspec(1, max(1, 2 * len(found[3])), left=0.01, right=0.99, bottom=0.0, top=0.41, wspace=0.0)
    for column, (name, (result, table)) in enumerate(found[2].items()):
        ax = figure.add_subplot(above[0, column])
        recovered_directions(*_drawn(result, table, true[2]), ax)
        ok = recovered(table).values
        ax.set_title(f"{_settings(result, name)}\n{ok.sum()} of {ok.size} seeds\nrecover all five", fontsize=8)
    for k, (name, (result, table)) in enumerate(found[3].items()):
        ok = recovered(table).values
        for side, view in enumerate(VIEWS):
            ax = figure.add_subplot(below[0, 2 * k + side], projection="3d")
            W, decoder = _drawn(result, table, true[3])
            upright = np.linalg.eigh(W @ W.T)[1][:, ::-1].T  # the axis along which directions spread least
            recovered_directions_3d(upright @ W, upright @ decoder, ax, view=view)
        first = below[0, 2 * k].get_position(figure)
        all_of = int(table["n_represented"].values.flat[0])
        title = f"{_settings(result, name)}: {ok.sum()} of {ok.size} seeds recover all {all_of}"
        figure.text(first.x1, first.y1 + 0.01, title, ha="center", fontsize=8)
    sizes = f"Above: {_sizes(found[2])}." + (f" Below, from two sides: {_sizes(found[3])}." if found[3] else "")
    random = "; ".join(f"MMCS {a:.3f}, MCC {b:.3f} in {m} dimensions" for m, (a, b) in chance.items())
    text = (
        "Grey: true directions, columns of the W of a toy model. Colour: decoder columns of one sparse autoencoder, the one "
        f"of all seeds whose worst feature is matched best. {sizes} Every seed reads a toy model of its own, where so many "
        f"have the shape. Recovered: a latent of its own with a cosine above {COSINE:g}. Random dictionaries: {random}. "
        "First architecture of the row above:"
    )
    return figure, caption(next(iter(found[2].values()))[0].attrs, text)


def sae_geometry(
    found: Mapping[str, tuple[Any, xr.Dataset]],
    true: np.ndarray,
    shapes: Sequence[str],
    chance: Mapping[str, tuple[float, float]],
    trained_at: Mapping[str, float],
) -> tuple[Figure, str]:
    """Directions that a ReLU autoencoder finds at three λ, one row per shape; beside them scores by sparsity.

    `found[architecture]` is a sweep result over (what sets its sparsity, source, seed) and its dictionary scores; `true` are
    the toy models, (n_sources, n_hidden, n_features), `shapes` their names, `chance` MMCS and MCC of random
    dictionaries for each shape, and `trained_at` the density at which its toy models were trained.
    """
    names = list(dict.fromkeys(shapes))
    figure = plt.figure(figsize=(9.4, 5.2))
    left = figure.add_gridspec(len(names), 3, left=0.03, right=0.35, top=0.94, bottom=0.12, wspace=0.05, hspace=0.15)
    right = figure.add_gridspec(len(found), 3, left=0.42, right=0.995, top=0.94, bottom=0.16, wspace=0.28, hspace=0.5)
    relu, _ = found["relu"]
    lambdas = relu["sparsity_coefficient"].values
    for row, name in enumerate(names):
        source = list(shapes).index(name)
        W = true[source][:, np.linalg.norm(true[source], axis=0) > REPRESENTED_ABOVE]
        for column, k in enumerate((0, len(lambdas) // 2, len(lambdas) - 1)):
            ax = figure.add_subplot(left[row, column])
            cell = relu["W_dec"].isel(sparsity_coefficient=k, source=source, seed=0)
            recovered_directions(W, cell.transpose("hidden", "latent").values, ax)
            if not row:
                ax.set_title(f"λ = {lambdas[k]:g}")
            if not column:
                ax.set_ylabel(name.replace("antipodal pair", "pairs"))
    keys: Any = ()
    least, most = min(c[1] for c in chance.values()), max(c[1] for c in chance.values())
    for row, (name, (_, table)) in enumerate(found.items()):
        scores = {
            "recover all": (recovered(table).mean("seed"), (-0.05, 1.05)),
            "MCC": (table["mcc"], (0.78, 1.02)),
            "F1": (table["f1"], (0.4, 1.02)),
        }
        for column, (label, (score, limits)) in enumerate(scores.items()):
            ax = score_by_shape(score, shapes, figure.add_subplot(right[row, column]))
            ax.set(xlabel="k" if name == "topk" else "λ", ylim=limits)
            if label == "MCC":
                ax.axhspan(least, most, color="#DDDDDD", lw=0, zorder=0, label="random latents")
                keys = ax.get_legend_handles_labels()
            if not row:
                ax.set_title(label)
            if not column:
                ax.set_ylabel(name)
    figure.legend(*keys, loc="lower center", ncols=4)
    densities = ", ".join(f"{name} {p:g}" for name, p in trained_at.items())
    text = (
        f"Left: true directions (grey) of toy models that ended as different shapes (density in training: {densities}), and "
        "decoder columns (colour) of a ReLU autoencoder of one seed. Right, by what sets sparsity: share of autoencoders "
        f"with a latent of its own for every represented direction (cosine above {COSINE:g}), one-to-one cosines (MCC), and "
        f"F1. Lines: means over {len(shapes) // len(names)} toy models of a shape × {relu.sizes['seed']} seeds; bars: least "
        "to most (of shares, among toy models). The ReLU autoencoders:"
    )
    return figure, caption(relu.attrs, text)


def _drawn(result: Any, table: xr.Dataset, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The represented directions of the toy model, and the decoder columns, of the autoencoder whose worst match is best."""
    worst = table["matched_cosine"].min("feature")
    cell = result.dataset.isel(cell=int(worst.fillna(-1).values.argmax()))
    W = true[int(cell["source"])]
    return W[:, np.linalg.norm(W, axis=0) > REPRESENTED_ABOVE], cell["W_dec"].transpose("hidden", "latent").values


def _settings(result: Any, name: str) -> str:
    task = result.attrs["task"]
    by_k = name in ("topk", "batch_topk", "matryoshka")
    said = ARCHITECTURE_NAMES[name]
    return f"{said}, k = {task['k']:g}" if by_k else f"{said}, λ = {task['sparsity_coefficient']:g}"


def _sizes(found: Mapping[str, tuple[Any, xr.Dataset]]) -> str:
    task = next(iter(found.values()))[0].attrs["task"]
    return f"{task['n_features']} features in {task['n_hidden']} dimensions, {task['n_latents']} latents"
