"""Lines fitted in context: data and attention by NumPy, exact losses against sampled ones, steps written down as weights."""

from dataclasses import replace
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.experiments import Claims
from superpos.experiments.in_context_regression import construction, evaluate, left_by_parts, measure, measure_deep
from superpos.models import VectorTransformer
from superpos.theory.descent_in_context import remainder, spectrum

TASK = sp.tasks.InContextRegression(n_dims=2, most_examples=4)
RNG = np.random.default_rng(0)


def drawn(n_layers, n_heads, size=3, scale=0.3):
    rng = np.random.default_rng(n_layers + 7 * n_heads)
    return scale * rng.standard_normal((2, n_layers, n_heads, size, size))


def by_numpy(P, Q, tokens, present, attention):
    """The answer for one sequence, token by token."""
    z = np.array(tokens, float)
    there = [i for i in range(z.shape[1] - 1) if present[i]]
    for layer in range(len(P)):
        added = np.zeros_like(z)
        for p, q in zip(P[layer], Q[layer], strict=True):
            for j in range(z.shape[1]):
                scores = np.array([z[:, i] @ q @ z[:, j] for i in there])
                weights = scores / len(there)
                if attention == "softmax":
                    weights = np.exp(scores - scores.max())
                    weights /= weights.sum()
                added[:, j] += sum(weight * p @ z[:, i] for weight, i in zip(weights, there, strict=True))
        z = z + added
    return -z[-1, -1]


