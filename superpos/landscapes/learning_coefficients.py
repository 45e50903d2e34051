r"""`sp.llc`: the local learning coefficient of a model, a result, or a loss of one's own, by sampling."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos import check
from superpos.errors import ConfigError
from superpos.landscapes import blocks, task_losses, verdicts
from superpos.landscapes.blocks import AT_ONCE, OWN_AT_ONCE, Points
from superpos.landscapes.sampling import DEFAULT_NBETA, Sampling
from superpos.training.run_record import Run

# How a result words what the loss was.
WORDS = {
    "sum": "sum over features, as in the papers",
    "mean": "mean over features or outputs, as the task states it",
    "given": "as given",
}


def llc(
    what: Any,
    point: Any = None,
    *,
    method: str | None = None,
    nbeta: float | None = None,
    gamma: float = 1.0,
    step_size: float | None = None,
    chains: int = 8,
    draws: int = 400,
    warmup: int = 200,
    steps: int = 8,
    batch_size: int = 256,
    convention: str | None = None,
    snapshots: bool = False,
    refuse: bool = True,
    seed: int = 0,
    at_once: int | None = None,
) -> xr.Dataset:
    r"""The local learning coefficient λ: how degenerate the floor of the loss is at a minimum $w^*$.

    $$\hat\lambda = n\beta\,\big(E_\beta[L(w)] - L(w^*)\big),$$

    the mean under the posterior $\propto \exp(-n\beta L(w) - \frac\gamma2\|w - w^*\|^2)$ (Lau et al. 2023,
    [arXiv:2308.12108](https://arxiv.org/abs/2308.12108)). A regular minimum of d parameters has λ = d/2; every direction in
    which the floor is flat, or flatter than a parabola, makes it less.

    `what` is a run, a result (of one cell or many: then this is `result.llc(…)`), or a loss of your own with its `point`, a
    pytree of arrays: `loss(point)` for the loss itself, `loss(point, key)` for that of a fresh batch. With `snapshots`,
    also along training: λ(t) of every snapshot of a run or result.

    **Settings.** `nbeta` nβ, 10,000 by default on the exact loss and 1,000 on batches; `gamma` γ; `step_size` ε, chosen where
    it is not given; `method` "hmc" (default where the loss is known without sampling), "langevin", "sgld" (default where it
    is not), "rmsprop_sgld"; `chains`, `draws` of each, after a `warmup`, `steps` of gradient per draw: `Sampling` says what
    each of them means. `at_once` chains run as one program, 8 of a task and 64 of a loss of your own; in larger blocks last
    bits may depend on a chain's place. Of a task, `convention` "sum" is the sum over features, as papers have it, and "mean"
    the mean, as superpos has it: λ is the same in the limit, and nβ multiplies another number, so nβ of the mean is n times
    that of the sum. The default is the sum where the loss is a mean over features.

    **The bias is known where the loss is a parabola**: $\hat\lambda = \frac12 \sum_i n\beta h_i/(n\beta h_i + \gamma)$ with
    curvatures $h_i$, so a direction counts if $h_i \gg \gamma/n\beta$.

    Returns a Dataset with the axes of the result (and `snapshot`), of `llc` (NaN where it is refused), `estimate` (the number
    whatever the verdict; it may be negative), `standard_error` (the larger of those within chains, by ESS, and between them),
    `r_hat`, `ess`, `loss_at_point`, `above_floor` (nβ times what a descent from the chains gains on the point), `verdict`
    ("minimum", or why it is refused: `superpos.landscapes.verdicts`), and over `chain` `acceptance`, `step_size` and
    `diverged_draw` (-1: healthy), and `loss_trace` over `chain` and `draw`. Attributes hold every setting.

    The loss of one parameter, $w^4$, has λ = 1/4:

    >>> table = sp.llc(lambda w: w**4, 0.0, chains=64)
    >>> abs(float(table["llc"]) - 0.25) < 0.02
    True

    A chain depends on its point, its settings, `seed` and its own number alone: it has the same bytes among any others. One
    that diverges is frozen and flagged, and no other changes. Chains of one number see the same noise at every point, so
    that points are compared in pairs, and the errors of their estimates are not independent.

    Raises:
        ConfigError: a setting is not allowed; the point is not finite; or the one point asked for is no minimum and
            `refuse` is true (several points get a `verdict` each).
    """
    if callable(getattr(what, "llc", None)):  # a result, which is above this package
        return _of_result(what, point, locals())
    settings: dict[str, Any] = {
        "gamma": gamma, "step_size": step_size, "chains": chains, "draws": draws, "warmup": warmup, "steps": steps,
        "batch_size": batch_size, "seed": seed,
    }  # fmt: skip
    check.boolean("snapshots", snapshots)
    check.boolean("refuse", refuse)
    at_once = (AT_ONCE if isinstance(what, Run) else OWN_AT_ONCE) if at_once is None else at_once
    if isinstance(what, Run):
        if point is not None:
            raise ConfigError("point is for a loss of your own; a run has its model.")
        sampling = settled(method, nbeta, settings, exact=has_loss(what.task, what.model))
        if snapshots and what.snapshots is None:
            raise ConfigError("snapshots: the run has none; TrainConfig(snapshots=(0, 100)) keeps some.")
        models = what.snapshots if snapshots else jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], what.model)
        table = of_models([what.task] * len(jax.tree.leaves(models)[0]), models, sampling, convention, at_once)
        if snapshots:
            steps_of = np.asarray(what.config.snapshots)
            return table.rename(point="snapshot").assign_coords(snapshot_step=("snapshot", steps_of))
        return refused(table.isel(point=0)) if refuse else table.isel(point=0)
    if not callable(what):
        raise ConfigError(f"llc takes a run, a result, or a loss with its point, got {check.short(what)}.")
    if snapshots:
        raise ConfigError("snapshots are of a run or a result; a loss of your own has one point.")
    if convention is not None:
        raise ConfigError("convention is about the loss of a task; a loss of your own is taken as it is.")
    loss, w = _own_loss(what, point)
    sampling = settled(method, nbeta, settings, exact=not loss.batched)
    if loss.batched and sampling.exact:
        raise ConfigError(
            f'method must be "sgld" or "rmsprop_sgld" for a loss of batches, loss(point, key), got {method!r}.'
        )
    if not loss.batched and not sampling.exact:
        raise ConfigError(
            f"method must be one of hmc, langevin for a loss without batches, loss(point), got {method!r}."
        )
    table = _table(loss, Points(w[None], ()), sampling, at_once, "given").isel(point=0)
    return refused(table) if refuse else table


def _of_result(result: Any, point: Any, given: dict[str, Any]) -> xr.Dataset:
    if point is not None:
        raise ConfigError("point is for a loss of your own; a result has its models.")
    return result.llc(**{name: value for name, value in given.items() if name not in ("what", "point", "refuse")})


def settled(method: str | None, nbeta: float | None, settings: dict[str, Any], *, exact: bool) -> Sampling:
    """The settings of an estimate, checked, with what was left to the kind of loss filled in."""
    method = ("hmc" if exact else "sgld") if method is None else method
    # A wrong method is told by `check`, before its default is looked up.
    nbeta = DEFAULT_NBETA.get(method, 1.0) if isinstance(method, str) and nbeta is None else nbeta
    sampling = Sampling(method=method, nbeta=nbeta, **settings)  # type: ignore[arg-type]
    sampling.check()
    return sampling


def of_models(tasks: list[Any], models: Any, sampling: Sampling, convention: str | None, at_once: int) -> xr.Dataset:
    """The table of models of one shape, which lead with one axis, one task each; over `point`."""
    check.integer("at_once", at_once, at_least=1, at_most=4096)
    task = tasks[0]
    convention = task_losses.convention_of(task, convention)
    example = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), models)
    if sampling.exact and not has_loss(task, example):
        raise ConfigError(
            f'method must be "sgld" or "rmsprop_sgld": the loss of this {type(task).__name__} is not known without sampling.'
        )
    loss = task_losses.loss_of(
        task, example, convention=convention, batch_size=None if sampling.exact else sampling.batch_size
    )
    given = jax.tree.map(lambda *leaves: np.stack(leaves), *(_as_arrays(t) for t in tasks))
    return _table(loss, Points(task_losses.flat_rows(models), given), sampling, at_once, convention)


def _as_arrays(task: Any) -> Any:
    return jax.tree.map(np.asarray, task.broadcast())


def has_loss(task: Any, model: Any) -> bool:
    """Whether the loss of a task is known without sampling, so that HMC can be used."""
    return task_losses.has_expected(task, model)


def refused(table: xr.Dataset) -> xr.Dataset:
    """The table of one point, unless the point is refused.

    Raises:
        ConfigError: it is; the sentence says why.
    """
    if (verdict := str(table["verdict"].item())) != verdicts.MINIMUM:
        value, error = float(table["estimate"]), float(table["standard_error"])
        raise ConfigError(
            f"point has no local learning coefficient: {verdicts.REASONS[verdict]} (estimate {value:.3g} ± {error:.2g})."
        )
    return table


@dataclass(frozen=True)
class _OwnLoss:
    """A function of a pytree as one of flat parameters."""

    function: Callable[..., Any]
    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    batched: bool

    def __call__(self, w: Any, given: Any, key: Any) -> Any:
        del given
        tree = task_losses.rebuilt(w, self.structure, self.shapes)
        return self.function(tree, key) if self.batched else self.function(tree)


def _own_loss(function: Any, point: Any) -> tuple[_OwnLoss, np.ndarray]:
    """A user's loss, and its point as a vector."""
    if point is None:
        raise ConfigError("point is missing: llc(loss, point) needs the minimum to sample around.")
    leaves = [check.finite_array("point", leaf) for leaf in jax.tree.leaves(point)]
    known = [leaf for leaf in leaves if leaf is not None]
    if len(known) < len(leaves):
        raise ConfigError("point must hold numbers that are known: llc cannot run inside jit, vmap or grad.")
    if not sum(leaf.size for leaf in known):
        raise ConfigError("point must hold at least one number.")
    shapes = tuple(leaf.shape for leaf in known)
    loss = _OwnLoss(function, jax.tree.structure(point), shapes, _arguments(function) == 2)
    w = task_losses.flat(known)
    key = jax.random.key(0)
    try:
        shape = jax.eval_shape(lambda x: loss(x, (), key), jnp.asarray(w))
    except Exception as error:
        raise ConfigError(f"loss failed at the point: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    if getattr(shape, "shape", None) != ():
        raise ConfigError(f"loss must give one number, got shape {getattr(shape, 'shape', None)}.")
    return loss, w


def _arguments(function: Any) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in ones do not tell
        return 1
    count = sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    if count not in (1, 2):
        raise ConfigError(f"loss must take a point, or a point and a key, got {count} arguments.")
    return count


def _table(loss: Any, points: Points, sampling: Sampling, at_once: int, convention: str) -> xr.Dataset:
    """Sample, judge and label; over `point`."""
    check.integer("at_once", at_once, at_least=1, at_most=4096)
    if not np.all(np.isfinite(points.w)):
        raise ConfigError("point must be finite: a model has parameters that are not.")
    trace = blocks.sample(loss, points, sampling, at_once=at_once)
    if not np.all(np.isfinite(trace.loss_at_point)):
        raise ConfigError("loss must be finite at the point.")
    diverged = np.asarray(trace.diverged_draw) >= 0
    excess = sampling.nbeta * np.asarray(trace.excess, np.float64)
    judged = verdicts.estimates(
        excess, diverged, np.asarray(trace.acceptance), sampling.nbeta * np.asarray(trace.floor, np.float64)
    )
    over, chain = "point", ("point", "chain")
    loss_at_point = np.asarray(trace.loss_at_point, np.float64).mean(1)
    variables = {
        "llc": (over, np.where(judged.verdict == verdicts.MINIMUM, judged.estimate, np.nan)),
        **{name: (over, getattr(judged, name)) for name in ("estimate", "standard_error", "standard_error_between")},
        "r_hat": (over, judged.r_hat),
        "ess": (over, judged.effective_draws),
        "above_floor": (over, judged.above_floor),
        "loss_at_point": (over, loss_at_point),
        "verdict": (over, judged.verdict.astype(str)),
        "acceptance": (chain, np.asarray(trace.acceptance)),
        "step_size": (chain, np.asarray(trace.step_size)),
        "diverged_draw": (chain, np.asarray(trace.diverged_draw)),
        "loss_trace": ((*chain, "draw"), np.asarray(trace.loss_at_point)[..., None] + trace.excess),
    }
    attrs = {**sampling.described(), "loss": WORDS[convention], "convention": convention, "at_once": at_once}
    return xr.Dataset(variables, attrs=attrs)
