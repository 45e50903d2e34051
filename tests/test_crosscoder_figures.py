"""The figures of crosscoders and transcoders: closed forms, and claims that fail where they should."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.analysis import Circuit, score_crosscoder
from superpos.experiments import Claims
from superpos.experiments import crosscoders as cross
from superpos.experiments import transcoders as trans

SHARED, LATENTS = cross.N_SHARED, 4


class Toys:
    """Two toy models, as `crosscoders` reads them from a result: random directions of length 1."""

    def __getitem__(self, name):
        W = np.random.default_rng(0).standard_normal((2, 10, 40))
        return xr.DataArray(W / np.linalg.norm(W, axis=1, keepdims=True), dims=("seed", "hidden", "feature"))


def test_what_an_l1_penalty_leaves_is_the_minimum_of_what_it_says(rng):
    """Twin: the loss of one feature over many magnitudes, minimised over gains on a grid."""
    x = (np.arange(20_000) + 0.5) / 20_000
    for first, second, coefficient in ((1.1, 0.6, 0.3), (0.9, 0.1, 0.3), (1.0, 1.0, 0.8)):
        gains = np.linspace(0, 1.2, 2_401)[:, None]
        best = []
        for length in (first, second):
            loss = np.mean(x**2) * (length - gains) ** 2 + coefficient * gains * np.mean(x)
            best.append(float(gains[loss.argmin()][0]))
        expected = best[1] / sum(best)
        assert_allclose(cross.shrunk_share(first, second, coefficient), expected, atol=1e-3)
    assert cross.shrunk_share(0.1, 0.1) == 0


def test_the_pairs_of_models_are_those_that_were_planted():
    task = cross.task_of(cross.SIZES.quick, Toys(), n_latents=5)
    D = np.asarray(task.directions)
    W = Toys()["W"].values
    has = np.stack([np.any(block != 0, axis=1) for block in np.split(D, 2, axis=1)], axis=1)
    assert_array_equal(has.sum(axis=2), [[40, 40], [40, 40], [40, 40]])
    assert_array_equal(has[0].all(axis=0).sum(), 30)
    assert_allclose(D[0, :10, :40], W[0])
    assert_allclose(D[0, 10:, 40:], W[1][:, 30:])
    assert_allclose(np.linalg.norm(D[1, 10:, :30], axis=0), cross.STRENGTHS)
    assert_allclose(D[1, :10], D[0, :10])
    assert_allclose(D[2, :10], D[2, 10:])


def _table(**changes) -> xr.Dataset:
    """What perfect crosscoders measure: BatchTopK keeps true shares, L1 those of the closed form."""
    columns = [(a, s, seed) for a in cross.ARCHITECTURES for s in range(3) for seed in range(2)]
    first, second = cross.lengths_of(Toys(), cross.UNEQUAL)
    shrunk = cross.shrunk_share(first, second)
    share = {"batch_topk": second / (first + second), "relu": shrunk}
    n = len(columns)
    feature_shares = np.full((n, 2, cross.N_FEATURES), 0.5)
    for row, (name, source, _) in enumerate(columns):
        if source == cross.UNEQUAL:
            feature_shares[row, 1, :SHARED] = share[name]
    shares = np.broadcast_to(np.array([[0.5, 1, 0, 0.5]]), (n, 2, LATENTS))
    rows = {
        "auc": (("cell", "part"), np.ones((n, 2))), "n_exclusive": ("cell", np.zeros(n)), "false_exclusive": ("cell", np.zeros(n)),
        "decoupled": ("cell", np.zeros(n)), "feature_shares": (("cell", "part", "feature"), feature_shares),
        "shares": (("cell", "part", "latent"), shares), "kind": (("cell", "latent"), np.zeros((n, LATENTS), int)),
    }  # fmt: skip
    names = ("architecture", "source", "seed")
    coords = {name: ("cell", list(values)) for name, values in zip(names, zip(*columns, strict=True), strict=True)}
    return xr.Dataset({**rows, **changes}, coords)


def _few(counts=(2, 8), purity=(0.7, 0.9)) -> xr.Dataset:
    over = {"n_shared": [0, cross.DESIGNATED], "seed": [0, 1]}
    return xr.Dataset(
        {
            "n_exclusive": (("n_shared", "seed"), np.repeat(np.array(counts)[:, None], 2, axis=1)),
            "purity": (("n_shared", "seed", "latent"), np.broadcast_to(np.array(purity)[:, None, None], (2, 2, 3))),
            "exclusive_to": (("n_shared", "seed", "latent"), np.zeros((2, 2, 3), int)),
        },
        over,
    )


def _failed(table, few) -> list[str]:
    claims = Claims("")
    cross.evaluate(Toys(), table, few, claims)
    return [claim.statement[:12] for claim in claims.failed]


def test_every_claim_of_crosscoders_holds_on_perfect_ones_and_fails_where_it_should():
    good = _table()
    assert _failed(good, _few()) == []
    n = good.sizes["cell"]
    is_l1 = (good["architecture"] == "relu").values
    assert _failed(good.assign(auc=good["auc"] * np.where(is_l1, 1, 0.98)[:, None]), _few()) == ["BatchTopK: n"]
    planted = (good["source"] == cross.PLANTED).values
    assert _failed(good.assign(false_exclusive=good["false_exclusive"] + planted), _few()) == ["features equ"]
    same = (good["source"] == cross.IDENTICAL).values & is_l1
    assert _failed(good.assign(n_exclusive=("cell", same.astype(int))), _few()) == ["two identica"]
    assert _failed(good.assign(decoupled=("cell", np.ones(n))), _few()) == ["shared featu"]
    swapped = good.assign(feature_shares=good["feature_shares"].roll(cell=n // 2))
    assert _failed(swapped, _few()) == ["BatchTopK: f", "L1: every pa", "L1: complete", "shared featu"]
    for few in (_few(counts=(8, 8)), _few(purity=(0.9, 0.7))):
        assert [s[:10] for s in _failed(good, few)] == ["30 latents"]


def test_the_picture_of_crosscoders_counts_every_live_latent():
    ax = cross.norm_share_counts(cross.chosen(_table(), "relu", cross.PLANTED))
    assert sum(bar.get_height() for bars in ax.containers[:1] for bar in bars) == 0  # all are of features of both
    assert sum(bar.get_height() for bar in ax.containers[1]) == 2 * LATENTS
    ax = cross.shrinkage(Toys(), _table(), plt.figure().gca())
    assert [len(line.get_xdata()) for line in ax.lines[:3]] == [SHARED, SHARED, 0]  # two seeds, and the key
    assert len(ax.lines) == 2 * 3 + 3


@pytest.mark.slow
def test_what_is_measured_of_crosscoders_is_their_scores():
    task = cross.task_of(cross.SIZES.quick, Toys(), n_latents=6)
    config = sp.TrainConfig(steps=2, batch_size=8, evaluation_samples=8, history=1)
    result = sp.sweep(task, config, sp.sparsity_grid({"relu": [0.3]}, source=[0, 2]), block_size=1, progress=False)
    table = cross.measure(result)
    D = np.asarray(task.directions)[0]
    scores = score_crosscoder(
        D, result.isel(cell=0).model().W_dec[...], (10, 10), given=np.abs(D).reshape(2, 10, -1).max(1)
    )
    assert_allclose(table["shares"][0], scores.shares)
    assert_array_equal(table["kind"][0], np.r_[np.zeros(30), -np.ones(10), np.ones(10)][scores.nearest_feature])


# --- transcoders -----------------------------------------------------------------------------------------------------

KS = np.array(trans.SIZES.laptop.k)


def _read(**changes) -> xr.Dataset:
    over, n = {"k": KS, "seed": [0, 1]}, trans.N_FEATURES
    ones = np.ones((len(KS), 2, n), int)
    rows = {
        "agreement": (tuple(over), np.full((len(KS), 2), 0.99)), "by_chance": (tuple(over), np.zeros((len(KS), 2))),
        "unexplained": (tuple(over), np.full((len(KS), 2), 0.02)), "positive": ((*over, "feature"), ones),
        "negative": ((*over, "feature"), ones),
    }  # fmt: skip
    return xr.Dataset(rows, over).assign(**changes)


def _half(**changes) -> xr.Dataset:
    """One latent for every feature: with a skip, nearly all is explained, and the skip has the other sign."""
    over, n = {"skip": [False, True], "k": KS[1:3], "seed": [0, 1]}, trans.N_FEATURES
    positive = np.broadcast_to(np.arange(n) % 2, (2, 2, 2, n))
    left = np.broadcast_to(np.array([0.5, 0.02])[:, None, None], (2, 2, 2))
    rows = {
        "unexplained": (tuple(over), left), "positive": ((*over, "feature"), positive),
        "negative": ((*over, "feature"), 1 - positive), "skipped": ((*over, "feature"), 1.0 - 2 * positive),
    }  # fmt: skip
    return xr.Dataset(rows, over).assign(**changes)


def test_every_claim_of_transcoders_holds_on_perfect_ones_and_fails_where_it_should(monkeypatch):
    shared = np.ones((2, 2))
    monkeypatch.setattr(
        trans, "_circuit_of", lambda layers: Circuit(shared * layers + np.eye(2), np.eye(2), np.zeros(2))
    )

    def failed(enough, few, half, mixed=1.0):
        claims = Claims("")
        trans.evaluate({trans.ENOUGH: 0.0, trans.FEW: mixed}, {trans.ENOUGH: enough, trans.FEW: few}, half, claims)
        return [claim.statement[:18] for claim in claims.failed]

    good, half = _read(), _half()
    assert failed(good, good, half) == []
    lacking = good.assign(positive=good["positive"].where(good["feature"] > 0, 2))
    assert failed(lacking, good, half) == ["24 neurons, k = 0."]
    assert failed(lacking.where(lacking["seed"] == 0, good), good, half) == [
        "24 neurons, k = 0."
    ]  # in one of two seeds
    unlike = good.assign(agreement=good["agreement"] - 0.1)
    assert failed(unlike, unlike, half) == ["24 neurons: slopes", "10 neurons: slopes"]
    assert failed(good.assign(agreement=good["agreement"].where(good["k"] > KS[0], 0.9)), good, half) == []
    assert failed(good, good.assign(negative=0 * good["negative"]), half) == ["10 neurons for 12 "]
    assert failed(good, good, half, mixed=0.0) == ["10 neurons for 12 "]
    assert failed(good, good, half.assign(unexplained=half["unexplained"].roll(skip=1))) == ["|x| = 2 ReLU(x) − "]
    assert failed(good, good, half.assign(skipped=-half["skipped"])) == ["… and the skip car"]


def test_the_pictures_of_transcoders_draw_what_they_are_given():
    W1 = np.array([[0.0, 0.0], [0.2, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    ax = trans.reading_weights(Circuit(W1, W1.T, np.zeros(2)))
    assert_array_equal(ax.images[0].get_array(), W1[[2, 4, 3, 1, 0]])
    E = np.random.default_rng(0).standard_normal((2, 3, 3))
    ax = trans.slopes_compared(E, E)
    assert [len(line.get_xdata()) for line in ax.lines[:2]] == [12, 6]
    ax = trans.unexplained(_read(), _half())
    assert [t.get_text() for t in ax.get_xticklabels()] == ["12 latents", "… and a skip", "24 latents"]
