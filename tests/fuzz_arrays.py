"""Odd calls of every public array function, run by `test_arrays.py` in a process of its own, as users run them.

Every function of `superpos`, `.analysis`, `.theory`, `.plot` and `.data`, and most panels of experiments, have a call that
works. In turn each argument is replaced by something odd: of a fixed list, and drawn at random. The call must return numbers
(NaN only where it is documented), or raise `ConfigError` of one line. Anything else is printed, one line each;
`python fuzz_arrays.py SEED N`.
"""

import contextlib
import importlib
import inspect
import pkgutil
import sys
import tempfile
import warnings
from collections import Counter
from fractions import Fraction

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import ml_dtypes
import numpy as np
import xarray as xr
from fuzz_models import MODELS
from fuzz_plots import PLOTS
from matplotlib.animation import Animation
from matplotlib.axes import Axes
from mlir_contexts import few_contexts

import superpos as sp
import superpos.experiments
from superpos.plot.door import guarded
from superpos.tasks.trained_sequences import settings_of

few_contexts()
rng = np.random.default_rng(0)
W = np.array([[1.0, -1.0, 0.2], [0.1, 0.3, 1.0]])
b = np.array([0.0, 0.1, 0.2])
x = np.maximum(rng.normal(size=(3, 16)), 0)
h = W @ x
vector = np.array([0.5, 0.2, 0.1])
model = sp.ToyModel(jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32))
computing = sp.models.ComputationModel(jnp.asarray(W, jnp.float32))
features = sp.FeatureDistribution(n_features=3, feature_probability=0.1)
computation = sp.tasks.Computation(n_features=3, n_hidden=2)
circuit = sp.analysis.circuit(computing)
across = sp.models.Transcoder(np.eye(3), np.eye(3))
transformer = sp.models.Transformer.random(
    jax.random.key(0), n_layers=1, n_heads=1, d_model=4, d_head=2, d_vocab=5, n_positions=6
)
cells = {"feature_probability": [0.1, 0.5], "seed": [0, 1]}
tall = xr.DataArray(rng.normal(size=(2, 2, 2, 3)), dims=(*cells, "hidden", "feature"), coords=cells)
losses = xr.DataArray(rng.random((2, 2)), dims=tuple(cells), coords=cells)
plane = xr.DataArray(
    rng.random((3, 2)), dims=("feature_probability", "relative_importance"),
    coords={"feature_probability": [0.1, 0.3, 0.9], "relative_importance": [0.5, 2.0]},
)  # fmt: skip
matrix = np.asmatrix(W)
pairs = np.array([[0, 1], [1, 2], [0, 2]])

