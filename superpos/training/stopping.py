"""Early stopping: a model is frozen once a number that it records has reached a bound."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from superpos.errors import ConfigError
from superpos.training.metrics import recorded

LOSS = "loss"


def stops(config: Any) -> bool:
    """Whether this configuration stops models early: it has a bound."""
    return config.stop_below is not None or config.stop_above is not None


def check_metric(task: Any, config: Any) -> None:
    """Raise `ConfigError` unless the task records the metric that a configuration stops by."""
    if not stops(config) or config.stop_metric in (None, LOSS):
        return
    _, metrics = recorded(task, config)
    if config.stop_metric not in metrics:
        raise ConfigError(
            f"stop_metric must be a number that the task records, one of {', '.join([LOSS, *metrics])}, "
            f"got {config.stop_metric!r}."
        )


def reached(config: Any, stop: Any, loss: Any, metrics: dict[str, Any]) -> Bool[Array, ""]:
    """Whether training shall end after `stop` steps, where the means since the last point of the record are these.

    Only where the record has a point: however calls are cut, the same means are looked at. NaN reaches nothing.
    """
    points = config.boundaries()
    at_point = jnp.asarray(points)[jnp.searchsorted(jnp.asarray(points), stop)] == stop
    mean = loss if config.stop_metric in (None, LOSS) else metrics[config.stop_metric]
    done = jnp.bool_(False)
    if config.stop_below is not None:
        done |= mean < config.stop_below
    if config.stop_above is not None:
        done |= mean > config.stop_above
    return at_point & done


def all_done(stopped_step: Any, diverged_step: Any) -> bool:
    """Whether no model of these is trained any more (steps are -1 where one is)."""
    return bool(np.all((np.asarray(stopped_step) >= 0) | (np.asarray(diverged_step) >= 0)))
