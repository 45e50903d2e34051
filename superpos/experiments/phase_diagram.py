"""Phase diagrams of 2→1 and 3→2: Elhage et al. 2022, "Superposition as a Phase Change"."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpos.analysis.restarts import in_words
from superpos.errors import ConfigError
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import caption
from superpos.plot.phases import basin_map, excess_map, phase_keys, phase_map
from superpos.sweeping import Grid, entry
from superpos.tasks import Toy
from superpos.theory.phases import candidate_losses, candidates
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, Superposition as a Phase Change"
BLOCK_SIZE = 64  # models per program; divides the usual numbers of cells


@dataclass(frozen=True)
class Size:
    """Hidden dimensions of every diagram (features are one more), densities and as many importances, restarts, steps."""

    hidden: tuple[int, ...] = (1, 2)
    cells: int = 64
    seeds: int = 8
    steps: int = 200


SIZES = Sizes(quick=Size(hidden=(1,), cells=6, seeds=2, steps=50), laptop=Size(), full=Size(cells=128, seeds=16))


def build(size: Size) -> dict[int, tuple[Toy, TrainConfig, Grid]]:
    """Task, training and grid of every diagram, by its number of hidden dimensions.

    Raises:
        ConfigError: there is no theory for so many hidden dimensions.
    """
    diagrams = {}
    for m in size.hidden:
        if m not in (1, 2):
            raise ConfigError(f"n_hidden must be 1 (for 2→1) or 2 (for 3→2), got {m}.")
        task = Toy(n_features=m + 1, n_hidden=m, importance=np.ones(m + 1), objective="expected", order=16)
        grid = Grid(
            feature_probability=np.geomspace(1, 0.01, size.cells),
            relative_importance=entry("importance", -1, np.geomspace(0.1, 10, size.cells)),
            seed=range(size.seeds),
        )
        diagrams[m] = task, TrainConfig(steps=size.steps, history=1), grid
    return diagrams


def size_label(size: Size) -> str:
    """What names of files say of a size: nothing of the laptop's, "_quick", or "_128x16" for 128 × 128 cells, 16 restarts."""
    numbers = size.cells, size.seeds
    if numbers == (SIZES.laptop.cells, SIZES.laptop.seeds):
        return ""
    if numbers == (SIZES.quick.cells, SIZES.quick.seeds):
        return "_quick"
    return f"_{size.cells}x{size.seeds}"


def block_size(size: Size) -> int:
    """Models per program: no more than one seed has."""
    return min(BLOCK_SIZE, size.cells**2)


def store_name(n_hidden: int, size: Size) -> str:
    """What a result is called: phase_2_1.zarr, or with its size where that is not the laptop's."""
    return f"phase_{n_hidden + 1}_{n_hidden}{size_label(size)}.zarr"


def evaluate(table: xr.Dataset, compared: xr.Dataset, n_features: int, claims: Claims) -> None:
    """The hard regions, the losses everywhere, and the labels away from the boundaries.

    `table` is a result's phase table, `compared` that table beside the optimum.
    """
    size = f"{n_features}→{n_features - 1}"
    p, r = table.feature_probability, table.relative_importance
    norm, phase = table["norm"], table["phase"]
    norm_ignored = float(norm.where((p >= 0.5) & (r <= 0.3)).max())
    claims.check(
        f"{size}: dense and unimportant is ignored", "‖W_extra‖ < .1", f"{norm_ignored:.3f}", norm_ignored < 0.1
    )
    sparse = norm.where((p <= 0.1) & (r >= 0.1) & (r <= 10))
    if n_features == 2:
        off, in_superposition = float(abs(sparse - 1).max()), phase.where(p <= 0.1, drop=True) == "in superposition"
        share = 100 * float(in_superposition.mean())
        measured = f"norm off by {off:.3f}, {share:.1f} % in superposition"
        claims.check(f"{size}: sparse is an antipodal pair", "norm 1 ± .1, all", measured, off <= 0.1 and share == 100)
    same = 100 * float(compared["agrees"].mean())
    claims.check(f"{size}: phase of the true optimum", "≥ 97 % of cells", f"{same:.2f} %", same >= 97)
    excess = 100 * float(compared["excess"].max())
    share = 100 * float((compared["excess"] <= 0.02).mean())
    measured = f"{share:.2f} % of cells, worst {excess:.2f} %"
    claims.check(f"{size}: loss within 2 % of the true optimum's", "everywhere", measured, share == 100)
    losses = candidate_losses(n_features, *xr.broadcast(p, r))
    names, values = list(losses), np.stack([np.asarray(v) for v in losses.values()])
    predicted = _labels(names, n_features)[np.argmin(values, axis=0)]
    clear = _clear(np.argmin(values, axis=0), np.log(r.values)) & (
        np.broadcast_to(p.values[:, None], predicted.shape) <= 0.3
    )
    agree = 100 * float(np.mean(phase.transpose(*xr.broadcast(p, r)[0].dims).values[clear] == predicted[clear]))
    claims.check(
        f"{size}: label of the best candidate (1 − S ≤ .3, off boundaries)", "≥ 95 %", f"{agree:.2f} %", agree >= 95
    )


