"""When models memorised, and when they generalised."""

from typing import Any

import numpy as np
import xarray as xr

from superpos import arrays, check
from superpos.errors import ConfigError


def steps_to(steps: Any, values: Any, level: float) -> np.ndarray:
    """The first of `steps` (n,) at which `values` (…, n) are at least `level`; NaN where they never are, (…)."""
    steps, values = check.finite_array("steps", steps), arrays.as_numpy("values", values, finite=False)
    if np.ndim(steps) != 1 or values.shape[-1:] != steps.shape:
        raise ConfigError(f"values must end with the {np.size(steps)} steps, got shape {values.shape}.")
    reached = values >= level
    return np.where(reached.any(axis=-1), steps[reached.argmax(axis=-1)], np.nan)


def milestones(result: Any, level: float = 0.99) -> xr.Dataset:
    """Steps until the training accuracy (`memorised`) and the test accuracy (`generalised`) first reach `level`.

    Labelled like `result`, whose models must have the history of both, as those of `superpos.tasks.ModularAddition`. A
    point of the history is the mean since the point before. NaN: not in the steps of the training, which are no time of
    generalisation but a bound of it. `test_accuracy` is the last point of the history.
    """
    dims = result["loss"].dims
    steps = result.dataset["record_step"].values
    found = {}
    for name, history in (("memorised", "accuracy_history"), ("generalised", "test_accuracy_history")):
        if history not in result.dataset:
            raise ConfigError(f"result must hold models with an {history}, such as those of modular addition.")
        values = result[history].transpose(*dims, "record").values
        found[name] = (dims, steps_to(steps, values, level))
    final = result["test_accuracy_history"].isel(record=-1).transpose(*dims).values
    attributes = {"level": level, "steps": int(steps[-1])}
    return xr.Dataset(found | {"test_accuracy": (dims, final)}, {d: result[d].values for d in dims}, attributes)
