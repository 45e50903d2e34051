"""Laws that hold for every input: of geometry, grids, configurations, and the door that arrays come in through."""

import itertools
import json
import tomllib
from dataclasses import fields

import jax.numpy as jnp
import numpy as np
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import ortho_group

import superpos as sp
from superpos import arrays
from superpos.config import task_from_dict, to_dict, train_config_from_dict

# The same examples every time, and no clock: a busy machine changes nothing.
FEW = settings(
    max_examples=20, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
N_HIDDEN, N_FEATURES = 8, 16  # of all models here: one program measures them
SHAPES = ("dedicated", "antipodal pair", "triangle", "tetrahedron", "pentagon", "cube", "square antiprism")
seeds = st.integers(0, 2**32 - 1)


# --- geometry -------------------------------------------------------------------------------------------------------


def side_by_side(names, length, noise, seed):
    """As many of the shapes as fit, in dimensions of their own, with a little noise, as W."""
    fitting, n_hidden, n_features = [], 0, 0
    for name in names:
        shape = sp.theory.known_shape(name)
        if n_hidden + shape.dimensions <= N_HIDDEN and n_features + len(shape.vertices) <= N_FEATURES:
            fitting.append(name)
            n_hidden, n_features = n_hidden + shape.dimensions, n_features + len(shape.vertices)
    return sp.theory.arrangement(fitting, N_FEATURES, N_HIDDEN, length=length, noise=noise, seed=seed).values


@FEW
@given(
    st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4),
    st.floats(0.8, 1.25),
    st.sampled_from([0, 0.01, 0.1, 0.4]),
    seeds,
    st.permutations(range(N_FEATURES)),
    st.floats(0.8, 1.25),
)
def test_geometry_is_the_same_under_rotation_permutation_and_scale(names, length, noise, seed, order, scale):
    """Names, members and D; a scale moves the threshold of represented features along."""
    W = side_by_side(names, length, noise, seed)
    rotation = ortho_group.rvs(N_HIDDEN, random_state=seed)
    before = sp.geometry(W)
    after = sp.geometry(scale * (rotation @ W)[:, order], represented_above=scale * 0.5)
    members = {(c.name, c.dimensions, tuple(sorted(order[i] for i in c.features))) for c in after.components}
    assert members == {(c.name, c.dimensions, c.features) for c in before.components}
    np.testing.assert_allclose(after.dimensionality, before.dimensionality[list(order)], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(after.packing, before.packing, rtol=2e-4)
    np.testing.assert_allclose(after.norms, scale * before.norms[list(order)], rtol=1e-5, atol=1e-7)


# --- grids ----------------------------------------------------------------------------------------------------------

numbers = st.floats(1e-3, 1, allow_subnormal=False)
AXES = {"feature_probability": numbers, "learning_rate": numbers, "seed": st.integers(0, 1000)}


@st.composite
def axes(draw, *, same_length=False):
    """Values of some axes, all different; in any order."""
    names = draw(st.lists(st.sampled_from(sorted(AXES)), min_size=1, unique=True))
    lengths = draw(st.lists(st.integers(1, 4), min_size=len(names), max_size=len(names)))
    lengths = [lengths[0]] * len(names) if same_length else lengths
    return {
        name: draw(st.lists(AXES[name], min_size=length, max_size=length, unique=True))
        for name, length in zip(names, lengths, strict=True)
    }


def cells_of(grid):
    """The cells as mappings, from the grid's columns."""
    columns = grid.columns()
    return [{name: column[k].item() for name, column in columns.items()} for k in range(grid.n_cells)]


@FEW
@given(axes())
def test_cells_of_a_product_run_through_the_last_axis_first(values):
    grid = sp.Grid(**values)
    cells = cells_of(grid)
    assert cells == [dict(zip(values, cell, strict=True)) for cell in itertools.product(*values.values())]
    for k, cell in enumerate(cells):  # a cell's labels give its place
        place = tuple(values[name].index(cell[name]) for name in values)
        assert np.ravel_multi_index(place, tuple(grid.sizes.values())) == k


@FEW
@given(axes(same_length=True))
def test_zipped_cells_are_the_points_that_they_list(values):
    grid = sp.Grid.zipped(**values)
    cells = [dict(zip(values, cell, strict=True)) for cell in zip(*values.values(), strict=True)]
    assert cells_of(grid) == cells_of(sp.Grid.points(cells)) == cells and grid.sizes == {"cell": len(cells)}


@FEW
@given(axes(same_length=True), st.sampled_from(["product", "zipped"]))
def test_a_grid_is_restored_from_its_description_and_columns(values, design):
    grid = sp.Grid(**values) if design == "product" else sp.Grid.zipped(**values)
    restored = sp.Grid.restored(json.loads(json.dumps(grid.describe())), grid.sizes, grid.columns())
    assert (restored.design, restored.sizes, cells_of(restored)) == (design, grid.sizes, cells_of(grid))


# --- configurations -------------------------------------------------------------------------------------------------

toys = st.integers(1, 6).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            "n_features": st.just(n),
            "n_hidden": st.integers(1, 4),
            "feature_probability": numbers | st.lists(numbers, min_size=n, max_size=n).map(np.array),
            "importance": numbers | st.lists(numbers, min_size=n, max_size=n).map(np.array),
            "bias": st.booleans(),
            "activation": st.sampled_from(["relu", "identity"]),
            "loss_exponent": st.sampled_from([2, 3, 4]),
        }
    )
)
configs = st.fixed_dictionaries(
    {
        "steps": st.integers(1, 10**6),
        "batch_size": st.integers(1, 4096),
        "learning_rate": numbers,
        "weight_decay": st.floats(0, 1),
        "optimizer": st.sampled_from(["adamw", "adam", "sgd"]),
        "snapshots": st.lists(st.integers(1, 100), unique=True, max_size=3).map(lambda steps: tuple(sorted(steps))),
    }
)


