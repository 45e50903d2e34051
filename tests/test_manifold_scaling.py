"""The figure of scaling on manifolds: dictionaries made by hand, claims of hand-made tables, and what the panels hold."""

from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from superpos.experiments import Claims
from superpos.experiments import manifold_scaling as experiment
from superpos.models.sae import SAE
from superpos.theory.allocation import allocation_exponents, optimal_allocation, tiling_losses

KINDS = {"circle": 40, "sphere": 30, "hypersphere": 20}
SIZE = experiment.Size(manifolds=KINDS, seeds=2, points=2_000, cells=3)


class ByHand:
    """As much of a result as `measure` reads: models by their place."""

    def __init__(self, models):
        self.models = models

    def isel(self, feature_probability, dictionary_size, seed):
        return ByHand(self.models[feature_probability, dictionary_size, seed])

    def model(self):
        return self.models


def circles(latents, width, change=None):
    """A dictionary with evenly spread latents on each circle, as many as `latents` says."""
    D = np.zeros((2 * len(latents), width))
    column = 0
    for i, n in enumerate(latents):
        angle = 2 * np.pi * np.arange(n) / max(n, 1)
        D[2 * i : 2 * i + 2, column : column + n] = np.cos(angle), np.sin(angle)
        column += n
    D = D if change is None else change(D)
    D = jnp.asarray(D, jnp.float32)
    return SAE(D, D.T, architecture="topk", k=1.0, unit_columns=True)


@pytest.mark.slow
def test_dictionaries_of_the_optimal_allocation_score_what_theory_says():
    """And one whose latents lie between two circles finds neither."""
    size = experiment.Size(manifolds={"circle": 6}, alphas=(0.5,), latents=(12,), seeds=2, points=2_000)
    p = experiment.frequencies(size, "circle", 0.5)
    assert_allclose(p.sum(), 1)
    assert_allclose(p[0] / p[3], 4**1.5)
    best = optimal_allocation(p, tiling_losses("circle", 12), 12)

    def between(D):
        D[2:4] += D[:2]  # the first circle's latents are of the second, too: half of each
        D[4:6, :] += D[:2]
        return D / np.maximum(np.linalg.norm(D, axis=0), 1e-9)

    models = {(0, 0, 0): circles(best.latents, 12), (0, 0, 1): circles(best.latents, 12, between)}
    table: Any = experiment.measure(ByHand(models), size, "circle")  # type: ignore[arg-type]
    good, bad = table.isel(alpha=0, dictionary_size=0, seed=0), table.isel(alpha=0, dictionary_size=0, seed=1)
    assert_array_equal(good["latents"], best.latents)
    assert_array_equal(good["best_latents"], best.latents)
    assert int(good["found"]) == int(good["best_found"]) == best.found
    assert int(good["common"]) == int(good["best_common"]) == best.latents[0]
    assert_allclose(good["loss"], best.loss, rtol=0.02)
    assert_allclose(good["best_loss"], best.loss)
    assert int(bad["latents"][0]) == 0 and float(bad["loss"]) > 1.2 * best.loss and int(bad["found"]) < best.found


def power(exponent_of, start):
    """Numbers over (alpha, dictionary_size) that grow as a power of the number of latents."""
    n = np.array(SIZE.latents, float)
    return np.array([start * (n / n[0]) ** exponent_of(alpha) for alpha in SIZE.alphas])


