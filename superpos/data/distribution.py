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
from superpos.data import correlation, dependence, documents, fixed_number, magnitudes, manifolds, worlds
from superpos.data.frequencies import MAX_FEATURES
from superpos.errors import ConfigError

# The least number that `unit_uniform` draws, and so the largest probability at which nothing is ever active.
MIN_PROBABILITY = 2.0**-33

Sets = tuple[tuple[int, ...], ...]


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class FeatureDistribution:
    r"""Sparse features $x \in \mathbb{R}^n$: each is zero, or active with a random magnitude.

    $P(x_i \neq 0) = p_i$ = `feature_probability` (a scalar, or one value per feature). The paper's sparsity is
    $S = 1 - p$. An active feature is uniform on [0, 1] (`"uniform"`), uniform on [-1, 1] (`"signed_uniform"`), 1
    (`"constant"`), exponential with mean 1 (`"exponential"`), the absolute value of a normal number (`"folded_normal"`) or
    one of some values (`"discrete"`); `magnitude` may also name a law for every feature. The laws' numbers are the fields
    `magnitude_low`, `magnitude_high`, `magnitude_value`, `magnitude_rate`, `magnitude_mean`, `magnitude_std`,
    `magnitude_values` and `magnitude_weights` (`superpos.data.magnitudes`).

    Features are independent, except inside the sets named here; $p_i$ stays the marginal probability of feature i:

    * `correlated_sets`: all members are active together; their magnitudes are independent. Members share one $p$.
    * `anticorrelated_sets`: at most one member is active; their $p_i$ add up to at most 1. (The paper's "one of a pair,
      with probability $1-S$" is $p_i = (1-S)/2$.)

    Or in one of other ways:

    * `parents`: `parents[i]` is the feature that must be active for feature i to be, or -1; trees of any depth, in any
      order. Feature i is active with probability $p_i / p_{\text{parent}}$ while its parent is, independently of all else,
      so $p_i \le p_{\text{parent}}$. With `exclusive_children` at most one child of a parent is active; children of one
      parent then add up to at most its probability. Sets may name features outside of all trees. With `scale_by_parent` a
      child's magnitude is multiplied by its parent's value over the parent's mean while active.
    * `correlation` = ρ: a Gaussian copula with one factor. Feature i is active where a standard normal variable is below
      $\Phi^{-1}(p_i)$; the variables of i and j have correlation $\sqrt{\rho_i \rho_j}$. A scalar or one value per
      feature (0: independent of all others), in [0, 1). Magnitudes are independent of each other and of activity. None
      costs nothing. Or any `correlation_matrix`, (n_features, n_features), or `correlation_factor`, loadings on several
      common factors, (n_features, factors). Not together with sets. Together with parents the correlations act on what the
      tree leaves open, and $p_i$ stays the marginal (`superpos.data.correlation` has the equations).
    * `world`: where one is decides which features are likely. The position is on a `"circle"`, `"figure_eight"`, `"sphere"`
      or `"line"`, with numbers `sharpness`, `log_odds` and `noise`; or it is a row of `logits`, (positions, n_features), all
      equally likely (`"logits"`). `superpos.data.worlds` has the equations. `feature_probability` is left at 1 then, and
      `probabilities` are integrals over positions. In the world of `"documents"` an input is a row of a table of counts,
      (documents, n_features), times magnitudes; a share `held_out` of the rows is not trained on, and `part` says which rows
      are drawn (`superpos.data.documents`). In the world of a `"fixed_number"` exactly `n_active` features are active in
      every input, each set of them as often (`superpos.data.fixed_number`).
    * `manifolds`: features are points on a `"circle"`, `"sphere"`, `"torus"` or `"hypersphere"` times a magnitude, in as many
      coordinates of x as their points have; all of a manifold share one $p$ and one magnitude (`superpos.data.manifolds`).
      `anticorrelated_sets` hold whole manifolds then, of which one at most is active, and count each manifold's $p$ once.

    Elhage et al. 2022, "Demonstrating Superposition" and "Correlated and Anticorrelated Features". Chanin et al. 2024, "A is
    for Absorption", for hierarchies; Sharkey, Braun and Millidge 2022, "Taking features out of superposition with sparse
    autoencoders", for the copula.

    >>> features = sp.FeatureDistribution(n_features=3, feature_probability=0.2)
    >>> round(float(features.moment(1)[0]), 3)  # p/2
    0.1
    """

    n_features: int = jax.tree.static()  # shape of x
    feature_probability: PerFeature = 1.0  # scalar or (n_features,); may be traced
    magnitude: str | tuple[str, ...] = jax.tree.static(default="uniform")  # chooses code
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
    correlation_matrix: Any = None  # (n_features, n_features)
    correlation_factor: Any = None  # (n_features, factors)
    scale_by_parent: bool = jax.tree.static(default=False)  # chooses code
    documents: Any = None  # (documents, n_features)
    held_out: float = jax.tree.static(default=0.0)  # number of rows
    part: str = jax.tree.static(default="training")  # which rows
    magnitude_low: PerFeature | None = None  # numbers of the laws of magnitudes; None costs nothing
    magnitude_high: PerFeature | None = None
    magnitude_value: PerFeature | None = None
    magnitude_rate: PerFeature | None = None
    magnitude_mean: PerFeature | None = None
    magnitude_std: PerFeature | None = None
    magnitude_values: Any = None  # (values,) or (n_features, values)
    magnitude_weights: Any = None  # of the same shape, or (values,)
    manifolds: tuple[str, ...] = jax.tree.static(default=())  # index structure
    n_active: OptionalScalar = None  # of the n_features, in every input

    def check(self) -> None:
        """Raise `ConfigError` naming the first field that is not allowed. Numeric fields may be stacked."""
        check.integer("n_features", self.n_features, at_least=1, at_most=MAX_FEATURES)
        check.in_range("feature_probability", self.feature_probability, above=0, at_most=1)
        magnitudes.check_magnitudes(self)
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
        manifolds.check_manifolds(self)
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
            total = float(np.max(np.sum(p[..., manifolds.once(self.manifolds, members)], axis=-1)))
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
        check.boolean("scale_by_parent", self.scale_by_parent)
        if self.scale_by_parent:
            if not self.parents:
                raise ConfigError("scale_by_parent must be false where parents is ().")
            if not magnitudes.is_positive(self):
                raise ConfigError("scale_by_parent must be false where a magnitude may be negative.")
        if (given := self.correlated_through) is None:
            return
        correlation.check_copula(self)
        for field in ("correlated_sets", "anticorrelated_sets"):
            if getattr(self, field):
                raise ConfigError(f"{given} must be None where {field} is not ().")

    @property
    def correlated_through(self) -> str | None:
        """The field that says how normal variables are correlated; None where there are none."""
        return next((field for field in correlation.FIELDS if getattr(self, field) is not None), None)

    @property
    def dependent_through(self) -> str | None:
        """The first field that makes features depend on one another; None where they are independent."""
        for field in ("correlated_sets", "anticorrelated_sets", "parents", "manifolds"):
            if getattr(self, field):
                return field
        if self.world is not None:
            return "world"
        return self.correlated_through

    @property
    def probabilities(self) -> Float[Array, " n_features"]:
        """$p_i$ for every feature, shape (n_features,)."""
        if self.world == "documents":
            return documents.mean_powers(self, 0)
        if self.world == fixed_number.WORLD:
            return fixed_number.probabilities(self)
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
        correlated and anticorrelated sets need one further number per set, a factor one in all, and a correlation matrix (or
        correlations together with parents) one further number per feature.
        """
        self.check()
        if self.world == "documents":
            u = unit_uniform(key, (self.n_features, batch_size))
            place = unit_uniform(jax.random.fold_in(key, 3), (batch_size,))
            counts = documents.draw(self, place)
            return jnp.where(counts > 0, counts * magnitudes.drawn(self, u), 0.0)
        if self.world == fixed_number.WORLD:
            u = unit_uniform(key, (self.n_features, batch_size))
            return self._values(*fixed_number.draw(fixed_number.number_of(self), u))
        if self.world is not None:
            return self._sample_by_position(key, batch_size)
        p = self.probabilities[:, None]
        if self.correlation_matrix is not None or (self.correlated_through and self.parents):
            return self._sample_by_switches(key, p, batch_size)
        if self.parents:
            p = dependence.given_family(p, self.parents, self.exclusive_children)
        u = unit_uniform(key, (self.n_features, batch_size))
        if self.manifolds:
            switch, low = u[manifolds.first_coordinates(self.manifolds)], jnp.zeros_like(p)
            if self.anticorrelated_sets:
                switch, low = self._shared_switches(key, switch, p)
            active = (switch >= low) & (switch < low + p)
            x = magnitudes.drawn(self, (switch - low) / p) * manifolds.points(self.manifolds, u)
            return jnp.where(active, x, 0.0)
        if self.correlation is not None:
            factor = ndtri(unit_uniform(jax.random.fold_in(key, 2), (1, batch_size)))
            p = jnp.maximum(dependence.given_factor(p, self._correlations[:, None], factor), MIN_PROBABILITY)
        if self.correlation_factor is not None:
            F = correlation.loadings(self)
            factors = ndtri(unit_uniform(jax.random.fold_in(key, 2), (F.shape[1], batch_size)))
            p = jnp.maximum(correlation.given_factors(p, F, factors), MIN_PROBABILITY)
        if not (self.correlated_sets or self.anticorrelated_sets):
            active, v = u < p, u / p
        else:
            switch, low = self._shared_switches(key, u, p)
            active = (switch >= low) & (switch < low + p)
            v = (switch - low) / p
            for members in self.correlated_sets:  # one switch for all members, so magnitudes need their own draw
                v = v.at[np.array(members)].set(u[np.array(members)])
        if self.parents:
            active = dependence.within_family(active, self.parents, self.exclusive_children)
        return self._values(active, v)

    def _shared_switches(self, key: PRNGKeyArray, u: Array, p: Array) -> tuple[Array, Array]:
        """The numbers that decide activity, one for each set: feature i is active for switch in [low_i, low_i + p_i)."""
        sets = (*self.correlated_sets, *self.anticorrelated_sets)
        shared = unit_uniform(jax.random.fold_in(key, 1), (len(sets), u.shape[1]))
        switch, low = u, jnp.zeros_like(p)
        for k, members in enumerate(sets):
            switch = switch.at[np.array(members)].set(shared[k])
        for members in self.anticorrelated_sets:
            low = low.at[np.array(members)].set(manifolds.below(self.manifolds, members, p[np.array(members)]))
        return switch, low

    def _values(self, active: Array, v: Array) -> Float[Array, "n_features batch"]:
        """Inputs of which is active, and of v, uniform on [0, 1) for what is."""
        x = magnitudes.drawn(self, v)
        if self.scale_by_parent:
            mean = jnp.broadcast_to(magnitudes.moments_of(self)[0], (self.n_features,))[:, None]
            x = x * dependence.beyond_product(self.parents, jnp.where(active, x / mean, 1.0))
        return jnp.where(active, x, 0.0)

    def _sample_by_switches(self, key: PRNGKeyArray, p: Array, batch_size: int) -> Float[Array, "n_features batch"]:
        """Activity by normal variables of a correlation matrix, or of factors in trees; magnitudes have their own numbers."""
        normal = ndtri(unit_uniform(jax.random.fold_in(key, 5), (self.n_features, batch_size)))
        if self.correlation_matrix is not None:
            root = correlation.square_root(correlation.switch_matrix(self))
            switches = jnp.dot(root, normal, precision="highest")
        else:
            F = correlation.loadings(self)
            factors = ndtri(unit_uniform(jax.random.fold_in(key, 2), (F.shape[1], batch_size)))
            switches = correlation.family_switches(F, factors, normal, self.parents, self.exclusive_children)
        if self.parents:
            p = dependence.given_family(p, self.parents, self.exclusive_children)
        active = switches < ndtri(p)
        if self.parents:
            active = dependence.within_family(active, self.parents, self.exclusive_children)
        return self._values(active, unit_uniform(key, (self.n_features, batch_size)))

    def _sample_by_position(self, key: PRNGKeyArray, batch_size: int) -> Float[Array, "n_features batch"]:
        shape = (self.n_features, batch_size)
        place = unit_uniform(jax.random.fold_in(key, 3), (2, batch_size))
        normal = None if self.noise is None else ndtri(unit_uniform(jax.random.fold_in(key, 4), shape))
        q = jnp.maximum(worlds.drawn_probability(self, place, normal), MIN_PROBABILITY)
        u = unit_uniform(key, shape)
        return jnp.where(u < q, magnitudes.drawn(self, u / q), 0.0)

    def moment(self, order: int) -> Float[Array, " n_features"]:
        r"""$E[x_i^k]$ for order k = 1, 2 or 3, shape (n_features,): $p_i$ times the magnitude's moment.

        With `scale_by_parent` times $\prod_a E[m_a^k] / E[m_a]^k$ over the ancestors a; of documents the mean of $c^k$ in
        place of $p_i$. Of coordinates of a manifold 0 if k is odd.
        """
        check.integer("order", order, at_least=1, at_most=3)
        how_often = documents.mean_powers(self, order) if self.world == "documents" else self.probabilities
        moment = how_often * magnitudes.moments_of(self)[order - 1]
        if self.manifolds:
            moment = moment * (jnp.asarray(manifolds.mean_square(self.manifolds), float) if order == 2 else 0.0)
        return moment * self._spread_of_ancestors(order) if self.scale_by_parent else moment

    def _spread_of_ancestors(self, order: int) -> Float[Array, " n_features"]:
        r"""$\prod_a E[m_a^k] / E[m_a]^k$ over every feature's ancestors."""
        first, *_ = moments = magnitudes.moments_of(self)
        ratio = jnp.broadcast_to(moments[order - 1] / first**order, (self.n_features,))
        return dependence.beyond_product(self.parents, ratio[:, None])[:, 0]

    def co_activation(self) -> Float[Array, "n_features n_features"]:
        r"""$P(x_i \neq 0 \text{ and } x_j \neq 0)$; the diagonal is $p_i$."""
        p = self.probabilities
        if self.world == "documents":
            both = documents.mean_products(self, active=True)
        elif self.world == fixed_number.WORLD:
            both = fixed_number.co_activation(self)
        elif self.world is not None:
            q, weights = worlds.probability_nodes(self)
            both = worlds.integral(q * jnp.asarray(weights, q.dtype)[None], q.T)
        elif self.correlated_through and self.parents:
            both = correlation.tree_co_activation(p, self)
        elif self.parents:
            both = dependence.family_co_activation(p, self.parents, self.exclusive_children)
        elif self.correlation is not None:
            both = dependence.factor_co_activation(p, self._correlations)
        elif self.correlated_through:
            both = dependence.bivariate_normal(p, correlation.matrix_of(self))
        else:
            both = p[:, None] * p[None, :]
        for members in self.correlated_sets:
            both = both.at[np.ix_(members, members)].set(p[members[0]])
        for members in self.anticorrelated_sets:
            both = both.at[np.ix_(members, members)].set(0.0)
        for part in manifolds.slices(self.manifolds):
            both = both.at[part, part].set(p[part.start])
        return jnp.fill_diagonal(both, p, inplace=False)

    def second_moments(self) -> Float[Array, "n_features n_features"]:
        r"""$E[x x^\top]$, shape (n_features, n_features)."""
        if self.manifolds:
            return jnp.diag(self.moment(2))
        mean = magnitudes.moments_of(self)[0]
        products = documents.mean_products(self, active=False) if self.world == "documents" else self.co_activation()
        of_pairs = mean**2 if isinstance(mean, float) else mean[:, None] * mean[None, :]
        if self.scale_by_parent:  # two features share the scale of their lowest common ancestor
            common = dependence.lowest_common_ancestor(self.parents)
            first, second, _ = magnitudes.moments_of(self)
            own = jnp.broadcast_to(second / first**2, (self.n_features,))
            shared = (self._spread_of_ancestors(2) * own)[np.maximum(common, 0)]
            of_pairs = of_pairs * jnp.where(common >= 0, shared, 1.0)
        return jnp.fill_diagonal(products * of_pairs, self.moment(2), inplace=False)


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
