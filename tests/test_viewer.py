"""The feature viewer: what is packed of sparse autoencoders, and the page in a real browser."""

import json

import numpy as np
import pytest
import xarray as xr
from browser import Opened
from test_explorer import WIDGET, decoded

import superpos as sp
from superpos.analysis import dashboard_of
from superpos.config import to_dict
from superpos.explorer import encode, viewer
from superpos.explorer.viewer import pack_dictionaries
from superpos.sweeping.attributes import versions

N_INPUTS = 2_048
ANGLES = 2 * np.pi * np.arange(5) / 5
W = np.stack([np.cos(ANGLES), np.sin(ANGLES)])
SEEDS, KS = (0, 1, 2), (1, 2)
# How far latents of a seed point beside the pentagon's features, in radians, and the order they are in.
BESIDE = (0.2, 0.0, 0.1)
ORDER = ([0, 1, 2, 3, 4], [4, 2, 0, 1, 3], [1, 0, 3, 2, 4])


@pytest.fixture(scope="module")
def result():
    """Hand-made autoencoders of a pentagon: five latents near its features, one between two of them, and a dead one.

    One cell is said to have diverged.
    """
    task = sp.tasks.SparseAutoencoder(
        n_features=5, n_hidden=2, n_latents=7, directions=W, feature_probability=0.1, magnitude="constant",
        architecture="topk",
    )  # fmt: skip
    grid = sp.Grid(k=KS, seed=SEEDS)
    angles = [[*(ANGLES[order] + off), ANGLES[1] / 2, 1.0] for off, order in zip(BESIDE, ORDER, strict=True)]
    decoder = np.tile(np.stack([np.cos(angles), np.sin(angles)], 1), (2, 1, 1, 1)).astype(np.float32)
    encoder = decoder.swapaxes(2, 3).copy()
    encoder[..., 6, :] = 0
    cells = ("k", "seed")
    variables = {
        "W_dec": ((*cells, "hidden", "latent"), decoder),
        "W_enc": ((*cells, "latent", "hidden"), encoder),
        "n_active": (cells, np.tile(np.float32(KS)[:, None], 3)),
        "frequency": ((*cells, "latent"), np.zeros((2, 3, 7), np.float32)),
        "loss": (cells, np.float32([BESIDE, [*BESIDE[:2], np.nan]])),
        "diverged_step": (cells, np.int32([[-1, -1, -1], [-1, -1, 7]])),
    }
    attrs = {
        "superpos": sp.__version__, "format": 2, "task": to_dict(task), "train": to_dict(sp.TrainConfig(steps=1)),
        "grid": grid.describe(), "block_size": [1], "precision": "highest", "dtype": "float32", "platform": "cpu",
        "versions": dict(versions()),
    }  # fmt: skip
    return sp.SweepResult(xr.Dataset(variables, {"k": list(map(float, KS)), "seed": list(SEEDS)}, attrs))


@pytest.fixture(scope="module")
def data(result):
    return pack_dictionaries(result, n_inputs=N_INPUTS, most=4)


def test_a_page_has_the_numbers_of_all_and_the_latents_of_the_best(result, data):
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    table = result.sae_scores(n_inputs=N_INPUTS)
    assert decoded(data["sound"]).tolist() == [1, 1, 1, 1, 1, 0] and data["n_cells"] == 6
    for score in data["scores"]:
        np.testing.assert_allclose(decoded(score["values"]), table[score["name"]].values.ravel(), atol=2e-3, rtol=1e-3)
    # The best of each k (seed 1), then the second of each k: seed 2, which diverged for the other k, and seed 0.
    assert [one["cell"] for one in data["shown"]] == [1, 4, 2, 3]
    assert [decoded(a["index"]).tolist() for a in data["axes"]] == [[0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]]
    assert len(data["truths"]) == 1  # all read the same features


