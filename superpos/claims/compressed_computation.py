"""Compressed computation beside the naive baseline: Braun et al. 2025; Bhagat et al. 2026."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos.claims.base import Claims
from superpos.sweep import SweepResult
from superpos.train import TrainConfig, TrainState, evaluate

INPUTS = 41


def measure(result: SweepResult) -> xr.Dataset:
    """Of every model: `relative`, its loss over the naive one with the same labels, and `response`.

    The naive model is tested on the inputs that the model was tested on. `response` is what the hidden layer adds to output
    i when x_i alone is active, over (…, feature, input); ReLU(input) is wanted.
    """
    loss = result["loss"]
    inputs = np.linspace(-1, 1, INPUTS)
    relative, responses = np.full(loss.shape, np.nan), []
    tried = jax.jit(_naive_loss, static_argnames="samples")
    for index in np.ndindex(loss.shape):
        cell = result.isel(**dict(zip(map(str, loss.dims), index, strict=True)))
        task: Any = cell.task()
        model = cell.model()
        samples = cell.config().evaluation_samples
        relative[index] = float(loss.values[index]) / float(tried(task.broadcast(), task.naive(), samples=samples))
        read, write = model.between_features(model.embedding())
        hidden = np.maximum(np.asarray(read).T[:, :, None] * inputs, 0)  # (feature, hidden, input)
        responses.append(np.einsum("fh,fhi->fi", np.asarray(write), hidden))
    response = np.reshape(responses, (*loss.shape, -1, INPUTS))
    return xr.Dataset(
        {"relative": (loss.dims, relative), "response": ((*loss.dims, "feature", "input"), response)},
        {**{d: loss[d].values for d in loss.dims}, "input": inputs},
    )


def _naive_loss(task: Any, model: Any, *, samples: int) -> Any:
    state = TrainState(model, (), jnp.int32(-1), None, None)
    return evaluate(task, TrainConfig(evaluation_samples=samples), state)


def judge(relative: xr.DataArray, claims: Claims) -> None:
    """`relative`, loss over the naive model's with the same labels, over (loss_exponent, label_noise, seed)."""
    clean = relative.sel(label_noise=0)
    quartic = clean.sel(loss_exponent=4)
    holds = bool((quartic < 1).all())
    claims.add("L4, clean labels: beats the naive baseline", "below 1 for every seed", _range(quartic), holds)
    square = clean.sel(loss_exponent=2)
    holds = bool((square >= 1).all())
    claims.add("L2, clean labels: does not beat the naive baseline", "1 or more for every seed", _range(square), holds)
    noisy = relative.isel(label_noise=-1).sel(loss_exponent=2)
    gain = bool(noisy.mean() < square.mean())
    claims.add("L2: label noise is what helps", "lower with noise than without", _range(noisy), gain)


def _range(values: xr.DataArray) -> str:
    return f"{float(values.min()):.3f} to {float(values.max()):.3f} × naive"
