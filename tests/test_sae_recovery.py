"""Figures of recovered features: judges that can fail, baselines, and what pictures hold."""

from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.experiments import Claims
from superpos.experiments.sae_geometry import (
    PAIRS,
    PENTAGON,
    by_shape,
    evaluate_shapes,
    score_by_shape,
    share_recovered,
)
from superpos.experiments.sae_recovery import (
    RANDOM_MMCS,
    evaluate_plane,
    evaluate_space,
    examples,
    random_scores,
    recovered,
)
from superpos.plot.shape_colors import shape_color
from superpos.theory.polytopes import polygon

CHANCE = {PENTAGON: (0.82, 0.89), PAIRS: (0.8, 0.88)}
SHAPES = [PENTAGON, PENTAGON, PAIRS]


def scores(cosine, dims, coords=None, f1=0.8, n=5):
    """A table of dictionary scores from the cosine of every feature; those beyond the first `n` are not represented."""
    cosine = np.asarray(cosine, float)
    lead, over = dims[:-1], cosine.shape[:-1]
    values = {"matched_cosine": (dims, cosine), "represented": (dims, np.ones(cosine.shape) * (np.arange(5) < n))}
    values |= {k: (lead, np.full(over, v)) for k, v in (("n_represented", n), ("f1", f1))}
    values |= {k: (lead, cosine[..., :n].mean(-1)) for k in ("mcc", "mmcs")}
    return xr.Dataset(values, coords)


def plane(n_good):
    return scores(np.where(np.arange(16)[:, None] < n_good, 1, [1, 1, 1, 1, 0.94]), ("cell", "feature"))


@pytest.mark.parametrize(("n_good", "verdict"), [(16, "pass"), (12, "pass"), (11, "FAIL")])
def test_twelve_of_sixteen_seeds_are_needed(n_good, verdict):
    claims = Claims("")
    evaluate_plane({"relu": plane(n_good)}, (0.79, 0.92), claims)
    assert [c.verdict for c in claims.claims] == [verdict, "identity"]
    assert claims.claims[0].measured.startswith(f"{n_good} of 16;")


def test_features_that_are_not_represented_need_no_latent():
    table = scores([[1, 1, 1, 1, 0.1]], ("cell", "feature"), n=4)
    assert recovered(table).all()
    assert not recovered(
        table.assign(n_represented=0 * table["n_represented"])
    ).any()  # nothing there, nothing recovered
    assert not recovered(scores([[1, 1, 1, 1, np.nan]], ("cell", "feature"))).any()


def test_the_solid_must_have_its_shape_and_one_seed_all_directions():
    for shape, n_good, failed in (("cube", 3, 1), ("irregular", 3, 2), ("cube", 0, 2)):  # of two toy models
        claims = Claims("")
        evaluate_space({"relu": plane(n_good)}, ["cube", shape], "cube", (0.7, 0.8), claims)
        evaluate_plane({}, (0.82, 0.89), claims)  # not what random latents score: fails, too
        assert len(claims.failed) == failed


def test_random_latents_score_what_was_derived():
    """The pentagon and features anywhere have the same MMCS, but not the same MCC."""
    even, crowded = (random_scores(W, 5, 1_000) for W in (polygon(5).T, np.tile([[1.0], [0.0]], 5)))
    assert even[0] == pytest.approx(RANDOM_MMCS, abs=0.01) and pytest.approx(0.7945, abs=1e-4) == RANDOM_MMCS
    assert crowded[0] == pytest.approx(RANDOM_MMCS, abs=0.03)  # standard errors .003 and .009
    assert crowded[1] == pytest.approx(2 / np.pi, abs=0.02) and even[1] > 0.9  # mean |cos| of any angle


def test_examples_are_of_the_shape_and_best_first(quick_result):
    shapes = quick_result.geometry()["shape"].sel(feature_probability=0.05).values
    name = shapes[0]
    found = examples(quick_result, name, 10, feature_probability=0.05)
    assert len(found) == np.sum(shapes == name) and found.shape[1:] == (2, 5)
    loss = quick_result["loss"].sel(feature_probability=0.05).values
    best = np.flatnonzero(shapes == name)[np.argmin(loss[shapes == name])]
    np.testing.assert_array_equal(found[0], quick_result["W"].sel(feature_probability=0.05).values[best])
    assert len(examples(quick_result, "dodecahedron", 2)) == 2  # the best of others stand in


