"""The feature viewer of crosscoders, transcoders, manifolds and decompositions: hand-made ones, with numbers known by NumPy."""

import numpy as np
import pytest
import xarray as xr
from browser import Opened
from numpy.testing import assert_allclose
from test_explorer import decoded

import superpos as sp
from superpos.analysis import dashboard_of
from superpos.analysis.decompositions import evaluation_inputs
from superpos.analysis.recovery import NO_DIRECTIONS, sampled_evaluation
from superpos.config import to_dict
from superpos.explorer.viewer import pack_dictionaries
from superpos.sweeping.attributes import versions

N_INPUTS = 1_024
KINDS = ("crosscoder", "transcoder", "manifolds")
# Two models of two dimensions: feature 0 is in both, 1 in the first and 2 in the second.
GIVEN = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]], float)
PARTS = np.array([[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0.05, 0, 0, 0.95], [0.3, 0, 0, 0.7]]).T
# |x| of three features; the last latent reads feature 2 below 0 and writes to feature 0.
SIDES = np.concatenate([np.eye(3), -np.eye(3)])
WRITTEN = np.abs(SIDES).T[:, [0, 1, 2, 3, 4, 3]]
# A circle and a sphere in six dimensions, four latents on one, three on the other, and one of neither.
COLUMNS = np.concatenate([np.eye(6)[:, :2], -np.eye(6)[:, :2], np.eye(6)[:, 2:5]], axis=1)
COLUMNS = np.column_stack([COLUMNS, np.array([1, 0, 1, 0, 0, 1]) / np.sqrt(3)])


def dictionary(task, *, W_enc, W_dec, **more):
    """A result of one seed with these weights, all latents of which were live in training."""
    latents = np.shape(W_dec)[1]
    rows = {"W_dec": (("hidden", "latent"), W_dec), "W_enc": (("latent", "hidden"), W_enc)}
    rows |= {"frequency": (("latent",), np.ones(latents)), **more}
    if task.architecture == "relu":
        rows["b_enc"] = (("latent",), np.zeros(latents))
    return stored(task, rows)


def stored(task, rows):
    """A result of one seed with these parameters, by name with their dimensions."""
    variables = {name: (("seed", *dims), np.float32(values)[None]) for name, (dims, values) in rows.items()}
    variables |= {"loss": ("seed", np.float32([0.1])), "diverged_step": ("seed", np.int32([-1]))}
    attrs = {
        "superpos": sp.__version__, "format": 2, "task": to_dict(task), "train": to_dict(sp.TrainConfig(steps=1)),
        "grid": sp.Grid(seed=[0]).describe(), "block_size": [1], "precision": "highest", "dtype": "float32",
        "platform": "cpu", "versions": dict(versions()),
    }  # fmt: skip
    return sp.SweepResult(xr.Dataset(variables, {"seed": [0]}, attrs))


def transcoder(W_enc, W_dec, W_skip=None, magnitude="signed_uniform"):
    task = sp.tasks.Transcoder(
        n_features=3, n_hidden=3, n_neurons=6, n_latents=len(W_enc), W_in=SIDES, W_out=np.abs(SIDES).T,
        directions=np.eye(3), feature_probability=0.3, magnitude=magnitude, skip=W_skip is not None,
    )  # fmt: skip
    more = {} if W_skip is None else {"W_skip": (("hidden", "read"), W_skip)}
    return dictionary(task, W_enc=W_enc, W_dec=W_dec, **more)