@pytest.mark.parametrize("attention", ["linear", "softmax"])
@pytest.mark.parametrize(("n_layers", "n_heads"), [(1, 1), (2, 2)])
def test_answers_are_what_numpy_makes_of_the_weights(attention, n_layers, n_heads):
    P, Q = drawn(n_layers, n_heads)
    model = VectorTransformer(P, Q, attention=attention)
    tokens, present = RNG.standard_normal((3, 6, 5)), np.tile(np.array([1, 1, 0, 1, 0.0])[:, None], 5)
    expected = [by_numpy(P, Q, tokens[..., k], present[:, k], attention) for k in range(5)]
    np.testing.assert_allclose(jax.jit(model)(tokens, present), expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(model(tokens[..., 0], present[:, 0]), expected[0], rtol=2e-5, atol=1e-6)
    z = tokens
    for layer in range(n_layers):
        z = model.layer(layer, z, present)
    np.testing.assert_allclose(-z[-1, -1], expected, rtol=2e-5, atol=1e-6)


def test_sequences_are_linear_functions_of_their_weights():
    task = replace(TASK, noise=0.5, weight_scale=2.0, input_scale=3.0, n_examples=3.0)
    data = jax.tree.map(np.asarray, task.sample(jax.random.key(0), 40_000))
    assert data.tokens.shape == (3, 5, 40_000) and data.present[:, 0].tolist() == [1, 1, 1, 0]
    x, y = data.tokens[:2], data.tokens[2]
    assert (y[-1] == 0).all() and (data.tokens[:, 3] == 0).all()
    np.testing.assert_allclose(np.sum(data.weights * x[:, -1], axis=0), data.target, rtol=1e-5, atol=1e-5)
    noise = y[:3] - np.einsum("db,dnb->nb", data.weights, x[:, :3])
    for values, deviation in ((noise, 0.5), (data.weights, 2.0), (x[:, [0, 1, 2, 4]], 3.0)):
        assert values.std() == pytest.approx(deviation, rel=0.01) and abs(values.mean()) < 0.02 * deviation
    longer = replace(task, n_examples=None).sample(jax.random.key(0), 40_000)
    assert np.array_equal(longer.tokens[:, :3], data.tokens[:, :3]) and np.asarray(longer.present).all()


@pytest.mark.slow
@pytest.mark.parametrize("n_heads", [1, 2])
def test_the_exact_loss_of_one_layer_is_the_sampled_one(n_heads):
    """At weights of no form, with a noise and scales: every term counts."""
    P, Q = drawn(1, n_heads)
    task = replace(TASK, noise=0.7, weight_scale=1.3, input_scale=0.8, n_examples=3.0, n_heads=n_heads)
    model = VectorTransformer(P, Q)
    exact = float(task.expected_loss(model))
    of = jax.jit(lambda key: task.loss(model, key, 2**17)[0])
    losses = [float(of(jax.random.key(k))) for k in range(8)]
    assert exact == pytest.approx(np.mean(losses), abs=4 * np.std(losses) / 8**0.5)
    assert np.std(losses) < 0.02 * exact
    assert replace(task, attention="softmax").expected_loss(model) is None
    assert replace(task, n_layers=2).expected_loss(model) is None


@pytest.mark.parametrize(("d", "n", "noise"), [(1, 3, 0.0), (3, 2, 0.5), (5, 20, 1.0)])
def test_the_best_step_is_the_least_of_the_exact_loss_and_of_the_spectrum(d, n, noise):
    rate, loss = sp.theory.one_step(d, n, noise=noise)
    P, Q = sp.theory.descent_weights([rate], n_dims=d)
    exact = sp.theory.linear_attention_loss(P[0], Q[0], n, noise=noise)
    assert float(exact) == pytest.approx(loss, rel=1e-6)
    sizes = {"n_dims": d, "n_examples": n, "noise": noise}
    assert sp.theory.descent_loss([rate], **sizes) == pytest.approx(loss, rel=1e-10)
    for other in (0.9 * rate, 1.1 * rate):
        assert sp.theory.descent_loss([other], **sizes) > loss
    assert sp.theory.best_descent(d, n, 1, noise=noise).rates[0] == pytest.approx(rate, rel=1e-5)
    of = jax.jit(lambda P, Q: jax.grad(sp.theory.linear_attention_loss, argnums=(0, 1))(P, Q, n, noise=noise))
    slopes = of(jnp.asarray(P[0], jnp.float32), jnp.asarray(Q[0], jnp.float32))
    assert max(float(jnp.abs(slope).max()) for slope in slopes) < 1e-5  # a critical point among all weights
    scales = {"weight_scale": 0.7, "input_scale": 1.4}
    exact = sp.theory.linear_attention_loss(P[0], Q[0], n, noise=noise, **scales)
    assert sp.theory.descent_loss([rate], **sizes, **scales) == pytest.approx(float(exact), rel=1e-5)


def test_moments_of_the_spectrum_are_known_ones_and_sampled_ones():
    chi_square = [prod(range(4, 4 + 2 * k, 2)) / 4**k for k in range(7)]  # of one dimension: N S is χ² with N = 4
    assert [float(m) for m in sp.theory.spectral_moments(1, 4, 6)] == pytest.approx(chi_square)
    assert float(sp.theory.spectral_moments(5, 20, 2)[2]) == pytest.approx(5 * 26 / 20)
    x = RNG.standard_normal((100_000, 3, 2))
    eigenvalues = np.linalg.eigvalsh(np.swapaxes(x, 1, 2) @ x / 3)
    sampled = [np.mean(np.sum(eigenvalues**k, axis=1)) for k in range(6)]
    assert [float(m) for m in sp.theory.spectral_moments(2, 3, 5)] == pytest.approx(sampled, rel=0.05)
    points, weights = spectrum(3, 5, 7)
    exact = [float(m) for m in sp.theory.spectral_moments(3, 5, 13)]
    np.testing.assert_allclose([weights @ points**k for k in range(14)], exact, rtol=1e-9)


def test_the_best_plain_steps_are_those_of_the_orthogonal_polynomial():
    """Least squares over all polynomials with R(0) = 1: no search, and the same loss."""
    for n_steps in (2, 3):
        points, weights = spectrum(4, 9, 8)
        powers = points[:, None] ** np.arange(1, n_steps + 1)
        root = weights**0.5
        coefficients = np.linalg.lstsq(root[:, None] * powers, -root, rcond=None)[0]
        best = sp.theory.best_descent(4, 9, n_steps)
        assert best.loss == pytest.approx(weights @ (1 + powers @ coefficients) ** 2, rel=1e-8)
        roots = np.polynomial.Polynomial([1, *coefficients]).roots()
        np.testing.assert_allclose(sorted(best.rates), sorted(1 / roots), rtol=1e-4)
        assert best.curvatures == (0.0,) * n_steps


def test_written_steps_have_their_closed_loss():
    """Two preconditioned steps as weights, noise and all, against the closed form; and by hand on one sequence."""
    rates, curvatures = [0.4, 0.7], [0.2, 0.0]
    model = VectorTransformer(*sp.theory.descent_weights(rates, curvatures, n_dims=2))
    task = replace(TASK, most_examples=6, n_layers=2, noise=0.5)
    of = jax.jit(lambda key: task.loss(model, key, 2**16)[0])
    losses = [float(of(jax.random.key(k))) for k in range(4)]
    closed = sp.theory.descent_loss(rates, curvatures, n_dims=2, n_examples=6, noise=0.5)
    assert closed == pytest.approx(np.mean(losses), rel=0.02)
    data = jax.tree.map(np.asarray, task.sample(jax.random.key(0), 1))
    x, y, query = data.tokens[:2, :-1, 0], data.tokens[2, :-1, 0], data.tokens[:2, -1, 0]
    w1 = rates[0] * x @ y / 6
    residual, S = y - w1 @ x, x @ x.T / 6
    moved = np.eye(2) - curvatures[0] * S
    w2 = rates[1] * moved @ (moved @ x) @ residual / 6
    assert float(model(data.tokens, data.present)[0]) == pytest.approx((w1 + w2) @ query, rel=1e-4)
    without_noise = sp.theory.descent_loss(rates, curvatures, n_dims=2, n_examples=6)
    assert left_by_parts(rates, 0.2, 2, 6)[0] == pytest.approx(without_noise)
    assert left_by_parts(rates, 0.0, 2, 6)[4] == pytest.approx(sp.theory.descent_loss(rates, n_dims=2, n_examples=6))
    assert remainder(rates, curvatures, np.zeros(1)).tolist() == [1.0]


@pytest.mark.slow
def test_preconditioned_steps_beat_plain_ones_and_no_start_beats_the_best():
    plain, best = sp.theory.best_descent(3, 8, 2), sp.theory.best_descent(3, 8, 2, preconditioned=True)
    assert best.loss < plain.loss < sp.theory.one_step(3, 8).loss
    assert best.curvatures[0] > 0 and best.curvatures[1] == 0
    moved = [
        sp.theory.descent_loss(best.rates, [best.curvatures[0] + e, 0.0], n_dims=3, n_examples=8) for e in (-0.02, 0.02)
    ]
    assert min(moved) > best.loss


def test_the_floor_is_that_of_ridge_regression():
    assert sp.theory.posterior_floor(5, 3) == 2.0 and sp.theory.posterior_floor(3, 5) == 0.0
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((20_000, 4, 2)), rng.standard_normal((20_000, 2))
    y = np.einsum("snd,sd->sn", x, w) + 0.8 * rng.standard_normal((20_000, 4))
    gram = np.einsum("snd,sne->sde", x, x) + 0.64 * np.eye(2)
    fitted = np.linalg.solve(gram, np.einsum("snd,sn->sd", x, y)[..., None])[..., 0]
    sampled = np.mean(np.sum((fitted - w) ** 2, axis=1))
    assert sp.theory.posterior_floor(2, 4, noise=0.8) == pytest.approx(sampled, rel=0.03)


def test_the_construction_is_told_from_other_weights():
    P, Q = (jnp.asarray(W[0, 0], jnp.float32) for W in sp.theory.descent_weights([0.6], [0.3], n_dims=3))
    said = construction(P, Q, last=False)
    assert [float(said[k]) for k in ("rate", "curvature", "outside")] == pytest.approx([0.6, 0.3, 0], abs=1e-6)
    scaled = construction(-2 * P, -Q / 2, last=False)  # the same function
    assert float(scaled["rate"]) == pytest.approx(0.6) and float(scaled["outside"]) == pytest.approx(0, abs=1e-6)
    assert float(construction(P.at[:3].set(5.0), Q.at[:, 3].set(5.0), last=True)["outside"]) == pytest.approx(
        0, abs=1e-6
    )
    for other in (P.at[3, 0].set(0.3), P.at[0, 1].set(0.3)):
        assert float(construction(other, Q, last=False)["outside"]) > 0.05
    assert float(construction(P, Q.at[0, 0].set(-1.0), last=True)["outside"]) > 0.5


@pytest.fixture(scope="module")
def written():
    """Tables of weights that are the best steps, four seeds alike but for a little, as trainings would have them."""
    config = sp.TrainConfig(steps=1, batch_size=4, evaluation_samples=4)
    sizes = {"progress": False, "block_size": 1}
    task = sp.tasks.InContextRegression(n_dims=2, most_examples=6, init_scale=0.1)
    grid = sp.Grid(n_examples=[6], noise=[0.0], seed=range(2))
    one = sp.sweep(task, config, grid, **sizes)
    two = sp.sweep(replace(task, n_layers=2), config, sp.Grid(seed=range(2)), **sizes)
    best = sp.theory.best_descent(2, 6, 2, preconditioned=True)
    for result, rates, curvatures in ((one, [sp.theory.one_step(2, 6).rate], None), (two, best.rates, best.curvatures)):
        P, Q = sp.theory.descent_weights(rates, curvatures, n_dims=2)
        result["P"].values[:], result["Q"].values[:] = P, Q
    table, deep = measure(one, 512), measure_deep(two, 512)
    return table, deep


@pytest.mark.slow
def test_written_models_have_every_score(written):
    table, deep = written
    np.testing.assert_allclose(table["rate"], sp.theory.one_step(2, 6).rate, rtol=1e-5)
    np.testing.assert_allclose(table["explained"], 1, atol=1e-5)
    assert float(table["outside"].max()) < 1e-5 and float(table["reordered"].max()) < 1e-4
    exact = sp.theory.descent_loss([sp.theory.one_step(2, 6).rate], n_dims=2, n_examples=6, input_scale=1.5) / (
        2 * 1.5**2
    )
    np.testing.assert_allclose(table["rescaled"].sel(scale=1.5), exact, rtol=1e-5)
    np.testing.assert_allclose(deep["loss"], deep["best_loss"], rtol=1e-4)
    np.testing.assert_allclose(deep["same_errors"], 1, atol=1e-5)
    np.testing.assert_allclose(deep["rescaled"], deep["best_rescaled"], rtol=1e-3)
    assert float(deep["same_errors_plain"].max()) < 0.95 and (deep["loss"] < deep["plain_loss"]).all()


def table_of(**changed):
    """Tables of models that pass, with what is `changed`."""
    said = {
        "one": 1.001, "rate": 1.0, "outside": 1e-3, "explained": 0.999, "rescaled": 1.0, "shifted": 1.0, "reordered": 1e-6,
        "two": 1.02, "same": 0.97, "numbers": 1.0, "deep_outside": 1e-3, "parts": 1.0, "change_of_y": 1.0,
        "smaller": 1.0, "larger": 1.3, "softmax_one": 1.8, "softmax_two": 1.05, "opposite": True,
    } | changed  # fmt: skip
    d, n, seeds, noise = 5, 20, 6, 1e-5 * np.arange(6)
    step, best = sp.theory.one_step(d, n), sp.theory.best_descent(d, n, 2, preconditioned=True)
    scales = [0.5, 1.0, 1.5]
    shares = [sp.theory.descent_loss([step.rate], n_dims=d, n_examples=n, input_scale=s) / (d * s**2) for s in scales]
    values = {
        "loss": said["one"] * step.loss, "rate": said["rate"] * step.rate, "outside": said["outside"],
        "explained": said["explained"], "shifted": said["shifted"] * (d + step.rate**2 * d**2 / n),
        "reordered": said["reordered"],
    }  # fmt: skip
    dims = ("n_examples", "noise", "seed")
    table = xr.Dataset(
        {
            k: (dims, (v + 0 * noise if k == "reordered" else v * (1 + noise)).reshape(1, 1, -1))
            for k, v in values.items()
        }
        | {"rescaled": ((*dims, "scale"), said["rescaled"] * np.array(shares) * (1 + noise[:, None])[None, None])},
        {"n_examples": [n], "noise": [0.0], "seed": range(seeds), "scale": scales},
        {"n_dims": d},
    )
    numbers = said["numbers"] * np.array([*best.rates, best.curvatures[0]])
    left = left_by_parts(numbers[:2], numbers[2], d, n) * np.array([1, said["parts"], 1, said["change_of_y"], 1])
    one = 1 + noise
    deep = xr.Dataset(
        {
            "loss": ("seed", said["two"] * best.loss * one),
            "plain_loss": ("seed", sp.theory.best_descent(d, n, 2).loss + 0 * one),
            "best_loss": ("seed", best.loss + 0 * one),
            "same_errors": ("seed", said["same"] * one),
            "same_errors_plain": ("seed", 0.3 * one),
            "outside": ("seed", said["deep_outside"] * one),
            "rates": (("seed", "layer"), np.outer(one, numbers[:2])),
            "curvature": ("seed", numbers[2] * one),
            "left": (("seed", "part"), np.outer(one, left)),
            "rescaled": (("seed", "scale"), np.outer(one, [0.2 * said["smaller"], 0.01, 90 * said["larger"]])),
            "best_rescaled": (("seed", "scale"), np.outer(one, [0.2, 0.01, 90])),
        },
        {"part": ["nothing", "second layer", "first layer", "change of y", "change of x"], "scale": scales},
        {"n_dims": d, "n_examples": n},
    )
    softmax = xr.DataArray(
        step.loss * np.outer([said["softmax_one"], said["softmax_two"]], one),
        {"n_heads": [1, 2], "seed": range(seeds)},
        ("n_heads", "seed"),
    )
    return table, deep, softmax, xr.DataArray([said["opposite"]] * seeds, dims="seed")


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({}, []),
        ({"one": 1.05}, [0]),
        ({"one": 0.95}, [0]),
        ({"rate": 0.9}, [1]),
        ({"outside": 0.02}, [2]),
        ({"explained": 0.9}, [3]),
        ({"rescaled": 1.2}, [4]),
        ({"shifted": 0.8}, [5]),
        ({"reordered": 0.01}, [-1]),
        ({"two": 20.0}, [7, 8]),
        ({"two": 1.2}, [8]),
        ({"same": 0.6}, [9]),
        ({"numbers": 0.88}, [10]),
        ({"deep_outside": 0.1}, [11]),
        ({"parts": 2.0}, [12]),
        ({"change_of_y": 0.1}, [12, 13]),
        ({"smaller": 1.2}, [14]),
        ({"larger": 0.9}, [15]),
        ({"larger": 1e-3}, [15]),
        ({"softmax_one": 0.99}, [16]),
        ({"softmax_two": 1.5}, [17]),
        ({"opposite": False}, [17, 18]),
    ],
)
def test_each_claim_can_fail(changed, failed):
    claims = Claims("test")
    evaluate(*table_of(**changed), claims)
    verdicts = [claim.verdict for claim in claims.claims]
    assert verdicts[6] == ("identity VIOLATED" if failed == [-1] else "identity")
    assert [k for k, verdict in enumerate(verdicts) if verdict == "FAIL"] == [k for k in failed if k >= 0]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"n_dims": 0}, "n_dims must be at least 1"),
        ({"most_examples": 0}, "most_examples must be at least 1"),
        ({"n_layers": 0}, "n_layers must be at least 1"),
        ({"n_heads": True}, "n_heads must be a whole number"),
        ({"attention": "cosine"}, "attention must be one of linear, softmax"),
        ({"n_examples": 5}, "n_examples must be at least 1 and at most 4, got 5"),
        ({"n_examples": 1.5}, "n_examples must be a whole number"),
        ({"n_examples": [1, 2]}, "n_examples must be one number"),
        ({"noise": -1.0}, "noise must"),
        ({"noise": float("nan")}, "noise"),
        ({"weight_scale": 0.0}, "weight_scale must"),
        ({"input_scale": "large"}, "input_scale"),
        ({"init_scale": -1.0}, "init_scale must"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(wrong, sentence):
    with pytest.raises(sp.ConfigError, match=sentence) as caught:
        replace(TASK, **wrong).check()
    assert "\n" not in str(caught.value)


def test_wrong_weights_tokens_and_sizes_are_refused():
    P, Q = drawn(1, 1)
    model = VectorTransformer(P, Q)
    theory = sp.theory
    cases = [
        (lambda: VectorTransformer(P, Q, attention="hard"), "attention must be one of linear, softmax"),
        (lambda: VectorTransformer(P[..., :2], Q), "P must be of shape"),
        (lambda: VectorTransformer(P, Q[..., :2]), "Q must"),
        (lambda: model(np.ones((2, 4))), "tokens must have 3 rows and two columns or more"),
        (lambda: model(np.ones((3, 1))), "tokens must have 3 rows and two columns or more"),
        (lambda: model(np.ones((3, 4)), np.ones(2)), "present must"),
        (lambda: model.layer(1, np.ones((3, 4))), "layer must be at most 0"),
        (lambda: theory.linear_attention_loss(P[0, :, :2], Q[0], 4), "P must be of shape"),
        (lambda: theory.linear_attention_loss(P[0], Q[0, :, :2], 4), "Q must"),
        (lambda: theory.one_step(0, 4), "n_dims must be at least 1"),
        (lambda: theory.one_step(2, 4, noise=-1.0), "noise must"),
        (lambda: theory.posterior_floor(2, 0), "n_examples must be at least 1"),
        (lambda: theory.posterior_floor(2, 3, draws=0), "draws must be at least 1"),
        (lambda: theory.spectral_moments(2, 3, 101), "highest must"),
        (lambda: theory.descent_loss([], n_dims=2, n_examples=3), "rates must not be empty"),
        (lambda: theory.descent_loss([0.1], [0.1, 0.2], n_dims=2, n_examples=3), "curvatures must be as many as rates"),
        (lambda: theory.best_descent(2, 3, 5), "n_steps must"),
        (lambda: theory.descent_weights([0.1], n_dims=0), "n_dims must be at least 1"),
    ]
    for call, sentence in cases:
        with pytest.raises(sp.ConfigError, match=sentence):
            call()


@pytest.mark.slow
def test_cells_keep_their_bytes_and_learn():
    config = sp.TrainConfig(steps=150, batch_size=64, history=3, learning_rate=1e-2)
    task = replace(TASK, init_scale=0.5)
    several = sp.sweep(task, config, sp.Grid(n_examples=[2, 4], seed=range(2)), block_size=2, progress=False)
    alone = sp.sweep(task, config, sp.Grid(n_examples=[4], seed=[1]), block_size=2, progress=False)
    one = several.sel(n_examples=[4], seed=[1])
    for name in ("P", "Q", "loss"):
        assert alone[name].values.tobytes() == one[name].values.tobytes()
    assert (several["loss"] < 2).all()
