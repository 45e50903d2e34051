"""The explorer's story, input player, aligned neighbours and names, against the library and NumPy."""

import itertools
import json
import re

import numpy as np
import pytest
from browser import Opened
from test_explorer import decoded, node

import superpos as sp
from superpos.explorer import pack
from superpos.explorer.assemble import PAGE
from superpos.explorer.naming import naming

DENSITIES = np.geomspace(1, 0.02, 8)


@pytest.fixture(scope="module")
def result():
    """Five equal features in two dimensions, from dense to sparse."""
    task = sp.tasks.Toy(n_features=5, n_hidden=2)
    grid = sp.Grid(feature_probability=DENSITIES, seed=range(3))
    return sp.sweep(task, sp.TrainConfig(steps=2_000, batch_size=512), grid, block_size=12)


@pytest.fixture(scope="module")
def page_path(result, tmp_path_factory):
    return result.explore(tmp_path_factory.mktemp("story") / "page.html")


def sentence(page):
    page.wait_for_timeout(80)
    return page.locator(".story-sentence").inner_text()


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_timeout(80)


def test_the_story_comes_first_and_leads_to_ones_own_training(opened, result):
    page, best = opened.page, result.best("seed")
    names = best.geometry()["shape"].values
    assert re.search("irregular|shared", names[0])  # dense features of equal importance
    assert sentence(page).startswith("At density 1, 5 features fill 2 dimensions in no regular shape: they keep 0.")
    aside = page.locator(".story .note").inner_text()
    assert re.search(r"leave it to chance .* These 3 starts differ by (less than )?[\d.]+ % in loss", aside)
    press(page, "Next")
    page.wait_for_function("() => location.hash.includes('story=2')")
    slider = page.get_by_role("slider", name="density of the story")
    slider.focus()
    page.keyboard.press("Home")
    assert sentence(page).startswith("At density 1, ") and page.locator(".shape-name").inner_text() == names[0]
    page.keyboard.press("End")
    assert names[-1] == "pentagon"
    assert sentence(page) == "At density 0.02, 5 features share 2 dimensions as a pentagon: each keeps 0.40 of one."
    press(page, "Next")
    assert sentence(page).startswith("Feature 0 is on. On the 4 silent ones lies interference of ")
    assert page.locator(".player .sum").is_visible() and not page.locator(".map").is_visible()
    press(page, "Next")
    page.wait_for_function(
        "() => /^Step 3,000 of 3,000: 5 features share 2 dimensions as/.test(document.querySelector('.story-sentence').textContent)",
        timeout=20_000,
    )
    press(page, "Explore the whole sweep")
    assert page.locator(".map").is_visible() and page.locator(".story").count() == 0
    press(page, "Story")
    assert (
        page.locator(".big-question")
        .inner_text()
        .startswith("Five features, two dimensions, all of them there all the time")
    )
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    assert page.locator(".map").is_visible() and "story=0" in page.url


def test_a_link_holds_the_place_in_the_story(running, page_path):
    opened = Opened(running, page_path, link="#story=3&on=1:0.5,4:1&cell=23", reduced_motion="reduce")
    assert sentence(opened.page).startswith("Features 1 and 4 are on. On the 3 silent ones lies")
    assert opened.page.locator("[aria-current=step]").inner_text() == "3 why"
    press(opened.page, "2 sparser")
    press(opened.page, "Make them rarer")  # at once, where motion is not wanted
    assert sentence(opened.page).startswith("At density 0.02, ")
    assert opened.is_quiet(), opened.complaints
    opened.close()


def test_without_densities_the_story_says_so_and_begins_with_why(running, result, tmp_path):
    path = result.sel(feature_probability=DENSITIES[-1], method="nearest").explore(tmp_path / "one.html")
    opened = Opened(running, path)
    assert sentence(opened.page).startswith("Feature 0 is on.")
    assert (
        opened.page.locator(".story .note")
        .inner_text()
        .startswith("This sweep has a single density, so the story begins with why.")
    )
    assert opened.page.get_by_role("button", name="1 dense").is_disabled()
    opened.close()


