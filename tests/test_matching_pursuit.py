"""Matching-pursuit autoencoders: laws of the steps, codes known by hand, and training with the rest of the house.

The equations against an independent twin, with their gradient: test_sae.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ortho_group

import superpos as sp
from superpos.models import SAE
from superpos.models.sae.matching_pursuit import pursue

TASK = sp.tasks.SparseAutoencoder(
    n_features=5,
    n_hidden=4,
    n_latents=6,
    architecture="matching_pursuit",
    k=2,
    feature_probability=0.4,
    decoder_bias=True,
)
SHORT = sp.TrainConfig(steps=6, batch_size=16, history=2, evaluation_samples=16)


def unit(A):
    return A / np.linalg.norm(A, axis=0)


def codes(D, h, k):
    return np.asarray(pursue(jnp.asarray(D, float), jnp.asarray(h, float), jnp.asarray(float(k))))


def model_of(D, k=2, **more):
    return SAE(D, architecture="matching_pursuit", k=k, **more)


def test_residuals_never_grow_and_each_is_orthogonal_to_the_column_just_chosen(rng):
    D, h = unit(rng.standard_normal((4, 7))), rng.standard_normal((4, 50))
    z = [codes(D, h, k) for k in range(8)]
    residuals = [h - D @ each for each in z]
    lengths = np.array([np.linalg.norm(r, axis=0) for r in residuals])
    assert_array_equal(z[0], 0)
    assert np.all(np.diff(lengths, axis=0) <= 1e-6)
    for before, after, r in zip(z, z[1:], residuals[1:], strict=False):
        added = after - before  # of one latent at most, the one just chosen
        assert np.all((np.abs(added) > 1e-7).sum(axis=0) <= 1)
        along = np.sum(D[:, added.argmax(axis=0)] * r, axis=0)
        assert np.all(np.abs(along[added.max(axis=0) > 0]) < 1e-5)
    squares, grown = lengths**2, np.diff(z, axis=0).max(axis=1)
    assert_allclose(squares[:-1] - squares[1:], grown**2, atol=1e-5)  # Pythagoras


def test_orthonormal_columns_have_the_codes_of_topk(rng):
    Q, h = ortho_group.rvs(6, random_state=0), rng.standard_normal((6, 80))
    for k in (1, 3, 6):
        other = SAE(Q, Q.T, architecture="topk", k=k)
        assert_allclose(codes(Q, h, k), other.encode(jnp.asarray(h, float)), atol=2e-6)


def test_codes_by_hand():
    """Columns at 0, 60 and 180 degrees: twice the first, a tie, an input that is explained, and none."""
    D = np.array([[1.0, 0.5, -1.0], [0.0, np.sqrt(0.75), 0.0]])
    # (2, 0): the first explains it, and 5 more steps find nothing. (1, 0) + (½, √¾) ties, the first is chosen, then ¾ of the
    # second, whose own share of what is left is cos² 30°; then the column at 180 degrees takes back ⅜. (0, −1) has none.
    h = np.array([[2.0, 1.5, 0.0, 0.0], [0.0, np.sqrt(0.75), -1.0, 0.0]])
    assert_allclose(codes(D, h, 1), [[2, 1.5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], atol=1e-6)
    assert_allclose(codes(D, h, 2), [[2, 1.5, 0, 0], [0, 0.75, 0, 0], [0, 0, 0, 0]], atol=1e-6)
    assert_allclose(codes(D, h, 3), [[2, 1.5, 0, 0], [0, 0.75, 0, 0], [0, 0.375, 0, 0]], atol=1e-6)
    assert_array_equal((codes(D, h, 6) > 0).sum(axis=0), [1, 3, 0, 0])


def test_what_rounding_leaves_over_chooses_nothing(rng):
    """Multiples of single columns are said by one latent, however many steps there are."""
    D = unit(rng.standard_normal((16, 30)))
    assert_array_equal((codes(D, D * rng.uniform(0.01, 100, 30), 6) > 0).sum(axis=0), 1)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_gradient_is_that_of_the_steps_with_their_choices_held(k, rng):
    """Against differences, for any use of z, not only the squared residual; columns turn and keep their lengths."""
    D, h, C = unit(rng.standard_normal((4, 9))), rng.standard_normal((4, 30)), rng.standard_normal((9, 30))
    turn, shift = rng.standard_normal(D.shape), rng.standard_normal(h.shape)
    turn -= D * np.sum(turn * D, axis=0)
    with jax.enable_x64(True):

        def use(D, h):
            return jnp.sum(C * pursue(jnp.asarray(D), jnp.asarray(h), jnp.asarray(float(k))))

        to_D, to_h = map(np.asarray, jax.grad(use, (0, 1))(jnp.asarray(D), jnp.asarray(h)))
        change = float(use(D + 1e-6 * turn, h + 1e-6 * shift) - use(D - 1e-6 * turn, h - 1e-6 * shift))
    assert_allclose(np.sum(to_D * turn) + np.sum(to_h * shift), change / 2e-6, rtol=1e-6)


def test_a_column_may_be_chosen_again():
    """Columns at 0 and 120 degrees, and (1, ½): 1, then ½ sin 120°, of which cos 60° is along the first again."""
    D, h = np.array([[1.0, -0.5], [0.0, np.sqrt(0.75)]]), np.array([[1.0], [0.5]])
    second = 0.5 * np.sqrt(0.75)
    assert_allclose(codes(D, h, 2)[:, 0], [1, second], atol=1e-6)
    assert_allclose(codes(D, h, 3)[:, 0], [1 + second / 2, second], atol=1e-6)
    assert_allclose(D @ codes(D, h, 60), h, atol=1e-5)


def test_a_column_along_a_parent_and_its_child_is_chosen_before_either():
    """Why greedy steps absorb: of p + c its own direction has √2, either feature alone 1; p alone is p's."""
    p, c = np.eye(3)[:2]
    D = np.stack([p, c, (p + c) / np.sqrt(2)], axis=1)
    assert_allclose(codes(D, np.stack([p, p + c], axis=1), 2), [[1, 0], [0, 0], [0, np.sqrt(2)]], atol=1e-6)


