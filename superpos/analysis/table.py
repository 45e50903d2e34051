"""What all models of a sweep learned as one labelled table: geometry of toy models, scores of dictionaries."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from superpos import arrays
from superpos.analysis.geometries import geometries
from superpos.analysis.sae_scores import SAEScores
from superpos.errors import ConfigError


def geometry_table(W: xr.DataArray, n_hidden: Any, *, positions: Any = None, **options: Any) -> xr.Dataset:
    """Geometry of every model in `W`, whose last dimensions are (hidden, feature) and whose others label models.

    Variables over models: `shape` (all components in words), `residual`, `n_represented`, `packing`, `d_star`. Variables
    over models and features: `norm`, `represented`, `interference`, `dimensionality`, `component` (its number, -1 for
    features in none) and `component_shape`. Over models and hidden units: `polysemanticity`. Models filled up with NaN,
    because others in the sweep are larger, count with their own size; `n_hidden` is a number or labelled like the models.
    Options are those of `superpos.geometry`. Where `positions` are given, one number per feature or labelled like the models
    as well, there is also `in_data_order` over models and features: whether a feature is of a ring in data order.
    """
    lead = tuple(d for d in W.dims if d not in ("hidden", "feature"))
    W = W.transpose(*lead, "hidden", "feature")
    shape = W.shape[:-2]
    values = np.nan_to_num(W.values.reshape((-1, *W.shape[-2:])), nan=0.0)
    sizes = (
        n_hidden.broadcast_like(W.isel(hidden=0, feature=0)).values if isinstance(n_hidden, xr.DataArray) else n_hidden
    )
    k = W.shape[-1]
    if isinstance(positions, xr.DataArray):
        positions = positions.broadcast_like(W.isel(hidden=0)).transpose(*lead, "feature").values.reshape(-1, k)
    elif positions is not None:
        positions = arrays.as_numpy("positions", positions, shape=(k,), finite=False)
        positions = np.broadcast_to(positions, (len(values), k))
    results = geometries(values, np.broadcast_to(sizes, shape).ravel().astype(int), positions=positions, **options)
    n, m = len(results), W.shape[-2]

    component = np.full((n, k), -1)
    component_shape = np.full((n, k), "", object)
    in_data_order = np.zeros((n, k), bool)
    poly = np.full((n, m), np.nan)
    for row, g in enumerate(results):
        poly[row, : len(g.polysemanticity)] = g.polysemanticity
        for number, c in enumerate(g.components):
            component[row, list(c.features)] = number
            component_shape[row, list(c.features)] = c.name
            in_data_order[row, list(c.features)] = c.in_data_order

    def over(inner: tuple[str, ...], array: Any) -> tuple[tuple[Any, ...], np.ndarray]:
        array = np.asarray(array)
        return (*lead, *inner), array.reshape((*shape, *array.shape[1:]))

    per_feature = {
        "norm": np.stack([g.norms for g in results]),
        "represented": np.stack([g.represented for g in results]),
        "interference": np.stack([g.interference for g in results]),
        "dimensionality": np.stack([g.dimensionality for g in results]),
        "component": component,
        "component_shape": component_shape.astype(str),
        **({} if positions is None else {"in_data_order": in_data_order}),
    }
    per_model = {
        "shape": np.array([g.name for g in results]),
        "residual": np.array([g.residual for g in results]),
        "n_represented": np.array([g.represented.sum() for g in results]),
        "packing": np.array([g.packing for g in results]),
        "d_star": np.array([g.d_star for g in results]),
    }
    variables = {name: over(("feature",), array) for name, array in per_feature.items()}
    variables |= {name: over((), array) for name, array in per_model.items()}
    variables["polysemanticity"] = over(("hidden",), poly)
    coords = {name: c for name, c in W.coords.items() if set(c.dims) <= set(lead)}
    return xr.Dataset(variables, coords, W.attrs)


# Arrays of `SAEScores` that a table has, too, and the dimension they run over.
_PER_FEATURE = ("represented", "best_cosine", "matched_latent", "matched_cosine", "feature_f1", "feature_absorption")
_PER_LATENT = ("matched_feature", "latent_precision", "latent_recall", "latent_f1", "frequency")


def sae_score_table(scores: Iterable[SAEScores | None], cells: xr.DataArray) -> xr.Dataset:
    """Scores of many sparse autoencoders, labelled like `cells`, an array of one value per model such as a result's loss.

    `scores` come in the order of `cells` (last dimension fastest), None for a model that diverged or is missing. Variables
    over models: everything in `SAEScores.scalars`. Over models and features: `represented`, `best_cosine`,
    `matched_latent`, `matched_cosine`, `feature_f1`, `feature_absorption`; over models and latents: `matched_feature`,
    `latent_precision`, `latent_recall`, `latent_f1`, `frequency`. Smaller models are filled up with NaN; where something
    may be missing, truth values and indices are numbers with NaN, too.

    Raises:
        ConfigError: there are not as many scores as cells, or no model has any.
    """
    listed = list(scores)
    if len(listed) != cells.size:
        raise ConfigError(f"scores must be as many as cells, {cells.size}, got {len(listed)}.")
    sound = [s for s in listed if s is not None]
    if not sound:
        raise ConfigError("scores must hold those of one model at least, got none.")
    columns = [{} if s is None else s.scalars() for s in listed]
    variables = {}
    for name in sound[0].scalars():
        if name in cells.coords:  # n_features or n_latents where they are axes
            continue
        values = np.array([column.get(name, np.nan) for column in columns], float)
        variables[name] = (cells.dims, values.reshape(cells.shape))
    for names, dim in ((_PER_FEATURE, "feature"), (_PER_LATENT, "latent")):
        longest = max(len(getattr(s, names[0])) for s in sound)
        for name in names:
            filled = np.full((len(listed), longest), np.nan)
            for row, s in zip(filled, listed, strict=True):
                if s is not None:
                    row[: len(getattr(s, name))] = getattr(s, name)
            variables[name] = ((*cells.dims, dim), filled.reshape((*cells.shape, longest)))
    return xr.Dataset(variables, cells.coords, cells.attrs)
