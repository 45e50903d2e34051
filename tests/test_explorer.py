"""The explorer: what is packed, and the page in a real browser."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import Opened, browser

import superpos as sp
from superpos.explorer import encode, pack
from superpos.explorer.assemble import PAGE, bundle

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
    assert data["colors"]["shapes"]["pentagon"] == sp.plot.shape_color("pentagon")


def test_models_without_directions_are_refused_in_one_sentence(tmp_path, unchecked):
    task = sp.tasks.Computation(n_features=3, n_hidden=4)
    result = sp.sweep(
        task,
        sp.TrainConfig(steps=2, batch_size=4, evaluation_samples=4),
        sp.Grid(seed=[0]),
        block_size=1,
        progress=False,
    )
    if "W" not in result.dataset:
        with pytest.raises(sp.ConfigError, match="no W"):
            result.explore(tmp_path / "x.html")
    with pytest.raises(sp.ConfigError, match="SweepResult"):
        sp.explorer.explore("not a result", tmp_path / "x.html")


def test_pages_are_small_and_the_same_every_time(quick_result, tmp_path):
    path = quick_result.explore(tmp_path / "deep" / "page.html", title="a </script> & <b>title</b>")
    text = path.read_text()
    assert len(text) < 1e6
    assert text.count("</script>") == 2 and "<title>a &lt;/script&gt;" in text
    assert text == quick_result.explore(tmp_path / "again.html", title="a </script> & <b>title</b>").read_text()
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text


def test_modules_keep_the_rules_of_joining():
    """Joined, none of their imports or exports is left; the lint of `oxlint` finds nothing."""
    for entry in ("explorer.js", "widget.js"):
        joined = bundle(entry)
        assert not [line for line in joined.splitlines() if line.startswith(("import ", "export "))]
    done = subprocess.run(
        [Path(sys.executable).with_name("oxlint"), "-c", ROOT / "tests" / "js" / "oxlintrc.json", "--deny-warnings", PAGE, ROOT / "tests" / "js"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def running():
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def page_path(quick_result, tmp_path_factory):
    return quick_result.explore(tmp_path_factory.mktemp("page") / "page.html")


def test_a_page_opens_from_disk_and_asks_for_nothing(running, page_path):
    opened = Opened(running, page_path)
    assert opened.page.locator("h2").first.inner_text() == "pentagon"
    assert opened.page.locator(".picture .arrow").count() == 5
    assert opened.is_quiet(), (opened.complaints, opened.requests)
    opened.close()
