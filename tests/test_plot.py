"""Every plot is drawn, and asserted on what it contains."""

import json
import runpy
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from papers import wrong_with

import superpos as sp
from superpos.config import to_dict
from superpos.experiments import publishing
from superpos.experiments.five_features import draw
from superpos.plot import paper
from superpos.theory.polytopes import polygon

ROOT = Path(__file__).parents[1]


def test_feature_directions_draw_one_line_per_feature():
    ax = sp.plot.feature_directions(polygon(5).T)
    assert len(ax.lines) == 1 + 2 * 5  # circle; line and dot of every feature
    ends = np.array([line.get_data() for line in ax.lines[1::2]])[:, :, 1]
    np.testing.assert_allclose(ends, polygon(5))


@pytest.mark.slow
def test_directions_are_drawn_from_models_runs_and_results(quick_result):
    cell = quick_result.sel(feature_probability=0.05).best("seed")
    for source in (cell, cell.model(), cell.model().W):
        _, ax = plt.subplots()
        assert sp.plot.feature_directions(source, ax) is ax
    run = sp.train(sp.tasks.Toy(n_features=3, n_hidden=2), sp.TrainConfig(steps=2, batch_size=4, evaluation_samples=4))
    sp.plot.feature_directions(run)


@pytest.mark.slow
def test_plots_do_not_touch_what_they_draw(quick_result):
    W = np.asarray(quick_result["W"].values[0, 0])
    before = W.copy()
    sp.plot.gram(W)
    sp.plot.feature_norms(np.linalg.norm(W, axis=0), np.zeros(5))
    assert np.array_equal(W, before)


def test_gram_shows_the_gram_matrix():
    image = sp.plot.gram(np.eye(3)[:2]).images[0]
    np.testing.assert_array_equal(image.get_array(), np.diag([1, 1, 0]))
    assert image.get_clim() == (-1, 1)


def test_norm_bars_are_black_without_and_orange_with_interference():
    ax = sp.plot.feature_norms([1.0, 0.5], [0.0, 2.0])
    assert [bar.get_width() for bar in ax.patches] == [1.0, 0.5]
    assert [tuple(np.round(bar.get_facecolor(), 2)) for bar in ax.patches] == [(0, 0, 0, 1), (0.9, 0.62, 0, 1)]


def test_shares_add_up_to_one(quick_result):
    shapes = quick_result.geometry()["shape"]
    ax = sp.plot.shape_shares(shapes)
    tops = np.array([[bar.get_y() + bar.get_height() for bar in c] for c in ax.containers])
    np.testing.assert_allclose(tops.max(axis=0), 1)
    assert len(ax.containers) == len(np.unique(shapes))
    assert ax.get_xlabel() == "1 / (1 − S)"


def test_dimensionality_plot_has_a_dot_per_feature_and_the_named_lines(quick_result):
    table = quick_result.geometry()
    ax = sp.plot.dimensionality(table["dimensionality"])
    assert len(ax.lines[0].get_xdata()) == table["dimensionality"].size
    assert {t.get_text() for t in ax.texts} >= {"pentagon", "antipodal pair", "triangle"}
    assert sp.plot.d_star(table["d_star"].isel(seed=0)).get_ylabel().startswith("$D^*")


def test_loss_curves_of_runs_and_results(quick_result):
    assert len(sp.plot.loss_history(quick_result).lines) == 12
    run = sp.train(sp.tasks.Toy(n_features=3, n_hidden=2), sp.TrainConfig(steps=5, batch_size=4, evaluation_samples=4))
    _, ax = plt.subplots()
    assert sp.plot.loss_history(run, ax).lines[0].get_xdata().tolist() == [1, 2, 3, 4, 5]


