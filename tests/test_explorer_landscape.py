"""The panel of the explorer that shows the minima of a model's density: what is packed, and the page in a browser."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from browser import Opened

import superpos as sp
from superpos.cli import main
from superpos.explorer import pack
from superpos.landscapes.bottoms import loss_of
from superpos.landscapes.problem import problem_of

pytestmark = pytest.mark.slow

DENSITIES = np.array([0.3, 0.05])
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def planted(quick_result):
    """A table of what could be minima: at .3 one that two seeds are at but for a rotation, and at .05 that and another."""
    task = sp.tasks.Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5), objective="sampled")
    turn = np.linalg.qr(RNG.normal(size=(2, 2)))[0]
    models = [quick_result.dataset.isel(feature_probability=k, seed=seed) for k, seed in ((1, 0), (2, 1), (2, 0))]
    W = [turn @ one["W"].transpose("hidden", "feature").values for one in models]
    W[2] = W[2] * 0.5
    b = [one["b"].values for one in models]
    problems = [problem_of(replace(task, feature_probability=p)) for p in DENSITIES]
    loss = [loss_of(problems[k], problems[k].flat(W[j], b[j])) for j, k in enumerate((0, 1, 1))]
    place = [(0, 0), (1, 1), (1, 0)]  # (density, minimum): at .05 the lower one has the higher number

    def over(values, blank, inner=()):
        full = np.full((2, 2, *np.shape(values[0])), blank, None if blank != "" else "<U30")
        for where, value in zip(place, values, strict=True):
            full[where] = value
        return ("feature_probability", "minimum", *inner), full

    columns = {
        "loss": over(loss, np.nan),
        "name": over(["2 × antipodal pair", "pentagon", "irregular"], ""),
        "label": over(["2 × antipodal pair + 1 dead", "pentagon", "irregular (a)"], ""),
        "share": over([0.75, 0.996, 0.004], np.nan),
        "learning_coefficient": over([7.0, 7.0, np.nan], np.nan),
        "flags": over(["", "", "kink"], ""),
        "W": over(W, np.nan, ("hidden", "feature")),
        "b": over(b, np.nan, ("feature",)),
    }
    return xr.Dataset(columns, {"feature_probability": DENSITIES, "minimum": [0, 1]}, {"starts": 256})


def test_every_model_is_given_the_minima_of_its_density_and_where_it_ended(quick_result, planted):
    """By (G, b) up to rotation: nothing at density 1; at .05 the lowest comes first whatever its number was."""
    data = pack(quick_result, planted)["landscape"]
    assert data["row"] == [-1] * 4 + [0] * 4 + [1] * 4 and data["starts"] == 256
    rows = data["rows"]
    assert [[one["name"] for one in row] for row in rows] == [
        ["2 × antipodal pair + 1 dead"],
        ["pentagon", "irregular (a)"],
    ]
    assert rows[1][0]["loss"] < rows[1][1]["loss"] and rows[1][1]["coefficient"] is None
    ended = np.array(data["ended"]).reshape(3, 4)
    assert (ended[0] == -1).all() and ended[1, 0] == 0 and ended[2, 1] == 0
    one = quick_result["W"].transpose("feature_probability", "seed", "feature", "hidden").values
    gram = one @ np.swapaxes(one, -1, -2)
    for seed in range(4):  # an independent look at whether a model is like the first one, by its Gram matrix
        alike = np.abs(gram[1, seed] - gram[1, 0]).max() < 0.1
        assert (ended[1, seed] == 0) == alike
    assert pack(quick_result)["landscape"] is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda table: table.values, "^landscape must be a table of sp.landscape, got"),
        (lambda table: table.drop_vars("share"), "^landscape must be a table of sp.landscape, got"),
        (lambda table: table.isel(feature_probability=0, drop=True), "^landscape must be over numbers feature_prob"),
        (lambda table: table.assign_coords(feature_probability=[0.4, 0.06]), "^landscape must be at densities of the"),
        (lambda table: table.assign(loss=1.1 * table["loss"]), "^landscape must be of the sweep's own task"),
        (lambda table: table.isel(hidden=[0]), "^landscape must be of models"),
    ],
)
def test_another_landscape_is_refused_in_one_sentence(quick_result, planted, tmp_path, change, sentence):
    with pytest.raises(sp.ConfigError, match=sentence) as refused:
        quick_result.explore(tmp_path / "page.html", landscape=change(planted))
    assert str(refused.value).count(". ") == 0 and not list(tmp_path.iterdir())


def test_other_models_and_other_axes_have_no_landscape(quick_result, planted, tmp_path, unchecked):
    foreign = np.eye(2, 5)
    with pytest.raises(sp.ConfigError, match="^landscape is for toy models"):
        sp.explorer.explore(foreign, tmp_path / "page.html", landscape=planted)
    dataset = quick_result.dataset.rename(seed="learning_rate")
    dataset.attrs = {**dataset.attrs, "grid": {**dataset.attrs["grid"]}}
    axes = [axis | {"name": axis["name"].replace("seed", "learning_rate")} for axis in dataset.attrs["grid"]["axes"]]
    dataset.attrs["grid"]["axes"] = axes
    with pytest.raises(sp.ConfigError, match="^landscape is shown beside a sweep over feature_probability and seed"):
        pack(sp.SweepResult(dataset), planted)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a small sweep: one feature active at a time, so that there is no series to compile."""
    task = sp.tasks.Toy(n_features=3, n_hidden=1, anticorrelated_sets=((0, 1, 2),), objective="expected")
    grid = sp.Grid(feature_probability=[0.3, 0.1], seed=range(4))
    folder = tmp_path_factory.mktemp("small")
    sp.sweep(task, sp.TrainConfig(), grid, store=folder / "small.zarr", progress=False)
    return folder


