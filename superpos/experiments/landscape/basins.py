"""Whether a landscape of five features in two dimensions is what training sees, and whether it is complete."""

from dataclasses import replace

import numpy as np
import xarray as xr

from superpos.experiments import five_features
from superpos.experiments.claims import Claims
from superpos.landscapes import landscape
from superpos.landscapes.bottoms import loss_of
from superpos.landscapes.merging import canonical, classes, permutation
from superpos.landscapes.problem import Problem, problem_of
from superpos.landscapes.search import NEAR
from superpos.sweeping import Grid, sweep
from superpos.tasks import Toy

DENSEST = 0.6  # where more features are active, shapes have no names to compare by
TRIES = 20_000  # of chance
LEVEL = 0.01
SAME_LOSS = 1e-6  # relative
TENTH = 10


def shares_by_shape(densities: int, starts: int, seeds: int) -> xr.Dataset:
    """How many starts of the search and how many models of `superpos demo` end in each shape.

    The task, its densities (`densities` of those up to .6), steps and block are the demo's, and so are its first 16 models
    at every density, bit for bit; `seeds` says how many there are. The search has `starts` and no shapes to begin with.
    Returns `found` and `trained`, counts over `feature_probability` and `shape`, and per density `lowest`, the loss of the
    lowest minimum, and `lowest_trained`, in double precision.
    """
    task, config, grid = five_features.build(five_features.DEMO)
    every = np.asarray(grid.axes["feature_probability"].values)
    inside = every[every <= DENSEST]
    values = inside[np.linspace(0, len(inside) - 1, densities).round().astype(int)]
    chosen = Grid(feature_probability=values, seed=range(seeds))
    result = sweep(task, config, chosen, block_size=five_features.BLOCK_SIZE, progress=False)
    trained = result.geometry()["shape"].transpose("feature_probability", "seed").values.tolist()
    tables = [landscape(replace(task, feature_probability=float(p)), starts, candidates=False) for p in values]
    found = [np.repeat(table["name"].values, table["starts"].values).tolist() for table in tables]
    names = sorted({name for rows in (found, trained) for row in rows for name in row})
    counts = {
        key: (("feature_probability", "shape"), np.array([[row.count(name) for name in names] for row in rows]))
        for key, rows in (("found", found), ("trained", trained))
    }
    lowest, least = [], []
    for k, (p, table) in enumerate(zip(values, tables, strict=True)):
        problem = problem_of(replace(task, feature_probability=float(p)))
        models = result.dataset.isel(feature_probability=k).transpose("seed", "hidden", "feature", ...)
        lowest.append(_least(problem, table["W"].values[:1], table["b"].values[:1]))
        least.append(_least(problem, models["W"].values, models["b"].values))
    per_density = {"lowest": ("feature_probability", lowest), "lowest_trained": ("feature_probability", least)}
    return xr.Dataset({**counts, **per_density}, {"feature_probability": values, "shape": names})


def _least(problem: Problem, W: np.ndarray, b: np.ndarray) -> float:
    """The lowest loss of models, in double precision."""
    return min(loss_of(problem, problem.flat(*model)) for model in zip(W, b, strict=True))


def chance_of(first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> float:
    """How often chance makes two samples of one distribution as unlike as these counts (k,), or more so.

    The statistic is χ² of the table of both; its law is that of tables with the same sums (multivariate hypergeometric), so
    it is exact for small counts, but for a finite number of tries.
    """
    both, size = first + second, int(second.sum())
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(both, size, size=TRIES, method="marginals")
    expected = both * size / both.sum()

    def unlike(counts: np.ndarray) -> np.ndarray:
        return np.sum((counts - expected) ** 2 / np.maximum(both, 1), axis=-1)

    return float((1 + np.sum(unlike(drawn) >= unlike(second) * (1 - 1e-9))) / (1 + TRIES))


def look_further(feature_probability: float, starts: int, further: int) -> xr.Dataset:
    """Minima that `further` random starts of another seed find, over `minimum`, with `listed`: which of them are known.

    Known are those of `landscape` with `starts` starts and shapes. The loss of the tenth of these is in `tenth`, infinite
    where there are fewer.
    """
    task = Toy(n_features=5, n_hidden=2, feature_probability=feature_probability)
    known, more = landscape(task, starts), landscape(task, further, seed=1, candidates=False)
    losses = known["loss"].values
    return more[["loss", "name", "starts"]].assign(
        listed=("minimum", are_listed(task, known, more)),
        known=known.sizes["minimum"],
        tenth=losses[TENTH - 1] if len(losses) >= TENTH else np.inf,
    )


def are_listed(task: Toy, known: xr.Dataset, table: xr.Dataset) -> np.ndarray:
    """Which minima of a table are among those of another one: of the same loss, and equal but for an order of features."""
    label = classes(task)
    pairs = [[canonical(W, b) for W, b in zip(t["W"].values, t["b"].values, strict=True)] for t in (known, table)]
    return np.array(
        [
            any(
                abs(loss / other - 1) < SAME_LOSS and permutation(one, two, label, tolerance=NEAR) is not None
                for other, two in zip(known["loss"].values, pairs[0], strict=True)
            )
            for loss, one in zip(table["loss"].values, pairs[1], strict=True)
        ],
        bool,
    )


def evaluate_shares(table: xr.Dataset, claims: Claims) -> None:
    """Starts of the search end where the models of the demo do, and no model is below the lowest minimum."""
    first, second = (table[key].transpose("feature_probability", "shape").values for key in ("found", "trained"))
    chances = [chance_of(*rows) for rows in zip(first, second, strict=True)]
    apart = np.abs(first / first.sum(1, keepdims=True) - second / second.sum(1, keepdims=True)).max(axis=1)
    seeds, worst = int(second[0].sum()), int(np.argmin(chances))
    p, many = table["feature_probability"].values, len(chances)
    claims.check(
        f"shares of starts are those of `superpos demo`: {many} densities, {seeds} models each, by shape",
        f"unlike beyond chance ({LEVEL:.0%} over all densities) at none",
        f"chance {chances[worst]:.2g} at least, at 1 − S = {p[worst]:.3f}; a share is off by {apart.mean():.2f} on average "
        f"and {apart.max():.2f} at most",
        min(chances) * many >= LEVEL,
    )
    above = (table["lowest_trained"] / table["lowest"] - 1).values
    claims.check(
        "no model of the demo is below the lowest minimum",
        "the best model above it, by less than 1 %",
        f"above by {above.min():.1e} to {above.max():.1e}",
        above.min() >= 0 and above.max() < 0.01,
    )


def evaluate_further(tables: list[xr.Dataset], further: int, claims: Claims) -> None:
    """No further start finds a minimum below the tenth that is not listed. `tables` are of `look_further`."""
    statement, expected = "5→2: the list of minima is complete below the tenth", "further starts find no new one"
    if not tables:
        claims.needs_full(statement, expected, "65,536 further starts at each of ten densities take half an hour")
        return
    new = [int(np.sum(~table["listed"] & (table["loss"] < table["tenth"]))) for table in tables]
    known = sum(int(table["known"]) for table in tables)
    claims.check(
        statement,
        expected,
        f"{further:,} further starts at each of {len(tables)} densities: {sum(new)} new beside {known}",
        not any(new),
    )
