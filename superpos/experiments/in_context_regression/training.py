"""What is trained: one layer of linear attention, two of them, and one of softmax attention."""

from dataclasses import dataclass

from superpos.experiments.sizes import Sizes
from superpos.sweeping import Grid
from superpos.tasks import InContextRegression
from superpos.training.train_config import TrainConfig

FIRST_SEED = 1_000  # thresholds and settings of training were chosen on seeds 0 to 7
# Gradients are polynomials of high degree in normal numbers: some are huge. With Adam's usual 0.999 one of them makes steps
# small for a thousand steps. The shorter the memory, the less it divides by; the degree is highest in two layers.
BETA2, DEEP_BETA2 = 0.99, 0.95


@dataclass(frozen=True)
class Size:
    """Dimensions, numbers of examples, noises, seeds, training of one layer and of two, and sequences per measurement."""

    n_dims: int = 5
    examples: tuple[int, ...] = (5, 10, 20)
    noises: tuple[float, ...] = (0.0, 1.0)
    seeds: int = 12
    batch_size: int = 256
    steps: int = 800
    deep_steps: int = 2_000
    softmax_steps: int = 1_200
    sequences: int = 8_192


SIZES = Sizes(
    quick=Size(n_dims=2, examples=(4,), noises=(0.0,), seeds=2, batch_size=32, steps=20, deep_steps=20, softmax_steps=20,
               sequences=64),
    laptop=Size(),
    full=Size(n_dims=8, examples=(5, 10, 20, 40), noises=(0.0, 1.0, 2.0), seeds=64, batch_size=1_024, steps=3_000,
              deep_steps=20_000, softmax_steps=5_000, sequences=131_072),
)  # fmt: skip


def build(size: Size) -> tuple[InContextRegression, TrainConfig, Grid]:
    """Task, training and grid of one layer of linear attention."""
    task = InContextRegression(n_dims=size.n_dims, most_examples=max(size.examples))
    config = TrainConfig(steps=size.steps, batch_size=size.batch_size, learning_rate=1e-2, beta2=BETA2, history=20)
    return task, config, Grid(n_examples=list(size.examples), noise=list(size.noises), seed=_seeds(size))


def build_deep(size: Size) -> tuple[InContextRegression, TrainConfig, Grid]:
    """The same of two layers, without noise. Weights begin small: from larger ones some seeds are slow."""
    task = InContextRegression(n_dims=size.n_dims, most_examples=max(size.examples), n_layers=2, init_scale=0.1)
    config = TrainConfig(
        steps=size.deep_steps,
        batch_size=size.batch_size,
        learning_rate=1.5e-2,
        beta2=DEEP_BETA2,
        history=20,
        evaluation_samples=16_384,
    )
    return task, config, Grid(seed=_seeds(size))


def build_softmax(size: Size) -> tuple[InContextRegression, TrainConfig, Grid]:
    """The same of one layer of softmax attention, with one head and with two."""
    task = InContextRegression(n_dims=size.n_dims, most_examples=max(size.examples), attention="softmax")
    config = TrainConfig(
        steps=size.softmax_steps,
        batch_size=size.batch_size,
        learning_rate=3e-2,
        beta2=BETA2,
        history=20,
        evaluation_samples=65_536,
    )
    return task, config, Grid(n_heads=[1, 2], seed=_seeds(size))


def _seeds(size: Size) -> range:
    return range(FIRST_SEED, FIRST_SEED + size.seeds)
