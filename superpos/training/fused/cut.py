"""How the fused kernel is cut for a training: threads of a program, samples of a tile, steps drawn at once."""

from typing import NamedTuple

from superpos.training.kernels.powers import next_power

THREADS_PER_WARP, MAX_WARPS = 32, 4
# A processor of a card does four warps at a time, and an H100 has 132: with fewer models each gets more warps, though then
# they must wait for one another to sum up.
WARPS = 512
# A thread has 255 registers. One holds every parameter, and every sum over samples of each sample that it has at a time.
REGISTERS, MAX_SAMPLES = 120, 4
# Numbers that are drawn ahead: 8 MB, which the cache of a card holds.
DRAWN, MAX_STEPS = 2**21, 256
STEPS_ELSEWHERE = 16


class Cut(NamedTuple):
    """Sizes of a program, all of it known when the kernel is compiled."""

    warps: int  # of 32 threads
    samples: int  # of a thread at a time, a power of two

    @property
    def tile(self) -> int:
        """Samples of a program at a time."""
        return THREADS_PER_WARP * self.warps * self.samples

    @classmethod
    def of(cls, n_features: int, n_hidden: int, batch_size: int, block_size: int) -> "Cut":
        """The one for these sizes.

        >>> [Cut.of(*size, 1024, 512) for size in ((2, 1), (5, 2), (10, 2), (20, 5))]
        [Cut(warps=1, samples=4), Cut(warps=1, samples=4), Cut(warps=1, samples=2), Cut(warps=1, samples=1)]
        >>> [Cut.of(5, 2, 1024, block_size).warps for block_size in (1, 100, 128, 256, 300, 4096)]
        [4, 4, 4, 2, 1, 1]
        >>> Cut.of(5, 2, 24, 1)
        Cut(warps=1, samples=1)
        """
        most = min(MAX_WARPS, next_power(-(-batch_size // THREADS_PER_WARP)))
        share = max(1, WARPS // block_size)
        warps = min(most, 1 << (share.bit_length() - 1))
        parameters = n_features * (n_hidden + 1)
        fitting = max(1, (REGISTERS - parameters) // (parameters + 1))
        needed = next_power(-(-batch_size // (THREADS_PER_WARP * warps)))
        return cls(warps, min(MAX_SAMPLES, 1 << (fitting.bit_length() - 1), needed))


# Without a GPU the size of a block must change nothing.
ELSEWHERE = Cut(warps=4, samples=1)


def steps_at_once(n_features: int, batch_size: int, interval: int | None) -> int:
    """Steps whose numbers are drawn at once, where an interval of the record has at most so many.

    >>> steps_at_once(5, 1024, 50), steps_at_once(5, 1024, 5000), steps_at_once(20, 1024, 5000), steps_at_once(5, 24, None)
    (50, 256, 102, 16)
    """
    if interval is None:
        return STEPS_ELSEWHERE
    return max(1, min(interval, MAX_STEPS, DRAWN // (n_features * batch_size)))