def test_models_of_one_block_may_have_different_k(rng):
    """Where the loops of several run together, each ends after its own steps, backwards too."""
    D, h, C = unit(rng.standard_normal((4, 7))), rng.standard_normal((4, 9)), rng.standard_normal((7, 9))
    D, h = jnp.asarray(D, float), jnp.asarray(h, float)
    slope = jax.grad(lambda D, k: jnp.sum(C * pursue(D, h, k)))
    together = jax.vmap(slope, (None, 0))(D, jnp.array([1.0, 4.0, 2.0]))
    for each, k in zip(together, (1.0, 4.0, 2.0), strict=True):
        assert_allclose(each, slope(D, jnp.asarray(k)), atol=1e-5)
    assert not np.allclose(together[0], together[2])


def test_lengths_of_columns_do_not_matter(rng):
    """A dictionary of any lengths reconstructs as one of length 1; a column of none is never chosen."""
    D, by, h = (
        unit(rng.standard_normal((4, 6))),
        rng.uniform(0.3, 3, 6),
        jnp.asarray(rng.standard_normal((4, 30)), float),
    )
    by[2] = 0
    there = np.where(by > 0, D, 0)
    model = model_of(D * by, k=3)
    assert_allclose(np.linalg.norm(model.W_dec[...], axis=0), by > 0, atol=1e-6)
    assert_allclose(model(h), model_of(there, k=3)(h), atol=2e-6)
    assert not model.encode(h)[2].any()
    later = model_of(there, k=3)
    later.W_dec[...] = jnp.asarray(D * by, float)
    assert_allclose(later(h), model(h), atol=2e-6)
    assert_allclose(later.encode(h)[:2], np.asarray(model.encode(h))[:2] / by[:2, None], atol=1e-5)
    assert_allclose(jax.jit(lambda W: model_of(W, k=3)(h))(jnp.asarray(D * by, float)), model(h), atol=2e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"k": 1.5}, 'k must be a whole number for architecture="matching_pursuit", got 1.5'),
        ({"k": 7}, "k must be at most the dictionary size, 6, got 7"),
        ({"dictionary_size": 3, "k": 4}, "k must be at most the dictionary size, 3, got 4"),
        ({"sparsity_coefficient": [0.1, 0.2]}, "sparsity_coefficient must be one number"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, words):
    with pytest.raises(sp.ConfigError, match=words) as error:
        sp.train(dataclasses.replace(TASK, **settings), SHORT)
    assert "\n" not in str(error.value)


