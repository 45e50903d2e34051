"""What is trained: one and two layers on random periods, and one layer on a fixed one."""

from dataclasses import dataclass, replace

import numpy as np

from superpos.experiments.sizes import Sizes
from superpos.sweeping import Grid
from superpos.tasks import RepeatedTokens
from superpos.training.train_config import TrainConfig


@dataclass(frozen=True)
class Size:
    """The model and its periods, seeds and training, of the trap, too (`trap_steps`), and sequences per measurement.

    Snapshots are dense in the first half, while heads form, and `late_snapshots` are of the second. With `one_program` the
    trap is trained like the others, with snapshots: a quick look compiles one program for every model of one layer. Of
    `n_sequences` None is every measurement's own number.
    """

    d_vocab: int = 64
    n_positions: int = 64
    n_heads: int = 4
    d_model: int = 64
    shortest_period: int = 16
    longest_period: int = 32
    seeds: int = 3
    batch_size: int = 32
    steps: int = 1_000
    trap_steps: int = 400
    early_snapshots: int = 21
    late_snapshots: int = 6
    one_program: bool = False
    n_sequences: int | None = None

    @property
    def middle_period(self) -> int:
        """The trap's."""
        return (self.shortest_period + self.longest_period) // 2


SIZES = Sizes(
    quick=Size(
        d_vocab=16,
        n_positions=16,
        n_heads=2,
        d_model=16,
        shortest_period=5,
        longest_period=7,
        seeds=1,
        batch_size=8,
        steps=20,
        trap_steps=20,
        early_snapshots=4,
        late_snapshots=2,
        one_program=True,
        n_sequences=8,
    ),
    laptop=Size(),
    full=Size(
        d_vocab=256,
        n_positions=256,
        n_heads=8,
        d_model=128,
        shortest_period=64,
        longest_period=128,
        seeds=4,
        batch_size=64,
        steps=10_000,
        trap_steps=1_000,
    ),
)


def build(size: Size) -> tuple[RepeatedTokens, TrainConfig, Grid]:
    """Task, training and grid of one and two layers with a random period."""
    task = RepeatedTokens(
        d_vocab=size.d_vocab,
        n_positions=size.n_positions,
        n_heads=size.n_heads,
        d_model=size.d_model,
        shortest_period=size.shortest_period,
        longest_period=size.longest_period,
    )
    half = size.steps / 2
    steps = np.append(np.linspace(0, half, size.early_snapshots), np.linspace(half, size.steps, size.late_snapshots))
    config = TrainConfig(
        steps=size.steps,
        batch_size=size.batch_size,
        schedule="constant",
        history=1,
        evaluation_samples=1_024,
        snapshots=tuple(np.unique(steps.astype(int)).tolist()),
    )
    return task, config, Grid(n_layers=[1, 2], seed=range(size.seeds))


def build_trap(size: Size) -> tuple[RepeatedTokens, TrainConfig, Grid]:
    """Task, training and grid of one layer with a fixed period."""
    task, config, _ = build(size)
    task = replace(task, n_layers=1, shortest_period=size.middle_period, longest_period=size.middle_period)
    if not size.one_program:
        config = replace(config, steps=size.trap_steps, snapshots=())
    return task, config, Grid(seed=range(size.seeds))
