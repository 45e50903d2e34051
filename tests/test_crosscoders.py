"""Crosscoders: against the published equations in NumPy, for columns of any length, and readings with known answers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.analysis import decoder_cosines, norm_shares, roc_area, score_crosscoder
from superpos.models import Crosscoder
from superpos.tasks.base import materialize

N, PARTS, L, BATCH = 5, (3, 2), 6, 40
M = sum(PARTS)
W = [np.random.default_rng(m).standard_normal((size, N)) for m, size in enumerate(PARTS)]
TOY = sp.tasks.Toy(n_features=N, n_hidden=3, feature_probability=0.6)
TASK = sp.tasks.Crosscoder.of_toys(
    TOY, W, n_latents=L, k=2.0, sparsity_coefficient=0.3, decoder_bias=True, dead_below=0.3, bandwidth=0.4
)
SHORT = sp.TrainConfig(steps=6, batch_size=BATCH, evaluation_samples=8, history=2)


@pytest.fixture
def eager(unchecked):
    with jax.disable_jit(), jax.enable_x64(True), jax.default_prng_impl("unsafe_rbg"):
        yield


def key(seed):
    return jax.random.key(seed, impl="unsafe_rbg")


def norms_of(W_dec):
    """The length of every model's part of every column, (2, n_latents)."""
    return np.stack([np.linalg.norm(block, axis=0) for block in np.split(W_dec, [PARTS[0]])])


def published(rng, architecture, n_shared=0):
    """Weights as published, with columns of any length; parts of one length where they are to be shared."""
    p = {"W_dec": rng.standard_normal((M, L)), "W_enc": rng.standard_normal((L, M))}
    p |= {"b_enc": 0.3 * rng.standard_normal(L), "b_dec": 0.2 * rng.standard_normal(M)}
    if architecture == "jumprelu":
        p["theta"] = rng.uniform(0.05, 0.5, L)
    each = np.repeat(norms_of(p["W_dec"]), PARTS, axis=0)
    p["W_dec"] = np.where(np.arange(L) < n_shared, p["W_dec"] / each, p["W_dec"])
    return p


def twin(p, h, architecture, k):
    """Latents and reconstruction of a published crosscoder: the sum over models of encoders, a decoder for each."""
    blocks = [slice(0, PARTS[0]), slice(PARTS[0], M)]
    a = p["b_enc"][:, None] + sum(p["W_enc"][:, rows] @ (h[rows] - p["b_dec"][rows, None]) for rows in blocks)
    f = np.maximum(a, 0)
    if architecture == "jumprelu":
        f = a * (a > p["theta"][:, None])
    if architecture == "batch_topk":  # Minder et al. 2025, section 3: the largest f_j Σ_m ‖d_j^m‖ of a batch
        value = f * norms_of(p["W_dec"]).sum(axis=0)[:, None]
        f = f * (value >= np.sort(value, axis=None)[-int(k * h.shape[1])])
    return f, p["W_dec"] @ f + p["b_dec"][:, None]


def model_of(p, task):
    """The model of published weights: columns of length 1, latents as much larger."""
    lengths = norms_of(p["W_dec"]).sum(axis=0)
    arrays = [p["W_dec"] / lengths, p["W_enc"] * lengths[:, None], p["b_enc"] * lengths, p["b_dec"]]
    model = Crosscoder(
        *(jnp.asarray(x) for x in arrays), architecture=task.architecture, k=task.k, parts=PARTS, n_shared=task.n_shared,
        unit_columns=True,
    )  # fmt: skip
    if "theta" in p:
        model.log_threshold[...] = jnp.log(jnp.asarray(p["theta"] * lengths))
    return model


def squared(r):
    return np.mean(np.sum(r**2, axis=0))


