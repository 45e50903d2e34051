"""One model: against an independent twin, and by its laws."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow
from numpy.testing import assert_allclose
from twin import train_twin

import superpos as sp
from superpos.data.key_tags import EVALUATION_TAG, INIT_TAG
from superpos.training.loop import _train, advance, check_all, init, intervals, numeric_fields

STEPS = 50


def twin_of(task, config, seed):
    """The twin's training on the same initial weights and draws."""
    task = task.broadcast()
    model = task.init(jax.random.fold_in(jax.random.key(seed), jnp.uint32(INIT_TAG)))
    draws = [
        np.asarray(task.features.sample(jax.random.fold_in(jax.random.key(seed), t), config.batch_size))
        for t in range(config.steps)
    ]
    rates = [float(config.learning_rate_schedule()(t)) for t in range(config.steps)]
    return train_twin(
        np.asarray(model.W),
        np.asarray(model.b),
        draws,
        np.asarray(task.importance, np.float64),
        rates,
        weight_decay=config.weight_decay,
        beta1=config.beta1,
        beta2=config.beta2,
        power=task.loss_exponent,
    )


CASES = {
    "plain": ({}, {}),
    "constant rate, decay": ({}, {"schedule": "constant", "weight_decay": 0.05}),
    "warm-up": ({"importance": 0.9 ** np.arange(7)}, {"warmup_steps": 10, "schedule": "linear"}),
    "fourth power": ({"loss_exponent": 4, "importance": 0.7}, {"beta1": 0.8, "beta2": 0.95}),
    "sparse, signed": ({"feature_probability": 0.05, "magnitude": "signed_uniform"}, {}),
}


def setting(case):
    extra_task, extra_config = CASES[case]
    task = sp.tasks.Toy(**{"n_features": 7, "n_hidden": 3, "feature_probability": 0.4, **extra_task})
    config = sp.TrainConfig(steps=STEPS, batch_size=64, history=STEPS, evaluation_samples=64, **extra_config)
    return task, config.with_defaults(task)


def relative(a, b):
    return float(np.linalg.norm(np.asarray(a) - b) / np.linalg.norm(b))