def twin(W, b, x):
    """One input through the model in NumPy: h, the output, and what every feature gets from the others."""
    h = W @ x
    read = W.T @ h
    return h, np.maximum(read + b, 0), read - (W**2).sum(0) * x


def test_the_input_player_computes_what_numpy_computes(running, page_path, result):
    cells = pack(result)["cells"]
    W, b = (decoded(cells[name]).astype(np.float32).astype(float)[22] for name in ("W", "b"))
    opened = Opened(running, page_path, link="#story=0&cell=22")
    page = opened.page
    press(page, "All off")
    assert page.locator(".player .sentence").inner_text() == "Every feature is off. Switch one on."
    page.get_by_role("checkbox", name="feature 3 on").check()
    page.get_by_role("slider", name="magnitude of feature 1").focus()
    page.keyboard.press("End")
    for _ in range(7):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(80)
    h, output, interference = twin(W, b, np.array([0, 0.65, 0, 1, 0]))
    np.testing.assert_allclose(json.loads(page.locator("[data-h]").get_attribute("data-h")), h, rtol=1e-6)
    for column, numbers in ((".back", output), (".from", interference)):
        values = page.locator(f".player {column}").evaluate_all("cells => cells.map((c) => Number(c.dataset.value))")
        np.testing.assert_allclose(values, numbers, rtol=1e-6)
    silent = [0, 2, 4]
    before, after = np.abs(interference[silent]).sum(), output[silent].sum()
    said = [float(number) for number in re.findall(r"\d+\.\d\d", page.locator(".player .sentence").inner_text())]
    np.testing.assert_allclose([said[0], said[-1]], [before, after], atol=0.0051)
    assert "on=1%3A0.65%2C3%3A1" in page.evaluate("new Promise((done) => setTimeout(() => done(location.hash), 300))")
    opened.close()


TIPS = """() => Object.fromEntries([...document.querySelectorAll('.picture .arrow circle')].map((tip) =>
  [tip.getAttribute('fill'), [Number(tip.getAttribute('cx')), Number(tip.getAttribute('cy'))]]))"""
LONG = 46 / 1.3  # half a unit in the picture, whatever its scale


def jumps(before, after):
    """Angles in degrees between the places of one colour, of arrows that are long in both pictures."""
    for color, a in before.items():
        a, b = np.array(a), np.array(after[color])
        if min(np.linalg.norm(a), np.linalg.norm(b)) > LONG:
            yield np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))


def test_neighbours_of_one_phase_glide(running, page_path):
    """Along the densities of every seed and across the seeds: no feature of a shape jumps by more than 30 degrees."""
    opened = Opened(running, page_path, link="#story=0&cell=23", reduced_motion="reduce")
    page, compared = opened.page, 0
    page.locator(".map").focus()
    shown = page.locator(".shape-name").inner_text(), page.evaluate(TIPS)
    for key in [*["ArrowLeft"] * 7, "ArrowDown", *["ArrowRight"] * 7, "ArrowDown", *["ArrowLeft"] * 7]:
        page.keyboard.press(key)
        page.wait_for_timeout(50)
        next_shown = page.locator(".shape-name").inner_text(), page.evaluate(TIPS)
        if shown[0] == next_shown[0] and "irregular" not in shown[0]:
            angles = list(jumps(shown[1], next_shown[1]))
            compared += len(angles)
            assert max(angles) < 30, (key, shown[0])
        shown = next_shown
    assert compared > 40
    # The picture is turned; what it is made of is not.
    cell = int(
        re.search(r"cell=(\d+)", page.evaluate("new Promise((done) => setTimeout(() => done(location.hash), 300))"))[1]
    )
    shares = [float(text) for text in page.locator(".bars td:last-child").all_inner_texts()]
    np.testing.assert_allclose(shares, result_shares(page_path, cell), atol=0.0051)
    opened.close()


