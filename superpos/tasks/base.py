"""What a task is: everything that differs between experiments."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import partial
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from superpos import check
from superpos.identity.registered import functions_of
from superpos.tasks import words

Model = Any  # a flax nnx module, used as a pytree
Metrics = dict[str, Float[Array, ""]]

# Every class of tasks that was defined in this process and lives, by module and class.
DEFINED: WeakValueDictionary[str, type["Task"]] = WeakValueDictionary()


class Approximation(ABC):
    """What a task minimises instead of its loss, where that may lead training astray: a series that is cut, for example.

    A training that is led astray counts as diverged.
    """

    @abstractmethod
    def warnings(self) -> list[str]:
        """Sentences about settings that are likely to mislead."""

    @abstractmethod
    def remedy(self) -> str:
        """What to do about a training that was misled, as the end of a sentence."""

    @abstractmethod
    def least_loss(self) -> Float[Array, ""]:
        """What no training loss is below while the approximation holds. A step below it is refused."""

    @abstractmethod
    def misleads(self, model: Model) -> Bool[Array, ""]:
        """Whether what was minimised is far from the true loss at a trained model."""


class Task(ABC):
    """A model, its data and its loss: derive from this, as a frozen dataclass, and write the experiment for ONE model.

    `init` and `loss` are yours; everything else has a default. `register` gives the class a name::

        @sp.tasks.register("ring")
        @dataclass(frozen=True, kw_only=True)
        class Ring(sp.tasks.Task):
            n_features: int = jax.tree.static()
            noise: Any = 0.1

    Numeric fields are leaves: they may be traced, so every value of them shares one compilation, and a grid may sweep them.
    Fields that set a shape or choose code are static (`jax.tree.static`). There is no batch-of-models axis anywhere.
    """

    # How captions say what a task's sizes are, by field; words that begin with "in" or "to" go on from the ones before.
    SIZES: ClassVar[dict[str, str]] = {"n_features": "{} features", "n_hidden": "in {} hidden dimensions"}
    # What a step sees, where that is no batch of fresh draws, with fields in braces: "full batch of {n_points:,} points".
    DATA: ClassVar[str | None] = None
    # Names of fields in captions, where they are not their own with spaces.
    NAMES: ClassVar[dict[str, str]] = {}
    # Fields that captions say at their defaults too, and fields that they never say.
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = words.FIRST
    UNSAID: ClassVar[tuple[str, ...]] = ()
    # Fields that a class had once, with the only value that they could have: stores may still name them.
    RETIRED: ClassVar[dict[str, Any]] = {}
    # Fields that a result names when it prints itself.
    SUMMARY: ClassVar[tuple[str, ...]] = (
        "n_features", "n_hidden", "n_latents", "architecture", "activation", "target", "hidden_activation",
    )  # fmt: skip
    # Whether its models are sparse autoencoders: these have scores (`SweepResult.sae_scores`).
    TRAINS_AUTOENCODERS: ClassVar[bool] = False
    # Which page of the explorer shows its models: "viewer", "modular" or "induction"; models with a W have one without it.
    PAGE: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        DEFINED[full_name(cls)] = cls

    @abstractmethod
    def init(self, key: PRNGKeyArray) -> Model:
        """A new model: any pytree of arrays. An nnx module with `DIMS` labels the axes of its parameters in results."""

    @abstractmethod
    def loss(self, model: Model, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Scalar training loss on a batch drawn from `key`, and further scalars to record, by name."""

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed. Values are looked at by default."""
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells. Finite, by default."""
        for name in numeric_fields(self):
            if getattr(self, name) is not None:
                check.finite_array(name, getattr(self, name))

    def broadcast(self) -> "Task":
        """The same task with every numeric field an array of its full shape.

        By default the shape it has; a field that may be one number or one per feature needs its vector here.
        """
        given = {name: getattr(self, name) for name in numeric_fields(self)}
        return replace(self, **{name: jnp.asarray(v, float) for name, v in given.items() if v is not None})  # type: ignore[type-var]

    def precompute(self) -> "Task":
        """The broadcast task with what it computes once instead of at every step. By default there is no such thing."""
        return self

    def training_loss(self, model: Model, key: PRNGKeyArray, batch_size: int) -> tuple[Any, tuple[Metrics, Any]]:
        """What a step minimises, with (scalars to record, what `after_step` wants to see). By default `loss`, and nothing."""
        loss, metrics = self.loss(model, key, batch_size)
        return loss, (metrics, None)

    def after_step(
        self,
        model: Model,
        new_model: Model,
        optimizer: optax.OptState,
        seen: Any,
        key: PRNGKeyArray,
        step: Any,
        steps: Any,
    ) -> tuple[Model, optax.OptState]:
        """What becomes of a model and its optimiser after each step (projections, resampling). By default nothing.

        `model` is the one before the step, `seen` what `training_loss` handed over, `step` how many steps the optimiser had
        taken before this one, and `steps` how many it takes in all. After `init` the optimiser is new and counts from 0;
        `more` counts on.
        """
        return new_model, optimizer

    def check_start(self, given: Mapping[str, Any]) -> None:
        """Raise `ConfigError` where models cannot begin with these parameters, which may lead with an axis of cells."""
        return

    def started(self, model: Model, given: Mapping[str, Any]) -> Model:
        """The same function in the form in which this task trains it, of a model that begins with given parameters."""
        return model

    def expected_loss(self, model: Model) -> Float[Array, ""] | None:
        """The loss without sampling; None, the default, where held-out inputs must estimate it (`evaluation_task().loss`)."""
        return None

    def approximation(self) -> Approximation | None:
        """What is minimised instead of the loss, if it may lead astray; None, the default, where training may be trusted."""
        return None

    def evaluation_task(self) -> "Task":
        """The task whose `loss` is meant, of one that trains on more than it reports (a penalty, an attack): itself."""
        return self

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why; fields of `TrainConfig`, too. None by default.

        A grid axis over such a field is refused, and one set away from its default is warned about
        (`superpos.training.unread`).
        """
        return {}

    def named_code(self) -> dict[str, Any]:
        """Functions and classes that fields name by a word, such as {"activation softsign": function}.

        Their code counts as the task's own where it is from outside superpos. By default the registered functions.
        """
        return functions_of(self)

    def training_defaults(self) -> dict[str, Any]:
        """Values for the fields of `TrainConfig` that were left None: steps, learning_rate, beta1, beta2."""
        return {"steps": 5_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    @classmethod
    def describe(cls, settings: Mapping[str, Any], swept: set[str]) -> list[str]:
        """A task in words, for captions: phrases about the `settings` that a result states, and which fields were `swept`.

        By default its sizes, then everything that is swept or not at its default.
        """
        defaults = {f.name: f.default for f in fields(cls) if f.default is not MISSING} if is_dataclass(cls) else {}
        stated = {name: list(v) if isinstance(v, tuple) else v for name, v in defaults.items()}
        unsaid = (*cls.SIZES, *cls.UNSAID)
        changed = words.changed(
            settings, swept, defaults=stated, names=cls.NAMES, always=cls.ALWAYS_SAID, unsaid=unsaid
        )
        return words.sizes(cls.SIZES, settings, swept) + changed

    @classmethod
    def describe_data(cls, settings: Mapping[str, Any], swept: set[str], batch: str) -> list[str]:
        """What a step sees, in words: `DATA`, or by default `batch`, which says how many fresh draws there are."""
        return [cls.DATA.format(**settings) if cls.DATA else batch]

    def elements_per_step(self, batch_size: int) -> int:
        """How many numbers one model's step goes through, roughly: the size of its largest activations, whole batch.

        It decides how many models share a block where `block_size` is not given (B, part of a sweep's identity), and how many
        steps a call takes. By default all values that one evaluation of the loss computes, and as many for its gradient.
        """
        full = materialize(self)
        model = jax.eval_shape(full.init, jax.random.key(0))
        loss = partial(full.training_loss, batch_size=batch_size)
        return 2 * _numbers(jax.make_jaxpr(lambda m, k: loss(m, k))(model, jax.random.key(0)).jaxpr)


def full_name(cls: type) -> str:
    """Module and class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def numeric_fields(node: Any) -> tuple[str, ...]:
    """Fields of a task or configuration that are traced: all values of them share one compilation."""
    return tuple(f.name for f in fields(node) if not f.metadata.get("static", False))


def static_fields(node: Any) -> tuple[str, ...]:
    """Fields that set a shape or choose code: each value of them compiles once."""
    return tuple(f.name for f in fields(node) if f.metadata.get("static", False))


def materialize(task: Any) -> Any:
    """The task with fields of full shape and, where it has any, what it computes once instead of at every step."""
    return task.broadcast().precompute()


def _numbers(jaxpr: Any) -> int:
    """Values that a program computes; the body of a loop counts once."""
    total = 0
    for equation in jaxpr.eqns:
        total += sum(int(getattr(out.aval, "size", 0)) for out in equation.outvars)
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            total += _numbers(inner) if hasattr(inner, "eqns") else 0
    return total
