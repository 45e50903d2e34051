"""Train ONE model: init, one scan, everything recorded. Nothing here knows that there are many runs."""

from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from superpos import check, optimizers
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError, DivergedError
from superpos.optimizers import OPTIMIZERS, SCHEDULES
from superpos.optimizers import named_leaves as named_leaves
from superpos.tasks.base import Metrics, Model, Task, objective, ready
from superpos.unread import warn

TASK_EXTRAS = ("population_loss", "training_defaults", "numbers_per_step")

# The data key of step t is fold_in(key(seed), t) and nothing else; other purposes fold in tags no step can reach.
MAX_STEPS = 2**31 - 1
INIT_TAG = 2**32 - 1
EVALUATION_TAG = 2**32 - 2
AFTER_STEP_TAG = 2**32 - 3  # folded into a step's key, beside what the data fold in

# Inputs per evaluation batch, whatever the training batch is, so that all models are tested on the same inputs.
EVALUATION_BATCH = 1_024

# A toy model's weights are of order 1. Anything beyond this is a run that blew up but has not yet overflowed.
PARAMETER_BOUND = 1e4


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How one model is trained.

    `learning_rate` (the schedule's peak), `weight_decay`, `beta1`, `beta2`, `epsilon` and `momentum` may be swept without
    recompiling; the optimiser is built from them inside the compiled function. `optimizer` is `"adamw"`, `"adam"`, `"sgd"`,
    `"rmsprop"`, `"lion"` or `"muon"`: `superpos.optimizers` defines them and says which numbers each reads; an axis over
    others is refused, others set away from their defaults are warned about (`superpos.unread` states the rule). Weight decay
    is decoupled (but for "adam") and spares biases unless `decay_bias`. (torch's AdamW decays by 0.01 and optax's by 1e-4
    when nothing is said; here the default is 0.) `steps`, `learning_rate`, `beta1` and `beta2` that are left None are the
    task's own, which suit Adam: 5,000 at 0.01 with Adam's usual 0.9 and 0.999 for the toy model on samples; 300 at 0.08 with
    0.7 and 0.9 for its expected loss, whose gradient has no noise to average out. The cosine schedule is optax's, ½(1 + cos
    πt/T).

    `history` is the number of points on the loss curve, each the mean over the steps since the last point. `snapshots`
    are numbers of steps after which the weights are kept. After training, the loss is the population loss where the
    task knows it; elsewhere it is measured on `evaluation_samples` fresh inputs (rounded up to whole batches of 1,024)
    that are the same for all seeds, so seeds compare fairly.

    >>> sp.TrainConfig().filled(sp.tasks.Toy(n_features=5, n_hidden=2)).steps
    5000
    """

    steps: Any = jax.tree.static(default=None)  # loop length; None is the task's own
    batch_size: int = jax.tree.static(default=1_024)  # shape of x
    learning_rate: Any = None
    weight_decay: Any = 0.0
    beta1: Any = None
    beta2: Any = None
    epsilon: Any = 1e-8
    momentum: Any = None  # of sgd, rmsprop and muon; None costs no memory, 0 does
    optimizer: str = jax.tree.static(default="adamw")  # chooses code
    nesterov: bool | None = jax.tree.static(default=None)  # chooses code; None is true for muon alone
    schedule: str = jax.tree.static(default="cosine")  # chooses code
    warmup_steps: int = jax.tree.static(default=0)  # chooses code
    decay_bias: bool = jax.tree.static(default=False)  # chooses code
    history: int = jax.tree.static(default=100)  # shape of the record
    snapshots: tuple[int, ...] = jax.tree.static(default=())  # shape of the record
    evaluation_samples: int = jax.tree.static(default=131_072)  # loop length

    def filled(self, task: Task) -> "TrainConfig":
        """The same configuration with the optimiser's or the task's own values where a field that is read is None."""
        return replace(self, **optimizers.filled(self, task.training_defaults()))

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        most = MAX_STEPS if self.steps is None else self.steps
        if self.steps is not None:
            check.whole("steps", self.steps, at_least=1, at_most=MAX_STEPS)
        check.whole("batch_size", self.batch_size, at_least=1, at_most=2**24)
        for field in numeric_fields(self):
            if getattr(self, field) is not None:
                check.scalar(field, getattr(self, field))
        check.one_of("optimizer", self.optimizer, OPTIMIZERS)
        check.one_of("schedule", self.schedule, SCHEDULES)
        check.whole("warmup_steps", self.warmup_steps, at_most=most - 1)
        check.truth("decay_bias", self.decay_bias)
        if self.nesterov is not None:
            check.truth("nesterov", self.nesterov)
        check.whole("history", self.history, at_least=1, at_most=100_000)
        if not isinstance(self.snapshots, tuple):
            raise ConfigError(f"snapshots must be a tuple of steps such as (0, 100), got {self.snapshots!r}.")
        for step in self.snapshots:
            check.whole("snapshots: a step", step, at_most=most)
        if list(self.snapshots) != sorted(set(self.snapshots)):
            raise ConfigError(f"snapshots must be increasing numbers of steps, got {list(self.snapshots)}.")
        check.whole("evaluation_samples", self.evaluation_samples, at_least=1)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        positive, decay, momentum = {"above": 0}, {"at_least": 0}, {"at_least": 0, "below": 1}
        limits = {"learning_rate": positive, "weight_decay": decay, "beta1": momentum, "beta2": momentum}
        limits["momentum"] = momentum
        for name, limit in (limits | {"epsilon": positive}).items():
            if getattr(self, name) is not None:
                check.in_range(name, getattr(self, name), **limit)

    def broadcast(self) -> "TrainConfig":
        """The same configuration with every numeric field a float array."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), self)

    def learning_rate_schedule(self) -> optax.Schedule:
        """Learning rate as a function of the step: linear warm-up to the peak, then the named decay."""
        self._need("steps", "learning_rate")
        return optimizers.schedule(self)

    def build_optimizer(self) -> optax.GradientTransformation:
        """The optimiser; called inside the traced function, so its numbers may be tracers."""
        self._need(*(n for n in optimizers.READS[self.optimizer] if n not in ("momentum", "nesterov")))
        self._need("steps", "learning_rate")
        return optimizers.build(self)

    def boundaries(self) -> np.ndarray:
        """Numbers of steps at which the record gets a point: `history` even ones and every snapshot after the start."""
        self._need("steps")
        even = np.rint(np.linspace(0, self.steps, self.history + 1)).astype(np.int64)
        points = np.unique(np.concatenate([even, np.asarray(self.snapshots, np.int64)]))
        return points[points > 0]

    def _need(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) is None:
                raise ConfigError(f"{name} is not chosen yet; TrainConfig.filled(task) takes the task's own.")


