"""Figure of Gosset's polytopes: judges that can fail, what is measured of models, and pictures."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.experiments import Claims
from superpos.experiments import gosset as g
from superpos.theory.uniform import optimum, structures


def test_a_model_that_is_the_structure_has_its_name_and_its_benefit():
    """One exact pentagon and one of half its length at 1/(1 − S) = 5, another density beside them."""
    shape = next(s for s in structures() if s.name == "pentagon")
    best = optimum(shape, 0.2)
    W, b = np.stack([best.W, 0.5 * best.W]), np.stack([best.b, best.b])
    over = {"feature_probability": [0.2, 0.1], "seed": [0, 1]}
    dims = tuple(over)
    data = {"W": ((*dims, "hidden", "feature"), np.stack([W, W])), "b": ((*dims, "feature"), np.stack([b, b]))}
    result = sp.SweepResult(
        xr.Dataset({**data, "loss": (dims, np.zeros((2, 2)))}, over, {"task": {"n_features": 5, "n_hidden": 2}})
    )
    table = g.measured(result)
    exact = g.curves([5.0], ("pentagon",))["benefit"].item()
    assert table["benefit"].sel(x=5.0, seed=0).item() == pytest.approx(exact, rel=1e-7)
    assert table["benefit"].sel(x=5.0, seed=1).item() < exact
    assert table["shape"].sel(x=5.0, seed=0).item() == "pentagon"
    share, benefit = g.on_curve("pentagon", table)
    assert share.tolist() == [1.0, 1.0] and benefit[0] == pytest.approx(exact, rel=1e-7)


def tables(shape="pentagon", factor=1.0, large=3.0):
    x, seeds = np.array(g.SETTINGS["pentagon"].x), [0, 1]
    exact = xr.Dataset(
        {"benefit": (("structure", "x"), [[1.8, 2.0, 2.0, 2.4]])}, {"structure": ["pentagon"], "x": [*x, 12.0, 20.0]}
    )
    n, d = 5, 2
    benefit = (n - factor * (n - d * np.array([[1.8, 1.8], [2.0, 2.0]]))) / d

    def table(benefit, names, x):
        return xr.Dataset(
            {"benefit": (("x", "seed"), benefit), "shape": (("x", "seed"), names)}, {"x": x, "seed": seeds}
        )

    names = np.array([[shape, "irregular"], [shape, shape]])
    solid = np.array([[g.SOLID_NAMES[v]] * 2 for v in g.SOLIDS.x])
    small, solids = table(benefit, names, x), table(np.zeros((3, 2)), solid, np.array(g.SOLIDS.x))
    many = table(np.full((2, 2), large), np.full((2, 2), ""), np.array([5.0, 20.0]))
    return {"pentagon": small}, exact, solids, many, {}


def ranges(shift=1.0):
    ends = np.array([*g.CROSSOVERS, 100.0]) * shift
    return xr.Dataset(
        {"start": ("range", ends[:-1]), "stop": ("range", ends[1:]), "winner": ("range", list(g.WINNERS))}
    )


def judged(found=None, **changes):
    claims = Claims("")
    g.evaluate(*tables(**changes), ranges() if found is None else found, claims)
    return claims


def test_every_claim_can_hold_and_fail():
    good = judged()
    assert [c.verdict for c in good.claims] == ["pass"] * 6
    assert "1 of 2 (9–91 %) at 4.7, 2 of 2 (34–100 %) at 10" in [c.measured for c in good.claims]
    assert [c.statement for c in judged(shape="heptagon").failed] == ["pentagon: found by training"]
    assert [c.statement for c in judged(factor=1.002).failed] == ["pentagon: loss of those that found it"]
    assert [c.statement for c in judged(large=2.3).failed] == [
        "200 features in 20 dimensions beat every known structure"
    ]
    assert [c.statement for c in judged(found=ranges(1.001)).failed] == ["theory: who wins from which 1/(1 − S) to 100"]


def test_discs_are_as_large_as_the_share_and_bands_lie_where_they_win():
    _, ax = plt.subplots()
    g.trained_on_curves("2_21", [10.0, 20.0], [2.0, 3.0], [0.25, 1.0], ax)
    (discs,) = ax.collections
    np.testing.assert_allclose(discs.get_sizes() / discs.get_sizes()[1], [0.25, 1])
    _, ax = plt.subplots()
    g.winners_band([(1, 2, "triangle"), (2, 2.1, "pentagon")], ax)
    assert [t.get_text() for t in ax.texts] == ["triangle"] and len(ax.patches) == 2
    ax = g.benefits_by_sparsity([1, 10], {"2_21": [1, 2]}, plt.subplots()[1])
    assert ax.get_xscale() == "log" and ax.lines[0].get_label() == "2_21"


def test_training_beside_a_structure_begins_near_it_and_its_claims_can_fail():
    setting = g.PLANTED["3_21 planted"]
    W = g.start(setting)["W"]
    assert W.shape == (2, 2, 7, 56) and g.start(g.SETTINGS["pentagon"]) is None
    np.testing.assert_allclose(np.linalg.norm(W, axis=-2), 1, atol=0.4)
    assert not np.array_equal(W[0, 0], W[0, 1])
    curves = (("structure", "x"), [[3.0, 4.0], [2.0, 3.0]])
    exact = xr.Dataset({"benefit": curves}, {"structure": ["3_21", "4_21"], "x": [40.0, 100.0]})

    def failed(shape="3_21", benefit=3.0, prism="3 × antipodal pair", large=4.5):
        both = np.array([[benefit, 3.0], [4.0, 4.0]])
        over = {"x": [40.0, 100.0], "seed": [0, 1]}
        found = xr.Dataset({"benefit": (("x", "seed"), both), "shape": (("x", "seed"), np.full((2, 2), shape))}, over)
        left = xr.Dataset({"shape": (("x", "seed"), np.full((2, 2), prism))})
        columns = {"benefit": (("x", "seed"), [[large, 4.5]]), "shape": (("x", "seed"), [["irregular"] * 2])}
        lower = xr.Dataset(columns, {"x": [100.0], "seed": [0, 1]})
        planted = {"3_21 planted": found, "triangular prism planted": left, "4_21 planted": lower}
        claims = Claims("")
        g.evaluate_planted(planted, exact, claims)
        return [c.statement.split(":")[0] for c in claims.failed]

    assert failed() == []
    assert failed(shape="irregular") == failed(benefit=2.9) == ["3_21"]
    assert failed(prism="triangular prism") == ["triangular prism"] and failed(large=2.9) == ["4_21"]
