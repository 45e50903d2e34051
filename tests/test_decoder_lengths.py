"""Decoders whose columns are not of length 1: the same function as was written down, or none."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.models import SAE
from superpos.models.sae import ARCHITECTURES
from superpos.training import start

UNIT = np.eye(2, 3) + 0.1
UNIT = UNIT / np.linalg.norm(UNIT, axis=0)
H = np.random.default_rng(0).standard_normal((2, 50))


def written_down(W_dec, W_enc, b_enc, b_dec, architecture, k):
    """The equations as they stand, with the columns as they are."""
    projection = W_enc @ (H - b_dec[:, None])
    a = projection + b_enc[:, None]
    z = np.maximum(a, 0)
    if architecture == "gated":
        z = np.where(a > 0, np.maximum(projection, 0), 0)
    elif architecture == "jumprelu":
        z = np.where(a > 0.1, a, 0)
    elif architecture == "topk":
        z = np.where(z >= np.sort(z, axis=0)[-k], z, 0)
    return W_dec @ z + b_dec[:, None]


@pytest.mark.slow
def test_the_same_function_gives_the_same_reconstruction_and_scores():
    """n of length 1; 2n with half the encoder is the same map."""
    one, other = SAE(UNIT, UNIT.T), SAE(2 * UNIT, UNIT.T / 2)
    assert_allclose(other(jnp.asarray(H, float)), one(jnp.asarray(H, float)), atol=1e-6)
    task = sp.tasks.SparseAutoencoder(n_features=3, n_hidden=2, n_latents=3, directions=UNIT)
    scores = [sp.analysis.score_autoencoder(task, model, n_inputs=256) for model in (one, other)]
    assert scores[0].explained_variance == pytest.approx(scores[1].explained_variance, abs=1e-6)
    assert scores[0].shrinkage == pytest.approx(scores[1].shrinkage, abs=1e-6)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if ARCHITECTURES[name].encoder])
def test_columns_of_any_length_are_folded_exactly(architecture):
    """Where latents are compared, all columns have one length; elsewhere lengths differ, one is 0 and one is tiny.

    Without an encoder nothing depends on lengths, see test_matching_pursuit.
    """
    rng = np.random.default_rng(1)
    W_dec, W_enc, b_dec = rng.standard_normal((2, 4)), rng.standard_normal((4, 2)), rng.standard_normal(2)
    b_enc = np.zeros(4) if architecture == "topk" else 0.1 * rng.standard_normal(4)
    if architecture in ("relu", "gated", "jumprelu"):
        W_dec[:, 1], W_dec[:, 2] = 0, 1e-20 * W_dec[:, 2]
    else:
        W_dec *= 3 / np.linalg.norm(W_dec, axis=0)
    model = SAE(W_dec, W_enc, b_enc, b_dec, architecture=architecture, k=2)
    h = jnp.asarray(H, float)
    assert_allclose(model(h), written_down(W_dec, W_enc, b_enc, b_dec, architecture, 2), atol=5e-6)
    lengths = np.linalg.norm(model.W_dec[...], axis=0)
    assert_allclose(lengths, np.any(W_dec != 0, axis=0), atol=1e-6)
    assert not model.encode(h)[lengths == 0].any()  # a latent without a column does not exist


def test_weights_of_unit_columns_keep_every_bit():
    task = sp.tasks.SparseAutoencoder(n_features=4, n_hidden=3, n_latents=5, dictionary_size=4)
    made = task.init(jax.random.key(0))
    again = SAE(made.W_dec[...], made.W_enc[...])
    tied = SAE(made.W_dec[...])
    assert_array_equal(again.W_dec[...], made.W_dec[...])
    assert_array_equal(again.W_enc[...], made.W_enc[...])
    assert_array_equal(tied.W_dec[...], made.W_dec[...])
    with_lengths = dataclasses.replace(task, tied=True).init(jax.random.key(0))
    assert_array_equal(with_lengths.W_dec[...], made.W_dec[...])


def test_a_model_made_again_of_its_own_weights_is_the_same():
    first = SAE(2 * UNIT, UNIT.T / 2, np.array([0.1, -0.2, 0.3]))
    again = SAE(first.W_dec[...], first.W_enc[...], first.b_enc[...])
    h = jnp.asarray(H, float)
    assert_array_equal(again(h), first(h))


def test_under_a_transformation_lengths_are_folded_too():
    built = jax.jit(lambda W, E: SAE(W, E)(jnp.asarray(H, float)))(
        jnp.asarray(2 * UNIT, float), jnp.asarray(UNIT.T / 2, float)
    )
    assert_allclose(built, UNIT @ np.maximum(UNIT.T @ H, 0), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((2 * UNIT,), {}, "W_dec must have columns of length 1 where W_enc is left out"),
        ((UNIT * [1, 2, 3], UNIT.T), {"architecture": "topk"}, "columns of one length"),
        ((UNIT * [1, 2, 3], UNIT.T), {"architecture": "batch_topk"}, "columns of one length"),
        ((UNIT * [1, 2, 3], UNIT.T), {"architecture": "matryoshka"}, "columns of one length"),
        ((UNIT * [0, 1, 1], UNIT.T), {"architecture": "topk"}, "no column for latent 0"),
        ((UNIT, UNIT.T, np.ones(3)), {"architecture": "topk"}, "b_enc must be left out"),
        ((UNIT, UNIT), {}, r"W_enc must have shape \(3, 2\), got shape \(2, 3\)"),
        ((UNIT * np.nan, UNIT.T), {}, "W_dec must be finite"),
    ],
)
def test_what_no_encoder_can_express_is_refused(arguments, options, said):
    with pytest.raises(sp.ConfigError, match=said):
        SAE(*arguments, **options)


# --- lengths that come later: assigned, as a start, in a dataset ----------------------------------------------------

OWN = ("relu", "gated", "jumprelu", "matching_pursuit")


def made_longer(model, by):
    """The same function with other lengths, and the model's arrays by name."""
    model, by = jax.tree.map(lambda leaf: leaf, model), jnp.asarray(by, float)
    model.W_dec[...] = model.W_dec[...] * by[None]
    if model.architecture == "gated":
        model.r_mag[...] = model.r_mag[...] - jnp.log(by)
        model.b_mag[...] = model.b_mag[...] / by
    else:
        for name in ("W_enc", "b_enc"):
            if (held := getattr(model, name)) is not None:
                held[...] = held[...] / by.reshape((3,) + (1,) * (held[...].ndim - 1))
    if model.architecture == "jumprelu":
        model.log_threshold[...] = model.log_threshold[...] - jnp.log(by)
    if model.threshold is not None:
        model.threshold[...] = model.threshold[...] / by[0]
    return model


