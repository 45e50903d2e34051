"""Activations, optimisers, metrics and features of one's own: trained, swept, stored, gone on with, and named when missing."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import own_things
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.identity import code_of, registered
from superpos.sweeping.engines.ray import modules_of
from superpos.training.optimizers import is_weight

HERE = Path(__file__).parent
SIZES: dict[str, Any] = {"n_features": 4, "n_hidden": 2}
SHORT: dict[str, Any] = {"steps": 20, "batch_size": 8, "history": 4, "evaluation_samples": 64}
TASK = sp.tasks.Toy(**SIZES, activation="softsign")
CONFIG = sp.TrainConfig(optimizer="belief", metrics=("largest_weight",), **SHORT)
GRID = sp.Grid(beta1=[0.5, 0.9], seed=range(2))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "things.zarr"
    sp.sweep(TASK, CONFIG, GRID, path, block_size=2)
    return path


@pytest.fixture
def renamed(monkeypatch):
    """Give a name to another function for one test."""

    def rename(field, name, function):
        monkeypatch.setitem(registered._FUNCTIONS[field], name, function)
        if field == "activation":
            monkeypatch.setitem(sp.models.activations.ACTIVATIONS, name, function)

    return rename


@pytest.mark.slow
def test_all_three_are_swept_stored_and_labelled(store):
    result = sp.open(store)
    run = sp.train(TASK, dataclasses.replace(CONFIG, beta1=0.5), seed=1)
    cell = result.sel(beta1=0.5, seed=1)
    assert_allclose(cell["W"], run.model.W[...], rtol=1e-5)
    history = cell["largest_weight_history"]
    assert history.dims == ("record",) and history.dtype == np.float32
    assert_allclose(history, run.history.metrics["largest_weight"], rtol=1e-5)
    assert_allclose(history[-1], np.abs(cell["W"]).max(), rtol=1e-6)
    assert result.attrs["task"]["activation"] == "softsign" and result.attrs["train"]["optimizer"] == "belief"
    model = cell.model()
    assert_allclose(model(jnp.ones(4)), own_things.softsign(model.decode(model.encode(jnp.ones(4)))), rtol=1e-6)
    text = sp.plot.caption(result.attrs)
    assert "softsign output" in text and "20 steps of belief" in text
    assert result.geometry()["shape"].shape == (2, 2)


def test_an_optimiser_of_ones_own_is_the_transformation_with_rate_schedule_and_decay():
    config = sp.TrainConfig(optimizer="belief", weight_decay=0.1, schedule="constant", learning_rate=0.01, **SHORT)
    task = sp.tasks.Toy(**SIZES)
    full = config.with_defaults(task)
    assert (full.beta1, full.beta2) == (0.9, 0.95)  # the task's, and the function's own default
    parameters = sp.ToyModel(np.ones((2, 3)), np.ones(3))
    made, by_hand = (
        full.build_optimizer(),
        optax.chain(
            optax.scale_by_belief(0.9, 0.95),
            optax.add_decayed_weights(0.1, mask=is_weight),
            optax.scale_by_learning_rate(0.01),
        ),
    )
    gradient = jax.tree.map(lambda p: 0.3 * p, parameters)
    steps = [o.update(gradient, o.init(parameters), parameters)[0] for o in (made, by_hand)]
    jax.tree.map(lambda a, b: assert_allclose(a, b, rtol=1e-6), *steps)


@pytest.mark.slow
def test_names_may_be_swept_and_a_built_in_keeps_its_numbers():
    grid = sp.Grid(optimizer=["adamw", "belief"], activation=["relu", "softsign"])
    result = sp.sweep(sp.tasks.Toy(**SIZES), sp.TrainConfig(**SHORT), grid, block_size=1)
    alone = sp.sweep(sp.tasks.Toy(**SIZES), sp.TrainConfig(**SHORT), sp.Grid(seed=[0]), block_size=1)
    assert_array_equal(result.sel(optimizer="adamw", activation="relu")["W"], alone["W"][0])
    assert "code" in result.attrs and "code" not in alone.attrs


@pytest.mark.slow
def test_changed_code_is_another_sweep_and_another_program(store, renamed):
    def hard(x):
        return jnp.clip(x, -1, 1)

    before = sp.train(TASK, CONFIG).model.W[...]
    renamed("activation", "softsign", hard)
    assert not np.array_equal(sp.train(TASK, CONFIG).model.W[...], before)
    with pytest.raises(sp.ConfigError, match="another sweep: the task's code changed"):
        sp.sweep(TASK, CONFIG, GRID, store, block_size=2)
    renamed("activation", "softsign", own_things.softsign)
    assert sp.sweep(TASK, CONFIG, GRID, store, block_size=2)["W"].shape == (2, 2, 2, 4)


def test_only_what_is_named_counts():
    assert code_of(sp.tasks.Toy(**SIZES), sp.TrainConfig()) is None
    assert code_of(TASK) != code_of(TASK, CONFIG)
    assert code_of(sp.tasks.Toy(**SIZES), CONFIG) is not None


@pytest.mark.slow
def test_a_result_opens_without_the_module_and_says_what_is_missing(store, tmp_path):
    code = (
        "import json, superpos as sp\n"
        f"result = sp.open({str(store)!r})\n"
        "lines = [result['W'].sum().item()]\n"
        "for f in (lambda: result.model(beta1=.5, seed=0), lambda: sp.TrainConfig(optimizer='belief').check(),\n"
        "          lambda: sp.TrainConfig(metrics=('largest_weight',)).check()):\n"
        "    try: f()\n"
        "    except sp.ConfigError as error: lines.append(str(error))\n"
        "import own_things\n"
        "lines.append(result.model(beta1=.5, seed=0).activation)\n"
        "print(json.dumps(lines))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(HERE.parent), str(HERE))), "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    total, *sentences, activation = json.loads(done.stdout)
    assert total == sp.open(store)["W"].sum().item() and activation == "softsign"
    for field, sentence in zip(("activation", "optimizer", "metrics"), sentences, strict=True):
        assert sentence.startswith(f"{field} must be ") and "--import MODULE" in sentence and "\n" not in sentence


@pytest.mark.slow
def test_a_model_stops_by_a_metric_of_ones_own():
    config = dataclasses.replace(CONFIG, stop_above=0.0, stop_metric="largest_weight")
    run = sp.train(sp.tasks.Toy(**SIZES), config)
    assert int(run.stopped_step) == 5
    assert np.isnan(run.history.metrics["largest_weight"][1:]).all()


@pytest.mark.slow
def test_features_of_ones_own_are_drawn_and_swept():
    task = own_things.SharedToy(**SIZES)
    result = sp.sweep(task, sp.TrainConfig(**SHORT), sp.Grid(share=[0.1, 0.9]), block_size=2)
    x = np.asarray(result.task(share=0.9).features.sample(jax.random.key(0), 1_000))
    assert x.shape == (4, 1_000) and 0.75 < (x[1:] == x[:-1]).mean() < 0.87
    assert not np.array_equal(result["W"][0], result["W"][1])
    assert "share swept" in sp.plot.caption(result.attrs) and task.expected_loss(result.model(share=0.9)) is None
    with pytest.raises(sp.ConfigError, match='^objective must be "sampled" for features of one\'s own'):
        sp.train(dataclasses.replace(task, objective="expected"))
    assert dataclasses.replace(task, objective="auto").training_defaults()["steps"] == 5_000  # it samples


@pytest.mark.parametrize(
    ("register", "said"),
    [
        (lambda: sp.models.register_activation("relu")(jnp.tanh), "activation 'relu' is taken by superpos"),
        (lambda: sp.models.register_activation("softsign")(jnp.tanh), "taken by own_things.softsign"),
        (lambda: sp.models.register_activation("A b")(jnp.tanh), "lower-case word"),
        (lambda: sp.models.register_activation("total")(jnp.sum), "the shape it is given"),
        (lambda: registered.register_function("activation", "three", 3, ()), "must be a function"),
        (lambda: sp.models.register_activation("broken")(lambda a, b: a), "failed for an array"),
        (lambda: sp.optimizers.register("adamw")(own_things.belief), "taken by superpos"),
        (lambda: sp.optimizers.register("rho")(lambda rho: None), "may take beta1.*'rho'"),
        (lambda: sp.metrics.register("loss")(own_things.largest_weight), "taken by superpos"),
    ],
)
def test_what_cannot_be_registered(register, said):
    with pytest.raises(sp.ConfigError, match=said):
        register()


@pytest.mark.parametrize(
    ("task", "config", "said"),
    [
        ({"objective": "expected"}, {}, "^activation must be one of relu, identity for the expected loss"),
        ({"activation": "softsin"}, {}, "^activation must be one of.*Did you mean softsign"),
        ({}, {"optimizer": "beleif"}, "^optimizer must be one of.*Did you mean belief"),
        ({}, {"metrics": ("nothing",)}, "^metrics must be one of largest_weight, got 'nothing'"),
        ({}, {"metrics": ("largest_weight", "largest_weight")}, "^metrics must not name one twice"),
    ],
)
def test_settings_that_are_refused(task, config, said):
    with pytest.raises(sp.ConfigError, match=said):
        sp.train(dataclasses.replace(TASK, **task), dataclasses.replace(CONFIG, **config))


def test_what_functions_return_is_looked_at(renamed):
    renamed("metrics", "largest_weight", lambda task, model: model.W[...])
    with pytest.raises(sp.ConfigError, match="metric 'largest_weight' must be one real number"):
        sp.train(TASK, CONFIG)
    renamed("optimizer", "belief", lambda beta1, beta2: None)
    with pytest.raises(sp.ConfigError, match="must return an optax.GradientTransformation, got NoneType"):
        sp.train(TASK, dataclasses.replace(CONFIG, metrics=()))


def test_ray_workers_import_the_modules_of_all_names(unchecked, monkeypatch):
    layout = SimpleNamespace(families=[SimpleNamespace(task=TASK, config=sp.TrainConfig())])
    job = SimpleNamespace(stored=SimpleNamespace(layout=layout), kind="toy")
    assert modules_of(job) == ["own_things", "superpos.tasks.toy"]
    monkeypatch.setattr(own_things.softsign, "__module__", "__main__")
    with pytest.raises(sp.ConfigError, match="activation softsign is defined in a script or notebook"):
        modules_of(job)