CALLS = {
    "analysis.ablate": {"model": computing, "neurons": [0]},
    "analysis.agreement": {"decoder": W, "other": W, "latents": x, "other_latents": x},
    "analysis.angle_gaps": {"W": W},
    "analysis.asymmetric_motifs": {"circuit": circuit},
    "analysis.circuit": {"model": computing},
    "analysis.cluster_agreement": {"W": np.eye(2, 5) + 1, "co_activation": 0.1 * np.eye(5) + 0.1, "n_clusters": 2, "permutations": 99, "seed": 0, "above": 0.1},
    "analysis.served_features": {"model": computing, "magnitude": 0.5, "above": 0.1},
    "analysis.collisions": {"W": W, "above": 0.5},
    "analysis.d_star": {"W": W},
    "analysis.decoder_cosines": {"decoder": W, "parts": (1, 1)},
    "analysis.decoder_overlap": {"decoder": W},
    "analysis.decoder_projection": {"decoder": W, "h": h, "n": 2, "bias": np.ones(2)},
    "analysis.dense_error": {"importances": np.eye(3), "rank": 2, "tolerance": 0.1},
    "analysis.dashboard_data": {"directions": W, "decoder": W, "x": x, "h": h, "latents": x, "reconstruction": h, "bias": b, "encoder": W.T},
    "analysis.feature_capacity": {"W": W, "dead_below": 0.1},
    "analysis.feature_dimensionality": {"W": W},
    "analysis.feature_lists": {"circuit": circuit},
    "analysis.feature_norms": {"W": W},
    "analysis.features_per_neuron": {"W": W},
    "analysis.fista": {"dictionary": W, "h": h, "coefficient": 0.1, "steps": 3},
    "analysis.frame_defect": {"W": W},
    "analysis.geometry": {"W": W},
    "analysis.hidden_loss": {"outputs": model.activate, "x": x, "importance": vector},
    "analysis.identity_error": {"importances": np.eye(3), "tolerance": 0.1},
    "analysis.interference": {"W": W},
    "analysis.latent_pairs": {"circuit": circuit},
    "analysis.live_subcomponents": {"importances": np.eye(3), "tolerance": 0.1},
    "analysis.logit_attribution": {"model": transformer, "tokens": np.arange(3), "targets": np.array([1, 2, 0])},
    "analysis.mean_jacobian": {"model": computing, "x": x},
    "analysis.mean_squared_overlap": {"W": W},
    "analysis.naive_loss": {"task": computation},
    "analysis.neuron_contributions": {"model": computing, "magnitude": 0.5},
    "analysis.neuron_counts": {"circuit": circuit},
    "analysis.neuron_has_feature": {"W": W, "above": 0.3},
    "analysis.neuron_order": {"W": W},
    "analysis.neurons_of_features": {"W": W},
    "analysis.neurons_per_feature": {"W": W},
    "analysis.norm_shares": {"decoder": W, "parts": (1, 1)},
    "analysis.packing": {"W": W},
    "analysis.phase": {"W": W},
    "analysis.phase_table": {"W": tall, "loss": losses},
    "analysis.point_dimensionality": {"H": h},
    "analysis.point_leverage": {"H": h},
    "analysis.polysemanticity": {"W": W},
    "analysis.pursuit": {"dictionary": W, "h": h},
    "analysis.linear_probe_r2": {"h": h, "y": x},
    "analysis.relative_loss": {"loss": vector, "baseline": sp.theory.naive_baseline(1, [0.3, 0.1])},
    "analysis.represented": {"W": W},
    "analysis.response_slopes": {"model": across, "directions": np.eye(3)},
    "analysis.ring_order": {"W": np.eye(2, 5) + 1, "positions": np.arange(5.0), "permutations": 99, "seed": 0, "above": 0.1},
    "analysis.roc_area": {"scores": vector, "positive": np.array([1, 0, 1])},
    "analysis.scaling_exponent": {"sizes": vector, "losses": vector, "confidence": 0.9},
    "analysis.mean_interval": {"values": vector, "confidence": 0.9},
    "analysis.share_interval": {"count": 1, "n_seeds": 4, "confidence": 0.9},
    "analysis.score_crosscoder": {"directions": W, "decoder": W, "parts": (1, 1), "given": W > 0, "used": np.array([1, 1, 0])},
    "analysis.score_manifolds": {"directions": np.eye(2), "manifolds": ("circle",), "decoder": W, "x": h, "h": h, "latents": x, "reconstruction": h},
    "analysis.benchmark_scores": {"directions": W, "decoder": W, "x": x, "h": h, "latents": x, "reconstruction": h},
    "analysis.score_sae": {"directions": W, "decoder": W, "x": x, "h": h, "latents": x, "reconstruction": h},
    "analysis.single_feature_slopes": {"W1": W, "W2": W.T},
    "analysis.slope_agreement": {"slopes": np.ones((2, 3, 3)), "others": np.ones((2, 3, 3))},
    "analysis.subcomponent_agreement": {"U": W, "V": np.eye(3), "other_U": W, "other_V": np.eye(3)},
    "analysis.subcomponent_recovery": {"W": W, "U": W, "V": np.eye(3)},
    "analysis.transcoder_circuit": {"model": across, "directions": np.eye(3), "live_above": 0.1},
    "analysis.welch_floor": {"n_features": 3, "n_hidden": 2},
    "data.one_active": {"n_features": 3},
    "data.geometric_probabilities": {"n_features": 3, "ratio": 0.9, "mean_active": 0.5},
    "data.frequencies_in_trees": {"base": vector, "parents": (-1, 0, 0)},
    "data.zipf_between": {"n_features": 3, "exponent": 0.5, "most": 0.4, "least": 0.1},
    "data.zipf_probabilities": {"n_features": 3, "exponent": 0.9, "mean_active": 0.5},
    "expected_loss": {"W": W, "b": b, "feature_probability": vector, "importance": vector},
    "feature_dimensionality": {"W": W},
    "geometry": {"W": W},
    "theory.allocation_exponents": {"alpha": 0.5, "beta": 2.0},
    "theory.optimal_allocation": {"frequencies": vector, "losses": np.array([1.0, 0.5, 0.3]), "n_latents": 2},
    "theory.power_law_allocation": {"alpha": 0.5, "beta": 2.0, "n_latents": 10.0},
    "theory.tiling_losses": {"manifold": "circle", "n_latents": 3},
    "theory.descent_loss": {"rates": [0.5], "n_dims": 2, "n_examples": 4, "noise": 0.1, "weight_scale": 1.0, "input_scale": 1.0},
    "theory.descent_weights": {"rates": [0.5], "curvatures": [0.0], "n_dims": 2},
    "theory.linear_attention_loss": {"P": np.eye(3)[None], "Q": np.eye(3)[None], "n_examples": 4.0, "noise": 0.1},
    "theory.one_step": {"n_dims": 2, "n_examples": 4, "noise": 0.1},
    "theory.posterior_floor": {"n_dims": 2, "n_examples": 4, "noise": 0.1, "draws": 10},
    "theory.spectral_moments": {"n_dims": 2, "n_examples": 4, "highest": 2},
    "theory.analytic_attack": {"model": model, "x": x, "norm": 0.1, "loss": lambda y, x: jnp.sum((y - x) ** 2, axis=0)},
    "theory.arrangement": {"shapes": "pentagon", "n_features": 6, "n_hidden": 2, "length": 1.0, "noise": 0.0, "seed": 0},
    "theory.boolean_baseline": {"n_hidden": 1, "pairs": pairs, "probability": vector, "operation": "and", "exponent": 2},
    "theory.candidate_losses": {"n_features": 2, "feature_probability": vector, "importance": vector},
    "theory.crossings": {"values": vector, "first": vector, "second": b},
    "theory.absolute_variance": {"p": 0.1},
    "theory.mixed_baseline": {"M": W, "n_hidden": 2, "p": 0.1},
    "theory.dropout_penalty": {"W": W, "features": features, "dropout_rate": 0.5, "importance": vector},
    "theory.noise_penalty": {"W": W, "hidden_noise": 0.1, "importance": vector},
    "theory.fourier_mlp": {"p": 7, "frequencies": [1, 2]},
    "theory.known_shape": {"name": "pentagon"},
    "theory.linear_control": {"n_hidden": 1, "pairs": pairs, "probability": vector, "operation": "and", "exponent": 2},
    "theory.linear_loss": {"W": W, "b": b, "features": features, "importance": vector},
    "theory.linear_vulnerability": {"W": W},
    "theory.naive_baseline": {"n_hidden": 1, "ignored": vector, "importance": vector, "solved": b * 0},
    "theory.optimal_linear_loss": {"features": features, "importance": vector, "n_hidden": 1},
    "theory.principal_losses": {"features": features},
    "theory.localised_quadratic": {"curvatures": vector, "nbeta": 10.0, "gamma": 1.0},
    "theory.product_of_powers": {"exponents": [4, 2]},
    "theory.reduced_rank_regression": {"n_inputs": 3, "n_outputs": 2, "n_hidden": 2, "rank": 1},
    "theory.sum_of_powers": {"exponents": [4, 2]},
    "theory.chosen_order": {"n_features": 3, "n_hidden": 2},
    "theory.silent_cost": {"W": W, "steps": 5},
    "theory.whole_cost": {"W": W},
    "theory.vanishing_penalty": {"importance": vector},
    "plot.ablations": {"names": ["a", "b", "c"], "rise": vector, "loss": 0.1},
    "plot.attention_pattern": {"pattern": np.eye(4)},
    "plot.basin_map": {"basin_probability": plane},
    "plot.benefit_curves": {"x": vector, "benefits": {"pentagon": vector, "digon": vector}},
    "plot.benefits_by_sparsity": {"x": vector, "curves": {"pentagon": vector, "2_21": vector}},
    "plot.trained_on_curves": {"name": "2_21", "x": vector, "benefit": vector, "share": vector},
    "plot.branches": {"curves": {"pentagon": (vector, vector)}},
    "plot.capacity_bound": {"missing": vector, "defect": vector},
    "plot.capacity_by_importance": {"importance": vector, "capacity": vector, "expected": vector},
    "plot.capacity_map": {"capacity": tall.isel(seed=0, hidden=0)},
    "plot.circuit": {"W1": W, "W2": W.T},
    "plot.d_star": {"values": losses},
    "plot.dimensionality": {"D": tall.isel(hidden=0)},
    "plot.dimensionality_levels": {"D": np.abs(h.T), "steps": np.arange(16)},
    "plot.feature_directions": {"source": W},
    "plot.feature_directions_3d": {"source": np.eye(3)},
    "plot.feature_norms": {"norms": vector, "interference": vector},
    "plot.gram": {"source": W},
    "plot.hidden_vectors": {"vectors": W},
    "plot.hysteresis": {"curves": {"up": (vector, vector)}},
    "plot.logit_map": {"logits": np.eye(4)},
    "plot.loss_steps": {"loss": vector, "steps": np.arange(3)},
    "plot.one_feature_apart": {"source": W},
    "plot.phase_map": {"norm": plane, "interference": plane},
    "plot.recovered_directions": {"directions": W, "decoder": W},
    "plot.set_gram": {"source": W, "sets": ((0, 1),)},
    "plot.shape_shares": {"shapes": losses.astype(str)},
    "plot.stacked_weights": {"source": W, "has": W > 0},
}  # fmt: skip


