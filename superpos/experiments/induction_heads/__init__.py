"""Induction heads: two layers learn to look up what followed last time, one layer cannot, and a fixed distance is a trap.

Olsson et al. 2022, "In-context Learning and Induction Heads".
"""

from superpos.experiments.induction_heads.drawing import draw as draw
from superpos.experiments.induction_heads.evaluation import evaluate as evaluate
from superpos.experiments.induction_heads.measures import by_period as by_period
from superpos.experiments.induction_heads.measures import drawn_patterns as drawn_patterns
from superpos.experiments.induction_heads.measures import through_training as through_training
from superpos.experiments.induction_heads.measures import without_heads as without_heads
from superpos.experiments.induction_heads.measures import without_heads_of as without_heads_of
from superpos.experiments.induction_heads.training import SIZES as SIZES
from superpos.experiments.induction_heads.training import Size as Size
from superpos.experiments.induction_heads.training import build as build
from superpos.experiments.induction_heads.training import build_trap as build_trap

SOURCE = "Olsson et al. 2022, In-context Learning and Induction Heads"
