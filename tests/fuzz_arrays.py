"""Odd calls of every public array function, run by `test_arrays.py` in a process of its own, as users run them.

Every function of `superpos`, `.analysis`, `.theory`, `.plot` and `.data` has a call that works. In turn each argument is
replaced by something odd: of a fixed list, and drawn at random. The call must return numbers (NaN only where it is
documented), or raise `ConfigError` of one line. Anything else is printed, one line each; `python fuzz_arrays.py SEED N`.
"""

import sys
import warnings
from collections import Counter

warnings.simplefilter("error")

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import ml_dtypes
import numpy as np
import xarray as xr

import superpos as sp

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
found = sp.analysis.circuit(computing)
cells = {"feature_probability": [0.1, 0.5], "seed": [0, 1]}
tall = xr.DataArray(rng.normal(size=(2, 2, 2, 3)), dims=(*cells, "hidden", "feature"), coords=cells)
losses = xr.DataArray(rng.random((2, 2)), dims=tuple(cells), coords=cells)
pairs = np.array([[0, 1], [1, 2], [0, 2]])

CALLS = {
    "analysis.ablate": dict(model=computing, neurons=[0]),
    "analysis.angle_gaps": dict(W=W),
    "analysis.asymmetric_motifs": dict(found=found),
    "analysis.circuit": dict(model=computing),
    "analysis.d_star": dict(W=W),
    "analysis.dashboard_data": dict(directions=W, decoder=W, x=x, h=h, latents=x, reconstruction=h, bias=b, encoder=W.T),
    "analysis.feature_capacity": dict(W=W, dead_below=0.1),
    "analysis.feature_dimensionality": dict(W=W),
    "analysis.feature_lists": dict(found=found),
    "analysis.feature_norms": dict(W=W),
    "analysis.features_per_neuron": dict(W=W),
    "analysis.frame_defect": dict(W=W),
    "analysis.geometry": dict(W=W),
    "analysis.hidden_loss": dict(outputs=model.activate, x=x, importance=vector),
    "analysis.interference": dict(W=W),
    "analysis.mean_jacobian": dict(model=computing, x=x),
    "analysis.naive_loss": dict(task=computation),
    "analysis.neuron_counts": dict(found=found),
    "analysis.neuron_has_feature": dict(W=W, above=0.3),
    "analysis.neuron_order": dict(W=W),
    "analysis.packing": dict(W=W),
    "analysis.phase": dict(W=W),
    "analysis.phase_table": dict(W=tall, loss=losses),
    "analysis.point_dimensionality": dict(H=h),
    "analysis.point_leverage": dict(H=h),
    "analysis.polysemanticity": dict(W=W),
    "analysis.pursuit": dict(dictionary=W, h=h),
    "analysis.relative_loss": dict(loss=vector, baseline=sp.theory.naive_baseline(1, [0.3, 0.1])),
    "analysis.represented": dict(W=W),
    "analysis.score_dictionary": dict(directions=W, decoder=W, x=x, h=h, latents=x, reconstruction=h),
    "analysis.single_feature_slopes": dict(W1=W, W2=W.T),
    "data.geometric_probabilities": dict(n_features=3, ratio=0.9, mean_active=0.5),
    "data.zipf_probabilities": dict(n_features=3, exponent=0.9, mean_active=0.5),
    "expected_loss": dict(W=W, b=b, feature_probability=vector, importance=vector),
    "feature_dimensionality": dict(W=W),
    "geometry": dict(W=W),
    "theory.analytic_attack": dict(model=model, x=x, norm=0.1, loss=lambda y, x: jnp.sum((y - x) ** 2, axis=0)),
    "theory.boolean_baseline": dict(n_hidden=1, pairs=pairs, probability=vector, operation="and", exponent=2),
    "theory.candidate_losses": dict(n_features=2, feature_probability=vector, importance=vector),
    "theory.crossings": dict(values=vector, first=vector, second=b),
    "theory.linear_control": dict(n_hidden=1, pairs=pairs, probability=vector, operation="and", exponent=2),
    "theory.linear_loss": dict(W=W, b=b, features=features, importance=vector),
    "theory.linear_vulnerability": dict(W=W),
    "theory.naive_baseline": dict(n_hidden=1, ignored=vector, importance=vector, solved=b * 0),
    "theory.optimal_linear_loss": dict(features=features, importance=vector, n_hidden=1),
    "theory.vanishing_penalty": dict(importance=vector),
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
    nothing = np.full((2, 3), np.nan)
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
        "keys": jax.random.key(0), "matrix": np.matrix(W), "buffer": memoryview(np.ascontiguousarray(W)), "range": range(3),
        "tuple of arrays": tuple(W), "foreign": Foreign(), "model": model, "no W": sp.models.SAE(jnp.ones((2, 3))),
        "task": Ours(n_features=3, n_hidden=2), "features": features, "labelled": xr.DataArray(W), "dataset": xr.Dataset(),
        "bare labels": xr.DataArray(np.ones((2, 2)), dims=("a", "b")), "words labelled": losses.astype(str),
        "placeholder": jax.ShapeDtypeStruct((2, 3), jnp.float32), "list of None": [None, None], "bools": [True, False, True],
        "huge ints": [10**30, 1], "column": W[:, :1], "row": W[:1], "nested list": W.tolist(), "generator": (i for i in range(3)),
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


def complaint(function, arguments, name):
    """What is wrong with one call, or None; and how it ended."""
    try:
        result = function(**arguments)
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
    finally:
        plt.close("all")


def main(seed, n_random):
    rng, ends = np.random.default_rng(seed), Counter()
    bad = []
    for path, good in CALLS.items():
        function = sp
        for part in path.split("."):
            function = getattr(function, part)
        wrong, _ = complaint(function, good, "")
        if wrong:
            bad.append(f"{path}: the call that works does not: {wrong}")
        for name in good:
            things = {**odd(), **{f"random {k}": drawn(rng) for k in range(n_random)}}
            for said, thing in things.items():
                if callable(good[name]) and callable(thing) and not isinstance(good[name], sp.ToyModel):
                    continue  # another function: what it does is its own affair
                wrong, how = complaint(function, {**good, name: thing}, name)
                ends[how] += 1
                if wrong:
                    bad.append(f"{path}({name}={said}): {wrong}")
    print("\n".join(bad))
    print(f"{sum(ends.values())} calls: {dict(ends)}; {len(bad)} complaints", file=sys.stderr)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
