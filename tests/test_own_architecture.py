"""An architecture of sparse autoencoders from outside the package: everything that a built-in one can do."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.explorer.viewer import pack_dictionaries
from superpos.identity import code_of, code_token
from superpos.models.sae import ARCHITECTURES, SAE, architecture_of
from superpos.plot.appearance import architecture_color, architecture_label
from superpos.tasks import revival
from superpos.tasks.base import materialize


class Soft(sp.models.Architecture):
    """Latents above a learned distance from 0, and drawn towards it."""

    label = "Soft threshold"
    color = "#123456"
    latent_parameters: ClassVar = {
        "offset": sp.models.LatentParameter(initial=lambda threshold: threshold, growth="factor")
    }

    def latents(self, model, pre):
        return jax.nn.relu(pre.a - jnp.abs(model.offset[...])[:, None])


TASK = sp.tasks.SparseAutoencoder(
    n_features=5,
    n_hidden=2,
    n_latents=5,
    architecture="soft",
    feature_probability=0.3,
    resample_every=2,
    dead_below=0.9,
)
SHORT = sp.TrainConfig(steps=5, batch_size=32, history=2, evaluation_samples=64)
GRID = {"soft": [0.1, 0.3], "relu": [0.1]}


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Only here: other tests go through all that are registered."""
    sp.models.register_architecture("soft")(Soft)
    yield
    del ARCHITECTURES["soft"]


