"""Arrays from anywhere: what is taken, in which precision, what is refused in one sentence, and results that come and go."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import xarray as xr
from flax import nnx

import superpos as sp
from superpos import arrays
from superpos.sweeping.store import export_writer

W = np.array([[1.0, -1.0, 0.25], [0.125, 0.5, 1.0]], np.float32)
TASK = sp.tasks.Toy(n_features=3, n_hidden=2, feature_probability=0.1, objective="expected", order=8)
TINY = sp.TrainConfig(steps=3, history=1, snapshots=(1,))


class Tensor:
    """Behaves as a tensor of PyTorch that requires gradients: no NumPy array before it is detached; `values` is a method."""

    def __init__(self, array, attached=True, half=False):
        self._array, self._attached, self._half = np.asarray(array), attached, half
        self.shape, self.ndim, self.dtype, self.requires_grad = (
            self._array.shape,
            self._array.ndim,
            "torch.float32",
            attached,
        )

    def __array__(self, *_, **__):
        return self.numpy()

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        return (Tensor(row, self._attached) for row in self._array)

    def detach(self):
        return Tensor(self._array, False, self._half)

    def cpu(self):
        return self

    def float(self):
        return Tensor(self._array.astype(np.float32), self._attached)

    def numpy(self):
        if self._attached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self._half:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._array

    def values(self):
        raise RuntimeError("values is for sparse tensors")


class Holder:
    """Keeps its numbers under one name, as some libraries do."""

    def __init__(self, **kept):
        self.__dict__.update(kept)


def capsule():
    given = Holder(__dlpack__=W.__dlpack__)
    type(given).__dlpack__ = lambda self, **options: W.__dlpack__(**options)
    type(given).__dlpack_device__ = lambda self: W.__dlpack_device__()
    return given


SOURCES = {
    "list": W.tolist, "tuple of rows": lambda: tuple(W), "jax": lambda: jnp.asarray(W),
    "param": lambda: nnx.Param(jnp.asarray(W)), "tensor": lambda: Tensor(W),
    "tensor of bfloat16": lambda: Tensor(W, half=True), "list of tensors": lambda: [Tensor(row) for row in W],
    "xarray": lambda: xr.DataArray(W), "values": lambda: Holder(values=W), "buffer": lambda: memoryview(W),
    "dlpack": capsule, "swapped": lambda: W.astype(">f4"), "turned": lambda: W[::-1].copy()[::-1],
    "model": lambda: sp.ToyModel(jnp.asarray(W)),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_arrays_of_anybody_are_taken_everywhere(name):
    source = SOURCES[name]()
    expected = sp.feature_dimensionality(W)
    np.testing.assert_array_equal(sp.feature_dimensionality(source), expected)
    assert sp.geometry(source).name == sp.geometry(W).name
    np.testing.assert_array_equal(sp.theory.linear_vulnerability(source), sp.theory.linear_vulnerability(W))
    assert sp.plot.gram(source).images[0].get_array().shape == (3, 3)
    bare = arrays.weights_of("W", source)
    np.testing.assert_array_equal(sp.tasks.SparseAutoencoder.of_toy(TASK, source, n_latents=3).directions, W)
    np.testing.assert_array_equal(sp.ToyModel(bare)(jnp.ones(3)), sp.ToyModel(W)(jnp.ones(3)))
    np.testing.assert_array_equal(sp.models.SAE(bare, W.T).decoder, sp.models.SAE(W, W.T).decoder)


@pytest.mark.slow
def test_settings_may_be_tensors():
    importance, p = np.array([1.0, 0.5, 0.25]), np.array([0.1, 0.2])
    task = sp.tasks.Toy(n_features=3, n_hidden=2, feature_probability=0.1, importance=Tensor(importance))
    plain = sp.tasks.Toy(n_features=3, n_hidden=2, feature_probability=0.1, importance=importance)
    config = sp.TrainConfig(steps=2, batch_size=8, history=1)
    run = sp.train(task, config)
    assert isinstance(run.task.importance, np.ndarray)
    np.testing.assert_array_equal(run.model.W, sp.train(plain, config).model.W)
    assert sp.Grid(feature_probability=Tensor(p)).axes["feature_probability"].values.tolist() == p.tolist()
    assert sp.Grid(seed=jnp.arange(3)).axes["seed"].values.dtype.kind == "i"


@pytest.mark.parametrize(
    "dtype", [np.float16, ml_dtypes.bfloat16, np.int8, np.uint64, np.bool_, np.longdouble, np.float64]
)
def test_nothing_is_computed_in_less_than_single_precision(dtype):
    """1, ½, ¼ … are exact in every type that has fractions, so whatever is computed from them is what float32 gives."""
    from superpos import analysis, theory

    given = np.abs(W).astype(dtype)
    exact = given.astype(np.float32)
    for function in (
        sp.feature_dimensionality, analysis.feature_norms, analysis.frame_defect, analysis.polysemanticity, analysis.d_star,
        analysis.point_leverage, analysis.angle_gaps, theory.linear_vulnerability,
    ):  # fmt: skip
        found = function(given)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, function(exact), err_msg=function.__name__)
    assert sp.geometry(given).d_star == sp.geometry(exact).d_star
    assert analysis.single_feature_slopes(given, given.T).dtype in (np.float32, np.float64)
    assert sp.ToyModel(given)(jnp.ones(3)).dtype == np.float32


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.int32, np.float64])
def test_an_antipodal_pair_costs_the_same_in_every_precision(dtype):
    pair = np.array([[1, -1]], dtype)
    assert float(sp.expected_loss(pair, np.zeros(2, dtype), 0.1)) == pytest.approx(1 / 600, abs=2e-8)
    assert float(sp.expected_loss(jnp.asarray(pair), None, 0.1)) == pytest.approx(1 / 600, abs=2e-8)


def test_double_precision_stays_double():
    assert sp.analysis.single_feature_slopes(W.astype(np.float64), W.T).dtype == np.float64
    with jax.enable_x64(True):
        assert sp.feature_dimensionality(W.astype(np.float64)).dtype == np.float64
        assert sp.feature_dimensionality(W).dtype == np.float32


def test_traced_arrays_pass_and_are_looked_at_by_shape():
    stack = jnp.stack([jnp.asarray(W), 2 * jnp.asarray(W)])
    np.testing.assert_array_equal(jax.vmap(sp.feature_dimensionality)(stack)[0], sp.feature_dimensionality(W))
    assert jax.grad(lambda w: sp.analysis.d_star(w))(jnp.asarray(W)).shape == (2, 3)
    with pytest.raises(sp.ConfigError, match=r"^W must be a matrix .* got an array of shape \(3,\)\."):
        jax.jit(sp.feature_dimensionality)(jnp.ones(3))
    with pytest.raises(sp.ConfigError, match="^W must hold numbers that are known"):
        jax.jit(sp.geometry)(jnp.asarray(W))


def test_a_model_without_W_says_what_it_has():
    with pytest.raises(
        sp.ConfigError, match="^W cannot be taken from a SAE, which has no W; pass one of its W_dec, W_enc"
    ):
        sp.geometry(sp.models.SAE(W, W.T))
    with pytest.raises(sp.ConfigError, match="^W must be a number or an array of numbers; reading it failed"):
        sp.geometry(Holder(__array__=None, detach=lambda: 1 / 0))


def test_foreign_weights_make_a_result_and_a_page(tmp_path):
    dataset = xr.Dataset(
        {"W": (("run", "hidden", "feature"), np.stack([W, -W])), "loss": ("run", [0.25, 0.5])}, {"run": [3, 4]}
    )
    result = sp.SweepResult(dataset)
    assert result.best("run").dataset["run"] == 3 and result.diverged == [] and "elsewhere" in repr(result)
    assert result.geometry()["shape"].sizes == {"run": 2}
    xr.testing.assert_identical(sp.open(result.save(tmp_path / "f.zarr")).dataset, result.dataset)
    assert result.explore(tmp_path / "f.html").stat().st_size > 20_000
    with pytest.raises(sp.ConfigError, match="^result does not say how its models were trained"):
        result.model(run=3)
    with pytest.raises(sp.ConfigError, match="dataset must have loss"):
        sp.SweepResult(dataset.drop_vars("loss"))
    for k, source in enumerate((W.tolist(), Tensor(W), sp.ToyModel(jnp.asarray(W), jnp.zeros(3)))):
        assert sp.explorer.explore(source, tmp_path / f"{k}.html").exists()
    with pytest.raises(sp.ConfigError, match="^result must be"):
        sp.explorer.explore("result", tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


@pytest.fixture(scope="module")
def swept():
    return sp.sweep(TASK, TINY, sp.Grid(activation=["relu", "identity"], seed=range(2)), block_size=2)


@pytest.mark.slow
def test_a_saved_result_is_in_grid_form_for_plain_xarray(swept, tmp_path):
    path = swept.save(tmp_path / "r.zarr")
    plain = xr.open_zarr(path, consolidated=False).load()
    xr.testing.assert_equal(plain, swept.dataset)
    cell = plain.sel(activation="identity", seed=1)
    np.testing.assert_array_equal(cell["W"], swept.model(activation="identity", seed=1).W)
    packed = export_writer.pack(path, tmp_path / "r.zip")
    xr.testing.assert_identical(sp.open(packed).dataset, swept.dataset)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["nc", "parquet", "safetensors", "zarr"])
def test_every_export_opens_again(suffix, swept, tmp_path):
    for package in {"nc": ("h5netcdf",), "parquet": ("pyarrow",), "safetensors": ("safetensors",)}.get(suffix, ()):
        pytest.importorskip(package)
    path = tmp_path / f"r.{suffix}"
    for result in (swept, swept.isel(activation=0), swept.isel(activation=1, seed=0)):
        expected = result.dataset
        if suffix == "safetensors":  # parameters, losses and labels
            expected = expected.drop_vars([n for n in expected if str(n).endswith(("_history", "_snapshots"))])
        again = sp.open(export_writer.export(result, path, overwrite=True))
        xr.testing.assert_identical(again.dataset, expected)
    assert again.model().W.shape == (2, 3)
    if suffix != "zarr":
        raw = path.read_bytes()
        path.write_bytes(raw[: len(raw) // 2])
        with pytest.raises(sp.StoreError, match=rf"r\.{suffix}"):
            sp.open(path)


@pytest.mark.slow
@pytest.mark.fuzz
def test_odd_calls_of_array_functions_are_answered_or_refused(quick_environment):
    """Some 26,000 calls in a process without the type checker of the tests; what they must come to is told in the script."""
    script = Path(__file__).with_name("fuzz_arrays.py")
    paths = os.pathsep.join([str(script.parents[1]), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, script, "0", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        # A thousand errors pass through JAX, which would look through the frames of each for its own.
        env={**os.environ, "PYTHONPATH": paths, "JAX_TRACEBACK_FILTERING": "off", **quick_environment},
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    assert ended.stdout.strip() == ""
    assert int(ended.stderr.split(" calls:")[0].split()[-1]) > 10_000


@pytest.mark.slow
def test_a_models_own_bias_is_kept_where_a_model_is_given():
    b = np.array([0.1, -0.2, 0.3], np.float32)
    model = sp.ToyModel(jnp.asarray(W), jnp.asarray(b))
    features = TASK.features
    for given in (model, sp.train(TASK, TINY).model):
        W_, b_ = given.W[...], given.b[...]
        assert float(sp.expected_loss(given, None, 0.1)) == float(sp.expected_loss(W_, b_, 0.1))
        assert float(sp.expected_loss(given, 0 * b, 0.1)) == float(sp.expected_loss(W_, None, 0.1))
        linear = sp.ToyModel(W_, b_, activation="identity")
        assert float(sp.theory.linear_loss(linear, None, features)) == float(sp.theory.linear_loss(W_, b_, features))
        task = sp.tasks.SparseAutoencoder.of_toy(TASK, given, n_latents=3)
        np.testing.assert_array_equal(task.output_bias, b_)
        np.testing.assert_array_equal(task.directions, W_)
    assert sp.tasks.SparseAutoencoder.of_toy(TASK, sp.ToyModel(W), n_latents=3).output_bias is None
    with pytest.raises(sp.ConfigError, match='^activation must be "identity", which is that of the model given as W'):
        sp.expected_loss(linear, None, 0.1)
    computing = sp.models.ComputationModel(W)
    for call in (
        lambda: sp.expected_loss(computing, None, 0.1),
        lambda: sp.tasks.SparseAutoencoder.of_toy(TASK, computing),
    ):
        with pytest.raises(
            sp.ConfigError, match="^W must be of a model with the hidden layer Wx, not with one of relu"
        ):
            call()
    with pytest.raises(sp.ConfigError, match="^toy must be of models with the hidden layer Wx"):
        sp.tasks.SparseAutoencoder.of_toy(sp.tasks.Computation(n_features=3, n_hidden=2), W, n_latents=3)
