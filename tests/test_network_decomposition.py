"""Networks that compute, taken apart: against an independent twin in NumPy, by closed forms, and by the laws of sweeps."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from new_decompositions import model_of
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.config import task_from_dict, to_dict
from superpos.models.decomposition import Decomposition
from superpos.models.linear import own_linear
from superpos.tasks.base import materialize
from superpos.training.optimizers import named_leaves

N, M, D, C, NEURONS, BATCH = 4, 3, 5, 6, 2, 7
RNG = np.random.default_rng(11)
W1, W2, B = RNG.standard_normal((2, M, N)), RNG.standard_normal((2, N, M)), 0.3 * RNG.standard_normal((2, N))
W_IN, W_OUT = RNG.standard_normal((2, M, D)), RNG.standard_normal((2, D, M))
WEIGHTS = np.array([1.5, 0.6, 0.4, 0.2])  # of the four losses
SHARED = {"n_features": N, "n_hidden": M, "n_subcomponents": C, "gate_neurons": NEURONS, "source": 1}
SHARED |= {"feature_probability": 0.5, "magnitude": "signed_uniform", "p_norm": 0.7}
SHARED |= dict(
    zip(("faithfulness_coefficient", "stochastic_coefficient", "layerwise_coefficient"), WEIGHTS, strict=False)
)
SHARED |= {"minimality_coefficient": WEIGHTS[3]}
RESIDUAL = {"network": "residual_mlp", "target_W": W_IN, "target_W_out": W_OUT, "n_residual": D}
NETWORKS = {
    "computation": {"target_W": W1, "target_W_out": W2, "target_b": B},
    "tied": {"target_W": W1, "target_b": B, "tied": True, "gate": "shared"},
    "SoLU without bias": {"target_W": W1, "target_W_out": W2, "hidden_activation": "solu"},
    "residual MLP": RESIDUAL,
    "without embedding": {"network": "residual_mlp", "target_W": W1, "target_W_out": W2},
}
TASKS = {name: sp.tasks.NetworkDecomposition(**SHARED, **fields) for name, fields in NETWORKS.items()}


# --- the twin: one input at a time -------------------------------------------------------------------------------------


def twin_forward(name, first, second, b, W_E, x):
    """(what the first matrix reads, what the second reads, output), given functions for the two matrices."""
    if W_E is not None:
        stream = W_E @ x
        h = np.maximum(first(stream), 0)
        return stream, h, W_E.T @ (stream + second(h))
    a = first(x)
    h = a * np.exp(a) / np.exp(a).sum() if "SoLU" in name else np.maximum(a, 0)
    return x, h, np.maximum(second(h) + b, 0)


def twin_terms(name, task, p, x, r, W_E):
    """The four losses, from parameters by name, inputs (feature, input) and uniform numbers (matrix, C, input)."""
    fields = NETWORKS[name]
    A = fields["target_W"][1]
    matrices = [A, A.T if task.tied else fields["target_W_out"][1]]
    b = fields["target_b"][1] if "target_b" in fields else np.zeros(N)
    pairs = [(p["U"], p["V"]), (p["V"].T, p["U"].T) if task.tied else (p["U_out"], p["V_out"])]
    missing = sum(np.sum((m - u @ v) ** 2) for m, (u, v) in zip(matrices, pairs, strict=True))
    faithfulness, stochastic, layerwise, minimality = missing / sum(m.size for m in matrices), 0.0, 0.0, 0.0
    for k in range(x.shape[1]):
        own = [lambda a, m=m: m @ a for m in matrices]
        *read, output = twin_forward(name, own[0], own[1], b, W_E, x[:, k])
        masked = []
        for l, (u, v) in enumerate(pairs):
            inner, raw = v @ read[l], np.array(p["gate_out_bias"][l])
            for c in range(C):
                for j in range(NEURONS):
                    seen = p["gate_in"][l, j] @ inner if task.gate == "shared" else p["gate_in"][l, c, j] * inner[c]
                    seen += p["gate_in_bias"][l, j] if task.gate == "shared" else p["gate_in_bias"][l, c, j]
                    raw[c] += p["gate_out"][l, c, j] * seen * 0.5 * (1 + math.erf(seen / math.sqrt(2)))
            upper = [min(max(g, 0), 1) if g <= 1 else 1 + 0.01 * (g - 1) for g in raw]
            minimality += sum((g + 1e-12) ** task.p_norm for g in upper) / x.shape[1]
            lower = np.array([0.01 * g if g < 0 else min(g, 1) for g in raw])
            mask = lower + (1 - lower) * r[l, :, k]
            masked.append(lambda a, u=u, v=v, mask=mask: u @ np.diag(mask) @ v @ a)
        for first, second, share in ((0, 1, None), (0, None, 2), (None, 1, 2)):
            chosen = [masked[0] if first == 0 else own[0], masked[1] if second == 1 else own[1]]
            error = np.mean((twin_forward(name, chosen[0], chosen[1], b, W_E, x[:, k])[2] - output) ** 2) / x.shape[1]
            if share is None:
                stochastic += error
            else:
                layerwise += error / share
    return np.array([faithfulness, stochastic, layerwise, minimality])


def inputs(seed=3):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (N, BATCH)) * (rng.random((N, BATCH)) < 0.6), rng.random((2, C, BATCH))


def embedding_of(name, task):
    if "W_in" not in task.target.matrices:
        return None
    return np.eye(N) if name == "without embedding" else np.asarray(task.target.embedding(), float)


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_are_those_of_the_twin(eager, name):
    task = materialize(TASKS[name])
    model, (x, r) = model_of(task), inputs()
    parameters = {k: np.asarray(leaf) for k, leaf in named_leaves(model)}
    ours = np.array(task.terms(model, jnp.asarray(x), jnp.asarray(r)), float)
    assert_allclose(ours, twin_terms(name, task, parameters, x, r, embedding_of(name, task)), rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["computation", "residual MLP"])
def test_the_gradient_is_that_of_finite_differences_of_the_twin(eager, name):
    task = materialize(TASKS[name])
    model, (x, r) = model_of(task), inputs()

    def loss(model):
        return jnp.dot(jnp.stack(task.terms(model, jnp.asarray(x), jnp.asarray(r))), WEIGHTS)

    gradient = dict(named_leaves(jax.grad(loss)(model)))
    parameters, rng = {k: np.array(leaf) for k, leaf in named_leaves(model)}, np.random.default_rng(0)
    for leaf, values in parameters.items():
        at, step, sides = tuple(rng.integers(size) for size in values.shape), 1e-6, []
        for sign in (1, -1):
            moved = {k: v.copy() for k, v in parameters.items()}
            moved[leaf][at] += sign * step
            sides.append(WEIGHTS @ twin_terms(name, task, moved, x, r, embedding_of(name, task)))
        assert_allclose(gradient[leaf][at], (sides[0] - sides[1]) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_its_forward_pass_with_its_own_matrices(eager, name):
    target, (x, _) = materialize(TASKS[name]).target, inputs()
    own = own_linear(target.matrices)
    assert_allclose(target.forward(jnp.asarray(x), own), target(jnp.asarray(x)), rtol=1e-12)
    seen = []
    target.forward(jnp.asarray(x), lambda name, a: seen.append(name) or own(name, a))
    assert seen == list(target.matrices)  # each once, in this order


def test_weights_that_met_the_embedding_say_the_same_of_features(eager):
    """The network's output, importances, and what masks and the rest give; without an embedding nothing is changed."""
    task = materialize(TASKS["residual MLP"])
    model, (x, r) = model_of(task), inputs()
    target, narrow = task.in_features(model)
    assert narrow.V.shape == (C, N) and narrow.U_out.shape == (N, C)
    x, r, rest = jnp.asarray(x), jnp.asarray(r), jnp.asarray(RNG.random((2, BATCH)))
    assert_allclose(target.forward(x, own_linear(target.matrices)), task.target(x), rtol=1e-12)
    assert_allclose(narrow.importances(target, x), model.importances(task.target, x), rtol=1e-10)
    assert_allclose(narrow.output(target, x, r, rest), model.output(task.target, x, r, rest), rtol=1e-10)
    for plain in (TASKS["without embedding"], TASKS["computation"]):
        task, model = materialize(plain), model_of(materialize(plain))
        assert task.in_features(model)[1] is model


