"""One hidden layer that computes: the model, its task, and where the engine meets them."""

import dataclasses

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose

import superpos as sp
from superpos.analysis import features_per_neuron, neuron_has_feature, neuron_order
from superpos.cli.sweepfile import read
from superpos.experiments import Claims
from superpos.experiments.privileged_basis import evaluate, monosemantic_count, neurons
from superpos.models import ComputationModel
from superpos.training.optimizers import named_leaves

SHORT = sp.TrainConfig(steps=20, batch_size=16, history=4, evaluation_samples=32)
FOUR = sp.tasks.Computation(n_features=4, n_hidden=3, feature_probability=0.6)


def key(k):
    """A key whose draws compile in no time."""
    return jax.random.key(k, impl="unsafe_rbg")


def forward(W1, W2, b, x, hidden="relu"):
    """The equation, and nothing shared with the package."""
    h = W1 @ x
    return np.maximum(W2 @ (np.maximum(h, 0) if hidden == "relu" else h) + b[:, None], 0)


@pytest.mark.parametrize("hidden", ["relu", "identity"])
@pytest.mark.parametrize("tied", [True, False])
def test_model_is_the_formula_for_one_input_and_for_columns(hidden, tied, rng):
    W1, W2, b, x = (rng.standard_normal(s) for s in ((3, 7), (7, 3), (7,), (7, 11)))
    arrays = [jnp.asarray(a, float) for a in (W1, W2, b, x)]
    W2 = W1.T if tied else W2
    model = ComputationModel(arrays[0], None if tied else arrays[1], arrays[2], hidden_activation=hidden)
    assert_allclose(model(arrays[3]), forward(W1, W2, b, x, hidden), rtol=2e-5, atol=2e-5)
    assert_allclose(model(arrays[3][:, 4]), forward(W1, W2, b, x, hidden)[:, 4], rtol=2e-5, atol=2e-5)
    bare = ComputationModel(arrays[0], None if tied else arrays[1], hidden_activation=hidden)
    assert_allclose(bare(arrays[3]), forward(W1, W2, 0 * b, x, hidden), rtol=2e-5, atol=2e-5)


def test_tied_weights_are_one_parameter_and_the_hidden_layer_has_no_bias():
    names = {
        (tied, bias): {
            name: leaf.shape
            for name, leaf in named_leaves(
                jax.eval_shape(sp.tasks.Computation(n_features=5, n_hidden=2, tied=tied, bias=bias).init, key(0))
            )
        }
        for tied in (True, False)
        for bias in (True, False)
    }
    assert names[True, True] == {"W": (2, 5), "b": (5,)} and names[True, False] == {"W": (2, 5)}
    assert names[False, True] == {"W1": (2, 5), "W2": (5, 2), "b": (5,)} and set(names[False, False]) == {"W1", "W2"}


def test_initial_weights_are_those_of_one_model():
    task = sp.tasks.Computation(n_features=150, n_hidden=30, tied=False, init_scale=0.5).broadcast()
    model, std = task.init(key(0)), 0.5 * np.sqrt(2 / 180)
    for W in (model.W1, model.W2):
        assert abs(np.std(W) - std) < 4 * std / np.sqrt(2 * 4_500)
    assert abs(np.corrcoef(np.ravel(model.W1), np.ravel(model.W2[...].T))[0, 1]) < 0.06  # two draws


def test_paired_weights_let_every_feature_excite_its_own_output():
    model = dataclasses.replace(FOUR, tied=False, paired_init=True).broadcast().init(key(0))
    assert np.array_equal(model.W2[...], np.abs(model.W1[...].T))
    assert all((np.diagonal(model(sign * jnp.eye(4))) > 0).all() for sign in (1, -1))


def test_dedicated_features_start_solved_and_the_others_ignored():
    """Without noise: |x| for the first two, 0 for the others; a grid of them is one program."""
    task = dataclasses.replace(FOUR, n_hidden=5, tied=False, paired_init=True, init_scale=0, dedicated_features=2)
    x = jnp.asarray([[0.3, -1], [-0.7, 0.2], [0.5, -0.5], [1, 1]])
    y = jax.vmap(lambda k: dataclasses.replace(task, dedicated_features=k).broadcast().init(key(0))(x))(jnp.arange(3))
    for k in range(3):
        assert_allclose(y[k], np.where(np.arange(4)[:, None] < k, np.abs(x), 0))


