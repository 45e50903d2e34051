"""What the trained models must show: Elhage et al. 2022, at the sizes of the README and the sweep scripts."""

from dataclasses import replace

import numpy as np
import pytest

import superpos as sp
from superpos.experiments import uniform
from superpos.theory import linear_loss, optimal_linear_loss

pytestmark = pytest.mark.trained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("levels", "wanted"),
    [
        pytest.param([0, 5, 8, 12, 15, 19, 23], (1, 2, 4), id="some"),
        pytest.param(range(24), (1, 4, 12), id="all", marks=pytest.mark.long),
    ],
)
def test_from_dedicated_features_to_antipodal_pairs_to_pentagons(levels, wanted):
    """The opening figure on samples: of 24 densities some, each × 8 seeds of 5→2 with importance 0.9^i."""
    task = sp.tasks.Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5))
    grid = sp.Grid(feature_probability=np.geomspace(1, 0.01, 24)[np.array(levels)], seed=range(8))
    best = sp.sweep(task, sp.TrainConfig(), grid, block_size=len(levels)).best("seed")
    table = best.geometry()
    seen = {"dense": 0, "pairs": 0, "sparse": 0}
    for p in table.feature_probability.values:
        cell = table.sel(feature_probability=p)
        shape, D = str(cell["shape"].item()), cell["dimensionality"].values
        if p >= 0.9:
            assert shape == "2 × dedicated"
            assert list(np.flatnonzero(cell["represented"])) == [0, 1]  # the two most important
            assert float(best["loss"].sel(feature_probability=p)) * 5 == pytest.approx(0.1829, rel=0.01)
            seen["dense"] += 1
        elif 0.2 <= p <= 0.4:
            assert shape == "2 × antipodal pair"
            seen["pairs"] += 1
        elif p <= 0.10:
            assert shape == "pentagon"
            assert abs(D.mean() - 0.4) < 0.005 and np.all(np.abs(D - 0.4) < 0.03)
            W = best["W"].sel(feature_probability=p).values
            assert np.all(np.abs(sp.analysis.angle_gaps(W) - 72) < 5)
            assert np.all(best["b"].sel(feature_probability=p) < 0)
            seen["sparse"] += 1
        assert float(cell["packing"]) <= 1 + 1e-5
    assert tuple(seen.values()) == wanted


@pytest.mark.slow
def test_with_equal_importance_the_pentagon_is_regular():
    grid = sp.Grid(feature_probability=[0.1, 0.05, 0.02], seed=range(8))
    config = sp.TrainConfig(steps=10_000)
    best = sp.sweep(sp.tasks.Toy(n_features=5, n_hidden=2), config, grid, block_size=3).best("seed")
    assert set(best.geometry()["shape"].values) == {"pentagon"}
    for W in best["W"].values:
        assert np.all(np.abs(sp.analysis.angle_gaps(W) - 72) < 1)
    at = best.sel(feature_probability=0.05)
    np.testing.assert_allclose(np.linalg.norm(at["W"], axis=0), 1.13, atol=0.03)
    np.testing.assert_allclose(at["b"], -0.25, atol=0.03)
    assert float(at["loss"]) * 5 == pytest.approx(0.0089, rel=0.03)


@pytest.mark.slow
def test_linear_models_learn_the_projector_at_every_density():
    """WᵀW projects on the m most important features; the loss is the closed form within 1 %."""
    task = sp.tasks.Toy(n_features=20, n_hidden=5, importance=0.7 ** np.arange(20), activation="identity")
    densities = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001]
    result = sp.sweep(
        task, sp.TrainConfig(steps=10_000), sp.Grid(feature_probability=densities, seed=[0]), block_size=4
    )
    for p in densities:
        cell = result.task(feature_probability=p, seed=0)
        model = result.model(feature_probability=p, seed=0)
        W, kept = np.asarray(model.W), np.arange(20) < 5
        assert np.abs(W.T @ W - np.diag(kept)).max() < 0.02
        assert np.abs(np.asarray(model.b) - np.where(kept, 0, p / 2)).max() < 0.02
        optimum = float(optimal_linear_loss(cell.features, cell.importance, 5))
        assert float(linear_loss(W, model.b[...], cell.features, cell.importance)) == pytest.approx(optimum, rel=0.01)


