"""Training on the population loss: the same engine, no noise, and the losses that sampling reaches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import superpos as sp
from superpos.tasks.objectives import EXPECTED_UP_TO

FIVE = sp.tasks.Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5), objective="expected")
LINEAR = dataclasses.replace(FIVE, activation="identity")  # whose population loss, of moments alone, compiles quickly


def test_the_objective_is_the_expected_loss_whatever_the_key(rng):
    task = dataclasses.replace(FIVE, feature_probability=0.1).broadcast()
    model = sp.ToyModel(jnp.asarray(rng.normal(size=(2, 5)), jnp.float32), jnp.asarray(rng.normal(size=5), jnp.float32))
    loss, metrics = task.loss(model, jax.random.key(0), 1)
    assert metrics == {}
    assert loss == task.loss(model, jax.random.key(1), 99)[0]
    assert float(loss) == pytest.approx(
        float(sp.expected_loss(model.W[...], model.b[...], 0.1, 0.9 ** np.arange(5))), rel=1e-6
    )


def test_defaults_suit_the_objective():
    """A few hundred exact steps, or thousands of noisy ones; what is said is never overruled."""
    sampled = dataclasses.replace(FIVE, objective="sampled")
    assert sp.TrainConfig().with_defaults(FIVE).steps == 300 and sp.TrainConfig().with_defaults(sampled).steps == 5_000
    assert sp.TrainConfig().with_defaults(FIVE).learning_rate == 0.08
    given = sp.TrainConfig(steps=7, learning_rate=0.3).with_defaults(FIVE)
    assert (given.steps, given.learning_rate) == (7, 0.3)


def test_auto_is_expected_where_that_exists_and_is_faster():
    def steps(**settings):
        task = sp.tasks.Toy(**{"n_features": 5, "n_hidden": 2, "objective": "auto", **settings})
        task.check()
        return sp.TrainConfig().with_defaults(task).steps

    assert steps() == steps(n_features=EXPECTED_UP_TO) == steps(activation="identity", magnitude="exponential") == 300
    assert (
        steps(n_features=EXPECTED_UP_TO + 1)
        == steps(activation="gelu")
        == steps(loss_exponent=4)
        == steps(magnitude="constant")
        == 5_000
    )
    task = dataclasses.replace(LINEAR, objective="auto", feature_probability=0.2)
    config = sp.TrainConfig(steps=20, learning_rate=0.05)
    same = sp.train(dataclasses.replace(task, objective="expected"), config)
    np.testing.assert_array_equal(sp.train(task, config).model.W, same.model.W)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"objective": "exact"}, "objective must be one of sampled, expected, auto, got 'exact'."),
        ({"activation": "gelu"}, "activation must be one of relu, identity for the expected loss, got 'gelu'."),
        (
            {"magnitude": "constant"},
            "magnitude must be one of uniform, signed_uniform for the expected loss of a ReLU model",
        ),
        ({"loss_exponent": 4}, 'loss_exponent must be 2 for objective="expected", got 4.'),
        ({"order": 0}, "order must be at least 1, got 0."),
        ({"n_features": 100_000}, "n_features² × order must be at most"),
    ],
)
def test_what_the_objective_cannot_do_is_refused_by_name(settings, words):
    task = sp.tasks.Toy(**{"n_features": 5, "n_hidden": 2, "objective": "expected", **settings})
    with pytest.raises(sp.ConfigError) as error:
        sp.train(task)
    assert words in str(error.value)


@pytest.mark.slow
@pytest.mark.trained
def test_both_objectives_side_by_side(tmp_path):
    """One grid; each with its own steps; the same measure of loss; stored, opened and described."""
    grid = sp.Grid(objective=["sampled", "expected"], feature_probability=[0.3, 0.05], seed=range(4))
    result = sp.sweep(dataclasses.replace(FIVE, objective="sampled"), None, grid, block_size=2)
    result.save(tmp_path / "both.zarr")
    again = sp.open(tmp_path / "both.zarr")
    for r in (result, again):
        assert r.config(objective="expected", feature_probability=0.3, seed=0).steps == 300
        assert r.config(objective="sampled", feature_probability=0.3, seed=0).steps == 5_000
        assert "steps by objective" in repr(r)
        assert "objective swept" in sp.plot.caption(r.attrs)
    best = result["loss"].min("seed")
    np.testing.assert_allclose(best.sel(objective="sampled"), best.sel(objective="expected"), rtol=2e-3)
    cell = result.sel(objective="sampled", feature_probability=0.05, seed=1)
    exact = sp.expected_loss(cell["W"].values, cell["b"].values, 0.05, 0.9 ** np.arange(5), order=128)
    assert cell["loss"].item() == pytest.approx(float(exact), rel=1e-5)


@pytest.mark.slow
@pytest.mark.optimized
def test_a_cell_alone_is_the_cell_in_any_sweep():
    """The law of the engine holds for exact training too, to the byte."""
    config = sp.TrainConfig(steps=40)
    many = sp.sweep(FIVE, config, sp.Grid(feature_probability=[0.7, 0.1, 0.02], seed=[3, 5]), block_size=2)
    one = sp.sweep(FIVE, config, sp.Grid(feature_probability=[0.1], seed=[5]), block_size=2)
    a, b = (r["W"].sel(feature_probability=0.1, seed=5).values for r in (many, one))
    assert a.tobytes() == b.tobytes()


@pytest.mark.slow
def test_stated_defaults_are_part_of_a_result(tmp_path):
    """A second sweep finds the first's result, and sees another number of steps."""
    grid = sp.Grid(seed=range(2))
    result = sp.sweep(LINEAR, sp.TrainConfig(history=5), grid, tmp_path / "r.zarr", block_size=2)
    assert result.attrs["train"]["steps"] == 300
    said = sp.TrainConfig(history=5, steps=300, learning_rate=0.08, beta1=0.7, beta2=0.9)
    sp.sweep(LINEAR, said, grid, tmp_path / "r.zarr", block_size=2)
    with pytest.raises(sp.ConfigError, match="train.steps differs"):
        sp.sweep(LINEAR, sp.TrainConfig(history=5, steps=501), grid, tmp_path / "r.zarr", block_size=2)


