"""Sparse features: where the inputs of a toy model come from."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from superpos import arrays, check
from superpos.arrays import OptionalScalar, PerFeature
from superpos.data import dependence, worlds
from superpos.data.frequencies import MAX_FEATURES
from superpos.errors import ConfigError

# Raw moments E[x], E[x²], E[x³] of an active feature's magnitude.
MAGNITUDE_MOMENTS = {
    "uniform": (1 / 2, 1 / 3, 1 / 4),  # U[0, 1], the paper's
    "signed_uniform": (0.0, 1 / 3, 0.0),  # U[-1, 1]
    "constant": (1.0, 1.0, 1.0),
    "exponential": (1.0, 2.0, 6.0),  # rate 1
}
MAGNITUDES = tuple(MAGNITUDE_MOMENTS)

# The least number that `unit_uniform` draws, and so the largest probability at which nothing is ever active.
MIN_PROBABILITY = 2.0**-33

Sets = tuple[tuple[int, ...], ...]


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class FeatureDistribution:
    r"""Sparse features $x \in \mathbb{R}^n$: each is zero, or active with a random magnitude.

    $P(x_i \neq 0) = p_i$ = `feature_probability` (a scalar, or one value per feature). The paper's sparsity is
    $S = 1 - p$. An active feature is uniform on [0, 1] (`"uniform"`), uniform on [-1, 1] (`"signed_uniform"`), 1
    (`"constant"`), or exponential with mean 1 (`"exponential"`).

    Features are independent, except inside the sets named here; $p_i$ stays the marginal probability of feature i:

    * `correlated_sets`: all members are active together; their magnitudes are independent. Members share one $p$.
    * `anticorrelated_sets`: at most one member is active; their $p_i$ add up to at most 1. (The paper's "one of a pair,
      with probability $1-S$" is $p_i = (1-S)/2$.)

    Or in one of two other ways:

    * `parents`: `parents[i]` is the feature that must be active for feature i to be, or -1; trees of any depth, in any
      order. Feature i is active with probability $p_i / p_{\text{parent}}$ while its parent is, independently of all else,
      so $p_i \le p_{\text{parent}}$. With `exclusive_children` at most one child of a parent is active; children of one
      parent then add up to at most its probability. Sets may name features outside of all trees.
    * `correlation` = ρ: a Gaussian copula with one factor. Feature i is active where a standard normal variable is below
      $\Phi^{-1}(p_i)$; the variables of i and j have correlation $\sqrt{\rho_i \rho_j}$. A scalar or one value per
      feature (0: independent of all others), in [0, 1). Magnitudes are independent of each other and of activity. None
      costs nothing. Not together with sets or parents.
    * `world`: where one is decides which features are likely. The position is on a `"circle"`, `"figure_eight"`, `"sphere"`
      or `"line"`, with numbers `sharpness`, `log_odds` and `noise`; or it is a row of `logits`, (positions, n_features), all
      equally likely (`"logits"`). `superpos.data.worlds` has the equations. `feature_probability` is left at 1 then, and
      `probabilities` are integrals over positions.

    Elhage et al. 2022, "Demonstrating Superposition" and "Correlated and Anticorrelated Features". Chanin et al. 2024, "A is
    for Absorption", for hierarchies; Sharkey, Braun and Millidge 2022, "Taking features out of superposition with sparse
    autoencoders", for the copula.

    >>> features = sp.FeatureDistribution(n_features=3, feature_probability=0.2)
    >>> round(float(features.moment(1)[0]), 3)  # p/2
    0.1
    """

    n_features: int = jax.tree.static()  # shape of x
    feature_probability: PerFeature = 1.0  # scalar or (n_features,); may be traced
    magnitude: str = jax.tree.static(default="uniform")  # chooses code
    correlated_sets: Sets = jax.tree.static(default=())  # index structure
    anticorrelated_sets: Sets = jax.tree.static(default=())
    parents: dependence.Parents = jax.tree.static(default=())  # index structure
    exclusive_children: bool = jax.tree.static(default=False)  # chooses code
    correlation: PerFeature | None = None  # scalar or (n_features,); may be traced
    world: str | None = jax.tree.static(default=None)  # chooses code
    sharpness: OptionalScalar = None  # how much being near raises the log-odds of a feature
    log_odds: OptionalScalar = None  # half-way between near and far
    noise: OptionalScalar = None  # standard deviation of noise of the log-odds; None costs nothing
    logits: Any = None  # (positions, n_features)

    def check(self) -> None:
        """Raise `ConfigError` naming the first field that is not allowed. Numeric fields may be stacked."""
        check.integer("n_features", self.n_features, at_least=1, at_most=MAX_FEATURES)
        check.in_range("feature_probability", self.feature_probability, above=0, at_most=1)
        check.one_of("magnitude", self.magnitude, MAGNITUDES)
        taken: set[int] = set()
        for field in ("correlated_sets", "anticorrelated_sets"):
            sets = getattr(self, field)
            if not isinstance(sets, tuple) or not all(isinstance(members, tuple) for members in sets):
                raise ConfigError(
                    f"{field} must be a tuple of tuples such as ((0, 1), (2, 3)), got {check.short(sets)}."
                )
            for members in sets:
                if len(members) < 2:
                    raise ConfigError(f"{field} must hold sets of two or more features, got {list(members)}.")
                for i in members:
                    check.integer(f"{field}: a feature index", i, at_most=self.n_features - 1)
                    if i in taken:
                        raise ConfigError(f"{field} names feature {i} twice; a feature belongs to one set at most.")
                    taken.add(i)
        self._check_structure(taken)
        worlds.check_world(self)
        if arrays.is_traced(self.feature_probability):
            return
        p = arrays.as_numpy("feature_probability", self.feature_probability).astype(np.float64)
        if p.ndim and p.shape[-1] != self.n_features:
            raise ConfigError(f"feature_probability must be one number or {self.n_features}, got shape {p.shape}.")
        p = np.broadcast_to(p if p.ndim else p[None], (*p.shape[:-1], self.n_features))
        for members in self.correlated_sets:
            if np.any(p[..., members] != p[..., members[:1]]):
                raise ConfigError(f"feature_probability must be equal within the correlated set {list(members)}.")
        for members in self.anticorrelated_sets:
            total = float(np.max(np.sum(p[..., members], axis=-1)))
            if total > 1 + 1e-6:
                raise ConfigError(
                    f"feature_probability must add up to at most 1 within the anticorrelated set {list(members)}, "
                    f"got {total:g}."
                )
        if self.parents:
            dependence.check_family_probabilities(p, self.parents, self.exclusive_children)

    def _check_structure(self, in_sets: set[int]) -> None:
        """The part of `check` about `parents`, `exclusive_children` and `correlation`."""
        check.boolean("exclusive_children", self.exclusive_children)
        if not isinstance(self.parents, tuple) or self.parents:
            dependence.check_parents(self.parents, self.n_features)
            in_trees = {j for i, k in enumerate(self.parents) if k >= 0 for j in (i, k)}
            if both := sorted(in_trees & in_sets):
                raise ConfigError(
                    f"parents: feature {both[0]} has a parent or children and is in one of the correlated_sets or "
                    "anticorrelated_sets; it may have only one of them."
                )
        elif self.exclusive_children:
            raise ConfigError("exclusive_children must be false where parents is ().")
        if self.correlation is None:
            return
        dependence.check_correlation(self.correlation, self.n_features)
        for field in ("correlated_sets", "anticorrelated_sets", "parents"):
            if getattr(self, field):
                raise ConfigError(f"correlation must be None where {field} is not ().")

    @property
    def dependent_through(self) -> str | None:
        """The first field that makes features depend on one another; None where they are independent."""
        for field in ("correlated_sets", "anticorrelated_sets", "parents"):
            if getattr(self, field):
                return field
        if self.world is not None:
            return "world"
        return None if self.correlation is None else "correlation"

    @property
    def probabilities(self) -> Float[Array, " n_features"]:
        """$p_i$ for every feature, shape (n_features,)."""
        if self.world is not None:
            q, weights = worlds.probability_nodes(self)
            return worlds.integral(q, jnp.asarray(weights, q.dtype))
        return self._of_every_feature("feature_probability")

    @property
    def _correlations(self) -> Float[Array, " n_features"]:
        return self._of_every_feature("correlation")

    def _of_every_feature(self, field: str) -> Float[Array, " n_features"]:
        value = arrays.as_array(field, getattr(self, field), finite=False, empty=True)
        if value.shape not in ((), (self.n_features,)):
            raise ConfigError(f"{field} must be one number or {self.n_features}, got shape {value.shape}.")
        return jnp.broadcast_to(jnp.asarray(value, float), (self.n_features,))

    def sample(self, key: PRNGKeyArray, batch_size: int) -> Float[Array, "n_features batch"]:
        """Draw `batch_size` inputs as the *columns* of an (n_features, batch_size) array.

        One uniform number per feature is enough: u < p decides activity, and u / p is again uniform. The draw does not
        depend on p, so models that share a key see the same underlying numbers (common random numbers). Parents and a
        common factor leave features independent given what they depend on, with another probability in place of p. Only
        correlated and anticorrelated sets need one further number per set, and a factor one in all.
        """
        self.check()
        if self.world is not None:
            return self._sample_by_position(key, batch_size)
        p = self.probabilities[:, None]
        if self.parents:
            p = dependence.given_family(p, self.parents, self.exclusive_children)
        u = unit_uniform(key, (self.n_features, batch_size))
        if self.correlation is not None:
            factor = ndtri(unit_uniform(jax.random.fold_in(key, 2), (1, batch_size)))
            p = jnp.maximum(dependence.given_factor(p, self._correlations[:, None], factor), MIN_PROBABILITY)
        if not (self.correlated_sets or self.anticorrelated_sets):
            active, v = u < p, u / p
        else:
            # `switch` is the number that decides activity: feature i is active for switch in [low_i, low_i + p_i).
            sets = (*self.correlated_sets, *self.anticorrelated_sets)
            shared = unit_uniform(jax.random.fold_in(key, 1), (len(sets), batch_size))
            switch, low = u, jnp.zeros_like(p)
            for k, members in enumerate(sets):
                switch = switch.at[np.array(members)].set(shared[k])
            for members in self.anticorrelated_sets:
                p_members = p[np.array(members)]
                low = low.at[np.array(members)].set(jnp.cumsum(p_members, axis=0) - p_members)
            active = (switch >= low) & (switch < low + p)
            v = (switch - low) / p
            for members in self.correlated_sets:  # one switch for all members, so magnitudes need their own draw
                v = v.at[np.array(members)].set(u[np.array(members)])
        if self.parents:
            active = dependence.within_family(active, self.parents, self.exclusive_children)
        return jnp.where(active, magnitude_of(self.magnitude, v), 0.0)

    def _sample_by_position(self, key: PRNGKeyArray, batch_size: int) -> Float[Array, "n_features batch"]:
        shape = (self.n_features, batch_size)
        place = unit_uniform(jax.random.fold_in(key, 3), (2, batch_size))
        normal = None if self.noise is None else ndtri(unit_uniform(jax.random.fold_in(key, 4), shape))
        q = jnp.maximum(worlds.drawn_probability(self, place, normal), MIN_PROBABILITY)
        u = unit_uniform(key, shape)
        return jnp.where(u < q, magnitude_of(self.magnitude, u / q), 0.0)

    def moment(self, order: int) -> Float[Array, " n_features"]:
        r"""$E[x_i^k]$ for order k = 1, 2 or 3, shape (n_features,): $p_i$ times the magnitude's moment."""
        check.integer("order", order, at_least=1, at_most=3)
        return self.probabilities * MAGNITUDE_MOMENTS[self.magnitude][order - 1]

    def co_activation(self) -> Float[Array, "n_features n_features"]:
        r"""$P(x_i \neq 0 \text{ and } x_j \neq 0)$; the diagonal is $p_i$."""
        p = self.probabilities
        if self.world is not None:
            q, weights = worlds.probability_nodes(self)
            both = worlds.integral(q * jnp.asarray(weights, q.dtype)[None], q.T)
        elif self.parents:
            both = dependence.family_co_activation(p, self.parents, self.exclusive_children)
        elif self.correlation is not None:
            both = dependence.factor_co_activation(p, self._correlations)
        else:
            both = p[:, None] * p[None, :]
        for members in self.correlated_sets:
            both = both.at[np.ix_(members, members)].set(p[members[0]])
        for members in self.anticorrelated_sets:
            both = both.at[np.ix_(members, members)].set(0.0)
        return jnp.fill_diagonal(both, p, inplace=False)

    def second_moments(self) -> Float[Array, "n_features n_features"]:
        r"""$E[x x^\top]$, shape (n_features, n_features)."""
        mean_magnitude = MAGNITUDE_MOMENTS[self.magnitude][0]
        return jnp.fill_diagonal(self.co_activation() * mean_magnitude**2, self.moment(2), inplace=False)


def unit_uniform(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Uniform numbers strictly inside (0, 1) with a resolution of 2⁻³² near 0.

    `jax.random.uniform` in float32 has steps of 2⁻²³: at p = 1e-4 an active feature would take only 840 values, all of
    them rounded down. Both precisions get the same draws.
    """
    return unit_uniform_of(jax.random.bits(key, shape, jnp.uint32))


def unit_uniform_of(bits: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """The uniform number strictly inside (0, 1) that 32 random bits stand for."""
    u = (bits.astype(float) + 0.5) * 2.0**-32
    return jnp.minimum(u, 1 - jnp.finfo(u.dtype).epsneg)  # the largest float below 1, so that p = 1 is always active


def magnitude_of(name: str, v: Float[Array, "..."]) -> Float[Array, "..."]:
    """Map v, uniform on [0, 1), to the named magnitude."""
    match name:
        case "uniform":
            return v
        case "signed_uniform":
            return 2 * v - 1
        case "constant":
            return jnp.ones_like(v)
        case "exponential":
            # v is a quotient: where the feature is inactive it may be 1 or more, and rounding may reach 1.
            return -jnp.log1p(-jnp.minimum(v, 1 - jnp.finfo(v.dtype).epsneg))
    raise ConfigError(f"magnitude must be one of {', '.join(MAGNITUDES)}, got {name!r}.")