def some_model(architecture):
    kind = ARCHITECTURES[architecture]
    b_enc = np.array([0.1, -0.2, 0.3]) if kind.encoder_bias else None
    model = SAE(UNIT, UNIT.T if kind.encoder else None, b_enc, architecture=architecture, k=2)
    if architecture == "gated":
        model.b_mag[...] = jnp.array([0.1, 0.0, -0.1], float)
    if model.threshold is not None:
        model.threshold[...] = jnp.asarray(0.3, float)
    return model


def task_of(architecture, **fields):
    return sp.tasks.SparseAutoencoder(n_features=3, n_hidden=2, n_latents=3, architecture=architecture, **fields)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lengths_that_come_later_leave_the_function_as_it_is(architecture):
    """Assigned to a model, used as it is, also under jit; then given to a training, which begins with columns of length 1."""
    model, by = some_model(architecture), np.array([2.0, 3.0, 0.5] if architecture in OWN else [3.0] * 3)
    h = jnp.asarray(H, float)
    longer = made_longer(model, by)
    assert_allclose(longer(h), model(h), atol=2e-6)
    assert_allclose(jax.jit(lambda m, h: m(h))(longer, h), model(h), atol=2e-6)
    task = task_of(architecture, k=2)
    given = start.starting_parameters(task, longer)
    start.check_start(task, given)
    begun = start.begun(task, task.broadcast().init(jax.random.key(0)), given)
    assert_allclose(np.linalg.norm(begun.W_dec[...], axis=0), 1, atol=1e-6)
    assert_allclose(begun(h), model(h), atol=2e-6)
    again = start.begun(task, model, start.starting_parameters(task, begun))
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(begun), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


QUICK = sp.TrainConfig(steps=2, batch_size=8, history=1, evaluation_samples=8)


@pytest.mark.slow
def test_sweeps_and_datasets_have_the_function_of_their_arrays():
    model = some_model("relu")
    arrays = {
        n: np.stack([getattr(made_longer(model, np.full(3, by)), n)[...] for by in (1.0, 2.0)])
        for n in ("W_dec", "W_enc", "b_enc")
    }
    grid = sp.Grid(learning_rate=[0.001, 0.001001], seed=[0])
    result = sp.sweep(
        task_of("relu"), QUICK, grid, init={n: a[:, None] for n, a in arrays.items()}, block_size=2, progress=False
    )
    h = jnp.asarray(H, float)
    one, other = (result.isel(learning_rate=k).model() for k in range(2))
    assert_allclose(one(h), other(h), atol=1e-4)
    by_hand = result.dataset.copy()
    by_hand["W_dec"], by_hand["W_enc"], by_hand["b_enc"] = (
        4 * by_hand["W_dec"],
        by_hand["W_enc"] / 4,
        by_hand["b_enc"] / 4,
    )
    again = sp.SweepResult(by_hand).isel(learning_rate=0).model()
    assert_allclose(again(h), one(h), atol=1e-6)
    with pytest.raises(sp.ConfigError, match=r"^init: W_dec must have columns of one length .* from 1 to 2:"):
        sp.sweep(task_of("topk"), QUICK, grid, init={"W_dec": UNIT * [1, 2, 1]}, block_size=2)
    with pytest.raises(sp.ConfigError, match="^init: W_dec must have columns of length 1 where W_enc is left out"):
        sp.train(task_of("relu", tied=True), QUICK, init={"W_dec": 2 * UNIT})
    with pytest.raises(sp.ConfigError, match="^init: W_dec cannot be looked at inside a transformation"):
        jax.eval_shape(lambda W: sp.train(task_of("topk"), QUICK, init={"W_dec": W}).loss, jnp.asarray(UNIT, float))
