"""The pages of modular arithmetic and of induction heads: what is packed, and the pages in a real browser."""

import json
import re

import numpy as np
import pytest
import xarray as xr
from browser import Opened
from test_explorer import WIDGET, decoded

import superpos as sp
from superpos.analysis import fourier
from superpos.analysis.attention import prefix_matching_score, previous_token_score
from superpos.analysis.grokking import progress
from superpos.analysis.heads import fresh_sequences, measure_heads
from superpos.experiments.grokking import snapshots_of
from superpos.explorer import induction_page, modular_page, shown_models

pytestmark = pytest.mark.slow

P, N_SEQUENCES = 7, 8
SIZES = {"d_model": 8, "n_heads": 2}


@pytest.fixture(scope="module")
def modular():
    task = sp.tasks.ModularAddition(p=P, d_mlp=16, train_fraction=0.5, **SIZES)
    config = sp.TrainConfig(steps=40, snapshots=(0, 5, 10, 20, 40), learning_rate=0.01, history=8)
    return sp.sweep(task, config, sp.Grid(weight_decay=[1.0, 0.0], seed=range(2)), block_size=2, progress=False)


@pytest.fixture(scope="module")
def plain(modular):
    """The same models as if they had been trained to subtract, and without snapshots."""
    dataset = modular.dataset.drop_dims("snapshot")
    dataset.attrs = json.loads(json.dumps(dataset.attrs))
    dataset.attrs["task"]["operation"], dataset.attrs["train"]["snapshots"] = "subtraction", []
    return sp.SweepResult(dataset)


@pytest.fixture(scope="module")
def induction():
    sizes = {"d_vocab": 6, "n_positions": 12, "shortest_period": 3, "longest_period": 5}
    config = sp.TrainConfig(steps=12, batch_size=4, snapshots=(0, 4, 8), evaluation_samples=8, history=3)
    task = sp.tasks.RepeatedTokens(**sizes, **SIZES)
    return sp.sweep(task, config, sp.Grid(seed=range(2)), progress=False)


@pytest.fixture(scope="module")
def packed(modular, induction):
    return {
        "modular": modular_page.pack_modular(modular),
        "induction": induction_page.pack_induction(induction, n_sequences=N_SEQUENCES),
    }