def grid_scores(pentagon, pairs, axis="sparsity_coefficient", values=(0.1, 0.2, 0.4), f1=(0.7, 0.9)):
    """Tables over (axis, source, seed): the cosine of all features at every value, pentagons and pairs."""
    cosine = np.ones((len(values), 3, 4, 5))
    cosine[:, :2], cosine[:, 2] = np.reshape(pentagon, (-1, 1, 1, 1)), np.reshape(pairs, (-1, 1, 1))
    coords = {axis: list(values), "source": range(3), "seed": range(4)}
    table = scores(cosine, (axis, "source", "seed", "feature"), coords)
    return table.assign(f1=table["f1"] * 0 + xr.DataArray([f1[0], f1[0], f1[1]], dims="source"))


def judged(pentagon, pairs, k=None, names=SHAPES, f1=(0.7, 0.9)):
    claims, tables = Claims(""), {"relu": grid_scores(pentagon, pairs, f1=f1)}
    if k is not None:
        tables["topk"] = grid_scores(*k, axis="k", values=(1, 2))
    evaluate_shapes(tables, list(names), SHAPES, CHANCE, claims)
    return [c.verdict == "pass" for c in claims.claims]


def test_pairs_are_recovered_where_pentagons_are_not():
    """Verdicts on: values of λ; shares by toy model; (k;) F1; MCC at the best λ."""
    assert judged([0.85, 1, 0.9], [1, 1, 1]) == [True] * 4
    assert judged([1, 1, 1], [1, 1, 1]) == [False, False, True, True]
    assert judged([0.85, 0.8, 0.9], [1, 1, 1]) == [False, True, True, False]  # never found: nothing to compare
    assert judged([0.85, 1, 0.9], [0.85, 1, 0.9], f1=(0.9, 0.9)) == [False, False, False, True]
    assert not any(
        judged([0.85, 1, 0.9], [1, 1, 1], names=[PAIRS, PENTAGON, PAIRS])
    )  # other shapes than those compared
    good, bad = ([1, 0.9], [1, 0.9]), ([1, 0.9], [1, 1])
    assert judged([0.85, 1, 0.9], [1, 1, 1], k=good)[2] and not judged([0.85, 1, 0.9], [1, 1, 1], k=bad)[2]


def test_models_are_gathered_by_shape():
    table = grid_scores([0.85, 1, 0.9], [1, 1, 1])
    assert by_shape(table["mcc"], SHAPES, PENTAGON).shape == (3, 8)
    assert share_recovered(table, SHAPES, PENTAGON).values.tolist() == [0, 1, 0]


def test_pictures_show_true_and_found_directions():
    decoder = np.concatenate([2 * polygon(5).T, np.zeros((2, 1))], axis=1)
    ax = sp.plot.recovered_directions(3 * polygon(5).T, decoder)
    ends = np.array([line.get_data() for line in ax.lines[1:]])[:, :, 1]
    np.testing.assert_allclose(ends, polygon(5), atol=1e-12)
    np.testing.assert_allclose(
        [cast(Any, note).xy for note in ax.texts], polygon(5), atol=1e-12
    )  # a latent of no length is none
    solid = sp.plot.recovered_directions_3d(np.eye(3), -np.eye(3))
    assert len(solid.lines) == 3 + 3 + 2 * 3
    with pytest.raises(sp.ConfigError, match=r"decoder must have shape \(3, any\), got \(2, 2\)"):
        sp.plot.recovered_directions_3d(np.eye(3), np.eye(2))


def test_scores_are_drawn_by_shape_as_means_with_their_range():
    score = grid_scores([0.85, 1, 0.9], [1, 1, 1])["mcc"]
    _, ax = plt.subplots()
    score_by_shape(score, SHAPES, ax)
    lines = {c.get_label(): c for c in ax.containers}
    assert list(lines) == [PENTAGON, PAIRS] and lines[PENTAGON][0].get_color() == shape_color("pentagon")
    np.testing.assert_allclose(lines[PENTAGON][0].get_ydata(), [0.85, 1, 0.9])