CALLS |= {f"plot.{name}": good for name, good in PLOTS.items()}

toy = sp.tasks.Toy(n_features=3, n_hidden=2)
around = sp.tasks.SparseAutoencoder(n_features=2, n_hidden=2, n_latents=3, manifolds=("circle",))
reader = sp.tasks.SparseAutoencoder.of_toy(toy, W, b, n_latents=3)
dictionary = sp.models.SAE(W, W.T)
apart = sp.tasks.ParameterDecomposition.of_toy(toy, W, b, n_subcomponents=3, gate_neurons=2)
network = sp.tasks.NetworkDecomposition.of_model(computing, n_subcomponents=3, gate_neurons=2)
gates = {
    "gate_in": np.ones((2, 3, 2)),
    "gate_in_bias": np.ones((2, 3, 2)),
    "gate_out": np.ones((2, 3, 2)),
    "gate_out_bias": np.ones((2, 3)),
}
subcomponents = sp.models.Decomposition(np.eye(3), W, **gates)
copying = sp.tasks.RepeatedTokens(
    d_vocab=4, n_positions=4, n_layers=1, n_heads=1, d_model=2, shortest_period=2, longest_period=2
)
weights = {"W_E": np.ones((4, 2)), "W_pos": np.ones((4, 2)), "W_U": np.ones((2, 4))}
weights |= dict.fromkeys(("W_Q", "W_K", "W_V", "W_O"), np.ones((1, 1, 2, 2)))
attention = sp.tasks.TransformerDecomposition(
    n_subcomponents=3,
    trained_on=settings_of(copying),
    positions="queries_keys",
    **{f"target_{name}": value for name, value in weights.items()},
)
of_heads = {name: np.ones((1, 1, 2, 3)) if name == "U" else np.ones((1, 1, 3, 2)) for name in "UV"}
heads = sp.models.DecomposedTransformer(
    *(dict.fromkeys(("W_Q", "W_K", "W_V", "W_O"), value) for value in of_heads.values()),
    **{name: np.ones((4, *value.shape[1:])) for name, value in gates.items()},
)
# The same by name of what they stand for: models, tasks and results that are made from arrays or called with them.
MADE = {
    "ToyModel": (lambda W, b: sp.ToyModel(W, b)(x), {"W": W, "b": b}),
    "ToyModel(…)": (lambda x, h: (model(x), model.activate(h)), {"x": x, "h": h}),
    "ComputationModel": (lambda W1, W2, b: sp.models.ComputationModel(W1, W2, b)(x), {"W1": W, "W2": W.T, "b": b}),
    "ComputationModel(…)": (lambda x: computing(x), {"x": x}),
    "BooleanModel": (sp.models.BooleanModel, {"W1": W, "b1": W[:, 0], "W2": W.T, "b2": b}),
    "MixedModel": (lambda W1, W2, b: sp.models.MixedModel(W1, W2, b)(x), {"W1": W, "W2": W.T, "b": b}),
    "ResidualMLP": (lambda W_in, W_out: sp.models.ResidualMLP(W_in, W_out, n_features=3), {"W_in": W, "W_out": W.T}),
    "DecoderMLP": (
        lambda W_in, b_in, W_out: sp.models.DecoderMLP(W_in, b_in, W_out)(x),
        {"W_in": W, "b_in": W[:, 0], "W_out": W.T},
    ),
    "VectorTransformer": (sp.models.VectorTransformer, {"P": np.ones((1, 1, 3, 3)), "Q": np.ones((1, 1, 3, 3))}),
    "SAE": (lambda **given: sp.models.SAE(**given), {"W_dec": W, "W_enc": W.T, "b_enc": b, "b_dec": W[:, 0]}),
    "Crosscoder": (
        lambda **given: sp.models.Crosscoder(**given),
        {"W_dec": W, "W_enc": W.T, "b_enc": b, "b_dec": W[:, 0], "parts": (1, 1), "n_shared": 0},
    ),
    "Transcoder": (
        lambda **given: sp.models.Transcoder(**given),
        {"W_dec": W, "W_enc": W.T, "b_enc": b, "b_dec": W[:, 0], "W_skip": np.eye(2)},
    ),
    "Transcoder(…)": (lambda h: across(h), {"h": x}),
    "of_toys": (
        lambda models, given: sp.tasks.Crosscoder.of_toys(toy, models, given, n_latents=3),
        {"models": [W, W], "given": [range(3), [2, 1, 0]]},
    ),
    "of_layer": (lambda models: sp.tasks.Transcoder.of_layer(computation, models, n_latents=3), {"models": computing}),
    "SAE(…)": (lambda h, z: (dictionary(h), dictionary.decode(z)), {"h": h, "z": x}),
    "Decomposition": (sp.models.Decomposition, {"V": np.eye(3), "U": W, **gates}),
    "DecomposedTransformer": (
        lambda U, V, **given: sp.models.DecomposedTransformer({"W_Q": U}, {"W_Q": V}, **given),
        of_heads | {name: np.ones((1, *value.shape[1:])) for name, value in gates.items()},
    ),
    "Decomposition(…)": (lambda x: subcomponents.importances(model, x), {"x": x}),
    "of_toy, apart": (
        lambda W, b: sp.tasks.ParameterDecomposition.of_toy(toy, W, b, n_subcomponents=3).check(),
        {"W": W, "b": b},
    ),
    "of_model": (
        lambda W1, W2, b: sp.tasks.NetworkDecomposition.of_model(
            sp.models.ComputationModel(W1, W2, b), n_subcomponents=3
        ).check(),
        {"W1": W, "W2": W.T, "b": b},
    ),
    "of_toy": (lambda W, b: sp.tasks.SparseAutoencoder.of_toy(toy, W, b, n_latents=3).check(), {"W": W, "b": b}),
    "Toy": (
        lambda **given: sp.tasks.Toy(n_features=3, n_hidden=2, **given).check(),
        {"feature_probability": vector, "importance": vector, "init_scale": 1.0},
    ),
    "FeatureDistribution": (
        lambda **given: sp.FeatureDistribution(n_features=3, **given).sample(jax.random.key(0), 2),
        {"feature_probability": vector, "correlation": None},
    ),
    "SweepResult": (
        lambda dataset: repr(sp.SweepResult(dataset)),
        {"dataset": xr.Dataset({"loss": losses, "W": tall})},
    ),
    "Grid": (lambda learning_rate: sp.Grid(learning_rate=learning_rate), {"learning_rate": vector}),
}
MADE |= MODELS
# Whatever these compute or draw takes long, so they meet only what they must refuse.
SLOW = {
    "analysis.ablation": {"task": computation, "model": computing, "groups": [[0]]},
    "analysis.adversarial_reconstruction": {"task": apart, "model": subcomponents},
    "analysis.dashboard_of": {"task": reader, "model": dictionary},
    "analysis.linear_probe_f1": {"h": h, "x": x},
    "analysis.optimised_attack": {"model": model, "x": x, "norm": 0.1},
    "analysis.manifolds_of": {"task": around, "model": dictionary},
    "analysis.score_autoencoder": {"task": reader, "model": dictionary},
    "analysis.score_decomposition": {"task": apart, "model": subcomponents},
    "analysis.score_network_decomposition": {"task": network, "model": subcomponents},
    "analysis.score_transformer_decomposition": {"task": attention, "model": heads},
    "analysis.vulnerability": {"model": model, "features": features, "relative_norm": 0.1},
    "explorer.explore": {"result": W},
    "theory.follow": {"W": W, "b": b, "values": vector, "feature_probability": 0.1, "importance": 1.0},
    "theory.minimise": {"W": W, "b": b, "feature_probability": vector, "importance": vector},
    "theory.class_loss": {"directions": np.eye(3), "weight_l2": 0.1},
    "theory.pair_baseline": {"target": "max", "p": 0.1, "n_pairs": 2, "n_hidden": 2},
    "theory.missing_error": {"p": 0.1},
    "theory.one_layer_floor": {"p": 0.1},
    "theory.pair_error": {"target": "max", "p": 0.1, "n_neurons": 0},
    "theory.planted_start": {"solution": W, "task": toy, "noise": 0.0},
    "theory.polish": {"W": W, "b": b, "task": sp.tasks.Toy(n_features=3, n_hidden=2, feature_probability=0.1)},
    "theory.optimum": {"n_features": 2, "feature_probability": vector, "importance": vector},
}
REFUSED = ("None", "word", "object", "dict", "nan", "complex", "minus", "objects", "words", "ragged", "empty", "no columns", "0-d object", "NaN", "Inf", "complex matrix", "masked", "structured", "dates", "keys", "foreign", "no W", "dataset", "list of None")  # fmt: skip
# What options meet: parameters with a default, which the calls that work leave out.
OF_OPTIONS = ("word", "object", "nan", "complex", "minus", "ragged", "empty", "objects", "keys", "deep")
# Take no arrays.
NOT_HERE = {
    "analysis": ("against_optimum",),
    "theory": ("boundaries", "candidates"),
    "data": ("modular_table", "random_directions", "random_subspaces", "repeated_tokens", "spread_directions", "synthsaebench", "unit_uniform"),
    "plot": ("circuit_keys", "html", "neuron_keys", "phase_keys", "save", "style", "use_style"),
}  # fmt: skip


