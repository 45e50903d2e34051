"""Train ONE model: init, one scan, everything recorded. Nothing here knows that there are many runs."""

import math
from dataclasses import fields, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.data.key_tags import AFTER_STEP_TAG, EVALUATION_TAG, INIT_TAG
from superpos.errors import ConfigError, DivergedError
from superpos.identity import code_token
from superpos.models.products import is_gpu
from superpos.process import check_process
from superpos.tasks.base import Model, Task, materialize, numeric_fields
from superpos.training import stopping
from superpos.training.chunks import chunk_length, train_through
from superpos.training.metrics import measured, recorded
from superpos.training.optimizers import steps_taken
from superpos.training.run_record import Record as Record
from superpos.training.run_record import Run as Run
from superpos.training.run_record import T
from superpos.training.start import PARAMETER_BOUND, begun, check_start, starting_parameters, steps_before
from superpos.training.train_config import MAX_STEPS, TrainConfig
from superpos.training.unread import warn
from superpos.training.vectors import Vectors

# Inputs per evaluation batch, whatever the training batch is, so that all models are tested on the same inputs.
EVALUATION_BATCH = 1_024


class Intervals(NamedTuple):
    """Stretches of training, none longer than from one point of the record to the next; any number can be run at a time."""

    origin: Integer[Array | np.ndarray, " k"]  # first step since the last point of the record
    start: Integer[Array | np.ndarray, " k"]  # first step
    stop: Integer[Array | np.ndarray, " k"]  # one past the last step
    snapshot: Integer[Array | np.ndarray, " k"]  # where in the snapshots to keep the weights, or -1


class TrainState(NamedTuple):
    """What is carried from step to step."""

    model: Model
    opt_state: optax.OptState
    diverged_step: Integer[Array, ""]  # -1 while healthy; afterwards nothing changes any more
    snapshots: Model | None  # leading axis: snapshot
    total: Any  # sums of loss and metrics since the last point of the record
    stopped_step: Any = None  # -1 until stopped early; None where nothing stops


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
    task, config = materialize(task), config.broadcast()
    model = task.init(jax.random.fold_in(jax.random.key(seed), jnp.uint32(INIT_TAG)))
    model = model if start is None else begun(task, model, start)
    snapshots = None
    if config.snapshots:  # filled with the initial weights, which a snapshot at step 0 keeps
        snapshots = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(config.snapshots), *leaf.shape)), model)
    loss, (metrics, _) = jax.eval_shape(
        partial(task.training_loss, batch_size=config.batch_size), model, jax.random.key(0)
    )
    total = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (loss, metrics))
    stopped = jnp.int32(-1) if stopping.stops(config) else None
    return TrainState(model, config.build_optimizer().init(model), jnp.int32(-1), snapshots, total, stopped)