def twin(W1, W2, b, x, task):
    """Loss and gradients by hand, for W1, W2 and b."""
    y = np.abs(x) if task.target == "absolute" else x
    q, importance = task.loss_exponent, np.broadcast_to(np.asarray(task.importance, np.float64), len(b))[:, None]
    h = np.maximum(W1 @ x, 0)
    a = W2 @ h + b[:, None]
    error = np.maximum(a, 0) - y
    da = importance * q * np.abs(error) ** (q - 1) * np.sign(error) * (a > 0) / error.size
    return np.mean(importance * np.abs(error) ** q), ((W2.T @ da) * (h > 0)) @ x.T, da @ h.T, da.sum(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"importance": 0.7 ** np.arange(6)},
        {"tied": False, "target": "absolute", "loss_exponent": 4, "magnitude": "signed_uniform"},
    ],
    ids=["tied", "untied, fourth power"],
)
def test_loss_and_gradient_equal_those_by_hand(settings, rng):
    task = sp.tasks.Computation(n_features=6, n_hidden=4, feature_probability=0.5, **settings).broadcast()
    W1, W2, b = (rng.standard_normal(s) for s in ((4, 6), (6, 4), (6,)))
    W2 = W1.T if task.tied else W2
    arrays = [jnp.asarray(a, float) for a in (W1, W2, b)]
    model = ComputationModel(arrays[0], None if task.tied else arrays[1], arrays[2])
    found, gradient = jax.value_and_grad(lambda model: task.loss(model, key(1), 50)[0])(model)
    loss, dW1, dW2, db = twin(W1, W2, b, np.asarray(task.features.sample(key(1), 50), np.float64), task)
    assert float(found) == pytest.approx(loss, rel=1e-5)
    assert_allclose(gradient.b[...], db, rtol=1e-4, atol=1e-6)
    if task.tied:  # one parameter, used twice
        assert_allclose(gradient.W[...], dW1 + dW2.T, rtol=1e-4, atol=1e-6)
    else:
        assert_allclose(gradient.W1[...], dW1, rtol=1e-4, atol=1e-6)
        assert_allclose(gradient.W2[...], dW2, rtol=1e-4, atol=1e-6)


def test_without_the_hidden_relu_it_is_the_toy_model(rng):
    same = {"n_features": 6, "n_hidden": 4, "feature_probability": 0.5, "importance": rng.random(6)}
    ours, toy = sp.tasks.Computation(**same, hidden_activation="identity").broadcast(), sp.tasks.Toy(**same).broadcast()
    one, other = ours.init(key(3)), toy.init(key(3))
    assert_allclose(one.W[...], other.W[...])
    assert_allclose(ours.loss(one, key(1), 50)[0], toy.loss(other, key(1), 50)[0], rtol=1e-6)


@pytest.mark.slow
def test_losses_of_weights_built_by_hand():
    """A neuron for each feature: x itself. One for each sign: |x|. One and no bias: x for x², off by ∫(x² − x)² = 1/30."""
    eye = jnp.eye(3)
    assert (
        sp.tasks.Computation(n_features=3, n_hidden=3).broadcast().loss(ComputationModel(eye), key(0), 50_000)[0] == 0
    )
    both = ComputationModel(jnp.concatenate([eye, -eye]), jnp.concatenate([eye, eye], axis=1))
    settings = {"n_features": 3, "n_hidden": 6, "tied": False, "magnitude": "signed_uniform"}
    task = sp.tasks.Computation(**settings, target="absolute").broadcast()
    assert float(task.loss(both, key(0), 50_000)[0]) == 0
    square = sp.tasks.Computation(**settings, target="square").broadcast()
    assert float(square.loss(both, key(0), 50_000)[0]) == pytest.approx(1 / 30, rel=0.02)


