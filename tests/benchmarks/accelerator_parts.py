"""What is measured on an accelerator, part by part; every part returns plain data."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from accelerator_cases import HAS_KERNELS, Scale, Speed, grid_of

import superpos as sp
from superpos.chips import KNOWN, Chip, chip_of
from superpos.chips.measured import measure, write
from superpos.chips.model import rate, step
from superpos.sweeping import mesh as meshes
from superpos.sweeping.compiled import prepare
from superpos.sweeping.kernel_cost import kernel_cost
from superpos.sweeping.launches import launch_inputs, launch_starts
from superpos.sweeping.step_cost import step_cost
from superpos.training.loop import Intervals

# After so many steps of so little training, rounding has had no time to grow.
LOSS_TOLERANCE = 1e-3  # relative
WEIGHT_TOLERANCE = 1e-4  # of the median difference, in units of weights
LARGEST_TOLERANCE = 2e-2  # of the largest: Adam's first steps have the size of the learning rate, whatever the slope
CONFIG = sp.TrainConfig()
FIGURES = Path(__file__).parents[2] / "figures"


def machine(_: Scale) -> dict[str, Any]:
    """Versions, and what the device can do beside what its data sheet says."""
    device = jax.devices()[0]
    chip = measure(device, 0.5)
    write(device, chip)
    sheet = chip_of(device.platform, device.device_kind)
    shares = {k: getattr(chip, k) / getattr(sheet, k) for k in ("launch", "bandwidth", "matrix_peak", "vector_peak")}
    return {
        "python": sys.version.split()[0],
        "jax": jax.__version__,
        "superpos": sp.__version__,
        "device": device.device_kind,
        "platform": device.platform,
        "measured": vars(chip),
        "of the data sheet": shares,
    }


def correctness(scale: Scale) -> dict[str, Any]:
    """Every task after a few steps, on the device and on the CPU: the largest and the median difference of its numbers.

    Sizes with kernels of our own are trained by them on the device, and by the plain one on the CPU.
    """
    on_cpu = jax.devices("cpu")[:1]
    grid = sp.Grid(learning_rate=[0.001, 0.003])
    found = {}
    cases = [(name, task, {}) for name, task in scale.correct.items()]
    cases += [(f"{speed.name}, {kernel}", speed.task, {"kernel": kernel}) for speed, kernel in of_our_own(scale)]
    for name, task, how in cases:
        config = sp.TrainConfig(steps=scale.steps, evaluation_samples=1_024, history=2)
        try:
            here, there = (
                sp.sweep(task, config, grid, block_size=2, devices=devices, progress=False, **options)
                for devices, options in ((jax.devices()[:1], how), (on_cpu, {}))
            )
        except Exception as error:  # one task that fails must not hide the others
            found[name] = {"ok": False, "error": f"{type(error).__name__}: {str(error)[:300]}"}
            continue
        loss = float(np.max(np.abs(here["loss"].values / there["loss"].values - 1)))
        parameters = [
            v for v in here.dataset.data_vars if {"learning_rate"} < set(here[v].dims) and "history" not in str(v)
        ]
        parameters = [v for v in parameters if here[v].dtype.kind == "f"]
        apart = [np.abs(here[v].values - there[v].values).ravel() for v in parameters]
        apart = np.concatenate(apart) if apart else np.zeros(1)
        ok = loss <= LOSS_TOLERANCE and np.median(apart) <= WEIGHT_TOLERANCE and np.max(apart) <= LARGEST_TOLERANCE
        found[name] = {
            "ok": bool(ok),
            "loss": loss,
            "median": float(np.median(apart)),
            "largest": float(np.max(apart)),
        }
    return found


def determinism(scale: Scale) -> dict[str, Any]:
    """The same sweep twice, and half of it: the same bytes. By the plain kernel and by ours."""
    config, densities = sp.TrainConfig(steps=scale.steps, history=2), np.geomspace(1, 0.05, 8)
    cases = [(scale.speeds[0], "plain"), *{kernel: (speed, kernel) for speed, kernel in of_our_own(scale)}.values()]
    found = {}
    for speed, kernel in cases:
        options = {} if kernel == "plain" else {"kernel": kernel}
        whole, again, half = (
            sp.sweep(speed.task, config, sp.Grid(feature_probability=p), block_size=4, progress=False, **options)[
                "W"
            ].values
            for p in (densities, densities, densities[:4])
        )
        found |= {
            f"{kernel}, run to run": whole.tobytes() == again.tobytes(),
            f"{kernel}, whoever is beside": whole[:4].tobytes() == half.tobytes(),
        }
    return found


def of_our_own(scale: Scale) -> list[tuple[Speed, str]]:
    """Sizes and the kernels of our own that train them on a GPU."""
    if not HAS_KERNELS or jax.devices()[0].platform != "gpu":
        return []
    return [(speed, kernel) for speed in scale.speeds for kernel in speed.kernels]


def step_seconds(
    task: Any, grid: Any, block_size: int | None, seconds: float, kernel: str = "plain"
) -> tuple[float, int]:
    """Seconds of a step of one block, compiled before, and how many models a block has."""
    options = {"kernel": kernel} if HAS_KERNELS else {}
    config = sp.TrainConfig(steps=1_000, history=1)
    work = prepare(task, config, grid, block_size=block_size, **options)
    launch, programs = next(work.launches()), work.programs[0]
    inputs = launch_inputs(work, launch)
    states = programs.start(*inputs, launch_starts(work, launch))
    n_steps, k, spent = 2, programs.n_intervals, 0.0
    while spent < seconds and n_steps < 10**6:
        n_steps = math.ceil(n_steps * min(10.0, max(2.0, 1.2 * seconds / max(spent, 1e-3))))
        stops = np.full(k, n_steps, np.int32)
        start = np.concatenate([[0], stops[1:]]).astype(np.int32)
        segment = meshes.place_everywhere(work.mesh, Intervals(start, start, stops, np.full(k, -1, np.int32)))
        begin = time.perf_counter()
        states, _ = jax.block_until_ready(programs.advance(*inputs, states, segment))
        spent = time.perf_counter() - begin
    return spent / n_steps, work.block_sizes[0]


def best_known() -> Chip:
    """The device as its data sheet describes it."""
    device = jax.devices()[0]
    return chip_of(device.platform, device.device_kind)


def throughput(scale: Scale) -> dict[str, Any]:
    """Steps of all models a second at the sizes of the README, with shares of the peak and of the bandwidth."""
    chip, found = best_known(), {}
    for speed in scale.speeds:
        seconds, size = step_seconds(speed.task, grid_of(speed.n_models), None, scale.seconds)
        cost = step_cost(speed.task, sp.TrainConfig())
        found[speed.name] = {
            "block_size": size,
            "rate": size / seconds,
            "predicted": rate(chip, cost, size),
            "of the peak": cost.matrix_operations(size) / seconds / chip.matrix_peak,
            "of the bandwidth": cost.bytes(size) / seconds / chip.bandwidth,
        }
        for other, kernel in of_our_own(scale):
            if other == speed:
                seconds, size = step_seconds(speed.task, grid_of(speed.n_models), None, scale.seconds, kernel)
                by_model = rate(chip, kernel_cost(kernel, speed.task, CONFIG, cost, size), size)
                found[speed.name] |= {f"{kernel} rate": size / seconds, f"{kernel} predicted": by_model}
        if speed.torch:
            found[speed.name] |= {"PyTorch rate": torch_rate(speed, size, scale.seconds)}
    return found


def torch_rate(speed: Speed, n_models: int, seconds: float) -> float | str:
    """Of the usual batched loop on the same device, with as many models as a block; a sentence if torch is missing."""
    try:
        import peers
        import torch  # noqa: F401
    except ImportError:
        return "torch is not installed: pip install '.[bench]'"
    n, m = speed.torch or (2, 1)
    try:
        densities = np.geomspace(1, 0.05, n_models)
        return float(peers.torch_rate(n, m, densities, np.ones(n), seconds, 1)["rate"])
    except Exception as error:  # out of memory, most likely: that is an answer, too
        return f"{type(error).__name__}: {str(error)[:200]}"


def block_curve(scale: Scale) -> dict[str, Any]:
    """Rates by block size, beside those that the model of the data sheet predicts."""
    chip, found = best_known(), {}
    for name, task, sizes in scale.curves:
        cost = step_cost(task, sp.TrainConfig())
        swept = "weight_decay" if isinstance(task, sp.tasks.ModularAddition) else "feature_probability"
        found[name] = []
        for size in sizes:
            grid = sp.Grid(**{swept: np.geomspace(1, 0.05, size)})
            seconds, _ = step_seconds(task, grid, size, scale.seconds / 2)
            found[name].append({"block_size": size, "rate": size / seconds, "predicted": rate(chip, cost, size)})
    return found


def large_sweep(scale: Scale) -> dict[str, Any]:
    """400→30 over 40 densities × 50,000 steps from start to end; the goal is under two minutes."""
    task, n_models, steps = scale.large
    predicted = step(best_known(), step_cost(task, sp.TrainConfig()), n_models).seconds * steps
    begin = time.perf_counter()
    result = sp.sweep(task, sp.TrainConfig(steps=steps), grid_of(n_models), progress=False)
    diverged = int((result["diverged_step"].values >= 0).sum())
    return {"seconds": time.perf_counter() - begin, "predicted": predicted, "goal": 120, "diverged": diverged}


def autoencoders(scale: Scale) -> dict[str, Any]:
    """Sparse autoencoders, each of a learning rate of its own: steps of all of them a second."""
    task, n_models = scale.autoencoders
    grid = sp.Grid(learning_rate=np.geomspace(1e-4, 1e-2, n_models))
    seconds, size = step_seconds(task, grid, None, scale.seconds)
    return {"block_size": size, "rate": size / seconds, "predicted": _predicted_rate(task, size)}


def addition(scale: Scale) -> dict[str, Any]:
    """Modular addition, many seeds: a block holds one seed, so their rate is that of small blocks one after another."""
    p, seeds, steps = scale.addition
    task = sp.tasks.ModularAddition(p=p)
    seconds, size = step_seconds(task, sp.Grid(seed=range(seeds)), 1, scale.seconds)
    return {"seconds of all": seconds * steps * seeds, "rate": 1 / seconds, "predicted": _predicted_rate(task, size)}


def _predicted_rate(task: Any, size: int) -> float:
    return rate(best_known(), step_cost(task, sp.TrainConfig()), size)


def figure(name: str, flag: str, seconds: float, folder: Path) -> dict[str, Any]:
    """One figure at its published size, unless that takes too long."""
    command = [sys.executable, str(FIGURES / f"{name}.py"), flag, "--results", str(folder), "--out", str(folder)]
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    begin = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        return {"seconds": seconds, "ended": "it would have taken longer; the same command goes on with it"}
    lines = (done.stdout + done.stderr).strip().splitlines()
    return {"seconds": time.perf_counter() - begin, "status": done.returncode, "said": lines[-3:]}


PARTS = {
    "machine": machine,
    "correctness": correctness,
    "determinism": determinism,
    "throughput": throughput,
    "400→30, 40 densities × 50,000 steps": large_sweep,
    "block sizes": block_curve,
    "autoencoders": autoencoders,
    "modular addition": addition,
}


def dry(scale: Scale, name: str = "H100") -> dict[str, Any]:
    """Predictions for a chip that is not here, from counts alone."""
    from superpos.chips import block_size

    chip, found = KNOWN[name], {}
    tasks = {speed.name: speed.task for speed in scale.speeds}
    tasks |= {name: task for name, task, _ in scale.curves if name not in tasks} | scale.correct
    kernels = {speed.name: speed.kernels for speed in scale.speeds if "TPU" not in name}
    for case, task in tasks.items():
        cost = step_cost(task, CONFIG)
        size = block_size(chip, cost)
        found[case] = {
            "block_size": size,
            "predicted": rate(chip, cost, size),
            "bound": step(chip, cost, size).bound,
            "kernels": cost.kernels(size),
        }
        for kernel in kernels.get(case, ()):
            by_kernel = kernel_cost(kernel, task, CONFIG, cost, size)
            found[case] |= {
                f"{kernel} predicted": rate(chip, by_kernel, size),
                f"{kernel} bytes": by_kernel.bytes(size),
            }
    task, n_models, steps = scale.large
    seconds = step(chip, step_cost(task, sp.TrainConfig()), n_models).seconds * steps
    return {"rates": found, "seconds of 400→30, 40 densities × 50,000 steps": seconds}
