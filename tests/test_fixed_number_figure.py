"""The figure of a fixed number of active features: its measures on hand-made models, and claims that can fail."""

import numpy as np
import xarray as xr
from numpy.testing import assert_allclose
from scipy.special import logit

from superpos.experiments import Claims
from superpos.experiments import fixed_number as experiment
from superpos.experiments.fixed_number import ACCOMPANIED, FIXED, INDEPENDENT, N_FEATURES, N_HIDDEN
from superpos.sweeping import SweepResult


def _result(axis: str, values, pairs) -> SweepResult:
    """Models with so many antipodal pairs, one dimension each, and a loss of 0.01."""
    W = np.zeros((len(values), 1, N_HIDDEN, N_FEATURES))
    for cell, count in zip(W, pairs, strict=True):
        for k in range(count):
            cell[0, k, 2 * k : 2 * k + 2] = [1, -1]
    over = {axis: values, "seed": [0]}
    data = {
        "W": ((*over, "hidden", "feature"), W),
        "loss": (tuple(over), np.full(W.shape[:2], 0.01)),
        "diverged_step": (tuple(over), np.full(W.shape[:2], -1)),
        "status": (tuple(over), np.ones(W.shape[:2], np.uint8)),
    }
    return SweepResult(xr.Dataset(data, over).assign_attrs(task={"n_hidden": N_HIDDEN}))


def test_models_are_compared_at_equal_density_and_at_equal_company():
    numbers = [1, 6]
    densities = experiment.Size(numbers=(1, 6)).densities
    assert_allclose(densities, [1 / 20, 5 / 19, 6 / 20])
    fixed = _result("n_active", numbers, [5, 4])
    table = experiment.measure(fixed, _result("log_odds", list(logit(densities)), [3, 2, 1]))
    rows = table.sel(seed=0)
    for kind, pairs in ((FIXED, [5, 4]), (INDEPENDENT, [3, 1])):
        assert_allclose(rows["superposition"].sel(features=kind), 2 * np.array(pairs) / N_HIDDEN)
        assert_allclose(rows["represented"].sel(features=kind), 2 * np.array(pairs))
        p = np.array(numbers) / N_FEATURES
        assert_allclose(rows["relative"].sel(features=kind), 0.01 / (p / 3 - p**2 / 4))
    alone, accompanied = rows["superposition"].sel(features=ACCOMPANIED)
    assert np.isnan(alone) and accompanied == 2 * 2 / N_HIDDEN  # one active feature has no company
    assert rows["shape"].sel(features=FIXED, n_active=6).item() == "4 × antipodal pair"


def _failed(**changes) -> list[str]:
    """Of perfect models, over (features, n_active): of one, two, three and ten active features, and four seeds."""
    rows = {
        "superposition": [[6, 5, 4, 2], [5, 4, 3, 2], [np.nan, 4.9, 3.9, 2]],
        "represented": [[20, 19, 16, 10], [19, 18, 16, 10], [np.nan, 19, 16, 10]],
        "relative": [[0.1, 0.3, 0.4, 0.6], [0.3, 0.4, 0.5, 0.7], [np.nan, 0.3, 0.4, 0.6]],
        "shape": [["irregular", "irregular", "5-demicube", "pairs"]] * 3,
    } | changes
    noise = 1 + 0.001 * np.array([1, -1, 2, -2])
    over = {"features": [FIXED, INDEPENDENT, ACCOMPANIED], "n_active": [1, 2, 3, 10], "seed": range(4)}
    data = {}
    for name, row in rows.items():
        full = np.repeat(np.array(row)[..., None], 4, -1)
        exact = full if name in ("shape", "represented") else np.concatenate([full[:1] * noise, full[1:]])
        data[name] = (tuple(over), exact)
    claims = Claims("")
    experiment.evaluate(xr.Dataset(data, over), claims)
    return [claim.statement[:14] for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    nan = np.nan
    assert _failed() == []
    lower = [[6, 5, 2.9, 2], [5, 4, 3, 2], [nan, 4.9, 2.91, 2]]
    assert _failed(superposition=lower) == ["sparse: a fixe"]
    assert _failed(superposition=[[6, 5, 4, 2.2], [5, 4, 3, 2], [nan, 4.9, 3.9, 2]]) == ["… and the mean"]
    assert _failed(superposition=[[6, 5, 4, 2], [5, 4, 3, 2], [nan, 4.5, 3.9, 2]]) == ["few at a time:"]
    shapes = [["irregular", "irregular", "5-demicube", name] for name in ("pairs", "pentagons", "pairs")]
    assert _failed(shape=shapes) == ["dense: the bes"]
    assert _failed(represented=[[19, 19, 16, 10], [19] * 4, [nan, 19, 16, 10]]) == ["one at a time:"]
    assert _failed(represented=[[20, 14, 16, 10], [19] * 4, [nan, 19, 16, 10]]) == ["two or three a"]
    losing = [[0.1, 0.3, 0.4, 0.7], [0.3, 0.4, 0.5, 0.7], [nan, 0.3, 0.4, 0.6]]
    assert _failed(relative=losing) == ["a fixed number"]