@pytest.mark.slow
def test_changing_any_field_changes_the_result():
    task = dataclasses.replace(FOUR, magnitude="signed_uniform", importance=0.9)
    changes = {
        "n_features": 5, "n_hidden": 2, "feature_probability": 0.5, "importance": 0.8 ** np.arange(4), "init_scale": 0.5,
        "target": "absolute", "tied": False, "hidden_activation": "identity", "bias": False, "loss_exponent": 4,
        "magnitude": "uniform", "paired_init": True, "dedicated_features": 1,
    }  # fmt: skip
    assert set(changes) == {f.name for f in dataclasses.fields(task)}

    def loss(task):
        task = task.broadcast()
        return float(task.loss(task.init(key(0)), key(1), 50)[0])

    model = task.broadcast().init(key(0))
    for name, value in changes.items():
        changed = dataclasses.replace(task, **{name: value})
        if name == "bias":  # zero at the start, whether it exists or not
            assert changed.broadcast().init(key(0)).b is None and model.b is not None
        elif name == "paired_init":  # of untied weights
            assert loss(dataclasses.replace(changed, tied=False)) != loss(dataclasses.replace(task, tied=False))
        elif name == "dedicated_features":  # of paired weights
            paired = {"tied": False, "paired_init": True}
            assert loss(dataclasses.replace(changed, **paired)) != loss(dataclasses.replace(task, **paired))
        else:
            assert loss(changed) != loss(task), name


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target": "cube"}, "target must be one of identity, absolute, square, got 'cube'"),
        ({"target": "absolute"}, 'magnitude must be signed_uniform for target="absolute"'),
        ({"tied": 1}, "tied must be true or false"),
        ({"hidden_activation": "tanh"}, "hidden_activation must be one of relu, identity, gelu, solu"),
        ({"n_hidden": 0}, "n_hidden must be at least 1"),
        ({"importance": [1, 2]}, "importance must be one number or 4"),
        ({"importance": -1}, "importance must be at least 0"),
        ({"loss_exponent": 2.0}, "loss_exponent must be a whole number"),
        ({"magnitude": "normal"}, "magnitude must be one of"),
        ({"paired_init": 1}, "paired_init must be true or false"),
        ({"paired_init": True}, "paired_init must be false where tied is true"),
        ({"dedicated_features": 2}, "dedicated_features must be at least 0 and at most 1"),
        ({"dedicated_features": 1}, "dedicated_features must be 0 where paired_init is false"),
        ({"bias": "no"}, "bias must be true or false"),
        ({"init_scale": -1}, "init_scale must be at least 0"),
        ({"feature_probability": 0}, "feature_probability must be above 0"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, words, unchecked):
    with pytest.raises(sp.ConfigError) as error:
        sp.train(dataclasses.replace(FOUR, **settings), SHORT)
    assert words in str(error.value)


@pytest.mark.slow
def test_a_stored_sweep_of_tied_and_untied_models_opens_and_gives_its_models_back(tmp_path):
    grid = sp.Grid(tied=[True, False], feature_probability=[0.9, 0.3], seed=[0, 1])
    result = sp.sweep(FOUR, SHORT, grid, tmp_path / "r.zarr", block_size=2)
    again = sp.open(tmp_path / "r.zarr")
    assert again["W2"].dims == ("tied", "feature_probability", "seed", "feature", "hidden")
    x = jnp.asarray(np.random.default_rng(0).random((4, 9)), float)
    for tied in (True, False):
        where = {"tied": tied, "feature_probability": 0.3, "seed": 1}
        model, cell = again.model(**where), result.sel(**where)
        assert isinstance(model, ComputationModel) and (model.W is None) != tied
        W1, W2 = (cell["W"], cell["W"].T) if tied else (cell["W1"], cell["W2"])
        assert_allclose(model(x), forward(W1.values, W2.values, cell["b"].values, np.asarray(x)), rtol=1e-5, atol=1e-6)
    with pytest.raises(sp.ConfigError, match=r"no W .*choose the others with \.sel\(tied=True\)"):
        again.geometry()
    table = again.sel(tied=True).geometry()
    assert table["shape"].dims == ("feature_probability", "seed") and table["polysemanticity"].sizes["hidden"] == 3
    with pytest.raises(sp.ConfigError, match="no W"):
        again.sel(tied=False).phases()
    assert "tied swept" in sp.plot.caption(again.attrs) and "target identity" in repr(again)
    same = sp.sweep(FOUR, SHORT, grid, tmp_path / "r.zarr", block_size=2)  # found again, not trained again
    assert same["W1"].equals(result["W1"])
    with pytest.raises(sp.ConfigError, match="task.loss_exponent differs"):
        sp.sweep(dataclasses.replace(FOUR, loss_exponent=4), SHORT, grid, tmp_path / "r.zarr", block_size=2)


