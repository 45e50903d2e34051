"""What objects answer to the first thing that one types: a picture, a table, HTML in a notebook."""

import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos import extras
from superpos.plot.shape_colors import shape_color

PENTAGON = np.array([np.cos(2 * np.pi * np.arange(5) / 5), np.sin(2 * np.pi * np.arange(5) / 5)])


def svg(source):
    """The picture of a source, parsed: it must be well formed."""
    text = sp.plot.html(source)
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "") and len(text) < 60_000
    found = re.search("<svg.*</svg>", text, re.S)
    return None if found is None else ElementTree.fromstring(found[0])


def tags(image):
    return [element.tag.rpartition("}")[2] for element in image.iter()]


def test_geometry_answers_a_run_a_model_a_result_and_weights(quick_result):
    cell = quick_result.isel(feature_probability=-1, seed=0)
    names = {sp.geometry(given).name for given in (cell, cell.cell(), cell.model(), cell["W"].values)}
    assert names == {str(cell.geometry()["shape"].item())}
    table = sp.geometry(quick_result, represented_above=0.5)
    assert isinstance(table, xr.Dataset) and table.equals(quick_result.geometry())


def test_a_sweep_needs_no_configuration(monkeypatch):
    from superpos.sweeping import api

    seen = []
    monkeypatch.setattr(
        api, "lay_out", lambda task, config, grid, **_: seen.append((config, grid)) or pytest.skip.Exception
    )
    grid = sp.Grid(seed=range(2))
    for arguments in ((grid,), (sp.TrainConfig(), grid), (None, grid)):
        with pytest.raises((TypeError, AttributeError)):  # nothing was laid out
            sp.sweep(sp.tasks.Toy(n_features=2, n_hidden=1), *arguments, progress=False)
    assert [g is grid for _, g in seen] == [True] * 3 and len({str(config) for config, _ in seen}) == 1
    with pytest.raises(sp.ConfigError, match="^grid is missing"):
        sp.sweep(sp.tasks.Toy(n_features=2, n_hidden=1))


def test_runs_and_results_draw_what_suits_them(quick_result):
    cell = quick_result.isel(feature_probability=-1, seed=0)
    run = cell.cell()
    assert len(run.plot(plt.figure().gca()).lines) == 1 + 2 * 5  # the circle; a line and a dot per feature
    assert len(cell.plot(plt.figure().gca()).lines) == 1 + 2 * 5
    assert quick_result.plot(plt.figure().gca()).get_ylabel() == "share of seeds"
    assert sp.plot.overview(np.eye(3)).name == "3d"
    assert sp.plot.overview(np.eye(4), plt.figure().gca()).images
    for wrong in (3, None, "x", np.ones(3), np.ones((2, 2, 3))):
        with pytest.raises(sp.ConfigError, match=r"^source must be a run, a model, a result or a W \(n_hidden, n_feat"):
            sp.plot.overview(wrong)
    plain = sp.SweepResult(quick_result.dataset.drop_vars("W"))
    ax = plain.plot(plt.figure().gca())
    assert ax.get_xlabel() == "feature probability" and len(ax.lines[0].get_xdata()) == quick_result["loss"].size
    only_seeds = plain.isel(feature_probability=0).plot(plt.figure().gca())
    assert only_seeds.get_xlabel() == "step"


def test_notebooks_see_words_and_a_small_picture(quick_result):
    cell = quick_result.isel(feature_probability=-1, seed=0)
    for source in (cell, cell.cell(), cell.model(), sp.ToyModel(PENTAGON)):
        assert tags(svg(source)).count("line") == 5 and sp.plot.html(source) == source._repr_html_()
    assert tags(svg(sp.ToyModel(np.eye(4)))).count("rect") == 16
    assert svg(sp.ToyModel(np.ones((2, 100)))) is None
    band = [element for element in svg(quick_result).iter() if element.tag.endswith("rect")]
    best = quick_result.best("seed").geometry()["shape"].values
    assert sum(int(piece.get("width")) for piece in band) == len(best)
    assert band[0].get("fill") == shape_color(str(best[0])) and band[0][0].text == best[0]
    assert "SweepResult of 12" in sp.plot.html(quick_result)


def test_a_grid_shows_its_cells():
    assert tags(svg(sp.Grid(seed=range(3), init_scale=[0.1, 1.0]))).count("circle") == 6
    assert tags(svg(sp.Grid.zipped(seed=range(3), init_scale=[0.1, 0.5, 1.0]))).count("circle") == 3
    assert svg(sp.Grid(seed=range(10_000))) is None


def test_names_from_files_are_harmless_in_html(quick_result):
    renamed = sp.SweepResult(quick_result.dataset.assign_attrs(task=quick_result.attrs["task"] | {"kind": "<script>"}))
    assert "<script" not in sp.plot.html(renamed)


def test_missing_extras_name_the_command_of_this_copy(monkeypatch, tmp_path):
    clone = Path(__file__).parents[1]
    monkeypatch.setattr(extras, "__file__", str(clone / "superpos" / "extras.py"))  # as if it ran from there
    monkeypatch.chdir(clone)
    assert extras.install_command("widget") == "pip install -e '.[widget]'"
    monkeypatch.chdir(tmp_path)
    assert extras.install_command("widget") == f"pip install -e '{clone}[widget]'"
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "site-packages" / "superpos" / "extras.py"))
    assert extras.install_command("ray") == "pip install 'superpos[ray]'"
