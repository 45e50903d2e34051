"""The forward pass of a network, given what each of its matrices makes of what it reads: once for all that replace one."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos.models.activations import ACTIVATIONS
from superpos.models.computation import HIDDEN_ACTIVATIONS, ComputationModel
from superpos.models.products import FULL_PRECISION, product
from superpos.models.residual_mlp import ResidualMLP
from superpos.models.toy import ToyModel

# What the matrix of a name makes of what it reads, (columns, batch): its rows, (rows, batch).
Linear = Callable[[str, Any], Any]


def matrices_of(model: Any, identity_layers: int = 0) -> dict[str, Float[Array, "rows columns"] | None]:
    """The matrices of a network by name, in the order in which an input meets them; None for an identity.

    - `ToyModel`: W, as many identities as are asked for, and Wᵀ.
    - `ComputationModel`: W1 and W2, or W and Wᵀ where they are tied.
    - `ResidualMLP`: W_in and W_out; its embedding is part of the network and not among them.
    """
    if isinstance(model, ResidualMLP):
        return {"W_in": model.W_in[...], "W_out": model.W_out[...]}
    if isinstance(model, ComputationModel) and model.W is None:
        return {"W1": model.W1[...], "W2": model.W2[...]}
    identities: dict[str, Any] = {f"identity {k}": None for k in range(1, identity_layers + 1)}
    return {"W": model.W[...], **identities, "Wᵀ": model.W[...].T}


def own_linear(model: Any, multiply: Callable[[Any, Any], Any] = product) -> Linear:
    """How the matrices of a network act by themselves. An identity passes on what it reads, without a product."""
    own = matrices_of(model)
    return lambda name, a: multiply(own[name], a) if name in own else a


def forward_pass(
    model: Any, linear: Linear, x: Float[Array, "n_features batch"], identity_layers: int = 0
) -> Float[Array, "n_features batch"]:
    r"""The output of a network for inputs as columns, where `linear(name, a)` is what a matrix makes of what it reads, a.

    With $A_l$ for the action of matrix l (names as in `matrices_of`):

    - `ToyModel`: $f(A_{W^\top}(\cdots A_W(x)) + b)$,
    - `ComputationModel`: $\mathrm{ReLU}(A_2(\sigma(A_1(x))) + b)$,
    - `ResidualMLP`: $W_E^\top (h + A_\mathrm{out}(\mathrm{ReLU}(A_\mathrm{in}(h))))$ with $h = W_E x$.

    With `own_linear` this is the network itself.
    """
    if isinstance(model, ResidualMLP):
        with jax.ensure_compile_time_eval():  # a constant of the program, not drawn anew at every step
            W_E = model.embedding()
        stream = x if W_E is None else jnp.dot(W_E, x, precision=FULL_PRECISION)
        stream = stream + linear("W_out", jax.nn.relu(linear("W_in", stream)))
        return stream if W_E is None else jnp.dot(W_E.T, stream, precision=FULL_PRECISION)
    first, *others = matrices_of(model, identity_layers)
    a = linear(first, x)
    if isinstance(model, ComputationModel):
        a = HIDDEN_ACTIVATIONS[model.hidden_activation](a)
    for name in others:
        a = linear(name, a)
    activation = model.activation if isinstance(model, ToyModel) else "relu"
    return ACTIVATIONS[activation](a if model.b is None else a + model.b[...][:, None])