def test_sweep_files_know_the_task(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(
        '[task]\nkind = "computation"\nn_features = 3\nn_hidden = 6\nimportance = "0.8^i"\n[grid]\nseed = {range = 2}\n'
    )
    said = read(file, ["task.tied=false", "task.target=absolute", "task.magnitude=signed_uniform"])
    assert type(said.task) is sp.tasks.Computation and not said.task.tied and said.task.target == "absolute"
    said.task.check()
    with pytest.raises(sp.ConfigError, match=r"task has no field 'activation'.*hidden_activation"):
        read(file, ["task.activation=relu"])


def test_captions_say_what_was_computed():
    attrs = {
        "task": {"kind": "computation", **{f.name: getattr(FOUR, f.name) for f in dataclasses.fields(FOUR)}},
        "train": {"optimizer": "adamw", "learning_rate": 0.003, "steps": 5_000, "batch_size": 1_024, "schedule": "cosine"},
        "grid": {"axes": [{"field": "seed"}]}, "superpos": "0", "versions": {"jax": "0"},
    }  # fmt: skip
    text = sp.plot.caption(attrs)
    assert "4 features in 3 hidden dimensions; ReLU hidden layer; importance 1; feature probability 0.6; 5,000" in text
    attrs["task"] |= {
        "tied": False, "target": "absolute", "magnitude": "signed_uniform", "hidden_activation": "identity",
        "loss_exponent": 4, "bias": False, "init_scale": 0.5,
    }  # fmt: skip
    text = sp.plot.caption(attrs)
    for words in (
        "linear hidden layer", "untied weights", "target |x|", "magnitude uniform on [−1, 1]", "loss exponent 4", "no bias",
        "initial weights × 0.5",
    ):  # fmt: skip
        assert words in text


MIXED = np.array([[0.0, 2.0, 0.1, 0.0], [1.0, -3.0, 0.0, 0.0], [0.0, 0.0, 1.2, 1.0]])


def test_what_a_neuron_has():
    assert neuron_has_feature(MIXED).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]]
    assert features_per_neuron(MIXED).tolist() == [1, 1, 2]
    assert neuron_order(MIXED).tolist() == [1, 0, 2]
    assert features_per_neuron(MIXED - 100 * np.eye(3, 4)[:, ::-1]).tolist() == [1, 1, 2]  # inhibition sets no scale
    heavy = MIXED * [1, 10, 1, 1]  # excitation does, unless every feature has its own
    assert features_per_neuron(heavy).tolist() == [1, 0, 0]
    assert features_per_neuron(heavy, per_feature=True).tolist() == [1, 1, 2]
    assert not neuron_has_feature(np.zeros((2, 3))).any()


def test_laws_of_neurons(rng):
    W = rng.standard_normal((5, 8))
    rows, columns = rng.permutation(5), rng.permutation(8)
    for own in (True, False):
        has = np.asarray(neuron_has_feature(W, per_feature=own))
        assert np.array_equal(neuron_has_feature(W[rows][:, columns], per_feature=own), has[rows][:, columns])
        assert np.array_equal(neuron_has_feature(W, above=1.0, per_feature=own), np.zeros_like(has))
    assert np.array_equal(neuron_has_feature(7 * W), neuron_has_feature(W))