@pytest.mark.parametrize("case", ["plain", *map(slow, list(CASES)[1:])])
def test_fifty_adam_steps_equal_the_numpy_twin_in_float32(case):
    task, config = setting(case)
    run = sp.train(task, config, seed=3)
    W, b, losses = twin_of(task, config, 3)
    assert max(relative(run.model.W, W), relative(run.model.b, b), relative(run.history.loss, losses)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_fifty_adam_steps_equal_the_numpy_twin_in_float64(case, x64):
    task, config = setting(case)
    run = sp.train(task, config, seed=3)
    assert run.model.W.dtype == jnp.float64
    W, b, losses = twin_of(task, config, 3)
    assert max(relative(run.model.W, W), relative(run.model.b, b), relative(run.history.loss, losses)) < 1e-9


def test_gradient_agrees_with_finite_differences(x64, rng):
    task = sp.tasks.Toy(n_features=6, n_hidden=3, feature_probability=0.5, activation="gelu").broadcast()
    model = task.init(jax.random.key(0))

    def loss(W):
        return task.loss(sp.ToyModel(W, model.b[...], activation="gelu"), jax.random.key(1), 200)[0]

    W = model.W[...]
    direction = jnp.asarray(rng.standard_normal(W.shape))
    slope = (loss(W + 1e-5 * direction) - loss(W - 1e-5 * direction)) / 2e-5
    assert_allclose(jnp.sum(jax.grad(loss)(W) * direction), slope, rtol=1e-7)


def test_schedules_have_the_published_shapes():
    rates = {
        name: [
            float(sp.TrainConfig(steps=100, learning_rate=2.0, schedule=name).learning_rate_schedule()(t))
            for t in (0, 50, 100)
        ]
        for name in ("constant", "cosine", "linear")
    }
    assert_allclose(rates["constant"], [2, 2, 2])
    assert_allclose(rates["cosine"], [2, 1, 0], atol=1e-6)
    assert_allclose(rates["linear"], [2, 1, 0], atol=1e-6)
    warm = sp.TrainConfig(steps=110, learning_rate=2.0, warmup_steps=10).learning_rate_schedule()
    assert_allclose([float(warm(t)) for t in (0, 5, 10, 60, 110)], [0, 1, 2, 1, 0], atol=1e-6)


@pytest.mark.slow
def test_biases_decay_only_when_asked():
    task = sp.tasks.Toy(n_features=4, n_hidden=2)
    config = sp.TrainConfig(steps=200, batch_size=32, weight_decay=0.5, schedule="constant", evaluation_samples=32)
    spared = sp.train(task, config).model.b[...]
    decayed = sp.train(task, dataclasses.replace(config, decay_bias=True)).model.b[...]
    assert float(jnp.linalg.norm(decayed)) < 0.9 * float(jnp.linalg.norm(spared))


@pytest.mark.slow
def test_changing_any_field_changes_the_result():
    """A setting that is accepted and ignored is the worst kind."""
    task = sp.tasks.Toy(n_features=4, n_hidden=2, feature_probability=0.6, magnitude="constant")
    config = sp.TrainConfig(steps=30, batch_size=16, warmup_steps=2, weight_decay=0.01, history=1)
    changes = {
        "n_features": 5, "n_hidden": 3, "feature_probability": 0.5, "importance": 0.9 ** np.arange(4),
        "init_scale": 0.5, "hidden_l1": 0.1, "activation": "gelu", "bias": False, "loss_exponent": 4, "magnitude": "uniform", "correlated_sets": ((0, 1),),
        "anticorrelated_sets": ((0, 2),), "steps": 31, "batch_size": 17, "learning_rate": 0.02, "weight_decay": 0.1,
        "unit_norm_pull": 0.1, "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-2, "optimizer": "sgd", "schedule": "linear", "warmup_steps": 3,
        "decay_bias": True, "objective": "expected", "order": 5, "first_step": 5, "stop_below": 1e3, "stop_above": 0.0,
        "momentum": 0.9, "nesterov": True,
    }  # fmt: skip
    recorded = {
        "history",
        "snapshots",
        "metrics",
        "evaluation_samples",
        "stop_metric",
    }  # the toy model records the loss alone
    fields = {f.name for node in (task, config) for f in dataclasses.fields(node)}
    assert set(changes) | recorded == fields
    exact = {"objective": "expected", "magnitude": "uniform"}
    more = {"anticorrelated_sets": {"feature_probability": 0.3}, "objective": {"magnitude": "uniform"}, "order": exact}
    more |= {name: {"history": 2} for name in ("stop_below", "stop_above")}
    more |= {"momentum": {"optimizer": "sgd"}, "nesterov": {"optimizer": "sgd", "momentum": 0.9}}
    ours = {f.name for f in dataclasses.fields(task)}

    def trained(**settings):
        """What `train` compiles first; the loss of the trained model, another program, is not looked at."""
        parts = ({k: v for k, v in settings.items() if (k in ours) is own} for own in (True, False))
        new = [dataclasses.replace(old, **part) for old, part in zip((task, config), parts, strict=True)]
        new[1] = new[1].with_defaults(new[0])
        check_all(*new)
        return np.asarray(_train(*(node.broadcast() for node in new), jnp.uint32(0))[0].model.W)

    bases = {}
    for name, value in changes.items():
        if name in ("n_features", "n_hidden"):
            other = dataclasses.replace(task, **{name: value}).broadcast()
            assert jax.eval_shape(other.init, jax.random.key(0)).W.shape != (2, 4)
            continue
        besides = more.get(name, {})
        label = str(besides)
        if label not in bases:
            bases[label] = trained(**besides)
        assert not np.array_equal(trained(**{**besides, name: value}), bases[label]), name


@pytest.mark.optimized
def test_training_in_pieces_changes_no_bit():
    task = sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=0.2).broadcast()
    config = sp.TrainConfig(
        steps=97, batch_size=32, history=10, snapshots=(13, 50), learning_rate=0.01, beta1=0.9, beta2=0.99
    ).broadcast()
    seed, whole = jnp.uint32(1), intervals(config)
    go = jax.jit(advance)
    state, record = go(task, config, seed, init(task, config, seed), whole)
    pieces = init(task, config, seed)
    losses = []
    for k in range(len(whole.start)):
        pieces, part = go(task, config, seed, pieces, jax.tree.map(lambda leaf, k=k: leaf[k : k + 1], whole))
        losses.append(part.loss)
    assert np.concatenate(losses).tobytes() == np.asarray(record.loss).tobytes()
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(pieces), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_snapshots_hold_the_weights_at_the_named_steps():
    task = sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=0.2)
    config = sp.TrainConfig(steps=60, batch_size=32, schedule="constant", snapshots=(0, 20, 60), history=7)
    run = sp.train(task, config, seed=4)
    early = sp.train(task, dataclasses.replace(config, steps=20, snapshots=()), seed=4)
    assert_allclose(run.snapshots.W[1], early.model.W[...], rtol=1e-5, atol=1e-6)
    assert np.array_equal(run.snapshots.W[2], run.model.W[...])
    assert list(run.history_steps) == sorted({9, 17, 20, 26, 34, 43, 51, 60})
    assert len(run.history.loss) == len(run.history_steps)