class Foreign:
    """Has the face of an array, and fails when it is read."""

    shape, ndim, dtype = (2, 3), 2, np.dtype(float)

    def __array__(self, *_, **__):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nUse tensor.detach().numpy() instead.")


class Ours(sp.tasks.Toy):
    pass


def odd():
    """Things to put in an argument's place."""
    nothing, deep = np.full((2, 3), np.nan), 1.0
    for _ in range(200):
        deep = [deep]
    return {
        "None": None, "word": "x", "bytes": b"abc", "object": object(), "dict": {"a": 1}, "set": {1.0}, "type": float,
        "function": lambda: 1, "true": True, "nan": np.nan, "inf": -np.inf, "complex": 1 + 2j, "huge": 1e200, "minus": -1.0,
        "zero": 0, "big int": 10**30, "objects": np.array([[1, None, 2], [3, 4, 5]], object), "words": np.array([["a"] * 3] * 2),
        "ragged": [[1.0, 2.0], [3.0]], "deep ragged": [[[1.0]], [2.0]], "empty": [], "no columns": np.zeros((2, 0)),
        "no rows": np.zeros((0, 3)), "0-d": np.array(1.0), "0-d object": np.array(None), "vector": np.ones(5),
        "cube": np.ones((2, 3, 4)), "other": np.ones((7, 5)), "NaN": nothing, "one NaN": np.where(W > 0.9, np.nan, W),
        "Inf": W / np.where(W > 0.9, 0.5, np.inf) + np.where(W > 0.9, np.inf, 0), "complex matrix": W + 1j, "1e30": W * 1e30,
        "1e-30": W * 1e-30, "zeros": 0 * W, "minus W": -W, "mask": W > 0, "masked": np.ma.masked_less(W, 0.0),
        "unmasked": np.ma.masked_less(W, -9.0), "structured": np.zeros(3, [("a", float)]), "dates": np.zeros((2, 3), "M8[s]"),
        "times": np.zeros((2, 3), "m8[s]"), "swapped": W.astype(">f8"), "turned": W[::-1, ::-1], "strided": np.tile(W, 2)[:, ::2],
        "half": W.astype(np.float16), "bfloat16": W.astype(ml_dtypes.bfloat16), "long": W.astype(np.longdouble),
        "int8": W.astype(np.int8), "uint64": (W > 0).astype(np.uint64), "jax": jnp.asarray(W, jnp.bfloat16),
        "keys": jax.random.key(0), "matrix": matrix, "buffer": memoryview(np.ascontiguousarray(W)), "range": range(3),
        "tuple of arrays": tuple(W), "foreign": Foreign(), "model": model, "no W": sp.models.SAE(jnp.ones((2, 3)) / 2**0.5),
        "task": Ours(n_features=3, n_hidden=2), "features": features, "labelled": xr.DataArray(W), "dataset": xr.Dataset(),
        "bare labels": xr.DataArray(np.ones((2, 2)), dims=("a", "b")), "words labelled": losses.astype(str),
        "placeholder": jax.ShapeDtypeStruct((2, 3), jnp.float32), "list of None": [None, None], "bools": [True, False, True],
        "huge ints": [10**30, 1],  "nested list": W.tolist(), "generator": (i for i in range(3)), "deep": deep,
        "list of arrays": [jnp.ones(3), jnp.ones(3)], "list of bools": [[True, False, True]] * 2, "a bool": np.bool_(True),
        "date": np.datetime64("2020"), "frozen": np.broadcast_to(W[0], (2, 3)), "fraction": Fraction(1, 2),
    }  # fmt: skip


