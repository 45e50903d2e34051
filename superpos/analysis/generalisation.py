"""When models memorised, and when they generalised."""

from typing import Any

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError


def steps_to(steps: Any, values: Any, level: float) -> np.ndarray:
    """The first of `steps` (n,) at which `values` (…, n) are at least `level`; NaN where they never are, (…)."""
    steps, values = check.finite_array("steps", steps), arrays.as_numpy("values", values, finite=False)
    if np.ndim(steps) != 1 or values.shape[-1:] != steps.shape:
        raise ConfigError(f"values must end with the {np.size(steps)} steps, got shape {values.shape}.")
    reached = values >= level
    return np.where(reached.any(axis=-1), steps[reached.argmax(axis=-1)], np.nan)