def test_latents_are_packed_as_the_dashboard_says(result, data):
    one = data["shown"][1]
    cell = result.isel(k=1, seed=1)
    task, model = cell.task(), cell.model()
    said = dashboard_of(task, model, n_inputs=N_INPUTS)["latents"]
    for name in ("precision", "recall", "f1", "nearest_cosine", "frequency"):
        wanted = [np.nan if a[name] is None else a[name] for a in said]
        found = decoded(one[name])
        found[6] = 0 if name == "frequency" else found[6]  # coded by its logarithm, a dead latent's has no number
        np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert decoded(one["matched"]).tolist() == [
        -1 if a["matched_feature"] is None else a["matched_feature"] for a in said
    ]
    assert decoded(one["histogram"]).tolist() == [a["histogram"] for a in said]
    for name, places in (
        ("features", ("precision", "recall")),
        ("neighbours", ("cosine",)),
        ("samples", ("activation",)),
    ):
        index, count = decoded(one[name]["index"]), [len(latent[name]) for latent in said]
        assert (index >= 0).sum(axis=1).tolist() == count
        for k, place in enumerate(places):
            values = decoded(one[name][place])[index >= 0]
            np.testing.assert_allclose(values, [entry[k + 1] for latent in said for entry in latent[name]], atol=1e-3)
    there = decoded(one["neighbours"]["index"])
    assert there[there >= 0].tolist() == [entry[0] for latent in said for entry in latent["neighbours"]]


def test_examples_make_their_latents_fire_as_strongly_as_said(result, data):
    """x from its packed entries, then h = Wx and the encoder, give the packed activations."""
    one = data["shown"][0]
    count, feature, value = (decoded(one["active"][name]) for name in ("count", "feature", "value"))
    x = np.zeros((5, len(count)))
    x[feature, np.repeat(np.arange(len(count)), count)] = value
    h = W @ x
    np.testing.assert_allclose(decoded(one["h"]), h.T, atol=2e-3)
    a = np.maximum(result["W_enc"].isel(k=0, seed=1).values @ h, 0)
    z = np.where(a > a.max(axis=0) - 1e-5, a, 0)  # k = 1; between two latents either may fire
    index, activation = decoded(one["top"]["index"]), decoded(one["top"]["activation"])
    rows, places = np.nonzero(index >= 0)
    assert len(rows) > 20
    np.testing.assert_allclose(z[rows, index[rows, places]], activation[rows, places], atol=4e-3)


def test_a_flat_design_has_the_same_cells_and_unused_settings_are_marked(result, data):
    flat = result.dataset.stack(cell=("k", "seed")).reset_index("cell")
    flat = flat.assign_coords(sparsity_coefficient=("cell", np.full(6, 0.1)))
    flat.attrs = json.loads(json.dumps(flat.attrs))
    flat.attrs["grid"]["axes"] += [
        {**flat.attrs["grid"]["axes"][0], "name": "sparsity_coefficient", "field": "sparsity_coefficient"}
    ]
    found = pack_dictionaries(sp.SweepResult(flat.transpose("cell", ...)), n_inputs=N_INPUTS, most=1)
    index = {a["name"]: decoded(a["index"]).tolist() for a in found["axes"]}
    assert index["sparsity_coefficient"] == [-1] * 6  # top-k has no use for it
    assert (index["k"], index["seed"]) == ([0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2])
    assert found["shown"][0] == data["shown"][0]


def test_the_budget_is_kept_and_a_sweep_without_a_sound_model_is_refused(result, monkeypatch):
    monkeypatch.setattr(viewer, "MAX_CHARACTERS", 1)
    assert len(pack_dictionaries(result.isel(k=[0]), n_inputs=N_INPUTS)["shown"]) == 1
    with pytest.raises(sp.ConfigError, match="sound"):
        pack_dictionaries(result.isel(k=[1], seed=[2]))


@pytest.fixture(scope="module")
def page_path(result, tmp_path_factory):
    return result.explore(tmp_path_factory.mktemp("viewer") / "page.html", n_inputs=N_INPUTS)


def chosen(page):
    """What the screen reader's live region says of the choice."""
    page.wait_for_timeout(60)
    return page.locator(".viewer > .unseen").inner_text()


def numbers(page, column):
    page.wait_for_timeout(60)
    return page.locator(f".latents-card tbody tr > :nth-child({column})").all_inner_texts()


def test_latents_are_searched_sorted_and_chosen(opened):
    page = opened.page
    f1 = [float(text) for text in numbers(page, 3) if text != "–"]
    assert len(numbers(page, 1)) == 7 and f1 == sorted(f1, reverse=True)
    page.get_by_role("button", name="latent", exact=True).click()
    assert numbers(page, 1) == [str(i) for i in range(7)]
    assert page.locator("th[aria-sort]").first.inner_text().startswith("latent")
    page.get_by_role("searchbox").fill("feature 3")
    assert numbers(page, 2) == ["3"]
    page.get_by_role("searchbox").fill("nothing like this")
    assert numbers(page, 1) == [] and "match" in page.locator(".latents-card .note").inner_text()
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="without a feature").click()
    assert numbers(page, 1) == ["5"]
    page.get_by_role("button", name="all 7").click()
    page.get_by_role("searchbox").fill("dead")
    assert numbers(page, 1) == ["6"] and numbers(page, 6) == ["0 %"]
    page.get_by_role("searchbox").fill("density > 1%, f1 > 0.5")
    assert len(numbers(page, 1)) == 5
    page.locator(".latents-card tbody tr").nth(1).click()
    latent = numbers(page, 1)[1]
    assert page.locator(".latent-name").inner_text() == f"Latent {latent} → feature {ORDER[1][int(latent)]}"
    page.locator(".nears button").first.click()
    assert chosen(page).split()[-1] == page.locator(".latent-name").inner_text().split()[1]