@pytest.mark.parametrize(
    ("architecture", "n_shared"), [("relu", 0), ("relu", 2), ("batch_topk", 0), ("batch_topk", 2), ("jumprelu", 0)]
)
def test_training_loss_and_gradient_are_those_of_the_published_equations(architecture, n_shared, rng, eager):
    task = dataclasses.replace(TASK, architecture=architecture, n_shared=n_shared, shared_penalty=0.2)
    task.check()
    p, prepared = published(rng, architecture, n_shared), materialize(task)
    model = model_of(p, task)
    h = np.asarray(prepared.sample(key(0), BATCH)[1])
    assert_allclose(h, np.concatenate(W) @ np.asarray(prepared.sample(key(0), BATCH)[0]), rtol=1e-6)
    f, h_hat = twin(p, h, architecture, task.k)
    total = norms_of(p["W_dec"]).sum(axis=0)
    cost = np.where(np.arange(L) < n_shared, 0.2, 1.0)

    def loss_of(p):
        f, h_hat = twin(p, h, architecture, task.k)
        total = norms_of(p["W_dec"]).sum(axis=0)
        penalty = {"relu": cost * total @ f, "jumprelu": np.sum(f > 0, axis=0)}.get(architecture, np.zeros(BATCH))
        return squared(h - h_hat) + 0.3 * np.mean(penalty)

    (loss, (metrics, seen)), gradient = jax.value_and_grad(prepared.training_loss, has_aux=True)(model, key(0), BATCH)
    assert_allclose([loss, metrics["error"]], [loss_of(p), squared(h - h_hat)], rtol=1e-6)
    assert_allclose(metrics["l0"], np.mean(np.sum(f > 0, axis=0)))
    assert_allclose(seen.inputs.residuals, h - h_hat, atol=1e-6)
    pre = prepared.pre_activations(model, jnp.asarray(h), model.decoder)
    assert_allclose(prepared.kind.training_latents(model, pre, prepared).z, f * total[:, None], atol=1e-6)

    # Along a random direction of the normalised weights, in which the published loss is the same function.
    unit = {"W_dec": p["W_dec"] / total, "W_enc": p["W_enc"] * total[:, None], "b_enc": p["b_enc"] * total}
    unit |= {"b_dec": p["b_dec"]} | ({"theta": p["theta"] * total} if "theta" in p else {})
    direction = {name: rng.standard_normal(unit[name].shape) for name in ("W_dec", "W_enc", "b_enc", "b_dec")}

    def normalised(moved):
        """As training keeps columns: one length of the parts where they are shared, the sum of lengths 1 elsewhere."""
        norms = norms_of(moved)
        by = np.where(np.arange(L) < n_shared, 2 * norms, norms.sum(axis=0))
        return moved / np.repeat(by, PARTS, axis=0)

    def along(t):
        moved = {**unit, **{name: unit[name] + t * d for name, d in direction.items()}}
        return loss_of({**moved, "W_dec": normalised(moved["W_dec"])})

    slope = sum(np.sum(np.asarray(getattr(gradient, name)[...]) * d) for name, d in direction.items())
    assert_allclose(slope, (along(1e-6) - along(-1e-6)) / 2e-6, rtol=1e-5)
    along_columns = np.sum(np.asarray(gradient.W_dec[...]) * unit["W_dec"], axis=0)
    assert_allclose(along_columns, 0, atol=1e-12)  # lengths of columns do not matter


def test_columns_of_any_length_are_the_same_function(rng, eager):
    p = published(rng, "relu", 2)
    model = Crosscoder(p["W_dec"], p["W_enc"], p["b_enc"], p["b_dec"], parts=PARTS, n_shared=2)
    h = rng.standard_normal((M, 7))
    f, h_hat = twin(p, h, "relu", 0)
    assert_allclose(model(jnp.asarray(h)), h_hat, rtol=1e-6)
    assert_allclose(model.encode(jnp.asarray(h)), f * norms_of(p["W_dec"]).sum(axis=0)[:, None], rtol=1e-6)
    assert_allclose(norms_of(np.asarray(model.W_dec[...])).sum(axis=0), 1, rtol=1e-6)
    model.W_dec[...] = 3 * model.W_dec[...]  # what is assigned counts as it is
    assert_allclose(model.columns, model.W_dec[...], rtol=1e-12)
    assert_allclose(
        model.decode(jnp.ones((L, 1))), (np.asarray(model.W_dec[...]).sum(1) + p["b_dec"])[:, None], rtol=1e-6
    )


