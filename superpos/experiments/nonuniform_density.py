"""One feature of the pentagon made denser and sparser: Elhage et al. 2022, "Non-Uniform Superposition"."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline

from superpos.analysis.features import angle_gaps
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.features import feature_directions, weights
from superpos.plot.solution_branches import branches, hysteresis
from superpos.sweeping import Grid, SweepResult, entry
from superpos.tasks import Toy
from superpos.theory.branches import Branch, follow
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, Non-Uniform Superposition"
DRAWN_FACTORS = (4, 2, 1, 0.5, 0.3, 0.2)
BASE = 0.05  # density of the other four
# Norm and bias of the pentagon of equal features there, as a first start.
NORM, BIAS = 1.13, -0.25
OUTLIVES = 1.25
CROSSING = 0.2691  # ρ at which pentagon and two pairs cost the same
NUDGE = 1e-3  # far below any valley's width, far above rounding


@dataclass(frozen=True)
class Size:
    """The density factors ρ at which solutions are followed, those of fresh fits beside the drawn ones, and both trainings.

    Solutions are followed from ρ = 2^(−first / per_octave) to ρ = 2^(−last / per_octave).
    """

    first: int = -24
    last: int = 48
    per_octave: int = 12
    order: int = 64  # terms of the series of the expected loss along a branch
    fitted_factors: tuple[float, ...] = tuple((2.0 ** np.arange(2, -3.6, -0.5)).tolist())
    seeds: int = 16
    steps: int | None = None  # None: the task's own

    @property
    def factors(self) -> np.ndarray:
        """ρ of the followed solutions, from large to small."""
        return 2.0 ** -(np.arange(self.first, self.last + 1) / self.per_octave)


SIZES = Sizes(
    quick=Size(first=-2, last=7, per_octave=2, order=16, fitted_factors=(2.0, 1.0, 0.25), seeds=2, steps=40),
    laptop=Size(),
    full=Size(first=-48, last=96, per_octave=24, seeds=64),
)


def build(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of the fresh fits, over `density`, that of feature 0."""
    task = Toy(n_features=5, n_hidden=2, feature_probability=BASE, objective="expected")
    factors = sorted({*size.fitted_factors, *DRAWN_FACTORS}, reverse=True)
    grid = Grid(density=entry("feature_probability", 0, BASE * np.array(factors)), seed=range(size.seeds))
    return task, TrainConfig(steps=size.steps), grid


class Loop(NamedTuple):
    """The two ways through one range of density factors ρ of feature 0, and where their solutions cost the same."""

    down: Branch  # from dense to sparse, begun as a pentagon
    up: Branch  # from sparse to dense, begun as two pairs
    first: int  # index in `factors` of the largest ρ that still has the pairs
    last: int  # index in `factors` of the smallest ρ that still has the pentagon
    crossing: np.ndarray  # ρ where pentagon and pairs cost the same
    slopes: np.ndarray  # (2,) d loss / d log ρ of pentagon and pairs there, of the sum over features

    @property
    def factors(self) -> np.ndarray:
        """ρ, from large to small."""
        return self.down.values

    @property
    def pairs(self) -> Branch:
        """The way up, from large ρ to small: in the order of `down`."""
        return Branch(*(x[::-1] for x in vars(self.up).values()))


def follow_both(factors: Any, *, order: int = 64) -> xr.Dataset:
    """Follow the pentagon through falling `factors` of the density of feature 0, and two pairs through rising ones.

    Four features have density 0.05 and feature 0 has ρ times that; all are equally important, in two dimensions. Both
    branches as a table over (way, point), `way` being "down" and "up", each in the order in which it was gone.
    """
    rho = np.asarray(factors, float)
    p = np.full((len(rho), 5), BASE)
    p[:, 0] *= rho
    turn = np.pi / 2 + 2 * np.pi * np.arange(5) / 5
    start = NORM * np.array([np.cos(turn), np.sin(turn)])
    down = follow(start, np.full(5, BIAS), rho, p, order=order, nudge=NUDGE)
    # Two pairs with feature 0 left out at its best bias. Where the pentagon breaks, its bias may end below 0, where ReLU is
    # dead and the model never says anything but 0: a minimum, too, but p²/4 higher.
    pairs, bias = np.array([[0, 1.0, -1, 0, 0], [0, 0, 0, 1, -1]]), np.array([p[-1, 0] / 2, 0, 0, 0, 0])
    up = follow(pairs, bias, rho[::-1], p[::-1], order=order, nudge=NUDGE)
    dims = {"values": (), "W": ("hidden", "feature"), "b": ("feature",), "loss": (), "gradient": ()}
    variables = {
        name: (("way", "point", *inner), np.stack([vars(branch)[name] for branch in (down, up)]))
        for name, inner in dims.items()
    }
    return xr.Dataset(variables, {"way": ["down", "up"]})


