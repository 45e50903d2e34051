"""The question of `demos/09_features_in_the_wild` that no other notebook asks."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.demos.question import Question, Verdict


def _polysemantic(answer: Any, counts: xr.DataArray) -> Verdict:
    """At which of the trained densities a neuron serves the most features, by the mean over the neurons that serve any."""
    guess = float(answer)
    densities = counts["feature_probability"].values.astype(float)
    means = [float(row[row > 0].mean()) for row in counts.transpose("feature_probability", ...).values.astype(float)]
    words = "; ".join(f"density {p:g}: {n:.1f} features per neuron" for p, n in zip(densities, means, strict=True))
    if not np.any(np.isclose(densities, guess)):
        return Verdict(False, f"the densities trained are {', '.join(f'{p:g}' for p in densities)}; choose among them.")
    return Verdict(bool(np.isclose(densities[int(np.argmax(means))], guess)), f"{words}.")


QUESTIONS: dict[str, Question] = {"polysemantic": Question("one of the two densities", _polysemantic)}