def _labels(names: list[str], n_features: int) -> np.ndarray:
    return np.array([c.phase for c in candidates(n_features) if c.name in names])


def _clear(winner: np.ndarray, log_r: np.ndarray) -> np.ndarray:
    """Cells whose winner is the same at all importances within a factor of 1.3; axes (density, importance)."""
    near = np.abs(log_r[:, None] - log_r[None]) <= np.log(1.3)
    return np.all((winner[:, :, None] == winner[:, None, :]) | ~near[None], axis=2)


def draw(rows: Sequence[tuple[Any, xr.Dataset, xr.Dataset, Sequence[Any]]]) -> tuple[Figure, str]:
    """Figure and caption: trained | theory | difference | basins, one row per model size.

    Each row is a sweep result, its phase table, that table beside the optimum (`superpos.analysis.against_optimum`) and
    the analytic boundaries.
    """
    figure, axes = plt.subplots(
        len(rows), 4, figsize=(10.6, 2.75 * len(rows) + 0.55), squeeze=False, layout="constrained"
    )
    captions = []
    for (result, table, compared, curves), panels in zip(rows, axes, strict=True):
        phase_map(table["norm"], table["interference"], panels[0], boundaries=curves)
        phase_map(compared["optimal_norm"], compared["optimal_interference"], panels[1], boundaries=curves)
        excess = excess_map(compared["excess"], panels[2], agrees=compared["agrees"])
        basins = basin_map(table["basin_probability"], panels[3])
        figure.colorbar(excess, ax=panels[2], label="% above the optimum", extend="max")
        figure.colorbar(basins, ax=panels[3], label="share of restarts")
        task = result.attrs["task"]
        size = f"{task['n_features']} → {task['n_hidden']}"
        words = in_words(table["basin_probability"], table.attrs["restarts"], "restarts")
        panels[0].set_title(f"{size}: trained, {words.split(' (')[0].removesuffix(' restarts')}")
        panels[1].set_title("true optimum")
        panels[2].set_title(_difference(compared["agrees"].values))
        panels[3].set_title("restarts that found the best")
        for ax in panels[1:]:
            ax.set_ylabel("")
        captions.append(caption(result.attrs, f"{size}, {words}:"))
    figure.legend(handles=phase_keys(), loc="outside lower center", ncols=3, title="the extra feature is")
    text = (
        "Phase diagrams: density across, importance of the last feature (the others have 1) up. Dashed: where the paper's "
        "candidate solutions cost the same. Difference: loss above the optimum; red rings where the phase differs."
    )
    return figure, " ".join([text, *captions])


def _difference(agrees: np.ndarray) -> str:
    """How many cells have another phase than the optimum. A share would be rounded to all of them where one differs."""
    n_other = int(np.sum(~agrees.astype(bool)))
    return f"difference (phase: {n_other:,} of {agrees.size:,} cells)"