@pytest.fixture(scope="module")
def results():
    shared = {"feature_probability": 0.3, "n_hidden": 4}
    crosscoder = sp.tasks.Crosscoder(n_features=3, n_latents=4, parts=(2, 2), directions=GIVEN, **shared)
    manifolds = sp.tasks.SparseAutoencoder(
        n_features=5, n_hidden=6, n_latents=8, manifolds=("circle", "sphere"), directions=np.eye(6)[:, :5],
        feature_probability=0.3, architecture="topk", k=1.0,
    )  # fmt: skip
    encoder = PARTS.T * [[1], [1], [1], [0]]  # the last latent is dead
    return {
        "crosscoder": dictionary(crosscoder, W_enc=encoder, W_dec=PARTS),
        "transcoder": transcoder(SIDES, WRITTEN),
        "manifolds": dictionary(manifolds, W_enc=COLUMNS.T, W_dec=COLUMNS, n_active=((), 1.0)),
    }


@pytest.fixture(scope="module")
def inputs(results):
    """Of every kind the inputs that its dictionary is judged on, x and h, and what NumPy makes of them: z."""

    def of(kind):
        cell = results[kind].isel(seed=0)
        given = sampled_evaluation(cell.task().broadcast(), cell.model(), N_INPUTS)
        x = np.asarray(given.x, float)
        h = np.asarray(cell.task().broadcast().precompute().directions, float) @ x
        a = np.maximum(results[kind]["W_enc"].values[0].astype(float) @ h, 0)
        return x, h, np.where((kind != "manifolds") | (a >= a.max(axis=0)), a, 0)

    return {kind: of(kind) for kind in KINDS}


def detected(z, there):
    """Precision and recall of every row of z > 0 as a detector of the same row of `there`."""
    both = ((z > 0) & there).sum(axis=1)
    return both / np.maximum((z > 0).sum(axis=1), 1), both / there.sum(axis=1)


def test_crosscoders_have_a_part_for_every_model(results, inputs):
    data = pack_dictionaries(results["crosscoder"], n_inputs=N_INPUTS)
    one, (_, _, z) = data["shown"][0], inputs["crosscoder"]
    norms = np.stack([np.linalg.norm(PARTS[rows], axis=0) for rows in (slice(2), slice(2, 4))])
    assert_allclose(decoded(one["shares"]), (norms / norms.sum(axis=0)).T * [[1], [1], [1], [np.nan]], atol=1e-3)
    assert decoded(one["exclusive_to"]).tolist() == [-1, 0, 1, -1]
    for m, block in enumerate(one["blocks"]):
        part, truth = PARTS[2 * m : 2 * m + 2], GIVEN[2 * m : 2 * m + 2]
        lengths = np.linalg.norm(part, axis=0)[:, None] * np.linalg.norm(truth, axis=0)
        cosine = np.divide(part.T @ truth, lengths, out=np.zeros((4, 3)), where=lengths > 0)
        assert_allclose(decoded(block["values"]), cosine, atol=1e-3)
    scores = {score["name"]: decoded(score["values"])[0] for score in data["scores"]}
    assert (scores["n_exclusive"], scores["false_exclusive"], scores["missed"]) == (2, 0, 0)
    assert_allclose(scores["dead_share"], 0.25) and (z[3] == 0).all()


def test_transcoders_answer_to_the_side_they_read(results, inputs):
    cell, (x, _, z) = results["transcoder"].isel(seed=0), inputs["transcoder"]
    data = dashboard_of(cell.task(), cell.model(), n_inputs=N_INPUTS)
    assert data["targets"] == ["0+", "1+", "2+", "0−", "1−", "2−"]
    assert [latent["matched_feature"] for latent in data["latents"]] == list(range(6))
    assert [latent["written_feature"] for latent in data["latents"]] == [0, 1, 2, 0, 1, 0]
    assert_allclose([latent["blocks"][0] for latent in data["latents"]], SIDES, atol=1e-6)
    assert_allclose([latent["blocks"][1] for latent in data["latents"]], WRITTEN.T, atol=1e-6)
    precision, recall = detected(z, np.concatenate([x, -x]) > 0)
    assert_allclose([latent["precision"] for latent in data["latents"]], precision, rtol=1e-3)
    assert_allclose([latent["recall"] for latent in data["latents"]], recall, rtol=1e-3)
    # Slopes of the neurons are 1 twice for every feature; the last latent has one of them in another place.
    assert_allclose(data["scores"]["slope_agreement"], 5 / 6, rtol=1e-3)
    counted = {name: data["scores"][name] for name in ("paired", "paired_neurons", "one_feature")}
    assert counted == {"paired": 2, "paired_neurons": 3, "one_feature": 5}