@pytest.mark.slow
def test_results_from_before_the_objective_are_found_again(tmp_path):
    """A stored configuration that does not name the newer fields has their defaults."""
    grid, config = sp.Grid(seed=range(2)), sp.TrainConfig(steps=5, learning_rate=0.01, history=1)
    task = sp.tasks.Toy(n_features=2, n_hidden=1, magnitude="constant")
    result = sp.sweep(task, config, grid, block_size=2)
    for name in ("objective", "order"):
        del result.dataset.attrs["task"][name]
    result.save(tmp_path / "old.zarr")
    again = sp.sweep(task, config, grid, tmp_path / "old.zarr")
    assert again["W"].equals(result["W"]) and again.task(seed=0).objective == "sampled"


@pytest.mark.slow
def test_a_swept_number_of_steps_is_checked_instead_of_the_default():
    """Warm-up and snapshots longer than the default steps are fine where every cell trains longer."""
    task = sp.tasks.Toy(n_features=2, n_hidden=1, activation="identity", objective="expected")
    config = sp.TrainConfig(warmup_steps=600, snapshots=(550,), history=1)
    assert sp.sweep(task, config, sp.Grid(steps=[700]), block_size=1).config(steps=700).steps == 700
    with pytest.raises(sp.ConfigError, match="warmup_steps must be at most 299"):
        sp.sweep(task, config, sp.Grid(seed=[0]), block_size=1)


@pytest.mark.long
def test_exact_training_is_as_good_as_ten_thousand_noisy_steps():
    """5→2 at the paper's ten densities, best of 16: within 0.2 % of sampled training, or below it."""
    grid = sp.Grid(feature_probability=20 ** (-np.arange(10) / 9), seed=range(16))
    exact = sp.sweep(FIVE, None, grid, block_size=10)["loss"].min("seed")
    noisy = sp.sweep(dataclasses.replace(FIVE, objective="sampled"), sp.TrainConfig(steps=10_000), grid, block_size=10)
    noisy = noisy["loss"].min("seed")
    print("exact / noisy − 1, %:", np.round(100 * (exact.values / noisy.values - 1), 3))
    assert np.all(exact.values <= 1.002 * noisy.values)