def drawn(rng):
    """An array at random: shape, type and content."""
    shape = tuple(int(n) for n in rng.integers(0, 5, rng.integers(0, 4)))
    kinds = ("f2", "f4", "f8", "i4", "u1", "?", "c8", ">f4", "U2")
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-40, 40)
    values = np.where(rng.random(shape) < 0.1 * rng.integers(0, 2), rng.choice([np.nan, np.inf]), values)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return values.astype(rng.choice(kinds))


def traced(function, arguments, name):
    """The call with one argument that exists only inside a transform."""

    def call(placeholder):
        jax.eval_shape(
            lambda a: [function(**{**arguments, name: a})] and a, jax.ShapeDtypeStruct(placeholder, jnp.float32)
        )

    return call


def complaint(function, arguments):
    """What is wrong with one call, or None; and how it ended."""
    for ax in arguments.values():
        if isinstance(ax, Axes):  # else legends would name what all calls before have drawn
            for artist in (*ax.lines, *ax.collections, *ax.texts):
                artist.remove()
    try:
        result = function(**arguments)
        if isinstance(result, Animation):
            result._draw_was_started = True  # or it complains of having been made for nothing
        for leaf in jax.tree.leaves(result):
            values = np.asarray(leaf) if isinstance(leaf, np.ndarray | jax.Array | float) else np.zeros(0)
            if values.dtype.kind == "f" and values.dtype.itemsize < 4:
                return f"computed in {values.dtype}", "returned"
        return None, "returned"
    except sp.ConfigError as error:
        text = str(error)
        if "\n" in text or len(text) > 400 or text[:1] in "[(<":
            return f"a sentence that is none: {text!r}", "refused"
        return None, "refused"
    except (sp.StoreError, sp.DivergedError):
        return "an error of another kind", "other"
    except BaseException as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}", "raw"