def test_a_skip_is_part_of_the_agreement_with_the_circuit():
    """|x| = 2 ReLU(x) − x, with one latent for every feature."""
    cell = transcoder(2 * np.eye(3), np.eye(3), -np.eye(3)).isel(seed=0)
    data = dashboard_of(cell.task(), cell.model(), n_inputs=N_INPUTS)
    assert_allclose([data["scores"][name] for name in ("slope_agreement", "explained_variance")], 1, rtol=1e-3)
    assert data["scores"]["paired"] == 0
    with pytest.raises(sp.ConfigError, match="^inference must be"):
        dashboard_of(cell.task(), cell.model(), n_inputs=N_INPUTS, inference="pursuit")


def test_features_of_one_sign_have_no_sides():
    cell = transcoder(SIDES, WRITTEN, magnitude="uniform").isel(seed=0)
    data = dashboard_of(cell.task(), cell.model(), n_inputs=N_INPUTS)
    matched = [latent["matched_feature"] for latent in data["latents"]]
    assert data["targets"] is None and matched == [0, 1, 2, None, None, None] and "paired" not in data["scores"]


def test_latents_are_counted_by_manifold(results, inputs):
    data, (x, _, z) = pack_dictionaries(results["manifolds"], n_inputs=N_INPUTS), inputs["manifolds"]
    one, there = data["shown"][0], np.stack([np.any(part != 0, axis=0) for part in (x[:2], x[2:])])
    owner = np.array([0] * 4 + [1] * 3 + [-1])
    assert decoded(one["matched"]).tolist() == owner.tolist()
    shares = np.stack([np.sum(part**2, axis=0) for part in (COLUMNS[:2], COLUMNS[2:5])])
    assert_allclose(decoded(one["blocks"][0]["values"]), shares.T, atol=1e-3)
    recall = detected(z, there[owner])[1]
    assert_allclose(decoded(one["recall"])[:7], recall[:7], atol=1e-3)
    assert [manifold["latents"] for manifold in one["manifolds"]] == [4, 3]
    for g, manifold in enumerate(one["manifolds"]):
        assert_allclose(manifold["active"], (z[owner == g] > 0).sum(axis=0)[there[g]].mean(), rtol=1e-3)
    names = {score["name"] for score in data["scores"]}
    assert not names & {"mcc", "mmcs", "f1"} and NO_DIRECTIONS in data["note"]


# Weights of three features in the plane: the first subcomponent carries a pair of opposite columns, the second a trace of
# one of them, the third a column alone; the last is never needed.
W = np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 2.0]])
U, V = np.array([[1.0, 0.5, 0, 0.01], [0, 0, 1, 0]]), np.array([[1.0, -1, 0], [0.5, 0, 0], [0, 0, 2], [0, 0.01, 0]])


@pytest.fixture(scope="module")
def decomposition():
    """Gates are 1 wherever |h| > 1e-3 (of the third in W only, of the last never): GELU(kh - 10) - GELU(kh - 11), and the same of -h."""
    task = sp.tasks.ParameterDecomposition(
        n_features=3, n_hidden=2, n_subcomponents=4, target_W=W, feature_probability=0.3, gate_neurons=4
    )
    over = np.broadcast_to
    rows = {
        "V": (("subcomponent", "feature"), V),
        "U": (("hidden", "subcomponent"), U),
        "gate_in": (("matrix", "subcomponent", "neuron"), over(1e4 * np.array([1, 1, -1, -1.0]), (2, 4, 4))),
        "gate_in_bias": (("matrix", "subcomponent", "neuron"), over(np.array([-10, -11.0] * 2), (2, 4, 4))),
        "gate_out": (("matrix", "subcomponent", "neuron"), over(np.array([1.0, -1, 1, -1]), (2, 4, 4))),
        "gate_out_bias": (("matrix", "subcomponent"), np.array([[0, 0, 0, -2.0], [0, 0, -2, -2]])),
    }
    return stored(task, rows)


