r"""Codes of hidden activations by optimisation at inference time, given a dictionary: what its directions can say at best.

An encoder guesses in one linear step which latents are active. The same dictionary can be asked anew for every input for few
directions that add up to it, at a higher price (Smith 2024, "Replacing SAE Encoders with Inference-Time Optimisation").
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.products import FULL_PRECISION, dot

# What is left of an activation, relative to its length, at which it counts as explained.
TOLERANCE = 0.05
# An atom must have at least this cosine with what is left, and this sine to the span of those chosen; below it single
# precision cannot tell it from them.
MIN_COSINE = 1e-3


def pursuit(
    dictionary: Any, h: Any, *, most_atoms: int | None = None, tolerance: float = TOLERANCE
) -> Float[Array, "n_latents batch"]:
    r"""Codes $z \ge 0$ with few entries and $Dz \approx h$: orthogonal matching pursuit without negative coefficients.

    For every column of h the atom (column of D) of largest cosine with the residual $r = h - Dz$ joins those chosen, and the
    coefficients of all chosen ones are fitted anew by least squares; an atom whose coefficient would be negative leaves. It
    ends when $\|r\| \le$ `tolerance` $\cdot \|h\|$, with `most_atoms` chosen, or when no atom has a positive cosine with r.
    (The active-set method of Lawson and Hanson 1974 for non-negative least squares, stopped early.)

    Orthonormal atoms: $z = \mathrm{ReLU}(D^\top h)$. With μ the largest |cosine| of two atoms, any $h = Dz$ with fewer than
    $(1 + 1/\mu) / 2$ active atoms is recovered exactly at tolerance 0 (Tropp 2004, "Greed is Good"). Below half the spark of
    D, at most $\lfloor$n_hidden / 2$\rfloor$ atoms, the code is the only one so sparse (Donoho and Elad 2003): the default of
    `most_atoms`. An imperfect dictionary leaves residuals of its own; with a tolerance below these, further atoms are spent
    on them.

    Args:
        dictionary: D, (n_hidden, n_latents), columns of any length; one of no length is never chosen.
        h: (n_hidden, batch).
        most_atoms: active latents per input at most; from 1 to n_hidden.
        tolerance: relative, in [0, 1).

    Raises:
        ConfigError: a shape or number is not allowed or not finite.

    Pati, Rezaiifar and Krishnaprasad 1993 for orthogonal matching pursuit; Bruckstein, Elad and Zibulevsky 2008 for
    non-negative codes.
    """
    dictionary, h = (
        arrays.as_array(name, value, ndim=2, largest=arrays.MAX_WEIGHT)
        for name, value in (("dictionary", dictionary), ("h", h))
    )
    m = np.shape(dictionary)[0]
    if np.shape(h)[0] != m:
        raise ConfigError(f"h must have {m} rows like the dictionary, got shape {np.shape(h)}.")
    slots = max(1, m // 2) if most_atoms is None else most_atoms
    check.integer("most_atoms", slots, at_least=1, at_most=m)
    check.scalar("tolerance", tolerance)
    check.number("tolerance", tolerance, at_least=0, below=1)
    return _pursue(jnp.asarray(dictionary, float), jnp.asarray(h, float), int(slots), jnp.asarray(tolerance, float))


@partial(jax.jit, static_argnames="slots")
def _pursue(
    dictionary: Float[Array, "m k"], h: Float[Array, "m batch"], slots: int, tolerance: Float[Array, ""]
) -> Float[Array, "k batch"]:
    """Chosen atoms lie in `slots` places per input, some of them free: small systems, whatever the dictionary's size."""
    lengths = jnp.linalg.norm(dictionary, axis=0)
    D = dictionary / jnp.where(lengths > 0, lengths, 1)[None, :]
    gram, projected = dot(D.T, D), dot(D.T, h)
    batch = jnp.arange(h.shape[1])
    enough = jnp.maximum(tolerance, 16 * jnp.finfo(h.dtype).eps) * jnp.linalg.norm(h, axis=0)  # less is rounding

    def residual(chosen: Array, z: Array) -> Array:
        return h - jnp.einsum("msb,sb->mb", D[:, chosen], z, precision=FULL_PRECISION)

    def pick(chosen: Array, taken: Array, z: Array) -> tuple[Array, Array]:
        """The next atom of every input, and whether it needs one."""
        r = residual(chosen, z)
        size = jnp.linalg.norm(r, axis=0)
        along = dot(D.T, r).at[chosen, batch[None, :]].add(jnp.where(taken, -jnp.inf, 0))
        needs_atom = (size > enough) & (along.max(axis=0) > MIN_COSINE * size) & ~taken.all(axis=0)
        return along.argmax(axis=0), needs_atom

    def step(carry: Any) -> Any:
        turn, chosen, taken, z, (atom, needs_atom) = carry
        free = (jnp.arange(slots)[:, None] == jnp.argmin(taken, axis=0)[None, :]) & needs_atom[None, :]
        chosen, taken = jnp.where(free, atom[None, :], chosen), taken | free
        taken, z = _refit(gram[chosen[:, None], chosen[None]], projected[chosen, batch[None, :]], taken, z)
        return turn + 1, chosen, taken, z, pick(chosen, taken, z)

    chosen = jnp.zeros((slots, h.shape[1]), int)
    start = (chosen, jnp.zeros(chosen.shape, bool), jnp.zeros(chosen.shape, h.dtype))
    limit = 3 * slots  # atoms that left may come back, but not forever
    carry = (0, *start, pick(*start))
    _, chosen, _, z, _ = jax.lax.while_loop(lambda c: (c[0] < limit) & c[4][1].any(), step, carry)
    codes = jnp.zeros((D.shape[1], h.shape[1]), h.dtype).at[chosen, batch[None, :]].add(z)
    return codes / jnp.where(lengths > 0, lengths, 1)[:, None]


