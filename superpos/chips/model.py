r"""Seconds of a step of B models: kernels × launch + bytes(B) ÷ bandwidth + operations(B) ÷ peak.

Nothing overlaps in this model, and every number is the best that the device can do, so it is no promise. It orders block
sizes, and tells within a factor of two or so how long a training takes.
"""

from dataclasses import dataclass, fields

MOST_MODELS = 2**14  # in a block
USABLE_MEMORY = 0.5  # of a device's: what a step keeps is only estimated, and results and other calls need room, too
NEAR_THE_BEST = 0.9  # of the best rate that any block has


@dataclass(frozen=True)
class Chip:
    """What a device can do, in single precision. Its `source` says how these numbers are known."""

    name: str
    launch: float  # seconds from one kernel to the next
    bandwidth: float  # bytes a second
    matrix_peak: float  # operations a second in matrix products
    vector_peak: float  # operations a second elsewhere
    memory: float  # bytes
    source: str = ""


@dataclass(frozen=True)
class Share:
    """Something that grows with the number of models: what all share, and what each adds."""

    shared: float = 0.0
    each: float = 0.0

    def __call__(self, n_models: float) -> float:
        """Of so many models."""
        return self.shared + n_models * self.each


@dataclass(frozen=True)
class Cost:
    """What one step of a block costs. The draws are shared: all models of a block have one seed.

    So are kernels, which do something for all models at once; but some tasks train one model of a block after another.
    """

    kernels: Share
    bytes: Share  # read and written
    matrix_operations: Share
    vector_operations: Share
    memory: Share  # bytes that a step holds at once, at most
    open_ended: bool = False  # the length of a loop is data: it was counted once


@dataclass(frozen=True)
class Parts:
    """Seconds of a step, by what takes them."""

    launches: float
    bandwidth: float
    operations: float

    @property
    def seconds(self) -> float:
        """Of the step."""
        return self.launches + self.bandwidth + self.operations

    @property
    def bound(self) -> str:
        """What takes the most: "launches", "bandwidth" or "operations"."""
        return max((f.name for f in fields(self)), key=lambda name: getattr(self, name))


def step(chip: Chip, cost: Cost, n_models: float) -> Parts:
    """What a step of a block of so many models takes."""
    operations = (
        cost.matrix_operations(n_models) / chip.matrix_peak + cost.vector_operations(n_models) / chip.vector_peak
    )
    return Parts(cost.kernels(n_models) * chip.launch, cost.bytes(n_models) / chip.bandwidth, operations)


def rate(chip: Chip, cost: Cost, n_models: float) -> float:
    """Steps of all models together, a second."""
    return n_models / step(chip, cost, n_models).seconds


def block_size(chip: Chip, cost: Cost) -> int:
    """The smallest power of two within a tenth of the best rate, of 4 to `MOST_MODELS` that fit into memory.

    Where not even 4 fit with room to spare, 2 or 1.
    """
    sizes = [2**k for k in range(MOST_MODELS.bit_length()) if cost.memory(2**k) <= USABLE_MEMORY * chip.memory] or [1]
    sizes = [size for size in sizes if size >= 4] or sizes[-1:]
    best = max(rate(chip, cost, size) for size in sizes)
    return next(size for size in sizes if rate(chip, cost, size) >= NEAR_THE_BEST * best)
