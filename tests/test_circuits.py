"""Reading a circuit: the motif built by hand, what is no motif, laws of symmetry, effective weights, and ablation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import superpos as sp
from superpos.analysis.circuits import (
    Circuit,
    ablate,
    ablation,
    circuit,
    feature_lists,
    mean_jacobian,
    neuron_counts,
    single_feature_slopes,
)
from superpos.analysis.motifs import asymmetric_motifs
from superpos.models import ComputationModel

ABSOLUTE = {"target": "absolute", "tied": False, "magnitude": "signed_uniform"}

# Neuron 0 is the paper's: a = feature 0 on its positive side, b = feature 1 on its negative one. Neuron 1 inhibits output b.
# Neurons 2 and 3 complete the two absolute values.
W1 = np.array([[2, -0.5, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0]])
W2 = np.array([[0.5, 0, 1, 0], [2, -4, 0, 1], [0, 0, 0, 0]])


def built(W1, W2, b=None):
    W1, W2 = jnp.asarray(W1, float), jnp.asarray(W2, float)
    return ComputationModel(W1, W2, jnp.zeros(len(W2)) if b is None else jnp.asarray(b, float))


def motifs(W1, W2):
    return asymmetric_motifs(circuit(built(W1, W2)))


def test_the_papers_motif_is_found_with_its_inhibiting_neuron():
    (motif,) = motifs(W1, W2)
    assert (motif.neuron, motif.inhibitor, motif.primary, motif.secondary) == (0, 1, 0, 1)
    assert (motif.input_ratio, motif.output_ratio, motif.slopes) == (4, 4, (1, 1))
    assert (motif.interference, motif.cancelled) == (4, 1)


def changed(where, value, which=1):
    pair = [W1.copy(), W2.copy()]
    pair[which][where] = value
    return pair


@pytest.mark.parametrize(
    "pair",
    [
        changed((1, 1), 0),  # nobody inhibits
        changed((1, 1), -1.9),  # less than half of the interference
        changed((1, 1), 4),  # excites
        changed((1, 0), -1, which=0),  # of the other sign of feature 0
        changed((0, 0), -0.5),  # output a is inhibited
        changed((0, 0), 0.1),  # feature 0 is not served
        changed((0, 1), 0, which=0),  # feature 1 is not read
        [np.concatenate([W1, [[0, -1, 0]]]), np.concatenate([W2, [[0], [1], [0]]], axis=1)],  # b comes out twice
        [np.concatenate([W1, [[1, 0, 0]]]), np.concatenate([W2, [[0], [4], [0]]], axis=1)],  # brings the interference back
        [np.concatenate([np.eye(3), -np.eye(3)]), np.concatenate([np.eye(3)] * 2, axis=1)],  # monosemantic
        [np.array([[1, -1, 0], [1, 0, 0], [0, -1, 0]]), np.array([[1, 0, -1], [1, -1, 0], [0, 0, 0]])],  # symmetric
    ],
    ids=["none", "weak", "excites", "other sign", "inhibited", "unserved", "unread", "too much", "brought back", "mono", "even"],
)  # fmt: skip
def test_what_is_no_asymmetric_motif(pair):
    assert motifs(*pair) == []


def test_random_weights_have_none(rng):
    """Of 60 models at the scale of trained weights at most one has what looks like a motif; measured 1 in 300."""
    found = [len(motifs(rng.standard_normal((6, 10)), rng.standard_normal((10, 6)))) for _ in range(60)]
    assert np.sum(np.array(found) > 0) <= 1


def test_rescaled_neurons_are_the_same_circuit(rng):
    scale = np.exp(rng.standard_normal(4))
    one, other = circuit(built(W1, W2)), circuit(built(W1 * scale[:, None], W2 / scale))
    for a, b in zip(one, other, strict=True):
        assert_allclose(a, b, rtol=1e-5)
    assert_allclose(np.abs(one.W1).max(axis=1), 1)
    assert motifs(W1 * scale[:, None], W2 / scale)[0][:4] == (0, 1, 0, 1)
    assert_allclose(single_feature_slopes(one.W1, one.W2), single_feature_slopes(W1, W2), atol=1e-6)


def test_permuted_neurons_and_features_are_named_anew(rng):
    for _ in range(5):
        rows, columns = rng.permutation(4), rng.permutation(3)
        (motif,) = motifs(W1[rows][:, columns], W2[columns][:, rows])
        assert [rows[motif.neuron], rows[motif.inhibitor]] == [0, 1]
        assert [columns[motif.primary], columns[motif.secondary]] == [0, 1]
        flipped = W1[rows][:, columns] * [-1, 1, -1]
        assert motifs(flipped, W2[columns][:, rows])[0][:4] == motif[:4]  # signs of features are a convention here


def test_features_of_neurons():
    found = circuit(built(np.concatenate([W1, [[0, 0, 0]]]), np.concatenate([W2, [[1], [1], [1]]], axis=1)))
    assert feature_lists(found) == [[(0, 1.0), (1, -0.25)], [(0, 1.0)], [(0, -1.0)], [(1, 1.0)], []]
    assert neuron_counts(found) == (3, 1, 1)
    assert neuron_counts(found, above=0.3) == (4, 0, 1)
    silent = circuit(built(W1, W2 * [1, 1, 1, 0]))  # says nothing
    assert neuron_counts(silent).idle == 1


def test_tied_weights_are_read_from_one_parameter():
    W = np.array([[2.0, -1.0]])
    found = circuit(ComputationModel(jnp.asarray(W, float)))
    assert found.W1.tolist() == [[1, -0.5]] and found.W2.tolist() == [[4], [-2]] and found.b.tolist() == [0, 0]


def test_slopes_are_those_of_single_inputs(rng):
    A, B = rng.standard_normal((4, 3)), rng.standard_normal((3, 4))
    b = 50.0  # every output stays switched on
    model = built(A, B, [b] * 3)
    slopes = single_feature_slopes(A, B)
    for side, sign in zip(slopes, (1, -1), strict=True):
        assert_allclose(np.asarray(model(sign * jnp.eye(3))) - b, side, atol=2e-5)
    assert_allclose(single_feature_slopes(W1, W2)[0][:, 0], [1, 0, 0])


def test_the_jacobian_of_sparse_inputs_is_the_mean_slope_and_of_dense_ones_finite_differences(rng):
    A, B = rng.standard_normal((4, 3)), rng.standard_normal((3, 4))
    model = built(A, B, [50.0] * 3)
    alone = jnp.concatenate([jnp.eye(3), -jnp.eye(3)], axis=1)
    assert_allclose(mean_jacobian(model, alone), single_feature_slopes(A, B).mean(axis=0), atol=1e-5)
    x = rng.uniform(-1, 1, (3, 40))
    forward = lambda x: np.maximum(B @ np.maximum(A @ x, 0) - 0.1, 0)  # noqa: E731
    wanted = np.zeros((3, 3))
    for i in range(3):
        step = 1e-7 * np.eye(3)[:, [i]]
        wanted[:, i] = np.mean((forward(x + step) - forward(x - step)) / 2e-7 * np.sign(x[i]), axis=1)
    assert_allclose(mean_jacobian(built(A, B, [-0.1] * 3), jnp.asarray(x, float)), wanted, atol=1e-4)


@pytest.mark.slow
def test_ablation_in_closed_form():
    """Each of two |x|, p = 1: without one neuron half of the inputs lose x², E = 1/6; without both, 1/3."""
    eye = np.eye(2)
    model = built(np.concatenate([eye, -eye, 0 * eye]), np.concatenate([eye, eye, eye], axis=1))
    task = sp.tasks.Computation(n_features=2, n_hidden=6, importance=[1.0, 0.5], **ABSOLUTE)
    loss, rise = ablation(task, model, [[0], [1], [0, 2], [4, 5], []])
    standard_error = np.sqrt(1 / 5 / 2 - 1 / 36) / np.sqrt(65_536) / 2
    assert loss == 0 and rise[3] == 0 and rise[4] == 0
    assert_allclose(rise[:2], [1 / 12, 1 / 24], atol=4 * standard_error)
    assert_allclose(rise[2], 1 / 6, atol=6 * standard_error)
    assert ablation(task, model, [[0]])[1][0] == rise[0]  # the same inputs
    silent = ablate(model, [0, 2])
    x = jax.random.uniform(jax.random.key(0), (2, 9), minval=-1.0)
    assert_allclose(silent(x), np.array([[0.0], [1.0]]) * np.abs(x), atol=1e-6)


def test_a_whole_motif_costs_what_it_serves():
    """Without the inhibitor output b gets 4a wherever a > 0: E (4a)² = 16/3 · p/2 of two features, to first order in p.

    Without the pair only the two halves that it computed are lost, p/2 · 1/3 each.
    """
    task = sp.tasks.Computation(n_features=3, n_hidden=4, feature_probability=0.05, importance=[1.0, 1, 0], **ABSOLUTE)
    _, rise = ablation(task, built(W1, W2), [[0], [1], [0, 1]])
    assert_allclose(rise[1:], [0.05 / 2 * 16 / 9, 0.05 / 2 * 2 / 9], rtol=0.1)
    assert rise[0] == pytest.approx(
        rise[2], rel=0.1
    )  # the neuron alone: then the inhibitor holds down what is 0 anyway


def test_wrong_neurons_are_refused():
    task = sp.tasks.Computation(n_features=3, n_hidden=4, **ABSOLUTE)
    with pytest.raises(sp.ConfigError, match="groups: a neuron must be at most 3"):
        ablation(task, built(W1, W2), [[4]])
    with pytest.raises(sp.ConfigError, match="neurons: a neuron must be at least 0"):
        ablate(built(W1, W2), [-1])


def test_a_circuit_is_plain_arrays():
    found = circuit(built(W1, W2))
    assert isinstance(found, Circuit) and found.W1.dtype == np.float64 and found.active.all()
