"""Examples in docstrings are run, with `np` and `sp` imported."""

import doctest
import inspect

import numpy as np
import pytest

import superpos as sp

WITH_EXAMPLES = {
    "geometry": sp.geometry,
    "feature_dimensionality": sp.feature_dimensionality,
    "expected_loss": sp.expected_loss,
    "Grid": sp.Grid,
    "Grid.zipped": sp.Grid.zipped,
    "entry": sp.entry,
    "decay": sp.decay,
    "vectors": sp.vectors,
    "more": sp.more,
    "TrainConfig": sp.TrainConfig,
    "FeatureDistribution": sp.FeatureDistribution,
    **{
        f"analysis.{name}": getattr(sp.analysis, name)
        for name in (
            "subcomponent_recovery", "identity_error", "dense_error", "live_subcomponents", "subcomponent_agreement",
        )
    },
    "landscapes.curvature_at": sp.landscapes.curvature_at,
    **{
        f"theory.{name}": getattr(sp.theory, name)
        for name in (
            "linear_loss", "optimal_linear_loss", "candidate_losses", "boundaries", "vanishing_penalty", "naive_baseline",
            "linear_vulnerability", "crossings", "known_shape", "known_shapes",
            "arrangement", "optimal_allocation", "allocation_exponents",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_give_what_they_say(name, unchecked):
    text = inspect.getdoc(WITH_EXAMPLES[name]) or ""
    examples = doctest.DocTestParser().get_doctest(text, {"np": np, "sp": sp}, name, None, None)
    assert examples.examples, f"{name} has no example"
    said: list[str] = []
    doctest.DocTestRunner().run(examples, out=said.append)
    assert not said, "".join(said)