def loop(table: xr.Dataset) -> Loop:
    """The two branches that `follow_both` found, and where they end and cross."""
    down, up = (Branch(**{str(k): v.values for k, v in table.sel(way=w).data_vars.items()}) for w in ("down", "up"))
    rho = down.values
    last = int(down.jumps[0]) - 1 if len(down.jumps) else len(rho) - 1
    first = len(rho) - int(up.jumps[0]) if len(up.jumps) else 0
    both = slice(first, last + 1)
    x, losses = np.log(rho[both]), (5 * down.loss[both], 5 * up.loss[::-1][both])
    # Both branches are smooth here, and bend: straight lines between points a twelfth of an octave apart miss by 2e-4.
    at = CubicSpline(x[::-1], (losses[0] - losses[1])[::-1]).roots(extrapolate=False)[::-1]
    slopes = [np.interp(at[:1], x[::-1], np.gradient(y, x)[::-1]) for y in losses]
    return Loop(down, up, first, last, np.exp(at), np.array(slopes).ravel())


def pointing_up(W: Any, feature: int = 0) -> np.ndarray:
    """W (2, n_features) turned so that one feature points up; if that has no length, the longest points 45° from there."""
    W = np.asarray(W)
    norms = np.linalg.norm(W, axis=0)
    alone = norms[feature] > 0.1 * norms.max()
    x, y = W[:, feature if alone else int(norms.argmax())]
    angle = (np.pi / 2 if alone else np.pi / 4) - np.arctan2(y, x)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ W


def nearest_angle(W: Any, feature: int = 0) -> float:
    """Mean angle in degrees between one direction in the plane and its two neighbours; 72° in the pentagon."""
    W = np.asarray(W)
    angles = np.degrees(np.arctan2(W[1], W[0]))
    others = np.delete(angles, feature) - angles[feature]
    return float(np.sort(np.abs((others + 180) % 360 - 180))[:2].mean())


def evaluate(loop: Loop, best: Any, table: xr.Dataset, claims: Claims) -> None:
    """Pentagon and pairs at equal densities, bending, crossing, hysteresis, and what fresh fits find.

    `best` is a sweep's best seed over `density`, that of feature 0; `table` its geometry.
    """
    rho, down, pairs, last = loop.factors, loop.down, loop.pairs, loop.last
    equal = int(np.abs(np.log(rho)).argmin())
    norms, loss = np.linalg.norm(down.W[equal], axis=0), 5 * down.loss[equal]
    b = down.b[equal]
    measured = f"norms {norms.min():.3f}…{norms.max():.3f}, b {b.min():.3f}…{b.max():.3f}, loss {loss:.5f}"
    holds = (
        np.all(np.abs(norms - 1.13) <= 0.03) and np.all(np.abs(b + 0.25) <= 0.03) and abs(loss / 0.008904 - 1) <= 0.002
    )
    claims.check(
        "equal densities: the pentagon", "norms 1.13 ± .03, b −.25 ± .03, loss .008904 ± .2 %", measured, holds
    )
    loss = 5 * pairs.loss[equal]
    expected, holds = ".017705 ± .2 %", abs(loss / 0.017705 - 1) <= 0.002
    claims.check("equal densities: loss of two pairs and a feature left out", expected, f"{loss:.5f}", holds)
    at = float(loop.crossing[0]) if len(loop.crossing) == 1 else np.nan
    angles = np.array([nearest_angle(W) for W in down.W[: last + 1]])
    denser, sparser = angles[: equal + 1], angles[equal:][rho[equal : last + 1] >= at]
    expected = "angle to its neighbours above 72° and rising with ρ"
    measured = f"{denser[-1]:.1f}° at ρ = 1 to {denser[0]:.1f}° at ρ = {rho[0]:.2g}"
    claims.check("denser: the others are pushed away", expected, measured, np.all(np.diff(denser) < 0))
    measured = f"down to {sparser[-1]:.1f}° at ρ = {rho[equal + len(sparser) - 1]:.2g}" if len(sparser) else "no such ρ"
    expected = "below 72° and falling with ρ, as far as it is best"
    claims.check("sparser: they close in", expected, measured, len(sparser) > 1 and np.all(np.diff(sparser) < 0))
    measured = ", ".join(f"ρ = {v:.4f} ({1 / v:.1f} times sparser)" for v in loop.crossing) or "none"
    expected = f"one crossing, ρ = {CROSSING:g} ± .001 (derived; the paper: about 2.5 times sparser)"
    claims.check("sparser still: two smooth loss curves cross", expected, measured, abs(at - CROSSING) <= 0.001)
    steep = loop.slopes[0] / loop.slopes[1] if len(loop.slopes) == 2 else np.nan
    measured = f"dL/d log ρ of the pentagon is {steep:.2f} times that of the pairs"
    claims.check("first order: the best loss has a kink there", "slopes differ", measured, abs(steep - 1) > 0.1)
    measured = f"down: pentagon until ρ = {rho[last]:.3f}; up: two pairs until ρ = {rho[loop.first]:.2f}"
    measured += ", the largest" if loop.first == 0 else ""
    # The crossing was looked for where both exist, so that it lies between their ends says nothing: it must do so clearly.
    outlives = rho[last] < at / OUTLIVES and rho[loop.first] > OUTLIVES * at
    expected = f"down: below it, up: above it, by a factor of {OUTLIVES:g} each"
    claims.check("hysteresis: each outlives the crossing", expected, measured, outlives)
    _evaluate_fits(loop, at, best, table, claims)


