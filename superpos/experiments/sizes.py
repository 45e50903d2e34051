"""Three sizes of every experiment: a quick look, one for a laptop, and the paper's."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from superpos.errors import ConfigError
from superpos.training.train_config import TrainConfig

S = TypeVar("S")


class _Trained(Protocol):
    """A size that says how long and on how many inputs its models train, and on how many they are tested."""

    @property
    def steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def evaluation_samples(self) -> int: ...


def training(size: _Trained) -> TrainConfig:
    """The training that a size asks for."""
    return TrainConfig(steps=size.steps, batch_size=size.batch_size, evaluation_samples=size.evaluation_samples)


@dataclass(frozen=True)
class Sizes(Generic[S]):
    """What an experiment trains and measures: in seconds (to see that everything runs), in minutes, and as published."""

    quick: S
    laptop: S
    full: S


def choose(sizes: Sizes[S], *, full: bool = False, quick: bool = False) -> tuple[S, str]:
    """The size that is asked for, and what the names of its files end with.

    Raises:
        ConfigError: both are asked for.
    """
    suffix = size_suffix(full, quick)
    return (sizes.full if full else sizes.quick if quick else sizes.laptop), suffix


def size_suffix(full: bool, quick: bool) -> str:
    """What a file's name says of its size: "", "_full" or "_quick".

    Raises:
        ConfigError: both are asked for.
    """
    if full and quick:
        raise ConfigError("full and quick exclude each other; choose one size.")
    if full:
        return "_full"
    return "_quick" if quick else ""


def size_of(name: str) -> str:
    """The size that a figure's name tells: "quick", "full", or where it has neither word "laptop".

    >>> size_of("grokking_full"), size_of("grokking")
    ('full', 'laptop')
    """
    return next((size for size in ("quick", "full") if f"_{size}_" in f"{name}_"), "laptop")