def left_out():
    """Public functions that are in none of the tables."""
    for place in ("analysis", "theory", "data", "plot"):
        for name, function in vars(getattr(sp, place)).items():
            known = {name, f"{place}.{name}"} & set(CALLS | SLOW) or name in NOT_HERE.get(place, ())
            if (
                inspect.isfunction(function)
                and function.__module__.startswith("superpos")
                and name[0] != "_"
                and not known
            ):
                yield f"{place}.{name} is in no table"


def panels():
    """Drawing functions of `superpos.experiments` by name, behind the door that those of `superpos.plot` have."""
    functions = {}
    for module in pkgutil.walk_packages(superpos.experiments.__path__, "superpos.experiments."):
        public = vars(importlib.import_module(module.name))
        own = {n: f for n, f in public.items() if inspect.isfunction(f) and f.__module__.startswith(module.name)}
        functions |= {name: guarded(function) for name, function in own.items()}
    return functions


def calls():
    """Every function by name, with arguments that work and the names of what it is to meet (None: everything)."""
    of_experiments = panels()
    for path, good in (CALLS | SLOW).items():
        function = sp
        for part in path.split("."):
            function = getattr(function, part, of_experiments.get(part))
        yield path, function, good, REFUSED if path in SLOW else None
    for path, (function, good) in MADE.items():
        yield path, function, good, None