def exact(W, W_out, importance):
    """One subcomponent for every entry that a matrix reads, and networks that say the same importance for every input."""
    U, V, U_out, V_out = np.zeros((M, C)), np.zeros((C, N)), np.zeros((N, C)), np.zeros((C, M))
    U[:, :N], V[:N], U_out[:, :M], V_out[:M] = W, np.eye(N), W_out, np.eye(M)
    zeros = jnp.zeros((2, C, NEURONS))
    bias = jnp.full((2, C), importance)
    return Decomposition(V, U, zeros, zeros, zeros, bias, V_out=V_out, U_out=U_out)


def test_closed_forms_of_an_exact_decomposition(eager):
    task = materialize(TASKS["computation"])
    x, r = (jnp.asarray(a) for a in inputs())
    unmasked = task.terms(exact(W1[1], W2[1], 1.0), x, r)
    assert_allclose(np.array(unmasked, float), [0, 0, 0, 2 * C], atol=1e-10)
    assert_allclose(exact(W1[1], W2[1], 0.3).importances(task.target, x), 0.3)
    free, masks = task.terms(exact(W1[1], W2[1], 0.0), x, r), np.asarray(r)  # masks are r
    clean = np.maximum(W2[1] @ np.maximum(W1[1] @ x, 0) + B[1][:, None], 0)
    h = np.maximum(W1[1] @ (masks[0, :N] * x), 0)
    y = np.maximum(W2[1] @ (masks[1, :M] * h) + B[1][:, None], 0)
    assert_allclose(float(free.stochastic), np.mean((y - clean) ** 2), rtol=1e-10)


