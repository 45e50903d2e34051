"""Learning arithmetic modulo p: the table, the model behind the fast path, the loss, and what may be swept."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import superpos as sp
from superpos.analysis.generalisation import steps_to
from superpos.data.modular import modular_table
from superpos.experiments.grokking import snapshots_of
from superpos.experiments.grokking_sweep import milestones
from superpos.tasks.modular_table import cross_entropy

TASK = sp.tasks.ModularAddition(p=7, d_model=8, n_heads=2, d_mlp=16, train_fraction=0.4)


def test_tables():
    for operation, make in {
        "addition": lambda a, b: (a + b) % 7,
        "subtraction": lambda a, b: (a - b) % 7,
        "multiplication": lambda a, b: a * b % 7,
        "sum_of_squares": lambda a, b: (a**2 + b**2) % 7,
    }.items():
        for k, (a, b, c) in enumerate(modular_table(7, operation).T.tolist()):
            assert k == 7 * a + b and c == make(a, b)


def test_the_logits_are_those_of_the_transformer():
    model = TASK.init(jax.random.key(3))
    model.b_in[...] = jnp.linspace(-1, 1, 16).reshape(1, 16)
    model.b_out[...] = jnp.linspace(1, -1, 8).reshape(1, 8)
    tokens = np.array([[a, b, 7] for a in range(7) for b in range(7)])

    @jax.jit  # one program is quicker to compile than every operation by itself
    def both(model):
        slow, cache = jax.vmap(lambda t: model.run_with_cache(t, last_only=True))(tokens)
        return (TASK.logits(model), TASK.neurons(model)), (slow[:, :7], cache["blocks.0.mlp.post"][:, 0])

    for fast, slow in zip(*both(model), strict=True):
        np.testing.assert_allclose(fast, slow, atol=3e-6)


@pytest.mark.slow
def test_loss_and_metrics_are_means_over_the_two_parts_and_fewer_pairs_change_only_what_is_looked_at():
    model = TASK.init(jax.random.key(0))

    def both(task):
        task = task.broadcast().precompute()
        objective = jax.value_and_grad(lambda m: task.loss(m, jax.random.key(0), 1), has_aux=True)
        ((loss, metrics), gradient), whole = jax.jit(lambda m: (objective(m), task.expected_loss(m)))(model)
        return loss, metrics, gradient, whole, np.asarray(task.order)

    z, c = np.asarray(jax.jit(TASK.logits)(model), np.float64), modular_table(7)[2]
    each, right = np.log(np.exp(z).sum(axis=1)) - z[np.arange(49), c], z.argmax(axis=1) == c
    train = np.asarray(TASK.training_pairs())
    assert train.sum() == round(0.4 * 49)
    loss, metrics, gradient, whole, order = both(TASK)
    np.testing.assert_allclose([loss, metrics["test_loss"]], [each[train].mean(), each[~train].mean()], rtol=1e-5)
    wanted = [right[train].mean(), right[~train].mean()]
    np.testing.assert_allclose([metrics["accuracy"], metrics["test_accuracy"]], wanted, rtol=1e-6)
    few_loss, few_metrics, few_gradient, few_whole, _ = both(replace(TASK, gradient_pairs=25, test_pairs=6))
    for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(few_gradient), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose([few_loss, few_metrics["accuracy"]], [loss, metrics["accuracy"]], rtol=1e-6)
    np.testing.assert_allclose([whole, few_whole], metrics["test_loss"], rtol=1e-6)
    seen = order[20:31]  # 20 pairs train; of the others up to 25 + 6
    np.testing.assert_allclose(few_metrics["test_loss"], each[seen].mean(), rtol=1e-5)
    np.testing.assert_allclose(few_metrics["test_accuracy"], right[seen].mean(), rtol=1e-6)


@pytest.mark.parametrize("margin", [1.0, 20.0, 40.0])
def test_a_small_loss_and_its_gradient_are_right_in_single_precision(margin):
    z = jnp.zeros((1, 11), jnp.float32).at[0, 4].set(margin)
    c = jnp.array([4])
    loss, gradient = jax.value_and_grad(lambda z: cross_entropy(z, c)[0])(z)
    wrong = np.log1p(10 * np.exp(-margin))
    np.testing.assert_allclose(loss, wrong, rtol=1e-5)
    np.testing.assert_allclose(gradient[0, 4], np.expm1(-wrong), rtol=1e-5)
    if margin > 17:  # what the usual formula makes of it
        plain, its_gradient = jax.value_and_grad(lambda z: -jax.nn.log_softmax(z)[0, 4])(z)
        assert plain == 0 and its_gradient[0, 4] == 0


@pytest.mark.slow
@pytest.mark.optimized
def test_a_cell_alone_has_the_bytes_it_has_in_any_sweep_and_nothing_recompiles(compilations, one_device):
    config = sp.TrainConfig(steps=4, history=2, snapshots=(0, 4))
    cell = {"train_fraction": 0.6, "data_seed": 5, "init_scale": 0.5, "weight_decay": 1.0, "seed": 1}
    own = {name: cell[name] for name in ("train_fraction", "data_seed", "init_scale")}
    options = {"block_size": 2, "blocks_per_device": 2, "devices": one_device, "progress": False}
    alone = sp.sweep(replace(TASK, **own), replace(config, weight_decay=1.0), sp.Grid(seed=[1]), **options)
    compilations.clear()
    grid = sp.Grid(train_fraction=[0.3, 0.6], data_seed=[0, 5], init_scale=[1, 0.5], weight_decay=[0, 1], seed=[1, 2])
    many = sp.sweep(TASK, config, grid, **options)
    assert not compilations
    for name in ("W_E", "W_in", "W_Q_snapshots", "loss", "loss_history", "test_accuracy_history"):
        one, other = (r.dataset[name].squeeze().values for r in (alone, many.sel(**cell)))
        assert one.tobytes() == other.tobytes(), name
    # The settings do something: cells differ from one another.
    assert len(np.unique(many.dataset["loss"].values)) == 32
    # The times of every cell are those of its own history.
    level = float(many.dataset["test_accuracy_history"].median())
    times = milestones(many, level=level)
    assert times["generalised"].dims == many.dataset["loss"].dims and times.attrs == {"level": level, "steps": 4}
    assert 0 < int(times["generalised"].notnull().sum()) < 32
    for name, history in (("memorised", "accuracy_history"), ("generalised", "test_accuracy_history")):
        wanted = steps_to([2, 4], alone.dataset[history].values.ravel(), level)
        np.testing.assert_array_equal(times[name].sel(**cell), wanted)
        reached = (many.dataset[history] >= level).any("record").transpose(*times[name].dims)
        np.testing.assert_array_equal(times[name].notnull(), reached)
    task, models, steps = snapshots_of(alone.isel(seed=0))
    logits = jax.jit(task.logits)
    assert steps.tolist() == [0, 4]
    np.testing.assert_array_equal(logits(models[1]), logits(alone.isel(seed=0).model()))
    assert np.any(np.asarray(models[0].W_in[...]) != np.asarray(models[1].W_in[...]))
    said = sp.plot.caption(alone.attrs)
    assert "modulo 7;" in said and "full batch" in said and "gradient pairs" not in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"p": 9}, "p must be an odd prime, got 9"),
        ({"operation": "adition"}, "Did you mean addition"),
        ({"train_fraction": 1.0}, "train_fraction must be"),
        ({"test_pairs": 0}, "test_pairs must be"),
        ({"gradient_pairs": 10}, "train_fraction must be at most"),
        ({"n_heads": 3}, "d_model must be a multiple of n_heads = 3"),
        ({"order": np.zeros(49)}, "order must be a permutation"),
    ],
)
def test_wrong_settings_are_named(wrong, said):
    with pytest.raises(sp.ConfigError, match=said):
        replace(TASK, **wrong).check()
