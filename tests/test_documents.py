"""A world of one's own documents: rows are drawn, others held out, and everything known of them is a mean over rows."""

import dataclasses

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.data.documents import rows_of

COUNTS = np.random.default_rng(0).poisson([0.3, 0.5, 0.8, 0.2, 1.0], size=(40, 5)).astype(float)
WORLD = {"world": "documents", "documents": COUNTS, "magnitude": "constant"}
SHORT = sp.TrainConfig(steps=10, batch_size=32, history=2, evaluation_samples=20_000)


def _features(**settings):
    return sp.FeatureDistribution(**{"n_features": 5, **WORLD, **settings})


def test_inputs_are_rows_of_the_part_each_as_often():
    features = _features(held_out=0.25)
    for part, n in (("training", 30), ("held_out", 10)):
        rows = COUNTS[rows_of(part, 40, 0.25)]
        assert len(rows) == n
        x = np.asarray(dataclasses.replace(features, part=part).sample(jax.random.key(0), 30_000)).T
        kinds, seen = np.unique(x, axis=0, return_counts=True)
        of_rows, times = np.unique(rows, axis=0, return_counts=True)
        assert_array_equal(kinds, of_rows)
        share = times / n
        assert np.all(np.abs(seen / 30_000 - share) < 4.5 * np.sqrt(share * (1 - share) / 30_000))


def test_parts_share_no_row_and_a_larger_share_holds_out_the_same_and_more():
    for n in (7, 40):
        training, held_out = (set(rows_of(part, n, 0.3).tolist()) for part in ("training", "held_out"))
        assert training | held_out == set(range(n)) and not training & held_out
        assert held_out < set(rows_of("held_out", n, 0.6).tolist())


@pytest.mark.slow
def test_probabilities_pairs_and_moments_are_means_over_rows():
    features = _features(held_out=0.25, magnitude="uniform", magnitude_low=1.0, magnitude_high=2.0)
    rows = COUNTS[rows_of("training", 40, 0.25)]
    on = (rows > 0).astype(float)
    assert_allclose(features.probabilities, on.mean(0), rtol=1e-6)
    assert_allclose(features.co_activation(), on.T @ on / 30, rtol=1e-6)
    assert_allclose(features.moment(1), 1.5 * rows.mean(0), rtol=1e-6)
    assert_allclose(features.moment(3), 15 / 4 * (rows**3).mean(0), rtol=1e-6)
    second = 1.5**2 * rows.T @ rows / 30
    np.fill_diagonal(second, 7 / 3 * (rows**2).mean(0))
    assert_allclose(features.second_moments(), second, rtol=1e-6)
    x = np.asarray(features.sample(jax.random.key(1), 50_000), np.float64)
    error = (x[:, None] * x[None]).std(axis=2) / np.sqrt(50_000)
    assert np.all(np.abs(x @ x.T / 50_000 - second) < 4.5 * error)


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_the_loss_is_that_of_documents_that_were_held_out(activation):
    """Exact for linear models; of ReLU models the mean of fresh draws of held-out rows."""
    task = sp.tasks.WorldToy(n_features=5, n_hidden=2, held_out=0.25, activation=activation, **WORLD)
    run = sp.train(task, SHORT, seed=0)
    W, b = np.asarray(run.model.W, float), np.asarray(run.model.b, float)[:, None]

    def errors(part):
        x = COUNTS[rows_of(part, 40, 0.25)].T
        output = W.T @ W @ x + b
        return ((x - (output if activation == "identity" else np.maximum(output, 0))) ** 2).mean(0)

    held_out = errors("held_out")
    slack = 1e-5 if activation == "identity" else 4.5 * held_out.std() / np.sqrt(20_000)
    assert abs(float(run.loss) - held_out.mean()) < slack
    assert abs(held_out.mean() - errors("training").mean()) > 10 * slack


@pytest.mark.slow
def test_documents_are_in_the_store_and_decide_whose_store_it_is_and_new_ones_compile_nothing(tmp_path, compilations):
    task = sp.tasks.WorldToy(n_features=5, n_hidden=2, held_out=0.25, **WORLD)
    grid = sp.Grid(seed=[0, 1])
    result = sp.sweep(task, SHORT, grid, tmp_path / "own.zarr", progress=False)
    again = sp.open(tmp_path / "own.zarr")
    cell = again.cell(seed=1)
    assert_array_equal(cell.task.documents, COUNTS)
    assert cell.task.held_out == 0.25
    assert_array_equal(again["W"], result["W"])
    others = dataclasses.replace(task, documents=COUNTS[::-1])
    with pytest.raises(sp.ConfigError, match="task.documents differs"):
        sp.sweep(others, SHORT, grid, tmp_path / "own.zarr", progress=False)
    compilations.clear()
    assert not np.array_equal(sp.sweep(others, SHORT, grid, progress=False)["W"], result["W"]) and not compilations
    assert "documents 40 × 5" in sp.plot.caption(again.attrs, "")


def test_an_autoencoder_refuses_to_read_a_world_that_it_cannot_draw():
    task = sp.tasks.WorldToy(n_features=5, n_hidden=2, **WORLD)
    with pytest.raises(
        sp.ConfigError, match="toy must be of features without a position, not of the world 'documents'"
    ):
        sp.tasks.SparseAutoencoder.of_toy(task, np.eye(2, 5), n_latents=5)


@pytest.mark.slow
def test_clusters_of_documents_are_found_in_the_weights():
    """Two topics of three words: a linear model with two dimensions lays the words of a topic along one direction."""
    rng = np.random.default_rng(1)
    topic = rng.random(300) < 0.5
    words = np.where(topic[:, None], [0.7] * 3 + [0.05] * 3, [0.05] * 3 + [0.7] * 3)
    task = sp.tasks.WorldToy(
        n_features=6, n_hidden=2, world="documents", documents=(rng.random((300, 6)) < words).astype(float),
        magnitude="constant", activation="identity", objective="expected",
    )  # fmt: skip
    run = sp.train(task, sp.TrainConfig(steps=300), seed=0)
    agreement = sp.analysis.cluster_agreement(run, task.features.co_activation(), n_clusters=2, above=0.1)
    assert agreement.adjusted_rand == 1 and agreement.p_value < 0.12  # 2 of 20 ways to halve six agree
