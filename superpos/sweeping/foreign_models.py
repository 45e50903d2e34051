"""Models that no sweep trained, as the dataset of a result: weights, a model, a run, a dataset without attributes."""

from typing import Any

import numpy as np
import xarray as xr

import superpos
from superpos import arrays
from superpos.config import to_dict
from superpos.sweeping.attributes import versions
from superpos.sweeping.variables import FORMAT
from superpos.training.loop import Run

# The kind of models of which nothing is known but their numbers.
KIND = "foreign"


def dataset_of(name: str, value: Any) -> xr.Dataset:
    """W and b of one model, a run, or weights alone, (n_hidden, n_features), with a loss that is NaN where it is unknown.

    Raises:
        ConfigError: there is no W in `value`.
    """
    W = arrays.as_numpy(name, arrays.weights_of(name, value), ndim=2, largest=arrays.MAX_WEIGHT)
    loss = np.float32(value.loss) if isinstance(value, Run) else np.float32(np.nan)
    variables: dict[str, Any] = {"W": (("hidden", "feature"), W), "loss": ((), loss)}
    model = value.model if isinstance(value, Run) else value
    if getattr(model, "W", None) is not None and getattr(model, "b", None) is not None:
        variables["b"] = (("feature",), arrays.as_numpy(f"{name}.b", model.b, shape=(W.shape[1],), finite=False))
    attrs = {}
    if isinstance(value, Run):
        attrs = {"task": to_dict(value.task), "train": to_dict(value.config), "grid": {"axes": []}}
        attrs |= {
            "superpos": superpos.__version__,
            "format": FORMAT,
            "block_size": [1],
            "versions": dict(versions()),
        }
    return described(xr.Dataset(variables, attrs=attrs))


def described(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset with what its arrays say in place of a step of divergence and of a configuration, where it has none.

    Raises:
        ConfigError: it is no dataset, has no loss, or a W without the dimensions of the loss, `hidden` and `feature`.
    """
    arrays.labelled("dataset", dataset, variables=("loss",))
    over = [str(d) for d in dataset["loss"].dims]
    if "diverged_step" not in dataset:
        healthy = np.full(dataset["loss"].shape, -1, np.int32)
        dataset = dataset.assign(diverged_step=(over, healthy))
    written = {"superpos": superpos.__version__, "format": FORMAT}
    if {"task", "train", "grid"} <= set(dataset.attrs):
        return dataset if set(written) <= set(dataset.attrs) else dataset.assign_attrs({**written, **dataset.attrs})
    task: dict[str, Any] = {"kind": KIND}
    if "W" in dataset:
        arrays.labelled("dataset's W", dataset["W"], (*over, "hidden", "feature"), values=True)
        task |= {"n_features": int(dataset.sizes["feature"]), "n_hidden": int(dataset.sizes["hidden"])}
    axes = [{"name": d, "field": d, "rule": "value", "index": 0} for d in over if d in dataset.coords]
    attrs = {**written, "task": task, "train": {}, "grid": {"axes": axes}}
    return dataset.assign_attrs({**attrs, **dataset.attrs})
