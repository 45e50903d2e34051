"""Claims about grokking and its pictures, on a made-up table that holds all of them and on ones that break each."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.grokking import other_frequencies
from superpos.experiments import Claims
from superpos.experiments.grokking import evaluate, panels


def made_up(**changed):
    step = np.array([0, 500, 2_000, 3_000, 4_000])
    curves = {
        "train_accuracy": [0, 1, 1, 1, 1],
        "test_accuracy": [0, 0.1, 0.2, 0.9, 1],
        "test_loss": [4, 8, 8, 1, 1e-6],
        "excluded_loss": [4, 0.1, 2, 5, 6],
        "other_excluded_loss": [4, 0.1, 0.1, 0.1, 0.1],
        "restricted_loss": [4, 4, 1, 0.5, 0.1],
        "squared_weights": [100, 120, 110, 60, 50],
        "restricted_accuracy": [0, 0.6, 1, 1, 1],
    }
    table = xr.Dataset({n: ("step", v) for n, v in (curves | changed.pop("curves", {})).items()}, {"step": step})
    energy = np.array([5, 0.1, 4, 0.1, 3, 0.1])
    table = table.assign(embedding_energy=("frequency", changed.pop("energy", energy)))
    table = table.assign(neuron_explained=("neuron", changed.pop("explained", [0.9, 0.95, 0.99, 0.5])))
    table = table.assign_coords(key=[2, 4]).assign(alone_removed=("key", changed.pop("alone", [0.1, 2])))
    table = table.assign(singular_values=("rank", changed.pop("singular", [9, 9, 5, 5, 0.5])))
    table.attrs = {"kept_loss": 1e-6, "full_loss": 1e-6, "kept_test_accuracy": 1.0, "removed_loss": 5.0, "p": 11}
    table.attrs["trig_explained"] = 0.97
    table.attrs |= {"phase_memorised": 500.0, "phase_circuit": 3_000.0, "phase_clean": 4_000.0} | changed
    return table.assign(grown=1.5)


CONTROL = made_up(curves={"test_accuracy": [0, 0.1, 0.1, 0.1, 0.1]})


def failed(table, control=CONTROL, seeds=None, full=False):
    claims = Claims("a paper")
    evaluate(table, control, claims, seeds, full=full)
    return [claim.statement for claim in claims.failed]


def test_everything_holds():
    assert failed(made_up()) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"curves": {"test_accuracy": [0, 0.6, 0.7, 0.9, 1]}}, "memorises"),
        ({"curves": {"test_accuracy": [0, 0.1, 0.2, 0.9, 0.99]}}, "in the end"),
        ({"energy": np.array([5, 1, 4, 1, 3, 1])}, "hold the embedding"),
        ({"explained": [0.9, 0.8, 0.8, 0.5]}, "one frequency"),
        ({"kept_test_accuracy": 0.9}, "alone answer"),
        ({"alone": [5e-6, 2]}, "any one"),
        ({"removed_loss": 2.0}, "worse than chance"),
        ({"curves": {"excluded_loss": [4, 0.1, 0.1, 0.1, 6]}}, "excluded"),
        ({"curves": {"other_excluded_loss": [4, 0.1, 1, 1, 1]}}, "excluded"),  # so would any frequencies
        ({"curves": {"restricted_loss": [4, 4, 4, 0.5, 0.1]}}, "phases"),  # no circuit before the test loss falls
        ({"curves": {"train_accuracy": [0, 0.9, 0.9, 1, 1]}}, "phases"),
        ({"trig_explained": 0.94}, "cos"),
        ({"curves": {"squared_weights": [100, 120, 110, 100, 100]}}, "weight norm"),
    ],
)
def test_each_claim_can_fail(change, what):
    assert any(what in statement for statement in failed(made_up(**change)))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, "few frequencies"),  # two keys
        ({"singular": [9, 9, 5, 5, 1]}, "two directions"),
        ({"kept_loss": 1.2e-6}, "all of it"),
        ({"curves": {"restricted_accuracy": [0, 0, 0.4, 1, 1]}}, "ahead"),
    ],
)
def test_claims_about_the_size_of_the_paper_are_judged_there(change, what):
    assert any(what in statement for statement in failed(made_up(**change), full=True))
    assert not failed(made_up(**change))


def test_weights_must_grow_without_decay():
    assert any("weight norm" in statement for statement in failed(made_up(), CONTROL.assign(grown=0.9)))


def test_other_frequencies_are_as_many_and_none_of_the_keys():
    for keys in ([2, 4], [1, 2, 3, 4]):
        found = other_frequencies(11, keys)
        assert (
            len(found) == min(len(keys), 5 - len(keys)) and not set(found) & set(keys) and set(found) <= {1, 2, 3, 4, 5}
        )


def test_a_control_that_generalises_is_no_control():
    assert any("weight decay" in statement for statement in failed(made_up(), made_up()))


def test_of_many_controls_none_may_generalise_and_the_seeds_are_counted():
    both = xr.concat([CONTROL, made_up()], xr.Variable("seed", [0, 1]))
    assert any("weight decay" in statement for statement in failed(made_up(), both))
    claims = Claims("a paper")
    evaluate(
        made_up(),
        CONTROL,
        claims,
        xr.Dataset({"single": ("seed", [0.75, 0.6]), "trig_explained": ("seed", [0.97, 0.9])}, {"seed": [0, 1]}),
    )
    said = {c.statement: c.measured for c in claims.claims}["neurons are of one frequency"]
    assert said == "75 %; 1 of 2 seeds: 75, 60 %" and not claims.failed


def test_curves_have_the_numbers_and_the_phases_their_stretches():
    table, control = made_up(), CONTROL["test_accuracy"]
    ax = sp.plot.progress_curves(table, plt.figure().gca(), of="accuracy", control=control)
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(drawn["test"], table["test_accuracy"])
    np.testing.assert_array_equal(drawn["test, no weight decay"], control)
    shades = {p.get_label(): (p.get_x(), p.get_x() + p.get_width()) for p in ax.patches}
    assert shades == {"memorisation": (0, 500), "circuit formation": (500, 3_000), "clean-up": (3_000, 4_000)}
    losses = sp.plot.progress_curves(table, plt.figure().gca())
    assert [line.get_label() for line in losses.lines] == [
        "test",
        "restricted",
        "excluded",
    ] and losses.get_yscale() == "log"


def test_a_phase_that_never_came_is_not_shaded():
    ax = sp.plot.progress_curves(made_up(phase_circuit=np.nan, phase_clean=np.nan), plt.figure().gca())
    assert [p.get_label() for p in ax.patches] == ["memorisation"]


def test_the_figure_shows_what_it_is_given():
    p, k = 11, 4
    angle = 2 * np.pi * k * np.arange(p) / p
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    logits = np.cos(np.add.outer(angle, angle))
    figure, text = panels(made_up(), CONTROL, (np.stack([1 + np.cos(angle)] * 2), [2, 4]), logits, (circle, k))
    bars, around = figure.axes[2].patches, figure.axes[5].lines[0].get_xydata()
    shares = made_up()["embedding_energy"].values[1:] / 7.3
    np.testing.assert_allclose([bar.get_height() for bar in bars], shares)
    assert [t.get_text() for t in figure.axes[2].texts] == ["2", "4"]
    np.testing.assert_allclose(np.linalg.norm(np.diff(around, axis=0), axis=1), 2 * np.sin(np.pi / p))  # neighbours
    np.testing.assert_allclose(figure.axes[4].images[0].get_array(), logits - logits.mean())
    assert "orange: key frequencies" in text