# --- tasks of trained networks ----------------------------------------------------------------------------------------

SHORT = sp.TrainConfig(steps=4, batch_size=16, evaluation_samples=8, history=2)


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("name", ["computation", "residual MLP"])
def test_a_cell_alone_has_the_same_bytes_and_sources_share_the_program(name):
    task = dataclasses.replace(TASKS[name], source=0, final_p_norm=0.5, stratified=True)
    grid = sp.Grid(source=[0, 1], minimality_coefficient=[0.1, 0.2], seed=[0, 1])
    together = sp.sweep(task, SHORT, grid, block_size=2, progress=False)
    alone = sp.Grid(source=[1], minimality_coefficient=[0.2], seed=[1])
    alone = sp.sweep(task, SHORT, alone, block_size=2, progress=False)
    cell = together.sel(source=1, minimality_coefficient=0.2, seed=1)
    for leaf in ("U", "V", "U_out", "V_out", "gate_in", "loss", "layerwise_history"):
        assert_array_equal(np.asarray(cell[leaf]), np.asarray(alone[leaf]).squeeze())
    other = together.sel(source=0, minimality_coefficient=0.2, seed=1)
    assert np.any(np.asarray(other["U"]) != np.asarray(cell["U"]))
    assert together["V"].dims[-1] == ("residual" if name == "residual MLP" else "feature")
    words = "parameters of 2 residual MLPs" if name == "residual MLP" else "parameters of 2 networks"
    assert words in sp.plot.caption(together.attrs, "")


@pytest.mark.slow
def test_of_model_takes_the_network_and_its_inputs():
    task = sp.tasks.ResidualMLP(n_features=N, n_hidden=M, n_residual=D, feature_probability=0.2, embedding_seed=3)
    run = sp.train(task, SHORT, seed=0)
    of_run = sp.tasks.NetworkDecomposition.of_model(run, n_subcomponents=C)
    assert (of_run.network, of_run.n_residual, of_run.embedding_seed) == ("residual_mlp", D, 3)
    assert (of_run.feature_probability, of_run.magnitude) == (0.2, "signed_uniform")
    x = jnp.eye(N)
    assert_allclose(materialize(of_run).target(x), run.model(x), rtol=1e-6)
    swept = sp.sweep(task, SHORT, sp.Grid(seed=[0, 1]), progress=False)
    both = sp.tasks.NetworkDecomposition.of_model([swept.isel(seed=k) for k in (0, 1)], n_subcomponents=C, source=1)
    assert_allclose(materialize(both).target(x), swept.isel(seed=1).model()(x), rtol=1e-6)
    for one in (of_run, both):
        one.check()


