r"""The world of SynthSAEBench, a public benchmark of sparse autoencoders, at its own size or as a miniature of it.

Chanin and Garriga-Alonso 2026, "SynthSAEBench: Evaluating Sparse Autoencoders on Scalable Realistic Synthetic Data",
arXiv:2602.14687; its numbers and its mechanism are those of the published code (SAELens, `sae_lens.synthetic`).
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from superpos import arrays, check
from superpos.data import dependence
from superpos.data.directions import spread_directions
from superpos.data.distribution import FeatureDistribution
from superpos.data.frequencies import MAX_FEATURES, zipf_between
from superpos.errors import ConfigError

BRANCHING, DEPTH = 4, 3  # children of a feature, generations below a root
EXPONENT = 0.5  # of Zipf's law
FACTORS, LOADING = 25, 0.1  # common factors, and the standard deviation of a loading on each
LONGEST_ROW = 0.99  # squared length that loadings of one feature may have
MEANS = (5.0, 4.0)  # of magnitudes, of the first feature and the last
STD_MEAN, STD_STD = 0.5, 0.5  # of the normal number whose absolute value is a magnitude's standard deviation

Probabilities = Float[np.ndarray, " n_features"]


@dataclass(frozen=True)
class BenchmarkWorld:
    """Features, the directions they are written in, and what their frequencies would be without trees."""

    features: FeatureDistribution
    directions: Float[np.ndarray, "n_hidden n_features"]
    zipf: Probabilities  # the law that frequencies were taken from

    def settings(self) -> dict[str, Any]:
        """What a task is told of this world: `superpos.tasks.SparseAutoencoder(**world.settings(), n_latents=64)`."""
        names = ("n_features", "feature_probability", "parents", "exclusive_children", "scale_by_parent")
        names += ("correlation_factor", "magnitude", "magnitude_mean", "magnitude_std")
        settings = {name: getattr(self.features, name) for name in names}
        return {"n_hidden": len(self.directions), "directions": self.directions, **settings}


def synthsaebench(
    n_features: int = 16_384,
    n_hidden: int = 768,
    *,
    n_trees: int | None = None,
    most: float = 0.4,
    least: float = 5e-4,
    seed: int = 0,
) -> BenchmarkWorld:
    r"""SynthSAEBench-16k, or with other sizes a miniature of the same form.

    * **Trees.** `n_trees` (one for every 128 features) with 4 children for every feature and 3 generations below the root,
      numbered generation by generation from the most frequent feature on; what is left over stands alone. At the published
      size 10,880 features are in trees. Children of one parent exclude one another, and are scaled by it (`scale_by_parent`).
    * **Frequencies.** `zipf_between(n_features, 0.5, most, least)`, and of children what the trees make of that
      (`frequencies_in_trees`): about 34 features are active at the published size, 25 of them among the first 4,096.
    * **Correlation.** 25 common factors with loadings of standard deviation 0.1 (`correlation_factor`).
    * **Magnitudes.** $|\mu_i + \sigma_i z|$ with $\mu$ from 5 down to 4 in equal steps and $\sigma_i = |0.5 + 0.5 z_i|$.
    * **Directions.** Random ones, moved apart a little (`spread_directions`).

    The draw is ours: loadings, magnitudes and directions are not the published file's, only their laws are. Further
    differences:

    * Frequencies stay as declared whatever the correlations are. There a child stays correlated with its ancestors and
      siblings, and its frequency drifts with that (`superpos.data.correlation`).
    * A normal magnitude below 0 is folded. There it is cut off, and the feature is not active.
    * There a constant vector of length 0.5 is added to every hidden layer. Here there is none: it is what a decoder bias
      learns.

    Args:
        n_features: shape of x.
        n_hidden: dimensions of the hidden layer.
        n_trees: how many; `n_features` // 128, one at least.
        most: probability of the most frequent feature.
        least: of the rarest by Zipf's law.
        seed: of loadings, magnitudes and directions.

    Raises:
        ConfigError: a number is not allowed, or there are more roots than features.
    """
    check.integer("n_features", n_features, at_least=1, at_most=MAX_FEATURES)
    check.integer("n_hidden", n_hidden, at_least=1, at_most=MAX_FEATURES)
    check.integer("seed", seed)
    n_trees = max(1, n_features // 128) if n_trees is None else n_trees
    check.integer("n_trees", n_trees, at_least=1, at_most=n_features)
    zipf = zipf_between(n_features, EXPONENT, most, least)
    parents = trees_by_generation(n_features, n_trees)
    rng = np.random.default_rng(seed)
    features = FeatureDistribution(
        n_features=n_features,
        feature_probability=frequencies_in_trees(zipf, parents),
        parents=parents,
        exclusive_children=True,
        scale_by_parent=True,
        correlation_factor=random_loadings(rng, n_features, FACTORS, LOADING),
        magnitude="folded_normal",
        magnitude_mean=np.linspace(*MEANS, n_features),
        magnitude_std=np.abs(STD_MEAN + STD_STD * rng.standard_normal(n_features)),
    )
    features.check()
    directions = np.asarray(spread_directions(jax.random.key(seed), n_hidden, n_features))
    return BenchmarkWorld(features, directions, zipf)


def trees_by_generation(n_features: int, n_trees: int) -> dependence.Parents:
    """Parents of features that are numbered generation by generation: the roots, all their children, and so on."""
    parents, level, following = [-1] * n_features, range(n_trees), n_trees
    for _ in range(DEPTH):
        born = range(following, min(following + BRANCHING * len(level), n_features))
        for place, child in enumerate(born):
            parents[child] = level[place // BRANCHING]
        level, following = born, born.stop
    return tuple(parents)


def frequencies_in_trees(base: Any, parents: dependence.Parents) -> Probabilities:
    r"""How often features are active in the trees of SynthSAEBench, where `base` frequencies b were asked for.

    There a feature k with parent q has a switch of its own, on with probability
    $c_k = \min(1, \frac{b_k}{b_q} (1 + \sum_{j \ne k} \frac{b_j}{b_q}))$ over its siblings j; of siblings whose switches are
    on one, by lot, is active, where their parent is. So

    $$p_k = p_q\, c_k\, E\,\frac{1}{1 + N_k},$$

    with $N_k$ the number of its siblings' switches that are on. This is $b_k$ to first order in the ratios; where children
    together are asked for more often than their parent they share what it has. Correlations are left out.

    Raises:
        ConfigError: `base` are no probabilities, or `parents` no trees.
    """
    b = arrays.as_numpy("base", base).astype(float)
    if b.ndim != 1:
        raise ConfigError(f"base must be one number per feature, got shape {b.shape}.")
    check.in_range("base", b, above=0, at_most=1)
    dependence.check_parents(parents, len(b))
    children: dict[int, list[int]] = {}
    for child, parent in enumerate(parents):
        children.setdefault(parent, []).append(child)
    p, level = b.copy(), children.get(-1, [])
    while level:
        for parent in level:
            siblings = np.array(children.get(parent, []), int)
            asked = b[siblings] / b[parent]
            on = np.minimum(1, asked * (1 + asked.sum() - asked))
            for place, child in enumerate(siblings):
                p[child] = p[parent] * on[place] * _mean_share(np.delete(on, place))
        level = [child for parent in level for child in children.get(parent, [])]
    return p


def _mean_share(on: np.ndarray) -> float:
    """E 1 / (1 + N) for the number N of independent switches that are on, from the distribution of N."""
    counts = np.ones(1)
    for chance in on:
        counts = np.convolve(counts, [1 - chance, chance])
    return float(np.sum(counts / np.arange(1, len(counts) + 1)))


def random_loadings(
    rng: np.random.Generator, n_features: int, n_factors: int, scale: float
) -> Float[np.ndarray, "n_features n_factors"]:
    """Normal loadings with standard deviation `scale`; all are made smaller together where one row would be too long."""
    loadings = scale * rng.standard_normal((n_features, n_factors))
    longest = np.max(np.sum(loadings**2, axis=1))
    return loadings * np.sqrt(LONGEST_ROW / longest) if longest >= 1 else loadings
