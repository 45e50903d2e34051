"""Whole figures that more than one place draws: a figure and its caption."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpos.analysis.neurons import neuron_order
from superpos.plot.neurons import monosemantic_count, neuron_keys, participation, stacked_weights
from superpos.plot.phases import basin_map, excess_map, phase_keys, phase_map
from superpos.plot.style import caption
from superpos.plot.sweeps import directions_by_density, plain_ticks, shape_shares

PANELS = (1.0, 0.45, 0.2, 0.1, 0.05, 0.01)


def five_features(result: Any, table: xr.Dataset) -> tuple[Figure, str]:
    """Feature directions by density, and below the share of seeds that found each geometry.

    `result` has dims (feature_probability, seed) and two hidden dimensions; `table` is its geometry. Elhage et al. 2022,
    opening figure and "Demonstrating Superposition".
    """
    best = result.best("seed")
    won = table["shape"].isel(seed=result.best_index("seed"))
    figure = plt.figure(figsize=(8.4, 3.9))
    top = figure.add_gridspec(1, len(PANELS), left=0.02, right=0.87, bottom=0.6, top=0.95, wspace=0.06)
    panels = [figure.add_subplot(top[0, k]) for k in range(len(PANELS))]
    directions_by_density(best, panels, PANELS, won)
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1.02, 0.5), handlelength=1)
    bottom = figure.add_gridspec(1, 1, left=0.07, right=0.72, bottom=0.1, top=0.44)
    shares = shape_shares(table["shape"], figure.add_subplot(bottom[0, 0]))
    plain_ticks(shares)
    text = (
        "Top: directions of the features (columns of W) in the best of "
        f"{result.dims['seed']} seeds at several densities 1 − S. Bottom: share of the seeds that ended in each geometry."
    )
    return figure, caption(result.attrs, text)


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
        panels[0].set_title(f"{size}: trained, best of {table.attrs['restarts']}")
        panels[1].set_title("true optimum")
        panels[2].set_title(f"difference ({100 * float(compared['agrees'].mean()):.1f} % agree)")
        panels[3].set_title("restarts that found the best")
        for ax in panels[1:]:
            ax.set_ylabel("")
        captions.append(caption(result.attrs, f"{size}:"))
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
