"""How the matrices of a network act on what they read: every forward pass is written once, in the model, for any of these."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from superpos.models.products import product

# What the matrix of a name makes of what it reads, (columns, batch): its rows, (rows, batch).
Linear = Callable[[str, Any], Any]


@runtime_checkable
class MatrixNetwork(Protocol):
    """A network that is written as a function of how its matrices act, so that anything may stand in their places."""

    @property
    def matrices(self) -> dict[str, Any]:
        """The matrices by name, in the order in which an input meets them."""
        ...

    def forward(self, x: Float[Array, "n_features batch"], linear: Linear) -> Float[Array, "n_features batch"]:
        """The output for inputs as columns, where `linear(name, a)` is what a matrix makes of what it reads, a."""
        ...


def own_linear(matrices: Mapping[str, Any], multiply: Callable[[Any, Any], Any] = product) -> Linear:
    """How matrices act by themselves. What is not among them is an identity, and passes on what it reads, with no product."""
    return lambda name, a: multiply(matrices[name], a) if name in matrices else a
