"""The toy model in a world with a latent position, whose features come together by where one is."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from superpos.arrays import OptionalScalar
from superpos.data.worlds import NUMBERS
from superpos.tasks.registry import register
from superpos.tasks.toy import Toy


@register("world_toy")
@dataclass(frozen=True, kw_only=True)
class WorldToy(Toy):
    r"""The toy model of superposition on features that are likely by where one is on a manifold.

    Model and loss are those of `Toy`. The inputs are those of `FeatureDistribution` with a `world`: feature i has a place
    on the circle, figure-eight, sphere or line, and is active with probability $\sigma(s\,\kappa(z, c_i) + \ell)$ at the
    position z (`superpos.data.worlds`). Such features interfere constructively: a linear model in the plane lays them
    around a ring, in the order in which the data has them.

    Fields that may be swept without recompiling: those of `Toy` but `feature_probability`, which the world decides;
    `sharpness`, `log_odds`, `noise` and `logits`. The expected loss is known for linear models
    (`activation="identity"`); ReLU models train on samples.

    >>> task = sp.tasks.WorldToy(n_features=12, n_hidden=2, world="circle", sharpness=5, log_odds=-2)
    >>> round(float(task.features.probabilities[0]), 4)
    0.3567
    """

    NAMES: ClassVar[dict[str, str]] = Toy.NAMES | {"log_odds": "log-odds"}
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = (*Toy.ALWAYS_SAID, "world", *NUMBERS)

    world: str = jax.tree.static(default="circle")  # chooses code
    sharpness: OptionalScalar = None  # how much being near raises the log-odds of a feature
    log_odds: OptionalScalar = None  # half-way between near and far
    noise: OptionalScalar = None  # of the log-odds; None costs nothing
    logits: Any = None  # (positions, n_features), for world="logits"
