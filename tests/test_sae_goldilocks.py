"""The band of L1 coefficients: the proxy by hand, claims of hand-made tables, and what the maps hold."""

import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.table import sae_score_table
from superpos.experiments import Claims
from superpos.experiments.sae_goldilocks import agreement, by_coefficient, by_size, coefficient_map, evaluate

LAMBDA = [0.01, 0.1, 0.3, 1.0, 3.0]


def table(**changed):
    """Ratios 1/2, 1, 2 as the paper has them: a band at λ = .1 and .3, dense on its left, dead on its right."""
    over = ("dictionary_ratio", "sparsity_coefficient")
    good = [0.6, 0.96, 0.98, 0.9, 0.5]
    rows = {
        "mmcs": [[0.6, 0.7, 0.73, 0.7, 0.5], good, good],
        "mcc": [[0.3, 0.4, 0.49, 0.4, 0.2], good, good],
        "l0": [[9, 6, 4, 2, 0.0]] * 3,
        "l0_true": np.full((3, 5), 3.0),
        "random_mmcs": np.repeat([[0.3], [0.4], [0.5]], 5, axis=1),
        "silent_share": [[0, 0, 0, 0.1, 0.9]] * 3,
        "proxy": [[0.5, 0.6, 0.7, 0.6, 0.4], [0.6, 0.8, 0.9, 0.95, 0.5], [np.nan] * 5],
    }
    data = {name: (over, np.array(values, float)) for name, values in rows.items()}
    found = xr.Dataset(data, {"dictionary_ratio": [0.5, 1, 2], "sparsity_coefficient": LAMBDA})
    found["random_proxy"] = ("dictionary_ratio", [0.3, 0.4, np.nan])
    for name, (where, value) in changed.items():
        found[name].values[where] = value
    return found


def verdicts(found):
    claims = Claims("test")
    evaluate(found, claims)
    return [claim.verdict for claim in claims.claims]


def test_the_paper_passes():
    assert verdicts(table()) == ["pass", "pass", "identity", "pass", "pass", "pass"]


@pytest.mark.parametrize(
    ("failing", "changed"),
    [
        (0, {"mmcs": (np.s_[2, 1:3], 0.94)}),  # one large dictionary never gets there
        (0, {"mmcs": (np.s_[1, 3:], [0.9, 0.97])}),  # two ranges are no band; the second is beyond "too large", too
        (1, {"mmcs": (np.s_[0, 2], 0.96)}),
        (2, {"mcc": (np.s_[0, 2], 0.51)}),  # more features than latents matched one to one
        (3, {"l0": (np.s_[2, 0], 5.9)}),
        (4, {"silent_share": (np.s_[1, 4], 0.4)}),
        (5, {"proxy": (np.s_[1, 4], 0.99)}),  # two λ beside the band
    ],
)
def test_each_claim_can_fail(failing, changed):
    assert verdicts(table(**changed))[failing] in ("FAIL", "identity VIOLATED")


def test_agreement_is_the_mean_of_the_closest():
    """Columns e1, e2 against e1 and (e1 + e2)/√2 of another length: 1 and 1/√2; not symmetric in size."""
    D = np.eye(2)
    E = np.array([[2.0, 3.0, -1.0], [0.0, 3.0, 0.0]])
    assert agreement(D, E) == pytest.approx((1 + np.sqrt(0.5)) / 2)
    assert agreement(E, D) == pytest.approx((1 + np.sqrt(0.5) + 0) / 3)


def test_the_map_orders_cells_by_size_and_coefficient(rng):
    """Cells in another order than the map's."""
    n_latents, coefficient = [6, 6, 3, 3], [0.4, 0.1, 0.4, 0.1]
    scores = {name: ("cell", np.arange(4.0)) for name in ("mmcs", "mcc", "l0", "l0_true", "random_mmcs")}
    frequency = np.full((4, 6), np.nan)
    frequency[:2], frequency[2:, :3] = 0.1, 0.1
    frequency[2, 0] = 5e-4  # one of three latents is as good as dead
    scores["frequency"] = (("cell", "latent"), frequency)
    coords = {
        "n_latents": ("cell", n_latents),
        "sparsity_coefficient": ("cell", coefficient),
        "seed": ("cell", [0, 0, 1, 1]),
    }
    decoders = [rng.normal(size=(3, n)) for n in n_latents]
    found = by_size(xr.Dataset(scores, coords), decoders, 6)
    assert found["mmcs"].dims == ("dictionary_ratio", "sparsity_coefficient")
    assert found["dictionary_ratio"].values.tolist() == [0.5, 1.0]
    assert found["sparsity_coefficient"].values.tolist() == [0.1, 0.4]
    np.testing.assert_array_equal(found["mmcs"], [[3, 2], [1, 0]])
    np.testing.assert_allclose(found["silent_share"], [[0, 1 / 3], [0, 0]])
    wanted = [agreement(decoders[3], decoders[1]), agreement(decoders[2], decoders[0])]
    np.testing.assert_allclose(found["proxy"], [wanted, [np.nan, np.nan]])
    assert 0 < found["random_proxy"].values[0] < 1


def test_an_axis_named_like_a_score_stays_an_axis():
    """`n_latents` is both; the table of a sweep over it has it once."""
    W = np.eye(3)
    scores = sp.analysis.score_sae(W, W, W, W, W, W)
    cells = xr.DataArray([0.0], dims="cell", coords={"n_latents": ("cell", [3])})
    assert "n_latents" in sae_score_table([scores], cells).coords


def test_the_map_frames_the_band_and_writes_every_number():
    found = table()
    mesh = coefficient_map(found["mmcs"], random=found["random_mmcs"].isel(sparsity_coefficient=0), band=0.95)
    ax = mesh.axes
    frames = [patch.get_bbox().intervalx for patch in ax.patches]
    assert len(frames) == 2  # ratios 1 and 2
    np.testing.assert_allclose(frames[0], [np.sqrt(0.001), np.sqrt(0.3)], rtol=1e-6)
    written = [text.get_text() for text in ax.texts]
    assert len(written) == 15 + 3 + 1 and written.count(".98") == 2 and "random" in written
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1/2", "1", "2"]
    np.testing.assert_array_equal(mesh.get_array(), found["mmcs"].values)


def test_rows_without_a_number_are_left_out():
    found = table()
    mesh = coefficient_map(found["proxy"], random=found["random_proxy"])
    assert mesh.get_array().shape == (2, 5) and not mesh.axes.patches


def test_curves_are_named_after_the_size():
    ax = by_coefficient(table()["l0"], label="L0", level=3)
    assert [line.get_label() for line in ax.lines[1:]] == ["1/2 × features", "1 × features", "2 × features"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [3, 3])
