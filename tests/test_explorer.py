"""The explorer: what is packed, and the page in a real browser."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from browser import Opened

import superpos as sp
from superpos.explorer import encode, pack
from superpos.explorer.assemble import PAGE, bundle
from superpos.plot.shape_colors import rule
from superpos.training.run_record import Run

ROOT = Path(__file__).parents[1]


def decoded(coded):
    """A second reading of the coding, in NumPy."""
    raw = base64.b64decode(coded["data"])
    codes = np.frombuffer(raw, {"q16": "<u2", "u8": "<u1", "u16": "<u2", "i32": "<i4"}[coded["type"]])
    codes = codes.reshape(coded["shape"])
    if coded["type"] != "q16":
        return codes
    values = np.where(codes == 65535, np.nan, coded["lo"] + (coded["hi"] - coded["lo"]) * codes / 65534)
    return np.exp(values) if coded["log"] else values


def test_numbers_survive_packing(rng):
    values = rng.normal(size=(7, 3))
    values[2, 1] = np.nan
    np.testing.assert_allclose(
        decoded(encode.numbers(values)), values, atol=np.ptp(values[values == values]) / 131_068 + 1e-12
    )
    losses = 10.0 ** rng.uniform(-6, 0, 50)
    np.testing.assert_allclose(decoded(encode.numbers(losses, log=True)), losses, rtol=1.1e-4)
    for whole in ([0, 255], [0, 256], [-1, 70_000]):
        np.testing.assert_array_equal(decoded(encode.whole(whole)), whole)
    words = encode.words([["b", "a"], ["b", "b"]])
    assert words["words"] == ["b", "a"] and decoded(words["index"]).tolist() == [[0, 1], [0, 0]]


@pytest.mark.slow
def test_a_page_packs_what_the_result_says(quick_result):
    data = pack(quick_result)
    assert json.loads(json.dumps(data)) == data
    assert [a["name"] for a in data["axes"]] == ["feature_probability", "seed"]
    table = quick_result.geometry()
    cells = data["cells"]
    names = [cells["shape"]["words"][i] for i in decoded(cells["shape"]["index"])]
    assert names == table["shape"].values.ravel().tolist()
    W = quick_result["W"].transpose("feature_probability", "seed", "hidden", "feature").values
    np.testing.assert_allclose(decoded(cells["W"]), W.reshape(-1, 2, 5), atol=1e-4)
    np.testing.assert_allclose(
        decoded(cells["dimensionality"]), table["dimensionality"].values.reshape(-1, 5), atol=1e-4
    )
    assert decoded(data["snapshots"]["W"]).shape == (12, 3, 2, 5)
    assert data["colors"] == rule()


@pytest.mark.parametrize("kind", ["absolute_value", "residual_mlp"])
def test_other_models_are_refused_in_one_sentence(kind, tmp_path, unchecked):
    result = sp.SweepResult(xr.Dataset({"loss": ("seed", [0.5])}, attrs={"task": {"kind": kind}}))
    kinds = "toy models, decompositions of weights, sparse autoencoders and transcoders, modular addition and repeated tokens"
    said = f"^pages exist for {kinds}; this result holds {kind} models.$"
    with pytest.raises(sp.ConfigError, match=said):
        result.explore(tmp_path / "x.html")
    with pytest.raises(sp.ConfigError, match="n_inputs is for sparse autoencoders"):
        result.explore(tmp_path / "x.html", n_inputs=5)
    with pytest.raises(sp.ConfigError, match="SweepResult"):
        sp.explorer.explore("not a result", tmp_path / "x.html")


def test_one_transformer_is_refused_with_what_to_do_instead(tmp_path, unchecked):
    task = sp.tasks.ModularAddition(p=7)
    nothing = dict.fromkeys(("model", "loss", "history", "snapshots", "diverged_step"))
    run = Run(task=task, config=sp.TrainConfig(), seed=3, **nothing)
    said = r"^a page of one ModularAddition is made from a sweep, .*: sp.sweep\(task, config, sp.Grid\(seed=\[3\]\)\).explore"
    with pytest.raises(sp.ConfigError, match=said):
        sp.explorer.explore(run, tmp_path / "x.html")
    assert not list(tmp_path.iterdir())


def test_pages_are_small_and_the_same_every_time(quick_result, tmp_path):
    path = quick_result.explore(tmp_path / "deep" / "page.html", title="a </script> & <b>title</b>")
    text = path.read_text()
    assert len(text) < 1e6
    assert text.count("</script>") == 2 and "<title>a &lt;/script&gt;" in text
    assert text == quick_result.explore(tmp_path / "again.html", title="a </script> & <b>title</b>").read_text()
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text


def test_modules_keep_the_rules_of_joining():
    """Joined, none of their imports or exports is left; the lint of `oxlint` finds nothing."""
    for path in [
        *PAGE.glob("*_widget.js"),
        *(PAGE / f"{name}.js" for name in ("explorer", "viewer", "modular", "induction")),
    ]:
        joined = bundle(path.name)
        assert not [line for line in joined.splitlines() if line.startswith(("import ", "export "))]
    done = subprocess.run(
        [Path(sys.executable).with_name("oxlint"), "-c", ROOT / "tests" / "js" / "oxlintrc.json", "--deny-warnings", PAGE, ROOT / "tests" / "js"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_modules_are_of_a_size_one_can_read():
    for path in PAGE.glob("*.js"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 400 and (path.name == "color.js" or max(map(len, lines)) <= 120), path.name


def node(*arguments, **options):
    """The JavaScript runtime that comes with playwright."""
    playwright = pytest.importorskip(
        "playwright", reason="the Python package playwright, which brings node, is not installed"
    )
    program = Path(playwright.__file__).parent / "driver" / ("node.exe" if sys.platform == "win32" else "node")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, **options)


def test_the_modules_pass_their_own_tests():
    files = sorted(map(str, (ROOT / "tests" / "js").glob("*.test.js")))
    done = node("--test", "--test-reporter=spec", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    written = sum(Path(file).read_text().count('\ntest("') for file in files)
    assert "fail 0" in done.stdout and f"pass {written}\n" in done.stdout and written > 15


PARITY = """
import { readFileSync } from "node:fs";
const { Trainer } = await import(process.argv[2]);
const said = JSON.parse(readFileSync(0, "utf8"));
const trainer = new Trainer(said.settings, 0, { W: said.W.flat(), b: said.b });
for (const rows of said.batches) { trainer.given(rows.flat()); trainer.update(); }
console.log(JSON.stringify({ W: [...trainer.W], b: [...trainer.b] }));
"""


@pytest.mark.parametrize(("n", "m", "p", "decay"), [(5, 2, 0.05, 1.0), (7, 3, 0.3, 0.8)])
def test_training_in_the_page_equals_train(tmp_path, n, m, p, decay):
    """From the same weights on the same draws, W and b agree to 1e-4 after 100 steps of the whole cosine."""
    task = sp.tasks.Toy(n_features=n, n_hidden=m, feature_probability=p, importance=decay ** np.arange(n))
    config = sp.TrainConfig(steps=100, batch_size=256, snapshots=(0,), evaluation_samples=1_024)
    run = sp.train(task, config, seed=3)
    steps = jnp.arange(100)
    draws = jax.jit(jax.vmap(lambda t: task.features.sample(jax.random.fold_in(jax.random.key(3), t), 256)))(steps)
    batches = np.asarray(draws, np.float64).transpose(0, 2, 1).tolist()  # columns there, rows here
    said = {
        "settings": {"n": n, "m": m, "decay": decay, "lr": float(run.config.learning_rate), "steps": 100},
        "W": np.asarray(run.snapshots.W[...], np.float64)[0].tolist(),
        "b": np.asarray(run.snapshots.b[...], np.float64)[0].tolist(),
        "batches": batches,
    }
    script = tmp_path / "parity.mjs"
    script.write_text(PARITY)
    done = node(str(script), (PAGE / "toy.js").as_uri(), input=json.dumps(said))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    moved = np.abs(np.asarray(run.model.W[...]) - np.asarray(said["W"])).max()
    assert moved > 0.1  # it did train
    np.testing.assert_allclose(np.reshape(found["W"], (m, n)), np.asarray(run.model.W[...]), atol=1e-4, rtol=0)
    np.testing.assert_allclose(found["b"], np.asarray(run.model.b[...]), atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def page_path(quick_result, tmp_path_factory):
    return quick_result.explore(tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture
def opened(running, page_path):
    """The page without its story, at 1,440 pixels; afterwards it must have been quiet."""
    page = Opened(running, page_path, link="#story=0", viewport={"width": 1_440, "height": 900})
    yield page
    assert page.is_quiet(), (page.complaints, page.requests)
    page.close()


def chosen(page):
    """What the screen reader's live region says of the chosen cell."""
    page.wait_for_timeout(60)
    return page.locator(".geometry > .unseen").inner_text()


