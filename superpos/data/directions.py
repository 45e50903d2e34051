"""The directions that features are written in, where none were learned."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.data.frequencies import MAX_FEATURES
from superpos.data.manifolds import check_dimensions, slices


def random_directions(key: PRNGKeyArray, n_hidden: int, n_features: int) -> Float[Array, "n_hidden n_features"]:
    """Independent directions, uniform on the unit sphere: the columns of an (n_hidden, n_features) array.

    Normalised Gaussians. They interfere by about 1 / √n_hidden.
    """
    check.integer("n_hidden", n_hidden, at_least=1)
    check.integer("n_features", n_features, at_least=1, at_most=MAX_FEATURES)
    directions = jax.random.normal(key, (n_hidden, n_features), float)
    lengths = jnp.linalg.norm(directions, axis=0, keepdims=True)
    # In one dimension a Gaussian is exactly 0 once in some ten million draws; any direction will do.
    return jnp.where(
        lengths > 0, directions / jnp.where(lengths > 0, lengths, 1), jnp.ones_like(lengths) / n_hidden**0.5
    )


def random_subspaces(
    key: PRNGKeyArray, n_hidden: int, manifolds: tuple[str, ...]
) -> Float[Array, "n_hidden n_features"]:
    """Independent subspaces in uniformly random orientation, one for every manifold, as columns of an orthonormal basis.

    The columns of `random_directions`, those of each manifold made orthonormal by Gram and Schmidt, so that a circle stays a
    circle.

    Raises:
        ConfigError: a name is no manifold's, or one has more coordinates than `n_hidden`.
    """
    check.integer("n_hidden", n_hidden, at_least=1)
    check_dimensions(manifolds, n_hidden)
    D = random_directions(key, n_hidden, slices(manifolds)[-1].stop)
    bases = []
    for part in slices(manifolds):
        basis, triangle = jnp.linalg.qr(D[:, part])
        bases.append(
            basis * jnp.where(jnp.diag(triangle) < 0, -1.0, 1.0)[None, :]
        )  # a sign of its own: uniform, as D is
    return jnp.concatenate(bases, axis=1)
