"""The figure of the absolute value: what neurons read with enough of them and with too few, and the loss by density."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpos.plot.circuits import neuron_shares, relative_loss_by_density
from superpos.plot.neurons import neuron_keys, stacked_weights


def absolute_value(small: Any, large: Any, density: float, table: xr.Dataset, starts: xr.DataArray) -> Figure:
    """Enough neurons, shares of neurons and loss by density above; the neurons of one model with too few below.

    `small` and `large` are pairs of input weights and which of them count, each (n_hidden, n_features); `large` is the
    model at `density`. `table` is `experiments.absolute_value.by_density`'s, `starts` its `relative_by_start`. Of the large
    model only weights that count are drawn, as magnitudes. Elhage et al. 2022, "Computation in Superposition".
    """
    figure = plt.figure(figsize=(9.4, 5.8), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    left, middle, right = halves[0].subplots(1, 3)
    W, reads = _ordered(*small)
    stacked_weights(W, reads, left)
    left.set(ylabel="input weights of each neuron", title=f"{W.shape[1]} features in {W.shape[0]} neurons")
    neuron_shares(table["monosemantic"], table["polysemantic"], middle)
    relative_loss_by_density(table["relative_loss"], right, starts=starts)
    W, reads = _ordered(*large)
    title = f"{W.shape[1]} features in {W.shape[0]} neurons, 1 − S = {density:g}"
    known = 1 + int(np.max(np.flatnonzero(reads.any(axis=0)), initial=0))  # bars for the others would be seen by no one
    ax = stacked_weights((np.abs(W) * reads)[:, :known], reads[:, :known], halves[1].subplots())
    ax.set(ylabel="|input weights|", title=title)
    halves[1].legend(handles=neuron_keys()[:2], loc="outside lower center", ncols=2)
    return figure


def _ordered(W: Any, reads: Any) -> tuple[np.ndarray, np.ndarray]:
    """Neurons by their largest weight's feature, the fewest features first among equals."""
    W, reads = np.asarray(W), np.asarray(reads)
    order = np.lexsort((reads.sum(axis=1), np.argmax(np.abs(W), axis=1)))
    return W[order], reads[order]