@pytest.mark.slow
def test_training_keeps_lengths_and_ties_those_of_designated_latents(eager):
    task = dataclasses.replace(TASK, n_shared=2, dictionary_size=5, resample_every=2, dead_below=0.9)
    run = sp.train(task, dataclasses.replace(SHORT, learning_rate=0.05, snapshots=(0, 6)), seed=1)
    first, last = (norms_of(np.asarray(run.snapshots.W_dec[...])[k]) for k in (0, 1))
    assert_allclose(first[:, :5], 0.5, rtol=1e-6)
    assert_allclose(last.sum(axis=0), [1, 1, 1, 1, 1, 0], rtol=1e-6)
    assert_allclose(last[:, :2], 0.5, rtol=1e-6)
    assert np.abs(last[0, 2:5] - 0.5).min() > 1e-3
    model = materialize(task).init(key(0))
    overlap = np.sum(np.asarray(model.W_enc[...]).T * np.asarray(model.W_dec[...]), axis=0)
    assert_allclose(overlap, [1, 1, 1, 1, 1, 0], rtol=1e-6)


@pytest.mark.slow
def test_one_model_alone_would_be_a_sparse_autoencoder_and_defaults_cost_nothing(eager):
    """With nothing designated, the two differ in the lengths of columns alone."""
    pre = materialize(TASK).pre_activations(materialize(TASK).init(key(0)), jnp.ones((M, 2)))
    assert pre.costs is None
    plain = sp.tasks.SparseAutoencoder(n_features=N, n_hidden=M, n_latents=L)
    assert TASK.named_code() == plain.named_code()


def test_toy_models_find_their_places_among_the_features():
    given = [[4, 0], [1, 2, 4]]
    models = [np.arange(6.0).reshape(3, 2), np.arange(6.0).reshape(2, 3)]
    task = sp.tasks.Crosscoder.of_toys(TOY, models, given, n_latents=4)
    task.check()
    assert (task.parts, task.n_hidden, task.feature_probability) == ((3, 2), 5, 0.6)
    expected = np.zeros((5, 5))
    expected[:3, 4], expected[:3, 0] = models[0].T
    expected[3:, 1], expected[3:, 2], expected[3:, 4] = models[1].T
    assert_array_equal(task.directions, expected)
    several = sp.tasks.Crosscoder.of_toys(
        TOY, [np.stack([W[0], 2 * W[0]]), np.stack([W[1], W[1]])], n_latents=4, source=1
    )
    several.check()
    assert_allclose(materialize(several).directions, np.concatenate([2 * W[0], W[1]]), rtol=1e-6)


@pytest.fixture(scope="module")
def toy_through_training():
    config = sp.TrainConfig(steps=40, batch_size=64, evaluation_samples=64, snapshots=(0, 10), learning_rate=0.03)
    return sp.train(dataclasses.replace(TOY, feature_probability=0.3), config, seed=2)


def test_snapshots_of_a_training_are_read_as_models(toy_through_training):
    run, kept = toy_through_training, np.asarray(toy_through_training.snapshots.W[...])
    task = sp.tasks.Crosscoder.of_snapshots(run, (10, 40, 0), n_latents=7, k=2.0)
    task.check()
    assert (task.parts, task.n_latents, task.feature_probability) == ((3, 3, 3), 7, 0.3)
    assert_array_equal(task.directions, np.concatenate([kept[1], np.asarray(run.model.W[...]), kept[0]]))
    cut = dataclasses.replace(run, stopped_step=jnp.asarray(8))  # what was kept after it is not what was trained
    with pytest.raises(sp.ConfigError, match="steps: no weights were kept after 10, only after 0, 8"):
        sp.tasks.Crosscoder.of_snapshots(cut, [0, 10], n_latents=7)