class Intervals(NamedTuple):
    """Stretches of training, none longer than from one point of the record to the next; any number can be run at a time."""

    origin: Integer[Array | np.ndarray, " k"]  # first step since the last point of the record
    start: Integer[Array | np.ndarray, " k"]  # first step
    stop: Integer[Array | np.ndarray, " k"]  # one past the last step
    snapshot: Integer[Array | np.ndarray, " k"]  # where in the snapshots to keep the weights, or -1


class TrainState(NamedTuple):
    """What is carried from step to step."""

    model: Model
    optimizer: optax.OptState
    diverged_step: Integer[Array, ""]  # -1 while healthy; afterwards nothing changes any more
    snapshots: Model | None  # leading axis: snapshot
    total: Any  # sums of loss and metrics since the last point of the record


class Record(NamedTuple):
    """What is reported, one entry per interval: means over the steps since its origin. NaN from a divergence on."""

    loss: Float[Array, " k"]
    metrics: Metrics


def intervals(config: TrainConfig, most_steps: int = MAX_STEPS) -> Intervals:
    """The whole training as intervals, none of more than `most_steps` steps."""
    points = np.concatenate([[0], config.boundaries()])
    stop = np.concatenate([np.append(np.arange(a, b, most_steps)[1:], b) for a, b in pairwise(points)])
    start = np.concatenate([[0], stop[:-1]])
    origin = points[np.searchsorted(points, start, side="right") - 1]
    keep = {step: k for k, step in enumerate(config.snapshots)}
    snapshot = np.array([keep.get(int(step), -1) for step in stop])
    return Intervals(*(column.astype(np.int32) for column in (origin, start, stop, snapshot)))


def init(task: Task, config: TrainConfig, seed: Integer[Array, ""]) -> TrainState:
    """A new model and its optimiser, before the first step."""
    task, config = ready(task), config.broadcast()
    model = task.init(jax.random.fold_in(jax.random.key(seed), jnp.uint32(INIT_TAG)))
    snapshots = None
    if config.snapshots:  # filled with the initial weights, which a snapshot at step 0 keeps
        snapshots = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(config.snapshots), *leaf.shape)), model)
    loss, (metrics, _) = jax.eval_shape(
        partial(objective, task, batch_size=config.batch_size), model, jax.random.key(0)
    )
    total = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (loss, metrics))
    return TrainState(model, config.build_optimizer().init(model), jnp.int32(-1), snapshots, total)