@pytest.fixture
def command(monkeypatch, small):
    """`superpos explore`, as a user types it."""
    monkeypatch.chdir(small)

    def called(*options):
        monkeypatch.setattr("sys.argv", ["superpos", "explore", "small.zarr", "-o", "page.html", *options])
        main()

    return called


def test_the_command_finds_the_landscape_once_and_puts_it_into_the_page(command, small, monkeypatch):
    command("--landscape", "0.08", "0.11", "0.9", "--starts", "16")
    packed = (small / "page.html").read_text().split('"landscape":')[1]
    packed, _ = json.JSONDecoder().raw_decode(packed)
    assert (
        packed["starts"] == 16 and packed["row"] == [0] * 4 + [1] * 4
    )  # the nearest densities of the sweep, each once
    names = [[one["name"] for one in row] for row in packed["rows"]]
    assert names == [[f"antipodal pair + 1 constant ({letter})", "antipodal pair + 1 dead"] for letter in "ba"]
    assert packed["ended"] == [0] * 8  # whichever feature of the set has no place
    (kept,) = small.glob("small*.nc")
    before = kept.stat().st_mtime_ns
    command("--landscape", "0.08", "0.11", "0.9", "--starts", "16")
    assert kept.stat().st_mtime_ns == before  # it was read


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--landscape", "2"], "landscape must be above 0 and at most 1, got 2"),
        (["--landscape", "0"], "landscape must be above 0 and at most 1, got 0"),
        (["--landscape", "nan"], "landscape must be finite"),
        (["--landscape", "0.1", "--starts", "0"], "starts must be at least 1, got 0."),
        (["--starts", "16"], "starts is for a landscape: give its densities, too, as in --landscape 0.05."),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence_and_nothing_is_written(command, small, capsys, options, sentence):
    before = {*small.iterdir()}
    with pytest.raises(SystemExit) as end:
        command(*options)
    said = capsys.readouterr().err
    assert end.value.code != 0 and sentence in said and said.count("\n") == 1
    assert {*small.iterdir()} == before


@pytest.fixture(scope="module")
def page_path(quick_result, planted, tmp_path_factory):
    return quick_result.explore(tmp_path_factory.mktemp("page") / "page.html", landscape=planted)


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1_024, "light"), (1_440, "dark")])
def test_the_panel_marks_where_the_model_ended(running, page_path, width, theme):
    link = f"#story=0&cell=9&theme={theme}"  # density .05, seed 1
    opened = Opened(running, page_path, link=link, viewport={"width": width, "height": 900})
    panel = opened.page.locator(".landscape")
    assert panel.locator(".minimum b").all_inner_texts() == ["pentagon", "irregular (a)"]
    assert panel.locator(".minimum .mini line").count() == 10
    here = panel.locator(".minimum.here")
    assert here.count() == 1 and "this model ended here" in here.inner_text() and "λ = 7" in here.inner_text()
    assert "100 %" in here.inner_text() and "< 1 %" in panel.locator(".minimum").nth(1).inner_text()
    assert "λ unknown" in panel.inner_text() and "256 random starts" in panel.inner_text()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    for part in panel.locator(".minimum > div > *").all():
        box, card = part.bounding_box(), panel.bounding_box()
        assert box["x"] + box["width"] <= card["x"] + card["width"]
    opened.page.locator(".map").focus()
    opened.page.keyboard.press("ArrowLeft")
    opened.page.wait_for_timeout(60)
    assert panel.locator(".minimum b").all_inner_texts() == ["2 × antipodal pair + 1 dead"]
    opened.page.keyboard.press("ArrowLeft")
    opened.page.wait_for_timeout(60)
    assert panel.locator(".minimum").count() == 0 and "no minima of this density" in panel.inner_text()
    opened.page.get_by_role("tab", name="Train here").click()
    opened.page.wait_for_timeout(60)
    assert not panel.is_visible()
    assert opened.is_quiet(), opened.complaints
    opened.close()


def test_the_panel_is_hidden_in_the_story_and_while_a_prediction_is_asked_for(running, page_path):
    opened = Opened(running, page_path, viewport={"width": 1_440, "height": 900})
    assert not opened.page.locator(".landscape").is_visible()
    opened.close()
    opened = Opened(running, page_path, link="#story=0&cell=9&ask=true", viewport={"width": 1_440, "height": 900})
    opened.page.wait_for_selector(".cover .question")
    assert not opened.page.locator(".minima").is_visible()
    opened.close()