@pytest.mark.slow
@pytest.mark.optimized
def test_crosscoders_over_snapshots_of_a_result(one_device):
    """A snapshot twice: no latent is exclusive. A cell alone has the bytes it has in a sweep."""
    config = sp.TrainConfig(steps=40, batch_size=64, evaluation_samples=64, snapshots=(0, 40), learning_rate=0.03)
    options = {"block_size": 2, "devices": one_device, "progress": False}
    result = sp.sweep(TOY, config, sp.Grid(seed=[2, 3]), **options)
    settings = {"n_latents": 8, "architecture": "batch_topk", "resample_every": 25, "dead_below": 0.9}
    twice = sp.tasks.Crosscoder.of_snapshots(result.sel(seed=3), (40, 40), **settings)
    assert_array_equal(twice.directions, np.tile(np.asarray(result.model(seed=3).W[...]), (2, 1)))
    config = sp.TrainConfig(steps=300, batch_size=32, evaluation_samples=32, learning_rate=0.01)
    many = sp.sweep(twice, config, sp.Grid(k=[1.0, 1.5], seed=range(2)), **options)
    alone = sp.sweep(dataclasses.replace(twice, k=1.5), config, sp.Grid(seed=[1]), **options)
    for name in ("W_dec", "W_enc", "b_enc", "threshold", "loss"):
        assert many.sel(k=1.5, seed=1)[name].values.tobytes() == alone.sel(seed=1)[name].values.tobytes(), name
    for cell in ({"k": k, "seed": seed} for k in (1.0, 1.5) for seed in range(2)):
        W_dec = many.model(**cell).W_dec
        assert score_crosscoder(twice.directions, W_dec, twice.parts).n_exclusive == 0, norm_shares(W_dec, twice.parts)


# --- readings --------------------------------------------------------------------------------------------------------


def test_shares_and_cosines_of_known_columns():
    decoder = np.array([[3.0, 0, 1, 0], [4, 0, 0, 0], [0, 2, 1, 0], [5, 0, 0, 0]])
    assert_allclose(norm_shares(decoder, (2, 2)), [[0.5, 0, 0.5, np.nan], [0.5, 1, 0.5, np.nan]])
    assert_allclose(decoder_cosines(decoder, (2, 2)), [[1, np.nan, 1, np.nan], [0.8, np.nan, 1, np.nan]])
    assert_allclose(norm_shares(np.ones((3, 1)), (1, 1, 1)), 1 / 3)


def test_the_roc_area_counts_pairs(rng):
    assert roc_area([3, 2, 1], [1, 0, 0]) == 1 and roc_area([3, 2, 1], [0, 0, 1]) == 0
    assert roc_area([1, 1], [0, 1]) == 0.5 and np.isnan(roc_area([1, 2], [1, 1]))
    scores, positive = rng.integers(0, 5, 30), rng.integers(0, 2, 30)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive == 1] for b in scores[positive == 0]]
    assert_allclose(roc_area(scores, positive), np.mean(pairs))


def test_scores_of_decoders_that_were_built():
    """Four features in 3 + 3 dimensions: 0 and 1 in both models, 2 in the first alone, 3 in the second alone."""
    D = np.zeros((6, 4))
    D[:3, :3] = np.eye(3)
    D[3:, [0, 1, 3]] = np.eye(3)
    right = score_crosscoder(D, D, (3, 3))
    assert_array_equal(right.auc, 1)
    assert (right.n_exclusive, right.false_exclusive, right.decoupled, right.missed) == (2, 0, 0, 0)
    assert_array_equal(right.exclusive_to, [-1, -1, 0, 1])
    assert_allclose(right.purity, 1)
    # Feature 0 in a latent of each model, and nothing for feature 3.
    split = np.stack([np.r_[D[:3, 0], 0, 0, 0], np.r_[0, 0, 0, D[3:, 0]], D[:, 1], D[:, 2]], axis=1)
    wrong = score_crosscoder(D, split, (3, 3))
    assert (wrong.n_exclusive, wrong.false_exclusive, wrong.decoupled, wrong.missed) == (3, 2, 1, 1)
    assert wrong.nearest_feature.tolist() == [0, 0, 1, 2] and wrong.matched_latent[3] == -1
    assert_allclose(wrong.feature_shares[:, 3], 0.5)
    assert_allclose(wrong.auc, [2.5 / 3, 2.5 / 3] if wrong.matched_latent[0] == 0 else [1, 1.5 / 3])
    unused = score_crosscoder(D, split, (3, 3), used=[0, 1, 1, 1])
    assert (unused.false_exclusive, unused.decoupled) == (1, 0) and np.isnan(unused.shares[:, 0]).all()
    # Models turned by themselves are the same models.
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    both = np.block([[turn, np.zeros((3, 3))], [np.zeros((3, 3)), turn.T]])
    assert_allclose(score_crosscoder(both @ D, both @ split, (3, 3)).shares, wrong.shares)
    assert "2 of them" in repr(wrong)