def test_subcomponents_are_described_by_what_needs_them(decomposition):
    cell = decomposition.isel(seed=0)
    data = dashboard_of(cell.task(), cell.model(), n_inputs=N_INPUTS)
    assert data["blocks"] == ["in W", "in Wᵀ", "reads", "writes"]
    blocks = [[latent["blocks"][k] for latent in data["latents"]] for k in range(4)]
    assert_allclose(
        blocks[0], (V != 0) * [[1], [1], [1], [0]], atol=1e-6
    )  # one-hot inputs reach V's entries that are not 0
    h = W.T @ U  # of the column of one feature, which W passes on to its transpose
    assert_allclose(blocks[1], (h.T != 0) * [[1], [1], [0], [0]], atol=1e-6)
    assert_allclose(blocks[2], V, atol=1e-6)
    assert_allclose(blocks[3], [[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]], atol=1e-6)
    assert [latent["alone"] for latent in data["latents"]] == [2, 1, 1, 0]
    assert [latent["matched_feature"] for latent in data["latents"]] == [0, 0, 2, None]
    assert_allclose([latent["direction"] for latent in data["latents"][:3]], [[1, 0], [0.25, 0], [0, 2]], atol=1e-6)
    x = np.asarray(evaluation_inputs(cell.task().broadcast(), N_INPUTS))
    needed = [abs(V @ x) > 1e-3, abs(U.T @ W @ x) > 1e-3]  # in W, and in the transpose
    needed[0][3] = needed[1][2:] = False
    needed = needed[0] | needed[1]
    assert_allclose([latent["frequency"] for latent in data["latents"]], needed.mean(axis=1), rtol=1e-3)
    assert_allclose(data["latents"][0]["precision"], (needed[0] & (x[0] != 0)).sum() / needed[0].sum(), rtol=1e-3)
    assert_allclose(data["scores"]["l0"], needed.sum(axis=0).mean(), rtol=1e-3)
    assert data["scores"]["live"] == 3
    packed = pack_dictionaries(decomposition, n_inputs=N_INPUTS)
    assert (packed["dictionaries"], packed["chief"]) == ("decomposition", "mmcs")
    assert decoded(packed["shown"][0]["alone"]).tolist() == [2, 1, 1, 0]
    assert_allclose(decoded(packed["shown"][0]["blocks"][2]["values"]), V, atol=1e-3)
    with pytest.raises(sp.ConfigError, match="^inference must be"):
        dashboard_of(cell.task(), cell.model(), inference="pursuit")


@pytest.fixture(scope="module")
def pages(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: results[kind].explore(folder / f"{kind}.html", n_inputs=N_INPUTS) for kind in KINDS}


def column(page, number):
    page.wait_for_timeout(60)
    return page.locator(f".latents-card tbody tr > :nth-child({number})").all_inner_texts()


def choose_only(page):
    """Choose the one latent that the table is left with."""
    page.wait_for_timeout(60)
    page.locator(".latents-card tbody tr").click()
    page.locator(".latents-card tbody tr.chosen").wait_for()


def rounded(values, decimals=2):
    return [f"{value:.{decimals}f}" for value in values]


def test_the_page_of_a_crosscoder(running, pages):
    opened = Opened(running, pages["crosscoder"], viewport={"width": 1_024, "height": 844})
    page = opened.page
    page.get_by_role("button", name="latent", exact=True).click()
    assert column(page, 4) == ["0.50", "0.00", "0.95", "–"]
    page.get_by_role("button", name="exclusive to model 1 1").click()
    assert column(page, 1) == ["2"]
    choose_only(page)
    assert page.locator(".badge").inner_text() == "exclusive to model 1"
    rows = [text.split() for text in page.locator(".parts tbody tr").all_inner_texts()]
    assert rows == [["model", "0", "0.05", "–"], ["model", "1", "0.95", "1.00"]]
    close(opened, 1_024)


