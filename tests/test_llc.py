"""The local learning coefficient by sampling: known values, laws of chains, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import superpos as sp
from superpos.landscapes import blocks, diagnostics, verdicts
from superpos.landscapes.blocks import Points
from superpos.landscapes.learning_coefficients import _table
from superpos.landscapes.sampling import Sampling
from superpos.landscapes.task_losses import loss_of
from superpos.theory.learning_coefficients import (
    localised_quadratic,
    product_of_powers,
    reduced_rank_regression,
    sum_of_powers,
)

POWERS = [(2,), (2, 2), (2, 2, 2), (4,), (4, 2)]


def powers_loss(w, given, key):
    """Of three parameters, Σ s w + a w² + b w⁴ with given coefficients: one program for all tests."""
    s, a, b = given
    return jnp.sum(s * w + a * w**2 + b * w**4)


def points(*rows):
    """One point at 0 for every (s, a, b), each of three numbers."""
    given = tuple(np.array(column, np.float32) for column in zip(*rows, strict=True))
    return Points(np.zeros((len(rows), 3), np.float32), given)


def of_powers(exponents):
    a, b = ([float(k == power) for k in exponents] + [0.0] * (3 - len(exponents)) for power in (2, 4))
    return [0.0] * 3, a, b


SETTINGS = Sampling(chains=64, draws=1000, warmup=200)


def table_of(*rows, sampling=SETTINGS):
    return _table(powers_loss, points(*rows), sampling, 64, "given")


def test_known_coefficients_within_three_percent_and_two_standard_errors():
    table = table_of(*map(of_powers, POWERS))
    known = np.array([sum_of_powers(exponents).value for exponents in POWERS])
    assert known.tolist() == [0.5, 1.0, 1.5, 0.25, 0.75]
    off = np.abs(table["llc"].values - known)
    assert np.all(off <= 0.03 * known) and np.all(off <= 2 * table["standard_error"].values)
    assert set(table["verdict"].values) == {"minimum"} and table["r_hat"].max() < 1.02


def test_localisation_takes_from_a_parabola_what_theory_says():
    curvatures, strong = (
        np.array([1.0, 4.0, 16.0]),
        Sampling(chains=64, draws=1000, warmup=200, nbeta=100.0, gamma=300.0),
    )
    table = table_of(([0.0] * 3, curvatures / 2, [0.0] * 3), sampling=strong)
    theory = localised_quadratic(curvatures, 100.0, 300.0)
    assert theory < 0.9  # of 1.5
    assert abs(float(table["estimate"][0]) - theory) <= 2.5 * float(table["standard_error"][0])


@pytest.mark.slow
def test_new_numbers_compile_nothing():
    table_of(of_powers((2,)))
    before = blocks._run_block._cache_size()
    other = Sampling(chains=3, draws=1000, warmup=30, steps=5, nbeta=1e3, gamma=2.0, step_size=0.01, seed=7)
    assert table_of(of_powers((4, 2)), of_powers((2,)), sampling=other).sizes["point"] == 2
    assert blocks._run_block._cache_size() == before


def test_a_chain_is_the_same_alone_and_among_others():
    rows = [of_powers(exponents) for exponents in POWERS]
    many = table_of(*rows)
    alone = table_of(rows[3], sampling=Sampling(chains=2, draws=1000, warmup=200))
    for name in ("loss_trace", "step_size", "acceptance"):
        np.testing.assert_array_equal(many[name].values[3, :2], alone[name].values[0])


@pytest.mark.slow
def test_chains_of_a_model_are_the_same_alone_and_among_others():
    task = sp.tasks.Toy(n_features=3, n_hidden=2, feature_probability=0.3)
    grid = sp.Grid(feature_probability=[0.1, 0.5], seed=range(3))
    config = sp.TrainConfig(steps=60, snapshots=(0, 60))
    result = sp.sweep(task, config, grid, progress=False)
    cell = {"feature_probability": 0.5, "seed": 1}
    for settings in ({}, {"method": "sgld", "batch_size": 16}, {"method": "rmsprop_sgld", "batch_size": 16}):
        settings = {"draws": 16, "warmup": 20, **settings}
        many = result.llc(chains=3, **settings)
        assert many["llc"].dims == ("feature_probability", "seed")
        alone = result.sel(cell).llc(chains=2, **settings)
        np.testing.assert_array_equal(many.sel(cell)["loss_trace"].values[:2], alone["loss_trace"].values)
        over = sp.llc(result.sel(cell), snapshots=True, chains=2, **settings)
        assert over["snapshot_step"].values.tolist() == [0, 60]
        np.testing.assert_array_equal(over["loss_trace"].values[1], alone["loss_trace"].values)
        run = sp.llc(result.cell(cell), chains=2, refuse=False, **settings)
        np.testing.assert_array_equal(run["loss_trace"].values, alone["loss_trace"].values)
    assert over.attrs["convention"] == "sum" and over.attrs["method"] == "rmsprop_sgld" and over.attrs["nbeta"] == 1000


def test_a_chain_that_diverges_is_frozen_and_harms_nobody():
    sampling = Sampling(method="langevin", chains=4, draws=20, warmup=10, step_size=1e-4)
    steep, good = ([0.0] * 3, [1e6] * 3, [0.0] * 3), of_powers((2, 2))
    table = table_of(good, steep, sampling=sampling)
    assert table["verdict"].values.tolist()[1] == "diverged" and np.isnan(table["llc"][1])
    assert np.all(table["diverged_draw"][1] >= 0) and np.all(table["diverged_draw"][0] == -1)
    alone = table_of(good, sampling=sampling)
    np.testing.assert_array_equal(table["loss_trace"].values[0], alone["loss_trace"].values[0])


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (([1.0, 0.0, 0.0], [1.0] * 3, [0.0] * 3), {"negative", "not at the floor"}),  # on a slope
        (([0.0] * 3, [1.0, 1.0, -1.0], [0.0, 0.0, 1.0]), {"negative", "not at the floor"}),  # on a saddle
        (([0.0] * 3, [0.0] * 3, [0.0] * 3), {"minimum"}),  # flat: λ = 0
    ],
)
def test_points_that_are_no_minima(row, verdict):
    table = table_of(row)
    assert str(table["verdict"][0].item()) in verdict
    assert np.isnan(table["llc"][0]) == (verdict != {"minimum"})


def synthetic(level=1.0, *, drift=0.0, apart=0.0, floor=0.0, acceptance=0.8, diverged=0):
    """The verdict of 8 chains of 400 draws, independent but for what is asked for."""
    rng = np.random.default_rng(0)
    draws = level + rng.exponential(size=(1, 8, 400)) - 1 + drift * np.linspace(1, -1, 400)
    draws = draws + apart * np.arange(8)[:, None]
    gone = np.arange(8)[None] < diverged
    draws = np.where(gone[..., None], np.nan, draws)
    return verdicts.estimates(draws, gone, np.full((1, 8), acceptance), np.full((1, 8), -floor))


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ({}, "minimum"),
        ({"diverged": 2}, "minimum"),
        ({"diverged": 3}, "diverged"),
        ({"diverged": 8}, "diverged"),
        ({"acceptance": 0.01}, "stuck"),
        ({"level": -0.5}, "negative"),
        ({"floor": 0.5}, "not at the floor"),
        ({"floor": 0.04, "level": 0.2}, "minimum"),
        ({"drift": 0.3}, "drifting"),
        ({"apart": 0.4, "level": 3.0}, "unmixed"),
    ],
)
def test_verdicts(settings, verdict):
    assert synthetic(**settings).verdict.tolist() == [verdict]
    assert verdict == "minimum" or verdict in verdicts.REASONS


def test_diagnostics_agree_with_a_known_library():
    """R̂, ESS and standard error of the mean by arviz-stats 0.8 (split chains, method "mean") of the same draws."""
    rng = np.random.default_rng(0)
    expected = {0.0: (1998.609051837293, 0.9998157633991681, 0.02235184425616556),
                0.5: (679.647833873044, 1.005815717798382, 0.04414716468241392),
                0.9: (87.89032930710145, 1.0353830026671293, 0.24104385842737272),
                -0.4: (4386.1679905525025, 0.9987153359228234, 0.016753637224370524)}  # fmt: skip
    for rho, (ess, r_hat, error) in expected.items():
        draws, noise = np.zeros((4, 500)), rng.normal(size=(4, 500))
        for t in range(1, 500):
            draws[:, t] = rho * draws[:, t - 1] + noise[:, t]
        measured = diagnostics.diagnose(draws)
        np.testing.assert_allclose(
            [measured.effective_draws, measured.r_hat, measured.standard_error], [ess, r_hat, error], rtol=1e-9
        )
        assert abs(ess / (2000 * (1 - rho) / (1 + rho)) - 1) < 0.2  # the closed form of an autoregression


def test_diagnostics_of_draws_without_variance():
    measured = diagnostics.diagnose(np.ones((2, 10)))
    assert (measured.r_hat, measured.effective_draws, measured.standard_error) == (1, 20, 0)


def test_formulas_of_theory():
    assert [reduced_rank_regression(*sizes) for sizes in ((3, 3, 2, 0), (2, 6, 2, 1), (6, 2, 2, 1), (2, 2, 5, 1))] == [
        (2.5, 1),
        (4.0, 1),
        (4.0, 1),
        (2.0, 1),
    ]
    assert reduced_rank_regression(3, 2, 2, 0) == (2.0, 2)
    assert product_of_powers((2, 4, 4)) == (0.25, 2)
    for sizes in np.ndindex(4, 4, 4):
        M, N, H = (int(size) + 1 for size in sizes)
        for rank in range(min(M, N, H)):
            whole = reduced_rank_regression(M, N, H, rank)
            assert whole == reduced_rank_regression(N, M, H, rank)
            # Around blocks of the identity the rest is a regression of rank 0, beside r (M + N − r) regular directions.
            rest = reduced_rank_regression(M - rank, N - rank, H - rank, 0)
            assert whole == (rest.value + rank * (M + N - rank) / 2, rest.multiplicity)
            assert whole.value <= (H * (M + N) - H**2 + (H - rank) ** 2) / 2 + 1e-9  # no more than parameters allow
    for wrong in ((0, 1, 1, 0), (1, 1, 1, 2)):
        with pytest.raises(sp.ConfigError):
            reduced_rank_regression(*wrong)
    for wrong in ([], [3], [0]):
        with pytest.raises(sp.ConfigError, match="exponents"):
            sum_of_powers(wrong)


def bowl(w):
    return jnp.sum(w["a"] ** 2) + w["b"] ** 2


def noisy(w, key):
    """A regression on batches of 32 with noise: L = (‖w‖² + 1/4)/2."""
    x_key, noise_key = jax.random.split(key)
    x = jax.random.normal(x_key, (32, 3))
    y = 0.5 * jax.random.normal(noise_key, (32,))
    return 0.5 * jnp.mean((jnp.matmul(x, w, precision="highest") - y) ** 2)


@pytest.mark.slow
@pytest.mark.trained
@pytest.mark.parametrize("method", ["sgld", pytest.param("rmsprop_sgld", marks=pytest.mark.slow)])
def test_batches_give_half_the_number_of_parameters(method):
    table = sp.llc(noisy, np.zeros(3), method=method, chains=64, draws=100, warmup=60, steps=16)
    assert abs(float(table["llc"]) - 1.5) < 0.1 * 1.5
    assert abs(float(table["llc"]) - 1.5) < 4 * float(table["standard_error"]) + 0.05 * 1.5  # the widening of ε
    assert np.isnan(table["acceptance"]).all() and table.attrs["batch_size"] == 256


@pytest.mark.slow
def test_the_door_takes_a_loss_and_says_its_settings():
    point = {"a": np.zeros(2), "b": 0.0}
    table = sp.llc(bowl, point, chains=16, draws=200)
    assert abs(float(table["llc"]) - 1.5) < 4 * float(table["standard_error"])
    assert table.attrs["loss"] == "as given" and table.attrs["nbeta"] == 10_000 and table.attrs["step_size"] == "chosen"
    assert table["loss_trace"].dims == ("chain", "draw") and table["loss_trace"].shape == (16, 200)
    with pytest.raises(sp.ConfigError, match=r"point has no local learning coefficient: .*\(estimate "):
        sp.llc(bowl, {"a": np.ones(2), "b": 0.0}, chains=16, draws=200)
    with pytest.raises(sp.ConfigError, match="loss must be finite at the point"):
        sp.llc(bowl, {"a": np.full(2, 1e30), "b": 0.0}, chains=16, draws=200)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gamma": -1.0}, "gamma must be at least 0"),
        ({"step_size": 0.0}, "step_size must be above 0"),
        ({"draws": 0}, "draws must be at least 8"),
        ({"nbeta": 0.0}, "nbeta must be above 0"),
        ({"nbeta": -3.0}, "nbeta must be above 0"),
        ({"chains": 0}, "chains must be at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"warmup": 3}, "warmup must be at least 20"),
        ({"method": "hcm"}, "method must be one of .* Did you mean hmc"),
        ({"method": "sgld"}, "method must be one of hmc, langevin for a loss without batches"),
        ({"convention": "sum"}, "convention is about the loss of a task"),
        ({"snapshots": True}, "snapshots are of a run or a result"),
        ({"at_once": 0}, "at_once must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"point": None}, "point is missing"),
        ({"point": np.array([0.0, np.nan])}, "point must be finite"),
        ({"point": {}}, "point must hold at least one number"),
        ({"loss": 3.0}, "llc takes a run, a result, or a loss"),
        ({"loss": lambda w: w}, "loss must give one number"),
        ({"loss": lambda w, key, other: 0.0}, "loss must take a point, or a point and a key"),
        ({"loss": lambda w: w @ w.T @ 3}, "loss failed at the point"),
        ({"loss": noisy, "point": np.zeros(3), "method": "hmc"}, 'method must be "sgld" or "rmsprop_sgld"'),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(settings, sentence):
    given = {"loss": bowl, "point": {"a": np.zeros(2), "b": 0.0}, **settings}
    with pytest.raises(sp.ConfigError, match=sentence) as refusal:
        sp.llc(given.pop("loss"), given.pop("point"), **given)
    assert "\n" not in str(refusal.value)


def test_conventions_differ_by_the_number_of_features():
    task = sp.tasks.Toy(n_features=4, n_hidden=2, feature_probability=0.5)
    model = task.init(jax.random.key(0))
    of_sum, of_mean = (loss_of(task, model, convention=word, batch_size=None) for word in ("sum", "mean"))
    assert of_sum.scale == 4 * of_mean.scale


@pytest.mark.slow
def test_reduced_rank_regression():
    from superpos.experiments.learning_coefficient import RANKS, product_loss

    for sizes in RANKS[:4]:
        known = reduced_rank_regression(*sizes).value
        table = sp.llc(*product_loss(*sizes), chains=64, draws=1000, steps=16, nbeta=1e5, gamma=0.1)
        off = abs(float(table["llc"]) - known)
        assert off <= 0.03 * known and off <= 2.5 * float(table["standard_error"]), sizes


def test_the_claims_of_the_figure():
    import xarray as xr

    from superpos.experiments import Claims
    from superpos.experiments import learning_coefficient as experiment

    def calibration(kinds, known, multiplicity, shift):
        expected = np.array(known) - (np.array(multiplicity) - 1) / np.log(experiment.NBETA)
        columns = {
            "kind": kinds,
            "known": known,
            "multiplicity": multiplicity,
            "expected": expected,
            "estimate": expected + shift,
            "standard_error": np.full(len(known), 0.01),
            "verdict": np.full(len(known), "minimum"),
        }
        return xr.Dataset({name: ("case", np.array(values)) for name, values in columns.items()})

    def verdicts_of(shift, estimates):
        simple = calibration(["powers", "reduced rank", "reduced rank"], [0.5, 2.0, 2.0], [1, 1, 2], shift)
        polygons = calibration(["toy model"], [8.5], [1], shift)
        rests = np.array([[0.09] * 4 + [0.08] * 3 + [0.06] * 4])  # three snapshots are no rest
        estimates = [estimates[0]] * 4 + [20.0] * 3 + [estimates[1]] * 4
        table = xr.Dataset(
            {
                "loss_at_point": (("seed", "snapshot"), rests),
                "estimate": (("seed", "snapshot"), np.array([estimates])),
                "standard_error": (("seed", "snapshot"), np.full((1, 11), 0.1)),
                "verdict": (("seed", "snapshot"), np.full((1, 11), "minimum")),
            },
            {"seed": [0]},
        )
        claims = Claims("a paper")
        final = table.isel(snapshot=-1).assign(estimate=("seed", [8.5]))
        experiment.evaluate(simple, polygons, table, final, claims)
        return [claim.verdict for claim in claims.claims]

    assert verdicts_of(0.0, [3.8, 4.2]) == ["pass"] * 6
    assert verdicts_of(0.05, [4.2, 3.8]) == ["FAIL"] * 4 + ["pass", "FAIL"]
    assert verdicts_of(0.0, [4.2, 4.25])[-1] == "needs --full"  # by less than its error