def test_a_page_opens_from_disk_and_asks_for_nothing(opened):
    assert opened.page.locator("h2").first.inner_text() == "pentagon"
    assert opened.page.locator(".picture .arrow").count() == 5
    assert opened.page.locator(".bars tbody tr").count() == 5
    # What the policy is for: nothing could be sent even by a script.
    blocked = opened.page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'blocked')")
    assert blocked == "blocked"
    opened.complaints.clear()  # the browser reports the attempt


def test_click_drag_and_keys_choose_models(opened, quick_result):
    page, box = opened.page, opened.page.locator(".map").bounding_box()
    names = quick_result.geometry()["shape"].values

    def at(i, j):
        return box["x"] + (i + 0.5) / 3 * box["width"], box["y"] + (1 - (j + 0.5) / 4) * box["height"]

    page.mouse.click(*at(0, 1))
    assert chosen(page).startswith("density p = 1 − S 1, seed 1: ") and chosen(page).endswith(names[0, 1])
    page.mouse.move(*at(0, 2))
    page.mouse.down()
    page.mouse.move(*at(1, 2), steps=3)
    assert "0.3, seed 2" in chosen(page)
    page.mouse.move(*at(2, 2), steps=3)
    page.mouse.up()
    assert "0.05, seed 2" in chosen(page) and page.locator("h2").first.inner_text() == names[2, 2]
    page.locator(".map").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert "0.3, seed 3" in chosen(page)
    page.locator(".sliders input").first.focus()
    page.keyboard.press("Home")
    assert "S 1, seed 3" in chosen(page)
    for coloring in ("loss", "represented", "packing"):
        page.locator("select").first.select_option(coloring)
        page.wait_for_timeout(40)
    assert page.locator(".legend .ramp").count() == 1


