"""Settings without effect, swept fields judged by what is swept, questions without answers, and the optimisers."""

import dataclasses
import random
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import superpos as sp
from superpos.cli import main
from superpos.cli.one_cell import one_cell
from superpos.cli.sae import COMPARED, _check_read
from superpos.sweeping.compiled import lay_out
from superpos.tasks import REGISTRY
from superpos.training.loop import init
from superpos.training.optimizers import READS

pytestmark = pytest.mark.usefixtures("unchecked")

TOY = sp.tasks.Toy(n_features=4, n_hidden=2)
EXACT = dataclasses.replace(TOY, objective="expected")
SAE = sp.tasks.SparseAutoencoder(n_features=4, n_hidden=2, n_latents=4)
NONE: dict = {}


def sae(**fields):
    return dataclasses.replace(SAE, **fields)


def plan(task, config=NONE, **axes):
    grid = axes.pop("grid", None) or sp.Grid(**{"seed": [0], **axes})
    return lay_out(task, sp.TrainConfig(**config), grid, block_size=2)


UNREAD = [
    (TOY, {"optimizer": "sgd"}, {"beta1": [0.0, 0.9]}),
    (TOY, {"optimizer": "sgd"}, {"epsilon": [1e-8, 1e-6]}),
    (TOY, {"optimizer": "sgd"}, {"nesterov": [True, False]}),
    (TOY, {"optimizer": "rmsprop"}, {"beta1": [0.0, 0.9]}),
    (TOY, {"optimizer": "lion"}, {"epsilon": [1e-8, 1e-6]}),
    (TOY, NONE, {"momentum": [0.0, 0.9]}),
    (TOY, NONE, {"decay_bias": [True, False]}),
    (TOY, NONE, {"order": [4, 8]}),
    (TOY, NONE, {"evaluation_samples": [1024, 2048]}),
    (EXACT, NONE, {"batch_size": [16, 32]}),
    (dataclasses.replace(EXACT, activation="identity"), NONE, {"order": [4, 8]}),
    (sae(), NONE, {"k": [1, 2]}),
    (sae(architecture="topk"), NONE, {"sparsity_coefficient": [0.1, 0.2]}),
    (sae(architecture="matching_pursuit"), NONE, {"tied": [True, False]}),
    (sae(), NONE, {"bandwidth": [0.1, 0.2]}),
    (sae(), NONE, {"importance": [0.5, 1.0]}),
    (sae(), NONE, {"activation": ["relu", "gelu"]}),
    (sae(), NONE, {"initial_threshold": [0.1, 0.2]}),
    (sae(revival="none"), NONE, {"resample_every": [5, 6]}),
    (sae(), NONE, {"auxiliary_coefficient": [0.1, 0.2]}),
    (sae(tied=True), NONE, {"resample_scale": [1.0, 2.0]}),
    (sae(parents=(-1, 0, -1, -1)), NONE, {"exclusive_children": [True, False]}),
    (sp.tasks.Computation(n_features=4, n_hidden=2), NONE, {"dedicated_features": [0]}),
    (sp.tasks.ResidualMLP(n_features=4, n_hidden=2), NONE, {"embedding_seed": [0, 1]}),
    (sp.tasks.BooleanPairs(n_features=4, n_hidden=2), NONE, {"pair_seed": [0, 1]}),
    (sp.tasks.DoubleDescent(n_features=4, n_hidden=2, most_points=3), NONE, {"batch_size": [4, 8]}),
    (sp.tasks.ModularAddition(p=5, d_model=4, n_heads=1, d_mlp=4), NONE, {"evaluation_samples": [4, 8]}),
]


@pytest.mark.parametrize(("task", "config", "axes"), UNREAD, ids=[next(iter(u[2])) for u in UNREAD])
def test_an_axis_that_no_cell_reads_is_refused(task, config, axes):
    with pytest.raises(sp.ConfigError, match=f"grid axis {next(iter(axes))} has no effect"):
        plan(task, config, **axes)


