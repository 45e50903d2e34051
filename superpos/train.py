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

from superpos import arrays, check, stopping
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError, DivergedError
from superpos.identity import code_token
from superpos.process import check_process
from superpos.run import Run as Run
from superpos.start import PARAMETER_BOUND, begun, steps_before, weights
from superpos.start import named_leaves as named_leaves
from superpos.tasks.base import Metrics, Model, Task, objective, ready

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("constant", "cosine", "linear")

TASK_EXTRAS = ("population_loss", "training_defaults", "numbers_per_step")

# The data key of step t is fold_in(key(seed), t) and nothing else; other purposes fold in tags no step can reach.
MAX_STEPS = 2**31 - 1
INIT_TAG = 2**32 - 1
EVALUATION_TAG = 2**32 - 2
AFTER_STEP_TAG = 2**32 - 3  # folded into a step's key, beside what the data fold in

# Inputs per evaluation batch, whatever the training batch is, so that all models are tested on the same inputs.
EVALUATION_BATCH = 1_024


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How one model is trained.

    `learning_rate` (the schedule's peak), `weight_decay`, `beta1`, `beta2` and `epsilon` may be swept without
    recompiling; the optimiser is built from them inside the compiled function. Weight decay is decoupled (AdamW) and
    spares biases unless `decay_bias`. (torch's AdamW decays by 0.01 and optax's by 1e-4 when nothing is said; here the
    default is 0.) `steps`, `learning_rate`, `beta1` and `beta2` that are left None are the task's own: 5,000 at 0.01 with
    Adam's usual 0.9 and 0.999 for the toy model on samples; 300 at 0.08 with 0.7 and 0.9 for its expected loss, whose
    gradient has no noise to average out. The cosine schedule is optax's, ½(1 + cos πt/T).

    `history` is the number of points on the loss curve, each the mean over the steps since the last point. `snapshots`
    are numbers of steps after which the weights are kept. After training, the loss is the population loss where the
    task knows it; elsewhere it is measured on `evaluation_samples` fresh inputs (rounded up to whole batches of 1,024)
    that are the same for all seeds, so seeds compare fairly.

    `stop_below` and `stop_above` freeze a model at the first point of the record whose mean loss (or `stop_metric`,
    another number that the task records) is beyond the bound; `stopped_step` says when, and the record is NaN from then
    on. `first_step` is the number of the first step, which its batch is drawn by; None goes on where `init` ended.

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
    optimizer: str = jax.tree.static(default="adamw")  # chooses code
    schedule: str = jax.tree.static(default="cosine")  # chooses code
    warmup_steps: int = jax.tree.static(default=0)  # chooses code
    decay_bias: bool = jax.tree.static(default=False)  # chooses code
    history: int = jax.tree.static(default=100)  # shape of the record
    snapshots: tuple[int, ...] = jax.tree.static(default=())  # shape of the record
    evaluation_samples: int = jax.tree.static(default=131_072)  # loop length
    stop_below: Any = None
    stop_above: Any = None
    stop_metric: Any = jax.tree.static(default=None)  # chooses code; None is the loss
    first_step: Any = jax.tree.static(default=None)  # chooses code; None is 0, or where `init` ended

    def filled(self, task: Task) -> "TrainConfig":
        """The same configuration with the task's own values where a field is None."""
        own = task.training_defaults()
        return replace(self, **{name: value for name, value in own.items() if getattr(self, name) is None})

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
        check.whole("history", self.history, at_least=1, at_most=100_000)
        if not isinstance(self.snapshots, tuple):
            raise ConfigError(f"snapshots must be a tuple of steps such as (0, 100), got {self.snapshots!r}.")
        for step in self.snapshots:
            check.whole("snapshots: a step", step, at_most=most)
        if list(self.snapshots) != sorted(set(self.snapshots)):
            raise ConfigError(f"snapshots must be increasing numbers of steps, got {list(self.snapshots)}.")
        check.whole("evaluation_samples", self.evaluation_samples, at_least=1)
        if self.stop_metric is not None and not isinstance(self.stop_metric, str):
            raise ConfigError(f"stop_metric must be the name of a recorded number, got {self.stop_metric!r}.")
        check.whole(
            "first_step", 0 if self.first_step is None else self.first_step, at_most=MAX_STEPS - (self.steps or 1)
        )
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        positive, decay, momentum = {"above": 0}, {"at_least": 0}, {"at_least": 0, "below": 1}
        limits = {"learning_rate": positive, "weight_decay": decay, "beta1": momentum, "beta2": momentum}
        for name, limit in (limits | {"epsilon": positive}).items():
            if getattr(self, name) is not None:
                check.in_range(name, getattr(self, name), **limit)

    def broadcast(self) -> "TrainConfig":
        """The same configuration with every numeric field a float array."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), self)

    def learning_rate_schedule(self) -> optax.Schedule:
        """Learning rate as a function of the step: linear warm-up to the peak, then the named decay."""
        self._need("steps", "learning_rate")
        peak, decay_steps = self.learning_rate, self.steps - self.warmup_steps
        match self.schedule:
            case "constant":
                after = optax.constant_schedule(peak)
            case "cosine":
                after = optax.cosine_decay_schedule(peak, decay_steps)
            case _:
                after = optax.linear_schedule(peak, 0.0, decay_steps)
        if self.warmup_steps:
            warmup = optax.linear_schedule(0.0, peak, self.warmup_steps)
            after = optax.join_schedules([warmup, after], [self.warmup_steps])
        return lambda step: after(jnp.asarray(step, float))  # optax divides whole numbers in single precision

    def build_optimizer(self) -> optax.GradientTransformation:
        """The optimiser; called inside the traced function, so its numbers may be tracers."""
        self._need("beta1", "beta2")
        decay = optax.add_decayed_weights(self.weight_decay, mask=None if self.decay_bias else _is_weight)
        direction = (
            optax.scale_by_adam(self.beta1, self.beta2, self.epsilon) if self.optimizer == "adamw" else optax.identity()
        )
        return optax.chain(direction, decay, optax.scale_by_learning_rate(self.learning_rate_schedule()))

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
    stopped_step: Any = None  # -1 until stopped early; None where nothing stops


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


def init(task: Task, config: TrainConfig, seed: Integer[Array, ""], start: dict[str, Any] | None = None) -> TrainState:
    """A new model and its optimiser, before the first step; `start` replaces parameters by name."""
    task, config = ready(task), config.broadcast()
    model = task.init(jax.random.fold_in(jax.random.key(seed), jnp.uint32(INIT_TAG)))
    model = model if start is None else begun(model, start)
    snapshots = None
    if config.snapshots:  # filled with the initial weights, which a snapshot at step 0 keeps
        snapshots = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(config.snapshots), *leaf.shape)), model)
    loss, (metrics, _) = jax.eval_shape(
        partial(objective, task, batch_size=config.batch_size), model, jax.random.key(0)
    )
    total = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (loss, metrics))
    stopped = jnp.int32(-1) if stopping.stops(config) else None
    return TrainState(model, config.build_optimizer().init(model), jnp.int32(-1), snapshots, total, stopped)


def advance(
    task: Task, config: TrainConfig, seed: Integer[Array, ""], state: TrainState, todo: Intervals
) -> tuple[TrainState, Record]:
    """Train through some intervals: the one scan. Cutting the intervals into several calls changes no bit.

    A step whose loss is not finite, or whose new parameters are not finite or exceed `PARAMETER_BOUND`, is refused: the
    model stays as it was from then on and `diverged_step` says when. One that has reached its bound stays so, too.
    """
    task, config = ready(task), config.broadcast()
    optimizer = config.build_optimizer()
    key, first = jax.random.key(seed), config.first_step or 0

    def step(t: Integer[Array, ""], state: TrainState) -> TrainState:
        number = t + first if first else t
        step_key = jax.random.fold_in(key, number)
        loss_of = partial(objective, task, key=step_key, batch_size=config.batch_size)
        (loss, (metrics, seen)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.model)
        updates, new_optimizer = optimizer.update(gradient, state.optimizer, state.model)
        new_model = optax.apply_updates(state.model, updates)
        if after_step := getattr(task, "after_step", None):
            after_key = jax.random.fold_in(step_key, jnp.uint32(AFTER_STEP_TAG))
            both = (state.model, new_model)
            new_model, new_optimizer = after_step(*both, new_optimizer, seen, after_key, number, first + config.steps)
        bounded = [jnp.all(jnp.abs(leaf) <= PARAMETER_BOUND) for leaf in jax.tree.leaves(new_model)]  # False for NaN
        healthy = (state.diverged_step < 0) & jnp.isfinite(loss) & jnp.all(jnp.stack(bounded))
        frozen = state.diverged_step >= 0
        if state.stopped_step is not None:
            healthy, frozen = healthy & (state.stopped_step < 0), frozen | (state.stopped_step >= 0)
        kept_model, kept_optimizer = jax.tree.map(
            lambda new, old: jnp.where(healthy, new, old),
            (new_model, new_optimizer),
            (state.model, state.optimizer),
        )
        diverged_step = jnp.where(healthy | frozen, state.diverged_step, t)
        total = jax.tree.map(lambda a, b: a + jnp.where(healthy, b, jnp.nan), state.total, (loss, metrics))
        return TrainState(kept_model, kept_optimizer, diverged_step, state.snapshots, total, state.stopped_step)

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
        if state.stopped_step is not None:
            ends = (state.stopped_step < 0) & stopping.reached(config, piece.stop, mean_loss, mean_metrics)
            state = state._replace(stopped_step=jnp.where(ends, piece.stop, state.stopped_step))
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


def _is_weight(model: Model) -> Any:
    """Which parameters weight decay is for: neither vectors nor biases, which lie stacked where layers are an axis."""
    weight = [jnp.ndim(leaf) > 1 and not name.startswith("b") for name, leaf in named_leaves(model)]
    return jax.tree.unflatten(jax.tree.structure(model), weight)


@partial(jax.jit, static_argnames="code")  # `code_token`: changed code is another program
def _train(
    task: Task, config: TrainConfig, seed: Any, start: Any = None, optimizer: Any = None, code: str | None = None
) -> tuple[TrainState, Record]:
    state = init(task, config, seed, start)
    state = state if optimizer is None else state._replace(optimizer=optimizer)
    return advance(task, config, seed, state, jax.tree.map(jnp.asarray, intervals(config)))


# A program of its own: it does not depend on how the model was trained, so it is compiled once for many configurations.
@partial(jax.jit, static_argnames=("evaluation_samples", "code"))
def _evaluate(task: Task, model: Model, diverged_step: Any, evaluation_samples: int, code: str | None) -> Any:
    return evaluate(
        task, TrainConfig(evaluation_samples=evaluation_samples), TrainState(model, (), diverged_step, None, None)
    )


def train(task: Task, config: TrainConfig | None = None, seed: Any = 0, *, init: Any = None) -> Run:
    """Train one model, from new weights or from `init`: a model, a `Run`, an array W or arrays by name.

    The optimiser starts anew (`more` keeps it). The steps are numbered on from a run's last one, so no batch comes again.
    Vmappable over every numeric field of `task` and `config` and over `seed`; under a transform, look at
    `Run.diverged_step` yourself. `sweep` trains many models at once, and says more.

    Raises:
        ConfigError: a setting is not allowed, or `init` does not fit.
        DivergedError: the loss or a parameter stopped being finite or bounded; `.step` says when.
    """
    check_process()
    config = TrainConfig() if config is None else config
    task, config = arrays.own(task), arrays.own(config)
    check_all(task, config)
    if init is not None and config.first_step is None:
        config = replace(config, first_step=steps_before(init) or None)
        config.check()
    return run_from(task, config.filled(task), seed, None if init is None else weights(task, init))


def run_from(task: Task, config: TrainConfig, seed: Any, start: Any = None, optimizer: Any = None) -> Run:
    """The run of settings that were checked and filled, from given weights and a state of the optimiser, if any."""
    full_task, full_config = task.broadcast(), config.broadcast()
    full_task.check_values()  # again: what is allowed in double precision may be 0 or 1 in single
    full_config.check_values()
    traced = any(check.is_traced(leaf) for leaf in jax.tree.leaves((task, config, seed, start, optimizer)))
    if not check.is_traced(seed):
        check_seed(seed)
    use_compilation_cache()
    seed = jnp.asarray(seed, jnp.uint32)
    code = code_token(task, config)
    state, history = _train(full_task, full_config, seed, start, optimizer, code)
    run = Run(
        task=task,
        config=config,
        seed=seed,
        model=state.model,
        loss=_evaluate(full_task, state.model, state.diverged_step, full_config.evaluation_samples, code),
        history=history,
        snapshots=state.snapshots,
        diverged_step=state.diverged_step,
        stopped_step=state.stopped_step,
        optimizer=state.optimizer,
    )
    if not traced and int(run.diverged_step) >= 0:
        raise DivergedError(int(run.diverged_step), f"try a learning_rate below {float(config.learning_rate):g}.")
    return run


def check_all(task: Task, config: TrainConfig, *, filled: bool = True) -> None:
    """Raise `ConfigError` unless these are a task and a configuration with allowed settings.

    With `filled=False` a None among them may still become anything.
    """
    if isinstance(task, type) or not isinstance(task, Task):
        wanted = ("check", "check_values", "broadcast", "init", "loss", *TASK_EXTRAS)
        missing = [name for name in wanted if not hasattr(task, name)]
        hint = f"; it has no {missing[0]}" if len(missing) < len(wanted) and missing else ""
        raise ConfigError(f"task must be a task such as superpos.tasks.Toy(...), got {type(task).__name__}{hint}.")
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"config must be a superpos.TrainConfig, got {type(config).__name__}.")
    task.check()
    config.check()
    if filled:
        config.filled(task).check()
        stopping.check_metric(task, config)


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
