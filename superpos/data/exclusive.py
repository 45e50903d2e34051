"""Exactly one feature active: the inputs of Chen et al. 2023, "Dynamical versus Bayesian Phase Transitions"."""

from typing import Any

from superpos import check
from superpos.data.frequencies import MAX_FEATURES


def one_active(n_features: int) -> dict[str, Any]:
    r"""Settings under which exactly one of `n_features` features is active, each as often.

    They are those of one anticorrelated set of all features whose probabilities, 1/n each, add up to 1; pass them to
    `FeatureDistribution` or to a task. With its magnitude uniform on [0, 1] this is the toy model of
    [arXiv:2310.06301](https://arxiv.org/abs/2310.06301). It is the limit of rare independent features, seen only where
    something is active. The expected loss of a ReLU model is a polynomial on pieces then, and exact at every `order`.
    (In single precision, one draw in about ten million has no active feature.)

    >>> sp.data.one_active(2)
    {'feature_probability': 0.5, 'anticorrelated_sets': ((0, 1),)}

    Raises:
        ConfigError: `n_features` is no whole number of at least 2.
    """
    check.integer("n_features", n_features, at_least=2, at_most=MAX_FEATURES)
    n = int(n_features)
    return {"feature_probability": 1 / n, "anticorrelated_sets": (tuple(range(n)),)}