def test_an_axis_that_some_cells_read_is_allowed(caplog):
    plan(TOY, optimizer=["adamw", "sgd"], beta1=[0.5, 0.9])
    assert "beta1 has no effect on some models" in caplog.text
    caplog.clear()
    plan(TOY, {"weight_decay": 0.1}, decay_bias=[True, False], init_scale=[0.5, 1.0, 2.0])
    plan(TOY, weight_decay=[0.0, 0.1], decay_bias=[True, False])
    plan(EXACT, objective=["sampled", "expected"], order=[4])
    plan(sp.tasks.ResidualMLP(n_features=4, n_hidden=2), label_noise=[0.0, 0.1], embedding_seed=[0, 1])
    plan(SAE, grid=sp.sparsity_grid({"relu": [0.1, 0.2]}))  # its k is a label of one value
    plan(SAE, grid=sp.sparsity_grid({"relu": [0.1, 0.2], "topk": [1, 2]}))
    assert not caplog.text


def test_a_setting_that_no_cell_reads_is_warned_about(caplog):
    plan(TOY, {"optimizer": "sgd", "beta1": 0.5, "weight_decay": 0.1})
    assert caplog.text.count("has no effect") == 1 and "beta1 = 0.5" in caplog.text
    filled = sp.TrainConfig(optimizer="sgd").with_defaults(TOY)
    assert filled.beta1 is None and filled.learning_rate == 0.01
    caplog.clear()
    plan(SAE, {"optimizer": "adamw", "beta1": 0.5})
    plan(jax.tree.map(np.float32, sae(architecture="jumprelu").broadcast()))  # defaults, as results hold them
    assert not caplog.text


PAIRS = ((0, 1), (2, 3))


@pytest.mark.parametrize(
    ("task", "config", "axes"),
    [
        (dataclasses.replace(EXACT, anticorrelated_sets=PAIRS), NONE, {"feature_probability": [0.1, 0.3]}),
        (
            dataclasses.replace(EXACT, anticorrelated_sets=PAIRS, feature_probability=0.6),
            NONE,
            {"fall": sp.decay("feature_probability", [0.5])},
        ),
        (
            dataclasses.replace(EXACT, anticorrelated_sets=PAIRS, feature_probability=np.array([1, 0.1, 0.1, 0.1])),
            NONE,
            {"first": sp.entry("feature_probability", 0, [0.1, 0.3])},
        ),
        (TOY, {"steps": 5, "warmup_steps": 9}, {"steps": [20, 30]}),
        (TOY, {"steps": 5, "snapshots": (9,)}, {"steps": [20, 30]}),
        (dataclasses.replace(TOY, correlated_sets=((0, 5),)), NONE, {"n_features": [6, 7]}),
        (sae(architecture="topk", k=9), NONE, {"k": [1, 2]}),
        (sae(architecture="topk", k=9), NONE, {"n_latents": [9, 10]}),
        (sae(architecture="topk", k=0.5), NONE, {"k": [1, 2]}),
        (sae(dictionary_size=9), NONE, {"dictionary_size": [2, 4]}),
        (sae(source=-1), NONE, {"source": [2, 4]}),
        (sp.tasks.RepeatedTokens(n_positions=8, longest_period=9), NONE, {"shortest_period": [2], "longest_period": [3, 4]}),
        (sp.tasks.DoubleDescent(n_features=4, n_hidden=2, most_points=3, n_points=9), NONE, {"n_points": [2, 3]}),
        (sp.tasks.BooleanPairs(n_features=3, n_hidden=2, n_pairs=5), NONE, {"n_features": [4, 5]}),
    ],
)  # fmt: skip
def test_what_is_swept_is_judged_by_the_values_swept(task, config, axes):
    plan(task, config, **axes)


@pytest.mark.slow
def test_a_result_whose_default_was_never_trained_opens(tmp_path):
    task = dataclasses.replace(TOY, anticorrelated_sets=PAIRS, magnitude="constant")
    grid = sp.Grid(feature_probability=[0.1, 0.3])
    result = sp.sweep(
        task,
        sp.TrainConfig(steps=2, batch_size=8, history=1, evaluation_samples=8),
        grid,
        tmp_path / "r.zarr",
        progress=False,
    )
    assert sp.open(tmp_path / "r.zarr").task(feature_probability=0.3).feature_probability[0] == np.float32(0.3)
    assert np.isfinite(result["loss"]).all()


