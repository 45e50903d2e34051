"""The figure: losses by examples, weights, losses by layers, other sizes of inputs, and parts undone."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.experiments.in_context_regression.measures import left_by_parts
from superpos.models.vector_transformer import VectorTransformer
from superpos.plot.appearance import DIVERGING, PALETTE, caption, current_axes
from superpos.sweeping import SweepResult
from superpos.theory.descent_in_context import best_descent, descent_loss
from superpos.theory.in_context_regression import one_step, posterior_floor

COLORS = (PALETTE["blue"], PALETTE["orange"], PALETTE["green"])
ONE, TWO = PALETTE["blue"], PALETTE["red"]


def draw(result: SweepResult, table: xr.Dataset, deep: xr.Dataset, softmax: xr.DataArray) -> tuple[Figure, str]:
    """Figure and caption, from the tables of `measure` and `measure_deep`, and losses with softmax over (n_heads, seed)."""
    figure, axes = plt.subplots(1, 5, figsize=(12.4, 2.7), layout="constrained", width_ratios=(1, 1, 1.1, 1, 1.1))
    losses_by_examples(table["loss"], int(table.attrs["n_dims"]), axes[0])
    cell = result.sel(noise=0.0).isel(n_examples=-1)
    step_weights(cell.best("seed").model(), axes[1])
    losses_by_layers(table, deep, softmax, axes[2])
    rescaled_losses(table, deep, axes[3])
    undone_parts(deep, axes[4])
    text = (
        "From left: loss of one layer of linear attention by the number of examples (points: seeds; lines: the best step of "
        "gradient descent, as the closed form says; dashed: least squares, or the posterior mean where there is noise); "
        "weights of one such model, what a query's coordinate x asks of the examples' coordinates times what is written to "
        "y; loss by kind and number of layers without noise (seeds), beside gradient descent; loss where inputs are of "
        "another size than in training, as a share of that of saying 0 (seeds; lines: the best step, and the best two "
        "preconditioned steps); loss of two layers with a part undone (seeds; crosses: what their two rates and one "
        "curvature say, the mean)."
    )
    return figure, caption(result.attrs, text)


def losses_by_examples(loss: xr.DataArray, n_dims: int, ax: Axes | None = None) -> Axes:
    """Loss of one layer over (n_examples, noise, seed), beside the best step and the best predictor of all."""
    ax = current_axes(ax)
    examples = loss["n_examples"].values
    x = np.arange(min(examples) - 1, max(examples) + 3)
    for k, noise in enumerate(loss["noise"].values):
        color = COLORS[k % len(COLORS)]
        cell = loss.sel(noise=noise).transpose("n_examples", "seed").values
        ax.plot(examples, cell, ".", color=color, ms=5, alpha=0.6)
        ax.plot(x, [one_step(n_dims, int(n), noise=float(noise)).loss for n in x], color=color, label=f"σ = {noise:g}")
        floor = [posterior_floor(n_dims, int(n), noise=float(noise), draws=2_000) for n in x]
        ax.plot(x, floor, "--", color=color, lw=0.9)
    ax.set(xlabel="examples N", ylabel="loss", ylim=(-0.1, None), xticks=examples)
    ax.legend(loc="upper right", handlelength=1.2)
    return ax


def step_weights(model: VectorTransformer, ax: Axes | None = None) -> Axes:
    """−P_yy Q of a layer of one head, without the last column, which meets the query's y = 0: a step has the rate on it."""
    ax = current_axes(ax)
    W = -float(model.P[0, 0, -1, -1]) * np.asarray(model.Q[0, 0])[:, :-1]
    d = W.shape[1]
    ax.imshow(W, cmap=DIVERGING, vmin=-np.abs(W).max(), vmax=np.abs(W).max(), interpolation="nearest")
    for i, j in np.ndindex(W.shape):
        if i == j:
            ax.text(j, i, f"{W[i, j]:.2f}", ha="center", va="center", fontsize=6.5, color="white")
    ax.set_xticks(range(d), [f"$x_{i + 1}$" for i in range(d)])
    ax.set_yticks(range(d + 1), [*(f"$x_{i + 1}$" for i in range(d)), "$y$"])
    ax.tick_params(length=0)
    ax.set(xlabel="coordinate of the query", ylabel="coordinate of an example")
    return ax


