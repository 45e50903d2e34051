"""The questions of `demos/09_features_in_the_wild` that no other notebook asks."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.demos.question import Question, Verdict, near


def _polysemantic(answer: Any, counts: xr.DataArray) -> Verdict:
    """At which of the trained densities a neuron serves the most features, by the mean over the neurons that serve any."""
    guess = float(answer)
    densities = counts["feature_probability"].values.astype(float)
    means = [float(row[row > 0].mean()) for row in counts.transpose("feature_probability", ...).values.astype(float)]
    words = "; ".join(f"density {p:g}: {n:.1f} features per neuron" for p, n in zip(densities, means, strict=True))
    if not np.any(np.isclose(densities, guess)):
        return Verdict(False, f"the densities trained are {', '.join(f'{p:g}' for p in densities)}; choose among them.")
    return Verdict(bool(np.isclose(densities[int(np.argmax(means))], guess)), f"{words}.")


def _absorption(answer: Any, family: Any, shares: xr.DataArray) -> Verdict:
    """The share of a parent's inputs on which one of its exclusive children is active, beside what was measured."""
    p, parents = np.asarray(family.feature_probability, float), np.asarray(family.parents)
    truth = float(p[parents == 0].sum() / p[0])
    if near(answer, truth, 0.03):
        levels = ", ".join(f"{share:.2f}" for share in np.sort(shares.values.ravel()))
        return Verdict(
            True,
            f"it is {truth:.2f}. Measured: {levels}. Each child that absorbs adds {truth / (parents == 0).sum():.2f}.",
        )
    word = "more" if truth > float(answer) else "less"
    return Verdict(False, f"it is {word}: of the inputs on which the parent is active, how many have an active child?")


QUESTIONS: dict[str, Question] = {
    "polysemantic": Question("one of the two densities", _polysemantic),
    "absorption": Question("one number between 0 and 1", _absorption),
}