def result_shares(page_path, cell):
    data = json.loads(re.search(r'id="data">(.*)</script>', page_path.read_text())[1])
    return decoded(data["cells"]["dimensionality"])[cell]


TRAINED = """
import { readFileSync } from "node:fs";
const page = process.argv[2];
const { Trainer, normalFrom, randomFrom } = await import(page + "toy.js");
const { measure } = await import(page + "measure.js");
const { openNaming } = await import(page + "shapes.js");
const { nameOfModel } = await import(page + "components.js");
const { createAligner } = await import(page + "align.js");
const { naming, sizes, densities, seeds, steps } = JSON.parse(readFileSync(0, "utf8"));
const opened = openNaming(naming);
const normal = normalFrom(randomFrom(7));
const named = (W, m, n) => ({ W: [...W], ...nameOfModel(measure(W, m, n), n, opened) });
const models = [];
for (const [n, m] of sizes) {
  for (const decay of [1, 0.85]) {
    for (let seed = 0; seed < seeds; seed++) {
      const place = createAligner(Array(n).fill(0));
      for (const [k, p] of densities.entries()) {
        const trainer = new Trainer({ n, m, p, decay, steps, batch: 128, lr: 0.02 }, 1000 * n + seed);
        while (!trainer.done) trainer.step();
        const shaken = [0.05, 0.15, 0.3].map((noise) => named(trainer.W.map((w) => w + noise * normal()), m, n));
        const { at, slot } = place({ W: trainer.W, m, n }, k);
        models.push({ n, m, decay, seed, k, ...named(trainer.W, m, n), shaken, at: [...at], slot: [...slot] });
      }
    }
  }
}
console.log(JSON.stringify(models));
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """576 models trained by the page's own trainer, with the names and places that it gives them."""
    script = tmp_path_factory.mktemp("trained") / "trained.mjs"
    script.write_text(TRAINED)
    sizes = [[3, 2], [5, 2], [6, 2], [4, 3], [6, 3], [7, 3], [8, 3], [12, 3]]
    settings = {
        "naming": naming(),
        "sizes": sizes,
        "densities": np.geomspace(1, 0.02, 12).tolist(),
        "seeds": 3,
        "steps": 500,
    }
    done = node(str(script), PAGE.as_uri() + "/", input=json.dumps(settings))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("shaken", [False, True])
def test_the_page_names_what_it_trained_as_the_library_does(trained, shaken):
    """And the same with noise in the weights, near every limit that a name has."""
    assert len(trained) == 576
    differing = []
    for model in trained:
        for named in model["shaken"] if shaken else [model]:
            known = sp.geometry(np.reshape(named["W"], (model["m"], model["n"])))
            if known.name != named["name"] or abs(known.residual - named["residual"]) > 1e-5:
                differing.append((model["n"], model["m"], known.name, named["name"]))
    assert differing == [] and len({model["name"] for model in trained}) > 25


@pytest.mark.slow
def test_what_the_page_trained_glides_in_space_too(trained):
    """Equal features along the densities of one seed, from sparse shapes to dense ones."""
    compared = 0
    for before, after in itertools.pairwise(trained):
        same = all(before[key] == after[key] for key in ("n", "m", "decay", "seed", "name"))
        if not same or after["decay"] != 1 or "irregular" in after["name"] or "shared" in after["name"]:
            continue
        n, m = after["n"], after["m"]
        places = [np.reshape(model["at"], (m, n))[:, np.argsort(model["slot"])] for model in (before, after)]
        lengths = [np.linalg.norm(at, axis=0) for at in places]
        long = (lengths[0] > 0.5) & (lengths[1] > 0.5)
        cosines = (places[0] * places[1]).sum(0)[long] / (lengths[0] * lengths[1])[long]
        compared += int(long.sum())
        assert cosines.min() > np.cos(np.radians(30)), (n, m, after["name"], after["k"])
        # What is turned has the same inner products.
        W = np.reshape(after["W"], (m, n))
        np.testing.assert_allclose(
            np.reshape(after["at"], (m, n)).T @ np.reshape(after["at"], (m, n)), W.T @ W, atol=1e-9
        )
    assert compared > 300


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_explorer(running, page_path, scheme):
    """Every step of the story, the sweep and the training, with what opens on demand."""
    opened = Opened(
        running, page_path, color_scheme=scheme, reduced_motion="reduce", viewport={"width": 1_024, "height": 800}
    )
    page = opened.page
    for button in ("1 dense", "2 sparser", "3 why", "4 your turn", "Explore the whole sweep", "Train here"):
        page.get_by_role("tab" if button == "Train here" else "button", name=button, exact=True).click()
        if button.startswith("Explore"):
            for summary in page.locator("summary").all():
                summary.click()
            page.get_by_role("button", name="residual").focus()
        page.wait_for_timeout(150)
        assert opened.violations() == [], button
        assert opened.unclear_controls() == [] and opened.small_controls() == [], button
    opened.close()


