"""Print, as JSON, a digest of one small sweep of every task. Run by test_threads: threads.py CORES [TASK …].

Sizes are such that XLA cuts something: a product, or the sum over a batch. One batch of evaluation says as much of that as
the usual 128.
"""

import hashlib
import json
import os
import sys

if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])  # before JAX counts them

import jax
import numpy as np

import superpos as sp
from superpos.tasks.trained_sequences import settings_of

SHORT = sp.TrainConfig(steps=3, history=3, evaluation_samples=1_024)
DIRECTIONS = np.random.default_rng(0).standard_normal((20, 60))
COMPUTING = sp.tasks.Computation(n_features=60, n_hidden=20, feature_probability=0.1)
NEURONS = sp.models.ComputationModel(DIRECTIONS / 60**0.5)
READ = sp.tasks.Toy(n_features=60, n_hidden=20, feature_probability=0.1)
COPYING = sp.tasks.RepeatedTokens(
    d_vocab=16, n_positions=12, n_heads=1, d_model=64, shortest_period=3, longest_period=4
)


def transformer_parameters(task):
    """Random parameters of the transformer of a task, as fields of its decomposition."""
    draw, shapes = np.random.default_rng(0), jax.eval_shape(lambda: task.init(jax.random.key(0)))
    names = {"W_E", "W_pos", "W_U", "W_Q", "W_K", "W_V", "W_O"}
    weights = {f"target_{name}": 0.2 * draw.standard_normal(getattr(shapes, name).shape) for name in names}
    return {"trained_on": settings_of(task), "positions": task.positions, **weights}


TASKS = {
    "modular_addition": sp.tasks.ModularAddition(p=59),
    "modular_mlp": sp.tasks.ModularMLP(p=59),
    "toy": sp.tasks.Toy(n_features=400, n_hidden=30, feature_probability=0.1),
    "world_toy": sp.tasks.WorldToy(n_features=400, n_hidden=30, world="circle", sharpness=5.0, log_odds=-4.0),
    "noisy_toy": sp.tasks.NoisyToy(
        n_features=400, n_hidden=30, feature_probability=0.1, dropout_rate=0.2, hidden_noise=0.1
    ),
    "one_hot_toy": sp.tasks.OneHotToy(n_features=60, n_hidden=400, hidden_l1=0.01),
    "one_hot_classifier": sp.tasks.OneHotClassifier(n_features=100, n_hidden=20, weight_l2=0.01),
    "adversarial_toy": sp.tasks.AdversarialToy(n_features=100, n_hidden=20, feature_probability=0.1),
    "computation": sp.tasks.Computation(n_features=100, n_hidden=40, feature_probability=0.1),
    "double_descent": sp.tasks.DoubleDescent(n_features=200, n_hidden=10, n_points=50, most_points=50),
    "residual_mlp": sp.tasks.ResidualMLP(n_features=50, n_hidden=25),
    "boolean_pairs": sp.tasks.BooleanPairs(n_features=20, n_hidden=50, n_pairs=100),
    "feature_decoder": sp.tasks.FeatureDecoder(n_features=100, n_hidden=80, n_inputs=40, feature_probability=0.1),
    "deep_pairs": sp.tasks.DeepPairs(n_pairs=100, n_hidden=50, feature_probability=0.3),
    "pair_computation": sp.tasks.PairComputation(n_pairs=100, n_hidden=50, feature_probability=0.1),
    "sparse_autoencoder": sp.tasks.SparseAutoencoder.of_toy(READ, DIRECTIONS, n_latents=64),
    "crosscoder": sp.tasks.Crosscoder.of_toys(READ, [DIRECTIONS, DIRECTIONS[::-1]], n_latents=64, n_shared=16),
    "transcoder": sp.tasks.Transcoder.of_layer(COMPUTING, NEURONS, n_latents=64, skip=True),
    "mixed_computation": sp.tasks.MixedComputation(n_features=100, n_hidden=50, n_outputs=20, feature_probability=0.3),
    "parameter_decomposition": sp.tasks.ParameterDecomposition.of_toy(READ, DIRECTIONS, n_subcomponents=64),
    "network_decomposition": sp.tasks.NetworkDecomposition.of_model(NEURONS, n_subcomponents=64),
    "transformer_decomposition": sp.tasks.TransformerDecomposition(
        n_subcomponents=4, gate_neurons=2, **transformer_parameters(COPYING)
    ),
    "repeated_tokens": sp.tasks.RepeatedTokens(),
    "skip_trigrams": sp.tasks.SkipTrigrams(n_sources=64, n_destinations=64, n_heads=4, d_head=16, d_model=64),
    "in_context_regression": sp.tasks.InContextRegression(n_dims=20, most_examples=60, n_layers=2, init_scale=0.1),
    "list_function": sp.tasks.ListFunction(function="sorted", length=8, d_vocab=64, d_model=64, d_mlp=64),
}


def main() -> None:
    """Sweep the tasks and print what came out."""
    said = {}
    for name in sys.argv[2:] or TASKS:
        result = sp.sweep(TASKS[name], SHORT, sp.Grid(seed=[3]), block_size=1, progress=False).dataset
        values = [np.ascontiguousarray(v.values).tobytes() for v in result.data_vars.values()]
        said[name] = hashlib.sha256(b"".join(values)).hexdigest()
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
