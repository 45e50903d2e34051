"""Scores of a sparse autoencoder against what can be known by hand, and against a slow twin."""

import json
from itertools import permutations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.stats import beta, ortho_group

import superpos as sp
from superpos.analysis import dashboard_data, hidden_loss, score_sae
from superpos.analysis.matching import cosines, match, principal_directions, random_directions
from superpos.analysis.table import sae_score_table


def unit(A):
    return A / np.linalg.norm(A, axis=0)


def case(rng, m=4, n=6, k=7, N=200, p=0.3):
    """Random directions (one of them too short to be found), features, and an SAE with no relation to them."""
    W = unit(rng.standard_normal((m, n)))
    W[:, 2] *= 0.1
    x = rng.uniform(size=(n, N)) * (rng.uniform(size=(n, N)) < p)
    D = rng.standard_normal((m, k))
    z = np.maximum(D.T @ W @ x - 0.3, 0)
    z[k - 1] = 0
    return {"directions": W, "decoder": D, "x": x, "h": W @ x, "latents": z, "reconstruction": D @ z}


def perfect(rng, m=4, n=6, N=500):
    W = unit(rng.standard_normal((m, n)))
    x = rng.uniform(size=(n, N)) * (rng.uniform(size=(n, N)) < 0.3)
    return {"directions": W, "decoder": W, "x": x, "h": W @ x, "latents": x, "reconstruction": W @ x}


ONES = ("mmcs", "mcc", "mcc_signed", "f1", "precision", "recall", "uniqueness", "explained_variance", "shrinkage")


def test_a_perfect_dictionary_scores_one_everywhere_in_any_order_and_length(rng):
    arrays = perfect(rng)
    order, scale = rng.permutation(6), rng.uniform(0.1, 9, 6)
    other = arrays | {
        "decoder": (arrays["decoder"] * scale)[:, order],
        "latents": (arrays["x"] / scale[:, None])[order],
    }
    for each in (arrays, other):
        s = score_sae(**each)
        assert_allclose([getattr(s, name) for name in ONES], 1, rtol=1e-12)
        assert s.l0 == s.l0_true and s.dead_share == 0 and s.splitting == 0
    assert_allclose(s.matched_feature, order)
    assert_allclose(s.matched_latent[order], np.arange(6))
    assert "MMCS 1.00 (random" in repr(s) and len(repr(s).splitlines()) == 3


def test_opposite_directions_have_mcc_one_and_find_nothing():
    W = np.eye(3)
    x = np.eye(3)
    s = score_sae(W, -W, x, x, x, -x)
    assert (s.mcc, s.mcc_signed, s.mmcs, s.f1) == (1, 0, 0, 0)
    assert s.matched_feature.tolist() == [-1, -1, -1]
    assert s.shrinkage == 1 and s.explained_variance == pytest.approx(1 - 12 / 2)


def test_duplicates_split_and_dead_latents_do_not(rng):
    a = perfect(rng)
    twice = {"decoder": np.hstack([a["decoder"]] * 2), "latents": np.vstack([a["x"] / 2] * 2)}
    s = score_sae(**a | twice)
    assert (s.uniqueness, s.splitting, s.split_share, s.l0) == (0.5, 1, 1, pytest.approx(2 * s.l0_true))
    dead = {"decoder": twice["decoder"], "latents": np.vstack([a["x"], 0 * a["x"]])}
    s = score_sae(**a | dead)
    assert (s.dead_share, s.splitting, s.split_share) == (0.5, 0, 0)


def test_too_few_latents_count_zero_for_the_features_left_out():
    x = np.eye(4)
    s = score_sae(x, x[:, :1], x, x, x[:1], x[:, :1] @ x[:1])
    assert (s.mmcs, s.mcc, s.f1, s.recall, s.precision) == (0.25, 0.25, 0.25, 0.25, 0.25)


def test_loss_recovered_is_linear_between_nothing_and_the_truth(rng):
    a = case(rng)
    W, x, importance = a["directions"], a["x"], 0.9 ** np.arange(6)
    loss = hidden_loss(lambda hidden: np.maximum(W.T @ hidden, 0), x, importance)
    direct = [
        np.mean([importance[i] * (x[i] - np.maximum(W[:, i] @ h, 0)) ** 2 for i in range(6)])
        for h in (0 * a["h"], a["reconstruction"], a["h"])
    ]
    s = score_sae(**a, loss=loss)
    assert s.loss_recovered == pytest.approx((direct[0] - direct[1]) / (direct[0] - direct[2]))
    assert score_sae(**a, loss=(5.0, 2.0, 1.0)).loss_recovered == 0.75
    assert np.isnan(score_sae(**a).loss_recovered)