def advance(
    task: Task,
    config: TrainConfig,
    seed: Integer[Array, ""],
    state: TrainState,
    todo: Intervals,
    before: Any = 0,
    *,
    chunk: int | None = None,
    train_steps: Any = None,
) -> tuple[TrainState, Record]:
    """Train through some intervals: the one scan. Cutting the intervals into several calls changes no bit.

    `before` is the number of steps that the optimiser has taken already, which `after_step` of a task counts on from.
    `chunk` is the number of steps between two looks at whether an interval is over (see `superpos.training.chunks`).
    `train_steps` replaces the loop over steps: (task, config, key, state, first step, one past the last) → state.

    A step whose loss is not finite, or is below the least that the task can have, or whose new parameters are not finite or
    exceed `PARAMETER_BOUND`, is refused: the model stays as it was from then on and `diverged_step` says when. One that has
    reached its bound stays so, too.
    """
    task, config = materialize(task), config.broadcast()
    approximation = task.approximation()
    least = None if approximation is None else approximation.least_loss()
    vectors = Vectors.of(task, config, state.model) if is_gpu() and train_steps is None else None
    optimizer = config.build_optimizer() if vectors is None else vectors.optimizer(config)
    key, first = jax.random.key(seed), config.first_step or 0

    def step(t: Integer[Array, ""], state: TrainState, taken: Any) -> TrainState:
        number = t + first if first else t
        step_key = jax.random.fold_in(key, number)

        def loss_of(parameters: Any) -> Any:
            model = parameters if vectors is None else vectors.model(parameters)
            return task.training_loss(model, key=step_key, batch_size=config.batch_size)

        (loss, (metrics, seen)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.model)
        updates, new_opt_state = optimizer.update(gradient, state.opt_state, state.model)
        new_model = optax.apply_updates(state.model, updates)
        after_key = jax.random.fold_in(step_key, jnp.uint32(AFTER_STEP_TAG))
        both, counted = (state.model, new_model), (t + before, before + config.steps)
        new_model, new_opt_state = task.after_step(*both, new_opt_state, seen, after_key, *counted)
        bounded = [jnp.all(jnp.abs(leaf) <= PARAMETER_BOUND) for leaf in jax.tree.leaves(new_model)]  # False for NaN
        healthy = (state.diverged_step < 0) & jnp.isfinite(loss) & jnp.all(jnp.stack(bounded))
        if least is not None:
            healthy &= loss >= least
        frozen = state.diverged_step >= 0
        if state.stopped_step is not None:
            healthy, frozen = healthy & (state.stopped_step < 0), frozen | (state.stopped_step >= 0)
        if taken is not None:
            healthy, frozen = healthy & taken, frozen | ~taken
        kept_model, kept_opt_state = jax.tree.map(
            lambda new, old: jnp.where(healthy, new, old),
            (new_model, new_opt_state),
            (state.model, state.opt_state),
        )
        diverged_step = jnp.where(healthy | frozen, state.diverged_step, t)
        total = jax.tree.map(lambda a, b: a + jnp.where(healthy, b, jnp.nan), state.total, (loss, metrics))
        if taken is not None:
            total = jax.tree.map(lambda new, old: jnp.where(taken, new, old), total, state.total)
        return TrainState(kept_model, kept_opt_state, diverged_step, state.snapshots, total, state.stopped_step)

    def interval(state: TrainState, stretch: Intervals) -> tuple[TrainState, Record]:
        fresh = jax.tree.map(lambda sum_: jnp.where(stretch.start == stretch.origin, 0, sum_), state.total)
        state = state._replace(total=fresh)
        if train_steps is None:
            state = train_through(step, stretch.start, stretch.stop, state, chunk, vectors)
        else:
            state = train_steps(task, config, key, state, stretch.start, stretch.stop)
        if config.snapshots:
            # No snapshot is a place past the end, which is dropped: a choice would copy all of them in every interval.
            place = jnp.where(stretch.snapshot >= 0, stretch.snapshot, len(config.snapshots))
            snapshots = jax.tree.map(
                lambda buffer, leaf: buffer.at[place].set(leaf, mode="drop"), state.snapshots, state.model
            )
            state = state._replace(snapshots=snapshots)
        mean_loss, mean_metrics = jax.tree.map(lambda sum_: sum_ / (stretch.stop - stretch.origin), state.total)
        if config.metrics:
            mean_metrics |= measured(config.metrics, task, state.model, mean_loss)
        if state.stopped_step is not None:
            ends = (state.stopped_step < 0) & stopping.reached(config, stretch.stop, mean_loss, mean_metrics)
            state = state._replace(stopped_step=jnp.where(ends, stretch.stop, state.stopped_step))
        return state, Record(mean_loss, mean_metrics)

    return jax.lax.scan(interval, state, todo)


