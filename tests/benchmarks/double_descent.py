"""Double descent as one sweep, against the same trainings one after another: by `sp.train`, and in PyTorch.

python tests/benchmarks/double_descent.py

Twelve sizes T × two weight decays × three seeds, n = 1,000 and m = 2, full batch. Each method runs in a process of its own,
without a cache of compiled programs. Methods run `steps` steps, and the time of 15,000 is worked out from the rate between
two lengths; compilation is what is left at length 0. One after another means one program per T, of that T's own shape,
compiled once, and one call per model. PyTorch (`pip install 'superpos[bench]'`) keeps the points in memory and takes the
faster of its own number of threads and one. Seconds of the clock, and of the processor in brackets.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tyro

N, M, P, RATE, DECAYS, SEEDS = 1_000, 2, 0.01, 1e-3, (0.01, 1.0), 3
SIZES = (3, 5, 6, 8, 10, 15, 30, 50, 100, 200, 500, 1_000)
MODELS, LENGTH = len(DECAYS) * SEEDS, 15_000


def timed(call: Callable[[], Any]) -> np.ndarray:
    """Seconds of the clock and of the processor."""
    begin = np.array([time.perf_counter(), time.process_time()])
    call()
    return np.array([time.perf_counter(), time.process_time()]) - begin


def configured(steps: int) -> Any:
    """As in the figure."""
    import superpos as sp

    return sp.TrainConfig(
        steps=steps, learning_rate=RATE, warmup_steps=steps // 20, decay_bias=True, evaluation_samples=1_024
    )


def sweep(steps: int) -> dict[str, list[float]]:
    """One program for all sizes; every length is a program of its own, so each is called twice."""
    import superpos as sp

    task = sp.tasks.DoubleDescent(n_features=N, n_hidden=M, most_points=max(SIZES), feature_probability=P)
    grid = sp.Grid(n_points=SIZES, weight_decay=DECAYS, seed=range(SEEDS))
    first, again = {}, {}
    for length in (steps, 3 * steps):
        how: dict[str, Any] = {"block_size": 1, "progress": False}
        for found in (first, again):
            found[length] = timed(lambda: sp.sweep(task, configured(length), grid, **how))  # noqa: B023
    rate = np.maximum(again[3 * steps] - again[steps], 0) / (2 * steps)
    fixed = again[steps] - rate * steps
    compiling = np.mean([first[k] - again[k] for k in first], axis=0)
    return {"run": list(fixed + rate * LENGTH), "compilation": list(compiling)}


def alone(steps: int) -> dict[str, list[float]]:
    """`sp.train` for every model: one compilation per size, then one rate per size."""
    import superpos as sp

    run, compiling = np.zeros(2), np.zeros(2)
    for T in SIZES:
        task = sp.tasks.DoubleDescent(n_features=N, n_hidden=M, most_points=T, feature_probability=P)

        def train(length: int, task: Any = task) -> np.ndarray:
            return timed(lambda: sp.train(task, configured(length)))

        first, again = train(steps), train(steps)
        train(3 * steps)
        rate = np.maximum(train(3 * steps) - again, 0) / (2 * steps)
        run += MODELS * (again + rate * (LENGTH - steps))
        compiling += first - again
    return {"run": list(run), "compilation": list(compiling)}


def torch_loop(steps: int) -> dict[str, list[float]]:
    """The usual loop: full batch, autograd, AdamW, a schedule."""
    import torch

    rng, run = np.random.default_rng(0), np.zeros(2)
    for T in SIZES:
        X = rng.uniform(size=(T, N)) * (rng.uniform(size=(T, N)) < P)
        x = torch.tensor(X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9), dtype=torch.float32)
        best = None
        for threads in (os.cpu_count() or 1, 1):
            torch.set_num_threads(threads)
            W = torch.nn.Parameter(torch.randn(M, N) * np.sqrt(2 / (M + N)))
            b = torch.nn.Parameter(torch.zeros(N))
            optimizer = torch.optim.AdamW([W, b], lr=RATE, weight_decay=DECAYS[0])
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, LENGTH)

            def go(count: int, W: Any = W, b: Any = b, x: Any = x, o: Any = optimizer, s: Any = schedule) -> None:
                for _ in range(count):
                    o.zero_grad()
                    loss = (torch.relu(x @ W.T @ W + b) - x).square().sum(1).mean()
                    loss.backward()
                    o.step()
                    s.step()

            go(5)
            took = timed(lambda: go(steps))
            best = took if best is None or took[0] < best[0] else best
        assert best is not None
        run += MODELS * best * LENGTH / steps
    return {"run": list(run), "compilation": [0.0, 0.0]}


METHODS = {"sweep": sweep, "alone": alone, "torch": torch_loop}


def measure(method: str, steps: int) -> dict[str, np.ndarray]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", method, str(steps)]
    environment = os.environ | {"SUPERPOS_CACHE": "off"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return {name: np.array(value) for name, value in json.loads(done.stdout.splitlines()[-1]).items()}


def main(steps: int = 300, quick: bool = False) -> None:
    """Measure and print.

    Args:
        steps: length of one timing; another takes three times as many.
        quick: tiny lengths, to see that everything runs.
    """
    steps = 20 if quick else steps
    count = len(SIZES) * MODELS
    print(
        f"{count} models, {N} → {M}, T from {min(SIZES)} to {max(SIZES):,}, {LENGTH:,} steps; load", os.getloadavg()[0]
    )
    found = {}
    for method in METHODS:
        try:
            found[method] = measure(method, steps)
        except subprocess.CalledProcessError:
            print(
                f"double_descent: {method} was not measured (PyTorch: pip install 'superpos[bench]')", file=sys.stderr
            )
            continue
        run, compiling = found[method]["run"], found[method]["compilation"]
        print(f"{method}: {run[0]:,.0f} s [{run[1]:,.0f}], compilation {compiling[0]:,.0f} s [{compiling[1]:,.0f}]")
    if "sweep" not in found:
        sys.exit("double_descent: nothing to compare with.")
    ours = found["sweep"]
    for method in found.keys() - {"sweep"}:
        theirs = found[method]
        bare = theirs["run"] / ours["run"]
        whole = (theirs["run"] + theirs["compilation"]) / (ours["run"] + ours["compilation"])
        print(f"{method} / sweep: {bare[0]:.1f} [{bare[1]:.1f}], with compilation {whole[0]:.1f} [{whole[1]:.1f}]")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(METHODS[sys.argv[2]](int(sys.argv[3]))))
    else:
        tyro.cli(main)