def test_numbers_explain_themselves_and_can_be_reached_by_keyboard(running, page_path, result):
    opened = Opened(running, page_path, link="#story=0&cell=23", viewport={"width": 1_440, "height": 900})
    page = opened.page
    word = page.get_by_role("button", name="residual")
    word.focus()
    tip = page.locator(f"#{word.get_attribute('aria-describedby')}")
    assert tip.is_visible() and "‖C − C*‖" in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.locator(".heat").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(60)
    W = decoded(pack(result)["cells"]["W"])[23]
    assert (
        page.locator(".numbers [role=status]").inner_text()
        == f"feature 1 · feature 1 = {float(f'{(W.T @ W)[1, 1]:.2g}'):g}"
    )
    page.locator("summary", has_text="in numbers").click()
    page.wait_for_selector(".gram td")  # filled once it is open
    values = [float(text.replace("−", "-")) for text in page.locator(".gram td").all_inner_texts()]
    np.testing.assert_allclose(np.reshape(values, (5, 5)), W.T @ W, atol=0.0051)
    opened.close()


@pytest.mark.parametrize("width", [390, 1_024, 1_440])
def test_text_of_twice_the_size_still_fits(running, page_path, width):
    for link in ("#story=0&cell=23", "#story=2&cell=23", "#story=3&cell=23"):
        opened = Opened(running, page_path, link=link, viewport={"width": width, "height": 900})
        before = opened.page.locator(".sx h2").first.evaluate("(h) => parseFloat(getComputedStyle(h).fontSize)")
        opened.page.evaluate(
            "() => { document.documentElement.style.fontSize = '200%'; dispatchEvent(new Event('resize')); }"
        )
        opened.page.wait_for_timeout(60)
        assert (
            opened.page.locator(".sx h2").first.evaluate("(h) => parseFloat(getComputedStyle(h).fontSize)")
            >= 1.5 * before
        )
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width, link
        assert opened.is_quiet(), opened.complaints
        opened.close()


def test_training_pauses_and_goes_step_by_step(running, page_path):
    opened = Opened(running, page_path, link="#story=0&mode=live&pace=slow")
    page = opened.page
    press(page, "Pause")
    press(page, "One step")
    page.wait_for_function(
        "() => /^Paused: step \\d+ /.test(document.querySelector('.from [role=status]').textContent)"
    )
    steps = []
    for _ in range(2):
        page.wait_for_timeout(150)
        steps.append(
            int(re.search(r"step ([\d,]+)", page.locator(".from [role=status]").inner_text())[1].replace(",", ""))
        )
        press(page, "One step")
    assert steps[1] == steps[0] + 1
    press(page, "Go on")
    page.get_by_role("combobox", name="pace of training").select_option("full")
    page.wait_for_function(
        "() => document.querySelector('.from [role=status]').textContent.startsWith('Trained: step 3,000')",
        timeout=20_000,
    )
    assert page.get_by_role("button", name="Pause").is_disabled()
    opened.close()