def options(function, good):
    """Parameters with a default, but for axes to draw on."""
    parameters = inspect.signature(function).parameters.values()
    plain = (p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
    return [p.name for p in plain if p.default is not p.empty and p.name not in good and p.name != "ax"]


def main(seed, n_random):
    """Call everything with everything; print what is wrong, one line each, and on the second channel how many calls there were."""
    plt.switch_backend("agg")
    warnings.simplefilter("error")
    rng, ends = np.random.default_rng(seed), Counter()
    bad, fixed = list(left_out()), odd()
    for path, function, good, only in calls():
        drawn_on = {}
        if path.startswith("plot.") and "ax" in inspect.signature(function).parameters and not path.endswith("3d"):
            drawn_on = {"ax": plt.figure().gca()}  # one for all calls of a function: axes take longer than the call
        if only is None:
            wrong, _ = complaint(function, {**good, **drawn_on})
            bad += [f"{path}: the call that works does not: {wrong}"] * bool(wrong)
        for name in options(function, good):
            for said in OF_OPTIONS:
                wrong, how = complaint(function, {**good, **drawn_on, name: fixed[said]})
                ends[how] += 1
                bad += [f"{path}({name}={said}): {wrong}"] * bool(wrong)
        for name, usual in good.items():
            things = {**fixed, **{f"random {k}": drawn(rng) for k in range(n_random)}}
            for said, thing in things.items():
                if (only and said not in only) or (
                    callable(usual) and callable(thing) and not isinstance(usual, sp.ToyModel)
                ):
                    continue  # another function: what it does is its own affair
                wrong, how = complaint(function, {**good, **drawn_on, name: thing})
                ends[how] += 1
                bad += [f"{path}({name}={said}): {wrong}"] * bool(wrong)
            # Inside a transform there is a type and a shape to look at.
            for shape in (
                (np.shape(usual), (5,), (), (0, 3), (2, 3, 4)) if isinstance(usual, np.ndarray) and not only else ()
            ):
                wrong, how = complaint(traced(function, good, name), {"placeholder": shape})
                ends[f"{how}, traced"] += 1
                bad += [f"{path}({name} traced, {shape}): {wrong}"] * bool(wrong)
        plt.close("all")
    print("\n".join(bad))
    print(f"{sum(ends.values())} calls: {dict(ends)}; {len(bad)} complaints", file=sys.stderr)


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
    ):  # a page without a path is written where one stands
        main(*map(int, sys.argv[1:]))
