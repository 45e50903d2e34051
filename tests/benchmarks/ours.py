"""What superpos itself does, measured: throughput of a sweep, and losses after more and more steps."""

import math
import time
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from workloads import probabilities

import superpos as sp
from superpos.sweeping.api import run
from superpos.sweeping.compiled import CompiledSweep, prepare
from superpos.sweeping.mesh import Programs
from superpos.sweeping.plan import default_block_size
from superpos.tasks.objectives import EXACT_ORDER


def _any_length(work: CompiledSweep) -> CompiledSweep:
    """The same work with programs that train any number of steps, so that one compilation serves all timings.

    With one point of history and a constant schedule the number of steps reaches the program as data; only the
    configuration that is passed along must be the one it was compiled for.
    """

    def wrapped(compiled: Programs, steps: int) -> Programs:
        return compiled._replace(
            start=lambda tasks, configs, *rest: compiled.start(tasks, replace(configs, steps=steps), *rest),
            advance=lambda tasks, configs, *rest: compiled.advance(tasks, replace(configs, steps=steps), *rest),
            finish=lambda tasks, configs, *rest: compiled.finish(tasks, replace(configs, steps=steps), *rest),
        )

    return replace(
        work, programs=[wrapped(c, f.config.steps) for c, f in zip(work.programs, work.families, strict=True)]
    )


def _timed(work: CompiledSweep, task: Any, config: Any, grid: Any, steps: int) -> float:
    """Seconds of a sweep of `steps` steps with programs that are compiled already."""
    families = [replace(f, config=replace(f.config, steps=steps)) for f in work.families]
    begin = time.perf_counter()
    run(
        replace(work, layout=replace(work.layout, families=families)),
        task,
        replace(config, steps=steps),
        grid,
        progress=False,
    )
    return time.perf_counter() - begin


def throughput(
    n: int,
    m: int,
    objective: str,
    importance: Any,
    counts: list[int],
    block_size: int | None,
    seconds: float,
    repeats: int,
) -> list[dict[str, Any]]:
    """Model-steps a second for every number of models in `counts`.

    The difference of two sweeps, one three times as long as the other, leaves out what does not grow with the number of
    steps: initial weights, the exact loss of the trained models, the result's arrays.
    """
    task = sp.tasks.Toy(n_features=n, n_hidden=m, importance=np.array(importance), objective=objective)
    config = sp.TrainConfig(steps=8, schedule="constant", history=1, evaluation_samples=1_024)
    out = []
    for count in counts:
        p = probabilities(count).tolist()
        grid = sp.Grid(feature_probability=p)
        work = _any_length(prepare(task, config, grid, block_size=block_size))
        _timed(work, task, config, grid, 1)
        steps, short, long = 2, 0.0, 0.0
        while long - short < seconds / 3:  # what grows with the steps must be long enough to be timed
            if long:
                steps = math.ceil(steps * min(4, max(1.5, seconds / 2.5 / max(long - short, 1e-3))))
            short, long = (_timed(work, task, config, grid, k * steps) for k in (1, 3))
        pairs = [(short, long)]
        pairs += [tuple(_timed(work, task, config, grid, k * steps) for k in (1, 3)) for _ in range(repeats - 1)]
        rates = [len(p) * 2 * steps / (long - short) for short, long in pairs if long > short]  # noise may win
        out.append(
            {
                "models": len(p),
                "rate": float(np.median(rates)),
                "rates": rates,
                "steps": steps,
                "block_size": work.block_sizes[0],
                "lanes": work.n_concurrent,
            }
        )
    return out


def ladder(
    n: int,
    m: int,
    objective: str,
    p: float,
    seeds: int,
    scales: int,
    steps: list[int],
    limit: float,
    order: int,
    block_size: int | None,
) -> list[dict[str, Any]]:
    """Exact losses after each number of steps, from scratch every time, with the default schedule and learning rate.

    Seconds are of a whole `sp.sweep` whose programs are compiled already, the exact losses at the end included. A run
    that would take longer than `limit`, to judge by the one before, is left out, and so are all that follow.
    """
    task = sp.tasks.Toy(n_features=n, n_hidden=m, feature_probability=p, objective=objective, order=order)
    grid = sp.Grid(seed=range(seeds), init_scale=np.linspace(0.9, 1.1, scales))
    out: list[dict[str, Any]] = []
    for length in steps:
        if out and out[-1]["seconds"] / out[-1]["steps"] * length > limit:
            break
        config = sp.TrainConfig(steps=length)
        # A block holds one seed: one of more cells than a seed has would train padding.
        size = min(
            block_size or default_block_size(task, config.with_defaults(task), jax.devices()[0].platform), scales
        )
        prepare(task, config, grid, block_size=size)  # compiles; sp.sweep finds the programs in memory
        for _ in range(3):  # short sweeps again, for the first call of a program costs some milliseconds more
            begin = time.perf_counter()
            result = sp.sweep(task, config, grid, block_size=size, progress=False)
            spent = time.perf_counter() - begin
            if spent > 2:
                break
        losses = result["loss"].values.ravel().tolist()
        out.append({"steps": length, "seconds": spent, "losses": losses, "models": len(losses)})
    return out


def exact_losses(files: list[str], p: float) -> list[list[float]]:
    """Population losses of saved models, importance 1: for every file, one number per instance.

    As long a series as sweeps use for the loss of their trained models.
    """
    out = []
    for file in files:
        with np.load(file) as saved:
            W, b = saved["W"], saved["b"]
        out.append([float(sp.expected_loss(w.T, c, p, 1.0, order=EXACT_ORDER)) for w, c in zip(W, b, strict=True)])
    return out


def matmul_peak(seconds: float, size: int = 2_048) -> dict[str, Any]:
    """The best float32 GFLOP/s of a square matrix product, and what JAX calls the device."""
    product = jax.jit(lambda a, b: jnp.dot(a, b, precision=jax.lax.Precision.HIGHEST))
    a = jax.random.normal(jax.random.key(0), (size, size))
    jax.block_until_ready(product(a, a))
    best, stop = np.inf, time.perf_counter() + max(seconds, 0.5)
    while time.perf_counter() < stop:
        begin = time.perf_counter()
        jax.block_until_ready(product(a, a))
        best = min(best, time.perf_counter() - begin)
    device = jax.devices()[0]
    return {"gflops": 2 * size**3 / best / 1e9, "device": f"{device.platform} {device.device_kind}"}
