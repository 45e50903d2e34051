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

    `vulnerability` has dims (attack, feature_probability), `features_per_dimension` the second. 1 is a model without
    superposition, for all of them.
    """
    ax = current_axes(ax)
    x = 1 / features_per_dimension.feature_probability
    ax.axhline(1, color="#BBBBBB", lw=0.8, zorder=0)
    for name in vulnerability.attack.values:
        style, color = _ATTACKS[str(name)]
        ax.plot(x, vulnerability.sel(attack=name), style, color=color, ms=3, label=f"vulnerability, {name} attack")
    label = "features per dimension, $\\|W\\|_F^2/m$"
    ax.plot(x, features_per_dimension, "--", color="black", label=label)
    ax.set(xscale="log", ylim=(0, None), xlabel="1 / (1 − S)", ylabel="relative to no superposition")
    ax.legend(loc="upper left")
    plain_ticks(ax)
    return ax


def vulnerability_against_features(
    vulnerability: xr.DataArray, features_per_dimension: xr.DataArray, ax: Axes | None = None
) -> Axes:
    """Vulnerability against features per dimension, a dot per model; the line is where they are equal."""
    ax = current_axes(ax)
    for name in vulnerability.attack.values:
        color = _ATTACKS[str(name)][1]
        ax.plot(
            features_per_dimension, vulnerability.sel(attack=name), "o", color=color, ms=3.5, mew=0, label=str(name)
        )
    top = float(features_per_dimension.max())
    ax.plot([0, top], [0, top], ":", color="#888888", lw=1)
    ax.set(xlim=(0, None), ylim=(0, None), xlabel="$\\|W\\|_F^2/m$", ylabel="vulnerability")
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
