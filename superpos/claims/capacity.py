"""How dimensions are shared out: Scherlis et al. 2022, "Polysemanticity and Capacity in Neural Networks"."""

import jax
import numpy as np
import xarray as xr

from superpos.analysis.features import feature_capacity, frame_defect
from superpos.experiments.claims import Claims
from superpos.experiments.uniform import SMALL_BEST_UP_TO
from superpos.sweep import SweepResult
from superpos.theory.capacity import allocation, capacity_losses
from superpos.theory.uniform import benefits, structures

ALONE = 0.9  # capacities above this are a dimension of one's own, those below 1 − ALONE none
# No number is published for how equal the marginal benefit must be; these are ours.
REGRET = 0.05
TOLERANCE = 0.05  # of a falling capacity: members of one block differ a little


def measure(result: SweepResult) -> xr.Dataset:
    """`capacity` and `defect` of every feature of every model; dims of the result's grid, then `feature`."""
    W = result["W"].transpose(..., "hidden", "feature")
    both = jax.jit(lambda w: (feature_capacity(w), frame_defect(w)))
    values = [np.array(x) for x in zip(*map(both, W.values.reshape(-1, *W.shape[-2:])), strict=True)]
    dims = (*W.dims[:-2], "feature")
    sizes = (*W.shape[:-2], W.shape[-1])
    found = {name: (dims, x.reshape(sizes)) for name, x in zip(("capacity", "defect"), values, strict=True)}
    return xr.Dataset(found, {d: W.coords[d] for d in dims if d in W.coords})


def priced(best: SweepResult, *, order: int = 64) -> xr.Dataset:
    """What equal marginal benefit predicts at every density of a result over `feature_probability`, and how good it is.

    Structures that compete have no more dimensions and features than there are.
    `capacity` over (feature_probability, feature); `loss`, the sum over features; `price` per unit of capacity; and
    `regret`: what the trained allocation, valued on the same curve, costs above the best allocation of as much capacity;
    `even_regret`: the same for equal shares, as a control.
    """
    task, p = best.attrs["task"], best["feature_probability"].values
    n, m = task["n_features"], task["n_hidden"]
    importance = np.broadcast_to(np.asarray(task["importance"], float), (n,))
    fitting = [shape for shape in structures() if shape.dimensions <= m and len(shape.vertices) <= n]
    curves = capacity_losses(p, benefits(p[p < 1], fitting, order=order))
    trained = measure(best)["capacity"].transpose("feature_probability", "feature").values.astype(float)
    rows, regrets = [allocation(curve, importance, m) for curve in curves], []
    for curve, C in zip(curves, trained, strict=True):
        costs = [importance @ np.interp(shares, curve.capacity, curve.loss) for shares in (C, np.full(n, C.sum() / n))]
        regrets.append(np.array(costs) / allocation(curve, importance, C.sum()).loss - 1)
    over = "feature_probability"
    found = {
        "capacity": ((over, "feature"), np.array([row.capacity for row in rows])),
        "loss": (over, np.array([row.loss for row in rows])),
        "price": (over, np.array([row.price for row in rows])),
        "regret": (over, np.array(regrets)[:, 0]),
        "even_regret": (over, np.array(regrets)[:, 1]),
    }
    return xr.Dataset(found, {over: p})


