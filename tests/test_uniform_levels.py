"""Levels of dimensionality: crossovers of theory, judges that can fail, and pictures."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.table import geometry_table
from superpos.experiments import Claims
from superpos.experiments.uniform_levels import (
    CROSSOVERS,
    LEVELS,
    benefit_curves,
    crossover,
    dimensionality_by_shape,
    evaluate_losses,
    evaluate_shapes,
    evaluate_three_fifths,
    named,
    winner_bands,
    winner_ranges,
)
from superpos.theory.uniform import benefits

P = 1 / np.array([1.2, 1.4, 3.0, 4.6, 5.6])  # where one shape of `LEVELS` after the other may win


@pytest.fixture(scope="module")
def known():
    return benefits(P, named(*LEVELS), order=16)


def perfect(known, swap=False):
    """A model at every density that is a sum of its best shape that fills 12 dimensions; their geometry."""
    Ws = np.zeros((len(P), 1, 12, 40))
    for k, name in enumerate(list(LEVELS)[::-1] if swap else LEVELS):
        shape, (s,) = named(name)[0], [x for x in known if x.shape.name == name]
        n, d = shape.vertices.shape
        for copy in range(12 // d):
            Ws[k, 0, copy * d : (copy + 1) * d, copy * n : (copy + 1) * n] = (
                np.sqrt(s.squared_norm[k]) * shape.vertices.T
            )
    over = {"feature_probability": P, "seed": [0]}
    return geometry_table(xr.DataArray(Ws, over, (*over, "hidden", "feature")), 12)


def test_at_a_crossover_both_shapes_gain_the_same(known):
    """Of two that lie where they were derived to be; the figure judges all five, and says which do not."""
    pair = ("triangle", "antipodal pair")
    p = crossover(*pair, (0.63, 0.66), order=16)
    assert p == pytest.approx(CROSSOVERS[pair], abs=1e-3)
    first, second = (s.benefit.item() for s in benefits([p], named(*pair), order=16))
    assert first == pytest.approx(second, rel=1e-4)


def test_shapes_are_counted_where_they_may_win(known):
    claims = Claims("")
    evaluate_shapes(perfect(known), known, claims)
    found = {c.statement.split(":")[0]: c.verdict for c in claims.claims if "found" in c.statement}
    assert found == dict.fromkeys(LEVELS, "pass")
    lines = [c for c in claims.claims if "gather" in c.statement]
    assert len(lines) == 5 and not claims.failed
    assert lines[0].measured == "16, beside it 0 and 0"
    wrong = Claims("")
    evaluate_shapes(perfect(known, swap=True), known, wrong)  # antiprisms when dense, tetrahedra when sparse
    assert {c.statement.split(":")[0] for c in wrong.failed if ": found" in c.statement} == {
        "tetrahedron",
        "triangle",
        "pentagon",
        "square antiprism",
    }


def test_losses_are_those_of_the_best_shape(known):
    n, m = 40, np.array([2, 3])
    best = np.max([s.benefit for s in known], axis=0)
    exact = (P / 3 - P**2 / 4)[None] * (n - m[:, None] * best) / n

    def judged(factor, represented=9):
        over = {"n_hidden": m, "feature_probability": P, "seed": [0]}
        result = xr.Dataset({"loss": (tuple(over), (exact * factor)[..., None])}, over)
        result.attrs["task"] = {"n_features": n}
        table = xr.Dataset({"n_represented": (tuple(over), np.full((*exact.shape, 1), represented))}, over)
        claims = Claims("")
        evaluate_losses(sp.SweepResult(result), table, known, claims)
        return [c.verdict for c in claims.claims]

    assert judged(1.01) == ["pass", "pass"]
    assert judged(1.06) == ["FAIL", "pass"] and judged(0.99) == ["FAIL", "pass"]
    assert judged(np.where(P < 0.2, 0.99, 1.0)) == ["pass", "pass"]  # larger shapes may win at the sparse end
    assert judged(np.array([[1.3], [1.0]])) == ["pass", "pass"]  # one m suffices
    assert judged(1.0, represented=40) == ["pass", "FAIL"]


def test_three_fifths_is_asked_of_even_dimensions_and_explained_in_three(known):
    """Twelve features of D = 3/5 in three dimensions that gain a little more than a triangle and a pair; none in two."""
    triangle, pair = (next(s.benefit for s in known if s.shape.name == name) for name in ("triangle", "antipodal pair"))
    over = {"n_hidden": [2, 3], "feature_probability": P, "seed": [0, 1]}

    def judged(even=0.5, more=0.01):
        D = np.full((2, len(P), 2, 12), 0.5)
        D[1, 1] = 0.601
        D[0, 1] = even
        gain = np.where(np.arange(len(P)) == 1, 2 * triangle + pair + more, 1.0)
        loss = np.broadcast_to(((P / 3 - P**2 / 4) * (12 - gain) / 12)[:, None], (2, len(P), 2))
        result = xr.Dataset({"loss": (tuple(over), loss)}, over)
        result.attrs["task"] = {"n_features": 12}
        table = xr.Dataset({"dimensionality": ((*over, "feature"), D), "d_star": (tuple(over), D[..., 0])}, over)
        claims = Claims("")
        evaluate_three_fifths(sp.SweepResult(result), [table], known, claims)
        return claims

    claims = judged()
    assert [c.verdict for c in claims.claims] == ["pass", "pass"]
    assert claims.claims[1].measured == "24, beside it 0 and 0, at 1/(1 − S) 1.40…1.40; 0.0100 to 0.0100 v more"
    assert [c.verdict for c in judged(even=0.599).claims] == ["FAIL", "pass"]
    assert [c.verdict for c in judged(more=-0.01).claims] == ["pass", "FAIL"]


def test_a_square_pyramid_beats_triangle_and_pair_where_they_are_equally_good():
    """Trained models have it too: five features in three dimensions gain 1.0570 v each at 1/(1 − S) = 1.55."""
    p = 1 / 1.55
    found, *others = (s.benefit[0] for s in benefits([p], named("square pyramid", "triangle", "antipodal pair")))
    assert found == pytest.approx(1.05699, abs=2e-5) and found > max(others) + 1e-3
    table = xr.Dataset({"crossover": ("pair", np.array(list(CROSSOVERS.values())))})
    ranges = winner_ranges(table, xr.Dataset({"range": ("end", [1.5, 1.56])}))
    assert ranges[1][1:] == (1.5, "triangle") and ranges[2] == (1.5, 1.56, "square pyramid")
    assert ranges[3][::2] == (1.56, "antipodal pair")


def test_ranges_of_winners_end_where_larger_structures_win():
    table = xr.Dataset({"crossover": ("pair", np.array(list(CROSSOVERS.values())))})
    found = winner_ranges(table)
    assert [name for *_, name in found] == list(LEVELS)
    assert [right for _, right, _ in found[:-1]] == [left for left, _, _ in found[1:]]
    assert (
        found[0][0] == 1
        and found[-1][1] == 5.277
        and found[-1][0] == pytest.approx(1 / CROSSOVERS["pentagon", "square antiprism"])
    )


def test_dots_have_the_colour_of_their_shape_and_bands_that_of_the_winner():
    D = xr.DataArray(
        [[0.5, 0.4, 0.2], [0.5, 0.3, 0.0]], {"feature_probability": [0.5, 0.2]}, ("feature_probability", "feature")
    )
    names = D.copy(data=np.array([["antipodal pair", "pentagon", "hexagon"], ["antipodal pair", "irregular", ""]]))
    ax = dimensionality_by_shape(D, names, jitter=0)
    dots = {line.get_label(): line for line in ax.lines if line.get_marker() == "."}
    assert {name: len(line.get_xdata()) for name, line in dots.items()} == {
        "other or none": 3,
        "antipodal pair, 1/2": 2,
        "pentagon, 2/5": 1,
    }
    np.testing.assert_allclose(dots["antipodal pair, 1/2"].get_xydata(), [[2, 0.5], [5, 0.5]])
    assert dots["pentagon, 2/5"].get_color() == sp.plot.PALETTE["orange"]
    _, ax = plt.subplots()
    winner_bands([(1, 2, "triangle"), (2, 5, "pentagon")], ax)
    assert [p.get_facecolor()[:3] for p in ax.patches] == [
        plt.matplotlib.colors.to_rgb(sp.plot.PALETTE[c]) for c in ("green", "orange")
    ]
    _, ax = plt.subplots()
    benefit_curves([1, 2], {"triangle": [1.0, 2.0], "pentagon": [0.9, 2.5]}, ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0, -20])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [-10, 0])
