"""What devices can do, and what a step of a training costs on them: a small model, for block sizes and estimates."""

from superpos.chips.known import KNOWN as KNOWN
from superpos.chips.known import chip_of as chip_of
from superpos.chips.model import Chip as Chip
from superpos.chips.model import Cost as Cost
from superpos.chips.model import block_size as block_size
