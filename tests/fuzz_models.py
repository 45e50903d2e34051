"""Calls that make models, start trainings and ask results, for `fuzz_arrays.py`: as its table `MADE`."""

import jax
import numpy as np
import xarray as xr

import superpos as sp
from superpos.sweeping.compiled import lay_out
from superpos.training import start

rng = np.random.default_rng(2)
W = np.array([[1.0, -1.0, 0.2], [0.1, 0.3, 1.0]])
x, b = np.maximum(rng.normal(size=(3, 4)), 0), np.array([0.0, 0.1, 0.2])
toy, tiny = sp.tasks.Toy(n_features=3, n_hidden=2), sp.TrainConfig(steps=1, batch_size=4, history=1)
tied, dictionary = sp.ToyModel(W, b), sp.models.SAE(W, W.T)
gates = sp.models.BooleanModel(W, W[:, 0], W.T, b)
decoder = sp.models.DecoderMLP(W, W[:, 0], W.T)
fits = sp.models.VectorTransformer(np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3)))
stream = sp.models.ResidualMLP(W, W.T, n_features=3)
reader = sp.models.Transformer.random(
    jax.random.key(0), n_layers=1, n_heads=1, d_model=4, d_head=2, d_vocab=5, n_positions=6
)
matrices = {name: getattr(reader, name)[...] for name in ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")}
cells = {"feature_probability": [0.1, 0.5], "seed": [0, 1]}
result = sp.SweepResult(xr.Dataset({"loss": xr.DataArray(rng.random((2, 2)), cells, list(cells))}))
unit = W / np.linalg.norm(W, axis=0)

MODELS = {
    "Transformer": (sp.models.Transformer, matrices),
    "Transformer(…)": (lambda tokens: reader(tokens), {"tokens": np.arange(3)}),
    "interventions": (lambda given: reader(np.arange(3), given), {"given": {"logits": np.zeros((3, 5))}}),
    "an intervention": (lambda given: reader(np.arange(3), {"logits": given}), {"given": lambda value: value}),
    "encode, decode": (lambda x, hidden: (tied.encode(x), tied.decode(hidden)), {"x": x, "hidden": W @ x}),
    "BooleanModel(…)": (lambda x: gates(x), {"x": x}),
    "ResidualMLP(…)": (lambda x: stream(x), {"x": x}),
    "DecoderMLP(…)": (lambda x: (decoder(x), decoder.hidden(x)), {"x": x}),
    "VectorTransformer(…)": (
        lambda tokens, present: (fits(tokens, present), fits.layer(0, tokens)), {"tokens": x, "present": np.ones(3)}),
    "SAE.encode": (lambda h: dictionary.encode(h), {"h": W @ x}),
    "SAE options": (lambda **given: sp.models.SAE(W, W.T, **given), {"architecture": "relu", "initial_threshold": 0.1, "unit_columns": False}),
    "SAE, topk": (lambda k: sp.models.SAE(unit, W.T, architecture="topk", k=k), {"k": 1}),
    "SAE, pursuit": (lambda k: sp.models.SAE(unit, architecture="matching_pursuit", k=k), {"k": 1}),
    "of_toy, toy": (lambda toy: sp.tasks.SparseAutoencoder.of_toy(toy, W, b, n_latents=3), {"toy": toy}),
    "init of train": (lambda init: start.starting_parameters(toy, init), {"init": W}),
    "init of sweep": (lambda init: lay_out(toy, tiny, sp.Grid(seed=[0]), block_size=2, init=init), {"init": W}),
    "vectors": (lambda given: sp.Grid(a=sp.vectors("importance", given)), {"given": [[0.5, 1.0], [1.0, 1.0]]}),
    "points": (lambda given: sp.Grid.points(given), {"given": [{"seed": 0}]}),
    "sel": (lambda seed, p: result.sel(seed=seed).sel(feature_probability=p, method="nearest"), {"seed": 0, "p": 0.1}),
    "isel, best": (lambda seed, dim: (result.isel(seed=seed), result.best(dim)), {"seed": 0, "dim": "seed"}),
}  # fmt: skip
