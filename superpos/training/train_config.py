"""How one model is trained: every number and choice that is not the task's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from superpos import check
from superpos.arrays import OptionalScalar, Scalar
from superpos.errors import ConfigError
from superpos.identity.registered import check_registered, functions_of
from superpos.tasks.base import Task, numeric_fields
from superpos.training import metrics, optimizers
from superpos.training.optimizers import OPTIMIZERS, SCHEDULES

# Step numbers are 32 bits.
MAX_STEPS = 2**31 - 1


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How one model is trained.

    `learning_rate` (the schedule's peak), `weight_decay`, `unit_norm_pull`, `beta1`, `beta2`, `epsilon` and `momentum`
    may be swept without recompiling; the optimiser is built from them inside the compiled function. `optimizer` is
    `"adamw"`, `"adam"`, `"sgd"`, `"rmsprop"`, `"lion"`, `"muon"` or one of your own (`optimizers.register`):
    `superpos.optimizers` defines them and says which numbers each reads; an axis over others is refused, others set away
    from their defaults are warned about (`superpos.training.unread` states the rule). Weight decay is decoupled (but for
    "adam") and spares biases unless `decay_bias`. (torch's AdamW decays by 0.01 and optax's by 1e-4 when nothing is said;
    here the default is 0.) `unit_norm_pull` pulls feature directions to length 1 (`superpos.training.unit_norm_pull`).
    `steps`, `learning_rate`, `beta1` and `beta2` that are left None are the task's own, which suit Adam: 5,000 at 0.01
    with Adam's usual 0.9 and 0.999 for the toy model on samples; 300 at 0.08 with 0.7 and 0.9 for its expected loss,
    whose gradient has no noise to average out. The cosine schedule is optax's, ½(1 + cos πt/T). RMSProp's and Lion's
    memories are their own where they are left None (`superpos.optimizers`).

    `history` is the number of points on the loss curve, each the mean over the steps since the last point. `snapshots`
    are numbers of steps after which the weights are kept. `metrics` names functions of one's own that are recorded at these
    points, too (`superpos.metrics`). After training, the loss is the population loss where the task knows it; elsewhere it
    is measured on `evaluation_samples` fresh inputs (rounded up to whole batches of 1,024)
    that are the same for all seeds, so seeds compare fairly.

    `stop_below` and `stop_above` freeze a model at the first point of the record whose mean loss (or `stop_metric`,
    another number that the task records) is beyond the bound. `stopped_step` is the number of steps it was trained for by
    then, counted from the start of this training (not from `first_step`), and so one of `boundaries()`; `steps` where the
    bound was reached at the last point; -1 where it never was. The record is NaN after it; the loss is the frozen model's.

    `first_step` is the number of the first step, which its batch is drawn by; None goes on where `init` ended. Only batches
    count from it: the schedule, the record, `stopped_step`, `diverged_step` and what tasks do after a step begin at 0.

    >>> sp.TrainConfig().with_defaults(sp.tasks.Toy(n_features=5, n_hidden=2)).steps
    5000
    """

    steps: Any = jax.tree.static(default=None)  # loop length; None is the task's own
    batch_size: int = jax.tree.static(default=1_024)  # shape of x
    learning_rate: OptionalScalar = None
    weight_decay: Scalar = 0.0
    unit_norm_pull: OptionalScalar = None  # None costs no time, 0 does
    beta1: OptionalScalar = None
    beta2: OptionalScalar = None
    epsilon: Scalar = 1e-8
    momentum: OptionalScalar = None  # of sgd, rmsprop and muon; None costs no memory, 0 does
    optimizer: str = jax.tree.static(default="adamw")  # chooses code
    nesterov: bool | None = jax.tree.static(default=None)  # chooses code; None is true for muon alone
    schedule: str = jax.tree.static(default="cosine")  # chooses code
    warmup_steps: int = jax.tree.static(default=0)  # chooses code
    decay_bias: bool = jax.tree.static(default=False)  # chooses code
    history: int = jax.tree.static(default=100)  # shape of the record
    snapshots: tuple[int, ...] = jax.tree.static(default=())  # shape of the record
    metrics: tuple[str, ...] = jax.tree.static(default=())  # names of `superpos.metrics`, chooses code
    evaluation_samples: int = jax.tree.static(default=131_072)  # loop length
    stop_below: OptionalScalar = None
    stop_above: OptionalScalar = None
    stop_metric: str | None = jax.tree.static(default=None)  # chooses code; None is the loss
    first_step: int | None = jax.tree.static(default=None)  # chooses code; None is 0, or where `init` ended

    def with_defaults(self, task: Task) -> "TrainConfig":
        """The same configuration with the optimiser's or the task's own values where a field that is read is None."""
        return replace(self, **optimizers.with_defaults(self, task.training_defaults()))

    @staticmethod
    def describe(settings: Mapping[str, Any], swept: set[str]) -> list[str]:
        """A configuration in words, for captions: phrases about the `settings` that a result states, but for the batch."""

        def words(field: str, phrase: str) -> str:
            return f"{field.replace('_', ' ')} swept" if field in swept else phrase

        steps = f"{settings['steps']:,} steps" if settings["steps"] else "steps by objective"
        optimizer = optimizers.NAMES.get(settings["optimizer"], str(settings["optimizer"]))
        rate = settings["learning_rate"]
        rate = f"learning rate {rate:g}" if rate else "learning rate by objective"
        schedule = words("schedule", settings["schedule"])
        if "warmup_steps" in swept or settings.get("warmup_steps"):
            schedule += ", " + words("warmup_steps", f"warm-up of {settings['warmup_steps']:,} steps")
        phrases = [
            f"{words('steps', steps)} of {words('optimizer', optimizer)}",
            f"{words('learning_rate', rate)} ({schedule})",
        ]
        if "weight_decay" in swept or settings.get("weight_decay"):
            of = "of weights and biases " if settings.get("decay_bias") else ""
            phrases.append(words("weight_decay", f"weight decay {of}{settings['weight_decay']:g}"))
        if "unit_norm_pull" in swept or settings.get("unit_norm_pull") is not None:
            phrases.append(words("unit_norm_pull", f"pull to unit norm {settings['unit_norm_pull']}"))
        return phrases

    @staticmethod
    def describe_batch(settings: Mapping[str, Any], swept: set[str]) -> str:
        """How many fresh draws a step sees, in words."""
        return "batch size swept" if "batch_size" in swept else f"batch {settings['batch_size']:,}"

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        most = MAX_STEPS if self.steps is None else self.steps
        if self.steps is not None:
            check.integer("steps", self.steps, at_least=1, at_most=MAX_STEPS)
        check.integer("batch_size", self.batch_size, at_least=1, at_most=2**24)
        for field in numeric_fields(self):
            if getattr(self, field) is not None:
                check.scalar(field, getattr(self, field))
        check_registered("optimizer", self.optimizer, OPTIMIZERS)
        check.one_of("schedule", self.schedule, SCHEDULES)
        check.integer("warmup_steps", self.warmup_steps, at_most=most - 1)
        check.boolean("decay_bias", self.decay_bias)
        if self.nesterov is not None:
            check.boolean("nesterov", self.nesterov)
        check.integer("history", self.history, at_least=1, at_most=100_000)
        if not isinstance(self.snapshots, tuple):
            raise ConfigError(
                f"snapshots must be a tuple of steps such as (0, 100), got {check.short(self.snapshots)}."
            )
        for step in self.snapshots:
            check.integer("snapshots: a step", step, at_most=most)
        if list(self.snapshots) != sorted(set(self.snapshots)):
            raise ConfigError(f"snapshots must be increasing numbers of steps, got {list(self.snapshots)}.")
        metrics.check_names(self.metrics)
        check.integer("evaluation_samples", self.evaluation_samples, at_least=1)
        if self.stop_metric is not None and not isinstance(self.stop_metric, str):
            raise ConfigError(
                f"stop_metric must be the name of a recorded number, got {check.short(self.stop_metric)}."
            )
        check.integer(
            "first_step", 0 if self.first_step is None else self.first_step, at_most=MAX_STEPS - (self.steps or 1)
        )
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        positive, decay, momentum = {"above": 0}, {"at_least": 0}, {"at_least": 0, "below": 1}
        limits = {"learning_rate": positive, "weight_decay": decay, "beta1": momentum, "beta2": momentum}
        limits["unit_norm_pull"] = decay
        limits["momentum"] = momentum
        for name, limit in (limits | {"epsilon": positive}).items():
            if getattr(self, name) is not None:
                check.in_range(name, getattr(self, name), **limit)

    def named_code(self) -> dict[str, Any]:
        """Functions that fields name by a word, such as {"optimizer belief": function} (see `Task.named_code`)."""
        return functions_of(self)

    def broadcast(self) -> "TrainConfig":
        """The same configuration with every numeric field a float array."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), self)

    def learning_rate_schedule(self) -> optax.Schedule:
        """Learning rate as a function of the step: linear warm-up to the peak, then the named decay."""
        self._need("steps", "learning_rate")
        return optimizers.schedule(self)

    def build_optimizer(self) -> optax.GradientTransformation:
        """The optimiser; called inside the traced function, so its numbers may be tracers."""
        check_registered("optimizer", self.optimizer, OPTIMIZERS)
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
                raise ConfigError(f"{name} is not chosen yet; TrainConfig.with_defaults(task) takes the task's own.")
