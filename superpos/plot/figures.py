"""Whole figures of several panels, so that scripts stay short: each a figure and its caption."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from superpos.analysis.neurons import neuron_order
from superpos.analysis.restarts import in_words
from superpos.plot.animation import directions_animation
from superpos.plot.dynamics import dimensionality_levels, logistic_growth, loss_steps
from superpos.plot.features import feature_directions_3d, gram, set_colors
from superpos.plot.neurons import monosemantic_count, neuron_keys, participation, stacked_weights
from superpos.plot.phases import basin_map, excess_map, phase_keys, phase_map
from superpos.plot.sets import collapse_by_density, set_directions, set_gram
from superpos.plot.style import caption
from superpos.plot.sweeps import plain_ticks


def phase_diagram(rows: Sequence[tuple[Any, xr.Dataset, xr.Dataset, Sequence[Any]]]) -> tuple[Figure, str]:
    """Trained | theory | difference | basins, one row per model size.

    Each row is a sweep result, its phase table, that table beside the optimum (`superpos.analysis.against_optimum`) and
    the analytic boundaries. Elhage et al. 2022, "Superposition as a Phase Change".
    """
    figure, axes = plt.subplots(
        len(rows), 4, figsize=(10.6, 2.75 * len(rows) + 0.55), squeeze=False, layout="constrained"
    )
    captions = []
    for (result, table, compared, curves), panels in zip(rows, axes, strict=True):
        phase_map(table["norm"], table["interference"], panels[0], boundaries=curves)
        phase_map(compared["optimal_norm"], compared["optimal_interference"], panels[1], boundaries=curves)
        excess = excess_map(compared["excess"], panels[2], agrees=compared["agrees"])
        basins = basin_map(table["basin_probability"], panels[3])
        figure.colorbar(excess, ax=panels[2], label="% above the optimum", extend="max")
        figure.colorbar(basins, ax=panels[3], label="share of restarts")
        task = result.attrs["task"]
        size = f"{task['n_features']} → {task['n_hidden']}"
        words = in_words(table["basin_probability"], table.attrs["restarts"], "restarts")
        panels[0].set_title(f"{size}: trained, {words.split(' (')[0].removesuffix(' restarts')}")
        panels[1].set_title("true optimum")
        panels[2].set_title(f"difference ({100 * float(compared['agrees'].mean()):.1f} % agree)")
        panels[3].set_title("restarts that found the best")
        for ax in panels[1:]:
            ax.set_ylabel("")
        captions.append(caption(result.attrs, f"{size}, {words}:"))
    figure.legend(handles=phase_keys(), loc="outside lower center", ncols=3, title="the extra feature is")
    text = (
        "Phase diagrams: density across, importance of the last feature (the others have 1) up. Dashed: where the paper's "
        "candidate solutions cost the same. Difference: loss above the optimum; red rings where the phase differs."
    )
    return figure, " ".join([text, *captions])


def privileged_basis(
    models: Mapping[float, tuple[Any, Any]],
    counts: xr.DataArray,
    ratios: Mapping[str, xr.DataArray],
    expected: Mapping[float, float],
    close: Sequence[tuple[float, int]],
) -> tuple[Figure, str]:
    """Neurons by density, how many of them have one feature, and how many each has with and without a hidden ReLU.

    `models` are W and which neuron has which feature, by density; the rest goes to `monosemantic_count` and
    `participation`. Elhage et al. 2022, "Superposition in a Privileged Basis".
    """
    figure = plt.figure(figsize=(9.4, 5.6), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    above, below = halves
    panels = above.subplots(1, len(models), sharey=True)
    for ax, (p, (W, has)) in zip(panels, models.items(), strict=True):
        order = np.asarray(neuron_order(W))
        stacked_weights(np.asarray(W)[order], np.asarray(has)[order], ax)
        ax.set_title(f"1 − S = {p:g}")
    panels[0].set_ylabel("weights of each neuron")
    above.legend(handles=neuron_keys(), loc="outside lower center", ncols=3)
    left, right = below.subplots(1, 2)
    monosemantic_count(counts, left, expected=expected, close=close)
    participation(ratios, right)
    text = (
        "Top: weights of the neurons, one bar each; numbers are features, the most important is 1. Bottom: neurons with "
        "exactly one feature; features per neuron, medians and quartiles over all neurons of all models."
    )
    return figure, text


def correlated_features(found: dict[str, Any], table: xr.Dataset, densities: Sequence[float]) -> tuple[Figure, str]:
    """Directions of pairs over density, the collapse of three correlated pairs, and two large correlated sets.

    `found` has sweep results "pairs", "opposite" and "three" over (feature_probability, seed), and "bases" over the
    same with one density; `table` is the `collapse` of "three". Elhage et al. 2022, "Correlated and Anticorrelated Features".
    """
    figure = plt.figure(figsize=(8, 8))
    top = figure.add_gridspec(3, len(densities), left=0.05, right=0.99, bottom=0.37, top=0.97, wspace=0.02, hspace=0.12)
    rows = (("pairs", "two correlated pairs", 1.0), ("opposite", "two anticorrelated pairs", 0.5))
    captions = []
    for row, (name, words, share) in enumerate((*rows, ("three", "three correlated pairs", 1.0))):
        best, axes = found[name].best("seed"), [figure.add_subplot(top[row, k]) for k in range(len(densities))]
        task = best.attrs["task"]
        sets = task["correlated_sets"] or task["anticorrelated_sets"]
        set_directions(best, axes, densities, sets, per_density=share)
        axes[0].set_ylabel(words)
        captions.append(caption(best.attrs, f"{words.capitalize()}, {found[name].best_of()}:"))
        for ax in axes if row else ():
            ax.set_title("")
    left = figure.add_gridspec(2, 1, left=0.08, right=0.42, bottom=0.06, top=0.31, hspace=0.15)
    collapse_by_density(table, figure.add_subplot(left[0, 0]), figure.add_subplot(left[1, 0]))
    right = figure.add_gridspec(1, 3, left=0.47, right=0.93, bottom=0.06, top=0.27, width_ratios=(2, 1, 1), wspace=0.12)
    panels = [figure.add_subplot(right[0, k]) for k in range(3)]
    best = found["bases"].isel(feature_probability=0).best("seed")
    W, sets = best["W"].values, best.attrs["task"]["correlated_sets"]
    set_gram(W, sets, panels[0]).set_title("$W^\\top W$, two sets")
    for k, (members, ax) in enumerate(zip(sets, panels[1:], strict=True)):
        gram(W[:, list(members)], ax).set_title(f"set {k + 1} alone")
    bar = figure.add_axes((0.945, 0.09, 0.012, 0.15))
    figure.colorbar(panels[0].images[0], cax=bar, ticks=[-1, 0, 1])
    captions.append(caption(best.attrs, f"Two large sets, {found['bases'].isel(feature_probability=0).best_of()}:"))
    text = (
        "Top: feature directions at several densities 1 − S of the sets; members of one set share a colour. Bottom left: "
        "collapse of the three correlated pairs. Bottom right: Gram matrices of two large correlated sets."
    )
    return figure, " ".join([text, *captions])


def learning_dynamics(
    found: dict[str, Any], levels: xr.Dataset, grown: xr.Dataset, stages: Any, frames: Any
) -> tuple[Figure, str, FuncAnimation]:
    """Energy levels, logistic growth, and below the way of two correlated triples; and that way as an animation.

    `found` has sweep results "levels", "triples" and "growth"; `levels`, of one seed, and `grown` are the tables of
    `superpos.claims.learning_dynamics`; `stages` and `frames` are the snapshots of the best triples that the figure and the
    animation show. Elhage et al. 2022, "Superposition and Learning Dynamics".
    """
    figure = plt.figure(figsize=(8.4, 6.4))
    left = figure.add_gridspec(2, 1, left=0.08, right=0.56, bottom=0.44, top=0.96, height_ratios=(1.7, 1), hspace=0.1)
    above = figure.add_subplot(left[0, 0])
    dimensionality_levels(levels["dimensionality"], levels["step"], above)
    above.set(xlabel="", title="energy levels", xscale="log", xlim=(1, float(levels["step"][-1])))
    above.tick_params(labelbottom=False)
    above.set_ylim(top=max(0.8, above.get_ylim()[1]))
    above.legend(loc="upper left", ncols=2)
    below = figure.add_subplot(left[1, 0], sharex=above)
    loss_steps(levels["loss"], levels["step"], below, windows=levels["drop"][:-1])
    below.set_ylabel("loss (sum)")
    plain_ticks(below, subs=(1,))
    right = figure.add_gridspec(1, 1, left=0.67, right=0.99, bottom=0.44, top=0.96)
    lone = grown.sel(bias=False)
    names = [f"importance {value:g}" for value in lone["importance"].values]
    share = lone["share"].transpose("importance", "snapshot")
    growing = logistic_growth(share, lone["rate"].values, grown["step"].values, names, figure.add_subplot(right[0, 0]))
    growing.legend(loc="lower right")
    growing.set_title("a lone linear feature, $a = \\|W\\|^2$")
    best = found["triples"].best("seed")
    Ws, steps = best["W_snapshots"].transpose("snapshot", "hidden", "feature").values, best["snapshot_step"].values
    sets = best.attrs["task"]["correlated_sets"]
    style = {"color": set_colors(Ws.shape[2], sets), "faces": sets}
    limit = max(1.0, float(abs(Ws).max()))
    bottom = figure.add_gridspec(1, len(stages), left=0.0, right=1.0, bottom=0.0, top=0.33, wspace=0)
    for k, stage in enumerate(stages):
        ax = feature_directions_3d(Ws[stage], figure.add_subplot(bottom[0, k], projection="3d"), limit=limit, **style)
        ax.set_title(f"step {steps[stage]:,}", y=1.0)
    animation = directions_animation(Ws[list(frames)], steps[list(frames)], **style)
    text = (
        "Top left: dimensionality of every feature and the loss during training, of the seed of least loss, on a logarithmic "
        "scale of steps, chosen so that short plateaus are seen, too; shaded: drops. Top right: growth of lone features; "
        "dashed: slope 8ηIσ². Bottom: two sets (colours) of three correlated features in three dimensions during training, "
        "the seed of least loss, which the animation shows in full."
    )
    parts = (("levels", "Energy levels:"), ("triples", "Correlated triples:"), ("growth", "Lone features:"))
    return figure, " ".join([text, *(caption(found[name].attrs, words) for name, words in parts)]), animation