def test_of_model_takes_models_alone():
    untied = sp.models.ComputationModel(W1[0], W2[0], B[0], hidden_activation="gelu")
    task = sp.tasks.NetworkDecomposition.of_model(untied, n_subcomponents=C, feature_probability=0.3)
    assert (task.hidden_activation, task.tied, task.feature_probability) == ("gelu", False, 0.3)
    tied = sp.tasks.NetworkDecomposition.of_model([sp.models.ComputationModel(w) for w in W1], n_subcomponents=C)
    assert tied.tied and tied.target_W.shape == (2, M, N) and tied.target_W_out is None
    assert_array_equal(materialize(tied).matrices[1], W1[0].T.astype(np.float32))
    for one in (task, tied):
        one.check()
    for wrong in (3, sp.ToyModel(W1[0]), [untied, 3]):
        with pytest.raises(sp.ConfigError, match="model must be a ComputationModel or a ResidualMLP, a run or"):
            sp.tasks.NetworkDecomposition.of_model(wrong, n_subcomponents=C)
    with pytest.raises(sp.ConfigError, match="model must be a list of networks of one kind and shape"):
        sp.tasks.NetworkDecomposition.of_model([untied, sp.models.ComputationModel(W1[0])], n_subcomponents=C)
    with pytest.raises(sp.ConfigError, match="got an empty list"):
        sp.tasks.NetworkDecomposition.of_model([], n_subcomponents=C)


GIVEN = "weights of the network, of shape"
WRONG = {
    "n_subcomponents must be at least 1, got 0.": {"n_subcomponents": 0},
    "p_norm must be above 0 and at most 100, got 0.": {"p_norm": 0.0},
    "target_W must be finite, got nan.": {"target_W": W_IN[0] * np.nan},
    "target_W_out must be finite, got nan.": {"target_W_out": W_OUT[0] * np.nan},
    "target_W must have shape (3, 5), or several such, as many as target_W, got (5, 3).": {"target_W": W_IN[0].T},
    "target_W_out must have shape (5, 3), or several such, as many as target_W, got (2, 5, 3).": {"target_W_out": W_OUT},
    f"target_W must be given: {GIVEN} (3, 5).": {"target_W": None},
    f"target_W_out must be given: {GIVEN} (5, 3).": {"target_W_out": None},
    "source must be below 1, the number of targets, got 1.": {"source": 1},
    "network must be one of computation, residual_mlp, got 'toy'.": {"network": "toy"},
    "tied, target_b and hidden_activation must be left out: a residual MLP has none of them.": {"tied": True},
    "n_residual must be 0 for a network that is no residual MLP: it has no stream.": {"network": "computation"},
    "target_W_out must be left out where tied is true: it is that of target_W.": {
        "network": "computation", "n_residual": 0, "tied": True, "target_W": W1[0], "target_W_out": W2[0]
    },
}  # fmt: skip


@pytest.mark.parametrize("sentence", WRONG)
def test_bad_input_is_one_sentence(sentence, unchecked):
    fields = SHARED | RESIDUAL | {"source": 0, "target_W": W_IN[0], "target_W_out": W_OUT[0]} | WRONG[sentence]
    task = sp.tasks.NetworkDecomposition(**fields)
    with pytest.raises(sp.ConfigError) as error:
        sp.sweep(task, SHORT, sp.Grid(seed=[0]), progress=False)
    assert str(error.value) == sentence


# --- scores -----------------------------------------------------------------------------------------------------------


def steps(V, U, V_out, U_out, always):
    """Subcomponents whose importance is 1 where their inner activation is above 0, of the second matrix all if `always`."""
    n, k = len(V), 1e3  # GELU(kh − 10) − GELU(kh − 11) is 0 up to h = 0 and then 1
    gate_in, bias = np.broadcast_to(k * np.ones(2), (2, n, 2)), np.broadcast_to([-10.0, -11.0], (2, n, 2))
    out = np.zeros((2, n, 2)) + np.array([1.0, -1.0])
    out[1] *= not always
    return Decomposition(
        V, U, gate_in, bias, out, np.stack([np.zeros(n), np.full(n, 1.0 * always)]), V_out=V_out, U_out=U_out
    )


