"""Loss against dimensions: theory of the lost tail, exponents, and claims that fail where they should."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.experiments import Claims
from superpos.experiments import scaling_laws as experiment

SIZE = experiment.SIZES.laptop
N, DIMENSIONS = {regime: SIZE[regime].n_features for regime in experiment.STRENGTHS}, np.array([8, 14, 24, 40])


def test_the_published_sweep_has_540_models():
    grids = [experiment.build(experiment.SIZES.full, regime)[2] for regime in experiment.STRENGTHS]
    assert sum(grid.n_cells for grid in grids) == 540
    assert experiment.SIZES.full.weak.models_of_a_block == 45


def test_the_tail_is_what_a_model_loses_that_has_the_first_features_alone():
    """An independent sum over the distribution that a cell of the sweep has."""
    task, _, grid = experiment.build(experiment.SIZES.laptop, "weak")
    axis = grid.axes["alpha"]
    p = axis.law(0.5, task.n_features)
    features = sp.FeatureDistribution(n_features=task.n_features, feature_probability=p)
    lost = [np.asarray(features.moment(2))[m:].sum() / task.n_features for m in DIMENSIONS]
    assert_allclose(experiment.tail_losses(task.n_features, 0.5, DIMENSIONS), lost, rtol=1e-5)
    assert_allclose(240 * experiment.tail_losses(240, 0.5, [0]), experiment.ACTIVE / 3)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_tail_of_many_features_falls_with_the_exponent_of_the_data(alpha):
    """Σ_{i>m} i^−(1+α) → m^−α / α for m large and n ≫ m."""
    sizes = [1_000, 2_000, 4_000]
    tails = experiment.tail_losses(1_000_000, alpha, sizes)
    finite = np.asarray(sizes, float) ** -alpha - 1e6**-alpha
    assert_allclose(tails / tails[0], finite / finite[0], rtol=1e-3)


def test_exponents_of_power_laws():
    m = xr.DataArray(DIMENSIONS, dims="n_hidden", coords={"n_hidden": DIMENSIONS})
    alpha = xr.DataArray([0.5, 1.5], dims="alpha", coords={"alpha": [0.5, 1.5]})
    losses = (3.0 * m**-alpha).expand_dims(seed=2)
    assert_allclose(experiment.exponents(losses), [0.5, 1.5], rtol=1e-12)


def _tables() -> dict[str, xr.Dataset]:
    """Perfect models of both regimes: 1/m where all are represented, and the tail where only the first m are."""
    tables = {}
    for regime, name in experiment.STRENGTHS.items():
        alphas = [-1.0, 0.0, 0.5, 1.0] if regime == "strong" else [0.5, 1.0]
        over = {name: [0.5, 1.0], "n_hidden": DIMENSIONS, "alpha": alphas, "seed": [0, 1]}
        shape = tuple(len(v) for v in over.values())
        lost = np.stack([experiment.tail_losses(N[regime], a, DIMENSIONS) for a in alphas], axis=1)[None, :, :, None]
        if regime == "strong":
            loss, shown = (1 / DIMENSIONS)[None, :, None, None], N["strong"]
        else:
            loss, shown = 1.1 * lost, DIMENSIONS[None, :, None, None]
        columns = {"loss": loss, "overlap": 1.05, "n_represented": shown, "lost": lost}
        data = {k: (tuple(over), np.broadcast_to(v, shape)) for k, v in columns.items()}
        tables[regime] = xr.Dataset(data, over)
    return tables


def _failed(tables) -> list[str]:
    claims = Claims("")
    experiment.evaluate(tables, SIZE, claims)
    return [claim.statement for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    tables = _tables()
    assert _failed(tables) == []
    m = tables["strong"]["n_hidden"]

    def changed(regime, **columns) -> list[str]:
        return _failed({**tables, regime: tables[regime].assign(columns)})

    assert changed("strong", n_represented=tables["strong"]["n_represented"] - 1) == [
        "strong: every feature is represented"
    ]
    assert len(changed("strong", overlap=tables["strong"]["overlap"] + 0.1)) == 2  # equal frequencies, and Zipf's law
    uneven = changed("strong", overlap=tables["strong"]["overlap"] * (m / 40) ** 0.15)
    assert uneven == ["strong, every α: squared overlaps fall with m as their floor does"]
    steep = tables["strong"]["loss"] / m**0.2
    assert changed("strong", loss=steep) == [f"strong, α = {alpha}: the loss falls as 1/m" for alpha in (-1, 0)]
    high = changed("weak", loss=1.3 * tables["weak"]["loss"])
    assert len(high) == 2 and all("not represented" in statement for statement in high)
    flat = changed("weak", loss=1.1 * tables["weak"]["loss"] * (m / 40) ** 0.12)
    assert any("the data set the exponent" in statement for statement in flat)
    assert sum("is that of what is lost" in statement for statement in flat) == 2


@pytest.mark.slow
def test_a_quick_figure_is_measured_from_the_models_of_its_sweeps():
    quick = dataclasses.replace(experiment.SIZES.quick.weak, dimensions=(3, 5))
    size = dataclasses.replace(experiment.SIZES.quick, strong=quick, weak=quick)
    results, tables = {}, {}
    for regime in experiment.STRENGTHS:
        block_size = size[regime].models_of_a_block
        results[regime] = sp.sweep(*experiment.build(size, regime), block_size=block_size)
        tables[regime] = experiment.measure(results[regime])
    cell = {"weight_decay": 1.0, "n_hidden": 5, "alpha": 1.0, "seed": 0}
    W, row = np.asarray(results["weak"].sel(cell).model().W), tables["weak"].sel(cell)
    units = W / np.linalg.norm(W, axis=0)
    overlaps = (units.T @ units)[np.triu_indices(24, 1)] ** 2
    assert_allclose(row["overlap"], overlaps.mean() / ((24 - 5) / (5 * 23)), rtol=1e-4)
    p = np.arange(1, 25.0) ** -2 / np.sum(np.arange(1, 25.0) ** -2)
    lost = np.linalg.norm(W, axis=0) <= 0.5
    assert_allclose([row["n_represented"], row["lost"]], [24 - lost.sum(), p[lost].sum() / 72], rtol=1e-4)
    figure, caption = experiment.draw(results, tables)
    assert len(figure.axes) == 4 and "floor of Welch" in caption
