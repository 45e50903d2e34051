"""Estimates of the local learning coefficient: the five known sums of powers, warm, and 50 snapshots of 16 seeds.

    python tests/benchmarks/learning_coefficients.py

The same settings as the laptop form of figures/learning_coefficient.py: 64 chains of 1,000 draws for each known case, and
8 chains for each of 50 × 16 models on the way of training of 6→2. Each part runs twice: the first time compiles.
"""

import time
from collections.abc import Callable

import numpy as np

import superpos as sp
from superpos.experiments import learning_coefficient as experiment


def timed(name: str, call: Callable[[], object]) -> None:
    """Call twice and print the seconds of both, on the wall and of the processor."""
    for when in ("first", "again"):
        begin, cpu = time.perf_counter(), time.process_time()
        words = call()
        wall, used = time.perf_counter() - begin, time.process_time() - cpu
        print(f"{name}, {when}: {wall:.1f} s, {used:.1f} s of the processor. {words}", flush=True)


def five_known() -> str:
    """The largest errors of the five sums of powers, relative and in standard errors."""
    cases = experiment.known_cases()[: len(experiment.POWERS)]
    table = experiment.calibrate(experiment.SIZES.laptop, cases)
    off = np.abs(table["estimate"].values - table["expected"].values)
    relative, errors = off / table["expected"].values, off / table["standard_error"].values
    return f"Off by {100 * relative.max():.1f} % and {errors.max():.1f} standard errors at most."


def main() -> None:
    """Measure and print."""
    timed("Five sums of powers", five_known)
    size = experiment.SIZES.laptop
    task, config, grid = experiment.build(size)
    result = sp.sweep(task, config, grid)

    def way() -> str:
        table = experiment.way(result, size)
        return f"{table.sizes['snapshot']} × {table.sizes['seed']} models, {size.path_chains} chains each."

    timed("The way of training", way)


if __name__ == "__main__":
    main()
