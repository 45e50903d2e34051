"""The figure of manifolds: closed forms by integration, claims of hand-made results, and what the panels hold."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from superpos.analysis.manifolds import REGIMES
from superpos.experiments import Claims
from superpos.experiments import manifolds as experiment
from superpos.theory.dictionaries import tiled_in_pairs

SIZE = experiment.Size(latents=(2, 8), in_pairs=(3, 4, 5), seeds=2, active=(1, 2), sizes=(28, 56), sources=1)


def test_closed_forms_are_integrals():
    for K in (2, 3, 8, 64):
        assert_allclose(experiment.tiled(K), quad(lambda a: np.cos(a) ** 2, 0, np.pi / K)[0] * K / np.pi)
    assert_allclose(
        experiment.tiled([2, 3, 4, 8, 16, 32, 64]), [0.5, 0.707, 0.818, 0.950, 0.987, 0.997, 0.999], atol=6e-4
    )
    for B in (0.3, 2.0, 9.0):

        def left(tilt, B=B):
            distance = lambda a: (np.cos(a) * np.cos(tilt) - (np.sin(a) + B) * np.sin(tilt)) ** 2  # noqa: E731
            return quad(distance, -np.pi / 2, np.pi / 2)[0] / np.pi

        best = minimize_scalar(left, bounds=(0, np.pi / 2), method="bounded", options={"xatol": 1e-10}).fun
        assert_allclose(1 - best, experiment.two_from(B), atol=1e-8)
    assert experiment.two_from(50.0) < experiment.LIMIT < experiment.two_from(50.0) + 1e-4


def explained_by_codes(decoder, encoder, n_points=100_000):
    """Explained variance of points of the circle by the two largest codes of each."""
    angle = 2 * np.pi * (np.arange(n_points) + 0.5) / n_points
    h = np.stack([np.cos(angle), np.sin(angle)])
    z = np.maximum(encoder @ h, 0)
    z = np.where(z >= np.sort(z, axis=0)[-2], z, 0)
    return 1 - np.mean(np.sum((h - decoder @ z) ** 2, axis=0))


def directions(angles):
    return np.stack([np.cos(angles), np.sin(angles)])


def test_two_latents_at_a_time_are_exact_with_four_alone():
    for K in (4, 5, 6, 9):
        D = directions(2 * np.pi * np.arange(K) / K)
        best = minimize_scalar(lambda c, D=D: -explained_by_codes(D, c * D.T), bounds=(0.2, 1.5), method="bounded")
        assert_allclose(tiled_in_pairs(K), -best.fun, atol=1e-6)
    assert_allclose(tiled_in_pairs([4, 5, 6]), [1, 0.9739, 0.9619], atol=1e-4)
    D = directions(np.array([0.3, 1.1, 0.3 + np.pi, 1.1 + np.pi, 2.0]))  # ±a, ±b, and one more
    dual = np.linalg.inv(D[:, :2])
    rows = np.concatenate([dual, -dual, np.zeros((1, 2))])
    assert_allclose(explained_by_codes(D, rows), 1, atol=1e-12)
    for turn in np.linspace(0, 2 * np.pi, 7):
        rows[4] = 0.05 * directions(turn)
        assert explained_by_codes(D, rows) < 1 - 1e-7


def results(first=None, last=None, **changed):
    one = 1 - np.repeat(experiment.tiled(SIZE.latents)[:, None], 2, axis=1)
    B = np.array([4.0, 30.0])
    given = {"one": one, "two": [[0.2, 0.2], [0, 0], [0.01, 0.001]], "bias": 1 - experiment.two_from(B)} | changed
    dims = ("dictionary_size", "seed")
    circle = [
        xr.Dataset({"loss": (dims, np.array(given["one"]))}, {"dictionary_size": list(SIZE.latents)}),
        xr.Dataset({"loss": (dims, np.array(given["two"]))}, {"dictionary_size": list(SIZE.in_pairs)}),
        xr.Dataset({"loss": ("seed", given["bias"]), "b_dec": (("seed", "hidden"), np.stack([B, 0 * B], axis=1))}),
    ]
    once, twice = first or ["shattering"] * 6, last or ["capture", *["dilution"] * 5]
    words = [[once, once], [["capture"] * 4 + ["dilution"] * 2, twice]]
    places = np.array([[[REGIMES.index(word) for word in row] for row in rows] for rows in words], float)[:, :, None]
    table = xr.Dataset(
        {"regime": (("k", "dictionary_size", "source", "manifold"), places)}, {"dictionary_size": list(SIZE.sizes)}
    )
    return circle, table


def verdicts(**changed):
    (one, two, bias), table = results(**changed)
    claims: Any = Claims("test")
    given: Any = (one, two, bias)
    experiment.evaluate(given, table, SIZE, claims)
    return [claim.verdict for claim in claims.claims]


def test_what_is_expected_passes_and_each_claim_can_fail():
    assert verdicts() == ["pass"] * 8
    B = np.array([4.0, 30.0])
    short = 1 - experiment.two_from(np.array([4.0, 4.0]))
    for place, changed in (
        (0, {"one": [[0.51, 0.51], [0.05, 0.05]]}),
        (1, {"bias": 1 - experiment.two_from(B) + 0.003}),
        (2, {"bias": short}),
        (3, {"two": [[0.2, 0.2], [0, 0.01], [0, 0]]}),
        (4, {"two": [[0.2, 0.04], [0, 0], [0, 0]]}),
        (5, {"two": [[0.2, 0.2], [0, 0], [0.02, 0.03]]}),
        (6, {"first": ["dilution"] * 2 + ["shattering"] * 4}),
        (7, {"last": ["capture"] * 3 + ["dilution"] * 3}),
    ):
        assert verdicts(**changed)[place] == "FAIL", place


def test_regimes_are_stacked_to_one():
    parts = experiment.shares(results()[1]).isel(dictionary_size=1)
    ax = experiment.regimes_by_k(parts, SIZE.active)
    heights = np.array([[bar.get_height() for bar in bars] for bars in ax.containers])
    assert_allclose(heights.sum(axis=0), 1)
    assert_allclose(heights[:, 1], [1 / 6, 0, 5 / 6, 0])
