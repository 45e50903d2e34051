"""The first picture that one asks for: `run.plot()`, `result.plot()`."""

import reprlib
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from superpos import arrays
from superpos.errors import ConfigError
from superpos.plot.appearance import current_axes
from superpos.plot.features import feature_directions, feature_directions_3d, gram
from superpos.plot.sweeps import loss_history, shape_shares
from superpos.sweeping import SweepResult


def overview(source: Any, ax: Axes | None = None) -> Any:
    """What suits a run, a model, a result or bare weights W.

    One model: its feature directions in two or three dimensions, WᵀW in more. A sweep of toy models over densities and
    seeds: the share of the seeds that ended in each shape. Any other sweep: the final loss along its longest numeric axis,
    one dot per model, or without one the loss curves. A model without W: its loss curve.

    Raises:
        ConfigError: there is neither a W nor a loss curve, or the source is none of these.
    """
    if isinstance(source, SweepResult) and np.prod(list(source.sizes.values()), dtype=int) > 1:
        return _of_sweep(source, current_axes(ax))
    if isinstance(source, SweepResult):
        has_weights = "W" in source.dataset
        source = source.cell() if source.attrs["train"] and not has_weights else source
    else:
        model = arrays.model_of(source)
        has_weights = model is None or getattr(model, "W", None) is not None
    if not has_weights and hasattr(source, "history"):
        return loss_history(source, ax)
    weights = arrays.weights_of("source", source)
    is_listed = hasattr(weights, "__len__") and not isinstance(weights, str | bytes | dict | set)
    W = arrays.as_numpy("source", weights, largest=arrays.MAX_WEIGHT) if is_listed else np.empty(0)
    if W.ndim < 2 or np.prod(W.shape[:-2], dtype=int) != 1:
        what = f"shape {W.shape}" if is_listed else reprlib.repr(weights)
        raise ConfigError(f"source must be a run, a model, a result or a W (n_hidden, n_features), got {what}.")
    W = W.reshape(W.shape[-2:])
    if len(W) == 2:
        return feature_directions(W, ax)
    return feature_directions_3d(W, ax) if len(W) == 3 else gram(W, ax)


def _of_sweep(result: SweepResult, ax: Axes) -> Axes:
    loss = result["loss"]
    if "W" in result.dataset and set(loss.dims) == {"feature_probability", "seed"}:
        return shape_shares(result.geometry()["shape"], ax)
    lengths = {
        str(d): n for d, n in loss.sizes.items() if d != "seed" and d in loss.coords and loss[d].dtype.kind in "if"
    }
    if not any(n > 1 for n in lengths.values()):
        return loss_history(result, ax)
    across = max(lengths, key=lambda name: lengths[name])
    x = loss[across].broadcast_like(loss).values.ravel()
    ax.plot(x, loss.values.ravel(), ".", color="black", ms=3, mec="none", alpha=0.5)
    spread = x.max() >= 10 * x.min() > 0
    ax.set(
        xscale="log" if spread else "linear",
        yscale="log",
        xlabel=across.replace("_", " "),
        ylabel="loss of every model",
    )
    return ax
