"""Attacks: what they cost over density, and what training on them leaves of superposition."""

import xarray as xr
from matplotlib.axes import Axes

from superpos.plot.style import PALETTE, current_axes
from superpos.plot.sweeps import plain_ticks

_ATTACKS = {"analytic": ("o-", PALETTE["blue"]), "optimised": ("s-", PALETTE["red"])}


def vulnerability_by_density(
    vulnerability: xr.DataArray, features_per_dimension: xr.DataArray, ax: Axes | None = None
) -> Axes:
    """Vulnerability (one line per attack) and features per dimension ‖W‖²/m (black) against 1/(1 − S).

    `vulnerability` has dims (attack, feature_probability), `features_per_dimension` the second; with a `seed` as well, lines
    are means and the range of the seeds is shaded. 1 is a model without superposition, for all of them.
    """
    ax = current_axes(ax)
    x = 1 / features_per_dimension.feature_probability
    ax.axhline(1, color="#BBBBBB", lw=0.8, zorder=0)
    for name in vulnerability.attack.values:
        style, color = _ATTACKS[str(name)]
        values = vulnerability.sel(attack=name)
        if "seed" in values.dims:
            ax.fill_between(x, values.min("seed"), values.max("seed"), color=color, alpha=0.25, lw=0)
            values = values.mean("seed")
        ax.plot(x, values, style, color=color, ms=3, label=f"vulnerability, {name} attack")
    crowd = features_per_dimension
    label = "features per dimension, $\\|W\\|_F^2/m$"
    ax.plot(x, crowd.mean("seed") if "seed" in crowd.dims else crowd, "--", color="black", label=label)
    ax.set(xscale="log", ylim=(0, None), xlabel="1 / (1 − S)", ylabel="relative to no superposition")
    ax.legend(loc="upper left")
    plain_ticks(ax)
    return ax


def vulnerability_against_features(
    vulnerability: xr.DataArray, features_per_dimension: xr.DataArray, ax: Axes | None = None
) -> Axes:
    """Vulnerability against features per dimension, a dot per model, both logarithmic.

    The lines say where they are equal, and where vulnerability is the square: what it is if no output is switched off.
    """
    ax = current_axes(ax)
    for name in vulnerability.attack.values:
        color, values = _ATTACKS[str(name)][1], vulnerability.sel(attack=name)
        at = features_per_dimension.broadcast_like(values).values.ravel()
        ax.plot(at, values.values.ravel(), "o", color=color, ms=3, mew=0, alpha=0.7, label=str(name))
    top = float(features_per_dimension.max())
    for power, line, word in ((1, ":", "equal"), (2, "--", "its square")):
        ax.plot([1, top], [1, top**power], line, color="#888888", lw=1)
        ax.annotate(
            word, (top, top**power), (2, 0), textcoords="offset points", fontsize=7, color="#666666", va="center"
        )
    ax.set(xscale="log", yscale="log", xlabel="$\\|W\\|_F^2/m$", ylabel="vulnerability", xlim=(0.9, 1.9 * top))
    plain_ticks(ax, y=True)
    return ax


def superposition_by_attack_norm(
    values: xr.DataArray, ax: Axes | None = None, *, label: str = "", color: str = ""
) -> Axes:
    """A measure of superposition against the norm of the attack trained on; dims (attack_norm, seed), a dot per model."""
    ax = current_axes(ax)
    color = color or PALETTE["black"]
    norms = 100 * values.attack_norm
    ax.axhline(1, color="#BBBBBB", lw=0.8, zorder=0)
    ax.plot(norms, values.transpose("attack_norm", "seed"), ".", color=color, ms=4, alpha=0.5)
    ax.plot(norms, values.mean("seed"), "-", color=color, label=label)
    ax.set(ylim=(0, None), ylabel="features represented per dimension")
    ax.set_xlabel("attack norm in training, % of mean input norm")
    return ax