def test_the_data_key_is_seed_and_step_and_nothing_else():
    """More steps, another batch of history, other weights: step t of a seed sees the same draws."""
    seen = []

    class Spy(sp.tasks.Toy):
        def loss(self, model, key, batch_size):
            jax.debug.callback(lambda data: seen.append(tuple(data.tolist())), jax.random.key_data(key))
            return super().loss(model, key, batch_size)

    jax.tree_util.register_dataclass(
        Spy, list(numeric_fields(sp.tasks.Toy(n_features=1, n_hidden=1))),
        [f.name for f in dataclasses.fields(sp.tasks.Toy) if f.metadata.get("static")],
    )  # fmt: skip
    # A loss that is not known exactly, so that held-out inputs estimate it.
    sp.train(
        Spy(n_features=3, n_hidden=2, loss_exponent=3),
        sp.TrainConfig(steps=4, batch_size=8, evaluation_samples=1_500),
        seed=9,
    )
    jax.effects_barrier()
    key = jax.random.key(9)
    steps = [tuple(np.asarray(jax.random.key_data(jax.random.fold_in(key, t))).tolist()) for t in range(4)]
    test_key = jax.random.fold_in(jax.random.key(0), jnp.uint32(EVALUATION_TAG))
    held_out = [tuple(np.asarray(jax.random.key_data(jax.random.fold_in(test_key, k))).tolist()) for k in range(2)]
    assert sorted(seen) == sorted(steps + held_out)


@pytest.mark.slow
def test_train_is_vmappable_over_every_numeric_field():
    """Every one of them alone is traced; all of them together, with the seed, are trained."""
    task = sp.tasks.Toy(n_features=3, n_hidden=2, magnitude="constant")
    config = sp.TrainConfig(steps=10, batch_size=16, evaluation_samples=16)
    names = {name: node for node in (task, config) for name in numeric_fields(node)}

    def train(seed=0, **values):
        mine = [{k: v for k, v in values.items() if names[k] is node} for node in (task, config)]
        return sp.train(dataclasses.replace(task, **mine[0]), dataclasses.replace(config, **mine[1]), seed)

    for name in names:
        runs = jax.eval_shape(jax.vmap(lambda v, name=name: train(**{name: v}).model), jnp.asarray([0.3, 0.8]))
        assert runs.W.shape == (2, 2, 3), name
    values = {name: jnp.asarray([0.8, 0.3]) + 0.01 * k for k, name in enumerate(names)}
    seeds = jnp.arange(2, dtype=jnp.uint32)
    runs = jax.vmap(lambda seed, values: train(seed, **values))(seeds, values)
    alone = train(1, **{name: float(v[1]) for name, v in values.items()})
    assert_allclose(runs.model.W[1], alone.model.W[...], rtol=2e-4, atol=1e-5)
    assert_allclose(runs.loss[1], alone.loss, rtol=2e-4)


def test_new_values_do_not_recompile(compilations):
    config = sp.TrainConfig(steps=5, batch_size=8, evaluation_samples=8)
    for k, p in enumerate((0.1, 0.2, 0.7)):
        task = sp.tasks.Toy(n_features=4, n_hidden=2, feature_probability=p, importance=1.0 + p)
        sp.train(task, dataclasses.replace(config, learning_rate=0.01 * (k + 1), weight_decay=p), seed=k)
        if k == 0:
            compilations.clear()
    assert not compilations


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_a_diverging_run_raises_with_its_step(rate):
    with pytest.raises(sp.DivergedError, match=r"diverged at step \d+.*learning_rate") as caught:
        sp.train(sp.tasks.Toy(n_features=5, n_hidden=2), sp.TrainConfig(steps=50, learning_rate=rate))
    assert caught.value.step == 0


@pytest.mark.slow
def test_a_run_that_diverges_late_names_the_late_step():
    """Plain gradient descent beyond the stability limit: the error grows by a factor at every step."""
    task = sp.tasks.Toy(n_features=3, n_hidden=2, activation="identity", init_scale=0.3)
    config = sp.TrainConfig(steps=4_000, learning_rate=60.0, optimizer="sgd", schedule="linear", warmup_steps=2_000)
    with pytest.raises(sp.DivergedError) as caught:
        sp.train(task, config)
    assert 20 < caught.value.step < 2_000
    fine = sp.train(task, dataclasses.replace(config, learning_rate=0.5))
    assert np.isfinite(float(fine.loss))


def test_a_run_prints_itself_in_three_lines():
    run = sp.train(sp.tasks.Toy(n_features=3, n_hidden=2), sp.TrainConfig(steps=2, batch_size=4, evaluation_samples=4))
    assert len(repr(run).splitlines()) == 3 and "W (2, 3)" in repr(run)