@pytest.mark.parametrize(
    ("grid", "word"),
    [
        (lambda: sp.Grid(learning_rate=[0.1, 0.1 + 1e-12]), "learning_rate holds"),
        (lambda: sp.Grid(r=sp.entry("importance", 0, [0.1, 0.1 + 1e-12])), "axis r holds"),
        (lambda: sp.Grid.zipped(learning_rate=[0.1, 0.1 + 1e-12]), "tells cells apart"),
        (lambda: sp.Grid(weight_decay=[0, 1e-50]), "weight_decay must be 0 or at least"),
        (lambda: sp.Grid(weight_decay=[0, 1e-40]), "weight_decay must be 0 or at least"),
    ],
)
def test_numbers_that_training_cannot_tell_apart_are_refused(grid, word):
    with pytest.raises(sp.ConfigError, match=word):
        plan(TOY, grid=grid())
    plan(TOY, grid=sp.Grid.zipped(learning_rate=[0.1, 0.1 + 1e-12], seed=[0, 1]))


def test_base_settings_below_single_precision_and_fractions_are_refused():
    for task, config, word in (
        (TOY, {"weight_decay": 1e-50}, "weight_decay"),
        (sp.tasks.ModularAddition(p=5, d_model=4, n_heads=1, d_mlp=4, data_seed=1.5), NONE, "data_seed"),
        (
            sp.tasks.Computation(n_features=4, n_hidden=4, tied=False, paired_init=True, dedicated_features=1.5),
            NONE,
            "dedicated_features",
        ),
    ):
        with pytest.raises(sp.ConfigError, match=word):
            plan(task, config)


QUESTIONS = [float("nan"), float("inf"), None, True, 1j, "0.1", [0.1, None], [[0.1], [0.1, 0.2]]]


@pytest.mark.parametrize("wanted", QUESTIONS, ids=repr)
def test_coordinates_that_are_none_are_refused(wanted, quick_result):
    flat = listed(quick_result)
    for result in (quick_result, flat):
        for method in (None, "nearest"):
            with pytest.raises(sp.ConfigError, match="feature_probability must be a finite number"):
                result.sel(feature_probability=wanted, method=method)
    with pytest.raises(sp.ConfigError, match="whole positions"):
        quick_result.isel(seed=wanted)


def listed(result):
    """The same models with one dimension, `cell`."""
    stacked = result.dataset.stack(cell=("feature_probability", "seed")).reset_index("cell")
    return sp.SweepResult(stacked)


def test_questions_to_listed_cells_are_answered_in_full_or_not_at_all(quick_result):
    flat = listed(quick_result)
    p = float(quick_result["feature_probability"][0])
    assert flat.sel(feature_probability=[p * 1.0001], method="nearest").sizes == {"cell": 4}
    for attempt, word in (
        (lambda: flat.sel(seed=[0, 99]), "no cell at seed"),
        (lambda: flat.sel(seed=slice(0, 1)), "slice"),
        (lambda: flat.sel(method="nearest"), "needs an axis of numbers"),
        (lambda: flat.sel(5), "axes by name"),
        (lambda: one_cell(quick_result, ("seed=1", "seed=2")), "seed twice"),
        (lambda: one_cell(flat, ("cell=1.5",)), "cell"),
        (lambda: _check_read(("topk",), (1.5,), ()), "k must be whole"),
        (lambda: _check_read(COMPARED, (1.5, 2), ()), "k must be whole"),
        (lambda: _check_read(("relu",), (2,), ()), "k is read by none"),
        (lambda: _check_read(("topk",), (), (0.1,)), "coefficients is read by none"),
        (lambda: _check_read(("relu", "relu"), (), ()), "twice"),
    ):
        with pytest.raises(sp.ConfigError, match=word):
            attempt()


# --- optimisers -------------------------------------------------------------------------------------------------------

