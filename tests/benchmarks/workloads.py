"""What is measured: model sizes, numbers of models and lengths of training, in full and in a quick form."""

from dataclasses import dataclass, replace

import numpy as np

BATCH = 1_024
MATMUL_FLOPS = 10  # per weight and input: two products forward and three backward (inputs need no gradient), 2 each


@dataclass(frozen=True)
class Workload:
    """One model size. Part 1 trains `models` of them; part 2 `seeds × scales`, unless `seeds` is 0."""

    n: int
    m: int
    models: int
    expected: bool = True  # whether the population loss is small enough to train on
    block_size: int | None = None  # of part 1; None is the sweep's own choice
    seeds: int = 0  # part 2: initial draws …
    scales: int = 0  # … and values of init_scale from 0.9 to 1.1, so that a block (of one seed) holds many models
    p: float = 0.05  # part 2: feature probability
    order: int = 32  # part 2: terms of the expected loss that is trained on

    @property
    def name(self) -> str:
        """`5-2`, as in `--only`."""
        return f"{self.n}-{self.m}"

    @property
    def flops(self) -> int:
        """Useful floating point operations in matrix products of one sampled step of one model."""
        return MATMUL_FLOPS * self.n * self.m * BATCH

    def importance(self) -> np.ndarray:
        """Importances of part 1."""
        return 0.9 ** np.arange(self.n) if self.n <= 20 else np.ones(self.n)


# Part 2 of the larger sizes has fewer models than part 1: 10,000 steps of PyTorch would take most of an hour. At 400
# features the exact loss is too large to compute, so there is no part 2.
WORKLOADS = (
    Workload(2, 1, 400, block_size=50, seeds=4, scales=100, p=0.1, order=16),
    Workload(5, 2, 64, seeds=4, scales=16, order=16),
    Workload(20, 5, 64, seeds=4, scales=4),
    Workload(100, 20, 10, block_size=5, seeds=2, scales=2),  # two blocks: one for every core
    Workload(400, 30, 10, expected=False, block_size=5),
)


@dataclass(frozen=True)
class Plan:
    """How long everything runs."""

    seconds: float  # per timing
    repeats: int = 3
    limit: float = 60.0  # seconds; a run of part 2 that is predicted to take longer is left out
    torch_steps: int = 10_000
    torch_chunk: int = 250
    ladders: tuple[tuple[str, tuple[int, ...]], ...] = (
        ("sampled", (250, 500, 1_000, 2_000, 4_000, 8_000)),
        ("expected", (25, 50, 75, 100, 150, 200, 400, 800)),
    )
    reference_steps: int = 2_000
    reference_order: int = 64
    counts: tuple[tuple[int, int, tuple[int, ...]], ...] = (  # part 3: n, m, numbers of models
        (2, 1, (10, 100, 1_000, 10_000, 100_000)),
        (5, 2, (10, 100, 1_000, 10_000)),
    )
    sizes: tuple[int, ...] = (2, 5, 10, 20, 50, 100, 200)  # part 3: n, with m = max(1, n // 5)
    size_models: int = 8


def quick(plan: Plan) -> Plan:
    """Lengths that only show that everything runs; the numbers mean nothing."""
    return replace(
        plan,
        seconds=min(plan.seconds, 0.3),
        repeats=1,
        limit=10.0,
        torch_steps=1_000,
        torch_chunk=100,
        ladders=(("sampled", (50, 200, 800)), ("expected", (20, 60))),
        reference_steps=100,
        counts=((2, 1, (10, 100)),),
        sizes=(2, 5),
    )


def quick_workload(workload: Workload) -> Workload:
    """The same size with few models."""
    scales = min(workload.scales, 8)
    return replace(
        workload, models=min(workload.models, 16), block_size=None, seeds=min(workload.seeds, 2), scales=scales
    )


def probabilities(models: int) -> np.ndarray:
    """Feature probabilities from 1 to 1/20, evenly spaced in the logarithm: the densities of the published notebook."""
    return 20.0 ** (-np.arange(models) / max(1, models - 1))