def test_what_has_no_encoder_is_given_none(rng):
    D = unit(rng.standard_normal((3, 4)))
    with pytest.raises(sp.ConfigError, match='W_enc must be left out for architecture="matching_pursuit"'):
        SAE(D, D.T, architecture="matching_pursuit")
    with pytest.raises(sp.ConfigError, match="b_enc must be left out"):
        SAE(D, None, np.ones(4), architecture="matching_pursuit")
    shared = {
        "n_features": 4,
        "n_latents": 4,
        "architecture": "matching_pursuit",
        "directions": rng.standard_normal((4, 4)),
    }
    cross = sp.tasks.Crosscoder(n_hidden=4, parts=(2, 2), **shared)
    trans = sp.tasks.Transcoder(n_hidden=4, n_neurons=3, W_in=np.ones((3, 4)), W_out=np.ones((4, 3)), **shared)
    for task, models in ((cross, "crosscoders"), (trans, "transcoders")):
        with pytest.raises(sp.ConfigError, match=f"architecture must have an encoder for {models}"):
            task.check()
    unread = TASK.unread()
    assert "tied" in unread and "sparsity_coefficient" in unread and "k" not in unread
    assert "rows of the encoder" in unread["resample_scale"]


@pytest.mark.slow
@pytest.mark.optimized
def test_a_model_alone_has_the_bytes_it_has_in_any_sweep(tmp_path, one_device, rng):
    options = {"block_size": 2, "devices": one_device, "progress": False}
    alone = sp.sweep(dataclasses.replace(TASK, source=1), SHORT, sp.Grid(seed=[3]), **options)
    many = sp.sweep(TASK, SHORT, sp.Grid(k=[2, 4], source=[0, 1], seed=[3, 5]), **options)
    for name in ("W_dec", "b_dec", "frequency", "loss", "loss_history"):
        one = many.sel(k=2, source=1, seed=3)[name].values
        assert one.tobytes() == alone.sel(seed=3)[name].values.tobytes(), name
        assert name == "loss_history" or not np.array_equal(one, many.sel(k=4, source=1, seed=3)[name].values), name
    many.save(tmp_path / "r.zarr")
    again = sp.open(tmp_path / "r.zarr")
    assert "W_enc" not in again.dataset and again.model(k=4, source=0, seed=5).W_enc is None
    h = jnp.asarray(rng.standard_normal((4, 9)), float)
    assert_array_equal(again.model(k=4, source=0, seed=5)(h), many.model(k=4, source=0, seed=5)(h))


@pytest.mark.slow
def test_it_is_swept_beside_architectures_with_an_encoder_and_scored():
    grid = sp.sparsity_grid({"matching_pursuit": [1, 2], "relu": [0.1]}, seed=[0])
    result = sp.sweep(dataclasses.replace(TASK, architecture="relu"), SHORT, grid, progress=False)
    greedy, relu = result.isel(cell=0).model(), result.isel(cell=2).model()
    assert greedy.W_enc is None and greedy.b_enc is None and relu.W_enc.shape == (6, 4)
    assert greedy.n_active[...] == 1 and result.isel(cell=1).model().n_active[...] == 2
    assert np.isfinite(result.sae_scores(n_inputs=128)["mcc"]).all()