def advance(
    task: Task, config: TrainConfig, seed: Integer[Array, ""], state: TrainState, todo: Intervals
) -> tuple[TrainState, Record]:
    """Train through some intervals: the one scan. Cutting the intervals into several calls changes no bit.

    A step whose loss is not finite, or whose new parameters are not finite or exceed `PARAMETER_BOUND`, is refused: the
    model stays as it was from then on and `diverged_step` says when.
    """
    task, config = ready(task), config.broadcast()
    optimizer = config.build_optimizer()
    key = jax.random.key(seed)

    def step(t: Integer[Array, ""], state: TrainState) -> TrainState:
        step_key = jax.random.fold_in(key, t)
        loss_of = partial(objective, task, key=step_key, batch_size=config.batch_size)
        (loss, (metrics, seen)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.model)
        updates, new_optimizer = optimizer.update(gradient, state.optimizer, state.model)
        new_model = optax.apply_updates(state.model, updates)
        if after_step := getattr(task, "after_step", None):
            after_key = jax.random.fold_in(step_key, jnp.uint32(AFTER_STEP_TAG))
            both = (state.model, new_model)
            new_model, new_optimizer = after_step(*both, new_optimizer, seen, after_key, t, config.steps)
        bounded = [jnp.all(jnp.abs(leaf) <= PARAMETER_BOUND) for leaf in jax.tree.leaves(new_model)]  # False for NaN
        healthy = (state.diverged_step < 0) & jnp.isfinite(loss) & jnp.all(jnp.stack(bounded))
        kept_model, kept_optimizer = jax.tree.map(
            lambda new, old: jnp.where(healthy, new, old),
            (new_model, new_optimizer),
            (state.model, state.optimizer),
        )
        diverged_step = jnp.where(healthy | (state.diverged_step >= 0), state.diverged_step, t)
        total = jax.tree.map(lambda a, b: a + jnp.where(healthy, b, jnp.nan), state.total, (loss, metrics))
        return TrainState(kept_model, kept_optimizer, diverged_step, state.snapshots, total)

    def interval(state: TrainState, piece: Intervals) -> tuple[TrainState, Record]:
        fresh = jax.tree.map(lambda sum_: jnp.where(piece.start == piece.origin, 0, sum_), state.total)
        state = jax.lax.fori_loop(piece.start, piece.stop, step, state._replace(total=fresh))
        if config.snapshots:
            # No snapshot is a place past the end, which is dropped: a choice would copy all of them in every interval.
            place = jnp.where(piece.snapshot >= 0, piece.snapshot, len(config.snapshots))
            kept = jax.tree.map(
                lambda buffer, leaf: buffer.at[place].set(leaf, mode="drop"), state.snapshots, state.model
            )
            state = state._replace(snapshots=kept)
        mean_loss, mean_metrics = jax.tree.map(lambda sum_: sum_ / (piece.stop - piece.origin), state.total)
        return state, Record(mean_loss, mean_metrics)

    return jax.lax.scan(interval, state, todo)


