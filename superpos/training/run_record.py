"""What training one model returns."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, views
from superpos.arrays import OptionalScalar, Scalar
from superpos.tasks.base import Metrics, Model, Task
from superpos.training.optimizers import named_leaves
from superpos.training.train_config import TrainConfig

T = TypeVar("T", bound=Task)


class Record(NamedTuple):
    """What is reported, one entry per interval: means over the steps since its origin. NaN from a divergence on.

    `TrainConfig.metrics` are no means: they are measured on the model at the end of the interval.
    """

    loss: Float[Array, " k"] | None  # None where none is stored
    metrics: Metrics


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class Run(Generic[T]):
    """One trained model and how it got there."""

    task: T
    config: TrainConfig  # filled
    seed: Scalar
    model: Model
    loss: Scalar  # the population loss, or the loss on the evaluation inputs
    history: Record  # loss curve: one point per entry of `config.boundaries()`
    snapshots: Model | None  # with a leading axis, one entry per `config.snapshots`; None if none were asked for
    diverged_step: Scalar  # -1 for a healthy run
    stopped_step: OptionalScalar = None  # steps trained when a bound was reached, -1 if none was; None without a bound
    opt_state: Any = None  # the optimiser's state after the last step, for `more`

    @property
    def history_steps(self) -> np.ndarray:
        """Numbers of steps at which the points of the loss curve stand."""
        return self.config.boundaries()

    def plot(self, ax: Any = None) -> Any:
        """Its feature directions, or what suits it, in `ax` or the current axes. See `superpos.plot.overview`."""
        return views.draw("picture", self, ax)

    def _repr_html_(self) -> str:
        return views.draw("html", self)

    def __repr__(self) -> str:
        if any(arrays.is_traced(leaf) for leaf in jax.tree.leaves(self)) or jnp.ndim(self.loss):
            return f"Run of {type(self.task).__name__}, traced or batched"
        sizes = ", ".join(f"{name} {tuple(leaf.shape)}" for name, leaf in named_leaves(self.model))
        stopped = -1 if self.stopped_step is None else int(self.stopped_step)
        return (
            f"Run of {type(self.task).__name__}, seed {int(self.seed)}, {self.config.steps} steps"
            f"\n  parameters: {sizes}\n  loss {float(self.loss):.4g}"
            + (f"; stopped early after {stopped} steps" if stopped >= 0 else "")
        )