def tables(**changed):
    """Tables in which everything is as in large worlds, but for `changed`: (kind, name) → function of the numbers."""
    rows = {}
    for kind in KINDS:
        law = {alpha: allocation_exponents(alpha, experiment.BETA[kind]) for alpha in SIZE.alphas}
        best = {
            "found": power(lambda a, law=law: law[a].found, 3.0),
            "common": power(lambda a, law=law: law[a].common, 3.0),
            "loss": power(lambda a, law=law: -law[a].loss, 0.5),
        }
        values = {f"best_{name}": (("alpha", "dictionary_size"), of) for name, of in best.items()}
        spread = np.array([0.99, 1.01])
        for name, of in best.items():
            more = {"found": 1.3, "common": 0.9, "loss": 1.2}[name]
            trained = more * of[..., None] * spread
            trained = changed.get(f"{kind}_{name}", lambda x: x)(trained)
            values[name] = (("alpha", "dictionary_size", "seed"), trained)
        rank = 1 + np.arange(KINDS[kind])
        latents = np.maximum(20 // rank, 0) * np.ones((3, 4, 2, 1), int)
        values["latents"] = (("alpha", "dictionary_size", "seed", "manifold"), latents)
        values["best_latents"] = (("alpha", "dictionary_size", "manifold"), latents[:, :, 0])
        rows[kind] = xr.Dataset(values, {"alpha": list(SIZE.alphas), "dictionary_size": list(SIZE.latents)})
    return rows


def verdicts(**changed):
    claims: Any = Claims("test")
    experiment.evaluate(tables(**changed), SIZE, claims)
    return [claim.verdict for claim in claims.claims]


def slower(x):
    return x * (np.array(SIZE.latents) / SIZE.latents[0])[None, :, None] ** -0.3


@pytest.mark.slow
def test_what_is_expected_passes_and_each_claim_can_fail():
    assert verdicts() == ["pass"] * 10
    for place, changed in (
        (2, {"circle_found": slower}),
        (3, {"sphere_found": lambda x: 1 / slower(1 / x)}),
        (4, {"hypersphere_found": slower}),
        (5, {"circle_found": lambda x: slower(slower(x))}),
        (6, {"hypersphere_common": lambda x: slower(slower(x))}),
        (7, {"sphere_found": slower}),
        (7, {"circle_common": slower}),
        (7, {"hypersphere_loss": slower}),
        (8, {"sphere_found": lambda x: 0.7 * x}),
        (9, {"circle_loss": lambda x: 0.8 * x}),
    ):
        assert verdicts(**changed)[place] == "FAIL", place


def test_even_points_average_as_uniform_ones():
    for kind in KINDS:
        x = experiment.even_points(kind, 2_000)
        d = len(x)
        assert_allclose(np.linalg.norm(x, axis=0), 1, atol=1e-5)
        assert_allclose(x @ x.T / 2_000, np.eye(d) / d, atol=2e-3)
        assert_allclose(np.mean(np.maximum(x, 0) ** 2, axis=1), 1 / (2 * d), atol=2e-3)


def test_exponents_are_slopes_of_logarithms():
    n = np.array([8, 16, 64])
    values = xr.DataArray(
        np.stack([3 * n**0.5, 2 * n**-1.0]), dims=("seed", "dictionary_size"), coords={"dictionary_size": n}
    )
    assert_allclose(experiment.exponent(values), [0.5, -1])


@pytest.mark.slow
def test_panels_hold_the_numbers_of_the_tables():
    rows = tables()
    chosen = {cell: rows[cell[0]].sel(alpha=cell[1]) for cell in (experiment.DISCRETE, experiment.TILING)}
    _, axes = plt.subplots(1, 3)
    ax = experiment.manifolds_by_latents(chosen, axes[0])
    lines = [line.get_ydata() for line in ax.lines]
    best = chosen[experiment.TILING]["best_found"].values
    assert any(np.shape(line) == best.shape and np.allclose(line, best) for line in lines)
    ax = experiment.latents_by_rank(chosen, axes[1])
    assert any(len(line.get_ydata()) == 20 for line in ax.lines)
    slopes = {kind: experiment.exponent(table["found"]).mean("seed") for kind, table in rows.items()}
    ax = experiment.exponent_map(slopes, slopes, 3, axes[2])
    image, *points = ax.collections
    assert_allclose(
        np.ravel(image.get_array()),
        [experiment.map_exponent(a, b) for b in (0.4, 1.4, 2.4) for a in (0.125, 1.8125, 3.5)],
    )
    assert_allclose(points[1].get_array(), slopes["circle"])
    assert_allclose(points[1].get_offsets()[:, 1], 2)
