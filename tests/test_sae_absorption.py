"""Absorption by architecture: claims of hand-made tables, matched cosines, and what the picture holds."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.experiments import Claims
from superpos.experiments.sae_absorption import (
    NAMES,
    SIZES,
    build,
    differences,
    evaluate,
    family_cosines,
    nearest_k,
    over_sources,
    panels,
    score_by_l0,
)

PARENTS = (-1, 0, 0, -1, 3)


def table(absorption, spread=0.02, l0=(0.5, 1.0, 2.0), axis="k"):
    """Three sparsities and two dictionaries, `spread` above and below the mean."""
    values = np.array(absorption, float)[:, None] + np.array([-spread, spread])
    scores = {"absorption": values, "splitting": 0 * values, "l0_true": 1 + 0 * values}
    scores["l0"] = np.array(l0)[:, None] + 0 * values
    coordinates = {axis: [1.0, 2.0, 3.0], "source": [0, 1]}
    return xr.Dataset({name: ((axis, "source"), v) for name, v in scores.items()}, coordinates)


def verdicts(trees, flat):
    claims = Claims("test")
    evaluate(trees, flat, claims)
    return [claim.verdict for claim in claims.claims]


def trees(**changed):
    falls = [0.7, 0.6, 0.2]
    found = {
        "relu": table(falls[::-1], l0=(2.0, 1.0, 0.5), axis="sparsity_coefficient"),
        "topk": table(falls),
        "batch_topk": table(falls),
        "matryoshka": table([0.5, 0.2, 0.1]),
        "matching_pursuit": table([0.65, 0.4, 0.1]),  # with the spread of the others, so that differences have none
    }
    return found | changed


def test_what_is_claimed_passes():
    assert verdicts(trees(), {"relu": table([0, 0, 0], 0)}) == ["pass"] * 6


def test_without_matching_pursuit_nothing_is_claimed_of_it():
    without = {kind: scores for kind, scores in trees().items() if kind != "matching_pursuit"}
    assert verdicts(without, {"relu": table([0, 0, 0], 0)}) == ["pass"] * 4


@pytest.mark.parametrize(
    ("failing", "changed"),
    [
        (0, {"topk": table([0.9, 0.04, 0.0], 0.001)}),  # nothing at the true L0
        (0, {"topk": table([0.9, 0.3, 0.0], 0.2)}),  # two dictionaries far apart: .3 is 1.5 standard errors of .2
        (1, {"relu": table([0.5, 0.5, 0.5], axis="sparsity_coefficient")}),
        (1, {"batch_topk": table([0.3, 0.6, 0.2], 0.05)}),  # .1 more, at a standard error of .07
        (2, {"matryoshka": table([0.5, 0.55, 0.1])}),  # .05 less at the true L0, at a standard error of .03
        (2, {"matryoshka": table([0.5, 0.2, 0.3])}),  # .1 more at another
        (3, {"matching_pursuit": table([0.5, 0.6, 0.1])}),  # no less than TopK where k is 2
        (3, {"matching_pursuit": table([0.5, 0.55, 0.1], 0.01)}),  # .05 less, of two: an interval of ± .13
        (4, {"matching_pursuit": table([0.6, 0.2, 0.1])}),  # no more than Matryoshka at the true L0
        (4, {"matching_pursuit": table([0.6, 0.4, 0.1], l0=(0.9, 2.0, 4.0)), "matryoshka": table([0.7, 0.65, 0.1])}),
    ],
)
def test_each_claim_can_fail(failing, changed):
    assert verdicts(trees(**changed), {"relu": table([0, 0, 0], 0)})[failing] == "FAIL"


def test_independent_features_that_seem_absorbed_at_one_sparsity_are_enough_to_fail():
    assert verdicts(trees(), {"relu": table([0, 0.06, 0], 0.02)})[5] == "FAIL"


def test_differences_are_of_the_sets_of_directions_that_both_have():
    """Source 0 stands second in one, and source 2 in one alone."""
    first = xr.DataArray([3.0, 1.0], dims="source", coords={"source": [1, 0]})
    second = xr.DataArray([0.5, 1.0, 9.0], dims="source", coords={"source": [0, 1, 2]})
    assert sorted(differences(first, second)) == [0.5, 2.0]
    assert nearest_k(table([0, 0, 0], l0=(0.25, 0.9, 3.0)), 1.0) == 2.0 and nearest_k(table([0, 0, 0]), 0.6) == 1.0


def test_architectures_that_are_compared_read_more_sets_of_directions():
    laptop = SIZES.laptop
    sources = {kind: len(build(laptop, kind, tree=True)[2].axes["source"].values) for kind in laptop.tree_sparsities}
    assert sources["topk"] == sources["matching_pursuit"] == sources["matryoshka"] == 12 and sources["relu"] == 6
    assert len(build(laptop, "matryoshka", tree=False)[2].axes["source"].values) == 3


def test_means_and_standard_errors():
    """Two values m ± s: standard deviation √2 s, error s."""
    found = over_sources(table([0.7, 0.6, 0.2], 0.1))
    np.testing.assert_allclose(found["absorption"], [0.7, 0.6, 0.2])
    np.testing.assert_allclose(found["absorption_error"], 0.1)
    alone = over_sources(table([0.7, 0.6, 0.2]).isel(source=[0]))
    np.testing.assert_array_equal(alone["absorption_error"], 0)


def test_latents_stand_under_the_features_they_are_matched_to():
    """A dictionary of the true directions in another order, one of them absorbed: its parent's row shows 1/√2."""
    directions = np.eye(5)
    task = sp.tasks.SparseAutoencoder(n_features=5, n_hidden=5, n_latents=6, directions=directions, parents=PARENTS)
    order = [3, 0, 4, 2, 1]
    columns = directions[:, order]
    columns[:, order.index(1)] = (directions[:, 0] + directions[:, 1]) / np.sqrt(2)
    W = np.concatenate([columns, np.zeros((5, 1))], axis=1)  # the sixth does not exist
    cosine = family_cosines(task, sp.models.SAE(jnp.asarray(W)))
    assert cosine["latent"].values.tolist() == [order.index(i) for i in range(5)]
    wanted = np.eye(5)
    wanted[:2, 1] = np.sqrt(0.5)
    np.testing.assert_allclose(cosine, wanted, atol=1e-6)


def test_the_figure_has_a_curve_per_table_and_two_maps():
    found = {kind: over_sources(t) for kind, t in trees().items()}
    flat = {"relu": over_sources(table([0, 0, 0]))}
    cosine = xr.DataArray(np.eye(5), dims=("feature", "latent"))
    figure = panels(found, flat, {"batch_topk": cosine, "matryoshka": cosine}, PARENTS, NAMES, 1.0)
    first, second, left, right = figure.axes[:4]
    assert len(first.containers) == len(second.containers) == 6
    assert [t.get_text() for t in first.get_legend().get_texts()] == [NAMES[kind] for kind in found]
    assert (left.get_title(), right.get_title()) == ("BatchTopK", "Matryoshka")
    assert [t.get_text() for t in left.get_yticklabels()] == ["P", "c", "c", "P", "c"]
    assert len(left.lines) == 2  # one frame line each way, between the two families
    plt.close(figure)


def test_curves_run_from_sparse_to_dense():
    """Whatever the order of the settings: λ rises as L0 falls."""
    ax = score_by_l0({"relu": over_sources(trees()["relu"])}, "absorption")
    x, y = ax.lines[0].get_data()
    assert x.tolist() == [0.5, 1.0, 2.0] and np.allclose(y, [0.7, 0.6, 0.2])