def judge_bound(found: xr.Dataset, n_hidden: int, claims: Claims) -> None:
    """Capacities lie in [0, 1] and add up to at most m, and to m exactly where W is block-semi-orthogonal: of any W."""
    C, total = found["capacity"].values, found["capacity"].sum("feature").values.ravel()
    measured = f"{C.min():.3f} … {C.max():.5f} in {total.size} models"
    inside = C.min() >= 0 and C.max() <= 1 + 1e-5
    claims.identity("a feature has between no and one dimension", "0 ≤ C ≤ 1", measured, inside)
    wanted, measured = "ΣC ≤ m", f"m − ΣC at least {(n_hidden - total).min():.1e}"
    claims.identity("capacities add up to at most m", wanted, measured, (n_hidden - total).min() >= -1e-4)
    defect = found["defect"].max("feature").values.ravel()
    even, uneven = defect < 1e-4, defect > 1e-2
    most, least = (n_hidden - total[even]).max(initial=-np.inf), (n_hidden - total[uneven]).min(initial=np.inf)
    wanted = "m − ΣC is 0 if all Wᵢ are eigenvectors of WWᵀ (sin² < 1e-4), above 0 if not (sin² > .01)"
    measured = f"at most {most:.4f} in {even.sum()} models, at least {least:.4f} in {uneven.sum()}"
    holds = most <= 0.01 and least > 0
    claims.identity("equality iff W is block-semi-orthogonal", wanted, measured, holds)


def judge_allocation(best: SweepResult, found: xr.Dataset, price: xr.Dataset, claims: Claims) -> None:
    """Who gets how much at every density; `found` and `price` belong to `best`, which is over `feature_probability`."""
    task, p = best.attrs["task"], best["feature_probability"].values
    m, n = task["n_hidden"], task["n_features"]
    C = found["capacity"].transpose("feature_probability", "feature").values
    off = np.abs(C[p.argmax()] - (np.arange(n) < m)).max()
    claims.add("dense: the m most important features have C = 1, others 0", "± .02", f"{off:.4f}", off <= 0.02)
    alone, sharing = (C > ALONE).sum(axis=1), ((C > 1 - ALONE) & (C <= ALONE)).sum(axis=1)
    staged = [k for k in range(len(p)) if alone[k] and sharing[k] and alone[k] + sharing[k] < n]
    ordered = all(np.all(np.diff(np.digitize(C[k], [1 - ALONE, ALONE])) <= 0) for k in staged)
    measured = f"{'in order' if ordered else 'out of order'} at " + ", ".join(f"{p[k]:.2g}" for k in staged)
    wanted = "C = 1, then 0 < C < 1, then 0, at the densities 1 − S that have all three"
    claims.add("between: the most important alone, the next share", wanted, measured, staged and ordered)
    rises = np.maximum(np.diff(C, axis=1), 0).max(axis=1)
    measured = f"largest rise {rises.max():.3f}, at 1 − S = {p[rises.argmax()]:.2g}"
    wanted, holds = f"no rise above {TOLERANCE:g}", rises.max() <= TOLERANCE
    claims.add("capacity falls with importance", wanted, measured, holds)
    order = np.argsort(-p)
    wanted = "with C > .1 never fewer, with C > .9 never more"
    measured = (
        f"sharing or alone {', '.join(map(str, (alone + sharing)[order]))}; alone {', '.join(map(str, alone[order]))}"
    )
    holds = np.all(np.diff((alone + sharing)[order]) >= 0) and np.all(np.diff(alone[order]) <= 0)
    claims.add("sparser: more features share", wanted, measured, holds)
    # The curve is right where the best structures of all are on it. Which those are is known of n ≫ m, without training;
    # to choose the densities by how well training does on the curve would be to choose by what is claimed.
    known = 1 / p <= SMALL_BEST_UP_TO
    regret, control = (100 * price[name].values for name in ("regret", "even_regret"))
    apart = np.abs(C - price["capacity"].values)[known].mean()
    measured = f"at most {regret[known].max():.1f} % (equal shares: {control[known].min():.0f} % or more) at 1 − S ≥ "
    measured += f"{p[known].min():.2g}; mean |C − predicted| {apart:.3f}"
    less = 100 * float((1 - n * best["loss"].values / price["loss"].values).max())
    measured += f"; sparser, with structures that are not on the curve, up to {less:.0f} % cheaper" * (less > 1)
    wanted = f"at most {100 * REGRET:.0f} % dearer than the best allocation, at 1/(1 − S) ≤ {SMALL_BEST_UP_TO:g}"
    claims.add("marginal benefit is equalised", wanted, measured, regret[known].max() <= 100 * REGRET)