def finish(task: Task, config: TrainConfig, state: TrainState) -> tuple[Float[Array, ""], Integer[Array, ""]]:
    """Loss of the trained model, and the step at which it diverged: the number of steps if an approximation misled it.

    That is a model whose true loss is far from the one that was minimised. It has not been trained, whatever it is.
    """
    step = state.diverged_step
    if (approximation := materialize(task).approximation()) is not None:
        step = jnp.where((step < 0) & approximation.misleads(state.model), jnp.asarray(config.steps, jnp.int32), step)
    return evaluate(task, config, state._replace(diverged_step=step)), step


def evaluate(task: Task, config: TrainConfig, state: TrainState) -> Float[Array, ""]:
    """Loss of the trained model, NaN if it diverged: the population loss where the task knows it.

    Elsewhere the mean over `evaluation_samples` inputs that no training step saw. They come from one fixed key, the same
    for all seeds: losses of two seeds differ by what they learned, not by what they were tested on.
    """
    task = materialize(task)
    mean = task.expected_loss(state.model)
    if mean is None:
        reported = task.evaluation_task()  # without what training added to the loss
        key = jax.random.fold_in(jax.random.key(0), jnp.uint32(EVALUATION_TAG))
        batch_size = min(EVALUATION_BATCH, config.evaluation_samples)
        n_batches = math.ceil(config.evaluation_samples / batch_size)

        def add(k: Integer[Array, ""], total: Float[Array, ""]) -> Float[Array, ""]:
            return total + reported.loss(state.model, jax.random.fold_in(key, k), batch_size)[0]

        mean = jax.lax.fori_loop(0, n_batches, add, jnp.zeros((), float)) / n_batches
    return jnp.where(state.diverged_step < 0, mean, jnp.nan)


@partial(jax.jit, static_argnames="code")  # `code_token`: changed code is another program
def _train(
    task: Task, config: TrainConfig, seed: Any, start: Any = None, opt_state: Any = None, code: str | None = None
) -> tuple[TrainState, Record]:
    state = init(task, config, seed, start)
    before = 0 if opt_state is None else steps_taken(opt_state)
    state = state if opt_state is None else state._replace(opt_state=opt_state)
    todo = intervals(config)
    chunk = chunk_length(todo.stop - todo.start, jax.default_backend())
    return advance(task, config, seed, state, jax.tree.map(jnp.asarray, todo), before, chunk=chunk)


# A program of its own: it does not depend on how the model was trained, so it is compiled once for many configurations.
@partial(jax.jit, static_argnames=("evaluation_samples", "code"))
def _finish(
    task: Task, model: Model, diverged_step: Any, steps: Any, evaluation_samples: int, code: str | None
) -> tuple[Any, Any]:
    config = TrainConfig(steps=steps, evaluation_samples=evaluation_samples)
    return finish(task, config, TrainState(model, (), diverged_step, None, None))


def train(task: T, config: TrainConfig | None = None, seed: Any = 0, *, init: Any = None) -> Run[T]:
    """Train one model, from new weights or from `init`: a model, a `Run`, an array W or arrays by name.

    The optimiser starts anew (`more` keeps it). The steps are numbered on from a run's last one, so no batch comes again.
    Vmappable over every numeric field of `task` and `config` and over `seed`; under a transform, look at
    `Run.diverged_step` yourself. `sweep` trains many models at once, and says more.

    Raises:
        ConfigError: a setting is not allowed, or `init` does not fit.
        DivergedError: the loss or a parameter stopped being finite or bounded, or the series of the expected loss was too
            short (`order`); `.step` says when.
    """
    check_process()
    config = TrainConfig() if config is None else config
    task, config = arrays.own(task), arrays.own(config)
    check_all(task, config)
    if init is not None and config.first_step is None:
        config = replace(config, first_step=steps_before(init) or None)
        config.check()
    start = None if init is None else starting_parameters(task, init)
    if start is not None:
        check_start(task, start)
    return run_from(task, config.with_defaults(task), seed, start)