def tabled():
    """Weights that show exactly what the table says, at every density."""

    def build(single, code):
        W = np.zeros((5, 10))
        W[:single, :single] = np.eye(single)
        for k, neurons_ in enumerate(code):
            W[[single + n for n in neurons_], single + k] = 1
        return W

    binary, pairs = [(0,), (1,), (0, 1)], [(a, b) for a in range(5) for b in range(a)]
    three, four = [(0,), (1,), (2,), (0, 1), (1, 2)], [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2), (1, 3)]
    rows = [
        (5, []),
        (5, []),
        (3, binary),
        (3, binary),
        (2, three),
        (1, four),
        (0, pairs[:8]),
        (0, pairs[:8]),
        (0, pairs),
    ]
    densities = (0.7, 0.5, 0.35, 0.25, 0.15, 0.12, 0.08, 0.06, 0.04)
    return {p: build(*row) for p, row in zip(densities, rows, strict=True)}


def test_the_claims_know_the_table_and_what_is_not_in_it():
    models, claims = tabled(), Claims("s")
    assert neurons(models[0.25], 0.25) == (3, 3, 2) and neurons(models[0.04], 0.04) == (0, 10, 5)
    evaluate({**models, 0.02: models[0.04]}, claims, finds_rare_codes=True)
    assert len(claims.claims) == 14 and not claims.failed
    silent = models[0.15].copy()
    silent[4, 9] = -9.0  # no feature excites the neuron by that, and none is hidden by it
    inhibited = Claims("s")
    evaluate({**models, 0.15: silent, 0.02: models[0.04]}, inhibited, finds_rare_codes=True)
    assert not inhibited.failed and "a negative weight excites nothing" in inhibited.claims[4].measured
    wrong = Claims("s")
    evaluate({**models, 0.25: models[0.7], 0.04: models[0.06]}, wrong, finds_rare_codes=True)
    assert [claim.statement for claim in wrong.failed] == [
        "1 − S = 0.25: neurons", "1 − S = 0.04: neurons", "1 − S = 0.25: the two others are a binary code",
        "1 − S = 0.04: every feature is its own pair of neurons", "that count never rises as features get sparser",
    ]  # fmt: skip


def test_stacked_weights_hold_every_weight_and_number_what_counts():
    ax = sp.plot.stacked_weights(MIXED, neuron_has_feature(MIXED))
    heights = np.array([bar.get_height() for bar in ax.patches]).reshape(3, 4)
    assert_allclose(np.sort(heights, axis=1), np.sort(MIXED, axis=1))
    tops = [max(b.get_y() + max(b.get_height(), 0) for b in ax.patches[4 * k : 4 * k + 4]) for k in range(3)]
    assert_allclose(tops, np.maximum(MIXED, 0).sum(axis=1))
    assert [t.get_text() for t in ax.texts] == ["2", "1", "3", "4"]


def test_counts_and_ratios_are_drawn_over_density(rng):
    import xarray as xr

    p = {"feature_probability": [0.7, 0.1]}
    ax = monosemantic_count(xr.DataArray([5, 0], p), plt.figure().add_subplot(), expected={0.7: 5}, close=[(0.1, 1)])
    assert {t.get_text() for t in ax.get_legend().get_texts()} == {"published", "least loss", "loss within 0.2 %"}
    assert_allclose(ax.lines[1].get_xydata(), [[1 / 0.7, 5], [10, 0]])
    values = xr.DataArray(rng.random((2, 3, 5)), p, ("feature_probability", "seed", "hidden"))
    ax = sp.plot.participation({"a": values, "b": values + 1, "c": values + 2}, plt.figure().add_subplot())
    for k, line in enumerate(ax.lines):
        assert_allclose(line.get_ydata(), np.median(values + k, axis=(1, 2)))
    assert len(ax.lines) == 3


@pytest.mark.long
def test_enough_neurons_learn_the_absolute_value():
    task = sp.tasks.Computation(n_features=3, n_hidden=6, target="absolute", tied=False, magnitude="signed_uniform")
    result = sp.sweep(task, None, sp.Grid(feature_probability=[1.0, 0.3], seed=range(8)), block_size=2)
    assert float(result["loss"].min("seed").max()) < 1e-3