@pytest.fixture(scope="module")
def store(registered, tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "soft.zarr"
    sp.sweep(TASK, SHORT, sp.sparsity_grid(GRID), path)
    return path


@pytest.mark.slow
def test_it_is_swept_beside_a_built_in_one_stored_and_scored(store):
    result = sp.open(store)
    assert result["offset"].dims == ("cell", "latent") and np.isfinite(result["loss"]).all()
    soft, relu = result.isel(cell=0), result.isel(cell=2)
    model = soft.model()
    assert model.architecture == "soft" and model.offset.shape == (5,) and relu.model().architecture == "relu"
    assert not np.allclose(model.offset[...], 0.1)  # it learned
    alone = sp.train(dataclasses.replace(TASK, sparsity_coefficient=0.1), SHORT, seed=0)
    assert_allclose(model.offset[...], alone.model.offset[...], rtol=1e-5)
    assert result.sae_scores(n_inputs=200)["mcc"].shape == (3,)


def test_captions_legends_and_pages_have_its_label(store):
    alone = sp.open(store).isel(cell=0)
    assert "Soft threshold architecture" in sp.plot.caption({**alone.attrs, "grid": {"axes": []}})
    assert "architecture swept" in sp.plot.caption(alone.attrs)
    assert architecture_color("soft") == "#123456"
    assert architecture_label("nowhere") == "nowhere"  # of a process that does not import it
    page = pack_dictionaries(sp.open(store), n_inputs=200, most=1, progress=False)
    assert page["architectures"]["soft"] == ["Soft threshold", "#123456"]
    assert page["architectures"]["relu"] == ["ReLU + L1", "#0072B2"]


@pytest.mark.slow
def test_loss_and_training_loss_agree_where_there_is_nothing_else_to_minimise():
    task = materialize(TASK)
    model = task.init(jax.random.key(0))
    loss, metrics = task.loss(model, jax.random.key(1), 32)
    trained, (seen, _) = task.training_loss(model, jax.random.key(1), 32)
    assert_allclose(trained, loss, rtol=1e-6)
    assert_allclose(seen["l0"], metrics["l0"])
    assert_allclose(
        loss, metrics["error"] + 0.1 * jnp.mean(jnp.sum(model.encode(task.sample(jax.random.key(1), 32)[1]), 0))
    )


@pytest.mark.slow
def test_lengths_of_columns_and_revival_know_its_parameter():
    """Latents twice as large need twice the offset, and a revived one begins with the first."""
    W = np.eye(2, 3) + 0.1
    h = jnp.asarray(np.random.default_rng(0).standard_normal((2, 20)), float)
    W /= np.linalg.norm(W, axis=0)
    model = SAE(2 * W, W.T / 2, architecture="soft", initial_threshold=0.3)
    other = SAE(W, W.T, architecture="soft", initial_threshold=0.6)
    assert_allclose(model(h), other(h), atol=1e-6)
    model.frequency[...] = jnp.asarray([1.0, 0.0, 1.0])
    inputs = revival.Inputs(h, jnp.sum(h**2, axis=0))
    numbers = {"dead_below": jnp.asarray(0.1), "scale": jnp.asarray(1.0), "initial_threshold": jnp.asarray(0.25)}
    revived: Any = revival.resample(model, (), inputs, jax.random.key(0), **numbers)[0]
    assert_allclose(revived.offset[...], [0.6, 0.25, 0.6], rtol=1e-6)


def test_changed_code_of_it_is_another_sweep_and_another_program(store, monkeypatch):
    """Also where a grid alone names it; sweeps without it do not change by its being there."""
    other = dataclasses.replace(TASK, architecture="relu")
    assert code_of(other) is None and code_token(other) is None
    before, grid = (code_of(TASK), code_token(TASK)), sp.sparsity_grid(GRID)
    assert sp.sweep(TASK, SHORT, grid, store).sizes == {"cell": 3}  # finished: nothing is trained
    in_grid = code_of(other, named_by=[TASK])
    monkeypatch.setattr(Soft, "latents", lambda self, model, pre: pre.positive * model.offset[...][:, None])
    assert code_of(TASK) != before[0] and code_token(TASK) != before[1] and code_of(other, named_by=[TASK]) != in_grid
    with pytest.raises(sp.ConfigError, match="code changed"):
        sp.sweep(TASK, SHORT, grid, store)


@pytest.mark.parametrize("name", ["Soft", "a.b", "", 3, "relu"])
def test_names_that_cannot_be_given(name):
    with pytest.raises(sp.ConfigError, match="taken by" if name == "relu" else "lower-case"):
        sp.models.register_architecture(name)(Soft)
    assert architecture_of("relu").label == "ReLU + L1"


def test_classes_that_are_no_architectures_are_refused():
    class Nameless(Soft):
        label: ClassVar = None

    class Elsewhere(Soft):
        sparsity_field = "bandwidth"

    class Mistyped(Soft):
        reads = ("band",)

    class Colourless(Soft):
        color = "url(x)"

    class Doubled(Soft):
        latent_parameters: ClassVar = {"W_enc": sp.models.LatentParameter()}

    class Unfinished(sp.models.Architecture):
        label = "unfinished"

    refused: Any = (
        (SAE, "derives from"), (Nameless, "label"), (Elsewhere, "sparsity_field must be one of"),
        (Unfinished, "abstract"), (Mistyped, "reads must be one of"), (Colourless, "color"), (Doubled, "names of their own"),
    )  # fmt: skip
    for cls, message in refused:
        with pytest.raises(sp.ConfigError, match=message) as error:
            sp.models.register_architecture("wrong")(cls)
        assert "\n" not in str(error.value) and "wrong" not in ARCHITECTURES


def test_an_unknown_name_is_refused_in_one_sentence(store, monkeypatch):
    result = sp.open(store)
    monkeypatch.delitem(ARCHITECTURES, "soft")
    for attempt in (
        lambda: sp.train(TASK, SHORT), lambda: SAE(np.eye(2), architecture="soft"), lambda: result.isel(cell=0).model(),
    ):  # fmt: skip
        with pytest.raises(sp.ConfigError, match="architecture must be one of relu, topk") as error:
            attempt()
        assert "\n" not in str(error.value)
    assert_array_equal(result.isel(cell=2).model().W_dec.shape, (2, 5))
