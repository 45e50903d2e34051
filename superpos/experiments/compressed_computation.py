"""Compressed computation beside the naive baseline and a linear control: Braun et al. 2025; Bhagat et al. 2026."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult
from superpos.train import TrainConfig, TrainState, evaluate

INPUTS = 41


def measure(result: SweepResult) -> xr.Dataset:
    r"""Of every model: `relative`, its loss over the naive one with the same labels, `linear`, and `response`.

    The naive model is tested on the inputs that the model was tested on. `response` is what the hidden layer adds to output
    i when x_i alone is active, over (…, feature, input); ReLU(input) is wanted.

    `linear` is the loss of the best linear readout of all features over the naive one. Since $\mathrm{ReLU}(x) = x/2 +
    |x|/2$, it gives every output half of its input, undoes the noise, and leaves $p\,E|x/2|^q = p / (2^q (q + 1))$. Few
    neurons cannot pass so many features on, so it is no baseline that a model must reach. But a fourth power forgives it
    far more than it forgives ignored features, and a model above it need not have computed anything.
    """
    loss = result["loss"]
    inputs = np.linspace(-1, 1, INPUTS)
    relative, linear, responses = np.full(loss.shape, np.nan), np.full(loss.shape, np.nan), []
    tried = jax.jit(_naive_loss, static_argnames="samples")
    for index in np.ndindex(loss.shape):
        cell = result.isel(**dict(zip(map(str, loss.dims), index, strict=True)))
        task: Any = cell.task()
        model = cell.model()
        samples = cell.config().evaluation_samples
        naive = float(tried(task.broadcast(), task.naive(), samples=samples))
        relative[index], linear[index] = float(loss.values[index]) / naive, linear_loss(task) / naive
        read, write = model.between_features(model.embedding())
        hidden = np.maximum(np.asarray(read).T[:, :, None] * inputs, 0)  # (feature, hidden, input)
        responses.append(np.einsum("fh,fhi->fi", np.asarray(write), hidden))
    response = np.reshape(responses, (*loss.shape, -1, INPUTS))
    return xr.Dataset(
        {
            "relative": (loss.dims, relative),
            "linear": (loss.dims, linear),
            "response": ((*loss.dims, "feature", "input"), response),
        },
        {**{d: loss[d].values for d in loss.dims}, "input": inputs},
    )


def linear_loss(task: Any) -> float:
    """The mean over features of I p / (2^q (q + 1)): half of every input, for magnitudes uniform on [−1, 1]."""
    q = task.loss_exponent
    p, importance = np.asarray(task.feature_probability, float), np.asarray(task.importance, float)
    return float(np.mean(importance * p)) / (2**q * (q + 1))


def _naive_loss(task: Any, model: Any, *, samples: int) -> Any:
    state = TrainState(model, (), jnp.int32(-1), None, None)
    return evaluate(task, TrainConfig(evaluation_samples=samples), state)


def judge(relative: xr.DataArray, linear: xr.DataArray, claims: Claims) -> None:
    """Losses of models and of the linear control over the naive model's, over (loss_exponent, label_noise, seed)."""
    clean = relative.sel(label_noise=0)
    quartic = clean.sel(loss_exponent=4)
    holds = bool((quartic < 1).all())
    claims.add("L4, clean labels: beats the naive baseline", "below 1 for every seed", _range(quartic), holds)
    share = quartic / linear.sel(label_noise=0, loss_exponent=4)
    shown = f"{float(share.min()):.3f} to {float(share.max()):.3f} of it"
    claims.add("L4, clean labels: beats the linear control", "below 1 for every seed", shown, bool((share < 1).all()))
    square = clean.sel(loss_exponent=2)
    holds = bool((square >= 1).all())
    claims.add("L2, clean labels: does not beat the naive baseline", "1 or more for every seed", _range(square), holds)
    noisy = relative.isel(label_noise=-1).sel(loss_exponent=2)
    gain = bool(noisy.mean() < square.mean())
    claims.add("L2: label noise is what helps", "lower with noise than without", _range(noisy), gain)


def judge_across(across: xr.Dataset, embedded: xr.DataArray, claims: Claims) -> None:
    """`measure`'s table over (loss_exponent, n_hidden, n_residual, feature_probability), and `embedded` ones' losses.

    Both relative to the naive model; `embedded` is over (loss_exponent, seed). The stream's own overlaps are label noise, so
    an embedded model that beats the naive one need not compute anything.
    """
    clean = across.sel(n_residual=0)
    quartic, control = (clean[name].sel(loss_exponent=4) for name in ("relative", "linear"))
    name = "L4, clean, all densities and sizes: beats the naive baseline"
    claims.add(name, "below 1 everywhere", _range(quartic), bool((quartic < 1).all()))
    less = quartic < control
    shown = f"{int(less.sum())} of {less.size} settings"
    claims.add("L4, clean: beats the linear control, too", "somewhere", shown, bool(less.any()))
    square = across["relative"].sel(loss_exponent=2)
    noisy = square.isel(n_residual=-1).dropna("n_hidden", how="all")
    pairs = square.sel(n_residual=0, n_hidden=noisy["n_hidden"])
    shown = f"{_range(noisy)}; clean labels {_range(pairs)}"
    claims.add("L2, embedded: lower than with clean labels", "at every density", shown, bool((noisy < pairs).all()))
    noisy = embedded.sel(loss_exponent=2)
    holds = bool((noisy < 1).all())
    claims.add("L2, embedded: beats it, as published", "below 1 for every seed", _range(noisy), holds)


def _range(values: xr.DataArray) -> str:
    return f"{float(values.min()):.3f} to {float(values.max()):.3f} × naive"