def test_captions_come_from_the_configuration(quick_result):
    text = sp.plot.caption(quick_result.attrs, "Title.")
    for words in (
        "Title.",
        "5 features in 2 hidden dimensions",
        "importance 0.9^i",
        "1,500 steps",
        "batch 512",
        "ReLU",
    ):
        assert words in text
    assert "feature probability swept" in text and "weight decay" not in text and "warm-up" not in text
    trained = quick_result.attrs["train"] | {"weight_decay": 0.1, "warmup_steps": 1_000}
    assert "(cosine, warm-up of 1,000 steps), weight decay 0.1, " in sp.plot.caption(
        {**quick_result.attrs, "train": trained}
    )
    axes = [{"field": f} for f in ("steps", "optimizer", "n_hidden", "loss_exponent")]
    swept = sp.plot.caption({**quick_result.attrs, "grid": {"axes": axes}})
    for words in (
        "5 features; number of hidden dimensions swept; ",
        "steps swept of optimizer swept",
        "loss exponent swept",
    ):
        assert words in swept
    tokens = {"kind": "repeated_tokens", "d_vocab": 64, "n_layers": 2, "shortest_period": 16, "longest_period": 32}
    for field, words in (
        ("steps", "; periods 16 to 32;"),
        ("shortest_period", "; shortest period swept; longest period 32;"),
    ):
        axes = [{"field": field}]
        said = sp.plot.caption({**quick_result.attrs, "task": tokens, "grid": {"axes": axes}})
        assert said.startswith("64 tokens; 2 layers; ") and words in said.replace(".", ";", 1)


TOY: dict[str, Any] = {"n_features": 5, "n_hidden": 2}
CAPTIONS = [
    (sp.tasks.Toy(**TOY, importance=0.9 ** np.arange(5), objective="expected", order=32), ("feature_probability",),
     "5 features in 2 hidden dimensions; ReLU output; importance 0.9^i; feature probability swept; "
     "steps by objective of AdamW, learning rate by objective (cosine), expected loss (order 32), no sampling"),
    (sp.tasks.Toy(**TOY, bias=False, init_scale=0.5, hidden_l1=0.1, correlated_sets=((0, 1), (2, 3))), ("objective", "n_hidden"),
     "5 features; number of hidden dimensions swept; ReLU output; importance 1; feature probability 1; initial weights × 0.5; "
     "hidden L1 penalty 0.1; no bias; 2 correlated sets of 2; "
     "steps by objective of AdamW, learning rate by objective (cosine), batch 1,024, objective swept"),
    (sp.tasks.AdversarialToy(**TOY), ("n_features",),
     "number of features swept; 2 hidden dimensions; ReLU output; importance 1; feature probability 1; "
     "attack norm relative to the inputs' 0.1; "
     "steps by objective of AdamW, learning rate by objective (cosine), batch 1,024"),
    (sp.tasks.Computation(**TOY, target="absolute", tied=False, magnitude="signed_uniform"), ("optimizer", "steps"),
     "5 features in 2 hidden dimensions; ReLU hidden layer; importance 1; feature probability 1; target |x|; "
     "untied weights; magnitude uniform on [−1, 1]; "
     "steps swept of optimizer swept, learning rate by objective (cosine), batch 1,024"),
    (sp.tasks.BooleanPairs(**TOY, operation="or"), ("batch_size",),
     "5 features in 2 hidden dimensions; feature probability 0.5; operation or; "
     "steps by objective of AdamW, learning rate by objective (cosine), batch size swept"),
    (sp.tasks.DoubleDescent(**TOY, most_points=9), ("n_points",),
     "5 features in 2 hidden dimensions; feature probability 0.01; number of points swept; "
     "steps by objective of AdamW, learning rate by objective (cosine), full batch of at most 9 points"),
    (sp.tasks.ModularAddition(p=7), (),
     "modulo 7; 4 heads; d_model 128; d_mlp 512; steps by objective of AdamW, learning rate by objective (cosine), full batch"),
    (sp.tasks.RepeatedTokens(n_layers=1, n_heads=1, shortest_period=24, longest_period=24, d_mlp=8), (),
     "64 tokens; 64 positions; 1 layer; 1 head; d_model 64; period 24; d_mlp 8; "
     "steps by objective of AdamW, learning rate by objective (cosine), batch 1,024"),
    (sp.tasks.ListFunction(n_heads=2, d_mlp=8), ("held_out",),
     "lists of 5; 16 tokens; 1 layer; 2 heads; d_model 32; function maximum; d_mlp 8; held out swept; "
     "steps by objective of AdamW, learning rate by objective (cosine), batch 1,024"),
    (sp.tasks.SkipTrigrams(), ("n_groups",),
     "8 sources; 8 destinations; 5 tokens before; 2 heads; d_head 8; d_model 32; number of groups swept; "
     "steps by objective of AdamW, learning rate by objective (cosine), batch 1,024"),
    (sp.tasks.InContextRegression(n_layers=2), ("n_examples",),
     "inputs of 5 dimensions; 2 layers; 1 head; attention linear; number of examples swept; "
     "steps by objective of AdamW, learning rate by objective (cosine), batch 1,024"),
    (sp.tasks.Toy(n_features=1, n_hidden=1, anticorrelated_sets=((0,),)), (),
     "1 feature in 1 hidden dimension; ReLU output; importance 1; feature probability 1; 1 anticorrelated set of 1; "
     "steps by objective of AdamW, learning rate by objective (cosine), batch 1,024"),
    (sp.tasks.SparseAutoencoder(**TOY, n_latents=4, parents=(-1, 0, 0, -1, -1), exclusive_children=True), ("k",),
     "5 features in 2 hidden dimensions; 4 latents; feature probability 0.05; k swept; "
     "2 features active only with their parent, one at a time; random directions; "
     "steps by objective of AdamW, learning rate by objective (cosine), batch 1,024"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "swept", "text"), CAPTIONS, ids=lambda part: type(part).__name__)
