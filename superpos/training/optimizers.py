r"""How gradients become steps: the optimisers, which numbers each of them reads, and the learning rate over time.

With $g_t$ the gradient, $\eta_t$ the scheduled learning rate and λ = `weight_decay`, a step is
$\theta \leftarrow \theta - \eta_t (u_t + \lambda \theta)$, decoupled (AdamW), with $u_t$ by the name of the optimiser:

* `"adamw"`: Adam's $\hat m / (\sqrt{\hat v} + \epsilon)$, memories `beta1` and `beta2`.
* `"adam"`: the same, but λθ is added to the gradient *before* it is remembered (L2 regularisation, as in torch's Adam);
  alike where λ is 0.
* `"sgd"`: $g_t$; with `momentum` = μ, $m_t = g_t + \mu m_{t-1}$, or $g_t + \mu m_t$ if `nesterov`.
* `"rmsprop"`: $g_t / (\sqrt{v_t} + \epsilon)$ with memory `beta2` (.99 if None), then `momentum` as for SGD.
* `"lion"`: the sign of $\beta_1 m + (1 - \beta_1) g_t$, m with memory `beta2` (Chen et al. 2023; .9 and .99 if None).
* `"muon"`: for matrices (the last two axes of weights) SGD's step with `momentum` (.95 if None, Nesterov unless told
  otherwise), made nearly orthogonal by five Newton–Schulz rounds, times √max(1, outputs / inputs); Adam for biases and other
  vectors (Jordan et al. 2024, "Muon", whose matrices have outputs in rows, as ours do; a transformer's have them in columns,
  which its class says in `INPUTS_IN_ROWS`). The toy model's W counts as the map from features to the hidden layer.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from superpos import arrays
from superpos.errors import ConfigError
from superpos.identity.registered import function_of, register_function
from superpos.models.toy import FULL_PRECISION
from superpos.training.unit_norm_pull import unit_norm_pull

SCHEDULES = ("constant", "cosine", "linear")

# The numbers that each optimiser reads, beside the learning rate and the weight decay.
READS: dict[str, tuple[str, ...]] = {
    "adamw": ("beta1", "beta2", "epsilon"),
    "adam": ("beta1", "beta2", "epsilon"),
    "sgd": ("momentum", "nesterov"),
    "rmsprop": ("beta2", "epsilon", "momentum", "nesterov"),
    "lion": ("beta1", "beta2"),
    "muon": ("momentum", "nesterov", "beta1", "beta2", "epsilon"),
}
OPTIMIZERS = tuple(READS)

# Optimisers in words.
NAMES = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD", "rmsprop": "RMSprop", "lion": "Lion", "muon": "Muon"}

# What an optimiser takes for numbers that were left None; Adam's own memories are the task's.
USUAL: dict[str, dict[str, float]] = {
    "rmsprop": {"beta2": 0.99},
    "lion": {"beta1": 0.9, "beta2": 0.99},
    "muon": {"momentum": 0.95},
}

# The odd polynomial whose rounds bring singular values near 1, and the number of rounds (Jordan et al. 2024).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


# Numbers that optimisers read; those of one's own take some of them.
NUMBERS = ("beta1", "beta2", "epsilon", "momentum", "nesterov")

Factory = TypeVar("Factory", bound=Callable[..., optax.GradientTransformation])


def register(name: str) -> Callable[[Factory], Factory]:
    """Give a function that returns an `optax.GradientTransformation` the name that `TrainConfig.optimizer` may have.

    It makes $u_t$ of gradients, as optax's `scale_by_…` do: learning rate, schedule and weight decay are applied to what it
    returns. Its arguments are among `beta1`, `beta2`, `epsilon`, `momentum` and `nesterov`: they come from the fields of
    `TrainConfig`, may be swept and so be traced; its own defaults serve where a field is None::

        @sp.optimizers.register("belief")
        def belief(beta1, beta2=0.99):
            return optax.scale_by_belief(beta1, beta2)

    Another process must import the module that does this.

    Raises:
        ConfigError: the name is no plain word or taken, this is no function, or an argument is none of these.
    """

    def named(factory: Factory) -> Factory:
        register_function("optimizer", name, factory, OPTIMIZERS)
        arguments = inspect.signature(factory).parameters
        if others := [argument for argument in arguments if argument not in NUMBERS]:
            raise ConfigError(f"optimizer {name!r} may take {', '.join(NUMBERS)}, got an argument {others[0]!r}.")
        defaults = {a: p.default for a, p in arguments.items() if p.default is not inspect.Parameter.empty}
        if "epsilon" in defaults:
            raise ConfigError(f"optimizer {name!r}: epsilon must have no default, since TrainConfig gives it one.")
        READS[name] = tuple(arguments)
        USUAL[name] = defaults
        return factory

    return named


def with_defaults(config: Any, task_defaults: dict[str, Any]) -> dict[str, Any]:
    """Values for the fields of a configuration that are None: the optimiser's usual ones, else `task_defaults`.

    Numbers that the optimiser does not read stay None.
    """
    reads = READS.get(config.optimizer, ())
    values = task_defaults | USUAL.get(config.optimizer, {})
    numbers = {name for names in READS.values() for name in names}
    return {k: v for k, v in values.items() if getattr(config, k) is None and (k in reads or k not in numbers)}


def unread(config: Any) -> dict[str, str]:
    """Fields of a configuration that have no effect given the others, and why. Numbers may have an axis of cells."""
    reasons = {}
    for name in dict.fromkeys(n for names in READS.values() for n in names):
        if name not in READS[config.optimizer]:
            reasons[name] = f'optimizer="{config.optimizer}" does not read it'
    if "nesterov" not in reasons and config.optimizer in ("sgd", "rmsprop") and not _some(config.momentum):
        reasons["nesterov"] = "there is no momentum"
    if not _some(config.weight_decay):
        reasons["decay_bias"] = "weight_decay is 0"
    return reasons


def schedule(config: Any) -> optax.Schedule:
    """Learning rate as a function of the step: linear warm-up to the peak, then the named decay."""
    peak, decay_steps = config.learning_rate, config.steps - config.warmup_steps
    match config.schedule:
        case "constant":
            after = optax.constant_schedule(peak)
        case "cosine":
            after = optax.cosine_decay_schedule(peak, decay_steps)
        case _:
            after = optax.linear_schedule(peak, 0.0, decay_steps)
    if config.warmup_steps:
        warmup = optax.linear_schedule(0.0, peak, config.warmup_steps)
        after = optax.join_schedules([warmup, after], [config.warmup_steps])
    return lambda step: after(jnp.asarray(step, float))  # optax divides whole numbers in single precision


def build(config: Any, decayed: Any = None) -> optax.GradientTransformation:
    """The optimiser; called inside the traced function, so its numbers may be tracers.

    Where parameters are one vector, `decayed` is one, too: 1 where weight decay acts and 0 elsewhere.
    """
    if decayed is not None:
        decay = optax.add_decayed_weights(config.weight_decay * decayed)
    else:
        decay = optax.add_decayed_weights(config.weight_decay, mask=None if config.decay_bias else is_weight)
    rate = _scaled_by(schedule(config))
    if config.unit_norm_pull is not None:
        rate = optax.chain(unit_norm_pull(config.unit_norm_pull, is_weight), rate)
    if config.optimizer == "adam":
        return optax.chain(decay, _direction(config), rate)
    return optax.chain(_direction(config), decay, rate)


def _scaled_by(learning_rate: optax.Schedule) -> optax.GradientTransformation:
    """`optax.scale_by_learning_rate` of a schedule, with the same bits, but for a copy that kernels cannot make."""

    def init(params: Any) -> Any:
        return optax.ScaleByScheduleState(jnp.zeros([], jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        rate = -1 * learning_rate(state.count)
        scaled = jax.tree.map(lambda g: jnp.asarray(rate, g.dtype) * g, updates)
        return scaled, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


def _direction(config: Any) -> optax.GradientTransformation:
    match config.optimizer:
        case "adamw" | "adam":
            return optax.scale_by_adam(config.beta1, config.beta2, config.epsilon)
        case "lion":
            return optax.scale_by_lion(config.beta1, config.beta2)
        case "rmsprop":
            scaled = optax.scale_by_rms(config.beta2, config.epsilon, eps_in_sqrt=False)
            return optax.chain(scaled, _remembered(config))
        case "muon":
            return _muon(config)
        case name if (factory := function_of("optimizer", name)) is not None:
            return _of_ones_own(name, factory, config)
    return _remembered(config)


def _of_ones_own(name: str, factory: Any, config: Any) -> optax.GradientTransformation:
    numbers = {argument: getattr(config, argument) for argument in READS[name]}
    if missing := [argument for argument, value in numbers.items() if value is None]:
        raise ConfigError(f"{missing[0]} must be given for optimizer={name!r}.")
    transformation = factory(**numbers)
    if not isinstance(transformation, optax.GradientTransformation):
        kind = type(transformation).__name__
        raise ConfigError(f"optimizer {name!r} must return an optax.GradientTransformation, got {kind}.")
    return transformation


def _remembered(config: Any) -> optax.GradientTransformation:
    """What momentum makes of updates; None costs no memory, 0 does."""
    if config.momentum is None:
        return optax.identity()
    return optax.trace(config.momentum, nesterov=bool(config.nesterov))


class MuonState(NamedTuple):
    """Memories of both kinds, each shaped like the model."""

    momentum: Any
    adam: Any


def _muon(config: Any) -> optax.GradientTransformation:
    nesterov = True if config.nesterov is None else bool(config.nesterov)
    momentum = optax.trace(config.momentum, nesterov=nesterov)
    adam = optax.scale_by_adam(config.beta1, config.beta2, config.epsilon)

    def init(params: Any) -> Any:
        return MuonState(momentum.init(params), adam.init(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        directions, remembered = momentum.update(updates, state.momentum, params)
        steps, seconds = adam.update(updates, state.adam, params)
        inputs_in_rows = getattr(updates, "INPUTS_IN_ROWS", False)
        chosen = jax.tree.map(
            lambda matrix, direction, step: _orthogonal(direction, inputs_in_rows) if matrix else step,
            is_weight(updates),
            directions,
            steps,
        )
        return chosen, MuonState(remembered, seconds)

    return optax.GradientTransformation(init, update)


def _orthogonal(direction: jax.Array, inputs_in_rows: bool) -> jax.Array:
    """The nearest matrices with equal singular values, roughly, times Muon's factor: the last two axes are the matrix.

    Our own, since optax multiplies in the accelerator's own precision and takes one matrix at a time.
    """
    rows, columns = direction.shape[-2:]
    X = jnp.swapaxes(direction, -1, -2) if rows > columns else direction
    X = X / (jnp.sqrt(jnp.sum(jnp.square(X), axis=(-2, -1), keepdims=True)) + 1e-8)
    a, b, c = NEWTON_SCHULZ
    for _ in range(ROUNDS):
        A = jnp.matmul(X, jnp.swapaxes(X, -1, -2), precision=FULL_PRECISION)
        B = b * A + c * jnp.matmul(A, A, precision=FULL_PRECISION)
        X = a * X + jnp.matmul(B, X, precision=FULL_PRECISION)
    X = jnp.swapaxes(X, -1, -2) if rows > columns else X
    outputs, inputs = (columns, rows) if inputs_in_rows else (rows, columns)
    return X * max(1.0, outputs / inputs) ** 0.5


def steps_taken(state: Any) -> Any:
    """How many steps an optimiser has taken, by the count that its schedule keeps."""

    def counts(node: Any) -> bool:
        return isinstance(node, optax.ScaleByScheduleState)

    return next(node.count for node in jax.tree.leaves(state, is_leaf=counts) if counts(node))


def is_weight(model: Any) -> Any:
    """Which parameters weight decay is for: neither vectors nor biases, which lie stacked where layers are an axis."""
    weight = [jnp.ndim(leaf) > 1 and not name.startswith("b") for name, leaf in named_leaves(model)]
    return jax.tree.unflatten(jax.tree.structure(model), weight)


def named_leaves(model: Any) -> list[tuple[str, Any]]:
    """The parameters of a model with their names, such as [("W", …), ("b", …)]."""
    paths = jax.tree_util.tree_flatten_with_path(model)[0]
    return [(".".join(key.name for key in path if key.name != "value"), leaf) for path, leaf in paths]


def _some(value: Any) -> bool:
    """Whether a number is not 0 in some cell; a tracer may be anything."""
    return value is not None and (arrays.is_traced(value) or bool(np.any(np.asarray(value) != 0)))