def test_the_page_of_a_transcoder(running, pages, inputs):
    opened = Opened(running, pages["transcoder"], viewport={"width": 390, "height": 844}, color_scheme="dark")
    page, (x, _, z) = opened.page, inputs["transcoder"]
    page.get_by_role("button", name="latent", exact=True).click()
    assert column(page, 2) == ["0+", "1+", "2+", "0−", "1−", "2−"] and column(page, 3) == list("012010")
    precision, recall = detected(z, np.concatenate([x, -x]) > 0)
    assert column(page, 4) == rounded(2 * precision * recall / (precision + recall))
    page.get_by_role("searchbox").fill("another")
    assert column(page, 1) == ["5"]
    choose_only(page)
    assert "reads feature 2− most, and writes most to feature 0" in page.locator(".words").last.inner_text()
    assert page.locator(".scores tr", has_text="agreement").locator("td").inner_text() == "0.833"
    close(opened, 390)


def test_the_page_of_manifolds(running, pages, inputs):
    opened = Opened(running, pages["manifolds"], viewport={"width": 390, "height": 844})
    page, (x, _, z) = opened.page, inputs["manifolds"]
    assert NO_DIRECTIONS in page.locator(".scores-card .note").first.inner_text()
    there = np.any(x[:2] != 0, axis=0)
    at_once = (z[:4] > 0).sum(axis=0)[there].mean()
    assert page.locator(".tiling tbody tr").first.locator("td").all_inner_texts()[:2] == ["4", f"{at_once:.1f}"]
    page.get_by_role("button", name="latents of circle 0").click()
    assert column(page, 2) == ["circle 0"] * 4 and column(page, 3) == ["1.00"] * 4
    assert page.get_by_role("searchbox").input_value() == "circle 0"
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="of none 1").click()
    choose_only(page)
    assert "No subspace holds half of its column" in page.locator(".words").last.inner_text()
    close(opened, 390)


def test_the_page_of_a_decomposition(running, decomposition, tmp_path):
    path = decomposition.explore(tmp_path / "decomposition.html", n_inputs=N_INPUTS)
    opened = Opened(running, path, viewport={"width": 390, "height": 844})
    page = opened.page
    assert page.locator(".scores tr", has_text="live").locator("td").inner_text() == "3"
    assert column(page, 2) == ["0", "0", "2", "–"] and column(page, 3) == ["1.00"] * 3 + ["–"]
    page.get_by_role("button", name="for several features 1").click()
    assert column(page, 1) == ["0"]
    choose_only(page)
    assert page.locator(".latent-name").first.inner_text().startswith("Subcomponent 0")
    assert "those of 2 features, feature 0 most need it in W" in page.locator(".words").last.inner_text()
    assert page.locator("canvas.cosines").first.get_attribute("aria-label").startswith("Importances of subcomponents")
    page.get_by_role("button", name="all 4").click()
    page.get_by_role("searchbox").fill("subcomponent 3")
    assert column(page, 1) == ["3"]
    close(opened, 390)


def close(opened, width):
    """Close a page that sticks out nowhere, has nothing against its use, and did not complain."""
    wider = (
        "[...document.querySelectorAll('.card')].filter(c => c.scrollWidth > c.clientWidth + 1).map(c => c.className)"
    )
    for each in (1_100, width):
        opened.page.set_viewport_size({"width": each, "height": 844})
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= each
        assert opened.page.evaluate(wider) == []
    assert opened.violations() == [] and opened.unclear_controls() == [] and opened.small_controls() == []
    assert opened.is_quiet(), opened.complaints
    opened.close()