def as_toml(data):
    """A table of numbers, words and lists; what is None stays at its default."""
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in data.items() if value is not None)


@FEW
@given(toys, configs)
def test_tasks_and_configurations_come_back_from_json_and_toml(toy, config):
    for node, restore in ((sp.tasks.Toy(**toy), task_from_dict), (sp.TrainConfig(**config), train_config_from_dict)):
        data = to_dict(node)
        for written in (json.loads(json.dumps(data)), tomllib.loads(as_toml(data))):
            restored = restore(written)
            assert to_dict(restored) == data
            for field in fields(node):
                np.testing.assert_array_equal(getattr(restored, field.name), getattr(node, field.name))


# --- the door of arrays ---------------------------------------------------------------------------------------------


@FEW
@given(
    st.sampled_from([np.float16, np.float32, np.float64, np.int32, np.uint8]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(max_dims=3, max_side=4),
            elements=st.integers(0, 100)
            if np.issubdtype(dtype, np.integer)
            else st.integers(-800, 800).map(lambda k: k / 8),
        )
    )
)
def test_arrays_come_in_with_the_same_values_from_wherever_they_are(array):
    """Single and double precision stay, half becomes single, whole numbers double."""
    kept = {np.dtype(np.float16): np.float32, np.dtype(np.float32): np.float32}
    for value in (
        array,
        xr.DataArray(array),
        array[::-1][::-1],
        np.asfortranarray(array),
        array.astype(array.dtype.newbyteorder()),
    ):
        read = arrays.as_numpy("W", value)
        assert read.dtype == kept.get(array.dtype, np.float64) and read.shape == array.shape
        np.testing.assert_array_equal(read, array)
    np.testing.assert_array_equal(arrays.as_numpy("W", array.tolist()), array)
    np.testing.assert_array_equal(arrays.as_numpy("W", jnp.asarray(array)), array)
