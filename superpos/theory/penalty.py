r"""What an L1 penalty on the hidden layer costs a feature."""

from typing import Any

import numpy as np

from superpos import arrays, check


def vanishing_penalty(importance: Any) -> Any:
    r"""The weight λ of $E\|h\|_1$ above which a sparse feature is better left out, one for each importance.

    A feature along a hidden axis with $\|W_i\| = w$, nobody beside it and b = 0, uniform on [0, 1] with probability p, costs

    $$p \left( \tfrac{I_i}{3} (1 - w^2)^2 + \tfrac{\lambda}{2} w \right),$$

    and p I_i/3 where it is left out. The least of it over w > 0 meets that where $w^2 = 2/3$, at
    $\lambda = \tfrac89 \sqrt{2/3} \, I_i = 0.726 \, I_i$: the feature vanishes in a jump. Sharing a hidden axis with an
    opposite partner costs order p² more, so for p → 0 this is where every feature goes, in superposition or not. (With a bias
    or at finite p it goes earlier.)

    >>> round(float(sp.theory.vanishing_penalty(1.0)), 3)
    0.726

    Raises:
        ConfigError: an importance is negative.
    """
    weights = arrays.as_numpy("importance", importance, empty=True)
    check.in_range("importance", weights, at_least=0)
    return 8 / 9 * np.sqrt(2 / 3) * weights