def test_hovering_a_feature_lights_it_up_everywhere(opened):
    opened.page.locator(".bars tbody tr").nth(2).hover()
    lit = opened.page.locator(".lit")
    assert [lit.nth(i).get_attribute("data-feature") for i in range(lit.count())] == [
        "2"
    ] * 4  # arrow, row, and the player's


def test_scrubbing_goes_through_the_snapshots(opened, quick_result):
    page = opened.page
    page.locator(".scrub input").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(60)
    assert page.locator(".scrub output").inner_text() == "step 0"
    index = quick_result["loss"].values.ravel().argmin()
    cell = quick_result.isel(feature_probability=index // 4, seed=index % 4).dataset
    D = sp.feature_dimensionality(cell["W_snapshots"].isel(snapshot=0).transpose("hidden", "feature").values)
    said = [float(text) for text in page.locator(".bars td:last-child").all_inner_texts()]
    np.testing.assert_allclose(said, D, atol=0.0052)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelector('.scrub output').textContent === 'step 1,500'", timeout=8_000)


def test_state_survives_a_reload_through_the_link(opened):
    page = opened.page
    page.locator("select").first.select_option("packing")
    page.locator(".map").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Light / dark").click()
    said = chosen(page)
    page.wait_for_timeout(300)
    address = page.url
    assert "color=packing" in address and "cell=" in address and "theme=dark" in address
    page.reload()
    page.wait_for_selector("main section")
    assert chosen(page) == said and page.url == address
    assert (
        page.locator("select").first.input_value() == "packing"
        and page.locator("#app").get_attribute("data-theme") == "dark"
    )
    opened.requests.clear()


@pytest.mark.parametrize(
    "link", ["#cell=-3&x=9&y=nothing&snap=1e9&color=<b>&mode=%00", "#mode=live&n=1e99&m=-1&p=0&lr=5&decay=9&pick=77"]
)
def test_wrong_links_do_no_harm(running, page_path, link):
    opened = Opened(running, page_path, link=link)
    opened.page.wait_for_selector(".picture .arrow")
    assert opened.is_quiet(), opened.complaints
    opened.close()


GAPS = """() => {
  if (document.getElementById('app').dataset.shows !== 'live') return null;
  const ends = [...document.querySelectorAll('.picture .arrow circle')].map((c) => Math.atan2(+c.getAttribute('cy'), +c.getAttribute('cx')) * 180 / Math.PI);
  ends.sort((a, b) => a - b);
  const gaps = ends.map((a, i) => (i + 1 < ends.length ? ends[i + 1] : ends[0] + 360) - a);
  return ends.length === 5 && gaps.every((gap) => Math.abs(gap - 72) <= 3) ? gaps : null;
}"""


def test_live_training_reaches_the_pentagon_in_three_seconds(opened):
    page = opened.page
    page.locator(".sliders input").first.focus()
    page.keyboard.press("Home")  # another shape is shown before
    assert not chosen(page).endswith("pentagon")
    page.get_by_role("tab", name="Train here").click()
    page.wait_for_function(GAPS, timeout=3_000)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.note')].some((n) => n.textContent.startsWith('Trained: step 3,000'))"
    )
    assert page.evaluate(GAPS) and page.locator(".shape-name").inner_text() == "pentagon"  # and it stays one
    page.locator("[data-setting=n]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelectorAll('.picture .arrow').length === 6")
    page.locator("[data-setting=m]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".picture.turns")


def test_predict_first_hides_the_answer_until_one_is_given(opened):
    page = opened.page
    page.get_by_role("button", name="Predict first").click()
    page.wait_for_selector(".cover .question")
    assert "How many of the 5 features will 2 dimensions hold at density 0.05?" in page.locator(".cover").inner_text()
    assert page.locator("h2").first.inner_text() == "?" and not page.locator(".bars").is_visible()
    page.locator(".choices button", has_text="4").click()
    page.wait_for_timeout(60)
    assert "You said 4; this model holds 5" in page.locator(".verdict").inner_text()
    assert page.locator("h2").first.inner_text() == "pentagon"


@pytest.mark.parametrize("width", [390, 1_440])
def test_nothing_sticks_out_or_overlaps(running, page_path, width):
    for link in ("", "#mode=live&ask=true"):
        opened = Opened(running, page_path, link=link, viewport={"width": width, "height": 844})
        opened.page.wait_for_selector(".picture .arrow")
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [b for card in opened.page.locator(".card").all() if (b := card.bounding_box())]
        for k, a in enumerate(boxes):
            assert a["x"] >= 0 and a["x"] + a["width"] <= width
            for b in boxes[:k]:
                apart = a["x"] >= b["x"] + b["width"] or b["x"] >= a["x"] + a["width"]
                assert apart or a["y"] >= b["y"] + b["height"] - 1 or b["y"] >= a["y"] + a["height"] - 1
        assert opened.is_quiet(), opened.complaints
        opened.close()


def test_hostile_names_are_shown_as_text(running, quick_result, tmp_path):
    hostile = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\"&amp;" + "x" * 10_000
    dataset = quick_result.dataset.rename(feature_probability=hostile)
    dataset.attrs = json.loads(json.dumps(dataset.attrs).replace('"feature_probability", "field"', '"other", "field"'))
    path = sp.SweepResult(dataset).explore(tmp_path / "hostile.html", title=hostile)
    opened = Opened(running, path, viewport={"width": 390, "height": 844})
    assert opened.page.locator("h1").inner_text().startswith("<script>window.hacked=1</script>")
    assert opened.page.locator(".slider").first.inner_text().startswith("<script>")
    assert opened.page.evaluate("[typeof window.hacked, document.images.length, document.scripts.length]") == [
        "undefined",
        0,
        2,
    ]
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.is_quiet(), opened.complaints
    opened.close()


def test_two_thousand_cells_are_small_and_soon_there(running, quick_result, tmp_path):
    """The same models many times over: what is drawn does not depend on how they came about."""
    dataset = quick_result.dataset.isel(seed=np.arange(8) % 4, feature_probability=np.arange(250) // 84)
    dataset = dataset.assign_coords(seed=np.arange(8), feature_probability=np.geomspace(1, 0.01, 250))
    path = sp.SweepResult(dataset).explore(tmp_path / "many.html")
    assert path.stat().st_size < 2e6
    opened = Opened(running, path)
    assert opened.page.locator(".minis .mini-button").count() == 8
    opened.page.locator(".map").focus()
    opened.page.keyboard.press("ArrowLeft")
    assert opened.is_quiet(), opened.complaints
    assert opened.materialize(within=1_000) < 1_000
    opened.close()


def test_a_notebook_gets_the_same_modules(quick_result):
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    from superpos.explorer.widget import widget

    shown = widget(pack(quick_result))
    assert shown._esm.rstrip().endswith("export default { render };")
    assert json.loads(shown.data)["n_cells"] == 12


WIDGET = """async ([source, style, data]) => {
  const { default: made } = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  document.head.append(Object.assign(document.createElement('style'), { textContent: style }));
  made.render({ model: { get: () => data }, el: document.body });
  await new Promise(requestAnimationFrame);
  return [document.querySelector('h2').textContent, document.querySelectorAll('.picture .arrow').length, location.hash];
}"""


def test_the_widget_draws_in_a_cell(running, quick_result):
    """Its module, called as anywidget calls it."""
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    from superpos.explorer.widget import widget

    shown = widget(pack(quick_result))
    page = running.new_page()
    assert page.evaluate(WIDGET, [shown._esm, shown._css, shown.data]) == ["pentagon", 5, ""]
    page.close()


def test_the_command_writes_a_page(quick_result, tmp_path, monkeypatch, capsys):
    from superpos.cli import main

    quick_result.save(tmp_path / "r.zarr")
    monkeypatch.setattr(sys, "argv", ["superpos", "explore", str(tmp_path / "r.zarr"), "-o", str(tmp_path / "r.html")])
    main()
    assert "r.html" in capsys.readouterr().out and (tmp_path / "r.html").stat().st_size > 10_000
