"""How large the tiles of the tiled kernel are, and for which models they serve."""

from typing import NamedTuple

from superpos.training.kernels.powers import next_power

# A product of two matrices in a kernel wants sizes of at least 16.
LEAST = 16
# Numbers of the hidden layer of a tile; with its gradient and a tile of inputs they stay in registers.
HIDDEN_NUMBERS = 8_192
MOST_SAMPLES = 256
FEATURES = 16
MOVED = 64  # features of a tile where weights are moved


class Cut(NamedTuple):
    """Sizes of a model and of its tiles; all of it known when the kernel is compiled."""

    n_features: int
    n_hidden: int
    batch_size: int
    hidden: int  # hidden units and padding, a power of two, as the next
    samples: int  # of a program
    features: int  # of a tile of gradients
    moved: int  # of a tile of weights

    @classmethod
    def of(cls, n_features: int, n_hidden: int, batch_size: int) -> "Cut":
        """The one for these sizes.

        >>> Cut.of(400, 30, 1024)
        Cut(n_features=400, n_hidden=30, batch_size=1024, hidden=32, samples=256, features=16, moved=64)
        """
        hidden = max(LEAST, next_power(n_hidden))
        samples = min(MOST_SAMPLES, HIDDEN_NUMBERS // hidden, max(LEAST, next_power(batch_size)))
        return cls(n_features, n_hidden, batch_size, hidden, samples, FEATURES, MOVED)

    @property
    def parts(self) -> int:
        """Programs that share the batch of a model."""
        return -(-self.batch_size // self.samples)

    @property
    def tiles(self) -> int:
        """Tiles of gradients."""
        return -(-self.n_features // self.features)

    @property
    def moves(self) -> int:
        """Tiles of weights."""
        return -(-self.n_features // self.moved)