def twin(directions, decoder, x, h, latents, reconstruction, split_above=0.9):
    """Every number by loops, matching by brute force."""
    N = x.shape[1]
    kept = [i for i in range(len(x)) if np.linalg.norm(directions[:, i]) > 0.5]
    L = decoder.shape[1]
    C = [
        [
            directions[:, i] @ decoder[:, j] / np.linalg.norm(directions[:, i]) / np.linalg.norm(decoder[:, j])
            for j in range(L)
        ]
        for i in kept
    ]
    C = np.array(C)
    n = len(kept)
    orders = [np.array(o) for o in permutations(range(L), n)] if n <= L else []

    def sums(A):
        return [sum(A[i, o[i]] for i in range(n)) for o in orders]

    best = orders[int(np.argmax(sums(np.maximum(C, 0))))]
    rows = []
    for k, i in enumerate(kept):
        z, a = latents[best[k]] > 0, x[i] != 0
        tp = sum(z & a)
        if C[k, best[k]] <= 0:
            tp, z = 0, np.zeros(N, bool)
        rows.append((tp / sum(z) if sum(z) else 0, tp / sum(a), 2 * tp / (sum(z) + sum(a))))
    precision, recall, f1 = np.mean(rows, axis=0)
    nearest = [int(np.argmax(row)) for row in C]
    near = [sum(C[k, j] > split_above and any(latents[j] > 0) for j in range(L)) for k in range(n)]
    some = [t for t in range(N) if np.linalg.norm(h[:, t]) > 0]
    mean = sum(h[:, t] for t in range(N)) / N
    return {
        "mmcs": np.mean([max(row) for row in C]),
        "mcc": max(sums(abs(C))) / n,
        "mcc_signed": max(sums(np.maximum(C, 0))) / n,
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "uniqueness": sum(nearest.count(j) == 1 for j in range(L)) / L,
        "l0": np.mean([sum(latents[:, t] > 0) for t in range(N)]),
        "l0_true": np.mean([sum(x[:, t] != 0) for t in range(N)]),
        "l0_represented": np.mean([sum(x[kept, t] != 0) for t in range(N)]),
        "explained_variance": 1 - sum(np.sum((h[:, t] - reconstruction[:, t]) ** 2) for t in range(N)) / sum(np.sum((h[:, t] - mean) ** 2) for t in range(N)),
        "shrinkage": np.mean([np.linalg.norm(reconstruction[:, t]) / np.linalg.norm(h[:, t]) for t in some]),
        "dead_share": np.mean([not any(latents[j] > 0) for j in range(L)]),
        "splitting": np.mean([max(c - 1, 0) for c in near]),
        "split_share": np.mean([c > 1 for c in near]),
        "n_represented": n,
    }  # fmt: skip


@pytest.mark.parametrize("n_latents", [5, 7])
def test_every_number_equals_its_slow_twin(n_latents, rng):
    for _ in range(4):
        a = case(rng, m=2, k=n_latents)
        scalars = score_sae(**a, split_above=0.8).scalars()
        for name, value in twin(**a, split_above=0.8).items():
            assert scalars[name] == pytest.approx(value, rel=1e-9), name


def test_rotation_changes_nothing_and_permutation_permutes(rng):
    a = case(rng)
    s = score_sae(**a)
    Q = ortho_group.rvs(4, random_state=rng)
    turned = {name: Q @ a[name] for name in ("directions", "decoder", "h", "reconstruction")}
    r = score_sae(**a | turned)
    own = {name: v for name, v in s.scalars().items() if not name.startswith("random")}
    assert_allclose([r.scalars()[name] for name in own], list(own.values()), rtol=1e-9)
    i, j = rng.permutation(6), rng.permutation(7)
    p = score_sae(
        **a
        | {
            "directions": a["directions"][:, i],
            "x": a["x"][i],
            "decoder": a["decoder"][:, j],
            "latents": a["latents"][j],
        }
    )
    assert_allclose(list(p.scalars().values()), list(s.scalars().values()), rtol=1e-9)
    assert_allclose(p.feature_f1, s.feature_f1[i])
    assert_allclose(p.latent_f1, s.latent_f1[j])
    assert_allclose(np.where(p.matched_latent < 0, -1, j[p.matched_latent]), s.matched_latent[i])


def test_unused_latents_are_not_looked_at(rng):
    a = case(rng)
    used = np.array([1, 0, 1, 1, 0, 1, 1], bool)
    s = score_sae(**a | {"decoder": a["decoder"][:, used], "latents": a["latents"][used]})
    a["decoder"][:, ~used] = np.nan
    a["latents"][~used] = np.nan
    w = score_sae(**a, used=used)
    assert w.scalars() == pytest.approx(s.scalars(), nan_ok=True)
    assert_allclose(w.latent_f1[used], s.latent_f1)
    assert np.isnan(w.frequency[~used]).all() and set(w.matched_latent[w.matched_latent >= 0]) <= set(
        np.flatnonzero(used)
    )


