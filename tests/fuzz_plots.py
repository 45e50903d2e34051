"""Calls of the plot functions that work, for `fuzz_arrays.py`: by name, with tables of the smallest size that each takes."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import superpos as sp

rng = np.random.default_rng(1)
LABELS = {
    "feature_probability": [0.1, 0.5], "relative_importance": [0.5, 2.0], "seed": [0, 1], "dictionary_ratio": [1.0, 2.0],
    "sparsity_coefficient": [0.1, 0.3], "operation": ["and", "or"], "loss_exponent": [2.0, 4.0], "n_hidden": [2, 3],
    "n_residual": [0, 4], "label_noise": [0.0, 1.0], "hidden_l1": [0.1, 1.0], "n_points": [2, 5], "attack_norm": [0.1, 0.2],
    "dedicated_features": [0, 2], "attack": ["analytic", "optimised"], "input": [-1.0, 0.0, 1.0], "source": [0, 1],
    "step": [0, 5, 9], "n_layers": [1, 2], "period": [2, 3], "network": ["2 layers", "1 layer", "1 layer, fixed period"],
    "set": ["previous-token heads", "induction heads"], "mode": ["all", "output"],
}  # fmt: skip
SIZES = {
    "feature": 3,
    "latent": 3,
    "hidden": 2,
    "neuron": 4,
    "head": 2,
    "layer": 2,
    "frequency": 4,
    "pair": 2,
    "snapshot": 3,
}


def over(*dims, attrs=None):
    """Random numbers between 0 and 1, labelled."""
    shape = [len(LABELS[d]) if d in LABELS else SIZES[d] for d in dims]
    return xr.DataArray(rng.random(shape), dims=dims, coords={d: LABELS[d] for d in dims if d in LABELS}, attrs=attrs)


def table(attrs=None, **variables):
    """A dataset of random numbers over the dimensions named for each variable, one word with commas."""
    found = {n: over(*dims.split(",")) if isinstance(dims, str) else dims for n, dims in variables.items()}
    return xr.Dataset(found, attrs=attrs)


def result():
    """Models over feature_probability, as if from elsewhere."""
    return sp.SweepResult(table(W="feature_probability,hidden,feature", loss="feature_probability"))


W = np.array([[1.0, -1.0, 0.2], [0.1, 0.3, 1.0]])
TWO = ("feature_probability", "hidden_l1")
COEFFICIENTS = ("dictionary_ratio", "sparsity_coefficient")
GROKKING = dict.fromkeys(
    ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "restricted_loss", "excluded_loss"), "step"
)
PHASES = {"phase_memorised": 1.0, "phase_circuit": 5.0, "phase_clean": 8.0}
scores = {"mcc": "sparsity_coefficient", "mcc_error": "sparsity_coefficient", "l0": "sparsity_coefficient"}
TOLD = {"task": {"kind": "toy"}, "train": {}, "grid": {"axes": []}}

PLOTS = {
    "accuracy_by_period": {"table": table(accuracy="network,seed,period", prefix_matching="network,seed,period", attrs={"shortest": 2, "longest": 3, "fixed": 3})},
    "audit_bars": {"table": xr.Dataset({"excess": ("case", [0.1, 3.0]), "share": ("case", [0.2, np.nan]), "shown": ("case", ["pentagon", "digon"]), "published_is": ("case", ["pentagon", "digon"])}, {"case": ["a", "b"]}), "same_within": 0.2},
    "benefit_by_dimensions": {"table": table(**dict.fromkeys(("best", "trained", "low", "middle", "high", "planted"), "n_hidden"))},
    "share_by_dimensions": {"table": table(share="n_hidden")},
    "winners_band": {"ranges": [(1.0, 2.0, "pentagon"), (2.0, 2.5, "2_21")], "least": 1.4},
    "by_coefficient": {"values": over(*COEFFICIENTS), "label": "a", "level": 0.5},
    "caption": {"attrs": TOLD, "text": ""},
    "coefficient_map": {"values": over(*COEFFICIENTS), "random": over("dictionary_ratio"), "band": 0.5},
    "collapse_by_density": {"table": table(collapsed="feature_probability", mean_collapsed="feature_probability", cosine="feature_probability,pair"), "count": plt.figure().gca(), "cosine": plt.figure().gca()},
    "density_keys": {"relative": over("n_hidden", "n_residual", "feature_probability")},
    "dimensionality_by_shape": {"D": over("feature_probability", "seed", "feature"), "shapes": over("feature_probability", "seed", "feature").astype(str), "jitter": 0.003, "seed": 0},
    "directions_animation": {"snapshots": rng.normal(size=(2, 3, 3)), "steps": np.arange(2), "turn": 90.0, "frames_per_second": 12},
    "directions_by_density": {"best": result(), "axes": [plt.figure().gca()], "densities": [0.1], "shapes": over("feature_probability").astype(str)},
    "embedding_circle": {"points": rng.normal(size=(5, 2)), "frequency": 1},
    "excess_map": {"excess": over("feature_probability", "relative_importance"), "agrees": over("feature_probability", "relative_importance") > 0.5},
    "family_map": {"cosine": over("feature", "latent"), "parents": (-1, 0, 0)},
    "frequency_energy": {"table": table(embedding_energy="frequency", key=("frequency", [False, True, False, False]))},
    "gate_losses": {"relative": over("operation", "feature_probability", "seed"), "linear": over("operation", "feature_probability"), "bound": over("operation", "feature_probability")},
    "gates_per_neuron": {"served": over("operation", "loss_exponent", "feature_probability", "neuron")},
    "hidden_weights": {"models": [W, W], "names": ["a", "b"]},
    "logistic_growth": {"share": rng.random((2, 4)), "rates": np.ones(2), "steps": np.arange(4), "names": ["a", "b"]},
    "loss_by_density": {"relative": over("n_hidden", "n_residual", "feature_probability"), "linear": over("n_hidden", "feature_probability")},
    "loss_by_penalty": {"loss": over(*TWO)},
    "loss_by_points": {"loss": over("n_points", "seed"), "best": xr.DataArray([0, 1], dims="n_points"), "color": "black", "label": ""},
    "loss_history": {"source": sp.SweepResult(result().dataset.assign(loss_history=(("feature_probability", "record"), rng.random((2, 3))), record_step=("record", [1, 2, 3])))},
    "loss_over_naive": {"relative": over("loss_exponent", "label_noise", "seed"), "linear": over("loss_exponent", "label_noise", "seed"), "embedded": over("loss_exponent", "seed")},
    "monosemantic_count": {"count": over("feature_probability"), "expected": {0.1: 2.0}, "close": [(0.1, 1.0)]},
    "neuron_shares": {"monosemantic": over("feature_probability"), "polysemantic": over("feature_probability")},
    "neuron_waves": {"neurons": rng.random((2, 5)), "frequencies": [1, 2]},
    "participation": {"values": {"a": over("feature_probability", "neuron")}},
    "progress_curves": {"table": table(**GROKKING, attrs=PHASES), "of": "loss", "control": over("step")},
    "recovered_directions_3d": {"directions": np.eye(3), "decoder": np.eye(3), "view": (20, 35)},
    "regime_map": {"regime": over(*TWO).round().astype(int).astype(str).str.replace("0", "dedicated").str.replace("1", "in superposition"), "ends": [0.3]},
    "relative_loss_by_density": {"relative": over("feature_probability"), "starts": over("dedicated_features", "feature_probability")},
    "removed_gain": {"table": table(removed="set,mode", heads=(("set", "layer", "head"), rng.random((2, 2, 2)) > 0.5), ov_eigenvalues="layer,head", set=LABELS["set"], mode=LABELS["mode"])},
    "repeat_loss_by_step": {"table": table(loss="n_layers,step,seed", attrs={"chance": 2.0}), "window": (1.0, 4.0)},
    "represented_by_penalty": {"count": over("hidden_l1"), "interference": over("hidden_l1"), "n_hidden": 2},
    "responses": {"response": over("feature", "input")},
    "score_by_l0": {"tables": {"relu": table(**scores)}, "score": "mcc", "names": {"relu": "ReLU"}, "ls": "-"},
    "score_by_shape": {"score": over("source", "sparsity_coefficient", "seed"), "shapes": ["pentagon", "square"]},
    "scores_by_step": {"table": table(prefix_matching="n_layers,snapshot,layer,head", previous_token="n_layers,snapshot,layer,head", uniform="n_layers,snapshot", step=("snapshot", LABELS["step"]))
, "window": (1.0, 4.0)},
    "set_colors": {"n_features": 3, "sets": ((0, 1),)},
    "set_directions": {"best": result(), "axes": [plt.figure().gca()], "densities": [0.1], "sets": ((0, 1),), "per_density": 1.0},
    "overview": {"source": np.ones((2, 3))},
    "shape_color": {"shape": "pentagon"},
    "shape_look": {"shape": "pentagon"},
    "shares_by_points": {"table": table(point_share="n_points", feature_share="n_points")},
    "superposition_by_attack_norm": {"values": over("attack_norm", "seed"), "label": "", "color": ""},
    "vulnerability_against_features": {"vulnerability": over("attack", "seed"), "features_per_dimension": over("seed")},
    "vulnerability_by_density": {"vulnerability": over("attack", "feature_probability"), "features_per_dimension": over("feature_probability")},
    "winner_bands": {"winners": [(0.0, 1.0, "pentagon")]},
}  # fmt: skip
