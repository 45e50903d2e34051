"""What training one model returns."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superpos import arrays, views
from superpos.training.optimizers import named_leaves


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class Run:
    """One trained model and how it got there."""

    task: Any
    config: Any  # the TrainConfig, filled
    seed: Any
    model: Any
    loss: Any  # the population loss, or the loss on the evaluation inputs
    history: Any  # loss curve: one point per entry of `config.boundaries()`
    snapshots: Any  # the model with a leading axis, one entry per `config.snapshots`; None if none were asked for
    diverged_step: Any  # -1 for a healthy run
    stopped_step: Any = None  # steps trained when a bound was reached, -1 if none was; None if there is no bound
    opt_state: Any = None  # its state after the last step, for `more`

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
