"""What is claimed of fitting a line in context, beside what was measured."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from superpos.analysis.intervals import Interval, mean_interval, share_interval
from superpos.experiments.claims import Claims
from superpos.experiments.in_context_regression.measures import left_by_parts
from superpos.theory.descent_in_context import best_descent, descent_loss
from superpos.theory.in_context_regression import one_step

CLOSE, NEAR, WITHIN = (
    0.02,
    0.1,
    0.25,
)  # of one layer; of two, and of softmax; of two where something is undone or changed
OUTSIDE = 0.01
INTERVAL = "95 % interval of the mean over seeds"


def evaluate(
    table: xr.Dataset, deep: xr.Dataset, softmax: xr.DataArray, opposite: xr.DataArray, claims: Claims
) -> None:
    """All claims, of `measure`, `measure_deep`, the losses with softmax over (n_heads, seed), and `opposite_heads`."""
    evaluate_one(table, claims)
    evaluate_two(deep, claims)
    evaluate_softmax(softmax, opposite, int(deep.attrs["n_dims"]), int(deep.attrs["n_examples"]), claims)


def evaluate_one(table: xr.Dataset, claims: Claims) -> None:
    """One layer of linear attention is the best step of gradient descent, for every number of examples and noise."""
    d = int(table.attrs["n_dims"])
    cells = [(int(n), float(noise)) for n in table["n_examples"].values for noise in table["noise"].values]
    steps = {cell: one_step(d, cell[0], noise=cell[1]) for cell in cells}

    def over_seeds(name: str, n: int, noise: float) -> np.ndarray:
        return table[name].sel(n_examples=n, noise=noise).transpose("seed", ...).values

    ratios = [mean_interval(over_seeds("loss", *cell) / steps[cell].loss) for cell in cells]
    least = min(float((over_seeds("loss", *cell) / steps[cell].loss).min()) for cell in cells)
    _near(
        claims,
        "one layer: the loss is that of the best step of gradient descent",
        ratios,
        CLOSE,
        f"; least {least:.4f}",
    )
    rates = [mean_interval(over_seeds("rate", *cell) / steps[cell].rate) for cell in cells]
    _near(claims, "one layer: its rate is N / (N + d + 1 + σ²)", rates, CLOSE)
    _below(claims, "one layer: its weights are those of that step", table["outside"], cells, OUTSIDE)
    explained = [mean_interval(over_seeds("explained", *cell)) for cell in cells]
    worst = min(explained, key=lambda interval: interval.low)
    claims.check(
        "one layer: what it says of a sequence is what that step says",
        f"R² above 0.99 in all settings ({INTERVAL})",
        f"{worst.estimate:.4f} ({worst.low:.4f} to {worst.high:.4f}) in the worst",
        worst.low > 0.99,
    )
    scales = [float(s) for s in table["scale"].values]
    rescaled = [
        mean_interval(over_seeds("rescaled", n, noise)[:, k] / _rescaled(steps[n, noise].rate, d, n, noise, scale))
        for n, noise in cells
        for k, scale in enumerate(scales)
    ]
    wrong = [float(table["rescaled"].sel(n_examples=n, noise=o, scale=scales[-1]).min()) for n, o in cells]
    _near(
        claims,
        "one layer: for inputs of another size its rate is wrong, as the closed form says",
        rescaled,
        0.05,
        f"; at scale {scales[-1]:g} at least {min(wrong):.2f} times the loss of saying 0",
    )
    shifted = [
        mean_interval(over_seeds("shifted", n, noise) / (d + steps[n, noise].rate ** 2 * d * (d + noise**2) / n))
        for n, noise in cells
    ]
    statement = "one layer: with the y of other examples it is worse than saying 0, as the closed form says"
    _near(claims, statement, shifted, 0.05)
    largest = float(table["reordered"].max())
    claims.identity(
        "the order of the examples is no matter", "answers change by less than 1e-4", f"{largest:.0e}", largest < 1e-4
    )


def _rescaled(rate: float, d: int, n: int, noise: float, scale: float) -> float:
    return descent_loss([rate], n_dims=d, n_examples=n, noise=noise, input_scale=scale) / (d * scale**2)


def evaluate_two(table: xr.Dataset, claims: Claims) -> None:
    """Two layers of linear attention are two steps of preconditioned descent, and not of the plain one."""
    d, n = int(table.attrs["n_dims"]), int(table.attrs["n_examples"])
    best = best_descent(d, n, 2, preconditioned=True)
    plain = mean_interval((table["loss"] / table["plain_loss"]).values)
    claims.check(
        "two layers: the loss is below that of the best two steps of plain gradient descent",
        f"ratio below 1 ({INTERVAL})",
        _said(plain),
        plain.high < 1,
    )
    ratio = mean_interval((table["loss"] / table["best_loss"]).values)
    _near(claims, "two layers: the loss is that of the best two preconditioned steps (GD++)", [ratio], NEAR)
    same, other = (mean_interval(table[name].values) for name in ("same_errors", "same_errors_plain"))
    claims.check(
        "two layers: they err as the best two preconditioned steps do, sequence by sequence",
        f"cosine of the errors above 0.9 ({INTERVAL})",
        f"{_said(same)}; with plain steps {_said(other)}",
        same.low > 0.9,
    )
    numbers = np.column_stack([table["rates"].transpose("seed", "layer").values, table["curvature"].values])
    expected = np.array([*best.rates, best.curvatures[0]])
    _near(
        claims,
        "two layers: their two rates and the curvature are the best ones",
        [mean_interval(column) for column in (numbers / expected).T],
        NEAR,
        f"; means {_listed(numbers.mean(axis=0))} beside {_listed(expected)}",
    )
    _below(claims, "two layers: their weights are those of such steps", table["outside"], None, OUTSIDE)
    parts = [str(part) for part in table["part"].values]
    left = table["left"].transpose("seed", "part").values
    predicted = np.array([left_by_parts(row[:2], row[2], d, n) for row in numbers])
    _near(
        claims,
        "two layers: with a part undone the loss is what its three numbers say",
        [mean_interval(column) for column in (left / predicted).T[1:]],
        WITHIN,
        f"; {', '.join(f'{part} {value:.2g}' for part, value in zip(parts, left.mean(axis=0), strict=True))}",
    )
    times = mean_interval(left[:, parts.index("change of y")] / left[:, 0])
    claims.check(
        "two layers: the second reads what is left of y after the first",
        f"with y as before, 5 times the loss or more ({INTERVAL})",
        f"{times.estimate:.1f} times ({times.low:.1f} to {times.high:.1f})",
        times.low > 5,
    )
    scales = table["scale"].values
    ratios = (table["rescaled"] / table["best_rescaled"]).transpose("scale", "seed")
    smaller = [mean_interval(row) for row in ratios.values[scales < 1]]
    _near(claims, "two layers: for smaller inputs the loss is that of those steps", smaller, NEAR)
    larger = min((mean_interval(row) for row in ratios.values[scales > 1]), key=lambda interval: interval.low)
    to_zero = [mean_interval(row) for row in table["rescaled"].transpose("scale", "seed").values[scales > 1]]
    least = min(to_zero, key=lambda interval: interval.low)
    claims.check(
        "two layers: for larger inputs they are worse than saying 0, and than those steps",
        f"both ratios above 1 at all larger scales ({INTERVAL})",
        f"{_said(least)} and {_said(larger)} in the worst setting; at scale {scales[-1]:g} {to_zero[-1].estimate:.0f} times "
        "the loss of saying 0",
        least.low > 1 and larger.low > 1,
    )


def evaluate_softmax(loss: xr.DataArray, opposite: xr.DataArray, d: int, n: int, claims: Claims) -> None:
    """One head of softmax attention is worse than a step of gradient descent; two of opposite signs are nearly as good."""
    ratios = loss / one_step(d, n).loss
    one = mean_interval(ratios.sel(n_heads=1).values)
    claims.check(
        "softmax, one head: the loss is above that of the best step",
        f"ratio above 1 ({INTERVAL})",
        _said(one),
        one.low > 1,
    )
    two, signs = ratios.sel(n_heads=2).values, opposite.values.astype(bool)
    statement = "softmax, two heads of opposite signs: the loss is close to that of the best step"
    k = int(signs.sum())
    if k > 1:
        _near(
            claims, statement, [mean_interval(two[signs])], NEAR, "".join(f"; {x:.2f} in another" for x in two[~signs])
        )
    else:
        claims.check(statement, "two seeds or more with such heads", f"{k}", False)
    share = share_interval(k, len(opposite))
    claims.check(
        "softmax, two heads: one reads and writes with the opposite sign of the other",
        "in more than half of the seeds (95 % interval)",
        f"{k} of {len(opposite)} ({share.low:.0%} to {share.high:.0%})",
        share.low > 0.5,
    )


def _near(claims: Claims, statement: str, ratios: Sequence[Interval], tolerance: float, more: str = "") -> None:
    """Claim that ratios to what is expected are 1 within a tolerance: all of every interval."""
    worst = max(ratios, key=lambda interval: max(interval.high - 1, 1 - interval.low))
    claims.check(
        statement,
        f"ratio within {tolerance:.0%} of 1 ({INTERVAL})",
        _said(worst) + (" in the worst setting" if len(ratios) > 1 else "") + more,
        max(worst.high - 1, 1 - worst.low) < tolerance,
    )


def _below(
    claims: Claims, statement: str, values: xr.DataArray, cells: Sequence[tuple[int, float]] | None, limit: float
) -> None:
    """Claim that the share of the weights outside the construction is small, in every setting."""
    chosen = [values] if cells is None else [values.sel(n_examples=n, noise=noise) for n, noise in cells]
    worst = max((mean_interval(cell.values) for cell in chosen), key=lambda interval: interval.high)
    claims.check(
        statement,
        f"less than {limit:.0%} of |P|²|Q|² is outside of the construction ({INTERVAL})",
        f"{worst.estimate:.2%} ({worst.low:.2%} to {worst.high:.2%})"
        + ("" if cells is None else " in the worst setting"),
        worst.high < limit,
    )


def _said(interval: Interval) -> str:
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
