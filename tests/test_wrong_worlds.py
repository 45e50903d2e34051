"""Worlds that cannot be: each is refused before anything is drawn, in one sentence that names the field."""

import numpy as np
import pytest

import superpos as sp

N = 4
NAN = float("nan")
TABLE = np.array([[1.0, 0, 2, 0], [0, 1, 0, 3], [1, 1, 0, 0]])
DOCUMENTS = {"world": "documents", "documents": TABLE}
DISCRETE = {"magnitude": "discrete", "magnitude_values": [1.0, 2.0]}
CIRCLE = {"world": "circle", "sharpness": 1.0, "log_odds": 0.0}
TREE = (-1, 0, 0, 1)


def _matrix(*entries):
    matrix = np.eye(N)
    for i, j, value in entries:
        matrix[i, j] = matrix[j, i] = value
    return matrix


def _changed(i, j, value):
    matrix = np.eye(N)
    matrix[i, j] = value
    return matrix


WRONG = [
    ("magnitude must be one of", {"magnitude": "normal"}),
    ("magnitude must be one of", {"magnitude": ("uniform", "uniform", "constant", "gauss")}),
    ("magnitude must be one law or one per feature (4), got 2", {"magnitude": ("uniform", "constant")}),
    ("magnitude must be one of", {"magnitude": ["uniform"] * N}),
    ("magnitude_low must be at most magnitude_high, got 2 and 1", {"magnitude_low": 2.0}),
    ("magnitude_low must be at most magnitude_high, got 0.5 and 0.2", {"magnitude_low": 0.5, "magnitude_high": [1, 1, 0.2, 1]}),
    ("magnitude_high must not be 0", {"magnitude_high": 0.0}),
    ("magnitude_high must be finite", {"magnitude_high": NAN}),
    ("magnitude_high must be one number or 4", {"magnitude_high": [1.0, 2.0]}),
    ("magnitude_rate must be None where magnitude is 'uniform'", {"magnitude_rate": 1.0}),
    ("magnitude_rate must be above 0, got -1", {"magnitude": "exponential", "magnitude_rate": -1.0}),
    ("magnitude_std must be above 0, got 0", {"magnitude": "folded_normal", "magnitude_std": 0.0}),
    ("magnitude_mean must be finite", {"magnitude": "folded_normal", "magnitude_mean": np.inf}),
    ("magnitude_value must not be 0", {"magnitude": "constant", "magnitude_value": [1.0, 0, 1, 1]}),
    ("magnitude_values are missing", {"magnitude": "discrete"}),
    ("magnitude_values must hold 1 to 256 numbers", {"magnitude": "discrete", "magnitude_values": []}),
    ("magnitude_values must hold 1 to 256 numbers", {"magnitude": "discrete", "magnitude_values": np.ones((3, 2))}),
    ("magnitude_values must not be 0", {"magnitude": "discrete", "magnitude_values": [0.0, 1.0]}),
    ("magnitude_weights must be as many as magnitude_values, 2, got 3", {**DISCRETE, "magnitude_weights": [0.2, 0.3, 0.5]}),
    ("magnitude_weights must add up to 1, got 0.9", {**DISCRETE, "magnitude_weights": [0.4, 0.5]}),
    ("magnitude_weights must be at least 0", {**DISCRETE, "magnitude_weights": [-0.5, 1.5]}),
    ("correlation_matrix must have shape (4, 4), got (3, 3)", {"correlation_matrix": np.eye(3)}),
    ("correlation_matrix must have shape (4, 4), got ()", {"correlation_matrix": 0.5}),
    ("correlation_matrix must have a diagonal of 1, got 0.9", {"correlation_matrix": 0.9 * np.eye(N)}),
    ("correlation_matrix must be symmetric; entries (0, 1) and (1, 0)", {"correlation_matrix": _changed(0, 1, 0.3)}),
    ("correlation_matrix must be at least -1", {"correlation_matrix": _matrix((0, 1, -1.5))}),
    ("correlation_matrix must be finite", {"correlation_matrix": _matrix((0, 1, NAN))}),
    (
        "correlation_matrix must be positive semidefinite; its least eigenvalue is -0.8",
        {"correlation_matrix": _matrix((0, 1, 0.9), (1, 2, 0.9), (0, 2, -0.9))},
    ),
    ("correlation_factor must have shape (4, factors)", {"correlation_factor": np.full((3, 1), 0.1)}),
    ("correlation_factor must have shape (4, factors)", {"correlation_factor": np.zeros((4, 0))}),
    ("correlation_factor must have rows of length 1 at most: that of feature 2", {"correlation_factor": np.array([[1.0, 0], [0.6, -0.8], [0.8, 0.8], [0, 0]])}),
    ("correlation_factor must be finite", {"correlation_factor": np.full((4, 2), NAN)}),
    ("correlation_matrix must be None where correlation is given", {"correlation": 0.1, "correlation_matrix": np.eye(N)}),
    ("correlation_matrix must be None where correlated_sets", {"correlation_matrix": np.eye(N), "correlated_sets": ((0, 1),)}),
    ("correlation_factor must be None where world is 'circle'", {**CIRCLE, "feature_probability": 1, "correlation_factor": np.ones((4, 1)) / 2}),
    ("parents must lead to a feature without parent, but run in a circle", {"parents": (1, 2, 0, -1)}),
    ("feature_probability must be no larger for a feature than for its parent", {"parents": TREE, "feature_probability": [0.1, 0.2, 0.1, 0.1]}),
    ("feature_probability of the exclusive children of feature 0 must add up", {"parents": TREE, "exclusive_children": True}),
    ("scale_by_parent must be false where parents is ()", {"scale_by_parent": True}),
    ("scale_by_parent must be true or false", {"parents": TREE, "scale_by_parent": 1}),
    ("scale_by_parent must be false where a magnitude may be negative", {"parents": TREE, "scale_by_parent": True, "magnitude": "signed_uniform"}),
    ("scale_by_parent must be false where a magnitude may be negative", {"parents": TREE, "scale_by_parent": True, "magnitude_low": -0.1}),
    ("feature_probability must add up to at most 1 within the anticorrelated set", {"anticorrelated_sets": ((0, 1, 2, 3),)}),
    ("documents are missing", {"world": "documents"}),
    ("documents must have shape (documents, 4), got (3, 3)", {"world": "documents", "documents": np.ones((3, 3))}),
    ("documents must have shape (documents, 4), got (0, 4)", {"world": "documents", "documents": np.ones((0, 4))}),
    ("documents must have shape (documents, 4), got (4,)", {"world": "documents", "documents": np.ones(4)}),
    ("documents must be at least 0", {"world": "documents", "documents": TABLE - 1}),
    ("documents must be finite", {"world": "documents", "documents": TABLE * NAN}),
    ("documents must name every feature: feature 2 is in none", {"world": "documents", "documents": TABLE * [1, 1, 0, 1]}),
    ("documents must be None unless world", {**CIRCLE, "documents": TABLE}),
    ("documents must be None where world is None", {"documents": TABLE}),
    ("documents must have shape (documents, 4), got ()", {"world": "documents", "documents": "corpus.txt"}),
    ("held_out must be at least 0 and below 1", {**DOCUMENTS, "held_out": 1.0}),
    ("held_out must be finite", {**DOCUMENTS, "held_out": NAN}),
    ("held_out must leave documents to both parts", {**DOCUMENTS, "held_out": 0.1}),
    ("held_out must be 0 unless world", {"held_out": 0.5}),
    ("held_out must be above 0 where part", {**DOCUMENTS, "part": "held_out"}),
    ("part must be one of training, held_out", {**DOCUMENTS, "part": "test"}),
    ("sharpness must be None where world is \"documents\"", {**DOCUMENTS, "sharpness": 1.0}),
    ("sharpness must be finite", {**CIRCLE, "sharpness": NAN}),
    ("feature_probability must be left at 1", {**DOCUMENTS, "feature_probability": 0.5}),
]  # fmt: skip


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("sentence", "settings"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_world_is_refused_in_one_sentence_that_names_the_field(sentence, settings):
    usual = {"feature_probability": 1.0 if "world" in settings else 0.3}
    with pytest.raises(sp.ConfigError) as error:
        sp.FeatureDistribution(n_features=N, **(usual | settings)).check()
    said = str(error.value)
    assert sentence in said
    one = said.split(" Did you mean")[0]
    assert one.endswith(".") and "\n" not in one and ". " not in one


def test_a_task_is_refused_by_the_same_sentence_before_anything_is_written(tmp_path):
    task = sp.tasks.WorldToy(n_features=4, n_hidden=2, world=None, correlation_matrix=_matrix((0, 1, -1.5)))
    with pytest.raises(sp.ConfigError, match="correlation_matrix must be at least -1"):
        sp.sweep(task, sp.TrainConfig(steps=1), sp.Grid(seed=[0]), tmp_path / "no.zarr")
    assert not list(tmp_path.iterdir())
