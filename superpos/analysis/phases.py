"""What became of one feature: ignored, dedicated, or in superposition, by the paper's two numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos import arrays, check
from superpos.analysis.features import feature_norms, interference
from superpos.analysis.restarts import REACHED_WITHIN, reached
from superpos.errors import ConfigError
from superpos.theory.phases import optimum

PHASES = ("ignored", "dedicated", "in superposition")

# A feature is represented above half of unit length, and shares its direction when others reach a quarter of unit power
# along it. Solutions jump between phases, so a diagram hardly depends on either (Elhage et al. 2022, "Superposition as a
# Phase Change").
REPRESENTED_ABOVE = 0.5
SHARED_ABOVE = 0.25

DIVERGED = "diverged"


def phase(
    W: Any, feature: int = -1, *, represented_above: float = REPRESENTED_ABOVE, shared_above: float = SHARED_ABOVE
) -> str:
    r"""Phase of one feature of one model, `W` of shape (n_hidden, n_features).

    "ignored" if $\|W_i\|$ is at most `represented_above`; else "in superposition" if the interference
    $\sum_{j \ne i} (\hat W_i \cdot W_j)^2$ exceeds `shared_above`; else "dedicated". Elhage et al. 2022, "Superposition as a
    Phase Change".

    Raises:
        ConfigError: W is not a matrix, or has no such feature.
    """
    W = arrays.as_numpy("W", arrays.weights_of("W", W), ndim=2, largest=arrays.MAX_WEIGHT)
    _check_feature(feature, W.shape[1])
    check.number("represented_above", represented_above, at_least=0, at_most=arrays.MAX_WEIGHT)
    check.number("shared_above", shared_above, at_least=0, at_most=arrays.MAX_WEIGHT)
    norm, shared = (np.asarray(x)[feature] for x in _two_numbers(W))
    return str(_named(norm, shared, represented_above, shared_above))


def phase_table(
    W: xr.DataArray,
    loss: xr.DataArray,
    *,
    feature: int = -1,
    dim: str = "seed",
    same_within: float = REACHED_WITHIN,
    represented_above: float = REPRESENTED_ABOVE,
    shared_above: float = SHARED_ABOVE,
) -> xr.Dataset:
    """Phases over a sweep: the best of the restarts along `dim`, and the share of restarts that found as good a solution.

    `W` has dims (…, hidden, feature), `loss` the dims of the models. Variables over the remaining dims: `loss` of the best
    restart, `norm` and `interference` of the chosen feature in it, `phase`, and `basin_probability`, the share of all
    restarts whose loss is within `same_within` of the best (a diverged one counts as a miss; where all diverged the phase
    is "diverged"). A mixed cell is never averaged: the mean of two solutions is none.

    Raises:
        ConfigError: there is no such dimension or feature.
    """
    arrays.labelled("W", W, ("hidden", "feature"))
    arrays.labelled("loss", loss, values=True)
    if not isinstance(dim, str) or dim not in loss.dims:
        dimensions = ", ".join(map(str, loss.dims))
        raise ConfigError(f"dim must be one of the dimensions {dimensions}, got {check.short(dim)}.")
    _check_feature(feature, W.sizes["feature"])
    check.number("same_within", same_within, at_least=0, at_most=arrays.MAX_WEIGHT)
    check.number("represented_above", represented_above, at_least=0, at_most=arrays.MAX_WEIGHT)
    check.number("shared_above", shared_above, at_least=0, at_most=arrays.MAX_WEIGHT)
    finite = loss.fillna(np.inf)
    best = finite.argmin(dim)
    lowest = finite.isel({dim: best}).drop_vars(dim, errors="ignore")
    chosen = W.isel({dim: best}).drop_vars(dim, errors="ignore").transpose(*lowest.dims, "hidden", "feature")
    flat = np.nan_to_num(chosen.values.reshape(-1, *chosen.shape[-2:]))
    norm, shared = (np.asarray(x)[:, feature].reshape(lowest.shape) for x in jax.vmap(_two_numbers)(flat))
    over, named = tuple(lowest.dims), _named(norm, shared, represented_above, shared_above)
    return xr.Dataset(
        {
            "loss": lowest,
            "norm": (over, norm),
            "interference": (over, shared),
            "phase": (over, np.where(np.isfinite(lowest.values), named, DIVERGED)),
            "basin_probability": reached(loss, dim, within=same_within),
        },
        attrs={
            "feature": int(feature) % W.sizes["feature"],
            "n_features": int(W.sizes["feature"]),
            "restarts": int(loss.sizes[dim]),
            "same_within": same_within,
            "represented_above": represented_above,
            "shared_above": shared_above,
        },
    )


def against_optimum(table: xr.Dataset, *, most: int = 64, **options: Any) -> xr.Dataset:
    """A phase table of 2→1 or 3→2 beside the true optimum of its cells, for ReLU models with a bias and plain features.

    `table`, of `phase_table`, is over `feature_probability` and `relative_importance` (of the last feature; the others have
    1). Diagrams of more than `most` values along an axis are compared on evenly spaced ones. Adds to the table:
    `optimal_loss`, `optimal_phase`, `optimal_norm`, `optimal_interference`, `excess` (loss / optimal loss − 1, 0 where both
    are below 1e-6) and `agrees` (equal phases). Options are those of `superpos.theory.optimum`.

    Raises:
        ConfigError: the table has other axes, is of another feature than the last, or its models are not such models.
    """
    over = ("feature_probability", "relative_importance")
    arrays.labelled("table", table, variables=("loss", "norm", "interference", "phase"))
    if set(table["loss"].dims) != set(over):
        raise ConfigError(
            f"a phase table must be over {over[0]} and {over[1]}, got {', '.join(map(str, table['loss'].dims))}."
        )
    check.integer("most", most, at_least=1)
    attrs, n_features = table.attrs, table.attrs["n_features"]
    if attrs["feature"] != n_features - 1:
        raise ConfigError(f"the optimum is known for the last feature, and the table is of feature {attrs['feature']}.")
    if attrs.get("unusual"):
        raise ConfigError(
            f"the optimum is of plain models (ReLU, free bias, uniform magnitudes); here {attrs['unusual']}."
        )
    indices = {
        d: np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)) for d, n in table["loss"].sizes.items()
    }
    table = table.isel(indices).transpose(*over)
    p, r = (a.ravel() for a in np.meshgrid(*(table.coords[d].values for d in over), indexing="ij"))
    best = optimum(n_features, p, r, **options)
    norm, shared = (np.asarray(x)[:, -1].reshape(table["loss"].shape) for x in jax.vmap(_two_numbers)(best.W))
    optimal = best.loss.reshape(table["loss"].shape)
    named = _named(norm, shared, attrs["represented_above"], attrs["shared_above"])
    tiny = np.maximum(table["loss"].values, optimal) < 1e-6
    excess = np.where(tiny, 0, table["loss"].values / np.maximum(optimal, 1e-12) - 1)
    return table.assign(
        optimal_loss=(over, optimal),
        optimal_phase=(over, named),
        optimal_norm=(over, norm),
        optimal_interference=(over, shared),
        excess=(over, excess),
        agrees=(over, table["phase"].values == named),
    )


def _two_numbers(W: Any) -> tuple[Any, Any]:
    W = jnp.asarray(W)
    return feature_norms(W), interference(W)


def _named(norm: Any, shared: Any, represented_above: float, shared_above: float) -> np.ndarray:
    alone = np.where(shared > shared_above, PHASES[2], PHASES[1])
    return np.where(norm > represented_above, alone, PHASES[0])


def _check_feature(feature: int, n_features: int) -> None:
    check.integer("feature", feature, at_least=-n_features, at_most=n_features - 1)
