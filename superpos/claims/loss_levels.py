"""Training rests on a few levels of loss: Chen et al. 2023, "Dynamical versus Bayesian Phase Transitions in a Toy Model"."""

from collections import Counter
from typing import Any

import numpy as np
import xarray as xr

from superpos.experiments.claims import Claims
from superpos.theory.single_active import Level, at_level

# Losses for six features in two dimensions as the paper prints them, by its names: sides, biased and dead features.
PUBLISHED = {"6": 0.04819, "5⁺": 0.06180, "5⁻": 0.06874, "4⁺⁺": 0.09722, "4⁺⁻": 0.10417, "4⁻⁻": 0.11111}
NEAR = 1e-3  # relative; neighbouring levels are 7 % apart or more
REPRESENTED = 0.5


def nearest(loss: float, levels: list[Level]) -> Level | None:
    """The level whose loss this is, to one in a thousand; None if there is none."""
    found = min(levels, key=lambda level: abs(level.loss - loss))
    return found if abs(loss / found.loss - 1) <= NEAR else None


def starts(levels: list[Level], repeats: int, noise: float = 0.02, seed: int = 0) -> dict[str, np.ndarray]:
    """W and b of models that start at each of the levels in turn, `repeats` times, with normal noise added to W."""
    rng = np.random.default_rng(seed)
    at = [at_level(level) for level in levels for _ in range(repeats)]
    W = np.stack([w for w, _ in at])
    return {"W": W + noise * rng.normal(size=W.shape), "b": np.stack([b for _, b in at])}


def landed(loss: Any, W: Any, b: Any, levels: list[Level]) -> xr.Dataset:
    """Where models end: `loss` (sum over features), its `level`, and `sides`, `length` and `bias`, over `seed`.

    `loss` is (n_models,), `W` (n_models, 2, n_features), `b` (n_models, n_features). `level` is "" off all levels; `sides`
    counts represented features, `length` and `bias` are means over these.
    """
    loss, W, b = np.asarray(loss, float), np.asarray(W, float), np.asarray(b, float)
    norms = np.linalg.norm(W, axis=1)
    on = norms > REPRESENTED
    sides = on.sum(axis=1)
    found = [nearest(value, levels) for value in loss]
    columns = {
        "loss": loss,
        "level": ["" if level is None else level.name for level in found],
        "sides": sides,
        "length": np.sum(on * norms, axis=1) / np.maximum(sides, 1),
        "bias": np.sum(on * b, axis=1) / np.maximum(sides, 1),
    }
    return xr.Dataset({name: ("seed", values) for name, values in columns.items()})


def judge(levels: list[Level], free: xr.Dataset, placed: xr.Dataset, begun: list[str], claims: Claims) -> None:
    """The levels are those of the paper; random starts end on them; models begun beside each of them stay there.

    `free` and `placed` are of `landed`, from random weights and from beside the levels named in `begun`.
    """
    by_name = {level.name: level for level in levels}
    off = max(abs(by_name[name].loss - value) if name in by_name else np.inf for name, value in PUBLISHED.items())
    said = ", ".join(f"{level.name} {level.loss:.5f}" for level in levels)
    claims.identity("closed forms of the critical points' losses", "the published ones, to 1e-5", said, off <= 1e-5)
    counts = Counter(free["level"].values.tolist())
    inside = sum(count for name, count in counts.items() if name)
    said = f"{inside} of {len(free['seed'])} seeds: " + ", ".join(
        f"{c} × {n or 'off'}" for n, c in counts.most_common()
    )
    holds = inside == len(free["seed"])
    claims.add("training from random weights ends on a published level", "every seed, loss within .1 %", said, holds)
    worst, said = 0.0, "none"
    for table in (free, placed):
        for k, name in enumerate(table["level"].values.tolist()):
            if name and (level := by_name[name]):
                wrong = [abs(float(table[of][k]) / wanted - 1) for of, wanted in _of(level)]
                worst = max(worst, *wrong, float(int(table["sides"][k]) != level.sides))
                said = f"off by {100 * worst:.2g} % at most"
    wanted = "as many sides as the level's name says; mean length (and bias of 5 and 6 sides) within 1 %"
    claims.add(
        "they are the polygons of theory, not only of their loss", wanted, said, said != "none" and worst <= 0.01
    )
    stayed = [now == then for now, then in zip(placed["level"].values.tolist(), begun, strict=True)]
    left = sorted({then for then, same in zip(begun, stayed, strict=True) if not same})
    said = f"{sum(stayed)} of {len(stayed)}" + f"; not all of {', '.join(left)}" * bool(left)
    claims.add("begun beside a level, training rests on it", "all models, all six levels", said, all(stayed))
    dead = [name for name in free["level"].values.tolist() if "⁻" in name]
    wanted = "fewer seeds with one than without, although such levels hold what is put there"
    said = f"{len(dead)} of {inside}"
    claims.add("random starts seldom end with a dead feature", wanted, said, inside > 0 and len(dead) < inside / 2)


def _of(level: Level) -> list[tuple[str, float]]:
    """What is compared with theory; a square's bias is 0 and has no relative error."""
    return [("length", level.length)] + [("bias", level.bias)] * (level.sides > 4)
