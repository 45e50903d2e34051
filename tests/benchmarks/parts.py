"""The three parts of the comparison, as plain data; `tables` prints them."""

import sys
import tempfile
from typing import Any

import numpy as np
from child import measure
from workloads import Plan, Workload, probabilities

OBJECTIVES = ("sampled", "expected")
NEAR_TARGET = 1.001  # PyTorch counts as arrived once its median loss is this close to its last one
NEAR_BEST = 1.01  # a model counts as a good one below this multiple of the best known loss


def throughput(workload: Workload, plan: Plan) -> dict[str, Any]:
    """Part 1: model-steps a second of every method, compilation left out; None where there is no number."""
    p, importance = probabilities(workload.models).tolist(), workload.importance().tolist()
    size: dict[str, Any] = {"n": workload.n, "m": workload.m, "importance": importance}
    timing = {"seconds": plan.seconds, "repeats": plan.repeats}
    row: dict[str, Any] = {peer: measure(peer, **size, **timing, p=p) for peer in ("pytorch", "naive jax")}
    for objective in OBJECTIVES:
        found = None
        if objective == "sampled" or workload.expected:
            own = {"objective": objective, "counts": [workload.models], "block_size": workload.block_size}
            found = measure("throughput", **size, **timing, **own)
        row[objective] = found and found[0]
    return row


def same_loss(workload: Workload, plan: Plan) -> dict[str, Any]:
    """Part 2: seconds per model to PyTorch's loss, and per model within 1 % of the best known loss."""
    size: dict[str, Any] = {"n": workload.n, "m": workload.m, "p": workload.p}
    models = workload.seeds * workload.scales
    runs: dict[str, list[dict[str, Any]]] = {"pytorch": _torch_runs(size, models, plan)}
    grid = {"seeds": workload.seeds, "scales": workload.scales, "limit": plan.limit}
    grid |= {"order": workload.order, "block_size": workload.block_size}
    for objective, steps in plan.ladders:
        runs[objective] = measure("ladder", **size, **grid, objective=objective, steps=list(steps)) or []
    reference = _reference(size, workload, runs["expected"], plan)
    row: dict[str, Any] = {"models": models, "runs": runs, "reference": reference, "to_target": {}, "to_best": {}}

    final = float(np.median(runs["pytorch"][-1]["losses"])) if runs["pytorch"] else None
    row["target"] = final
    for method, points in runs.items():
        allowed = None if final is None else final * (NEAR_TARGET if method == "pytorch" else 1.0)
        row["to_target"][method] = _first(points, allowed)
    ours = [row["to_target"][o]["seconds"] for o in OBJECTIVES if row["to_target"][o]]
    torch = row["to_target"]["pytorch"]
    row["ratio"] = torch["seconds"] / min(ours) if torch and ours else None

    everything = [x for points in (*runs.values(), reference) for point in points for x in point["losses"]]
    row["best"] = float(np.nanmin(everything)) if everything else None
    for method, points in runs.items():
        row["to_best"][method] = _cheapest(points, row["best"])
    ours, torch = [row["to_best"][o]["seconds"] for o in OBJECTIVES if row["to_best"][o]], row["to_best"]["pytorch"]
    row["good_ratio"] = torch["seconds"] / min(ours) if torch and ours else None
    return row


def scaling(plan: Plan, sizes_only: set[str] | None = None) -> dict[str, Any]:
    """Part 3: model-steps a second of both objectives as models become many, and as features do."""
    common = {"block_size": None, "seconds": plan.seconds / 2, "repeats": 1}  # many points, so a short timing each
    by_models, by_size = [], []
    for n, m, counts in plan.counts:
        if sizes_only and f"{n}-{m}" not in sizes_only:
            continue
        size = {"n": n, "m": m, "importance": [1.0] * n}
        found = {o: measure("throughput", **size, **common, objective=o, counts=list(counts)) for o in OBJECTIVES}
        by_models += [_pair(n, m, count, found, k) for k, count in enumerate(counts)]
    for n in plan.sizes:
        size = {"n": n, "m": max(1, n // 5), "importance": [1.0] * n}
        found = {o: measure("throughput", **size, **common, objective=o, counts=[plan.size_models]) for o in OBJECTIVES}
        by_size.append(_pair(n, size["m"], plan.size_models, found, 0))
    return {"by_models": by_models, "by_size": by_size}


def _torch_runs(size: dict[str, Any], models: int, plan: Plan) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        how = {"steps": plan.torch_steps, "chunk": plan.torch_chunk, "folder": folder}
        found = measure("pytorch checkpoints", **size, models=models, **how)
        if not found:
            return []
        from ours import exact_losses  # only now: JAX's threads were not there while PyTorch was timed

        losses = exact_losses(found["files"], size["p"])
    rows = zip(found["steps"], found["seconds"], losses, strict=True)
    return [{"steps": k, "seconds": s, "losses": row, "models": models} for k, s, row in rows]


def _reference(
    size: dict[str, Any], workload: Workload, expected: list[dict[str, Any]], plan: Plan
) -> list[dict[str, Any]]:
    """A long run with a longer series and up to four times the models: as many as `limit` allows, perhaps none."""
    if not expected:
        return []
    last = expected[-1]
    per_model = last["seconds"] / last["steps"] / last["models"] * plan.reference_steps * plan.reference_order / 32
    for times in (4, 2, 1):
        seeds = workload.seeds * times
        if per_model * seeds * workload.scales <= 1.5 * plan.limit:
            own = {"objective": "expected", "seeds": seeds, "scales": workload.scales, "limit": plan.limit}
            own |= {"order": plan.reference_order, "block_size": workload.block_size}
            return measure("ladder", **size, **own, steps=[plan.reference_steps]) or []
    print(f"versus_peers: {workload.name}: no long expected run, it would pass the limit", file=sys.stderr)
    return []


def _first(points: list[dict[str, Any]], allowed: float | None) -> dict[str, Any] | None:
    """The first of the runs, which are in order of length, whose median loss is low enough."""
    for point in points if allowed is not None else ():
        if np.median(point["losses"]) <= allowed:  # a diverged model is NaN, and so is then the median
            return {"steps": point["steps"], "seconds": point["seconds"] / point["models"]}
    return None


def _cheapest(points: list[dict[str, Any]], best: float | None) -> dict[str, Any] | None:
    """The smallest cost of one good model: seconds per model over the share of models that are good."""
    costs = []
    for point in points if best is not None else ():
        share = float(np.mean(np.array(point["losses"]) <= NEAR_BEST * best))
        if share:
            cost = point["seconds"] / point["models"] / share
            costs.append({"seconds": cost, "steps": point["steps"], "share": share})
    return min(costs, key=lambda c: c["seconds"], default=None)


def _pair(n: int, m: int, models: int, found: dict[str, Any], k: int) -> dict[str, Any]:
    rates = {o: found[o][k]["rate"] if found[o] else None for o in OBJECTIVES}
    cost = rates["sampled"] / rates["expected"] if all(rates.values()) else None
    return {"n": n, "m": m, "models": models, **rates, "cost": cost}