PLATEAU = replace(uniform.SIZES.laptop, n_features=100, n_hidden=10, steps=3_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "levels"),
    [
        pytest.param(PLATEAU, slice(6, 9), id="plateau"),
        pytest.param(uniform.SIZES.laptop, slice(None), id="all", marks=pytest.mark.long),
    ],
)
def test_dimensionality_sticks_at_one_half_when_features_are_equal(size, levels):
    """Ten features a dimension: the plateau of D*, the line at 1/2, and the packing law."""
    task, config, grid = uniform.build(size)
    densities = grid.axes["feature_probability"].values[levels]
    result = sp.sweep(task, config, sp.Grid(feature_probability=densities, seed=[0]))
    table = result.geometry().isel(seed=0)
    one_over_p, d_star = 1 / table.feature_probability.values, table["d_star"].values
    plateau = np.abs(d_star - 0.5) <= 0.03
    assert plateau.sum() >= 3
    assert np.all((one_over_p[plateau] > 2.0) & (one_over_p[plateau] < 4.4))
    assert np.all(table["packing"] <= 1 + 1e-4)
    pool = table["dimensionality"].values[d_star < 0.95].ravel()
    at, below, above = (np.sum(np.abs(pool - f) <= 0.005) for f in (0.5, 0.4875, 0.5125))
    assert at >= 10 and at >= 2 * max(below, above)
    assert f"{size.n_hidden} × antipodal pair" in table["shape"].values


@pytest.mark.slow
def test_relu_models_represent_more_as_features_get_sparser():
    """20→5, importance 0.7^i: published counts of features with norm above 1/2 at the dense end."""
    task = sp.tasks.Toy(n_features=20, n_hidden=5, importance=0.7 ** np.arange(20))
    grid = sp.Grid(feature_probability=[1.0, 0.3, 0.1], seed=range(4))
    counts = sp.sweep(task, sp.TrainConfig(steps=6_000), grid, block_size=3).best("seed").geometry()["n_represented"]
    assert np.all(np.abs(counts.values - [5, 7, 9]) <= [0, 1, 1])


@pytest.mark.long
def test_the_larger_twin_and_the_sparse_end():
    """80→20 is a rescaled copy of 20→5: counts per dimension agree; D* of 400→30 has the same plateau."""
    per_dimension = []
    for n, m, decay in ((20, 5, 0.7), (80, 20, 0.9)):
        task = sp.tasks.Toy(n_features=n, n_hidden=m, importance=decay ** np.arange(n))
        grid = sp.Grid(feature_probability=[1.0, 0.3, 0.1, 0.03], seed=range(4))
        best = sp.sweep(task, sp.TrainConfig(steps=10_000), grid).best("seed")
        per_dimension.append(best.geometry()["n_represented"].values / m)
    assert np.all(np.abs(per_dimension[0] - per_dimension[1]) <= 0.4)
    task, config, _ = uniform.build(uniform.SIZES.full)
    result = sp.sweep(task, config, sp.Grid(feature_probability=[1 / 2.5, 1 / 3.0, 1 / 3.5], seed=[0]))
    assert np.all(np.abs(result.geometry()["d_star"] - 0.5) <= 0.03)


@pytest.mark.slow
def test_the_demo_shows_the_same_phases_without_sampling():
    """The expected loss finds the same shapes: dedicated when dense, two pairs, then pentagons, 72° apart."""
    task = sp.tasks.Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5), objective="expected")
    grid = sp.Grid(feature_probability=[1.0, 0.3, 0.2, 0.1, 0.05, 0.01], seed=range(8))
    best = sp.sweep(task, None, grid, block_size=6).best("seed")
    pairs = "2 × antipodal pair"
    assert best.geometry()["shape"].values.tolist() == ["2 × dedicated", pairs, pairs, *["pentagon"] * 3]
    assert float(best["loss"][0]) * 5 == pytest.approx(0.1829, rel=1e-3)
    for W in best["W"].values[3:]:
        assert np.all(np.abs(sp.analysis.angle_gaps(W) - 72) < 3)
    equal = sp.sweep(
        sp.tasks.Toy(n_features=5, n_hidden=2, objective="expected"),
        None,
        sp.Grid(feature_probability=[0.05], seed=range(8)),
        block_size=6,  # the same programs
    ).best("seed")
    assert np.all(np.abs(sp.analysis.angle_gaps(equal["W"].values[0]) - 72) < 0.1)
    assert float(equal["loss"][0]) * 5 == pytest.approx(0.0089, rel=0.01)