# --- what is refused -------------------------------------------------------------------------------------------------

BAD = [
    ({"parts": (3, 3)}, "parts must add up to n_hidden, 5, got 3 + 3"),
    ({"parts": (5,)}, "parts must be the hidden dimensions of two models or more"),
    ({"parts": (5, 0)}, "parts: a number of dimensions must be at least 1"),
    ({"parts": "32"}, "parts must be the hidden dimensions"),
    ({"tied": True}, "tied must be false for crosscoders"),
    ({"output_bias": np.zeros(N)}, "output_bias must be None for crosscoders"),
    ({"n_shared": 7}, "n_shared must be at most 6"),
    ({"n_shared": -1}, "n_shared must be at least 0"),
    ({"n_shared": 1.5}, "n_shared must be a whole number"),
    ({"shared_penalty": -0.1}, "shared_penalty must be at least 0"),
    ({"shared_penalty": [0.1, 0.2]}, "shared_penalty must be one number"),
    ({"shared_penalty": np.nan}, "shared_penalty must be finite"),
    ({"directions": np.ones((4, N))}, "directions must have shape"),
    ({"source": 1}, "source must be below 1, the number of directions"),
    ({"n_hidden": 1}, "n_hidden must be at least 2"),
]


@pytest.mark.parametrize(("settings", "words"), BAD, ids=[f"{k}-{next(iter(s[0]))}" for k, s in enumerate(BAD)])
def test_wrong_settings_are_refused_by_name(settings, words, unchecked):
    with pytest.raises(sp.ConfigError) as error:
        sp.train(dataclasses.replace(TASK, **settings), SHORT)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_wrong_models_are_refused_by_name(rng, toy_through_training, unchecked):
    of_toys, words = sp.tasks.Crosscoder.of_toys, {
        "models must be a list of two": lambda of: of(TOY, [W[0]]),
        "models must be a list": lambda of: of(TOY, W[0]),
        "given must have one list of features for each of the 2": lambda of: of(TOY, W, [range(5)]),
        "models[0] must have a column for each of its 4": lambda of: of(TOY, W, [range(4), range(5)]),
        "given[1] must list different features below 5": lambda of: of(TOY, W, [range(5), [0, 1, 2, 3, 3]]),
        "given[1] must list different features": lambda of: of(TOY, W, [range(5), [0, 1, 2, 3, 5]]),
        "models must be as many of each kind": lambda of: of(TOY, [W[0], np.stack([W[1]] * 2)]),
        "toy.n_features must be a whole number": lambda of: of(sp.TrainConfig(), W),
    }  # fmt: skip
    for sentence, call in words.items():
        with pytest.raises(sp.ConfigError) as error:
            call(lambda *arguments: of_toys(*arguments, n_latents=4))
        assert sentence in str(error.value), sentence
    run, none = toy_through_training, dataclasses.replace(toy_through_training, snapshots=None)
    refused = {
        "steps must be a list of two steps or more, got [10]": (run, [10]),
        "steps must be a list of two steps or more, got 10": (run, 10),
        "steps: no weights were kept after 20, only after 0, 10, 40": (run, (0, 20)),
        "steps: a step must be a whole number": (run, (0, 9.5)),
        "run has no snapshots; TrainConfig(snapshots=(0, 100)) keeps some": (none, (0, 40)),
        "run must be what train returns, or a result of one cell": (run.model, (0, 40)),
        "run must be what train returns": (TOY, (0, 40)),
    }
    for sentence, arguments in refused.items():
        with pytest.raises(sp.ConfigError) as error:
            sp.tasks.Crosscoder.of_snapshots(*arguments, n_latents=4)
        assert sentence in str(error.value) and "\n" not in str(error.value), error.value
    p = published(rng, "relu")
    with pytest.raises(sp.ConfigError, match="W_enc must be given"):
        Crosscoder(p["W_dec"], None, parts=PARTS)
    with pytest.raises(sp.ConfigError, match="W_dec must have parts of one length for the 1 shared latents; latent 0"):
        Crosscoder(p["W_dec"], p["W_enc"], parts=PARTS, n_shared=1)
    with pytest.raises(sp.ConfigError, match="init: W_dec must have parts of one length"):
        sp.train(dataclasses.replace(TASK, n_shared=1), SHORT, init={"W_dec": p["W_dec"]})
    with pytest.raises(sp.ConfigError, match="parts must be of one size to be compared"):
        decoder_cosines(p["W_dec"], PARTS)
    with pytest.raises(sp.ConfigError, match="positive must hold 0 or 1"):
        roc_area([1, 2], [0, 2])