def test_everything_is_reached_by_keyboard(opened):
    page = opened.page
    page.locator(".latents-card tbody tr.chosen button").focus()
    page.keyboard.press("Home")
    names = [chosen(page)]
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "End"):
        page.keyboard.press(key)
        names.append(chosen(page))
        assert page.locator(".latents-card tr.chosen button").evaluate("b => b === document.activeElement")
    assert len(set(names)) == 4 and names[1] == names[3]
    page.locator(".scatter").focus()
    page.keyboard.press("ArrowRight")
    first = chosen(page).rsplit(",", 1)[0]
    page.keyboard.press("ArrowLeft")
    assert chosen(page).rsplit(",", 1)[0] != first
    page.get_by_role("button", name="all strengths").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(60)
    assert page.evaluate("document.activeElement.textContent") == "all strengths"


def test_two_are_compared_and_the_link_holds_it_all(opened, data):
    page, best = opened.page, data["shown"][1]["cell"]
    page.get_by_label("autoencoder B").select_option(str(best))
    chosen(page)
    page.locator(".latents-card tbody tr").nth(2).click()
    feature = numbers(page, 1)[2]
    assert page.locator(".latent-name").count() == 2
    assert all(name.endswith(f"→ feature {feature}") for name in page.locator(".latent-name").all_inner_texts())
    page.get_by_role("button", name="the cosine of their directions").click()
    cosines = numbers(page, 7)
    assert len(cosines) == 7 and "–" not in cosines[:5]
    page.get_by_role("button", name="Light / dark").click()
    page.get_by_role("searchbox").fill("f1 > 1%")
    said, cells = chosen(page), numbers(page, 2)
    page.wait_for_timeout(300)
    address = page.url
    page.reload()
    page.wait_for_selector("main section")
    assert (chosen(page), numbers(page, 2), page.url) == (said, cells, address)
    assert page.locator("#app").get_attribute("data-theme") == "dark"
    opened.requests.clear()


def test_what_is_left_out_is_said(running, result, data, tmp_path):
    path = sp.explorer.write_page(
        tmp_path / "some.html", sp.explorer.page("viewer.js", {**data, "title": "t"}, title="t", styles=viewer.STYLES)
    )
    lacking = ({0, 1, 2} - {one["cell"] for one in data["shown"]}).pop()
    opened = Opened(running, path, link=f"#a={lacking}")
    page = opened.page
    assert (
        "4 of 5 autoencoders" in page.locator(".left-out").inner_text()
        and "1 diverged" in page.locator(".left-out").inner_text()
    )
    page.get_by_role("button", name="here in full").click()
    assert chosen(page).startswith("k 1") and page.locator(".latents-card tbody tr").count() == 7
    page.locator(".sweep-table summary").click()
    page.wait_for_selector(".sweep-table tbody tr")
    assert page.locator(".sweep-table tbody tr").count() == 5  # not the one that diverged
    page.locator(".sweep-table tbody tr").last.get_by_role("button", name="as A").click()
    assert page.locator(".sweep-table tr.chosen").count() == 1
    assert opened.is_quiet(), opened.complaints
    opened.close()


@pytest.mark.parametrize("width", [390, 1_440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_or_overlaps(running, page_path, width, scheme):
    for link in ("", "#a=0&b=4&strip=samples"):
        opened = Opened(running, page_path, link=link, viewport={"width": width, "height": 844}, color_scheme=scheme)
        page = opened.page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [b for card in page.locator(".card").all() if (b := card.bounding_box())]
        assert len(boxes) == (7 if link else 6)
        for k, a in enumerate(boxes):
            assert a["x"] >= 0 and a["x"] + a["width"] <= width
            for b in boxes[:k]:
                apart = a["x"] >= b["x"] + b["width"] or b["x"] >= a["x"] + a["width"]
                assert apart or a["y"] >= b["y"] + b["height"] - 1 or b["y"] >= a["y"] + a["height"] - 1
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper[4:-1].split(","))) < 382) == (scheme == "dark")
        assert opened.is_quiet(), opened.complaints
        opened.close()