def evaluate(task: Task, config: TrainConfig, state: TrainState) -> Float[Array, ""]:
    """Loss of the trained model, NaN if it diverged: the population loss where the task knows it.

    Elsewhere the mean over `evaluation_samples` inputs that no training step saw. They come from one fixed key, the same
    for all seeds: losses of two seeds differ by what they learned, not by what they were tested on.
    """
    task = ready(task)
    mean = task.population_loss(state.model)
    if mean is None:
        reported = getattr(task, "reported", lambda: task)()  # without what training added to the loss
        key = jax.random.fold_in(jax.random.key(0), jnp.uint32(EVALUATION_TAG))
        batch_size = min(EVALUATION_BATCH, config.evaluation_samples)
        n_batches = -(-config.evaluation_samples // batch_size)

        def add(k: Integer[Array, ""], total: Float[Array, ""]) -> Float[Array, ""]:
            return total + reported.loss(state.model, jax.random.fold_in(key, k), batch_size)[0]

        mean = jax.lax.fori_loop(0, n_batches, add, jnp.zeros((), float)) / n_batches
    return jnp.where(state.diverged_step < 0, mean, jnp.nan)


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class Run:
    """One trained model and how it got there."""

    task: Any
    config: TrainConfig
    seed: Any
    model: Any
    loss: Any  # the population loss, or the loss on the evaluation inputs
    history: Record  # loss curve: one point per entry of `config.boundaries()`
    snapshots: Any  # the model with a leading axis, one entry per `config.snapshots`; None if none were asked for
    diverged_step: Any  # -1 for a healthy run

    @property
    def history_steps(self) -> np.ndarray:
        """Numbers of steps at which the points of the loss curve stand."""
        return self.config.boundaries()

    def __repr__(self) -> str:
        if any(check.is_traced(leaf) for leaf in jax.tree.leaves(self)) or jnp.ndim(self.loss):
            return f"Run of {type(self.task).__name__}, traced or batched"
        sizes = ", ".join(f"{name} {tuple(leaf.shape)}" for name, leaf in named_leaves(self.model))
        return (
            f"Run of {type(self.task).__name__}, seed {int(self.seed)}, {self.config.steps} steps"
            f"\n  parameters: {sizes}\n  loss {float(self.loss):.4g}"
        )


@jax.jit
def _train(task: Task, config: TrainConfig, seed: Integer[Array, ""]) -> tuple[TrainState, Record]:
    return advance(task, config, seed, init(task, config, seed), jax.tree.map(jnp.asarray, intervals(config)))


# A program of its own: it does not depend on how the model was trained, so it is compiled once for many configurations.
@partial(jax.jit, static_argnames="evaluation_samples")
def _evaluate(task: Task, model: Model, diverged_step: Integer[Array, ""], evaluation_samples: int) -> Float[Array, ""]:
    return evaluate(
        task, TrainConfig(evaluation_samples=evaluation_samples), TrainState(model, (), diverged_step, None, None)
    )


def train(task: Task, config: TrainConfig | None = None, seed: Any = 0) -> Run:
    """Train one model.

    Vmappable over every numeric field of `task` and `config` and over `seed`; under a transform, look at
    `Run.diverged_step` yourself. `sweep` trains many models at once, and says more.

    Raises:
        ConfigError: a setting is not allowed.
        DivergedError: the loss or a parameter stopped being finite or bounded; `.step` says when.
    """
    config = TrainConfig() if config is None else config
    check_all(task, config)
    config = config.filled(task)
    full_task, full_config = task.broadcast(), config.broadcast()
    full_task.check_values()  # again: what is allowed in double precision may be 0 or 1 in single
    full_config.check_values()
    traced = check.is_traced(seed) or any(check.is_traced(leaf) for leaf in jax.tree.leaves((task, config)))
    if not check.is_traced(seed):
        check_seed(seed)
        if not traced:
            warn(task, config)
    use_compilation_cache()
    seed = jnp.asarray(seed, jnp.uint32)
    state, history = _train(full_task, full_config, seed)
    run = Run(
        task=task,
        config=config,
        seed=seed,
        model=state.model,
        loss=_evaluate(full_task, state.model, state.diverged_step, full_config.evaluation_samples),
        history=history,
        snapshots=state.snapshots,
        diverged_step=state.diverged_step,
    )
    if not traced and int(run.diverged_step) >= 0:
        raise DivergedError(int(run.diverged_step), f"try a learning_rate below {float(config.learning_rate):g}.")
    return run


def check_all(task: Task, config: TrainConfig) -> None:
    """Raise `ConfigError` unless these are a task and a configuration with allowed settings."""
    check_kinds(task, config)
    task.check()
    config.check()
    config.filled(task).check()
    for node in (task, config):
        for name in numeric_fields(node):
            if isinstance(value := getattr(node, name), int | float):  # arrays may fade out
                check.trained_as(name, np.array([value], float), jnp.zeros((), float).dtype)


def check_kinds(task: Any, config: Any) -> None:
    """Raise `ConfigError` unless these are a task and a configuration, whatever they say."""
    if isinstance(task, type) or not isinstance(task, Task):
        wanted = ("check", "check_values", "broadcast", "init", "loss", *TASK_EXTRAS)
        missing = [name for name in wanted if not hasattr(task, name)]
        hint = f"; it has no {missing[0]}" if len(missing) < len(wanted) and missing else ""
        raise ConfigError(f"task must be a task such as superpos.tasks.Toy(...), got {type(task).__name__}{hint}.")
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"config must be a superpos.TrainConfig, got {type(config).__name__}.")


def check_seed(seed: Any) -> None:
    """Raise `ConfigError` unless `seed` is a whole number that fits in 32 bits."""
    if isinstance(seed, jax.Array | np.ndarray) and np.ndim(seed) == 0 and np.issubdtype(seed.dtype, np.integer):
        seed = seed.item()
    check.whole("seed", seed, at_most=2**32 - 1)


def numeric_fields(node: Any) -> tuple[str, ...]:
    """Fields of a task or configuration that are traced: all values of them share one compilation."""
    return tuple(f.name for f in fields(node) if not f.metadata.get("static", False))


def static_fields(node: Any) -> tuple[str, ...]:
    """Fields that set a shape or choose code: each value of them compiles once."""
    return tuple(f.name for f in fields(node) if f.metadata.get("static", False))