def test_settings_that_nothing_reads_are_named():
    assert TASK.unread()["shared_penalty"] == "n_shared is 0"
    assert "no penalty" in dataclasses.replace(TASK, n_shared=2, architecture="batch_topk").unread()["shared_penalty"]
    assert "shared_penalty" not in dataclasses.replace(TASK, n_shared=2).unread()


# --- sweeps ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.optimized
def test_a_cell_alone_has_the_bytes_it_has_in_a_sweep_and_a_result_holds_crosscoders(tmp_path, one_device):
    task = dataclasses.replace(TASK, architecture="batch_topk", n_shared=1, resample_every=4, dead_below=0.9)
    config = sp.TrainConfig(steps=20, batch_size=33, evaluation_samples=33, history=4)
    options = {"block_size": 4, "blocks_per_device": 2, "devices": one_device, "progress": False}
    alone = sp.sweep(dataclasses.replace(task, k=1.5), config, sp.Grid(seed=[7]), **options)
    many = sp.sweep(task, config, sp.Grid(k=[1.0, 1.5], seed=[3, 7]), **options)
    for name in ("W_dec", "W_enc", "b_enc", "b_dec", "threshold", "frequency", "loss", "loss_history"):
        assert many.sel(k=1.5, seed=7)[name].values.tobytes() == alone.sel(seed=7)[name].values.tobytes(), name
    many.save(tmp_path / "r.zarr")
    again = sp.open(tmp_path / "r.zarr")
    model = again.model(k=1.5, seed=7)
    assert type(model) is Crosscoder and (model.parts, model.n_shared) == (PARTS, 1)
    assert type(again.task(k=1.5, seed=7)) is sp.tasks.Crosscoder
    scores = again.sae_scores(n_inputs=64, progress=False)
    assert scores["mcc"].shape == (2, 2) and np.isfinite(scores["mcc"]).all()


@pytest.mark.long
@pytest.mark.trained
def test_training_tells_the_features_of_one_model_from_those_of_two(one_device):
    """Six orthogonal features, four in both models: areas of 1; one model twice has nothing exclusive."""
    first, second = np.zeros((2, 6, 6))
    first[np.arange(5), np.arange(5)] = second[np.arange(5), [0, 1, 2, 3, 5]] = 1
    toy = sp.tasks.Toy(n_features=6, n_hidden=6, feature_probability=0.1)
    pairs = [np.stack([first, first]), np.stack([second, first])]
    task = sp.tasks.Crosscoder.of_toys(toy, pairs, n_latents=9, architecture="batch_topk", k=0.6)
    config = sp.TrainConfig(steps=800, batch_size=64, evaluation_samples=64, learning_rate=0.01)
    result = sp.sweep(task, config, sp.Grid(source=[0, 1], seed=range(3)), devices=one_device, progress=False)
    for source in (0, 1):
        D = np.concatenate([pairs[0][source], pairs[1][source]])
        for seed in range(3):
            model = result.model(source=source, seed=seed)
            scores = score_crosscoder(D, model.W_dec[...], (6, 6))
            if source:
                assert scores.n_exclusive == 0
            else:
                assert_array_equal(scores.auc, 1)
