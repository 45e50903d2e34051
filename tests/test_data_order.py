"""Rings named beside their shape, and clusters: what they are on exact models, and how often chance makes one."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.table import geometry_table

CIRCLE = sp.tasks.WorldToy(
    n_features=12, n_hidden=2, world="circle", sharpness=5.0, log_odds=-2.0, magnitude="constant",
    activation="identity", objective="expected",
)  # fmt: skip


def _ring(order, length=1.0):
    angle = 2 * np.pi * np.argsort(np.asarray(order)) / len(order)
    return length * np.stack([np.cos(angle), np.sin(angle)])


def test_a_ring_is_named_where_its_order_is_that_of_the_data_and_only_there():
    order, shuffled = np.arange(8), np.array([0, 4, 1, 6, 2, 7, 5, 3])
    assert sp.geometry(_ring(order)).name == "octagon"
    assert sp.geometry(_ring(order), positions=order).name == "octagon, a ring in data order"
    assert sp.geometry(_ring(order), positions=order[::-1]).components[0].in_data_order
    assert sp.geometry(_ring(shuffled), positions=order).name == "octagon"
    assert sp.geometry(_ring(shuffled), positions=np.argsort(shuffled)).components[0].in_data_order


def test_every_component_is_looked_at_in_its_own_plane_and_features_without_a_place_are_none():
    W = np.zeros((5, 18))
    W[:2, :8], W[2:4, 8:16], W[4, 16] = _ring(np.arange(8)), _ring([0, 4, 1, 6, 2, 7, 5, 3]), 1.0
    W[4, 17] = -1.0
    components = sp.geometry(W, positions=np.arange(18)).components
    assert [c.in_data_order for c in components] == [True, False, False]
    places = np.r_[np.nan, np.arange(1, 18)]
    assert not any(c.in_data_order for c in sp.geometry(W, positions=places).components)


def test_a_table_has_the_features_of_rings_for_the_models_whose_world_has_an_order():
    W = xr.DataArray(np.stack([_ring(np.arange(8))] * 2), dims=("world", "hidden", "feature"))
    W = W.assign_coords(world=["line", "sphere"])
    places = xr.DataArray(np.arange(8.0), dims="feature").where(W["world"] == "line")
    table = geometry_table(W, 2, positions=places)
    assert table["in_data_order"].values.tolist() == [[True] * 8, [False] * 8]
    assert table["shape"].values.tolist() == ["octagon, a ring in data order", "octagon"]
    assert "in_data_order" not in geometry_table(W, 2)


def test_positions_are_one_number_per_feature():
    for given in (np.arange(7), "line", np.eye(8)):
        with pytest.raises(sp.ConfigError, match="positions"):
            sp.geometry(_ring(np.arange(8)), positions=given)


def test_a_run_of_a_world_knows_its_order():
    run = sp.train(CIRCLE, sp.TrainConfig(steps=300, learning_rate=0.03, history=1), seed=0)
    assert sp.geometry(run, represented_above=0.1).name == "12-gon, a ring in data order"
    assert sp.geometry(run.model, represented_above=0.1).name == "12-gon"  # a model alone does not know its data


@pytest.mark.slow
def test_directions_without_an_order_are_called_rings_once_in_a_hundred():
    """Of 200 random planes 2 are expected, and more than 6 come with probability .005.

    Any plane is an optimum of the linear model of independent features that are equally frequent.
    """
    rng = np.random.default_rng(7)
    W = xr.DataArray(rng.normal(size=(200, 2, 12)), dims=("seed", "hidden", "feature"))
    table = geometry_table(W, 2, positions=np.arange(12))
    assert int(table["in_data_order"].any("feature").sum()) <= 6


@pytest.mark.slow
def test_trained_models_of_independent_features_raise_no_alarm():
    """The same law of models that were trained, with the frequency of features on the circle."""
    independent = dataclasses.replace(CIRCLE, sharpness=0.0, log_odds=float(np.log(0.35674 / 0.64326)))
    config = sp.TrainConfig(steps=100, learning_rate=0.05, history=1)
    control = sp.sweep(independent, config, sp.Grid(seed=range(200)), block_size=1, progress=False)
    table = control.geometry(represented_above=0.1)
    assert int(table["in_data_order"].any("feature").sum()) <= 6
    assert float((table["n_represented"] >= 10).mean()) > 0.9  # a random plane leaves some directions short


def _together(labels, within=0.3, p=0.4):
    same = np.asarray(labels)[:, None] == np.asarray(labels)
    both = np.where(same, within, p**2)
    np.fill_diagonal(both, p)
    return both


def test_clusters_of_the_data_are_found_in_directions_that_follow_them(rng):
    labels = np.array([0, 1, 2, 0, 1, 2, 2, 1, 0])
    W = np.eye(3)[:, labels] * 2 + 0.1 * rng.normal(size=(3, 9))
    agreement = sp.analysis.cluster_agreement(W, _together(labels), permutations=999)
    assert agreement.adjusted_rand == 1 and agreement.p_value < 0.01
    for found in (agreement.of_data, agreement.of_directions):
        assert len({(a, b) for a, b in zip(labels.tolist(), found.tolist(), strict=True)}) == 3
    # Neither a rotation, nor lengths, nor the names of features count; features without a direction are left out.
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = sp.analysis.cluster_agreement(rotation @ W * np.linspace(1, 3, 9), _together(labels), permutations=99)
    assert turned.adjusted_rand == 1
    W[:, 4] = 0
    assert sp.analysis.cluster_agreement(W, _together(labels), permutations=99).of_data[4] == -1


def test_the_adjusted_rand_index_is_that_of_hubert_and_arabie():
    """Their formula by hand: six features, 4 + 2 against 3 + 3 with a table [[3, 1], [0, 2]]."""
    data, weights = [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]
    agreement = sp.analysis.cluster_agreement(
        np.eye(2)[:, weights] + 0.0, _together(data), n_clusters=2, permutations=99
    )
    expected = 7 * 6 / 15  # pairs within clusters of both sides, over all pairs
    assert agreement.adjusted_rand == pytest.approx((4 - expected) / ((7 + 6) / 2 - expected))


def test_directions_without_relation_agree_by_chance_only(rng):
    """p-values of 150 random models: at the 5 % level 7.5 are expected; more than 16 come with probability .002."""
    together = _together(np.repeat(np.arange(4), 3))
    p = [
        sp.analysis.cluster_agreement(rng.normal(size=(4, 12)), together, permutations=99, seed=k).p_value
        for k in range(150)
    ]
    assert np.sum(np.array(p) <= 0.05) <= 16


BAD = [
    ({"W": np.eye(3)}, "W must have 4 or more features"),
    ({"co_activation": np.eye(5)}, "co_activation must have shape"),
    ({"co_activation": np.full((8, 8), np.nan)}, "co_activation must be finite"),
    ({"co_activation": np.ones((8, 8))}, "co_activation must be of features that are active at times: feature 0"),
    ({"n_clusters": 1}, "n_clusters must be at least 2"),
    ({"n_clusters": 8}, "n_clusters must be at most 7"),
    ({"permutations": 5}, "permutations must be at least 99"),
]


@pytest.mark.parametrize(("settings", "words"), BAD)
def test_odd_calls_are_refused_in_a_sentence(settings, words):
    usual = {"W": np.eye(2, 8) + 1.0, "co_activation": _together([0] * 4 + [1] * 4)}
    if "W" in settings:
        usual["co_activation"] = _together([0, 1, 1])
    with pytest.raises(sp.ConfigError, match=words):
        sp.analysis.cluster_agreement(**usual | settings)