def _evaluate_fits(loop: Loop, at: float, best: Any, table: xr.Dataset, claims: Claims) -> None:
    """Fresh fits know nothing of the branches, and must land on the lower one."""
    factor = best["density"].values / BASE
    lower = np.minimum(loop.down.loss, loop.pairs.loss)[::-1]
    followed = np.exp(np.interp(np.log(factor), np.log(loop.factors[::-1]), np.log(lower)))
    excess = 100 * (best["loss"].values / followed - 1)
    worst = excess[np.abs(excess).argmax()]
    claims.check("the best of many fits is on the lower branch", "loss ± 2 %", f"{worst:+.2f} %", abs(worst) <= 2)
    names, W = table["shape"].values, best["W"].transpose("density", "hidden", "feature").values
    left_out, turns = [], []
    for k in np.flatnonzero(factor < at):
        left_out.append(np.linalg.norm(W[k, :, 0]))
        turns.append(float(abs(angle_gaps(W[k][:, 1:]) - 90).max()))
    shapes = " / ".join(sorted(set(names[factor < at].tolist())))
    measured = "no fit"
    if left_out:
        measured = f"{shapes}; norm of it at most {max(left_out):.3f}, gaps 90 ± {max(turns):.1f}°"
    holds = bool(left_out) and shapes == "2 × antipodal pair" and max(left_out) < 0.1 and max(turns) <= 3
    expected = "2 × antipodal pair; its norm below .1, gaps of the others 90 ± 3°"
    claims.check("below the crossing: two pairs, the sparse feature at 0", expected, measured, holds)


def draw(result: SweepResult, loop: Loop) -> tuple[Figure, str]:
    """Figure and caption: the best fits, and loss, angle and norm along both solutions."""
    best, rho, until = result.best("seed"), loop.factors, slice(0, loop.last + 1)
    figure = plt.figure(figsize=(8.2, 4.6), layout="constrained")
    rows: Any = figure.subfigures(2, 1, height_ratios=(1, 1.75))
    for ax, factor in zip(rows[0].subplots(1, len(DRAWN_FACTORS)), DRAWN_FACTORS, strict=True):
        cell = best.sel(density=factor * BASE, method="nearest")
        one_feature_apart(pointing_up(cell["W"].values), ax, limit=1.35)
        ax.set_title(f"ρ = {float(cell['density']) / BASE:.2g}")
    left, middle, right = rows[1].subplots(1, 3)
    curves = {
        "pentagon": (rho[until], 5 * loop.down.loss[until]),
        "2 × antipodal pair": (rho[loop.first :], 5 * loop.pairs.loss[loop.first :]),
    }
    branches(curves, left, crossing=loop.crossing)
    every = 5 * result["loss"].transpose("density", "seed")
    left.plot(result["density"] / BASE, every, ".", color="#BBBBBB", ms=3, zorder=1)
    left.plot(best["density"] / BASE, 5 * best["loss"], "o", color="black", mfc="none", ms=4, label="fresh fits")
    left.set(ylabel="loss (sum over features)", yscale="log")
    left.legend(loc="lower right")
    angles = np.array([nearest_angle(W) for W in loop.down.W[until]])
    branches({"pentagon": (rho[until], angles)}, middle, crossing=loop.crossing)
    middle.axhline(72, color="#BBBBBB", lw=0.8, zorder=0)
    middle.set(ylabel="angle to its two neighbours (°)")
    ways = (("getting sparser", loop.down), ("getting denser", loop.up))
    lengths = {name: (way.values, np.linalg.norm(way.W[:, :, 0], axis=1)) for name, way in ways}
    hysteresis(lengths, right, arrows=(0.7, 0.2))
    right.set_ylabel("norm of the varied feature")
    right.legend()
    for ax in (left, middle, right):
        ax.set_xlabel("ρ, its density over the others'")
    text = (
        f"One of five features (red) has ρ times the density {BASE:g} of the others. Top: "
        f"{result.best_of(what='fits')}, turned so that it points up. Bottom (circles: loss of the best fits, grey "
        "dots: of every seed): both solutions, each followed with warm starts from one ρ to the next; dotted where "
        "their losses cross."
    )
    return figure, caption(result.attrs, text)


def one_feature_apart(source: Any, ax: Axes | None = None, *, feature: int = 0, limit: float | None = None) -> Axes:
    """Feature directions in the plane, one feature in red and all others in grey. Drawn as they are: nothing is turned."""
    ax, W = current_axes(ax), weights(source)
    feature_directions(np.delete(W, feature, axis=1), ax, color=PALETTE["grey"], limit=limit)
    feature_directions(W[:, [feature]], ax, color=PALETTE["red"], limit=limit)
    return ax