def test_every_task_says_itself_in_words(task, swept, text):
    axes = [{"field": field} for field in swept]
    attrs = {"task": to_dict(task), "train": to_dict(sp.TrainConfig()), "grid": {"axes": axes}}
    attrs |= {"superpos": "0.2", "versions": {"jax": "1"}}
    assert sp.plot.caption(attrs) == f"{text}. Made with superpos 0.2, JAX 1."
    foreign = {**attrs, "task": {"kind": "nowhere.Class", "width": 3, "tied": False}}  # its class is not here
    assert sp.plot.caption(foreign).startswith("width 3; untied weights; ")


def test_figure_of_five_features(quick_result, tmp_path):
    figure, caption = draw(quick_result, quick_result.geometry())
    assert "best of 4 seeds" in caption
    assert figure.axes[0].get_title() == "1 − S = 1"
    assert figure.axes[4].get_xlabel() == "pentagon"
    files = sp.plot.save(figure, caption, path=tmp_path / "f")
    again = sp.plot.save(figure, caption, path=tmp_path / "g")
    assert [f.suffix for f in files] == [".svg", ".png", ".txt"]
    assert [f.name for f in sp.plot.save(figure, path=tmp_path / "p_0.05")] == ["p_0.05.svg", "p_0.05.png"]
    assert files[0].read_bytes() == again[0].read_bytes()  # nothing in the file depends on the clock


SCRIPTS = sorted(p.name for p in (ROOT / "figures").glob("*.py") if p.stem != "all")


AT_EVERY_WIDTH = ("bag_of_words.py", "hedging.py", "neuron_circuits.py")  # others in a column only, which is harder


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_figure_script_draws_its_figure(script, tmp_path, monkeypatch):
    """The quick form: small and trained too little, so its claims are measured and not judged.

    In a column it is no higher than a page, with letters of eight points, none of them cut or on others.
    """
    wrong = []

    def fit(figure, width):
        paper.fit(figure, width)
        wrong.extend(f"{width}: {what}" for what in wrong_with(figure))

    monkeypatch.setattr(publishing, "fit", fit)
    main = runpy.run_path(str(ROOT / "figures" / script))["main"]
    for width in (None, "text", "column") if script in AT_EVERY_WIDTH else ("column",):
        main(quick=True, results=tmp_path / "results", out=tmp_path / "out", width=width)
        name = f"{script.removesuffix('.py')}_quick{'_' if width else ''}{width or ''}"
        files = {path.name for path in (tmp_path / "out").iterdir()}
        assert {f"{name}{s}" for s in (".svg", ".png", ".txt", ".json")} <= files
        claims = json.loads((tmp_path / "out" / f"{name}.json").read_text())["claims"]
        verdicts = {claim["verdict"] for claim in claims} - {
            "identity"
        }  # a theorem is checked at every size, and must hold
        assert claims and verdicts == {"not judged"}
    assert not wrong, "; ".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(p.name for p in (ROOT / "sweeps").glob("*.py")))
def test_every_sweep_script_saves_its_result(script, tmp_path):
    runpy.run_path(str(ROOT / "sweeps" / script))["main"](quick=True, out=tmp_path / "r.zarr")
    assert max(sp.open(tmp_path / "r.zarr").sizes.values()) > 1