def run_from(task: T, config: TrainConfig, seed: Any, start: Any = None, opt_state: Any = None) -> Run[T]:
    """The run of settings that were checked and filled, from given weights and a state of the optimiser, if any."""
    if not arrays.is_traced(seed) or isinstance(seed, jax.ShapeDtypeStruct):
        check_seed(seed)
    full_task, full_config = task.broadcast(), config.broadcast()
    full_task.check_values()  # again: what is allowed in double precision may be 0 or 1 in single
    full_config.check_values()
    traced = any(arrays.is_traced(leaf) for leaf in jax.tree.leaves((task, config, seed, start, opt_state)))
    if not traced:
        warn(task, config)
    use_compilation_cache()
    seed = jnp.asarray(seed, jnp.uint32)
    code = code_token(task, config)
    state, history = _train(full_task, full_config, seed, start, opt_state, code)
    evaluated = (full_task, state.model, state.diverged_step, jnp.int32(full_config.steps))
    loss, diverged_step = _finish(*evaluated, full_config.evaluation_samples, code)
    run = Run(
        task=task,
        config=config,
        seed=seed,
        model=state.model,
        loss=loss,
        history=history,
        snapshots=state.snapshots,
        diverged_step=diverged_step,
        stopped_step=state.stopped_step,
        opt_state=state.opt_state,
    )
    if not traced and int(run.diverged_step) >= 0:
        step = int(run.diverged_step)
        if (approximation := task.approximation()) and (reason := misled_because(task, config, run.model, step)):
            raise DivergedError(step, approximation.remedy(), reason)
        raise DivergedError(step, f"try a learning_rate below {float(np.asarray(config.learning_rate)):g}.")
    return run


def misled_because(task: Any, config: TrainConfig, model: Model, step: int) -> str:
    """How a model that diverged at a step was led astray by what its task minimises; "" if it diverged in any other way.

    The model is as it was before the step that was refused, so its loss is the one that was seen there.
    """
    task = materialize(task)
    if (approximation := task.approximation()) is None:
        return ""
    if step >= int(config.steps):
        return "the loss that was minimised is far from the true one"
    loss, _ = task.training_loss(model, jax.random.key(0), config.batch_size)
    return "the loss came out below 0, where no loss can be" if bool(loss < approximation.least_loss()) else ""


def check_all(task: Task, config: TrainConfig) -> None:
    """Raise `ConfigError` unless these are a task and a configuration with allowed settings."""
    check_kinds(task, config)
    task.check()
    config.check()
    config.with_defaults(task).check()
    if config.metrics:
        recorded(task, config)
    stopping.check_metric(task, config)
    for node in (task, config):
        for name in numeric_fields(node):
            if isinstance(value := getattr(node, name), int | float):  # arrays may fade out
                check.trained_as(name, np.array([value], float), jnp.zeros((), float).dtype)


def check_kinds(task: Any, config: Any) -> None:
    """Raise `ConfigError` unless these are a task and a configuration, whatever they say."""
    if not isinstance(task, Task):
        hint = "; a task of one's own derives from superpos.tasks.Task" * (
            hasattr(task, "loss") and hasattr(task, "init")
        )
        raise ConfigError(f"task must be a task such as superpos.tasks.Toy(...), got {type(task).__name__}{hint}.")
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"config must be a superpos.TrainConfig, got {type(config).__name__}.")
    # An axis or a stored setting of that name would be of the one or the other.
    taken = {"kind", "seed"} | {f.name for f in fields(config)}
    if both := [f.name for f in fields(task) if f.name in taken]:  # type: ignore[arg-type]
        raise ConfigError(
            f"task {type(task).__name__} may have no field {both[0]}: superpos uses the name for something else."
        )


def check_seed(seed: Any) -> None:
    """Raise `ConfigError` unless `seed` is a whole number that fits in 32 bits."""
    if isinstance(seed, jax.Array | np.ndarray) and np.ndim(seed) == 0 and jnp.issubdtype(seed.dtype, np.integer):
        seed = seed.item()
    check.integer("seed", seed, at_most=2**32 - 1)