def _refit(
    gram: Float[Array, "s s batch"], projected: Float[Array, "s batch"], taken: Bool[Array, "s batch"], z: Array
) -> tuple[Bool[Array, "s batch"], Float[Array, "s batch"]]:
    """Least squares for those taken; whoever would turn negative on the way there leaves, and the others try again."""

    def once(carry: Any) -> Any:
        taken, z, _ = carry
        aim = _solve(gram, projected, taken)
        bad = taken & (aim <= 0)
        stops = jnp.where(bad, z / jnp.maximum(z - aim, jnp.finfo(z.dtype).tiny), jnp.inf)
        share = jnp.minimum(stops.min(axis=0), 1.0)[None, :]
        z = jnp.where(taken, z + share * (aim - z), 0)
        left = bad & (stops <= share)  # by their place, not by a rounded 0
        return taken & ~left, jnp.where(left, 0, z), bad.any(axis=0)

    taken, z, _ = jax.lax.while_loop(lambda c: c[2].any(), once, (taken, z, taken.any(axis=0)))
    return taken, z


def _solve(
    gram: Float[Array, "s s batch"], projected: Float[Array, "s batch"], taken: Bool[Array, "s batch"]
) -> Float[Array, "s batch"]:
    """Solutions of the small systems of all inputs at once, by elimination; places not taken have 0."""
    both = taken[:, None] & taken[None]
    A = jnp.where(both, gram, jnp.eye(len(taken))[:, :, None])
    A = jnp.concatenate([A, jnp.where(taken, projected, 0)[:, None]], axis=1)

    def eliminate(k: Integer[Array, ""], A: Array) -> Array:
        row = (
            A[k] / jnp.where(A[k, k] > MIN_COSINE**2, A[k, k], jnp.inf)[None, :]
        )  # in the others' span: 0, so it leaves
        return (A - A[:, k][:, None] * row[None]).at[k].set(row)

    return jax.lax.fori_loop(0, len(taken), eliminate, A)[:, -1]
