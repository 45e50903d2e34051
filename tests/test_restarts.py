"""How many restarts reached the best, and what the best may then be called."""

import numpy as np
import pytest
import xarray as xr

from superpos.analysis.restarts import in_words, reached
from superpos.experiments import Claims
from superpos.experiments.audit import LOCAL_MINIMA, Case, audit, evaluate, standing
from superpos.experiments.thermodynamic_limit import effort, summary, sums
from superpos.experiments.thermodynamic_limit import evaluate as evaluate_limit
from superpos.tasks import Toy

LOSS = xr.DataArray([[1.0, 1.005, 2.0, np.nan], [1.0, 1.0, 1.0, 1.0]], dims=("p", "seed"))


def test_a_share_counts_all_restarts_and_says_what_the_best_is():
    share = reached(LOSS, "seed")
    assert share.values.tolist() == [0.5, 1.0]
    assert in_words(share, 4, "seeds") == "best of 4 seeds (reached by 50 to 100 % of them)"
    assert in_words(xr.DataArray(1 / 16), 16, "fits") == "best found of 16 fits (reached by 6 % of them)"
    assert in_words(share, 1, "seeds") == "one of the seeds"
    assert (standing(0.1), standing(0.09), standing(float("nan"))) == ("best", "best found", "best found")


@pytest.mark.slow
def test_an_audit_tells_a_local_minimum_from_the_solution():
    """Two sparse features in one dimension: a pair, which costs p²/6 each at most, and to which one alone descends."""
    task = Toy(n_features=2, n_hidden=1, feature_probability=0.1)
    shown = [Case("one left out", task, ["dedicated"], [["antipodal pair"]]), Case("a pair", task, ["antipodal pair"])]
    table = audit(shown, seeds=2, steps=60)
    assert table["best_is"].values.tolist() == ["antipodal pair"] * 2
    assert table["best"].values == pytest.approx([2 * 0.1**2 / 6] * 2, rel=0.01)
    assert table["shown"].values.tolist() == ["dedicated", "antipodal pair"]
    claims = Claims("here")
    evaluate(table, claims)
    assert [c.verdict for c in claims.claims] == ["FAIL", "pass"] and "descends to antipodal pair" in claims.claims[
        0
    ].measured


def test_parts_side_by_side_add_their_benefits():
    assert sums({1: 1.9, 2: 2.1}, 5).tolist() == pytest.approx([1.9, 2.1, 6.1 / 3, 2.1, 10.3 / 5])
    assert sums({2: 2.0}, 3).tolist() == pytest.approx([0, 2, 4 / 3])  # nothing fills the third


def test_the_best_benefit_never_falls_below_its_parts():
    def table(values):
        return xr.Dataset({"benefit": ("seed", values), "represented": ("seed", [3, 4, 3])}, attrs={"n_features": 6})

    known = xr.Dataset({"benefit": ("dimensions", [1.917])}, {"dimensions": [1]})
    table_of_all = summary(
        {1: table([1.9, 1.917, np.nan]), 2: table([1.8, 1.7, 1.85]), 4: table([2.0, 2.3, 2.299])}, known
    )
    assert table_of_all["best"].values.tolist() == pytest.approx([1.917, 1.917, 2.3])
    assert table_of_all["trained"].values.tolist() == pytest.approx([1.917, 1.85, 2.3])
    assert (
        table_of_all["share"].values.tolist() == pytest.approx([1 / 2, 0, 2 / 3])  # at m = 2 two parts are better
        and table_of_all["left_out"].values.tolist() == [2] * 3
    )
    claims = Claims("here")
    evaluate_limit(table_of_all, claims)
    assert [c.verdict for c in claims.claims] == ["FAIL", "pass", "FAIL"]  # m = 2 falls short; still rising by 20 %
    assert "32 at m = 1 to 2, 8 at m = 4, 300" in effort([(1, 32), (2, 32), (4, 8)], 300)


def test_a_known_local_minimum_must_be_one_and_by_as_much():
    (name,) = LOCAL_MINIMA

    def holds(excess=4.58, best="pentagon + 3 × antipodal pair", ends="5 × antipodal pair"):
        row = {"published": 1.0, "excess": excess, "share": 0.0, "best_is": best, "published_is": ends}
        columns = {key: ("case", [value]) for key, value in row.items()} | {"shown": ("case", ["5 × antipodal pair"])}
        claims = Claims("")
        evaluate(xr.Dataset(columns, {"case": [name]}), claims)
        return not claims.failed

    assert holds()
    assert not holds(excess=0.1) and not holds(best="pentagon") and not holds(ends="pentagon + 3 × antipodal pair")