def test_hostile_names_and_links_are_shown_as_text_or_dropped(running, data, tmp_path):
    hostile = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\"&amp;" + "x" * 10_000
    wrong = json.loads(json.dumps({**data, "title": hostile, "caption": hostile}))
    wrong["axes"][0]["label"] = wrong["axes"][0]["name"] = hostile
    wrong["axes"][1]["values"] = [hostile] * 3
    wrong["architectures"] = {hostile: [hostile, "#0072B2"], "__proto__": [hostile, "#000000"]}
    wrong["architecture"]["words"] = [hostile]
    path = sp.explorer.write_page(
        tmp_path / "h.html", sp.explorer.page("viewer.js", wrong, title="h", styles=viewer.STYLES)
    )
    link = "#a=-1&b=1e99&latent=0.5&other=77&sort=<b>&kind=constructor&match=x&x=__proto__&q=((("
    for width in (390, 1_440):
        opened = Opened(running, path, link=link, viewport={"width": width, "height": 844})
        page = opened.page
        assert page.locator("h1").inner_text().startswith("<script>window.hacked=1</script>")
        assert page.locator(".choosing option").first.inner_text().startswith("<script>")
        page.locator(".sweep-table summary").click()
        page.wait_for_selector(".sweep-table tbody tr")
        assert page.evaluate("[typeof window.hacked, document.images.length, document.scripts.length]") == [
            "undefined",
            0,
            2,
        ]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.is_quiet(), opened.complaints
        opened.close()


def test_hundreds_are_soon_there(running, data, tmp_path):
    """The same autoencoders again and again: 64 with their latents, as many as a page holds."""
    many = {**data, "title": "many", "shown": [{**data["shown"][k % 4], "cell": k} for k in range(64)], "n_cells": 64}
    many["axes"] = [
        {
            "name": "seed",
            "label": "seed",
            "values": list(range(64)),
            "log": False,
            "index": encode.whole(range(64)),
        }
    ]
    many["architecture"] = encode.words(["topk"] * 64)
    many["scores"] = [{**s, "values": encode.numbers(np.resize(decoded(s["values"])[:5], 64))} for s in data["scores"]]
    many["beside"] = {k: encode.numbers(np.resize(decoded(v)[:5], 64)) for k, v in data["beside"].items()}
    many["loss"], many["sound"] = encode.numbers(np.ones(64)), encode.whole(np.ones(64, int))
    html = sp.explorer.page("viewer.js", many, title="many", styles=viewer.STYLES)
    code = len(sp.explorer.page("viewer.js", {}, title="many", styles=viewer.STYLES))
    assert code < 200_000 and "https://" not in html
    path = sp.explorer.write_page(tmp_path / "many.html", html)
    opened = Opened(running, path)
    assert opened.page.locator(".choosing option").count() == 64 * 2 + 1
    assert opened.is_quiet(), opened.complaints
    assert opened.materialize(within=1_000) < 1_000
    opened.close()


def test_the_widget_is_the_viewer_in_a_cell(running, data):
    """Its module, called as anywidget calls it."""
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    from superpos.explorer.widget import widget

    shown = widget(data, "viewer", viewer.STYLES)
    page = running.new_page()
    _, _, link = page.evaluate(WIDGET, [shown._esm, shown._css, shown.data])
    assert (
        page.locator(".latent-name").inner_text().startswith("Latent ")
        and link == ""
        and page.locator(".latents-card tbody tr").count() == 7
    )
    page.close()


def test_the_command_writes_a_page(result, tmp_path, monkeypatch, capsys):
    from superpos.cli import main

    result.save(tmp_path / "r.zarr")
    arguments = ["superpos", "explore", str(tmp_path / "r.zarr"), "-o", str(tmp_path / "r.html"), "--n-inputs", "256"]
    monkeypatch.setattr("sys.argv", arguments)
    main()
    assert "r.html" in capsys.readouterr().out and "Feature viewer" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_viewer(running, page_path, scheme):
    """One autoencoder, and two side by side with the table of all of them."""
    opened = Opened(running, page_path, color_scheme=scheme, reduced_motion="reduce")
    opened.page.locator(".sweep-table summary").click()
    opened.page.locator(".sweep-table tbody button").last.click()
    opened.page.wait_for_timeout(60)
    assert opened.violations() == []
    assert opened.unclear_controls() == [] and opened.small_controls() == []
    assert opened.is_quiet(), opened.complaints
    opened.close()