@pytest.mark.parametrize(
    ("n", "m", "mmcs", "mcc"),
    [(512, 256, 0.19, 0.19), (64, 20, 0.50, 0.52), (40, 10, 0.64, 0.66), (5, 2, 0.795, 0.872)],
)
def test_random_dictionaries_score_what_is_known(n, m, mmcs, mcc):
    """MMCS: the mean of the largest of n cosines, each with (1 + cos) / 2 ~ Beta((m-1)/2, (m-1)/2); in the plane 20/π² - 120/π⁴."""
    t = np.linspace(-1, 1, 20_001)
    exact = 1 - np.trapezoid(beta((m - 1) / 2, (m - 1) / 2).cdf((1 + t) / 2) ** n, t)
    assert exact == pytest.approx(mmcs, abs=0.006)
    assert m > 2 or exact == pytest.approx(20 / np.pi**2 - 120 / np.pi**4, abs=1e-4)
    draws = {512: 4, 64: 40, 40: 60, 5: 2_000}[n]
    found = [match(cosines(random_directions(m, n, (1, k)), random_directions(m, n, (2, k)))) for k in range(draws)]
    for wanted, rounding, values in ((exact, 1e-4, [f.mmcs for f in found]), (mcc, 0.006, [f.mcc for f in found])):
        assert abs(np.mean(values) - wanted) < rounding + 3.5 * np.std(values) / np.sqrt(draws)


def test_all_principal_directions_reconstruct_everything_and_mean_nothing(rng):
    a = perfect(rng, m=3, n=12)
    s = score_sae(**a)
    assert s.pca.explained_variance == pytest.approx(1)
    assert s.pca.f1 < 0.7 < s.f1
    D = principal_directions(a["h"], 99)
    assert D.shape == (3, 6)
    assert_allclose(D[:, ::2], -D[:, 1::2])
    assert_allclose(np.cov(D[:, ::2].T @ a["h"]), np.diag(np.linalg.eigvalsh(np.cov(a["h"]))[::-1]), atol=1e-12)


def test_absorption_of_an_example_made_by_hand():
    """Ten inputs with the parent, four of them with its child: on three of those the child's latent speaks for both."""
    W = np.eye(3)
    x = np.zeros((3, 12))
    x[0, :10] = 1
    x[1, 6:10] = 1
    x[2, 10:] = 1
    D = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1.0]]).T
    z = np.zeros((3, 12))
    z[0, :7] = 1
    z[1, 6:10] = 1
    z[2] = x[2]
    parents = (-1, 0, -1)
    s = score_sae(W, D, x, W @ x, z, D @ z, parents=parents)
    assert s.absorption == pytest.approx(0.3)
    assert np.isnan(s.feature_absorption[1:]).all()
    assert s.recall == pytest.approx((0.7 + 1 + 1) / 3)
    z[1] *= 0.39  # too little of the parent: 0.39 < 0.4
    assert score_sae(W, D, x, W @ x, z, D @ z, parents=parents).absorption == 0
    pure = np.eye(3)  # a child's latent that says nothing of the parent absorbs nothing
    z[1] = x[1]
    assert score_sae(W, pure, x, W @ x, z, pure @ z, parents=parents).absorption == 0
    assert np.isnan(score_sae(W, D, x, W @ x, z, D @ z).absorption)


def test_interference_between_parent_and_child_is_no_absorption():
    W = np.array([[1, 0.6], [0, 0.8]])  # cosine 0.6
    x = np.ones((2, 5))
    z = np.array([np.zeros(5), np.ones(5)])
    assert score_sae(W, W, x, W @ x, z, W @ z, parents=(-1, 0)).absorption == 0


def test_nothing_represented_is_no_error(rng):
    a = case(rng)
    s = score_sae(**a | {"directions": a["directions"] * 0.01})
    assert s.n_represented == 0 and np.isnan(s.mmcs) and np.isnan(s.f1) and s.l0 > 0