OPTIONAL = {name for names in READS.values() for name in names}
NUMBERS = {"steps": 9, "learning_rate": 0.01, "schedule": "constant", "weight_decay": 0.1, "beta1": 0.8, "beta2": 0.9}
THEIRS = {
    "adamw": lambda mask: optax.adamw(0.01, 0.8, 0.9, 1e-3, weight_decay=0.1, mask=mask),
    "adam": lambda mask: optax.chain(optax.add_decayed_weights(0.1, mask), optax.adam(0.01, 0.8, 0.9, 1e-3)),
    "sgd": lambda mask: optax.chain(optax.trace(0.7, True), optax.add_decayed_weights(0.1, mask), optax.scale(-0.01)),
    "rmsprop": lambda mask: optax.chain(
        optax.scale_by_rms(0.9, 1e-3, eps_in_sqrt=False), optax.trace(0.7, True), optax.add_decayed_weights(0.1, mask), optax.scale(-0.01),
    ),
    "lion": lambda mask: optax.lion(0.01, 0.8, 0.9, weight_decay=0.1, mask=mask),
    "muon": lambda mask: optax.contrib.muon(
        0.01, beta=0.7, nesterov=False, weight_decay=0.1, weight_decay_mask=mask, adam_b1=0.8, adam_b2=0.9, eps=1e-8,
        muon_weight_dimension_numbers={"W": optax.contrib.MuonDimensionNumbers(1, 0), "b": None},  # outputs in rows
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_optimizers_step_as_those_of_optax(name):
    rng = np.random.default_rng(0)
    own = {"epsilon": 1e-8 if name == "muon" else 1e-3} | {
        "momentum": 0.7,
        "nesterov": name != "muon",
    }  # optax's would change its Adam
    reads = {k: v for k, v in (NUMBERS | own).items() if k not in OPTIONAL or k in READS[name]}
    config = sp.TrainConfig(optimizer=name, **reads).broadcast()
    model = TOY.broadcast().init(jax.random.key(0))
    plain = {"W": model.W[...], "b": model.b[...]}
    ours, theirs = config.build_optimizer(), THEIRS[name]({"W": True, "b": False})
    state, expected = ours.init(model), theirs.init(plain)
    for _ in range(3):
        W, b = rng.normal(size=(2, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
        gradients = jax.tree.unflatten(jax.tree.structure(model), [jnp.asarray(W), jnp.asarray(b)])
        found, state = ours.update(gradients, state, model)
        wanted, expected = theirs.update({"W": jnp.asarray(W), "b": jnp.asarray(b)}, expected, plain)
        np.testing.assert_allclose(found.W[...], wanted["W"], rtol=2e-4, atol=1e-6)
        np.testing.assert_allclose(found.b[...], wanted["b"], rtol=2e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "factor"), [((3, 2), 1.5**0.5), ((2, 3), 1.0)])
def test_muons_factor_is_that_of_outputs_by_inputs(shape, factor):
    """A twin in NumPy of Jordan 2024, outputs in rows; a transformer's matrices are such matrices transposed."""
    G = np.random.default_rng(1).normal(size=shape)
    X = G / np.linalg.norm(G)
    for _ in range(5):
        A = X @ X.T
        X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X
    config = sp.TrainConfig(
        optimizer="muon", momentum=0.0, beta1=0.9, beta2=0.9, learning_rate=1.0, steps=1, schedule="constant"
    )
    updates = config.build_optimizer()
    turned_model = type("Turned", (sp.ToyModel,), {"INPUTS_IN_ROWS": sp.models.Transformer.INPUTS_IN_ROWS})
    for cls, turned in ((sp.ToyModel, G), (turned_model, G.T)):
        model = cls(jnp.asarray(turned, jnp.float32))
        found = updates.update(model, updates.init(model), model)[0].W[...]
        np.testing.assert_allclose(-found, factor * (X if turned is G else X.T), atol=1e-5)


def test_optimizers_take_their_usual_numbers():
    for name, numbers in (
        ("rmsprop", {"beta2": 0.99}),
        ("lion", {"beta1": 0.9, "beta2": 0.99}),
        ("muon", {"momentum": 0.95}),
    ):
        filled = sp.TrainConfig(optimizer=name).with_defaults(EXACT)
        assert {k: getattr(filled, k) for k in numbers} == numbers
    with pytest.raises(sp.ConfigError, match="momentum"):
        sp.TrainConfig(optimizer="sgd", momentum=1.0).check()
    init(TOY, sp.TrainConfig(optimizer="muon").with_defaults(TOY), jnp.uint32(0))


# --- random sweep files -----------------------------------------------------------------------------------------------

VALUES = ["0", "1", "2", "3", "-1", "0.5", "1e-50", "1e300", "nan", "inf", "true", "'relu'", "'x'", "[]", "[1, 2]", "[0.1, 0.3]",
          "[0.1, 0.1000000000001]", "{range = 3}", "{range = -1}", "{linspace = [0.1, 0.9, 3]}", "{geomspace = [0, 1, 2]}",
          "{values = ['a', 1]}", "{loguniform = [0.1, 1]}", "{entry = 'importance[-1]', values = [0.5, 1]}", "2020-01-01",
          "{entry = 'importance[99]', values = [1]}", "{decay = 'feature_probability', values = [0.5, 0.7]}", "[[0, 1], [2, 3]]",
          "'0.9^i'", "['relu', 'identity']", "['sampled', 'expected']", "['sgd', 'lion']", "[true, false]", "{}", "[nan]"]  # fmt: skip
KINDS = (
    "toy",
    "computation",
    "sparse_autoencoder",
    "double_descent",
    "boolean_pairs",
    "residual_mlp",
    "repeated_tokens",
    "parameter_decomposition",
    "crosscoder",
    "transcoder",
)


def random_file(rng):
    """A sweep file that is mostly right, and overrides: wrong in some places, or not."""
    kind = rng.choice(KINDS)
    cls = REGISTRY.get(kind, sp.tasks.Toy)
    known = [f.name for f in dataclasses.fields(cls)], [f.name for f in dataclasses.fields(sp.TrainConfig)]
    needed = {f.name: "4" for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING}
    task = needed | {rng.choice(known[0]): rng.choice(VALUES) for _ in range(rng.choice((0, 0, 1)))}
    train = {rng.choice(known[1]): rng.choice(VALUES) for _ in range(rng.choice((0, 0, 1)))}
    names = (*known[0], *known[1], "seed", "own", "loss")
    grid = {"seed": "[0, 1]"} | {rng.choice(names): rng.choice(VALUES) for _ in range(rng.choice((0, 0, 1, 2)))}
    lines = [f"[task]\nkind = '{kind}'", *(f"{k} = {v}" for k, v in task.items())]
    lines += ["[train]", *(f"{k} = {v}" for k, v in train.items())]
    lines += ["[grid]", *(f"{k} = {v}" for k, v in grid.items())]
    if rng.random() < 0.15:
        lines.append(f"[design]\nkind = '{rng.choice(('zipped', 'random', 'product', 'x'))}'")
        lines += [f"n_cells = {rng.choice(VALUES[:8])}"] * (rng.random() < 0.5)
    if rng.random() < 0.1:
        lines.append(f"[sweep]\n{rng.choice(('block_size', 'memory_budget', 'x'))} = {rng.choice(VALUES[:12])}")
    text = "\n".join(lines)
    overrides = [f"{rng.choice(('task', 'train', 'grid', 'sweep'))}.{rng.choice(names)}={rng.choice(VALUES)}"]
    return text, overrides * (rng.random() < 0.2)


@pytest.mark.slow
@pytest.mark.fuzz
def test_random_sweep_files_are_planned_or_refused_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def planned(given, target, timed):
        lay_out(given.task, given.config, given.grid, block_size=given.options.get("block_size"))
        print("planned")

    monkeypatch.setattr("superpos.cli.sweep._dry_run", planned)
    rng = random.Random(17)
    outcomes = {"planned": 0, "refused": 0}
    for number in range(300):
        text, overrides = random_file(rng)
        (tmp_path / "sweep.toml").write_text(text)
        monkeypatch.setattr(sys, "argv", ["superpos", "sweep", "sweep.toml", *overrides, "--dry-run"])
        try:
            main()
            assert capsys.readouterr().out == "planned\n"
            outcomes["planned"] += 1
        except SystemExit as end:
            printed = capsys.readouterr()
            assert end.code == 2 and printed.err.startswith("superpos: "), (number, text, overrides, printed.err)
            assert printed.err.count("\n") == 1 and not printed.out, (number, text, overrides, printed.err)
            outcomes["refused"] += 1
        except Exception as error:
            raise AssertionError(f"file {number}: {error!r}\n{text}\n{overrides}") from error
        assert [p.name for p in tmp_path.iterdir()] == ["sweep.toml"]
    assert min(outcomes.values()) > 30, outcomes
