"""The feature viewer of networks that compute, taken apart: a hand-made decomposition, with numbers known by NumPy."""

import numpy as np
import pytest
from browser import Opened
from numpy.testing import assert_allclose
from test_explorer import decoded
from test_viewer_kinds import choose_only, close, column, stored

import superpos as sp
from superpos.analysis import dashboard_of
from superpos.analysis.decompositions import ONE_HOT, evaluation_inputs
from superpos.explorer.viewer import pack_dictionaries
from superpos.models.residual_mlp import embedding

N_INPUTS = 512
# Three features on two neurons: what features write to neurons, and neurons to features.
FIRST, SECOND = np.array([[1.0, -1.0, 0.5], [0.0, 1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
# Of W_in parts for the features 2 (both vectors turned), 0 and 1, and an empty one; of W_out one that reads both neurons.
OF_FEATURES = np.array([[0, 0, -2.0], [1, 0, 0], [0, 1, 0], [0, 0, 0]])
U = np.column_stack([-FIRST[:, 2] / 2, FIRST[:, 0], FIRST[:, 1], np.zeros(2)])
V_OUT = np.array([[1.2, 1.6], [0, -1.0], [0, 0], [0, 0]])
TO_FEATURES = np.array([[0.1, 0.2, 0.5], [0, 0, -1.0], [0, 0, 0], [0, 0, 0]])


@pytest.fixture(scope="module")
def decomposition():
    """On a stream of five dimensions. Gates are 1 wherever |h| > 1e-3: GELU(kh - 10) - GELU(kh - 11), and the same of -h."""
    reads = np.linalg.pinv(np.asarray(embedding(5, 3, 2), float))  # (feature, stream)
    task = sp.tasks.NetworkDecomposition(
        n_features=3, n_hidden=2, n_subcomponents=4, n_residual=5, embedding_seed=2, network="residual_mlp",
        target_W=FIRST @ reads, target_W_out=reads.T @ SECOND, feature_probability=0.3, gate_neurons=4,
    )  # fmt: skip
    over = np.broadcast_to
    rows = {
        "V": (("subcomponent", "residual"), OF_FEATURES @ reads),
        "U": (("hidden", "subcomponent"), U),
        "V_out": (("subcomponent", "hidden"), V_OUT),
        "U_out": (("residual", "subcomponent"), reads.T @ TO_FEATURES.T),
        "gate_in": (("matrix", "subcomponent", "neuron"), over(1e4 * np.array([1, 1, -1, -1.0]), (2, 4, 4))),
        "gate_in_bias": (("matrix", "subcomponent", "neuron"), over(np.array([-10, -11.0] * 2), (2, 4, 4))),
        "gate_out": (("matrix", "subcomponent", "neuron"), over(np.array([1.0, -1, 1, -1]), (2, 4, 4))),
        "gate_out_bias": (("matrix", "subcomponent"), np.zeros((2, 4))),
    }
    return stored(task, rows)


def test_parts_of_both_matrices_are_vectors_over_features_and_neurons(decomposition):
    cell = decomposition.isel(seed=0)
    data = dashboard_of(cell.task(), cell.model(), n_inputs=N_INPUTS)
    assert (data["blocks"], data["matrices"], data["per_matrix"]) == (
        ["needed", "features", "neurons"],
        ["W_in", "W_out"],
        4,
    )
    latents = data["latents"]
    assert [latent["index"] for latent in latents] == list(range(8))
    needed, features, neurons = (np.array([latent["blocks"][k] for latent in latents]) for k in range(3))
    alone = np.maximum(ONE_HOT * FIRST, 0)  # the neurons of every feature alone
    assert_allclose(needed, [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0], *(np.abs(V_OUT @ alone) > 0)], atol=1e-3)
    lengths = np.linalg.norm(FIRST, axis=0)
    expected = [[0, 0, lengths[2]], [lengths[0], 0, 0], [0, lengths[1], 0], [0, 0, 0]]
    assert_allclose(features, [*expected, [0.2, 0.4, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0]], atol=1e-3)
    units = (FIRST / lengths).T
    assert_allclose(neurons, [*units[[2, 0, 1]], [0, 0], [0.6, 0.8], [0, 1], [0, 0], [0, 0]], atol=1e-3)
    # Each part as a matrix between features and neurons is its two vectors' product.
    parts = [np.outer(U[:, c], OF_FEATURES[c]) for c in range(4)] + [
        np.outer(V_OUT[c], TO_FEATURES[c]) for c in range(4)
    ]
    assert_allclose([np.outer(a, b) for a, b in zip(neurons, features, strict=True)], parts, atol=1e-3)
    assert [latent["alone"] for latent in latents] == [1, 1, 1, 0, 3, 2, 0, 0]
    assert [latent["matched_feature"] for latent in latents] == [2, 0, 1, None, 0, 1, None, None]
    x = np.asarray(evaluation_inputs(cell.task().broadcast(), N_INPUTS), float)
    inner = np.concatenate([OF_FEATURES @ x, V_OUT @ np.maximum(FIRST @ x, 0)])
    assert_allclose([latent["frequency"] for latent in latents], (np.abs(inner) > 1e-3).mean(axis=1), rtol=1e-3)
    assert (data["scores"]["one_each"], data["scores"]["live_first"], data["scores"]["live_second"]) == (3, 3, 2)
    packed = pack_dictionaries(decomposition, n_inputs=N_INPUTS)
    assert (packed["dictionaries"], packed["chief"]) == ("network", "one_each")
    assert packed["shown"][0]["matrices"] == ["W_in", "W_out"]
    assert_allclose(decoded(packed["shown"][0]["blocks"][2]["values"]), neurons, atol=1e-3)


def test_the_page_of_a_network(running, decomposition, tmp_path):
    path = decomposition.explore(tmp_path / "network.html", n_inputs=N_INPUTS)
    opened = Opened(running, path, viewport={"width": 390, "height": 844})
    page = opened.page
    assert page.locator(".scores tr", has_text="of their own").locator("td").inner_text() == "3"
    page.get_by_role("button", name="subcomponent", exact=True).click()
    assert column(page, 1) == [f"W_in {c}" for c in range(4)] + [f"W_out {c}" for c in range(4)]
    assert column(page, 2) == ["2", "0", "1", "–", "0", "1", "–", "–"]
    page.get_by_role("button", name="for every feature 1").click()
    assert column(page, 1) == ["W_out 0"]
    choose_only(page)
    assert page.locator(".latent-name").first.inner_text().startswith("Subcomponent W_out 0")
    assert "those of every feature, feature 0 most need it." in page.locator(".words").last.inner_text()
    rows = [text.split() for text in page.locator(".neurons tbody tr").all_inner_texts()]
    assert rows == [["neuron", "1", "0.80"], ["neuron", "0", "0.60"]]
    assert "Neurons it reads" in page.locator(".latent-card").first.inner_text()
    page.get_by_role("button", name="all 8").click()
    page.get_by_role("searchbox").fill("w_in subcomponent 1")
    assert column(page, 1) == ["W_in 1"]
    choose_only(page)
    assert "Neurons it writes to" in page.locator(".latent-card").first.inner_text()
    close(opened, 390)