BAD = [
    ("directions", {"directions": np.zeros((0, 6))}),
    ("directions", {"directions": [[1, 2], [3]]}),
    ("decoder", {"decoder": np.ones((3, 7))}),
    ("decoder", {"decoder": np.ones((4, 0))}),
    ("decoder", {"decoder": np.full((4, 7), np.inf)}),
    ("x", {"x": np.ones((5, 200))}),
    ("x", {"x": np.ones((6, 0))}),
    ("h", {"h": np.ones((4, 199))}),
    ("h", {"h": np.full((4, 200), np.nan)}),
    ("latents", {"latents": np.ones((6, 200))}),
    ("latents", {"latents": np.ones((7, 20))}),
    ("latents", {"latents": -np.ones((7, 200))}),
    ("latents", {"latents": np.full((7, 200), np.inf)}),
    ("reconstruction", {"reconstruction": np.ones((5, 200))}),
    ("reconstruction", {"reconstruction": np.ones((4, 20))}),
    ("used", {"used": np.ones(6, bool)}),
    ("used", {"used": np.zeros(7, bool)}),
    ("used", {"used": np.ones(7)}),
    ("parents", {"parents": (-1, 0)}),
    ("parents", {"parents": (1, 2, 0, -1, -1, -1)}),
    ("parents", {"parents": (0, -1, -1, -1, -1, -1)}),
    ("parents", {"parents": (6, -1, -1, -1, -1, -1)}),
    ("parents", {"parents": "abcdef"}),
    ("loss", {"loss": (1.0, 2.0)}),
    ("represented_above", {"represented_above": -1}),
    ("split_above", {"split_above": 2}),
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("field", "wrong"), BAD)
def test_bad_input_is_refused_in_one_sentence(field, wrong, rng):
    with pytest.raises(sp.ConfigError, match=rf"^{field} must .*\.$") as caught:
        score_sae(**case(rng) | wrong)
    assert "\n" not in str(caught.value)


def test_scores_of_a_sweep_are_a_labelled_table(rng):
    cells = xr.DataArray(np.zeros((2, 2)), {"k": [5, 7], "seed": [0, 3]}, ("k", "seed"))
    scores = [score_sae(**case(rng, k=5)), None, score_sae(**case(rng)), score_sae(**case(rng))]
    table = sae_score_table(scores, cells)
    assert table["mcc"].sel(k=7, seed=3) == scores[3].mcc
    assert np.isnan(table["mcc"].sel(k=5, seed=3))
    assert_allclose(table["latent_f1"].sel(k=5, seed=0), [*scores[0].latent_f1, np.nan, np.nan])
    assert {"random_mcc", "pca_f1", "loss_recovered"} <= set(table.data_vars)
    for wrong in (scores[:3], [None] * 4):
        with pytest.raises(sp.ConfigError, match="^scores must "):
            sae_score_table(wrong, cells)


def test_dashboard_holds_what_a_page_shows_as_plain_json(rng):
    a = case(rng)
    used = np.array([1, 1, 0, 1, 1, 1, 1], bool)
    data = json.loads(
        json.dumps(dashboard_data(**a, used=used, encoder=a["decoder"].T, bias=np.zeros(7), top_k=3), allow_nan=False)
    )
    s = score_sae(**a, used=used)
    assert [one["index"] for one in data["latents"]] == [0, 1, 3, 4, 5, 6] and data["latents_left_out"] == 0
    assert data["scores"]["mcc"] == pytest.approx(s.mcc, rel=1e-3) and data["scores"]["absorption"] is None
    for one in data["latents"]:
        l, z = one["index"], a["latents"][one["index"]]
        assert sum(one["histogram"]) == np.sum(z > 0)
        assert_allclose([v for _, v in one["top"]], np.sort(z[z > 0])[::-1][:3], rtol=1e-3)
        for place, value in one["top"] + one["samples"]:
            shown = data["inputs"][place]
            column = np.zeros(6)
            for i, v in shown["x"]:
                column[i] = v
            assert_allclose(a["directions"] @ column, shown["h"], atol=2e-3)
            assert np.maximum(a["decoder"][:, l] @ shown["h"] - 0.3, 0) == pytest.approx(value, abs=5e-3)
        for i, precision, recall in one["features"]:
            both = np.sum((z > 0) & (a["x"][i] != 0))
            assert_allclose([precision, recall], [both / np.sum(z > 0), both / np.sum(a["x"][i] != 0)], rtol=1e-3)
        assert len(one["neighbours"]) == 5 and all(j != l and used[j] for j, _ in one["neighbours"])
        assert len(one["samples"]) <= 10 and len(one["direction"]) == len(one["encoder"]) == 4
    assert (data["latents"][-1]["top"], data["latents"][-1]["frequency"]) == ([], 0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("field", "wrong"),
    [("encoder", {"encoder": np.ones((4, 7))}), ("bias", {"bias": 1.0}), ("top_k", {"top_k": 0}), ("x", {"x": 1})],
)
def test_dashboard_refuses_what_does_not_fit(field, wrong, rng):
    with pytest.raises(sp.ConfigError, match=f"^{field} must "):
        dashboard_data(**case(rng) | wrong)
