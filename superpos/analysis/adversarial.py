"""How far a small change of the input can throw one model off: the analytic attack, and an optimised one."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.data import FeatureDistribution
from superpos.errors import ConfigError
from superpos.models.toy import ToyModel
from superpos.theory.attacks import Inputs, analytic_attack

ATTACKS = ("analytic", "optimised")

# Norm of an attack in units of the mean input norm (Elhage et al. 2022, "Superposition and Adversarial Robustness").
RELATIVE_NORM = 0.1

ASCENT_STEPS = 60
# First step of the ascent in units of the attack's norm; the steps shrink linearly to 0.
ASCENT_RATE = 0.5


def squared_error(outputs: Inputs, x: Inputs) -> Float[Array, " batch"]:
    """The paper's loss of every example: the sum over features of (x_i − x'_i)²."""
    return jnp.sum((outputs - x) ** 2, axis=0)


def vulnerability(
    model: ToyModel,
    features: FeatureDistribution,
    *,
    attack: str = "analytic",
    relative_norm: float = RELATIVE_NORM,
    samples: int = 512,
    seed: int = 0,
) -> float:
    r"""What an attack of small norm costs one model, relative to a model without superposition.

    $$V = E\,[\ell(x + \delta) - \ell(x)] \,/\, \varepsilon^2, \qquad \ell = \textstyle\sum_i (x_i - x'_i)^2, \quad
      \|\delta\| \le \varepsilon = \text{relative\_norm} \cdot E\,\|x\|,$$

    the loss always taken against the inputs before the attack. A model that gives m features a dimension each, $W = [1\;0]$,
    has V = 1 exactly: whatever is added to a feature comes out again, and nothing else. `attack` is "analytic": of the 2n
    attacks along $\pm(W^\top W)_i$ the most harmful for every example; or "optimised": projected gradient ascent that
    starts there. Expectations are means over `samples` inputs drawn with `seed`.

    Elhage et al. 2022, "Superposition and Adversarial Robustness".

    Raises:
        ConfigError: a word or number is not allowed, or the model is of another number of features.
    """
    check.one_of("attack", attack, ATTACKS)
    check.number("relative_norm", relative_norm, above=0)
    check.scalar("relative_norm", relative_norm)
    check.integer("samples", samples, at_least=1, at_most=2**20)
    check.integer("seed", seed)
    arrays.of_kind("model", model, ToyModel)
    arrays.of_kind("features", features, FeatureDistribution)
    features.check()
    if model.W.shape[1] != features.n_features:
        raise ConfigError(f"model must have {features.n_features} features, as the inputs do, got {model.W.shape[1]}.")
    use_compilation_cache()
    return float(_vulnerability(model, features, jnp.asarray(relative_norm, float), attack, samples, seed))


@partial(jax.jit, static_argnames=("attack", "samples"))
def _vulnerability(
    model: ToyModel, features: FeatureDistribution, relative_norm: Any, attack: str, samples: int, seed: Any
) -> Float[Array, ""]:
    x = features.sample(jax.random.key(seed), samples)
    norm = relative_norm * jnp.mean(jnp.linalg.norm(x, axis=0))
    attacks = (analytic_attack if attack == "analytic" else optimised_attack)(model, x, norm, squared_error)
    rise = squared_error(model(x + attacks), x) - squared_error(model(x), x)
    return jnp.mean(rise) / norm**2


def optimised_attack(
    model: ToyModel, x: Any, norm: Any, loss: Any = squared_error, *, steps: int = ASCENT_STEPS
) -> Inputs:
    r"""The most harmful $\delta$ with $\|\delta\| \le$ `norm` that projected gradient ascent finds for each example.

    Inputs are the columns of `x`, and so are the attacks. The ascent starts at the analytic attack (at the inputs
    themselves most outputs are switched off and have no gradient), takes normalised steps of shrinking length, returns to
    the ball after each, and keeps the worst point it met: it is never weaker than where it started.
    """

    arrays.of_kind("model", model, ToyModel)
    x = jnp.asarray(arrays.as_array("x", x, shape=(model.W.shape[1], None)))
    check.integer("steps", steps)

    def ascend(k: Any, state: Any) -> Any:
        attack, worst, harm = state
        gradient = jax.grad(lambda d: jnp.sum(loss(model(x + d), x)))(attack)
        rate = ASCENT_RATE * (1 - k / steps)
        attack = _onto_ball(attack + rate * norm * _unit(gradient), norm)
        losses = loss(model(x + attack), x)
        worse = losses > harm
        return attack, jnp.where(worse[None], attack, worst), jnp.where(worse, losses, harm)

    start = analytic_attack(model, x, norm, loss)
    return jax.lax.fori_loop(0, steps, ascend, (start, start, loss(model(x + start), x)))[1]


def _lengths(columns: Inputs) -> Float[Array, "1 batch"]:
    return jnp.sqrt(jnp.sum(columns**2, axis=0, keepdims=True))


def _unit(columns: Inputs) -> Inputs:
    lengths = _lengths(columns)
    return columns * jnp.where(lengths > 0, 1 / jnp.where(lengths > 0, lengths, 1), 0)


def _onto_ball(columns: Inputs, norm: Any) -> Inputs:
    lengths = _lengths(columns)
    return columns * jnp.where(lengths > norm, norm / jnp.where(lengths > norm, lengths, 1), 1)