def losses_by_layers(table: xr.Dataset, deep: xr.Dataset, softmax: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Losses of softmax attention, and of one and two layers of linear attention, beside steps of gradient descent."""
    ax = current_axes(ax)
    d, n = int(deep.attrs["n_dims"]), int(deep.attrs["n_examples"])
    linear = table["loss"].sel(n_examples=n, noise=0.0).values
    groups = {
        "softmax\n1 head": softmax.sel(n_heads=1).values,
        "softmax\n2 heads": softmax.sel(n_heads=2).values,
        "linear\n1 layer": linear,
        "linear\n2 layers": deep["loss"].values,
    }
    for k, values in enumerate(groups.values()):
        ax.plot(
            k + np.linspace(-0.2, 0.2, len(values)), values, ".", color=COLORS[2] if k < 2 else (ONE, TWO)[k - 2], ms=4
        )
    lines = {
        "1 step": one_step(d, n).loss,
        "2 steps": best_descent(d, n, 2).loss,
        "2 steps, GD++": best_descent(d, n, 2, preconditioned=True).loss,
    }
    for name, value in lines.items():
        ax.axhline(value, color="#777777", lw=0.8, zorder=0)
        ax.text(-0.45, value * 0.94, name, fontsize=7, color="#555555", ha="left", va="top")
    ax.set_xticks(range(len(groups)), list(groups), fontsize=7)
    ax.set(yscale="log", ylabel="loss", xlim=(-0.5, len(groups) - 0.5), ylim=(0.5 * min(lines.values()), 2 * d))
    return ax


def rescaled_losses(table: xr.Dataset, deep: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Loss by the size of the inputs, as a share of that of saying 0, of one layer and of two, beside descents."""
    ax = current_axes(ax)
    d, n = int(deep.attrs["n_dims"]), int(deep.attrs["n_examples"])
    best = best_descent(d, n, 2, preconditioned=True)
    scales, x = table["scale"].values, np.linspace(float(table["scale"][0]), float(table["scale"][-1]), 60)
    one = table["rescaled"].sel(n_examples=n, noise=0.0)
    for values, rates, curvatures, color, name in (
        (one, [one_step(d, n).rate], None, ONE, "1 layer"),
        (deep["rescaled"], best.rates, best.curvatures, TWO, "2 layers"),
    ):
        ax.plot(scales, values.transpose("scale", "seed").values, ".", color=color, ms=4, alpha=0.6)
        curve = [descent_loss(rates, curvatures, n_dims=d, n_examples=n, input_scale=s) / (d * s**2) for s in x]
        ax.plot(x, curve, color=color, label=name)
    ax.axhline(1, color="#BBBBBB", lw=0.8, zorder=0)
    ax.axvline(1, color="#BBBBBB", lw=0.8, zorder=0)
    ax.set(yscale="log", xlabel="size of the inputs", ylabel="loss / loss of saying 0")
    ax.legend(loc="upper left", handlelength=1.2)
    return ax


def undone_parts(deep: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Loss of two layers with a part of them undone, beside what their rates and curvature say."""
    ax = current_axes(ax)
    d, n = int(deep.attrs["n_dims"]), int(deep.attrs["n_examples"])
    left = deep["left"].transpose("part", "seed").values
    numbers = np.column_stack([deep["rates"].transpose("seed", "layer").values, deep["curvature"].values])
    predicted = np.mean([left_by_parts(row[:2], row[2], d, n) for row in numbers], axis=0)
    y = np.arange(len(left))
    for k, values in enumerate(left):
        ax.plot(values, k + np.linspace(-0.2, 0.2, len(values)), ".", color=TWO, ms=4)
    ax.plot(predicted, y, "x", color="black", ms=6)
    ax.axvline(d, color="#BBBBBB", lw=0.8, zorder=0)
    ax.text(d, -0.75, "saying 0", fontsize=7, color="#555555", ha="center", va="bottom")
    ax.set_yticks(
        y, [f"without\n{part}" if part != "nothing" else "all of it" for part in map(str, deep["part"].values)]
    )
    ax.set(xscale="log", xlabel="loss", ylim=(len(left) - 0.5, -0.7))
    return ax
