"""Sparse autoencoders: against an independent twin in NumPy, and by the laws of their training.

Small models run without compilation where that is quicker, in double precision: `eager`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.models.sae import ARCHITECTURES, SAE
from superpos.models.sae.batch_topk import THRESHOLD_RATE
from superpos.tasks import revival
from superpos.training.loop import advance, init, intervals
from superpos.training.loop import materialize as ready_task

N, M, L, SIZE, BATCH = 4, 3, 6, 5, 40  # features, hidden, latents in arrays, latents that exist, inputs
W = np.random.default_rng(3).standard_normal((2, M, N))
NUMBERS = {"sparsity_coefficient": 0.3, "k": 2.0, "bandwidth": 0.4, "feature_probability": 0.6, "dead_below": 0.3}
TASK = sp.tasks.SparseAutoencoder(
    n_features=N, n_hidden=M, n_latents=L, dictionary_size=SIZE, directions=W[0], prefixes=(0.2, 0.6, 1.0), **NUMBERS
)
SHORT = sp.TrainConfig(steps=6, batch_size=BATCH, evaluation_samples=8, history=2)
PARAMETERS = ("W_dec", "W_enc", "b_enc", "b_dec", "r_mag", "b_mag", "log_threshold")
KEPT = ("n_active", "threshold", "frequency")


def materialize(task: Any) -> Any:
    """The task with its own directions."""
    return ready_task(task)


def key(seed):
    """A key whose draws compile in no time."""
    return jax.random.key(seed, impl="unsafe_rbg")


def task_of(architecture, tied=False, decoder_bias=True, **more):
    return dataclasses.replace(TASK, architecture=architecture, tied=tied, decoder_bias=decoder_bias, **more)


def model_of(task, rng):
    """Random weights; the latents beyond the dictionary do not exist, and two of the others are dead."""
    n, size = task.n_latents, task.dictionary_size
    there = np.arange(n) < size
    W_dec, W_enc = rng.standard_normal((M, n)) * there, rng.standard_normal((n, M)) * there[:, None]
    W_dec /= np.where(
        there, np.linalg.norm(W_dec, axis=0), 1
    )  # as training keeps it; the twin divides by lengths always
    b_enc, b_dec, r_mag, b_mag = (0.2 * rng.standard_normal(width) for width in (n, M, n, n))
    arrays = [jnp.asarray(x, float) for x in (W_dec, W_enc, b_enc * there, b_dec)]
    model = SAE(
        arrays[0], None if task.tied or not task.kind.encoder else arrays[1], arrays[2] if task.kind.encoder_bias else None,
        arrays[3] if task.decoder_bias else None,
        architecture=task.architecture, k=task.k, initial_threshold=0.1, unit_columns=True,
    )  # fmt: skip
    for name, value in (("r_mag", r_mag * there), ("b_mag", b_mag * there)):
        if getattr(model, name) is not None:
            getattr(model, name)[...] = jnp.asarray(value, float)
    if model.log_threshold is not None:
        model.log_threshold[...] = jnp.asarray(np.log(rng.uniform(0.05, 0.3, n)), float)
    if model.threshold is not None:
        model.threshold[...] = jnp.asarray(0.4)
    frequency = np.where(there, rng.uniform(0.3, 0.6, n), 0)
    frequency[[1, 3]] = 0.02, 0.0
    model.frequency[...] = jnp.asarray(frequency, float)
    return model


def arrays_of(model, names=(*PARAMETERS, *KEPT)):
    """The parameters as NumPy arrays."""
    return {name: np.array(getattr(model, name)[...]) for name in names if getattr(model, name) is not None}


# --- the twin: the equations of the papers, in plain NumPy -----------------------------------------------------------


def twin_decoder(p):
    lengths = np.linalg.norm(p["W_dec"], axis=0)
    return np.where(lengths > 0, p["W_dec"] / np.where(lengths > 0, lengths, 1), 0)


def twin_decode(p, z):
    return twin_decoder(p) @ z + p.get("b_dec", np.zeros(M))[:, None]


def twin_pre_activations(p, h):
    encoder = p.get("W_enc", twin_decoder(p).T)
    projection = encoder @ (h - p.get("b_dec", np.zeros(M))[:, None])
    return projection, projection + p.get("b_enc", np.zeros(len(projection)))[:, None]


def twin_top(values, n):
    """The n largest of a flat list that are above 0, and others that equal the smallest of them."""
    return np.where(values >= np.sort(values)[::-1][int(n) - 1], values, 0)


def twin_pursuit(p, h, k):
    """One input and one step after the other."""
    D, z = twin_decoder(p), np.zeros((p["W_dec"].shape[1], h.shape[1]))
    for i, r in enumerate((h - p.get("b_dec", np.zeros(len(h)))[:, None]).T.copy()):
        least = 16 * np.finfo(float).eps * np.linalg.norm(r)
        for _ in range(int(k)):
            j = np.argmax(D.T @ r)
            if (c := D[:, j] @ r) > least:
                z[j, i] += c
                r = r - c * D[:, j]
    return z


def twin_encode(p, h, architecture, k, training):
    if architecture == "matching_pursuit":
        return twin_pursuit(p, h, k)
    projection, a = twin_pre_activations(p, h)
    positive = np.maximum(a, 0)
    if architecture == "relu":
        return positive
    if architecture == "topk":
        return np.stack([twin_top(column, k) for column in positive.T], axis=1)
    if architecture == "gated":
        return (a > 0) * np.maximum(np.exp(p["r_mag"])[:, None] * projection + p["b_mag"][:, None], 0)
    if architecture == "jumprelu":
        return a * (a > np.exp(p["log_threshold"])[:, None])
    if training:
        return twin_top(positive.ravel(), k * h.shape[1]).reshape(a.shape)
    return positive * (a > p["threshold"])


def squared(r):
    return np.mean(np.sum(r**2, axis=0))


def twin_dead(p, dead_below):
    there = np.any(p["W_dec"] != 0, axis=0)
    return there & (p["frequency"] < dead_below * p["frequency"][there].mean())


def twin_training_loss(p, h, task, held=None):
    """`held`: parameters from which what training holds fixed is computed; those being trained unless given."""
    held = p if held is None else held
    z = twin_encode(p, h, task.architecture, task.k, training=True)
    _, a = twin_pre_activations(p, h)
    positive = np.maximum(a, 0)
    error = squared(h - twin_decode(p, z))
    penalty = {"relu": z, "gated": positive, "jumprelu": z > 0}.get(task.architecture, np.zeros_like(z))
    loss = error + task.sparsity_coefficient * np.mean(np.sum(penalty, axis=0))
    if task.architecture == "gated":
        loss += squared(h - twin_decode({**held, "W_enc": 0}, positive))
    if task.architecture == "matryoshka":
        weights = (1, 1) if task.prefix_weights is None else task.prefix_weights
        for n, weight in zip((1, 3), weights, strict=False):  # ⌈0.2 × 5⌉ and ⌈0.6 × 5⌉
            loss += weight * squared(h - twin_decode(p, z * (np.arange(len(z)) < n)[:, None]))
    if task.revival == "auxiliary":
        dead = twin_dead(held, task.dead_below)[:, None]
        candidates = np.stack([twin_top(column, task.auxiliary_k or M // 2) for column in (positive * dead).T], axis=1)
        residual = h - twin_decode(held, twin_encode(held, h, task.architecture, task.k, training=True))
        loss += task.auxiliary_coefficient * squared(residual - twin_decoder(p) @ candidates)
    return loss, error, np.mean(np.sum(z > 0, axis=0))


KINDS = [(a, tied, bias) for a in ARCHITECTURES for tied, bias in ((False, True), (True, False))]


@pytest.mark.parametrize(("architecture", "tied", "bias"), KINDS)
def test_encoder_decoder_loss_and_gradient_are_those_of_the_equations(architecture, tied, bias, rng, eager):
    balanced = {"prefix_weights": np.array([0.3, 2.0, 1.0])} if tied else {}  # which only matryoshka reads
    task = task_of(architecture, tied, bias, revival="auxiliary", auxiliary_coefficient=0.5, **balanced)
    model, prepared = model_of(task, rng), materialize(task)
    p = arrays_of(model)
    h = np.asarray(prepared.sample(key(0), BATCH)[1])
    z = np.asarray(model.encode(jnp.asarray(h)))
    assert_allclose(z, twin_encode(p, h, architecture, task.k, training=False), atol=1e-12)
    assert 0.1 < np.mean(z[:SIZE] > 0) < 0.9
    assert not z[SIZE:].any()
    assert_allclose(model(jnp.asarray(h)), twin_decode(p, z), atol=1e-12)

    (loss, (metrics, seen)), gradient = jax.value_and_grad(prepared.training_loss, has_aux=True)(model, key(0), BATCH)
    wanted = twin_training_loss(p, h, task)
    assert_allclose([loss, metrics["error"], metrics["l0"]], wanted, rtol=1e-10)
    assert metrics["dead"] == 2 / SIZE
    z = twin_encode(p, h, architecture, task.k, training=True)
    assert_allclose(seen.activity, np.mean(z > 0, axis=1))
    assert_allclose(seen.inputs.residuals, h - twin_decode(p, z), atol=1e-12)

    # Along a random direction, as the twin changes; its θ is a step, whose gradient is a convention.
    found = arrays_of(gradient)
    assert not any(found[name].any() for name in KEPT if name in found)
    learned = [name for name in PARAMETERS if name in p and name != "log_threshold"]
    direction = {name: rng.standard_normal(p[name].shape) for name in learned}
    for name in learned:  # latents that do not exist must not come to be
        if name != "b_dec":
            direction[name].swapaxes(0, -1 if name == "W_dec" else 0)[SIZE:] = 0

    def along(t):
        return twin_training_loss({**p, **{name: p[name] + t * direction[name] for name in learned}}, h, task, held=p)[
            0
        ]

    slope = sum(np.sum(found[name] * direction[name]) for name in learned)
    assert_allclose(slope, (along(1e-6) - along(-1e-6)) / 2e-6, rtol=1e-6)
    for name in learned:
        if name != "b_dec":
            assert not found[name].swapaxes(0, -1 if name == "W_dec" else 0)[SIZE:].any(), name
    along_columns = np.sum(found["W_dec"] * p["W_dec"], axis=0)
    assert_allclose(along_columns, 0, atol=1e-12)  # lengths of columns do not matter
    if architecture == "jumprelu":
        _, a = twin_pre_activations(p, h)
        theta = np.exp(p["log_threshold"])[:, None]
        inside = (np.abs(a - theta) < 0.2) / 0.4
        by_latents = -2 * twin_decoder(p).T @ (h - twin_decode(p, z))
        each = -theta * inside * by_latents - task.sparsity_coefficient * inside * (np.arange(L) < SIZE)[:, None]
        assert_allclose(found["log_threshold"], theta[:, 0] * each.mean(axis=1), rtol=1e-9, atol=1e-12)
        assert inside[SIZE:].any()  # the width reaches the pre-activations 0 of latents that do not exist


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_reported_is_the_loss_of_the_model_as_it_is_used(architecture, rng, eager):
    task = task_of(architecture)
    model, prepared = model_of(task, rng), materialize(task)
    h = np.asarray(prepared.sample(key(0), BATCH)[1])
    z = twin_encode(arrays_of(model), h, architecture, task.k, training=False)
    loss, metrics = prepared.loss(model, key(0), BATCH)
    error = squared(h - twin_decode(arrays_of(model), z))
    gate = np.maximum(twin_pre_activations(arrays_of(model), h)[1], 0)
    penalty = {"relu": z, "gated": gate, "jumprelu": z > 0}.get(architecture, np.zeros_like(z))
    assert_allclose(loss, error + task.sparsity_coefficient * np.mean(np.sum(penalty, axis=0)), rtol=1e-10)
    assert_allclose([metrics["error"], metrics["l0"]], [error, np.mean(np.sum(z > 0, axis=0))], rtol=1e-10)


# --- training --------------------------------------------------------------------------------------------------------


SOME = [a if a in ("gated", "batch_topk") else pytest.param(a, marks=pytest.mark.long) for a in ARCHITECTURES]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", SOME)
def test_columns_have_length_one_and_latents_that_do_not_exist_stay_away(architecture, eager):
    task = task_of(architecture, tied=architecture == "topk", bandwidth=0.5, resample_every=2, dead_below=0.9)
    config = dataclasses.replace(
        SHORT, snapshots=tuple(range(7)), learning_rate=0.05, weight_decay=0.1, decay_bias=True
    )
    run = sp.train(task, config, seed=1)
    kept = arrays_of(run.snapshots)
    assert_allclose(np.linalg.norm(kept["W_dec"], axis=1)[:, :SIZE], 1, rtol=1e-12)
    assert not kept["W_dec"][:, :, SIZE:].any()
    for name in ("W_enc", "b_enc", "r_mag", "b_mag", "frequency"):
        assert name not in kept or not kept[name][:, SIZE:].any(), name
    assert np.ptp(kept["W_dec"], axis=0)[:, :SIZE].all()
    prepared, decayed = materialize(task), 0.0
    for t in range(6):
        h = np.asarray(prepared.sample(jax.random.fold_in(jax.random.key(jnp.uint32(1)), t), BATCH)[1], np.float64)
        before = {name: value[t].astype(np.float64) for name, value in kept.items()}
        z = twin_encode(before, h, architecture, task.k, training=True)
        if architecture in ("batch_topk", "matryoshka"):
            positive = np.sort(np.maximum(twin_pre_activations(before, h)[1], 0), axis=None)
            decayed += max(THRESHOLD_RATE, 1 / (t + 1)) * (positive[-int(task.k * BATCH)] - decayed)
            assert_allclose(kept["threshold"][t + 1], decayed, rtol=1e-9)
        due = t in (1, 3)  # every second step, below 0.7 × 6
        expected = before["frequency"] + (np.mean(z > 0, axis=1) - before["frequency"]) / (t + 1)
        after = kept["frequency"][t + 1]
        revived = twin_dead({**before, "frequency": expected}, 0.9) & due
        assert_allclose(after, np.where(revived, expected.max(), expected), atol=1e-12)
    if architecture == "topk":
        assert_array_equal(kept["n_active"], 2)


@pytest.mark.long
def test_a_smaller_dictionary_in_wider_arrays_learns_the_same(eager):
    """Also where the rectangle reaches pre-activations of 0, which latents that do not exist have."""
    losses = []
    for n in (SIZE, L):
        task = task_of("jumprelu", bandwidth=0.8, n_latents=n, revival="none")
        config = SHORT.with_defaults(task)
        model = model_of(task_of("jumprelu"), np.random.default_rng(5))
        if n < L:
            cut = {**arrays_of(model)}
            model = init(task, config, jnp.uint32(0)).model
            for name, value in cut.items():
                value = value[:, :n] if name == "W_dec" else value[:n]
                getattr(model, name)[...] = jnp.asarray(value)
        start = init(task, config, jnp.uint32(0))
        start = start._replace(model=model, optimizer=config.broadcast().build_optimizer().init(model))
        state, record = advance(task, config, jnp.uint32(0), start, intervals(config))
        losses.append(record.loss)
        learned = arrays_of(state.model)["log_threshold"]
        assert_array_equal(learned[SIZE:], arrays_of(model)["log_threshold"][SIZE:])
    assert_allclose(losses[0], losses[1], rtol=1e-12)
    assert not np.array_equal(losses[0][0], losses[0][1])


# --- reviving dead latents -------------------------------------------------------------------------------------------


def memories(model, rng):
    """An optimiser that remembers something of every number."""
    state = optax.adam(0.01).init(model)
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(rng.uniform(1, 2, leaf.shape), leaf.dtype), state)


def of_latents(tree, who):
    """The part of all parameters that belongs to some latents, and everything else."""
    own, others = [], []
    for leaf in (tree[0].mu, tree[0].nu) if isinstance(tree, tuple) else (tree,):
        for name, value in arrays_of(leaf, PARAMETERS).items():
            if name == "b_dec":
                others.append(value)
            else:
                value = value.T if name == "W_dec" else value
                own.append(value[who])
                others.append(value[~who])
    return np.concatenate([np.ravel(x) for x in own]), np.concatenate([np.ravel(x) for x in others])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gated", "jumprelu"])
def test_exactly_the_dead_are_resampled_when_it_is_due(architecture, rng, eager):
    task = task_of(architecture, resample_every=3, resample_scale=0.7, initial_threshold=0.25, frequency_window=1e9)
    prepared, model = materialize(task), model_of(task, rng)
    optimizer = memories(model, rng)
    _, (_, seen) = prepared.training_loss(model, key(0), BATCH)
    seen = seen._replace(activity=model.frequency[...])  # so that the running mean stays
    who = twin_dead(arrays_of(model), task.dead_below)
    assert who.tolist() == [False, True, False, True, False, False]
    for step in range(10):
        after, memory = prepared.after_step(model, model, optimizer, seen, key(1), jnp.int32(step), 10)
        own, others = of_latents(after, who)
        own_memory, other_memories = of_latents(memory, who)
        assert_allclose(arrays_of(after)["W_dec"], np.where(who, after.W_dec[...], twin_decoder(arrays_of(model))))
        assert_array_equal(others[M * 4 :], of_latents(model, who)[1][M * 4 :])  # but for the lengths of columns
        assert_array_equal(other_memories, of_latents(optimizer, who)[1])
        assert memory[0].count == optimizer[0].count
        if step not in (2, 5):  # 8 is beyond 0.7 × 10
            assert_array_equal(own[M * 2 :], of_latents(model, who)[0][M * 2 :])
            assert_array_equal(own_memory, of_latents(optimizer, who)[0])
            continue
        assert not own_memory.any()
        p, residuals = arrays_of(after), np.asarray(seen.inputs.residuals)
        directions = residuals / np.linalg.norm(residuals, axis=0)
        for j in np.flatnonzero(who):
            assert np.isclose(p["W_dec"][:, j] @ directions, 1, atol=1e-12).any()
            length = 0.7 * np.linalg.norm(p["W_enc"][:SIZE][~who[:SIZE]], axis=1).mean()
            assert_allclose(p["W_enc"][j], length * p["W_dec"][:, j], rtol=1e-10)
            assert p["b_enc"][j] == 0 and p["frequency"][j] == model.frequency[...].max()
            assert architecture != "gated" or p["r_mag"][j] == p["b_mag"][j] == 0
            assert architecture != "jumprelu" or np.isclose(p["log_threshold"][j], np.log(0.25))
    for way in ("none", "auxiliary"):
        other = dataclasses.replace(prepared, revival=way)
        after, memory = other.after_step(model, model, optimizer, seen, key(1), jnp.int32(2), 10)
        assert memory is optimizer
        assert_array_equal(of_latents(after, who)[0][M * 2 :], of_latents(model, who)[0][M * 2 :])


@pytest.mark.slow
def test_inputs_are_drawn_by_the_square_of_their_loss():
    """One dead latent, 4,000 draws: shares within four standard errors; what is reconstructed is never drawn."""
    residuals = np.array([[1.0, 0.0, 0.8, 0.0], [0.0, -1.3, 0.6, 0.0]], np.float32)
    inputs = revival.Inputs(jnp.asarray(residuals), jnp.asarray([1.0, 1.69, 0.5, 0.0]))
    numbers = {"dead_below": jnp.asarray(0.5), "scale": jnp.asarray(1.0), "initial_threshold": jnp.asarray(0.1)}

    def columns(n_dead: int, inputs: revival.Inputs, seed: int) -> jax.Array:
        model = SAE(jnp.ones((2, n_dead + 1)), jnp.ones((n_dead + 1, 2)), unit_columns=True)
        model.frequency[...] = jnp.zeros(n_dead + 1).at[0].set(1.0)
        return revival.resample(model, (), inputs, key(seed), **numbers)[0].W_dec[...][:, 1:].T

    directions = residuals[:, :3].T / np.linalg.norm(residuals[:, :3], axis=0)[:, None]
    drawn = np.asarray(jax.jit(jax.vmap(lambda seed: columns(1, inputs, seed)[0]))(jnp.arange(4_000, dtype=jnp.uint32)))
    matches = np.all(np.isclose(drawn[:, None, :], directions, atol=1e-6), axis=2)
    assert_array_equal(matches.sum(axis=1), 1)
    share = np.array([1.0, 1.69, 0.5]) ** 2 / np.sum(np.array([1.0, 1.69, 0.5]) ** 2)
    assert np.all(np.abs(matches.mean(axis=0) - share) < 4 * np.sqrt(share * (1 - share) / 4_000))
    # Five dead latents share three inputs: each takes another one, and two stay as they are.
    several = np.asarray(columns(5, inputs, 3))
    assert_array_equal(np.all(np.isclose(several[:, None, :], directions, atol=1e-6), axis=2).sum(axis=0), 1)
    assert_array_equal(np.all(several == 1, axis=1).sum(), 2)
    nothing = revival.Inputs(jnp.zeros((2, 4)), jnp.zeros(4))
    assert_array_equal(columns(2, nothing, 0), np.ones((2, 2)))


def test_only_dead_latents_learn_from_the_auxiliary_error(rng, eager):
    task = task_of("topk", decoder_bias=False, revival="auxiliary", auxiliary_coefficient=0.5, auxiliary_k=2)
    model = model_of(task, rng)
    with_it, without = (
        jax.grad(materialize(dataclasses.replace(task, revival=way)).training_loss, has_aux=True)(model, key(0), BATCH)[
            0
        ]
        for way in ("auxiliary", "none")
    )
    who = twin_dead(arrays_of(model), task.dead_below)
    dead, living = (a - b for a, b in zip(of_latents(with_it, who), of_latents(without, who), strict=True))
    assert np.mean(dead != 0) > 0.4
    assert_allclose(living, 0, atol=1e-14)


# --- sweeps, files, words --------------------------------------------------------------------------------------------

SWEPT = sp.TrainConfig(steps=20, batch_size=33, evaluation_samples=33, history=4)


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("architecture", ["batch_topk", pytest.param("jumprelu", marks=pytest.mark.long)])
def test_a_cell_alone_has_the_bytes_it_has_in_any_sweep_and_nothing_recompiles(
    architecture, compilations, tmp_path, one_device, rng
):
    task = task_of(architecture, directions=W, resample_every=4, dead_below=0.9, bandwidth=0.1)
    matters, value = ("sparsity_coefficient", 0.2) if architecture == "jumprelu" else ("k", 1.5)
    cell = {matters: value, "dictionary_size": 4, "source": 1, "learning_rate": 0.02, "seed": 7}
    own = {name: value for name, value in cell.items() if name not in ("learning_rate", "seed")}
    options = {"block_size": 4, "blocks_per_device": 2, "devices": one_device, "progress": False}
    alone = sp.sweep(
        dataclasses.replace(task, **own), dataclasses.replace(SWEPT, learning_rate=0.02), sp.Grid(seed=[7]), **options
    )
    compilations.clear()
    axes = {matters: [value / 2, value], "dictionary_size": [6, 4], "source": [0, 1]}
    grid = sp.Grid(**axes, learning_rate=[0.05, 0.02], seed=[3, 7])
    many = sp.sweep(task, SWEPT, grid, **options)
    assert not compilations
    names = [*arrays_of(many.model(**cell)), "loss", "loss_history", "diverged_step"]
    for name in names:
        assert many.sel(**cell)[name].values.tobytes() == alone.sel(seed=7)[name].values.tobytes(), name
    for axis in (matters, "dictionary_size", "source", "learning_rate", "seed"):
        values = many["W_dec"].sel({name: value for name, value in cell.items() if name != axis}).values
        assert not np.array_equal(*values), axis

    many.save(tmp_path / "r.zarr")
    again = sp.open(tmp_path / "r.zarr")
    assert again["W_enc"].dims == (*cell, "latent", "hidden") and again["frequency"].dims == (*cell, "latent")
    said = again.task(**cell)
    assert type(said) is sp.tasks.SparseAutoencoder and (said.source, said.dictionary_size) == (1, 4)
    assert getattr(said, matters) == np.float32(value)
    assert_allclose(said.directions, W)
    model = again.model(**cell)
    assert (
        isinstance(model, SAE)
        and model.architecture == architecture
        and model.exists.tolist() == [True] * 4 + [False] * 2
    )
    h = rng.standard_normal((M, 9))
    z = twin_encode(arrays_of(model), h, architecture, 1.5, training=False)
    assert_allclose(model.encode(jnp.asarray(h, jnp.float32)), z, rtol=1e-4, atol=1e-5)
    assert "sparse_autoencoder" in repr(again)


@pytest.mark.slow
def test_changing_any_field_changes_the_result(eager):
    """A setting that is accepted and ignored is the worst kind."""
    base = sp.tasks.SparseAutoencoder(
        n_features=4, n_hidden=3, n_latents=6, feature_probability=0.4, dead_below=0.9, resample_every=2, k=2.0,
        resample_until=1.0, bandwidth=0.5, directions=W,
    )  # fmt: skip
    jump, topk, nested = ({"architecture": name} for name in ("jumprelu", "topk", "matryoshka"))
    family, discrete = {"parents": (-1, 0, 0, 0)}, {"magnitude": "discrete", "magnitude_values": np.array([1.0, 3.0])}
    balanced = nested | {"prefixes": (0.5, 1.0), "prefix_weights": np.array([0.5, 1.0])}
    auxiliary = {"revival": "auxiliary", "auxiliary_k": 1, "auxiliary_coefficient": 1.0}
    changes = {
        "n_features": (5, {"directions": None}), "n_hidden": (2, {"directions": None}), "n_latents": (5, {}),
        "directions": (W[::-1], {}), "source": (1, {}), "feature_probability": (0.5, {}), "sparsity_coefficient": (0.2, {}),
        "k": (1.0, topk), "dictionary_size": (5, {}), "bandwidth": (0.3, jump), "initial_threshold": (0.2, jump),
        "auxiliary_coefficient": (0.5, auxiliary), "auxiliary_k": (3, auxiliary), "dead_below": (0.1, {}),
        "frequency_window": (1.0, {}), "resample_scale": (0.5, {}), "architecture": ("gated", {}), "tied": (True, {}),
        "decoder_bias": (True, {}), "prefixes": ((0.5, 1.0), nested), "prefix_weights": (np.array([0.2, 1.0]), balanced), "manifolds": (("circle",) * 2, {}), "revival": ("none", {}), "resample_every": (3, {}),
        "resample_until": (0.1, {}), "initial_columns": ("inputs", {}), "magnitude": ("constant", {}), "correlated_sets": (((0, 1),), {}),
        "anticorrelated_sets": (((0, 2),), {}), "parents": ((-1, 0, 0, 0), {}), "scale_by_parent": (True, family),
        "exclusive_children": (True, family | {"feature_probability": np.array([0.4, 0.2, 0.1, 0.1])}),
        "correlation": (0.5, {}), "correlation_matrix": (0.5 + 0.5 * np.eye(4), {}), "correlation_factor": (np.full((4, 1), 0.6), {}),
        "magnitude_low": (0.5, {}), "magnitude_high": (0.5, {}), "magnitude_value": (2.0, {"magnitude": "constant"}),
        "magnitude_rate": (2.0, {"magnitude": "exponential"}), "magnitude_mean": (1.0, {"magnitude": "folded_normal"}),
        "magnitude_std": (2.0, {"magnitude": "folded_normal"}), "magnitude_values": (np.array([1.0, 2.0]), discrete),
        "magnitude_weights": (np.array([0.2, 0.8]), discrete),
    }  # fmt: skip
    measured = {"output_bias", "importance", "activation"}  # of the toy model, for what is measured afterwards
    assert set(changes) | measured == {f.name for f in dataclasses.fields(base)}

    def fingerprint(task):
        task.check()
        config, seed = dataclasses.replace(SHORT, steps=2, history=1).with_defaults(task), jnp.uint32(2)
        model = advance(task, config, seed, init(task, config, seed), intervals(config))[0].model
        return {name: value.tobytes() for name, value in arrays_of(model).items()}

    def shapes(task):
        full = materialize(task)
        return [np.shape(leaf) for leaf in jax.tree.leaves((full.directions, jax.eval_shape(full.init, key(0))))]

    bases = {}
    for name, (value, more) in changes.items():
        before = dataclasses.replace(base, **more)
        after = dataclasses.replace(before, **{name: value})
        if shapes(before) != shapes(after):
            after.check()
            continue
        label = repr(sorted(more.items()))
        if label not in bases:
            bases[label] = fingerprint(before)
        assert fingerprint(after) != bases[label], name


def test_tables_that_a_result_holds_as_lists_are_arrays_where_they_are_used():
    """As of a task that was opened with its result."""
    lists = {"correlation_factor": [[0.6]] * N, "prefix_weights": [0.5, 2.0, 1.0]}
    full = dataclasses.replace(TASK, **lists).broadcast()
    assert np.shape(full.correlation_factor) == (N, 1) and np.shape(full.prefix_weights) == (3,)
    assert np.shape(
        dataclasses.replace(TASK, correlation_matrix=np.eye(N).tolist()).broadcast().correlation_matrix
    ) == (N, N)


BAD = [
    ({"architecture": "sae"}, "architecture must be one of relu, topk"),
    ({"revival": "yes"}, "revival must be one of none, resample, auxiliary"),
    ({"activation": "tanh"}, "activation must be one of"),
    ({"initial_columns": "data"}, "initial_columns must be one of random, inputs"),
    ({"tied": 1}, "tied must be true or false"),
    ({"decoder_bias": "no"}, "decoder_bias must be true or false"),
    ({"n_latents": 0}, "n_latents must be at least 1"),
    ({"n_hidden": 2.0}, "n_hidden must be a whole number"),
    ({"n_features": True}, "n_features must be a whole number"),
    ({"n_hidden": 10**5, "n_latents": 10**6}, "n_hidden × n_latents must be at most"),
    ({"resample_every": 0}, "resample_every must be at least 1"),
    ({"resample_until": 1.5}, "resample_until must be at least 0 and at most 1"),
    ({"resample_scale": 0}, "resample_scale must be above 0"),
    ({"auxiliary_k": 0}, "auxiliary_k must be at least 1"),
    ({"auxiliary_k": 7}, "auxiliary_k must be at most 6"),
    ({"auxiliary_coefficient": -1}, "auxiliary_coefficient must be at least 0"),
    ({"sparsity_coefficient": -0.1}, "sparsity_coefficient must be at least 0"),
    ({"sparsity_coefficient": [0.1, 0.2]}, "sparsity_coefficient must be one number"),
    ({"sparsity_coefficient": np.inf}, "sparsity_coefficient must be finite"),
    ({"bandwidth": 0}, "bandwidth must be above 0"),
    ({"initial_threshold": 0}, "initial_threshold must be above 0"),
    ({"dead_below": 1.1}, "dead_below must be at least 0 and at most 1"),
    ({"frequency_window": 0.5}, "frequency_window must be at least 1"),
    ({"k": 0}, "k must be above 0"),
    ({"k": "two"}, "k must be a number"),
    ({"k": 6, "architecture": "topk"}, "k must be at most the dictionary size, 5, got 6"),
    ({"k": 5.5, "architecture": "batch_topk"}, "k must be at most the dictionary size, 5, got 5.5"),
    ({"k": 1.5, "architecture": "topk"}, 'k must be a whole number for architecture="topk", got 1.5'),
    ({"k": 6, "architecture": "matching_pursuit"}, "k must be at most the dictionary size, 5, got 6"),
    ({"dictionary_size": 7}, "dictionary_size must be at least 1 and at most 6"),
    ({"dictionary_size": 0}, "dictionary_size must be at least 1"),
    ({"dictionary_size": 2.5}, "dictionary_size must be a whole number, got 2.5"),
    ({"source": 1}, "source must be below 1, the number of directions, got 1"),
    ({"source": 2, "directions": W}, "source must be below 2"),
    ({"source": 0.5, "directions": W}, "source must be a whole number, got 0.5"),
    ({"source": -1, "directions": None}, "source must be at least 0"),
    ({"directions": W[0].T}, "directions must have shape (n_hidden, n_features) = (3, 4)"),
    ({"directions": W[0, :, 0]}, "directions must have shape"),
    ({"directions": W[0] * np.nan}, "directions must be finite"),
    ({"directions": [[1], [2, 3]]}, "directions must be a number or an array of numbers; it is ragged"),
    ({"output_bias": np.zeros(3)}, "output_bias must have one number per feature"),
    ({"output_bias": np.zeros(4), "directions": W}, "output_bias must have one number per feature"),
    ({"output_bias": np.full(4, np.nan)}, "output_bias must be finite"),
    ({"importance": [1, 2]}, "importance must be one number or 4"),
    ({"importance": -1}, "importance must be at least 0"),
    ({"feature_probability": 0}, "feature_probability must be above 0"),
    ({"feature_probability": [0.1, 0.2]}, "feature_probability must be one number or 4"),
    ({"magnitude": "normal"}, "magnitude must be one of"),
    ({"correlated_sets": ((0, 9),)}, "correlated_sets: a feature index must be at most 3"),
    ({"anticorrelated_sets": ((0,),)}, "anticorrelated_sets must hold sets of two or more"),
    ({"prefixes": (0.5, 0.25, 1.0)}, "prefixes must be increasing fractions, the last one 1"),
    ({"prefixes": (0.25, 0.5)}, "prefixes must be increasing fractions, the last one 1"),
    ({"prefixes": (0.0, 1.0)}, "prefixes must be above 0 and at most 1"),
    ({"prefixes": [1.0]}, "prefixes must be a tuple"),
    ({"prefixes": ()}, "prefixes must be a tuple"),
    ({"prefixes": ("all",)}, "prefixes must be a number"),
    ({"prefix_weights": [1.0]}, "prefix_weights must be one number for each of 3 prefixes, got shape (1,)"),
    ({"prefix_weights": 1.0}, "prefix_weights must be one number for each of 3 prefixes, got shape ()"),
    ({"prefix_weights": [1.0, 1.0, 0.5]}, "prefix_weights must end with 1, to which the others relate, got 0.5"),
    ({"prefix_weights": [1.0, -1.0, 1.0]}, "prefix_weights must be at least 0"),
    ({"prefix_weights": [np.nan, 1.0, 1.0]}, "prefix_weights must be finite"),
    (
        {"manifolds": ("circle", "circle"), "directions": None, "n_hidden": 1},
        "n_hidden must be at least 2 for a circle, got 1",
    ),
    ({"manifolds": "circle"}, "manifolds must be a tuple of names"),
]


@pytest.mark.parametrize(("settings", "words"), BAD, ids=[f"{k}-{next(iter(s[0]))}" for k, s in enumerate(BAD)])
def test_wrong_settings_are_refused_by_name(settings, words, unchecked):
    with pytest.raises(sp.ConfigError) as error:
        sp.train(dataclasses.replace(TASK, **settings), SHORT)
    message = str(error.value)
    assert words in message
    assert "\n" not in message and message.endswith((".", "?"))


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"k": [1, 9], "dictionary_size": [4, 6]}, "k must be at most the dictionary size, 4, got 9"),
        ({"source": [0, 2]}, "source must be below 2, the number of directions, got 2"),
        ({"source": [0.5]}, "source must be a whole number"),
        ({"dictionary_size": [7]}, "dictionary_size must be at least 1 and at most 6"),
        ({"architecture": ["relu", "gate"]}, "architecture must be one of"),
        ({"prefixes": [1.0]}, "prefixes cannot be a grid axis"),
    ],
)
def test_wrong_cells_are_refused_by_name(axes, words):
    with pytest.raises(sp.ConfigError) as error:
        sp.sweep(task_of("topk", directions=W), SHORT, sp.Grid(**axes, seed=[0]), progress=False)
    assert words in str(error.value)


@pytest.mark.slow
def test_the_hidden_layers_of_toy_models_are_read_as_they_were_trained(rng, eager):
    toy = sp.tasks.Toy(
        n_features=5, n_hidden=2, feature_probability=0.2, importance=0.9 ** np.arange(5), activation="gelu"
    )
    weights, biases = np.arange(10.0).reshape(2, 5), np.arange(5.0)
    one = sp.tasks.SparseAutoencoder.of_toy(toy, weights, biases, n_latents=7, architecture="topk")
    assert (one.n_features, one.n_hidden, one.n_latents, one.activation) == (5, 2, 7, "gelu")
    assert one.feature_probability == 0.2 and one.features.sample(key(0), 3).shape == (5, 3)
    one.check()
    x, h = materialize(one).sample(key(0), 6)
    assert_allclose(h, weights @ np.asarray(x), rtol=1e-5)
    assert_array_equal(materialize(one).output_bias, biases)
    axes = ("feature_probability", "seed")
    many = xr.DataArray(rng.random((3, 4, 2, 5)), dims=(*axes, "hidden", "feature"))
    many_biases = xr.DataArray(rng.random((3, 4, 5)), dims=(*axes, "feature"))
    several = sp.tasks.SparseAutoencoder.of_toy(toy, many, many_biases, n_latents=7, source=6)
    several.check()
    assert_array_equal(materialize(several).directions, many[1, 2])  # 6 = 1 × 4 + 2
    assert_array_equal(materialize(several).output_bias, many_biases[1, 2])
    random = [materialize(dataclasses.replace(TASK, directions=None, source=s)).directions for s in (0, 0, 1)]
    assert_array_equal(random[0], random[1])
    assert not np.array_equal(random[0], random[2])
    assert_allclose(np.linalg.norm(random[2], axis=0), 1, rtol=1e-5)