def test_losses_and_phases_are_those_of_the_analysis(modular, packed):
    assert json.loads(json.dumps(packed["modular"], allow_nan=False)) == packed["modular"]
    assert sorted(one["cell"] for one in packed["modular"]["shown"]) == [0, 1, 2, 3]
    for one in packed["modular"]["shown"]:
        cell = modular.isel(weight_decay=one["cell"] // 2, seed=one["cell"] % 2)
        table = progress(*snapshots_of(cell))
        assert one["measures"]["steps"] == one["pictured"] == [0, 5, 10, 20, 40]
        for name in ("restricted_loss", "excluded_loss", "restricted_accuracy"):
            np.testing.assert_allclose(decoded(one["measures"][name]), table[name], atol=1e-4, rtol=3e-4)
        assert one["final"] == {name: float(table[name][-1]) for name in one["final"]} and len(one["final"]) == 4
        assert one["curves"]["steps"] == [*range(5, 45, 5)]  # more was recorded than there are snapshots
        for name, recorded in modular_page.RECORDED.items():
            curve = cell[f"{name}_history"].values
            np.testing.assert_allclose(decoded(one["curves"][recorded]), curve, atol=1e-4, rtol=3e-4)
        assert one["keys"] == table["key"].values.tolist()
        ends = {name: table.attrs[f"phase_{name}"] for name in one["phases"]}
        assert one["phases"] == {name: None if np.isnan(end) else end for name, end in ends.items()}


def test_spectrum_circles_and_neurons_are_those_of_the_analysis(modular, packed):
    one = packed["modular"]["shown"][0]
    task, models, _ = snapshots_of(modular.isel(weight_decay=one["cell"] // 2, seed=one["cell"] % 2))
    assert one["circles"] and set(one["circles"]) <= set(one["keys"])
    for at, model in enumerate(models):
        W_E = np.asarray(model.W_E[:P], np.float64)
        energy = fourier.spectrum(W_E)[1:]
        np.testing.assert_allclose(decoded(one["energy"])[at], energy / energy.sum(), atol=1e-4)
        neurons = fourier.neuron_frequencies(task.neurons(model))
        np.testing.assert_allclose(decoded(one["neuron_explained"])[at], neurons.explained, atol=1e-4)
        np.testing.assert_array_equal(decoded(one["neuron_frequency"])[at], neurons.frequency)
        for place, k in enumerate(one["circles"]):
            plane = decoded(one["circle"])[at, place]
            np.testing.assert_allclose(np.abs(plane), np.abs(fourier.key_plane(W_E, k)), atol=1e-3)
            angle = 2 * np.pi * k * np.arange(P) / P
            assert np.cos(angle) @ plane[:, 0] > 0 and np.sin(angle) @ plane[:, 1] > 0
            transform = np.abs(np.fft.fft(plane, axis=0)) ** 2
            turns = (transform[k] + transform[P - k]).sum() / transform.sum()
            np.testing.assert_allclose(decoded(one["turning"])[at, place], turns, atol=2e-3)


def test_numbers_on_an_exact_circle_turn_with_its_frequency_alone(rng):
    angle = 2 * np.pi * 2 * np.arange(P) / P
    embedding = np.zeros((P, 4))
    embedding[:, 1], embedding[:, 3] = 3 * np.cos(angle), -3 * np.sin(angle)
    plane = modular_page.oriented_plane(embedding, 2)
    np.testing.assert_allclose(plane, 3 * np.stack([np.cos(angle), np.sin(angle)], 1), atol=1e-12)
    assert modular_page.turning_share(plane, 2) == pytest.approx(1)
    assert modular_page.turning_share(plane, 1) == pytest.approx(0)
    random = [modular_page.oriented_plane(rng.normal(size=(P, 8)), 2) for _ in range(300)]
    shares = [modular_page.turning_share(z, 2) for z in random]
    assert np.mean(shares) == pytest.approx(modular_page.turning_by_chance(P, 8), abs=0.03)
    assert modular_page.circle_frequencies(np.array([0.2, 0.5, 0.3]), [1, 3], most=1) == [3]
    assert modular_page.circle_frequencies(np.array([0.2, 0.5, 0.3]), []) == [2]


def test_without_snapshots_or_for_other_operations_phases_are_unknown(plain):
    for one in modular_page.pack_modular(plain)["shown"]:
        assert one["operation"] == "subtraction" and set(one["measures"]) == {"steps"}
        assert set(one["phases"].values()) == {None}
        cell = plain.isel(weight_decay=one["cell"] // 2, seed=one["cell"] % 2).cell()
        assert one["curves"]["steps"] == [*range(5, 45, 5)] and one["pictured"] == [40]
        np.testing.assert_allclose(decoded(one["curves"]["train_loss"]), cell.history.loss, rtol=3e-4)


def test_scores_and_attention_are_those_of_the_analysis(induction, packed):
    data = packed["induction"]
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    for one in data["shown"]:
        run = induction.isel(seed=one["cell"]).cell()
        assert one["steps"] == one["pictured"] == [0, 4, 8, 12]  # the end is no snapshot, and comes after them
        tokens = np.asarray(fresh_sequences(run.task, N_SEQUENCES).tokens)[0]
        np.testing.assert_array_equal(decoded(one["tokens"]), tokens)
        measured = measure_heads(run.task, run.model, N_SEQUENCES)
        for name, of in {"previous": "previous_token", "induction": "prefix_matching", "loss": "loss"}.items():
            np.testing.assert_allclose(decoded(one[name])[-1], measured[of], rtol=3e-4)
        pattern = np.zeros((2, 2, 12, 12))
        lower = np.tril_indices(12)
        pattern[..., lower[0], lower[1]] = decoded(one["pattern"])[-1].reshape(2, 2, -1) / induction_page.LEVELS
        np.testing.assert_allclose(pattern, measured["pattern"], atol=0.5 / induction_page.LEVELS + 1e-6)


def test_the_best_of_every_setting_are_shown_as_far_as_there_is_room(modular, monkeypatch):
    loss = modular["loss"].transpose("weight_decay", "seed").values
    best = {2 * k + int(np.argmin(row)) for k, row in enumerate(loss)}
    monkeypatch.setattr(modular_page, "describe_model", lambda _: {})
    data = modular_page.pack_modular(modular, most=3)
    assert {one["cell"] for one in data["shown"][:2]} == best and len(data["shown"]) == 3
    np.testing.assert_allclose(decoded(data["loss"]), loss.ravel(), rtol=3e-4)
    np.testing.assert_allclose(
        decoded(data["accuracy"]), modular["test_accuracy_history"].isel(record=-1).values.ravel(), atol=1e-4
    )
    monkeypatch.setattr(shown_models, "MAX_CHARACTERS", 1)
    assert len(modular_page.pack_modular(modular)["shown"]) == 1
    broken = modular.dataset.copy()
    broken["diverged_step"] = broken["diverged_step"] * 0
    with pytest.raises(sp.ConfigError, match="^no model of this sweep is sound"):
        modular_page.pack_modular(sp.SweepResult(broken))


def test_long_sequences_and_long_trainings_are_thinned(modular, induction, monkeypatch):
    monkeypatch.setattr(modular_page, "MAX_PICTURED", 3)
    one = modular_page.describe_model(modular.isel(weight_decay=0, seed=0))
    assert one["pictured"] == one["measures"]["steps"] == [0, 10, 40] and decoded(one["energy"]).shape == (3, 3)
    monkeypatch.setattr(induction_page, "MAX_POSITIONS", 9)
    monkeypatch.setattr(induction_page, "MAX_WEIGHTS", 500)
    one = induction_page.describe_model(induction.isel(seed=0), N_SEQUENCES)
    assert decoded(one["tokens"]).shape == (9,) and one["positions"] == 12
    assert one["pictured"] == [0, 12] and decoded(one["pattern"]).shape == (2, 2, 2, 45)
    assert shown_models.evenly(100, 3).tolist() == [0, 50, 99]


def test_commands_know_which_results_have_a_page(modular, induction):
    toys = xr.Dataset({"loss": ("seed", [0.5]), "W": (("seed", "hidden", "feature"), np.ones((1, 2, 3)))})
    assert all(result.has_page for result in (modular, induction, sp.SweepResult(toys)))
    others = xr.Dataset({"loss": ("seed", [0.5])}, attrs={"task": {"kind": "residual_mlp"}})
    assert not sp.SweepResult(others).has_page


@pytest.fixture(scope="module", params=["modular", "induction"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def page_path(kind, packed, tmp_path_factory):
    return written(tmp_path_factory.mktemp("page") / f"{kind}.html", kind, packed[kind])


def written(path, kind, data):
    html = sp.explorer.page(f"{kind}.js", {"title": kind, **data}, title=kind, styles=("style.css", "transformer.css"))
    return sp.explorer.write_page(path, html)


def sentences(page):
    page.wait_for_timeout(80)
    return page.locator(".sees:visible").all_inner_texts()


def test_a_page_opens_from_disk_says_what_one_sees_and_fits(running, page_path):
    for width, scheme in ((390, "light"), (1_024, "dark"), (1_440, "light")):
        opened = Opened(running, page_path, viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = opened.page
        assert all(text.endswith(".") and "NaN" not in text and "undefined" not in text for text in sentences(page))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [b for card in page.locator(".card").all() if (b := card.bounding_box())]
        for k, a in enumerate(boxes):
            assert a["x"] >= 0 and a["x"] + a["width"] <= width
            for b in boxes[:k]:
                apart = a["x"] >= b["x"] + b["width"] or b["x"] >= a["x"] + a["width"]
                assert apart or a["y"] >= b["y"] + b["height"] - 1 or b["y"] >= a["y"] + a["height"] - 1
        assert opened.violations() == []
        assert opened.unclear_controls() == [] and opened.small_controls() == []
        page.evaluate("() => { document.documentElement.style.fontSize = '200%'; dispatchEvent(new Event('resize')); }")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.is_quiet(), (opened.complaints, opened.requests)
        opened.close()


@pytest.mark.parametrize("kind", ["modular"], scope="module")
def test_numbers_of_the_embedding_are_read_out(opened, packed):
    page, data = opened.page, packed["modular"]
    one = min(data["shown"], key=lambda shown: decoded(data["loss"])[shown["cell"]])
    page.locator(".spectrum canvas").focus()
    energy = decoded(one["energy"])[-1]
    for k in range(1, 1 + len(energy)):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(40)
        share = float(page.locator(".spectrum .note").inner_text().split(": ")[1].split("\xa0")[0])
        assert share == pytest.approx(100 * energy[k - 1], abs=0.51)
    k = int(page.get_by_label("frequency of the circle").input_value())
    x, y = decoded(one["circle"])[-1, one["circles"].index(k), 0]
    page.locator(".circle canvas").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(40)
    number, angle, radius = re.findall(r"[\d.]+", page.locator(".circle .note").inner_text())
    off = (float(angle) - np.degrees(np.arctan2(y, x)) + 180) % 360 - 180
    assert number == "0" and abs(off) < 0.6 and float(radius) == pytest.approx(np.hypot(x, y), abs=0.006)
    page.locator(".training canvas").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(40)
    text = page.locator(".training [role=status]").inner_text()
    values = [float(part.split(" ")[1]) for part in text.split(": ")[1].split(", ")]
    wanted = [decoded(one["curves"][f"{name}_loss"])[-1] for name in ("train", "test")]
    wanted += [decoded(one["measures"][f"{name}_loss"])[-1] for name in ("restricted", "excluded")]
    np.testing.assert_allclose(values, wanted, rtol=0.06)
    last = page.locator(".training .note").nth(1).inner_text()
    page.locator(".scrub input").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(60)
    assert page.locator(".scrub output").inner_text() == "step 0"
    assert page.locator(".training .note").nth(1).inner_text() != last


@pytest.mark.parametrize("kind", ["induction"], scope="module")
def test_heads_are_chosen_and_their_attention_read_out(opened, packed, induction):
    page, data = opened.page, packed["induction"]
    one = min(data["shown"], key=lambda shown: decoded(data["loss"])[shown["cell"]])
    numbers = np.reshape([float(text) for text in page.locator(".head-scores td").all_inner_texts()], (4, 2))
    np.testing.assert_allclose(numbers[:, 0], decoded(one["previous"])[-1].ravel(), atol=0.0051)
    np.testing.assert_allclose(numbers[:, 1], decoded(one["induction"])[-1].ravel(), atol=0.0051)
    run = induction.isel(seed=one["cell"]).cell()
    pattern = np.asarray(measure_heads(run.task, run.model, N_SEQUENCES)["pattern"])
    tokens = decoded(one["tokens"])
    for head in range(4):
        page.locator(".head-patterns button").nth(head).click()
        text, of_head = sentences(page)[-1], pattern[head // 2, head % 2]
        shares = [float(share) for share in re.findall(r"(\d+)\xa0%", text)]
        scores = [previous_token_score(of_head), prefix_matching_score(of_head, tokens)]
        assert text.startswith(f"Here head {head // 2}.{head % 2} puts") and len(shares) == 2
        np.testing.assert_allclose(shares, 100 * np.array(scores), atol=0.8)
        assert page.locator(".head-scores tr.chosen button").inner_text() == f"head {head // 2}.{head % 2}"
    page.locator(".attention").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    page.wait_for_timeout(60)
    text = page.locator(".pattern .note").first.inner_text()
    query, key = int(text.split("Query ")[1].split(" ")[0]), int(text.split("key ")[1].split(" ")[0])
    assert float(text.split("puts ")[1].split(" ")[0]) == pytest.approx(pattern[1, 1, query, key], abs=0.0071)


def test_a_model_is_chosen_on_the_map_and_the_link_holds_it(opened):
    page = opened.page
    first = page.locator(".choose > .note").first.inner_text()
    page.locator(".sliders input").last.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(60)
    seeds = {page.locator(".choose > .note").first.inner_text()}
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    seeds.add(page.locator(".choose > .note").first.inner_text())
    assert len(seeds) == 2 and first in seeds
    page.get_by_role("button", name="Light / dark").click()
    page.wait_for_timeout(300)
    shown = (page.locator(".choose > .note").first.inner_text(), sentences(page), page.url)
    assert "theme=dark" in page.url
    page.reload()
    page.wait_for_selector("main section")
    assert shown == (page.locator(".choose > .note").first.inner_text(), sentences(page), page.url)
    opened.requests.clear()


def test_what_is_left_out_is_told_and_wrong_links_and_names_do_no_harm(running, kind, packed, tmp_path):
    hostile = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>" + "x" * 5_000
    data = json.loads(json.dumps({**packed[kind], "title": hostile, "caption": hostile}))
    data["axes"][-1]["label"] = hostile
    gone = data["shown"].pop()["cell"]
    path = written(tmp_path / "less.html", kind, data)
    opened = Opened(running, path, link=f"#cell={gone}&theme=none&snap=1e9", viewport={"width": 390, "height": 900})
    page = opened.page
    assert "in full: the best of every setting" in page.locator(".left-out").inner_text()
    assert page.locator(".lacking").is_visible() and sentences(page) == []
    page.get_by_role("button", name="Look at one of its setting").click()
    assert len(sentences(page)) > 2 and not page.locator(".lacking").is_visible()
    assert page.evaluate("[typeof window.hacked, document.images.length]") == ["undefined", 0]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.is_quiet(), opened.complaints
    opened.close()
    opened = Opened(running, path, link="#cell=-1&snap=0.5&freq=77&head=1e99&x=9&of=<b>&steps=__proto__&color=shape")
    assert len(sentences(opened.page)) > 2 and opened.is_quiet(), opened.complaints
    opened.close()


def test_a_sweep_without_snapshots_says_so(running, plain, tmp_path):
    opened = Opened(running, plain.explore(tmp_path / "plain.html"))
    text = opened.page.get_by_label("Learning").inner_text()
    assert "defined for a + b; this task is a − b." in text and not opened.page.locator(".scrub").is_visible()
    assert opened.is_quiet(), opened.complaints
    opened.close()


def test_the_widget_is_the_page_in_a_cell(running, kind, packed):
    """Its module, called as anywidget calls it."""
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    from superpos.explorer.widget import widget

    shown = widget(packed[kind], kind, ("style.css", "transformer.css"))
    page = running.new_page()
    _, _, link = page.evaluate(WIDGET, [shown._esm, shown._css, shown.data])
    assert link == "" and len(sentences(page)) > 2
    page.close()