@pytest.mark.slow
@pytest.mark.parametrize("residual", [False, True])
def test_scores_of_a_block_and_of_one_part_for_every_feature(unchecked, residual):
    """Features read by a part each; the second matrix is its two neurons, which all inputs need or those that excite them."""
    n, m = 3, 2
    first, second = np.array([[1.0, -1.0, 0.5], [0.0, 1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    sizes = {"n_features": n, "n_hidden": m, "n_subcomponents": 4, "gate_neurons": 2, "feature_probability": 0.3}
    sizes["magnitude"] = "constant"  # so that no inner activation lies on the slope of a step
    D, network = np.eye(n), {"network": "residual_mlp", "n_residual": 0}
    if residual:  # the stream is turned, and everything that reads or writes it
        network |= {"n_residual": 5, "embedding_seed": 2}
        D = np.asarray(
            sp.models.ResidualMLP(
                np.ones((m, 5)), np.ones((5, m)), n_features=n, n_residual=5, embedding_seed=2
            ).embedding()
        )
    reads = np.linalg.pinv(D)  # (n, stream)
    task = sp.tasks.NetworkDecomposition(target_W=first @ reads, target_W_out=reads.T @ second, **sizes, **network)
    V, U = np.zeros((4, D.shape[0])), np.zeros((m, 4))
    V[[2, 0, 3]], U[:, [2, 0, 3]] = reads, first
    V_out, U_out = np.zeros((4, m)), np.zeros((D.shape[0], 4))
    V_out[:2], U_out[:, :2] = np.eye(m), reads.T @ second
    block = sp.analysis.score_network_decomposition(task, steps(V, U, V_out, U_out, always=True), n_inputs=64)
    assert (block.live_first, block.one_each, block.first_error) == (n, n, 0)
    assert_allclose([block.mmcs, block.ml2r, block.together], 1, rtol=1e-5)
    assert (block.live_second, block.always, block.always_rank) == (4, 4, m)  # the bias counts empty ones, too
    assert block.second_error == 2 * n  # which are two too many for every input
    assert_allclose([block.faithfulness, block.stochastic], 0, atol=1e-10)
    assert block.without > 0.01
    apart = sp.analysis.score_network_decomposition(task, steps(V, U, V_out, U_out, always=False), n_inputs=64)
    assert (apart.live_second, apart.always, apart.always_rank, apart.second_error) == (m, 0, 0, 0)
    assert_allclose([apart.together, apart.excited], (1 + 1 + 2) / (m * n))  # neurons that each feature excites
    assert (apart.neuron_cosine, apart.neurons_read) == (1, m)
    turned = V_out.copy()
    turned[:2] = np.array([[0.6, 0.8], [-0.8, 0.6]])  # of the block, which then reads no neuron by itself
    mixed = sp.analysis.score_network_decomposition(task, steps(V, U, turned, U_out, always=True), n_inputs=64)
    assert_allclose(mixed.neuron_cosine, 0.8)
    assert mixed.neurons_read == 0
    assert_allclose([apart.stochastic, apart.adversarial], 0, atol=1e-10)
    shared = V.copy()
    shared[2] += shared[0]
    both = sp.analysis.score_network_decomposition(task, steps(shared, U, V_out, U_out, always=False), n_inputs=64)
    assert (both.one_each, both.first_error) == (1, 1)  # of two features one needs two, the other shares its own
    assert "1 of 3 features have one of their own" in repr(both) and set(both.scalars()) >= {"together", "without"}


def test_each_kind_of_decomposition_has_scores_of_its_own():
    toy = sp.tasks.ParameterDecomposition(n_features=N, n_hidden=M, n_subcomponents=C, target_W=W1[0])
    with pytest.raises(sp.ConfigError, match="task must be a NetworkDecomposition, got"):
        sp.analysis.score_network_decomposition(toy, exact(W1[0], W2[0], 1.0))
    task = dataclasses.replace(TASKS["residual MLP"], source=0)
    with pytest.raises(sp.ConfigError, match="task must be a ParameterDecomposition, got NetworkDecomposition"):
        sp.analysis.score_decomposition(task, model_of(materialize(task)))
    with pytest.raises(sp.ConfigError, match=r"model must be a Decomposition of 2 matrices, with V of shape \(6, 5\)"):
        sp.analysis.score_network_decomposition(task, exact(W1[0], W2[0], 1.0))


def test_settings_that_networks_had_once_are_read_and_no_others(unchecked):
    """As stores have them that were written while identity layers and activations were fields of every decomposition."""
    task = TASKS["residual MLP"]
    data = to_dict(task) | {"identity_layers": 0, "activation": "relu"}
    assert to_dict(task_from_dict(data)) == to_dict(task)
    for name, value in (("identity_layers", 1), ("activation", "identity")):
        with pytest.raises(sp.ConfigError, match=f"task has no field '{name}'"):
            task_from_dict(data | {name: value})
