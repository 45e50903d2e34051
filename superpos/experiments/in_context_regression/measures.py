"""What trained models are measured by: weights, answers beside those of gradient descent, and parts undone."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from superpos.analysis.heads import fresh_key
from superpos.models.vector_transformer import VectorTransformer
from superpos.sweeping import SweepResult
from superpos.tasks import InContextRegression
from superpos.theory.descent_in_context import best_descent, descent_weights, spectrum

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)  # of the inputs of the test
PARTS = ("nothing", "second layer", "first layer", "change of y", "change of x")


def construction(P: Array, Q: Array, *, last: bool) -> dict[str, Float[Array, ""]]:
    r"""One layer of one head beside a step of gradient descent, P = −diag(c, …, c, a) and Q = diag(1, …, 1, 0).

    `rate` and `curvature` are a and c. `outside` is the share of $|P|^2 |Q|^2$ that is not of this form. Of the `last` layer
    only the last row of P and all columns of Q but the last are read, and no other counts.
    """
    d = len(P) - 1
    read = jnp.arange(d + 1) == d
    P = jnp.where(last & ~read[:, None], 0.0, P)
    Q = jnp.where(last & read[None], 0.0, Q)
    q, c, a = jnp.trace(Q[:d, :d]) / d, jnp.trace(P[:d, :d]) / d, P[d, d]
    inside = d * q**2 * (d * c**2 + a**2)
    return {"rate": -a * q, "curvature": -c * q, "outside": 1 - inside / (jnp.sum(P**2) * jnp.sum(Q**2))}


def measure(result: SweepResult, n_sequences: int) -> xr.Dataset:
    """What every model of one layer does, over the axes of `result`:

    * `loss`, exactly; `rate` and `outside` of `construction`.
    * `explained`: the share of the variance of its answers that those of the best step explain (R²).
    * `rescaled`, over scales of the inputs: exact loss as a share of that of saying 0.
    * `shifted`: the loss where every example has the y of the one after it.
    * `reordered`: the largest change of an answer in the opposite order of examples, over the root of their mean square.
    """

    def of_one(model: VectorTransformer, task: InContextRegression) -> dict[str, Array]:
        data = task.sample(fresh_key(), n_sequences)
        d, n = task.n_dims, jnp.asarray(task.n_examples)
        answer = model(data.tokens, data.present)
        step = _written([n / (n + d + 1 + jnp.asarray(task.noise) ** 2)], [0.0], d)(data.tokens, data.present)
        examples = data.tokens[:, :-1]
        turned = data.tokens.at[:, :-1].set(examples[:, ::-1])
        last = (jnp.arange(examples.shape[1]) == n - 1)[:, None]  # is followed by the first
        following = jnp.where(last, examples[-1, :1], jnp.roll(examples[-1], -1, axis=0)) * data.present
        shifted = model(data.tokens.at[-1, :-1].set(following), data.present)
        turned_answer = model(turned, data.present[::-1])
        return {
            **construction(model.P[0, 0], model.Q[0, 0], last=True),
            "explained": 1 - jnp.mean((answer - step) ** 2) / jnp.var(answer),
            "rescaled": jnp.stack([_exact_share(model, task, s) for s in SCALES]),
            "shifted": jnp.mean((shifted - data.target) ** 2),
            "reordered": jnp.max(jnp.abs(turned_answer - answer)) / jnp.sqrt(jnp.mean(answer**2)),
        }

    table: Any = result.map(of_one, dims={"rescaled": ("scale",)})
    return table.assign(loss=result["loss"]).assign_coords(scale=list(SCALES)).assign_attrs(n_dims=_n_dims(result))


def measure_deep(result: SweepResult, n_sequences: int) -> xr.Dataset:
    """What every model of two layers does, beside the best two steps, on the same sequences:

    * `loss`, and `plain_loss` and `best_loss` of the best two plain and preconditioned steps.
    * `same_errors` and `same_errors_plain`: the cosine of its errors with theirs.
    * `rates`, `curvature`: the three numbers of its steps; `outside`: the larger of both layers (see `construction`).
    * `left`, over `PARTS`: the loss with that part undone. `change of y`: the second layer sees the y of examples as they
      were before the first; `change of x`: the same of the x of all tokens.
    * `rescaled` and `best_rescaled`, over scales of the inputs, as in `measure`.
    """
    d, n = _n_dims(result), int(result.attrs["task"]["most_examples"])
    plain, best = best_descent(d, n, 2), best_descent(d, n, 2, preconditioned=True)

    def of_one(model: VectorTransformer, task: InContextRegression) -> dict[str, Array]:
        data = task.sample(fresh_key(), n_sequences)
        before = data.tokens
        after = model.layer(0, before)
        same_y = after.at[-1, :-1].set(before[-1, :-1])
        same_x = after.at[:-1].set(before[:-1])
        undone = [model.layer(1, after), after, model.layer(1, before), model.layer(1, same_y), model.layer(1, same_x)]
        errors = [-tokens[-1, -1] - data.target for tokens in undone]
        written = [_written(steps.rates, steps.curvatures, d) for steps in (plain, best)]
        plain_error, best_error = (other(before) - data.target for other in written)
        layers = [construction(model.P[k, 0], model.Q[k, 0], last=k == 1) for k in (0, 1)]
        return {
            "loss": _mean_square(errors[0]),
            "plain_loss": _mean_square(plain_error),
            "best_loss": _mean_square(best_error),
            "same_errors": _cosine(errors[0], best_error),
            "same_errors_plain": _cosine(errors[0], plain_error),
            "rates": jnp.stack([layer["rate"] for layer in layers]),
            "curvature": layers[0]["curvature"],
            "outside": jnp.maximum(layers[0]["outside"], layers[1]["outside"]),
            "left": jnp.stack([_mean_square(error) for error in errors]),
            "rescaled": jnp.stack([_share_left(model, task, n_sequences, s) for s in SCALES]),
            "best_rescaled": jnp.stack([_share_left(written[1], task, n_sequences, s) for s in SCALES]),
        }

    scale = ("scale",)
    table: Any = result.map(
        of_one, dims={"rates": ("layer",), "left": ("part",), "rescaled": scale, "best_rescaled": scale}
    )
    return table.assign_coords(scale=list(SCALES), part=list(PARTS)).assign_attrs(n_dims=d, n_examples=n)


def _n_dims(result: SweepResult) -> int:
    return int(result.attrs["task"]["n_dims"])


def _written(rates: Any, curvatures: Any, n_dims: int) -> VectorTransformer:
    """A model that makes these steps; rates may be traced."""
    P, Q = descent_weights([1.0] * len(rates), curvatures, n_dims=n_dims)
    ends = jnp.zeros((n_dims + 1, n_dims + 1)).at[-1, -1].set(1.0)
    P = jnp.asarray(P) + jnp.stack([(1 - jnp.asarray(rate)) * ends for rate in rates])[:, None]
    return VectorTransformer(P, jnp.asarray(Q))


def _exact_share(model: VectorTransformer, task: InContextRegression, scale: float) -> Any:
    exact: Any = replace(task, input_scale=scale).expected_loss(model)
    return exact / (task.n_dims * scale**2)


def _share_left(model: VectorTransformer, task: InContextRegression, n_sequences: int, scale: float) -> Array:
    """The loss on sequences of inputs of another scale, as a share of that of saying 0."""
    data = replace(task, input_scale=scale).sample(fresh_key(), n_sequences)
    return _mean_square(model(data.tokens, data.present) - data.target) / (task.n_dims * scale**2)


def _mean_square(errors: Array) -> Array:
    return jnp.mean(errors**2)


def _cosine(one: Array, other: Array) -> Array:
    return jnp.sum(one * other) / jnp.sqrt(jnp.sum(one**2) * jnp.sum(other**2))


def left_by_parts(rates: Any, curvature: Any, n_dims: int, n_examples: int) -> np.ndarray:
    r"""The expected loss of two steps with each of `PARTS` undone: $\sum_i g_i R(\lambda_i)^2$ with, in this order,

    $$(1 - a_1\lambda)(1 - a_2 \lambda A^2), \quad 1 - a_1 \lambda, \quad 1 - a_2 \lambda, \quad
      1 - a_1 \lambda - a_2 \lambda A^2, \quad (1 - a_1 \lambda)(1 - a_2 \lambda), \qquad A = 1 - c\lambda.$$
    """
    points, weights = spectrum(n_dims, n_examples, 6)
    first, second = (rate * points for rate in rates)
    moved = second * (1 - curvature * points) ** 2
    left = [
        (1 - first) * (1 - moved), 1 - first, 1 - second, 1 - first - moved, (1 - first) * (1 - second),
    ]  # fmt: skip
    return np.array([weights @ part**2 for part in left])


def opposite_heads(result: SweepResult) -> xr.DataArray:
    """Whether two heads of softmax attention write y with opposite signs, and read x with opposite signs, by seed."""
    two = result.sel(n_heads=2)
    P, Q = (two[name].isel(layer=0).transpose("seed", "head", ...).values for name in ("P", "Q"))
    reads = np.trace(Q[..., :-1, :-1], axis1=2, axis2=3)
    opposite = (np.prod(P[:, :2, -1, -1], axis=1) < 0) & (np.prod(reads[:, :2], axis=1) < 0)
    return xr.DataArray(opposite, {"seed": two["seed"]}, ("seed",))
